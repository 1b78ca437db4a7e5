/* The grammars that a model's requests keep to: compiled once, kept while they are used and a while longer.
 *
 * What a grammar has learnt of its masks serves the next request with the same text. The vocabulary is read when the
 * first request with a grammar comes. One thread, the worker's. */
#pragma once
#include "model/grammar.h"

enum { CONSTRAINTS_KEPT_MAX = 8 }; /* compiled grammars that no request uses */

struct constraint; /* a compiled grammar and its text */

struct constraints {
    const struct tokenizer *tokenizer; /* NULL: a model without text */
    struct grammar_vocabulary *vocabulary;
    struct constraint *list; /* the latest one first */
};

void constraints_deinit(struct constraints *c); /* no state may be in use */
/* A state at the beginning of a text of this grammar, after the tokens that were generated already. ERR_INVALID,
 * ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM with the reason. */
int constraints_begin(struct constraints *c, enum grammar_kind kind, const char *text, size_t len,
                      const uint32_t *generated, size_t count, struct grammar_state *out, struct error *error);
void constraints_end(struct constraints *c, struct grammar_state *s); /* a zeroed one is fine */
