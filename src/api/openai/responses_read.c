#include "api/openai/responses_read.h"

#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/openai/private.h"
#include "api/openai/responses.h"
#include "api/tools.h"

static bool is_word(const json_t *value, const char *word) {
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}

static json_t *take_text(struct text *text) {
    json_t *string = json_stringn(text_str(text), text->len);
    text_deinit(text);
    return string;
}

/* A text, or the texts of parts. Pictures and files are an error. */
static int append_content(struct text *out, const json_t *content, const char *param, struct api_error *e) {
    size_t i;
    const json_t *part;
    if (json_is_string(content))
        text_add(out, json_string_value(content), json_string_length(content));
    else if (content && !json_is_array(content) && !json_is_null(content))
        return body_wrong(e, param, "must be a text or an array of parts");
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text"), *refusal = json_object_get(part, "refusal");
        if (!json_is_string(text)) text = refusal;
        if (!json_is_string(text)) return body_wrong(e, param, "may hold parts with a \"text\" only");
        text_add(out, json_string_value(text), json_string_length(text));
    }
    return 0;
}

/* ---- input items ---- */

static json_t *last_assistant(json_t *turns) {
    json_t *last = json_array_get(turns, json_array_size(turns) - 1);
    return is_word(json_object_get(last, "role"), "assistant") ? last : NULL;
}

/* A call belongs to the assistant's message before it. */
static int take_call(const json_t *item, json_t *turns, const char *param, struct api_error *e) {
    const json_t *name = json_object_get(item, "name"), *arguments = json_object_get(item, "arguments"),
                 *id = json_object_get(item, "call_id");
    if (!json_is_string(name) || !json_is_string(arguments)) return body_wrong(e, param, "needs a name and arguments");
    json_t *message = last_assistant(turns);
    if (message == NULL) {
        message = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
        json_array_append_new(turns, message);
    }
    if (json_object_get(message, "tool_calls") == NULL) json_object_set_new(message, "tool_calls", json_array());
    json_array_append_new(json_object_get(message, "tool_calls"),
                          json_pack("{s:O*, s:s, s:{s:O, s:O}}", "id", id, "type", "function", "function", "name", name,
                                    "arguments", arguments));
    return 0;
}

static int take_result(const json_t *item, json_t *turns, const char *param, struct api_error *e) {
    struct text text = {0};
    int status = append_content(&text, json_object_get(item, "output"), param, e);
    json_array_append_new(turns, json_pack("{s:s, s:O*, s:o}", "role", "tool", "tool_call_id",
                                           json_object_get(item, "call_id"), "content", take_text(&text)));
    return status;
}

static int take_message(const json_t *item, json_t *turns, const char *param, struct api_error *e) {
    static const char *const roles[] = {"system", "developer", "user", "assistant"};
    const json_t *role = json_object_get(item, "role");
    struct text text = {0};
    bool known = false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) known = known || is_word(role, roles[i]);
    if (!known) return body_wrong(e, param, "needs a role of system, developer, user or assistant");
    int status = append_content(&text, json_object_get(item, "content"), param, e);
    json_array_append_new(turns, json_pack("{s:O, s:o}", "role", role, "content", take_text(&text)));
    return status;
}

/* Earlier thoughts are not told again: templates leave them out as well. */
static int take_item(const json_t *item, json_t *turns, const char *param, struct api_error *e) {
    const json_t *type = body_get(item, "type");
    if (type == NULL || is_word(type, "message")) return take_message(item, turns, param, e);
    if (is_word(type, "function_call")) return take_call(item, turns, param, e);
    if (is_word(type, "function_call_output")) return take_result(item, turns, param, e);
    if (is_word(type, "reasoning")) return 0;
    return body_wrong(e, param, "must be a message, function_call, function_call_output or reasoning");
}

static int read_input(struct api_job *job, json_t *turns, struct api_error *e) {
    const json_t *input = body_get(job->body, "input"), *item;
    size_t i;
    if (json_is_string(input)) {
        json_array_append_new(turns, json_pack("{s:s, s:O}", "role", "user", "content", input));
        return 0;
    }
    if (json_array_size(input) == 0) return body_wrong(e, "input", "must be a text or an array of items");
    json_array_foreach(input, i, item) {
        char param[64];
        snprintf(param, sizeof param, "input[%zu]", i);
        int status = take_item(item, turns, param, e);
        if (status) return status;
    }
    return 0;
}

/* Instructions stand in front, and are this response's alone. */
static int set_messages(struct api_job *job, struct api_error *e) {
    const json_t *instructions = body_get(job->body, "instructions"), *turns = json_object_get(job->made, "turns");
    if (instructions && !json_is_string(instructions)) return body_wrong(e, "instructions", "must be a string");
    json_t *messages = json_array();
    if (instructions)
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "system", "content", instructions));
    json_array_extend(messages, (json_t *)(uintptr_t)turns);
    job->messages = body_make(job, "messages", messages);
    return 0;
}

void responses_continue(struct api_job *job, const json_t *before) {
    struct api_error unused;
    json_t *turns = json_deep_copy(before);
    json_array_extend(turns, json_object_get(job->made, "turns"));
    json_object_set_new(job->made, "turns", turns);
    (void)set_messages(job, &unused);
}

/* ---- tools ---- */

/* Functions; what only OpenAI's own servers can do is left out, since no model here would know of it. */
static int read_tools(struct api_job *job, struct api_error *e) {
    static const char *const keys[] = {"tool_choice", "parallel_tool_calls"};
    const json_t *given = body_get(job->body, "tools"), *tool;
    json_t *tools = json_array();
    size_t i;
    if (given && !json_is_array(given)) return json_decref(tools), body_wrong(e, "tools", "must be an array");
    json_array_foreach(given, i, tool) if (is_word(json_object_get(tool, "type"), "function")) json_array_append_new(
        tools,
        json_pack("{s:s, s:{s:O*, s:O*, s:O*}}", "type", "function", "function", "name", json_object_get(tool, "name"),
                  "description", body_get(tool, "description"), "parameters", body_get(tool, "parameters")));
    json_t *made = json_pack("{s:o}", "tools", tools);
    for (i = 0; i < sizeof keys / sizeof *keys; i++)
        if (body_get(job->body, keys[i])) json_object_set(made, keys[i], json_object_get(job->body, keys[i]));
    return tools_read(job, body_make(job, "tools", made), e);
}

/* ---- all of it ---- */

static int refuse_unsupported(const struct api_job *job, struct api_error *e) {
    if (json_is_true(body_get(job->body, "background"))) return body_wrong(e, "background", "is not supported");
    if (body_get(job->body, "conversation"))
        return body_wrong(e, "conversation", "is not supported: use previous_response_id");
    if (body_get(job->body, "prompt")) return body_wrong(e, "prompt", "is not supported: use instructions and input");
    return 0;
}

static int read_previous(struct api_job *job, struct api_error *e) {
    const json_t *previous = body_get(job->body, "previous_response_id");
    bool store = true;
    if (previous && !json_is_string(previous)) return body_wrong(e, "previous_response_id", "must be a string");
    job->previous = json_string_value(previous);
    int status = body_bool(job->body, "store", &store, e);
    job->remember = store;
    return status;
}

static int read_logprobs(struct api_job *job, struct api_error *e) {
    uint32_t top = 0;
    int status = body_count(job->body, "top_logprobs", 0, &top, e);
    if (status == 0 && top > API_TOP_LOGPROBS_MAX) status = body_wrong(e, "top_logprobs", "can be at most 20");
    job->logprobs = top > 0 ? 1 + top : 0;
    return status;
}

int responses__read(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    int status = body_parse(job, text, len, e);
    if (status) return status;
    const json_t *format = body_get(body_get(job->body, "text"), "format");
    json_t *turns = (json_t *)(uintptr_t)body_make(job, "turns", json_array());
    status = body_model(job, e);
    if (status == 0) status = refuse_unsupported(job, e);
    if (status == 0) status = read_input(job, turns, e);
    if (status == 0) status = read_previous(job, e);
    if (status == 0) status = set_messages(job, e);
    if (status == 0) status = body_count(job->body, "max_output_tokens", 1, &job->tokens_max, e);
    if (status == 0) status = body_sampling(job, job->body, e);
    if (status == 0) status = body_bool(job->body, "stream", &job->stream, e);
    if (status == 0) status = openai__read_format(job, format, "text.format", e);
    if (status == 0) status = openai__read_effort(job, body_get(job->body, "reasoning"), "effort", e);
    if (status == 0) status = read_logprobs(job, e);
    return status ? status : read_tools(job, e);
}
