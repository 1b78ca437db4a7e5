/* Calls of tools, out of what a model wrote between the marks of its family's syntax. Pure. */
#pragma once
#include <jansson.h>

#include "model/chat_form.h"

/* The calls in `body` (without the marks): array of {"name", "arguments"}, arguments as compact JSON text. `tools`: as
 * OpenAI has them, for the types of arguments that are written as plain text; may be NULL. NULL when it is no call. */
json_t *calls_parse(enum call_body kind, const char *body, size_t len, const json_t *tools);
/* Is there a tool of this name? */
const json_t *calls_find_tool(const json_t *tools, const char *name);
