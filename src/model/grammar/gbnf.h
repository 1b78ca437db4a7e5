/* GBNF, llama.cpp's notation for grammars, to expressions.
 *
 * Rules `name ::= ...` of which one is "root"; alternatives |, groups ( ), literals "..." with \n \t \r \\ \" \[ \]
 * \xHH \uHHHH \UHHHHHHHH, classes [a-z] and [^"\\], any character `.`, repetitions * + ? {m} {m,} {m,n}, comments #,
 * tokens
 * <[123]> by number and <text> by their text. An alternative may go on behind a line that ends a rule if it begins with
 * a bar. Format: llama.cpp, grammars/README.md. Pure. */
#pragma once
#include "model/grammar.h"
#include "model/grammar/expr.h"

/* The root of the grammar; its rules are the builder's. Errors name the line. `v` may be NULL: <text> is not looked up.
 */
struct expr *gbnf_read(struct expr_builder *b, const char *text, size_t len, const struct grammar_vocabulary *v);
