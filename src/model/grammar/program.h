/* A grammar as instructions over bytes, each rule a little nondeterministic automaton that may call others.
 *
 * Equal instructions are one, so common endings are shared between rules. Immutable once made. Thompson: "Regular
 * Expression Search Algorithm", 1968, with calls. Pure. */
#pragma once
#include "model/grammar/expr.h"

enum {
    PROGRAM_RETURN_AT = 0,       /* the one RETURN */
    PROGRAM_COUNT_MAX = 1 << 20, /* instructions */
};

enum program_op {
    PROGRAM_RETURN, /* the rule is complete */
    PROGRAM_BYTE,   /* a byte from first to last, then next */
    PROGRAM_SPLIT,  /* next, or other */
    PROGRAM_CALL,   /* the rule `other`, then next */
};

struct program_step {
    uint8_t op, first, last, unused;
    uint32_t next, other;
};

struct program_rule {
    uint32_t start;
    uint32_t rank; /* lower than that of every rule that it may call before a byte is read */
    bool nullable; /* matches the empty text */
};

struct program {
    struct program_step *steps;
    bool *useful; /* [count] whether a text can be completed from there */
    uint32_t count;
    struct program_rule *rules; /* the first is the root */
    uint32_t *by_rank;          /* [rule_count] */
    uint32_t rule_count;
    /* Bytes that no instruction tells apart are of one class. */
    uint8_t class_of[256], class_byte[256]; /* a byte of each class */
    uint32_t class_count;
};

/* From the builder's rules. ERR_INVALID: left recursion, or nothing matches; ERR_LIMIT; ERR_NOMEM. */
int program_init(struct program *p, const struct expr_builder *b, struct error *error);
void program_deinit(struct program *p);
