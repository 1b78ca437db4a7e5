/* Values as text: str(), repr(), JSON, and the two ways in which Python fills in formats. */
#pragma once
#include <jansson.h>

#include "model/template/builtin.h"
#include "model/template/value.h"

void value_print(struct builder *b, struct value v); /* str() */
void value_repr(struct builder *b, struct value v);  /* repr() */
const struct string *value_text(struct interp *in, struct value v);
void value_print_float(struct builder *b, double d);

/* A value over a JSON text, whose memory it goes on using. user: its strings are a user's (but for a message's role).
 */
struct value value_from_json(struct interp *in, const json_t *json, bool user);
struct json_style {
    const struct string *indent; /* of one level; NULL: all on one line */
    bool ascii, sort;
    const struct string *item_separator, *key_separator;
};
void value_to_json(struct builder *b, struct value v, const struct json_style *style);

/* `format % args` and format.format(...). */
struct value format_percent(struct interp *in, const struct string *format, struct value args);
struct value format_braces(struct interp *in, const struct string *format, const struct call *call);
/* strftime of an ISO date-time in the C locale. */
const struct string *format_time(struct interp *in, const struct string *format, const char *now);
