#include "model/messages.h"

#include <string.h>

#include "base/text.h"

/* Nesting of arguments is bounded: jansson reads them by recursion, and its own limit is 2048. */
static json_t *arguments_of(const json_t *text) {
    json_t *parsed = json_loadb(json_string_value(text), json_string_length(text), 0, NULL);
    if (json_is_object(parsed)) return parsed;
    json_decref(parsed);
    return NULL;
}

static void parse_arguments(json_t *calls) {
    size_t i;
    json_t *call;
    json_array_foreach(calls, i, call) {
        json_t *function = json_object_get(call, "function");
        const json_t *text = json_object_get(function, "arguments");
        json_t *parsed = json_is_string(text) ? arguments_of(text) : NULL;
        if (parsed) json_object_set_new(function, "arguments", parsed);
    }
}

/* The texts of all parts, one behind the other. */
static json_t *joined(const json_t *parts) {
    struct text all = {0};
    size_t i;
    const json_t *part;
    json_array_foreach(parts, i, part) {
        const json_t *text = json_is_string(part) ? part : json_object_get(part, "text");
        if (json_is_string(text)) text_add(&all, json_string_value(text), json_string_length(text));
    }
    json_t *content = all.failed ? NULL : json_stringn(text_str(&all), all.len);
    text_deinit(&all);
    return content;
}

static int normalise(json_t *message, const struct messages_form *form) {
    const json_t *content = json_object_get(message, "content");
    const char *role = json_string_value(json_object_get(message, "role"));
    int rc = 0;
    if (role && strcmp(role, "developer") == 0 && !form->keep_developer)
        rc = json_object_set_new(message, "role", json_string("system"));
    if (rc == 0 && json_is_array(content))
        rc = json_object_set_new(message, "content", joined(content));
    else if (rc == 0 && !json_is_string(content))
        rc = json_object_set_new(message, "content", json_string(""));
    if (form->parse_arguments) parse_arguments(json_object_get(message, "tool_calls"));
    return rc;
}

json_t *messages_normalise(const json_t *messages, const struct messages_form *form) {
    json_t *copy = json_deep_copy(messages), *message;
    size_t i;
    json_array_foreach(copy, i, message) {
        if (normalise(message, form) == 0) continue;
        json_decref(copy);
        return NULL;
    }
    return copy;
}
