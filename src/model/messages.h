/* Messages of the OpenAI API in the form that chat templates are written for: plain texts, known roles. Pure. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

struct messages_form {
    bool keep_developer;  /* the template knows that role; it is "system" otherwise */
    bool parse_arguments; /* of tool calls, from JSON text to an object */
};

/* A new array: content parts become one text, null content an empty one. NULL when memory runs out. */
json_t *messages_normalise(const json_t *messages, const struct messages_form *form);
