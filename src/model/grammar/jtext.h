/* The pieces of JSON text as expressions: strings, numbers, white space, any value. RFC 8259.
 *
 * White space is bounded, since a model could write it for ever: nothing, one space, or a line end and up to
 * JSON_INDENT_MAX blanks. Numbers have at most 16 digits before and behind the point, exponents two. Strings hold no
 * lone surrogates and no NUL. Pure. */
#pragma once
#include <jansson.h>

#include "model/grammar/expr.h"

enum { JSON_INDENT_MAX = 32 };

/* The rules that all values share, made when they are first asked for. 0: not yet (the root is nobody's part). */
struct jtext_rules {
    uint32_t value, object, array, string, number, integer;
};

struct expr *jtext_space(struct expr_builder *b);
/* One character of the set inside a string, as it is usually written: as it is, or escaped if it must be. */
struct expr *jtext_chars(struct expr_builder *b, const struct expr_chars *set, size_t count);
/* Any character inside a string, in any spelling. */
struct expr *jtext_any_char(struct expr_builder *b);
/* So many of them. */
struct expr *jtext_any_chars(struct expr_builder *b, uint32_t min, uint32_t max);
/* `inside` between quotes. */
struct expr *jtext_quoted(struct expr_builder *b, struct expr *inside);
struct expr *jtext_string(struct expr_builder *b, struct jtext_rules *r);
struct expr *jtext_number(struct expr_builder *b, struct jtext_rules *r);
struct expr *jtext_integer(struct expr_builder *b, struct jtext_rules *r);
struct expr *jtext_any_object(struct expr_builder *b, struct jtext_rules *r);
struct expr *jtext_any_array(struct expr_builder *b, struct jtext_rules *r);
struct expr *jtext_any(struct expr_builder *b, struct jtext_rules *r);
/* This value, with the white space that a model may put into it. */
struct expr *jtext_literal(struct expr_builder *b, const json_t *value);
/* "NAME" : value */
struct expr *jtext_member(struct expr_builder *b, struct expr *name, struct expr *value);
struct expr *jtext_name(struct expr_builder *b, const char *name, size_t len);
/* `open`, items that bring their commas, `close`, and white space between. */
struct expr *jtext_enclosed(struct expr_builder *b, const char *open, struct expr *inside, const char *close);
struct expr *jtext_comma(struct expr_builder *b, struct expr *item); /* a comma before it */
