#include "api/anthropic/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/messages.h"
#include "api/tools.h"

static bool is_type(const json_t *block, const char *type) {
    const json_t *its = json_object_get(block, "type");
    return json_is_string(its) && strcmp(json_string_value(its), type) == 0;
}

static void append_text(struct text *out, const json_t *text) {
    if (json_is_string(text)) text_add(out, json_string_value(text), json_string_length(text));
}

/* A text, or the texts of an array of blocks. */
static void append_content(struct text *out, const json_t *content) {
    size_t i;
    const json_t *block;
    append_text(out, content);
    json_array_foreach(content, i, block) append_text(out, json_object_get(block, "text"));
}

static json_t *take_text(struct text *text) {
    json_t *string = json_stringn(text_str(text), text->len);
    text_deinit(text);
    return string;
}

/* ---- blocks of a message ---- */

/* What an assistant's or user's blocks come to. */
struct turn {
    struct text text, thoughts;
    json_t *calls;   /* array, owned */
    json_t *results; /* messages of role "tool", owned */
};

static void add_call(struct turn *t, const json_t *block) {
    const json_t *input = json_object_get(block, "input");
    char *arguments = json_dumps(input, JSON_COMPACT);
    json_array_append_new(t->calls, json_pack("{s:O*, s:s, s:{s:O, s:s}}", "id", json_object_get(block, "id"), "type",
                                              "function", "function", "name", json_object_get(block, "name"),
                                              "arguments", arguments ? arguments : "{}"));
    free(arguments);
}

static void add_result(struct turn *t, const json_t *block) {
    struct text text = {0};
    append_content(&text, json_object_get(block, "content"));
    json_array_append_new(t->results, json_pack("{s:s, s:O*, s:o}", "role", "tool", "tool_call_id",
                                                json_object_get(block, "tool_use_id"), "content", take_text(&text)));
}

static int take_block(struct turn *t, const json_t *block, const char *param, struct api_error *e) {
    if (is_type(block, "text") && json_is_string(json_object_get(block, "text")))
        append_text(&t->text, json_object_get(block, "text"));
    else if (is_type(block, "thinking"))
        append_text(&t->thoughts, json_object_get(block, "thinking"));
    else if (is_type(block, "tool_use") && json_is_string(json_object_get(block, "name")))
        add_call(t, block);
    else if (is_type(block, "tool_result"))
        add_result(t, block);
    else if (is_type(block, "image") || is_type(block, "document"))
        return body_wrong(e, param, "holds an image or document: not supported yet");
    else if (!is_type(block, "redacted_thinking"))
        return body_wrong(e, param, "must be a text or blocks of type text, thinking, tool_use or tool_result");
    return 0;
}

static int take_blocks(struct turn *t, const json_t *content, const char *param, struct api_error *e) {
    size_t i;
    const json_t *block;
    if (json_is_string(content)) {
        append_text(&t->text, content);
        return 0;
    }
    if (!json_is_array(content)) return body_wrong(e, param, "must be a text or an array of blocks");
    json_array_foreach(content, i, block) {
        int status = take_block(t, block, param, e);
        if (status) return status;
    }
    return 0;
}

/* Results of tools come before what the user says to them. */
static void give_turn(struct turn *t, const char *role, json_t *messages) {
    bool calls = json_array_size(t->calls) > 0, results = json_array_size(t->results) > 0;
    json_array_extend(messages, t->results);
    if (t->text.len > 0 || t->thoughts.len > 0 || calls || !results) {
        json_t *message = json_pack("{s:s, s:s%}", "role", role, "content", text_str(&t->text), t->text.len);
        if (t->thoughts.len > 0)
            json_object_set_new(message, "reasoning_content", json_stringn(text_str(&t->thoughts), t->thoughts.len));
        if (calls) json_object_set(message, "tool_calls", t->calls);
        json_array_append_new(messages, message);
    }
    text_deinit(&t->text);
    text_deinit(&t->thoughts);
    json_decref(t->calls);
    json_decref(t->results);
}

static int read_message(const json_t *message, size_t i, json_t *messages, struct api_error *e) {
    char param[64];
    const char *role = json_string_value(json_object_get(message, "role"));
    struct turn turn = {.calls = json_array(), .results = json_array()};
    snprintf(param, sizeof param, "messages[%zu].role", i);
    bool known = role && (strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0 || strcmp(role, "system") == 0);
    int status = known ? 0 : body_wrong(e, param, "must be user or assistant");
    snprintf(param, sizeof param, "messages[%zu].content", i);
    if (status == 0) status = take_blocks(&turn, json_object_get(message, "content"), param, e);
    give_turn(&turn, role ? role : "", messages);
    return status;
}

static int read_system(const json_t *system, json_t *messages, struct api_error *e) {
    struct text text = {0};
    if (system == NULL) return 0;
    if (!json_is_string(system) && !json_is_array(system))
        return body_wrong(e, "system", "must be a text or an array of text blocks");
    append_content(&text, system);
    json_array_append_new(messages, json_pack("{s:s, s:o}", "role", "system", "content", take_text(&text)));
    return 0;
}

static int read_messages(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "messages"), *message;
    json_t *messages = (json_t *)(uintptr_t)body_make(job, "messages", json_array());
    size_t i;
    if (json_array_size(given) == 0) return body_wrong(e, "messages", "must be an array of at least one message");
    int status = read_system(body_get(job->body, "system"), messages, e);
    json_array_foreach(given, i, message) {
        if (status) return status;
        status = read_message(message, i, messages, e);
    }
    job->messages = messages;
    job->continues = messages_are_open(messages);
    return status;
}

/* ---- tools ---- */

static int read_tools(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "tools"), *tool;
    json_t *tools = json_array();
    size_t i;
    char param[64];
    int status = given && !json_is_array(given) ? body_wrong(e, "tools", "must be an array") : 0;
    json_array_foreach(given, i, tool) {
        const json_t *name = json_object_get(tool, "name"), *type = body_get(tool, "type");
        snprintf(param, sizeof param, "tools[%zu]", i);
        bool ours = type == NULL || is_type(tool, "custom");
        if (status == 0 && !ours)
            status = body_wrong(e, param, "is a tool of Anthropic's servers: only custom ones work");
        json_array_append_new(tools, json_pack("{s:s, s:{s:O*, s:O*, s:O*}}", "type", "function", "function", "name",
                                               name, "description", body_get(tool, "description"), "parameters",
                                               body_get(tool, "input_schema")));
    }
    const json_t *made = body_make(job, "tools", json_pack("{s:o}", "tools", tools));
    return status ? status : tools_read(job, made, e);
}

static int read_choice(struct api_job *job, struct api_error *e) {
    const json_t *choice = body_get(job->body, "tool_choice");
    bool one = false;
    if (choice == NULL) return 0;
    int status = body_bool(choice, "disable_parallel_tool_use", &one, e);
    if (status) return status;
    job->one_call = one;
    if (is_type(choice, "auto") || is_type(choice, "none"))
        return tools_choose(job, json_string_value(json_object_get(choice, "type")), NULL, "tool_choice", e);
    if (is_type(choice, "any")) return tools_choose(job, "required", NULL, "tool_choice", e);
    const char *name = json_string_value(json_object_get(choice, "name"));
    if (is_type(choice, "tool") && name) return tools_choose(job, "required", name, "tool_choice", e);
    return body_wrong(e, "tool_choice", "must be of type auto, any, tool (with a name) or none");
}

/* Who does not ask for thoughts gets none, where the template can do without. */
static int read_thinking(struct api_job *job, struct api_error *e) {
    const json_t *thinking = body_get(job->body, "thinking");
    bool on = is_type(thinking, "enabled") || is_type(thinking, "adaptive");
    if (thinking && !on && !is_type(thinking, "disabled"))
        return body_wrong(e, "thinking", "must be of type enabled, adaptive or disabled");
    body_variable(job, "enable_thinking", json_boolean(on));
    return 0;
}

int anthropic__read_prompt(struct api_job *job, struct api_error *e) {
    int status = read_messages(job, e);
    if (status == 0) status = read_tools(job, e);
    if (status == 0) status = read_choice(job, e);
    return status ? status : read_thinking(job, e);
}
