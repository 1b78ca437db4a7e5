#include "model/grammar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/grammar/gbnf.h"
#include "model/grammar/mask.h"
#include "model/grammar/schema.h"
#include "model/grammar/tags.h"

enum { MEMORY_MAX = 16 << 20, WORK_MAX = 1 << 25 };

struct grammar {
    struct program program;
    struct automaton automaton;
    struct masks masks;
    const struct grammar_vocabulary *vocabulary;
    uint32_t start;
    struct grammar_state *states; /* all that are somewhere in it */
    float *kept;                  /* scratch: logits of a short list of tokens */
};

/* ---- compiling ---- */

static struct expr *read_text(struct expr_builder *b, enum grammar_kind kind, const char *text, size_t len,
                              const struct grammar_vocabulary *v) {
    switch (kind) {
    case GRAMMAR_GBNF: return gbnf_read(b, text, len, v);
    case GRAMMAR_SCHEMA: return schema_read(b, text, len);
    case GRAMMAR_TAGS: return tags_read(b, text, len, v);
    case GRAMMAR_NONE: break;
    }
    return expr_fail(b, ERR_INVALID, "there is no such kind of grammar");
}

static int compile(struct program *p, enum grammar_kind kind, const char *text, size_t len,
                   const struct grammar_vocabulary *v, struct error *error) {
    struct expr_builder b;
    struct error why = {0};
    if (len > GRAMMAR_TEXT_MAX)
        return error_set(error, ERR_LIMIT, "it has %zu bytes, more than %d", len, GRAMMAR_TEXT_MAX);
    expr_builder_init(&b, &why);
    uint32_t root = expr_rule_new(&b, "root");
    expr_rule_set(&b, root, read_text(&b, kind, text, len, v));
    if (!b.failed) program_init(p, &b, &why);
    expr_builder_deinit(&b);
    return why.code ? error_set(error, why.code, "%s", why.text) : 0;
}

static int start(struct grammar *g, const struct grammar_vocabulary *v) {
    int code = automaton_init(&g->automaton, &g->program);
    if (code) return code;
    g->automaton.work = WORK_MAX;
    g->start = automaton_start(&g->automaton);
    if (g->automaton.code || v == NULL) return g->automaton.code;
    g->kept = malloc((v->token_count / 32 + 2) * sizeof *g->kept);
    return g->kept ? masks_init(&g->masks, &g->automaton, v) : ERR_NOMEM;
}

int grammar_new(struct grammar **out, enum grammar_kind kind, const char *text, size_t len,
                const struct grammar_vocabulary *v, struct error *error) {
    struct grammar *g = calloc(1, sizeof *g);
    if (g == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    g->vocabulary = v;
    int code = compile(&g->program, kind, text, len, v, error);
    if (code == 0 && (code = start(g, v)) != 0)
        error_set(error, code, code == ERR_LIMIT ? "the grammar is too complex" : "out of memory");
    if (code) {
        grammar_free(g);
        return code;
    }
    *out = g;
    return 0;
}

void grammar_free(struct grammar *g) {
    if (g == NULL) return;
    if (g->masks.automaton) masks_deinit(&g->masks);
    if (g->automaton.program) automaton_deinit(&g->automaton);
    program_deinit(&g->program);
    free(g->kept);
    free(g);
}

size_t grammar_memory(const struct grammar *g) {
    return g->program.count * sizeof *g->program.steps + g->automaton.bytes + g->masks.bytes;
}

/* ---- states ---- */

static void link_state(struct grammar_state *s, struct grammar *g, uint32_t at) {
    *s = (struct grammar_state){.grammar = g, .at = at, .next = g->states, .link = &g->states};
    if (g->states) g->states->link = &s->next;
    g->states = s;
}

void grammar_state_init(struct grammar_state *s, struct grammar *g) { link_state(s, g, g->start); }

void grammar_state_clone(struct grammar_state *s, const struct grammar_state *from) {
    link_state(s, from->grammar, from->at);
}

void grammar_state_deinit(struct grammar_state *s) {
    if (s->grammar == NULL) return;
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    *s = (struct grammar_state){0};
}

bool grammar_may_end(const struct grammar_state *s) { return s->grammar->automaton.places[s->at].ends; }

bool grammar_must_end(const struct grammar_state *s) {
    const struct automaton_place *p = &s->grammar->automaton.places[s->at];
    return p->ends && p->count == 0;
}

/* ---- tokens ---- */

/* Too much is known: go on with nothing but where the states are. */
static void forget(struct grammar *g) {
    size_t count = 1, i = 0;
    for (struct grammar_state *s = g->states; s; s = s->next) count++;
    uint32_t **places = malloc(count * sizeof *places);
    if (places == NULL) return;
    places[i++] = &g->start;
    for (struct grammar_state *s = g->states; s; s = s->next) places[i++] = &s->at;
    masks_forget(&g->masks);
    (void)automaton_keep(&g->automaton, places, count); /* without memory it stays as it is */
    free(places);
}

static void prepare(struct grammar *g) {
    if (grammar_memory(g) > MEMORY_MAX + g->program.count * sizeof *g->program.steps) forget(g);
    g->automaton.work = WORK_MAX;
    g->automaton.code = 0;
}

static int failure(const struct grammar *g, struct error *error) {
    if (g->automaton.code == ERR_NOMEM) return error_set(error, ERR_NOMEM, "no memory for the grammar");
    return error_set(error, ERR_LIMIT, "the grammar is too ambiguous: too many ways to read the text so far");
}

static void mask_ids(const struct grammar *g, const struct mask_set *set, float *logits, size_t vocab) {
    for (uint32_t i = 0; i < set->count; i++) g->kept[i] = set->ids[i] < vocab ? logits[set->ids[i]] : 0;
    for (size_t i = 0; i < vocab; i++) logits[i] = -INFINITY;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->ids[i] < vocab) logits[set->ids[i]] = g->kept[i];
}

/* Four logits at a time: as they are, or -INFINITY, whose bits are these. */
static void mask_four(float *logits, uint32_t bits) {
    static const uint32_t minus_infinity = 0xff800000;
#define KEEP(n)                                                                                                        \
    { (n) & 1 ? UINT32_MAX : 0, (n)&2 ? UINT32_MAX : 0, (n)&4 ? UINT32_MAX : 0, (n)&8 ? UINT32_MAX : 0 }
    static const uint32_t keep[16][4] = {KEEP(0), KEEP(1), KEEP(2),  KEEP(3),  KEEP(4),  KEEP(5),  KEEP(6),  KEEP(7),
                                         KEEP(8), KEEP(9), KEEP(10), KEEP(11), KEEP(12), KEEP(13), KEEP(14), KEEP(15)};
#undef KEEP
    uint32_t values[4];
    memcpy(values, logits, sizeof values);
    for (int i = 0; i < 4; i++) values[i] = (values[i] & keep[bits][i]) | (minus_infinity & ~keep[bits][i]);
    memcpy(logits, values, sizeof values);
}

static void mask_word(uint64_t bits, float *logits, size_t count) {
    if (bits == UINT64_MAX) return;
    if (count == 64 && bits != 0) {
        for (size_t i = 0; i < 64; i += 4) mask_four(logits + i, bits >> i & 15);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!(bits >> i & 1)) logits[i] = -INFINITY;
}

static void mask_bits(const struct mask_set *set, uint32_t words, float *logits, size_t vocab) {
    for (uint32_t w = 0; w < words && w * 64 < vocab; w++)
        mask_word(set->bits[w], logits + w * 64, vocab - w * 64 < 64 ? vocab - w * 64 : 64);
    for (size_t i = (size_t)words * 64; i < vocab; i++) logits[i] = -INFINITY;
}

enum { STOPS_MAX = 64 };

int grammar_mask(struct grammar_state *s, float *logits, size_t vocab, const uint32_t *stops, size_t stop_count,
                 struct error *error) {
    struct grammar *g = s->grammar;
    float kept[STOPS_MAX];
    prepare(g);
    const struct mask_set *set = masks_of(&g->masks, s->at);
    if (set == NULL) return failure(g, error);
    bool may_end = grammar_may_end(s);
    if (stop_count > STOPS_MAX) stop_count = STOPS_MAX;
    for (size_t i = 0; i < stop_count; i++) kept[i] = may_end && stops[i] < vocab ? logits[stops[i]] : -INFINITY;
    if (set->count == 0 && (!may_end || stop_count == 0))
        return error_set(error, ERR_INVALID, "no token of the vocabulary can follow the text so far in the grammar");
    if (set->ids)
        mask_ids(g, set, logits, vocab);
    else
        mask_bits(set, g->masks.words, logits, vocab);
    for (size_t i = 0; i < stop_count; i++)
        if (stops[i] < vocab) logits[stops[i]] = kept[i];
    return 0;
}

bool grammar_allows(struct grammar_state *s, uint32_t token) {
    struct grammar *g = s->grammar;
    if (token >= g->vocabulary->token_count) return false;
    prepare(g);
    const struct mask_set *set = masks_of(&g->masks, s->at);
    return set && mask_set_has(set, token);
}

int grammar_accept(struct grammar_state *s, uint32_t token) {
    struct grammar *g = s->grammar;
    const struct grammar_vocabulary *v = g->vocabulary;
    if (token >= v->token_count || v->begin[token] == v->begin[token + 1]) return ERR_INVALID;
    prepare(g);
    uint32_t at = s->at;
    for (uint32_t i = v->begin[token]; i < v->begin[token + 1]; i++) {
        at = automaton_next(&g->automaton, at, g->program.class_of[v->bytes[i]]);
        if (g->automaton.code) return g->automaton.code;
        if (at == AUTOMATON_DEAD) return ERR_INVALID;
    }
    s->at = at;
    return 0;
}
