#include "api/calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"

struct span {
    const char *at;
    size_t len;
};

static const char space[] = " \t\r\n";

static struct span trimmed(struct span s) {
    while (s.len > 0 && strchr(space, s.at[0])) s.at++, s.len--;
    while (s.len > 0 && s.at[s.len - 1] && strchr(space, s.at[s.len - 1])) s.len--;
    return s;
}

/* What stands before the mark; `rest` is what is behind it. Without the mark: all of it, and no rest. */
static struct span before(struct span s, const char *mark, struct span *rest) {
    const char *found = s.len > 0 ? memmem(s.at, s.len, mark, strlen(mark)) : NULL;
    if (found == NULL) {
        *rest = (struct span){s.at + s.len, 0};
        return s;
    }
    size_t len = (size_t)(found - s.at), skip = len + strlen(mark);
    *rest = (struct span){s.at + skip, s.len - skip};
    return (struct span){s.at, len};
}

static bool holds(struct span s, const char *mark) { return s.len > 0 && memmem(s.at, s.len, mark, strlen(mark)); }

/* Nesting of what a model writes is bounded as that of what a client sends. */
static json_t *load(struct span s, size_t flags) { return json_loadb(s.at, s.len, flags, NULL); }

const json_t *calls_find_tool(const json_t *tools, const char *name) {
    size_t i;
    const json_t *tool;
    json_array_foreach(tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        const char *its = json_string_value(json_object_get(function, "name"));
        if (its && name && strcmp(its, name) == 0) return function;
    }
    return NULL;
}

static bool add_call(json_t *calls, const char *name, size_t len, json_t *arguments) {
    char *text = json_is_string(arguments) ? strdup(json_string_value(arguments))
                                           : json_dumps(arguments, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(arguments);
    if (text && len > 0) json_array_append_new(calls, json_pack("{s:s%, s:s}", "name", name, len, "arguments", text));
    free(text);
    return text && len > 0;
}

/* ---- JSON that holds name and arguments ---- */

static const json_t *first_of(const json_t *object, const char *const *keys) {
    const json_t *found = NULL;
    for (; *keys && found == NULL; keys++) found = json_object_get(object, *keys);
    return found;
}

static bool add_object(json_t *calls, const json_t *object) {
    static const char *const names[] = {"name", "tool_name", NULL};
    static const char *const arguments[] = {"arguments", "parameters", NULL};
    const json_t *inner = json_object_get(object, "function");
    if (json_is_object(inner)) object = inner;
    const json_t *name = first_of(object, names), *given = first_of(object, arguments);
    if (!json_is_string(name)) return false;
    return add_call(calls, json_string_value(name), json_string_length(name),
                    given ? json_deep_copy(given) : json_object());
}

static bool add_value(json_t *calls, const json_t *value) {
    size_t i;
    const json_t *item;
    bool good = !json_is_array(value) || json_array_size(value) > 0;
    if (!json_is_array(value)) return add_object(calls, value);
    json_array_foreach(value, i, item) good = good && add_object(calls, item);
    return good;
}

/* How long the JSON value is that begins here; 0: it does not end. */
static size_t value_length(struct span s) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* One value after another; a fence around them, or a mark between, is passed over. */
static bool parse_values(json_t *calls, struct span s) {
    static const char *const passed[] = {"```json", "```", "<|python_tag|>", ";", ","};
    while ((s = trimmed(s)).len > 0) {
        size_t skip = 0;
        for (size_t i = 0; i < ARRAY_LEN(passed) && skip == 0; i++) {
            size_t len = strlen(passed[i]);
            if (s.len >= len && memcmp(s.at, passed[i], len) == 0) skip = len;
        }
        size_t len = skip ? skip : s.at[0] == '{' || s.at[0] == '[' ? value_length(s) : 0;
        if (len == 0) return false;
        json_t *value = skip ? NULL : load((struct span){s.at, len}, 0);
        if (!skip && (value == NULL || !add_value(calls, value))) {
            json_decref(value);
            return false;
        }
        json_decref(value);
        s = (struct span){s.at + len, s.len - len};
    }
    return true;
}

/* ---- a name, a mark, and JSON ---- */

/* The name in what stands before the arguments: "function<sep>NAME\n```json\n", "functions.NAME:0<mark>", "NAME". */
static struct span name_of(struct span head) {
    static const char *const behind[] = {
        "<｜tool▁sep｜>", "<|tool_call_argument_begin|>", "[ARGS]", "[CALL_ID]", "\n", ":"};
    struct span rest, name = before(head, "function<｜tool▁sep｜>", &rest);
    if (name.len == 0 && rest.len > 0) head = rest;
    head = trimmed(head);
    for (size_t i = 0; i < ARRAY_LEN(behind); i++) head = before(head, behind[i], &rest);
    static const char prefix[] = "functions.";
    size_t skip = head.len > strlen(prefix) && memcmp(head.at, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    return trimmed((struct span){head.at + skip, head.len - skip});
}

/* Without the marks that stand between calls. */
static struct span skip_marks(struct span s) {
    static const char *const marks[] = {"<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<|tool_call_begin|>",
                                        "<|tool_call_end|>", "```"};
    for (size_t i = 0; i < ARRAY_LEN(marks);) {
        size_t len = strlen(marks[i]);
        s = trimmed(s);
        bool here = s.len >= len && memcmp(s.at, marks[i], len) == 0;
        if (here) s = (struct span){s.at + len, s.len - len};
        i = here ? 0 : i + 1;
    }
    return s;
}

static bool parse_named(json_t *calls, struct span s) {
    for (s = skip_marks(s); s.len > 0;) {
        struct span unused, head = before(s, "{", &unused), name = name_of(head);
        struct span body = {s.at + head.len, s.len - head.len};
        size_t len = value_length(body);
        json_t *arguments = len > 0 ? load((struct span){body.at, len}, 0) : NULL;
        if (arguments == NULL || !add_call(calls, name.at, name.len, arguments)) return false;
        s = skip_marks((struct span){body.at + len, body.len - len});
    }
    return true;
}

/* ---- values as plain text ---- */

/* A value as its tool declares it: text where text is wanted, else JSON if it is that. */
static json_t *typed(struct span value, const json_t *function, const char *key) {
    const json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    const json_t *type = json_object_get(json_object_get(properties, key), "type");
    bool text = json_is_string(type) && strcmp(json_string_value(type), "string") == 0;
    json_t *parsed = text ? NULL : load(trimmed(value), JSON_DECODE_ANY);
    return parsed ? parsed : json_stringn(value.at, value.len);
}

/* Without the line breaks that stand around it. */
static struct span unwrapped(struct span s) {
    if (s.len > 0 && s.at[0] == '\n') s.at++, s.len--;
    if (s.len > 0 && s.at[s.len - 1] == '\n') s.len--;
    return s;
}

static void set_argument(json_t *arguments, struct span key, struct span value, const json_t *function) {
    char *name = strndup(key.at, key.len);
    if (name) json_object_set_new(arguments, name, typed(value, function, name));
    free(name);
}

static const json_t *tool_of(struct span name, const json_t *tools) {
    char *text = strndup(name.at, name.len);
    const json_t *tool = calls_find_tool(tools, text);
    free(text);
    return tool;
}

static bool parse_functions(json_t *calls, struct span s, const json_t *tools) {
    bool any = false;
    while (holds(s, "<function=")) {
        struct span inside, parameter, unused;
        (void)before(s, "<function=", &s);
        inside = before(s, "</function>", &s);
        struct span name = trimmed(before(inside, ">", &inside));
        const json_t *tool = tool_of(name, tools);
        json_t *arguments = json_object();
        while (holds(inside, "<parameter=")) {
            (void)before(inside, "<parameter=", &inside);
            parameter = before(inside, "</parameter>", &inside);
            struct span key = before(parameter, ">", &unused);
            set_argument(arguments, key, unwrapped(unused), tool);
        }
        if (!add_call(calls, name.at, name.len, arguments)) return false;
        any = true;
    }
    return any;
}

static bool parse_arg_keys(json_t *calls, struct span s, const json_t *tools) {
    struct span rest, name = before(s, "<arg_key>", &rest);
    json_t *arguments = json_object();
    name = trimmed(name);
    const json_t *tool = tool_of(name, tools);
    while (holds(s, "<arg_key>")) {
        (void)before(s, "<arg_key>", &s);
        struct span key = before(s, "</arg_key>", &s);
        (void)before(s, "<arg_value>", &s);
        set_argument(arguments, key, before(s, "</arg_value>", &s), tool);
    }
    return add_call(calls, name.at, name.len, arguments);
}

json_t *calls_parse(enum call_body kind, const char *body, size_t len, const json_t *tools) {
    json_t *calls = json_array();
    struct span s = {body, len};
    bool good = false;
    switch (kind) {
    case CALL_JSON: good = parse_values(calls, s); break;
    case CALL_CHANNEL:
    case CALL_NAMED_JSON: good = parse_named(calls, s); break;
    case CALL_FUNCTION: good = parse_functions(calls, s, tools); break;
    case CALL_ARG_KEYS: good = parse_arg_keys(calls, s, tools); break;
    }
    if (good && json_array_size(calls) > 0) return calls;
    json_decref(calls);
    return NULL;
}
