/* What the dialects' writers share: JSON into a text. Values are taken. Pure. */
#pragma once
#include <jansson.h>

#include "base/text.h"

/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. New reference. */
json_t *write_string(const char *text);
void write_json(struct text *out, json_t *value);
/* "data: {...}\n\n", a server-sent event. */
void write_event(struct text *out, json_t *value);
/* "{...}\n" */
void write_line(struct text *out, json_t *value);
