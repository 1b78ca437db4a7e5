/* Expressions: what a text may be, as a tree of choices, sequences and repetitions, with rules that may name each
 * other.
 *
 * GBNF, patterns and schemas are read into these; program.h turns them into instructions. Everything lives in the
 * builder's arena. Building never fails one by one: when memory or a limit runs out the builder is failed, and what
 * comes back then is an expression that matches nothing; check once at the end. Pure, one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum {
    EXPR_RULES_MAX = 16384,
    EXPR_STATES_MAX = 32768, /* of all STATES together */
    EXPR_ARENA_BYTES_MAX = 96 << 20,
    EXPR_CHAR_MAX = 0x10ffff
};
#define EXPR_UNBOUNDED UINT32_MAX

enum expr_type { EXPR_NEVER, EXPR_BYTES, EXPR_RANGE, EXPR_SEQUENCE, EXPR_CHOICE, EXPR_REPEAT, EXPR_RULE, EXPR_STATES };

/* A byte from `first` to `last` leads to the state `to`. */
struct expr_edge {
    uint32_t to;
    uint8_t first, last;
};

struct expr_state {
    const struct expr_edge *edges;
    uint32_t count; /* of edges */
    bool ends;      /* the text may end here */
};

struct expr {
    enum expr_type type;
    uint32_t min, max; /* RANGE: bytes from min to max; REPEAT: how often; RULE: min is its number */
    size_t count;      /* BYTES: how many; SEQUENCE, CHOICE: of parts; STATES: of states */
    const uint8_t *bytes;
    const struct expr_state *states; /* the first is where it begins */
    struct expr **parts;             /* REPEAT: one */
};

struct expr_rule {
    const char *name;
    struct expr *body; /* NULL: not defined yet */
};

struct expr_builder {
    struct arena arena;
    struct expr_rule *rules; /* the first is the root */
    uint32_t rule_count, rule_capacity;
    uint32_t state_count;      /* of all STATES */
    uint32_t space, character; /* rules that all JSON shares (jtext.h); 0: not there yet */
    bool failed;
    struct error *error; /* filled when it is failed; may be NULL */
};

/* A growing list in the builder's arena. */
struct expr_list {
    struct expr **at;
    size_t count, capacity;
};

/* Code points from `first` to `last`. */
struct expr_chars {
    uint32_t first, last;
};

void expr_builder_init(struct expr_builder *b, struct error *error);
void expr_builder_deinit(struct expr_builder *b);
/* Mark it failed, with the reason if it is the first one. Returns an expression that matches nothing. */
struct expr *expr_fail(struct expr_builder *b, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct expr *expr_never(struct expr_builder *b);
struct expr *expr_empty(struct expr_builder *b);
struct expr *expr_bytes(struct expr_builder *b, const void *data, size_t len); /* copied */
struct expr *expr_text(struct expr_builder *b, const char *text);              /* referenced */
struct expr *expr_range(struct expr_builder *b, uint8_t first, uint8_t last);
/* One code point of the set, in UTF-8. Surrogates are none. */
struct expr *expr_chars(struct expr_builder *b, const struct expr_chars *set, size_t count);
/* The set sorted, without overlaps, or what is not in it, into `out` of at least count + 1. Returns how many. */
size_t expr_chars_sort(struct expr_chars *set, size_t count);
size_t expr_chars_invert(const struct expr_chars *sorted, size_t count, struct expr_chars *out);
struct expr *expr_repeat(struct expr_builder *b, struct expr *e, uint32_t min, uint32_t max);
struct expr *expr_optional(struct expr_builder *b, struct expr *e);
void expr_list_add(struct expr_builder *b, struct expr_list *l, struct expr *e);
struct expr *expr_sequence(struct expr_builder *b, const struct expr_list *l); /* its memory is used */
struct expr *expr_choice(struct expr_builder *b, const struct expr_list *l);
/* An automaton of 1 state or more, copied, whose edges are in the arena. They count against EXPR_STATES_MAX. */
struct expr *expr_states(struct expr_builder *b, const struct expr_state *states, uint32_t count);
struct expr *expr_join(struct expr_builder *b, size_t count, ...); /* a sequence of so many expressions */
struct expr *expr_either(struct expr_builder *b, struct expr *x, struct expr *y);

/* One of the texts, which are sorted here; common beginnings are shared. */
struct expr_word {
    const char *text;
    size_t len;
};
struct expr *expr_words(struct expr_builder *b, struct expr_word *words, size_t count);
void expr_words_sort(struct expr_word *words, size_t count);

uint32_t expr_rule_new(struct expr_builder *b, const char *name); /* the name is referenced */
void expr_rule_set(struct expr_builder *b, uint32_t rule, struct expr *body);
struct expr *expr_rule(struct expr_builder *b, uint32_t rule);
