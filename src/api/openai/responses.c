/* responses (platform.openai.com/docs/api-reference/responses). A streamed event has a name and a number; an output
 * item is opened, filled and closed, one after the other. */
#include "api/openai/responses.h"

#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/openai/private.h"
#include "api/openai/responses_read.h"
#include "api/write.h"

/* ---- output items ---- */

static json_t *item_id(const struct api_reply *r, const char *prefix, uint32_t index) {
    return json_sprintf("%s_%s_%u", prefix, strchr(r->id, '_') + 1, index);
}

static json_t *text_part(const char *text, size_t len, const json_t *tokens) {
    return json_pack("{s:s, s:s%, s:[], s:o}", "type", "output_text", "text", text, len, "annotations", "logprobs",
                     tokens ? json_deep_copy(tokens) : json_array());
}

static json_t *message_item(const struct api_reply *r, uint32_t index, const char *status, json_t *content) {
    return json_pack("{s:o, s:s, s:s, s:s, s:o}", "id", item_id(r, "msg", index), "type", "message", "status", status,
                     "role", "assistant", "content", content);
}

static json_t *thought_item(const struct api_reply *r, uint32_t index, const char *text, size_t len) {
    json_t *content = len > 0 ? json_pack("[{s:s, s:s%}]", "type", "reasoning_text", "text", text, len) : json_array();
    return json_pack("{s:o, s:s, s:[], s:o}", "id", item_id(r, "rs", index), "type", "reasoning", "summary", "content",
                     content);
}

static json_t *call_item(const struct api_reply *r, uint32_t index, const json_t *call, bool whole) {
    return json_pack("{s:o, s:s, s:s, s:O, s:O, s:o}", "id", item_id(r, "fc", index), "type", "function_call", "status",
                     whole ? "completed" : "in_progress", "call_id", json_object_get(call, "id"), "name",
                     json_object_get(call, "name"), "arguments",
                     whole ? json_deep_copy(json_object_get(call, "arguments")) : json_string(""));
}

/* All items of an answer, as a stream would have given them one by one. */
static json_t *output_json(const struct api_reply *r) {
    const struct api_answer *a = &r->answers[0];
    json_t *output = json_array();
    const json_t *call;
    size_t i;
    uint32_t n = 0;
    if (a->thoughts.len > 0)
        json_array_append_new(output, thought_item(r, n++, text_str(&a->thoughts), a->thoughts.len));
    if (a->content.len > 0 || json_array_size(a->calls) == 0)
        json_array_append_new(
            output, message_item(r, n++, a->finish == API_LENGTH ? "incomplete" : "completed",
                                 json_pack("[o]", text_part(text_str(&a->content), a->content.len, a->tokens))));
    json_array_foreach(a->calls, i, call) json_array_append_new(output, call_item(r, n++, call, true));
    return output;
}

/* ---- the response ---- */

static json_t *given(const struct api_job *job, const char *key) {
    const json_t *value = json_object_get(job->body, key);
    return value ? json_deep_copy(value) : json_null();
}

static json_t *given_or(const struct api_job *job, const char *key, json_t *otherwise) {
    const json_t *value = body_get(job->body, key);
    if (value == NULL) return otherwise;
    json_decref(otherwise);
    return json_deep_copy(value);
}

static json_t *usage_json(const struct api_reply *r) {
    struct api_usage u = api_reply_usage(r);
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)u.prompt, "input_tokens_details",
                     "cached_tokens", (json_int_t)u.cached, "output_tokens", (json_int_t)u.completion,
                     "output_tokens_details", "reasoning_tokens", (json_int_t)u.thoughts, "total_tokens",
                     (json_int_t)u.prompt + u.completion);
}

/* output and usage are taken. */
static json_t *response_json(const struct api_job *job, const struct api_reply *r, const char *status, json_t *output,
                             json_t *usage) {
    bool cut = strcmp(status, "incomplete") == 0;
    json_t *response =
        json_pack("{s:s, s:s, s:I, s:s, s:n, s:o, s:s, s:o, s:b}", "id", r->id, "object", "response", "created_at",
                  (json_int_t)r->created_s, "status", status, "error", "incomplete_details",
                  cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null(), "model", r->model, "output",
                  output, "parallel_tool_calls", !job->one_call);
    static const char *const as_given[] = {"instructions", "max_output_tokens", "previous_response_id", "user"};
    for (size_t i = 0; i < sizeof as_given / sizeof *as_given; i++)
        json_object_set_new(response, as_given[i], given(job, as_given[i]));
    json_object_set_new(response, "background", json_false());
    json_object_set_new(response, "metadata", given_or(job, "metadata", json_object()));
    json_object_set_new(response, "reasoning",
                        given_or(job, "reasoning", json_pack("{s:n, s:n}", "effort", "summary")));
    json_object_set_new(response, "store", given_or(job, "store", json_true()));
    json_object_set_new(response, "text", given_or(job, "text", json_pack("{s:{s:s}}", "format", "type", "text")));
    json_object_set_new(response, "tool_choice", given_or(job, "tool_choice", json_string("auto")));
    json_object_set_new(response, "tools", given_or(job, "tools", json_array()));
    json_object_set_new(response, "temperature", json_real(job->temperature));
    json_object_set_new(response, "top_p", json_real(job->top_p));
    json_object_set_new(response, "truncation", given_or(job, "truncation", json_string("disabled")));
    json_object_set_new(response, "usage", usage);
    return response;
}

static const char *status_of(const struct api_reply *r) {
    return r->answers[0].finish == API_LENGTH ? "incomplete" : "completed";
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    write_json(out, response_json(job, r, status_of(r), output_json(r), usage_json(r)));
}

/* ---- streaming ---- */

static void write_event_of(struct api_reply *r, const char *type, json_t *value, struct text *out) {
    json_object_set_new(value, "type", json_string(type));
    json_object_set_new(value, "sequence_number", json_integer(r->sequence++));
    text_printf(out, "event: %s\n", type);
    write_event(out, value);
}

static void write_state(const struct api_job *job, struct api_reply *r, const char *type, struct text *out) {
    write_event_of(
        r, type, json_pack("{s:o}", "response", response_json(job, r, "in_progress", json_array(), json_null())), out);
}

static void begin_response(const struct api_job *job, struct api_reply *r, struct text *out) {
    write_state(job, r, "response.created", out);
    write_state(job, r, "response.in_progress", out);
    r->open = -1;
}

static void write_item(struct api_reply *r, const char *type, json_t *item, struct text *out) {
    write_event_of(r, type, json_pack("{s:i, s:o}", "output_index", (int)r->block, "item", item), out);
}

/* An event of the part that is open: with its place, and one more value (taken). */
static void write_part(struct api_reply *r, const char *type, const char *prefix, const char *key, json_t *value,
                       struct text *out) {
    write_event_of(r, type,
                   json_pack("{s:o, s:i, s:i, s:o}", "item_id", item_id(r, prefix, r->block), "output_index",
                             (int)r->block, "content_index", 0, key, value),
                   out);
}

static void close_text(struct api_reply *r, const struct api_answer *a, struct text *out) {
    const char *text = text_str(&a->content) + r->mark;
    size_t len = a->content.len - r->mark;
    json_t *done = json_stringn(text, len);
    write_part(r, "response.output_text.done", "msg", "text", done, out);
    write_part(r, "response.content_part.done", "msg", "part", text_part(text, len, NULL), out);
    write_item(r, "response.output_item.done",
               message_item(r, r->block, "completed", json_pack("[o]", text_part(text, len, NULL))), out);
}

static void close_thoughts(struct api_reply *r, const struct api_answer *a, struct text *out) {
    write_part(r, "response.reasoning_text.done", "rs", "text", json_stringn(text_str(&a->thoughts), a->thoughts.len),
               out);
    write_item(r, "response.output_item.done", thought_item(r, r->block, text_str(&a->thoughts), a->thoughts.len), out);
}

static void close_item(struct api_reply *r, const struct api_answer *a, struct text *out) {
    if (r->open < 0) return;
    if (r->open == API_PIECE_TEXT) close_text(r, a, out);
    if (r->open == API_PIECE_THOUGHT) close_thoughts(r, a, out);
    r->open = -1;
    r->block++;
}

static void open_item(struct api_reply *r, const struct api_piece *p, struct text *out) {
    r->open = (int)p->kind;
    r->mark = p->answer->content.len - (p->kind == API_PIECE_TEXT ? p->len : 0);
    if (p->kind == API_PIECE_THOUGHT) {
        write_item(r, "response.output_item.added", thought_item(r, r->block, "", 0), out);
        return;
    }
    write_item(r, "response.output_item.added", message_item(r, r->block, "in_progress", json_array()), out);
    write_part(r, "response.content_part.added", "msg", "part", text_part("", 0, NULL), out);
}

static void write_call(struct api_reply *r, const struct api_piece *p, struct text *out) {
    close_item(r, p->answer, out);
    write_item(r, "response.output_item.added", call_item(r, r->block, p->call, false), out);
    json_t *place = json_pack("{s:o, s:i, s:O}", "item_id", item_id(r, "fc", r->block), "output_index", (int)r->block,
                              "delta", json_object_get(p->call, "arguments"));
    write_event_of(r, "response.function_call_arguments.delta", place, out);
    place = json_pack("{s:o, s:i, s:O, s:O}", "item_id", item_id(r, "fc", r->block), "output_index", (int)r->block,
                      "arguments", json_object_get(p->call, "arguments"), "name", json_object_get(p->call, "name"));
    write_event_of(r, "response.function_call_arguments.done", place, out);
    write_item(r, "response.output_item.done", call_item(r, r->block, p->call, true), out);
    r->block++;
}

static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    bool thought = p->kind == API_PIECE_THOUGHT;
    if (p->kind == API_PIECE_CALL) {
        write_call(r, p, out);
        return;
    }
    if (r->open != (int)p->kind) {
        close_item(r, p->answer, out);
        open_item(r, p, out);
    }
    write_part(r, thought ? "response.reasoning_text.delta" : "response.output_text.delta", thought ? "rs" : "msg",
               "delta", json_stringn(p->text, p->len), out);
}

static void write_answered(const struct api_job *job, struct api_reply *r, const struct api_answer *a,
                           struct text *out) {
    close_item(r, a, out);
}

static void end_response(const struct api_job *job, struct api_reply *r, struct text *out) {
    char type[32];
    snprintf(type, sizeof type, "response.%s", status_of(r));
    json_t *response = response_json(job, r, status_of(r), output_json(r), usage_json(r));
    write_event_of(r, type, json_pack("{s:o}", "response", response), out);
}

static void write_stream_error(const struct api_error *e, struct text *out) {
    text_add_str(out, "event: error\n");
    write_event(out, json_pack("{s:s, s:s?, s:o, s:s?, s:i}", "type", "error", "code", e->code, "message",
                               write_string(e->message), "param", e->param[0] ? e->param : NULL, "sequence_number", 0));
}

/* ---- what is remembered ---- */

json_t *responses_turns(const struct api_job *job, const struct api_reply *r) {
    const struct api_answer *a = &r->answers[0];
    const json_t *call;
    size_t i;
    json_t *turns = json_deep_copy(json_object_get(job->made, "turns")), *calls = json_array();
    json_array_foreach(a->calls, i, call) json_array_append_new(
        calls, json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", json_object_get(call, "id"), "type", "function", "function",
                         "name", json_object_get(call, "name"), "arguments", json_object_get(call, "arguments")));
    json_t *message = json_pack("{s:s, s:s%}", "role", "assistant", "content", text_str(&a->content), a->content.len);
    if (json_array_size(calls) > 0) json_object_set(message, "tool_calls", calls);
    json_decref(calls);
    json_array_append_new(turns, message);
    return turns;
}

const struct api_dialect openai_responses = {.id_prefix = "resp_",
                                             .stream_type = "text/event-stream",
                                             .read = responses__read,
                                             .begin = begin_response,
                                             .piece = write_piece,
                                             .answered = write_answered,
                                             .end = end_response,
                                             .whole = write_whole,
                                             .stream_error = write_stream_error,
                                             .error = openai_write_error};
