/* Which rows a step has: the next row of every answer, or of its part where a ring has several steps under way, then as
 * much of the prompts as the pace allows. The oldest prompt and the shortest one take turns at being first, so that
 * neither a long prompt nor many short ones keep others waiting. */
#include "engine/runner_private.h"

static struct step_page *tell_page(struct runner *r, struct step *step, struct session *s) {
    struct step_page *entry = &step->pages[step->page_count++];
    uint32_t index = s->told++, page = s->pages[index], slot = r->cache.pages[page].slot;
    if (index < s->passed) slot = CACHE_NONE;
    *entry = (struct step_page){(uint32_t)(s - r->sessions), index, page, page, slot, slot};
    return entry;
}

/* A new page, which begins as a copy of the page that knows the last bit of a known beginning. */
static void add_page(struct runner *r, struct step *step, struct session *s) {
    uint32_t part = s->part, part_slot = part == CACHE_NONE ? CACHE_NONE : r->cache.pages[part].slot;
    runner__let_part_go(r, s); /* before: with all others in use it may be the new page */
    s->pages[s->held++] = cache_take(&r->cache);
    struct step_page *entry = tell_page(r, step, s);
    if (part == CACHE_NONE) return;
    entry->from = part;
    entry->slot_from = part_slot;
}

/* The session's next rows see nothing before their windows. */
static void pass_pages(struct runner *r, struct session *s) {
    uint32_t seen = pages_first_seen(r->cache.window, s->composed);
    while (s->passed < seen && s->passed < s->held) cache_pass(&r->cache, s->pages[s->passed++]);
}

static void add_row(struct runner *r, struct step *step, struct session *s) {
    uint32_t position = s->composed++;
    while (s->told < s->held) tell_page(r, step, s);
    if (position / KERN_PAGE == s->held) add_page(r, step, s);
    bool asked = runner__asks_rows(s->request) && position >= s->request->rows_from;
    step->rows[step->row_count++] = (struct step_row){.session = (uint32_t)(s - r->sessions),
                                                      .position = position,
                                                      .token = s->tokens[position],
                                                      .want_logits = asked || position + 1 == s->known};
}

static bool has_room(const struct runner *r, const struct step *step, const struct session *s) {
    return step->row_count < r->rows_max && s->held + 1 - s->told <= STEP_PAGES_MAX - step->page_count &&
           (!runner__needs_page(s) || runner__has_page(r, s));
}

/* An encoder's prompts are never parted: their rows see each other. */
static bool fits(const struct runner *r, const struct step *step, const struct session *s) {
    return !r->model->params.encodes || step->row_count + runner__rows_waiting(s) <= r->rows_max;
}

/* Of those who are in their prompts, the oldest or the one with the least left. */
static struct session *pick_prompt(struct runner *r, const struct step *step, bool oldest) {
    struct session *found = NULL;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        if (runner__rows_waiting(s) < 2 || !fits(r, step, s)) continue;
        bool before =
            !found || (oldest ? s->serial < found->serial : runner__rows_waiting(s) < runner__rows_waiting(found));
        if (before) found = s;
    }
    return found;
}

static uint32_t add_prompts(struct runner *r, struct step *step, uint32_t rows) {
    uint32_t added = 0, before;
    bool oldest = r->last_step % 2 == 0, parted = !r->model->params.encodes;
    struct session *s;
    do {
        before = added;
        s = pick_prompt(r, step, oldest);
        oldest = false;
        for (; s && (added < rows || !parted) && runner__rows_waiting(s) > 0 && has_room(r, step, s); added++)
            add_row(r, step, s);
    } while (added > before && added < rows);
    return added;
}

/* Those who have one row at a time: it waits, or is under way. */
static uint32_t count_answers(const struct runner *r) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        const struct session *s = &r->sessions[i];
        count += runner__answers(s) || runner__rows_waiting(s) == 1;
    }
    return count;
}

static uint32_t prompt_rows_waiting(const struct runner *r) {
    uint32_t rows = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (runner__rows_waiting(&r->sessions[i]) > 1) rows += runner__rows_waiting(&r->sessions[i]);
    return rows;
}

/* There are steps for prompts between those of answers: with some stages idle, these need not carry any. */
static bool travel_apart(const struct runner *r, uint32_t answers) { return r->ring && answers < r->ring->stages; }

/* In a ring all stages have something to do if there are as many steps as stages, and no more. */
static uint32_t decode_rows_max(const struct runner *r, uint32_t answers) {
    uint32_t steps = r->ring ? r->ring->stages : 1;
    return answers > steps ? (answers + steps - 1) / steps : 1;
}

uint32_t runner__flights_max(const struct runner *r) {
    return r->ring && r->ring->stages < r->flights_max && count_answers(r) > 0 ? r->ring->stages : r->flights_max;
}

static uint32_t add_answers(struct runner *r, struct step *step, uint32_t rows) {
    uint32_t added = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        if (added == rows || runner__rows_waiting(s) != 1 || !has_room(r, step, s)) continue;
        add_row(r, step, s);
        added++;
    }
    return added;
}

static void prepare(struct runner *r, struct flight *flight) {
    flight->step.row_count = flight->step.page_count = 0;
    flight->busy_us = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        if (!s->request) continue;
        runner__file_full_pages(r, s);
        pass_pages(r, s);
    }
    runner__find_pages(r);
    for (uint32_t i = 0; i < r->options.sessions; i++) flight->serials[i] = r->sessions[i].serial;
}

bool runner__compose(struct runner *r, struct flight *flight) {
    struct step *step = &flight->step;
    uint32_t answers = count_answers(r);
    prepare(r, flight);
    flight->decode_rows = add_answers(r, step, decode_rows_max(r, answers));
    uint32_t rows = r->options.chunk_tokens;
    if (rows == 0) rows = pace_rows(&r->pace, answers, flight->decode_rows, prompt_rows_waiting(r), r->chunk_most);
    if (flight->decode_rows > 0 && travel_apart(r, answers)) rows = 0;
    flight->answers = answers;
    flight->prompt_rows = add_prompts(r, step, rows);
    if (step->row_count == 0) return false;
    step->number = ++r->last_step;
    return true;
}
