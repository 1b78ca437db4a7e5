/* Cuts text into words by regular expressions, as many of them as pre-tokenizers need.
 *
 * Expressions are applied one after the other, each to the pieces that the ones before it left; what matches is a
 * piece, and so is what lies between two matches. They know characters, sets `[...]` with ranges, negation and one
 * subtraction
 * `[...&&[^...]]`, `\s \S \d \p{L} \p{Lu}` and kin, the quantifiers `? * + {n} {m,n}` (greedy), alternatives (the first
 * that matches), `$`, look-ahead `(?=x)` and `(?!x)` for one set, and groups at the end of a sequence, whose
 * repetition is possessive. Instead of an expression there may be SPLITTER_THREES or _THREES_BEHIND.
 *
 * Why not a library: one bit per set and character makes a step one table look-up, the Unicode data is utf8proc's on
 * every system, whatever stands in the text takes neither stack nor more than linear time for these expressions.
 * Immutable once made: any thread. */
#pragma once
#include <stddef.h>

struct splitter;

#define SPLITTER_THREES        "@threes"        /* cuts in front of each three of ASCII digits, counted from the end */
#define SPLITTER_THREES_BEHIND "@threes-behind" /* cuts behind each three of numbers, and behind the first ones left   \
                                                 */

/* `expressions`: ended by NULL, correct (they are the program's own). NULL: no memory. */
struct splitter *splitter_new(const char *const *expressions);
void splitter_free(struct splitter *s); /* NULL is fine */

typedef int splitter_word(void *context, const char *word, size_t len);
/* Calls `word` for each piece of well-formed UTF-8, in order. A result other than 0 ends it and is returned. */
int splitter_run(const struct splitter *s, const char *text, size_t len, splitter_word *word, void *context);
