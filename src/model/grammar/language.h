/* Languages: what the inside of a JSON string may be by one pattern or by its length, as a deterministic automaton that
 * is made as it is used; and what it may be by several at once, as one expression.
 *
 * The product of automata is that of Rabin and Scott ("Finite Automata and Their Decision Problems", 1959). It is
 * exact, and as large as it has to be up to EXPR_STATES_MAX. Pure, one thread. */
#pragma once
#include "model/grammar/automaton.h"

enum { LANGUAGES_MAX = 16 }; /* that may meet */

struct language {
    struct program program;
    struct automaton automaton; /* of this program: a language stays where it is */
};

/* Of one pattern (see pattern.h); of any text of min to max characters. ERR_INVALID: nothing is in it; ERR_UNSUPPORTED,
 * ERR_LIMIT or ERR_NOMEM, with a text in `error`, which is not NULL. What failed needs no deinit. */
int language_of_pattern(struct language *l, const char *pattern, size_t len, struct error *error);
int language_of_lengths(struct language *l, uint32_t min, uint32_t max, struct error *error);
void language_deinit(struct language *l);

enum language_answer { LANGUAGE_HAS_NOT, LANGUAGE_HAS, LANGUAGE_UNKNOWN };
/* Whether a string is in it. Unknown: it is told only behind a character that is not ASCII or that JSON escapes, of
 * which patterns are read too narrowly; or the work was too much. */
enum language_answer language_has(struct language *l, const char *string, size_t len);

/* What is in all of them. An expression that matches nothing if there is no such text; NULL: it takes more states than
 * the builder may still have. */
struct expr *language_meet(struct expr_builder *b, struct language *all, uint32_t count);
