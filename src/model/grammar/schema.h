/* JSON Schema (2020-12, and what 2019-09 and draft 7 write otherwise) to expressions: every text that matches is a JSON
 * text that is valid under the schema.
 *
 * Not every valid text matches: members come in the order of `properties`, then others; objects that name properties
 * are closed unless additionalProperties opens them; a schema without a type takes the one that its keywords are about.
 * What cannot be guaranteed is an error that names the keyword. docs/user/http-api.md has the table. Pure. */
#pragma once
#include <jansson.h>

#include "model/grammar/expr.h"

/* `text` is the schema as JSON. */
struct expr *schema_read(struct expr_builder *b, const char *text, size_t len);
/* `schema` is part of `root`, which references are about. */
struct expr *schema_read_part(struct expr_builder *b, const json_t *root, const json_t *schema);
