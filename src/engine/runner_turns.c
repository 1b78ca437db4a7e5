/* Whose turn it is. Who waits gets a session in order of arrival, clients with fewer running requests first; where
 * there are not enough sessions or pages, the client with the most gives one up, and after a while who has run longest.
 * Who is put back goes on later from the tokens it has, with the same bits: one that has told rows of its prompt and
 * nothing else is not put back, since it would tell them again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/runner_private.h"

enum {
    TURNS_WITHIN = 8, /* turns that may end within the time of one, so that not all is prompts again */
    TURN_TOKENS = 48, /* that a turn gives at least, however long its prompt took */
};

/* ---- pages ---- */

static void file_page(struct runner *r, struct session *s, uint32_t count) {
    uint32_t parent = s->filed > 0 ? s->pages[s->filed - 1] : CACHE_NONE, page = s->pages[s->filed];
    const uint32_t *tokens = s->tokens + (size_t)s->filed * KERN_PAGE;
    s->pages[s->filed] = cache_file(&r->cache, parent, page, tokens, count);
    if (s->pages[s->filed] != page && s->told > s->filed) s->told = s->filed; /* the same bits in another page */
    s->filed++;
}

void runner__file_full_pages(struct runner *r, struct session *s) {
    while (s->filed < s->composed / KERN_PAGE) file_page(r, s, KERN_PAGE);
}

void runner__let_part_go(struct runner *r, struct session *s) {
    if (s->part == CACHE_NONE) return;
    cache_pass(&r->cache, s->part);
    cache_release(&r->cache, s->part);
    s->part = CACHE_NONE;
}

static void give_pages_back(struct runner *r, struct session *s) {
    runner__file_full_pages(r, s);
    if (s->held > s->filed && s->composed % KERN_PAGE > 0) file_page(r, s, s->composed % KERN_PAGE);
    runner__let_part_go(r, s);
    while (s->passed < s->held) cache_pass(&r->cache, s->pages[s->passed++]);
    while (s->held > 0) cache_release(&r->cache, s->pages[--s->held]);
}

bool runner__needs_page(const struct session *s) { return s->composed / KERN_PAGE == s->held; }

static uint32_t free_pages(const struct runner *r) {
    uint32_t pages = cache_free_pages(&r->cache), slots = cache_free_slots(&r->cache);
    return r->cache.slot_count > 0 && slots < pages ? slots : pages;
}

/* The page that the new one is a copy of may itself be the last one. */
bool runner__has_page(const struct runner *r, const struct session *s) {
    return free_pages(r) > 0 || (s->part != CACHE_NONE && r->cache.pages[s->part].holders == 1);
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Pages that a request should find when its turn begins: for what is known and one more, or to its end where it cannot
 * be put back. */
static uint32_t pages_wanted(const struct runner_request *q, uint32_t known) {
    uint32_t end = q->prompt_count + q->tokens_max;
    return pages_of(runner__asks_rows(q) ? end : least(known + KERN_PAGE, end));
}

/* Do all who run find what they want? */
static bool enough_for_all(const struct runner *r) {
    uint64_t pages = 0, slots = 0;
    uint32_t running = 0, slots_most = pages_slots(r->cache.window, r->options.context);
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        const struct session *s = &r->sessions[i];
        if (!s->request) continue;
        uint32_t wanted = pages_wanted(s->request, s->known), shown = s->held - s->passed;
        running++;
        if (wanted > s->held) pages += wanted - s->held;
        if (least(wanted, slots_most) > shown) slots += least(wanted, slots_most) - shown;
    }
    bool slots_suffice = r->cache.slot_count == 0 || slots <= cache_free_slots(&r->cache);
    return running <= 1 || (pages <= cache_free_pages(&r->cache) && slots_suffice);
}

/* ---- the queue ---- */

static void enqueue(struct runner *r, struct runner_request *request, bool first) {
    request->waiting_since_us = r->now_us;
    request->next = first ? r->queue_first : NULL;
    if (first) {
        if (!r->queue_first) r->queue_end = &request->next;
        r->queue_first = request;
    } else {
        *r->queue_end = request;
        r->queue_end = &request->next;
    }
    r->queue_count++;
}

void runner__enqueue(struct runner *r, struct runner_request *request) { enqueue(r, request, false); }

/* Take the request at *at out of the queue. */
static struct runner_request *dequeue(struct runner *r, struct runner_request **at) {
    struct runner_request *request = *at;
    *at = request->next;
    if (!*at) r->queue_end = at;
    r->queue_count--;
    return request;
}

/* ---- ends ---- */

static void end(struct runner_request *request, enum runner_finish reason, const struct error *error) {
    free(request->tokens);
    request->tokens = NULL;
    request->on_finish(request->context, reason, error);
}

void runner__finish(struct runner *r, struct session *s, enum runner_finish reason, const struct error *error) {
    struct runner_request *request = s->request;
    give_pages_back(r, s);
    s->request = NULL;
    end(request, reason, error);
}

void runner__finish_all(struct runner *r, enum runner_finish reason, const struct error *error) {
    r->flight_count = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (r->sessions[i].request) runner__finish(r, &r->sessions[i], reason, error);
    cache_forget(&r->cache); /* after a failure the stages may know less */
    while (r->queue_first) end(dequeue(r, &r->queue_first), reason, error);
}

void runner__drop_cancelled(struct runner *r) {
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (r->sessions[i].request && r->sessions[i].request->cancelled)
            runner__finish(r, &r->sessions[i], RUNNER_CANCELLED, NULL);
    for (struct runner_request **at = &r->queue_first; *at;)
        if ((*at)->cancelled)
            end(dequeue(r, at), RUNNER_CANCELLED, NULL);
        else
            at = &(*at)->next;
}

/* ---- turns ---- */

static struct session *idle_session(struct runner *r) {
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (!r->sessions[i].request) return &r->sessions[i];
    return NULL;
}

/* Tokens that need not be computed if their KV is there: the last one always is, for its logits. */
static uint32_t reusable(const struct runner *r, const struct runner_request *request) {
    uint32_t last = request->known - 1;
    if (r->model->params.encodes) return 0; /* what stands behind it has its part in it */
    return runner__asks_rows(request) ? least(request->rows_from, last) : last;
}

/* Begin the request's turn, as far as pages go. False: there are too few, and nothing has changed. */
static bool start(struct runner *r, struct session *s, struct runner_request *request) {
    s->tokens = request->tokens;
    s->known = request->known;
    s->composed = cache_match(&r->cache, s->tokens, reusable(r, request), KNOWN_PAGES_MAX, s->pages, &s->part);
    s->held = s->filed = s->composed / KERN_PAGE;
    s->passed = pages_first_seen(r->cache.window, s->composed);
    s->told = 0;
    s->request = request;
    if (!enough_for_all(r)) {
        give_pages_back(r, s);
        s->request = NULL;
        return false;
    }
    s->serial = ++r->last_serial;
    s->since_us = r->now_us;
    s->known_before = s->known;
    if (!request->started) request->cached_count = s->composed;
    request->started = true;
    memset(s->pooled, 0, r->model->params.embd * sizeof *s->pooled);
    return true;
}

static bool can_be_put_back(const struct session *s) {
    return s->request && (runner__answers(s) || !runner__asks_rows(s->request));
}

static void put_back(struct runner *r, struct session *s, bool first) {
    struct runner_request *request = s->request;
    r->put_back++;
    request->known = s->known;
    if (request->rows_from < s->known) request->rows_from = s->known;
    give_pages_back(r, s);
    s->request = NULL;
    enqueue(r, request, first);
}

static uint32_t running_of(const struct runner *r, uint64_t client) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++)
        count += r->sessions[i].request && r->sessions[i].request->client == client;
    return count;
}

/* The first of those whose clients have the fewest requests running. */
static struct runner_request **next_in_line(struct runner *r, uint32_t *running) {
    struct runner_request **best = NULL;
    uint64_t client = 0;
    uint32_t of_client = running_of(r, client);
    for (struct runner_request **at = &r->queue_first; *at; at = &(*at)->next) {
        if ((*at)->client != client) of_client = running_of(r, client = (*at)->client);
        if (best && of_client >= *running) continue;
        best = at;
        *running = of_client;
        if (of_client == 0) break;
    }
    return best;
}

/* The latest of the client that has the most; *most: how many. */
static struct session *greediest(struct runner *r, uint32_t *most) {
    struct session *found = NULL;
    *most = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        if (!can_be_put_back(s)) continue;
        uint32_t count = running_of(r, s->request->client);
        if (count < *most || (count == *most && found && s->serial < found->serial)) continue;
        *most = count;
        found = s;
    }
    return found;
}

/* Of those whose turn has given something. */
static struct session *longest_running(struct runner *r) {
    struct session *found = NULL;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        bool gave = s->request && s->known >= s->known_before + TURN_TOKENS;
        if (gave && can_be_put_back(s) && (!found || s->serial < found->serial)) found = s;
    }
    return found;
}

/* Make somebody give way to one who waits, whose client has `running` others. */
static bool displace(struct runner *r, const struct runner_request *waits, uint32_t running) {
    uint32_t most;
    struct session *greedy = greediest(r, &most), *longest = longest_running(r);
    if (greedy && most > running + 1) {
        put_back(r, greedy, false);
        return true;
    }
    uint64_t turn = r->options.turn_us;
    bool due = longest && r->now_us >= waits->waiting_since_us + turn && r->now_us >= longest->since_us + turn &&
               r->now_us >= r->turned_us + turn / TURNS_WITHIN;
    if (!due) return false;
    put_back(r, longest, false);
    r->turned_us = r->now_us;
    return true;
}

void runner__take_turns(struct runner *r) {
    uint32_t running = 0;
    for (struct runner_request **at; (at = next_in_line(r, &running)) != NULL;) {
        struct runner_request *request = *at;
        struct session *s = idle_session(r);
        if (s && start(r, s, request))
            dequeue(r, at);
        else if (!displace(r, request, running))
            return;
    }
}

/* ---- when pages run out ---- */

static struct session *youngest(struct runner *r) {
    struct session *found = NULL;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        if (can_be_put_back(s) && (!found || s->serial > found->serial)) found = s;
    }
    return found;
}

static uint32_t pages_needed(const struct runner *r) {
    uint32_t needed = 0;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        const struct session *s = &r->sessions[i];
        bool own_copy = s->part != CACHE_NONE && r->cache.pages[s->part].holders == 1;
        needed += runner__rows_waiting(s) > 0 && runner__needs_page(s) && !own_copy;
    }
    return needed;
}

void runner__find_pages(struct runner *r) {
    for (struct session *s; pages_needed(r) > free_pages(r) && (s = youngest(r)) != NULL;) put_back(r, s, true);
}
