#include "model/grammar/language.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "model/grammar/jtext.h"
#include "model/grammar/pattern.h"

enum { WORK_MAX = 1 << 25 };

/* ---- one ---- */

/* What the builder's one rule matches. */
static int start(struct language *l, struct expr_builder *b, struct error *error) {
    int code = b->failed ? error->code : program_init(&l->program, b, error);
    if (code == 0 && (code = automaton_init(&l->automaton, &l->program)) != 0) {
        error_set(error, code, "out of memory");
        program_deinit(&l->program);
    }
    l->automaton.work = WORK_MAX;
    expr_builder_deinit(b);
    return code;
}

int language_of_pattern(struct language *l, const char *pattern, size_t len, struct error *error) {
    struct expr_builder b;
    expr_builder_init(&b, error);
    uint32_t root = expr_rule_new(&b, "pattern");
    expr_rule_set(&b, root, pattern_read(&b, pattern, len, 0, EXPR_UNBOUNDED));
    return start(l, &b, error);
}

int language_of_lengths(struct language *l, uint32_t min, uint32_t max, struct error *error) {
    struct expr_builder b;
    expr_builder_init(&b, error);
    uint32_t root = expr_rule_new(&b, "length");
    expr_rule_set(&b, root, jtext_any_chars(&b, min, max));
    return start(l, &b, error);
}

void language_deinit(struct language *l) {
    automaton_deinit(&l->automaton);
    program_deinit(&l->program);
}

/* The place behind a byte; AUTOMATON_UNKNOWN: the work was too much. */
static uint32_t next_place(struct language *l, uint32_t place, uint8_t byte) {
    return automaton_next(&l->automaton, place, l->program.class_of[byte]);
}

static bool stands_for_itself(uint8_t byte) { return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\'; }

enum language_answer language_has(struct language *l, const char *string, size_t len) {
    uint32_t at = automaton_start(&l->automaton);
    for (size_t i = 0; i < len && at > AUTOMATON_DEAD; i++) {
        if (!stands_for_itself((uint8_t)string[i])) return LANGUAGE_UNKNOWN;
        at = next_place(l, at, (uint8_t)string[i]);
    }
    if (at == AUTOMATON_UNKNOWN) return LANGUAGE_UNKNOWN;
    return at != AUTOMATON_DEAD && l->automaton.places[at].ends ? LANGUAGE_HAS : LANGUAGE_HAS_NOT;
}

/* ---- several ---- */

/* A state of the product is a place in each of the languages. */
struct product {
    struct language *all;
    uint32_t count, state_count, state_max;
    uint32_t *places;   /* [state_max + 1][count]; the last one is where a state is put together */
    struct map numbers; /* places of a state -> its number */
    struct expr_state *states;
    bool begins[257]; /* bytes that some language tells from the one before */
    bool failed;
};

static uint32_t *places_of(const struct product *p, uint32_t state) { return p->places + (size_t)state * p->count; }

/* The number of the state whose places were put behind the last one. */
static uint32_t number_state(struct product *p) {
    const char *key = (const char *)places_of(p, p->state_count);
    size_t len = p->count * sizeof *p->places;
    uint64_t number;
    if (map_get(&p->numbers, key, len, &number)) return (uint32_t)number;
    p->failed = p->state_count == p->state_max || map_set(&p->numbers, key, len, p->state_count) != 0;
    return p->failed ? 0 : p->state_count++;
}

/* False: no text goes on so. */
static bool next_state(struct product *p, uint32_t state, uint8_t byte, uint32_t *to) {
    uint32_t *behind = places_of(p, p->state_count);
    for (uint32_t i = 0; i < p->count && !p->failed; i++) {
        behind[i] = next_place(&p->all[i], places_of(p, state)[i], byte);
        if (behind[i] == AUTOMATON_DEAD) return false;
        p->failed = behind[i] == AUTOMATON_UNKNOWN;
    }
    if (!p->failed) *to = number_state(p);
    return !p->failed;
}

static bool ends(const struct product *p, uint32_t state) {
    for (uint32_t i = 0; i < p->count; i++)
        if (!p->all[i].automaton.places[places_of(p, state)[i]].ends) return false;
    return true;
}

static void add_edges(struct product *p, uint32_t state, struct arena *arena) {
    struct expr_edge edges[256];
    uint32_t count = 0, to;
    for (uint32_t first = 0, last; first < 256 && !p->failed; first = last + 1) {
        for (last = first; !p->begins[last + 1]; last++) {}
        if (!next_state(p, state, (uint8_t)first, &to)) continue;
        if (count > 0 && edges[count - 1].to == to && edges[count - 1].last + 1u == first)
            edges[count - 1].last = (uint8_t)last;
        else
            edges[count++] = (struct expr_edge){to, (uint8_t)first, (uint8_t)last};
    }
    struct expr_edge *kept = arena_array(arena, count + 1, sizeof *kept);
    p->failed = p->failed || kept == NULL;
    if (p->failed) return;
    memcpy(kept, edges, count * sizeof *kept);
    p->states[state] = (struct expr_state){kept, count, ends(p, state)};
}

static void begin(struct product *p) {
    p->begins[256] = true;
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t byte = 1; byte < 256; byte++)
            if (p->all[i].program.class_of[byte] != p->all[i].program.class_of[byte - 1]) p->begins[byte] = true;
        places_of(p, 0)[i] = automaton_start(&p->all[i].automaton);
        p->failed = p->failed || p->all[i].automaton.code != 0;
    }
    if (!p->failed) number_state(p);
}

struct expr *language_meet(struct expr_builder *b, struct language *all, uint32_t count) {
    struct product p = {.all = all, .count = count, .state_max = EXPR_STATES_MAX - b->state_count};
    struct expr *met = NULL;
    bool some = false;
    p.places = calloc((size_t)p.state_max + 1, count * sizeof *p.places);
    p.states = calloc((size_t)p.state_max + 1, sizeof *p.states);
    p.failed = p.places == NULL || p.states == NULL;
    if (!p.failed) begin(&p);
    for (uint32_t i = 0; i < p.state_count && !p.failed; i++) {
        add_edges(&p, i, &b->arena);
        some = some || p.states[i].ends;
    }
    if (!p.failed) met = some ? expr_states(b, p.states, p.state_count) : expr_never(b);
    map_deinit(&p.numbers);
    free(p.states);
    free(p.places);
    return met;
}
