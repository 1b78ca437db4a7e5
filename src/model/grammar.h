/* Grammars: what a generated text must be, as an automaton that says which tokens may come next.
 *
 * A grammar is compiled from llama.cpp's notation (GBNF), from a JSON Schema, or from tags (below) to one pushdown
 * automaton over bytes. A left-recursive grammar is refused; one that matches nothing is an error. What every accepted
 * text needs is bounded at compile time (states, rules, steps), so hostile input costs a clear error and no time.
 * Tokens are checked by walking a trie of the vocabulary with the automaton; what was found out is kept, so a grammar
 * gets faster while it is used. One thread at a time per grammar and its states; a vocabulary is immutable. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/tokenizer.h"

enum grammar_kind {
    GRAMMAR_NONE,
    GRAMMAR_GBNF,
    GRAMMAR_SCHEMA, /* a JSON Schema as JSON text; which keywords: docs/user/http-api.md */
    GRAMMAR_TAGS,   /* free text with parts that keep to schemas: model/grammar/tags.h has the format */
};

enum { GRAMMAR_TEXT_MAX = 192 * 1024 }; /* bytes of a grammar's text */

/* ---- the vocabulary ---- */

struct grammar_vocabulary;

/* The tokens of a tokenizer, which must outlive it, by their bytes. ERR_NOMEM, ERR_UNSUPPORTED without text. */
int grammar_vocabulary_new(struct grammar_vocabulary **out, const struct tokenizer *t, struct error *error);
void grammar_vocabulary_free(struct grammar_vocabulary *v);

/* ---- grammars ---- */

struct grammar;

/* Compile. `v` (NULL: only to see whether the text is right) must outlive it. ERR_INVALID, ERR_UNSUPPORTED or
 * ERR_LIMIT with a text that says where and what to change. */
int grammar_new(struct grammar **out, enum grammar_kind kind, const char *text, size_t len,
                const struct grammar_vocabulary *v, struct error *error);
void grammar_free(struct grammar *g);           /* no state of it may be used afterwards */
size_t grammar_memory(const struct grammar *g); /* bytes that it holds now */

/* ---- where a text is in its grammar ---- */

struct grammar_state {
    struct grammar *grammar;
    uint32_t at;                        /* the automaton's */
    struct grammar_state *next, **link; /* all states of the grammar */
};

/* At the beginning. The grammar remembers its states: each must be deinit'ed, and may not be copied. */
void grammar_state_init(struct grammar_state *s, struct grammar *g);
void grammar_state_clone(struct grammar_state *s, const struct grammar_state *from);
void grammar_state_deinit(struct grammar_state *s); /* a zeroed one is fine */

/* Set logits of tokens that may not come next to -INFINITY, those of `stops` (which may come if the text may end here)
 * included. ERR_LIMIT: the grammar is too ambiguous; ERR_INVALID: no token of the vocabulary can follow. */
int grammar_mask(struct grammar_state *s, float *logits, size_t vocab, const uint32_t *stops, size_t stop_count,
                 struct error *error);
/* Whether the mask leaves this token; as grammar_mask decides, for one. */
bool grammar_allows(struct grammar_state *s, uint32_t token);
/* Go on behind a token. ERR_INVALID, and the state as it was, if it may not come here; ERR_LIMIT, ERR_NOMEM. */
int grammar_accept(struct grammar_state *s, uint32_t token);
bool grammar_may_end(const struct grammar_state *s);
/* Nothing but the end may follow. */
bool grammar_must_end(const struct grammar_state *s);
