/* messages and messages/count_tokens. */
#include <string.h>

#include "api/anthropic/anthropic.h"
#include "api/anthropic/read.h"
#include "api/body.h"
#include "api/write.h"

/* ---- reading ---- */

static int read_format(struct api_job *job, struct api_error *e) {
    const json_t *config = body_get(job->body, "output_config"), *format = body_get(config, "format");
    if (format == NULL) format = body_get(job->body, "output_format");
    if (format == NULL) return 0;
    job->schema = json_object_get(format, "schema");
    return json_is_object(job->schema)
               ? 0
               : body_wrong(e, "output_config", "needs a format of type json_schema with a schema");
}

static int read_messages(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    int status = body_parse(job, text, len, e);
    if (status == 0) status = body_model(job, e);
    if (status == 0 && body_get(job->body, "max_tokens") == NULL) status = body_wrong(e, "max_tokens", "is missing");
    if (status == 0) status = body_count(job->body, "max_tokens", 1, &job->tokens_max, e);
    if (status == 0) status = body_sampling(job, job->body, e);
    if (status == 0) status = body_stops(job, job->body, "stop_sequences", e);
    if (status == 0) status = body_bool(job->body, "stream", &job->stream, e);
    if (status == 0) status = read_format(job, e);
    return status ? status : anthropic__read_prompt(job, e);
}

static int read_count(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    job->task = API_COUNT;
    int status = body_parse(job, text, len, e);
    if (status == 0) status = body_model(job, e);
    return status ? status : anthropic__read_prompt(job, e);
}

/* ---- writing ---- */

static void write_event_of(struct text *out, const char *type, json_t *value) {
    json_object_set_new(value, "type", json_string(type));
    text_printf(out, "event: %s\n", type);
    write_event(out, value);
}

static const char *stop_reason(const struct api_answer *a) {
    if (json_array_size(a->calls) > 0) return "tool_use";
    if (a->stop) return "stop_sequence";
    return a->finish == API_LENGTH ? "max_tokens" : "end_turn";
}

/* Tokens from the cache are counted apart. */
static json_t *usage_json(const struct api_answer *a) {
    return json_pack("{s:I, s:i, s:I, s:I}", "input_tokens", (json_int_t)a->prompt_tokens - a->cached_tokens,
                     "cache_creation_input_tokens", 0, "cache_read_input_tokens", (json_int_t)a->cached_tokens,
                     "output_tokens", (json_int_t)a->completion_tokens);
}

static json_t *message_json(const struct api_reply *r, json_t *content, const char *reason, const char *stop,
                            json_t *usage) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:s?, s:o}", "id", r->id, "type", "message", "role", "assistant",
                     "model", r->model, "content", content, "stop_reason", reason, "stop_sequence", stop, "usage",
                     usage);
}

static json_t *text_block(const char *type, const char *key, const char *text, size_t len) {
    json_t *block = json_pack("{s:s, s:s%}", "type", type, key, text, len);
    if (strcmp(type, "thinking") == 0) json_object_set_new(block, "signature", json_string(""));
    return block;
}

static json_t *call_block(const json_t *call, json_t *input) {
    return json_pack("{s:s, s:O, s:O, s:o}", "type", "tool_use", "id", json_object_get(call, "id"), "name",
                     json_object_get(call, "name"), "input", input);
}

static json_t *input_of(const json_t *call) {
    const json_t *text = json_object_get(call, "arguments");
    json_t *input = json_loadb(json_string_value(text), json_string_length(text), 0, NULL);
    return input ? input : json_object();
}

static void begin_messages(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *message = message_json(r, json_array(), NULL, NULL, usage_json(&r->answers[0]));
    write_event_of(out, "message_start", json_pack("{s:o}", "message", message));
    write_event_of(out, "ping", json_object());
    r->open = -1;
}

static void close_block(struct api_reply *r, struct text *out) {
    if (r->open < 0) return;
    write_event_of(out, "content_block_stop", json_pack("{s:i}", "index", (int)r->block++));
    r->open = -1;
}

static void open_block(struct api_reply *r, enum api_piece_kind kind, json_t *block, struct text *out) {
    close_block(r, out);
    write_event_of(out, "content_block_start", json_pack("{s:i, s:o}", "index", (int)r->block, "content_block", block));
    r->open = (int)kind;
}

static void write_delta(const struct api_reply *r, json_t *delta, struct text *out) {
    write_event_of(out, "content_block_delta", json_pack("{s:i, s:o}", "index", (int)r->block, "delta", delta));
}

static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    bool thought = p->kind == API_PIECE_THOUGHT;
    const char *type = thought ? "thinking" : "text";
    if (p->kind == API_PIECE_CALL) {
        open_block(r, p->kind, call_block(p->call, json_object()), out);
        write_delta(
            r,
            json_pack("{s:s, s:O}", "type", "input_json_delta", "partial_json", json_object_get(p->call, "arguments")),
            out);
        return;
    }
    if (r->open != (int)p->kind) open_block(r, p->kind, text_block(type, type, "", 0), out);
    write_delta(r, json_pack("{s:s, s:s%}", "type", thought ? "thinking_delta" : "text_delta", type, p->text, p->len),
                out);
}

static void end_messages(const struct api_job *job, struct api_reply *r, struct text *out) {
    const struct api_answer *a = &r->answers[0];
    close_block(r, out);
    write_event_of(out, "message_delta",
                   json_pack("{s:{s:s, s:s?}, s:o}", "delta", "stop_reason", stop_reason(a), "stop_sequence", a->stop,
                             "usage", usage_json(a)));
    write_event_of(out, "message_stop", json_object());
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    const struct api_answer *a = &r->answers[0];
    json_t *content = json_array();
    const json_t *call;
    size_t i;
    if (a->thoughts.len > 0)
        json_array_append_new(content, text_block("thinking", "thinking", text_str(&a->thoughts), a->thoughts.len));
    if (a->content.len > 0)
        json_array_append_new(content, text_block("text", "text", text_str(&a->content), a->content.len));
    json_array_foreach(a->calls, i, call) json_array_append_new(content, call_block(call, input_of(call)));
    write_json(out, message_json(r, content, stop_reason(a), a->stop, usage_json(a)));
}

static void write_count(const struct api_job *job, struct api_reply *r, struct text *out) {
    write_json(out, json_pack("{s:I}", "input_tokens", (json_int_t)r->answers[0].prompt_tokens));
}

/* ---- errors ---- */

static const char *error_type(int status) {
    switch (status) {
    case 400: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static json_t *error_json(const struct api_error *e) {
    return json_pack("{s:s, s:{s:s, s:o}}", "type", "error", "error", "type", error_type(e->status), "message",
                     write_string(e->message));
}

void anthropic_write_error(const struct api_error *e, struct text *out) { write_json(out, error_json(e)); }
static void write_stream_error(const struct api_error *e, struct text *out) {
    write_event_of(out, "error", error_json(e));
}

const struct api_dialect anthropic_messages = {.id_prefix = "msg_",
                                               .stream_type = "text/event-stream",
                                               .read = read_messages,
                                               .begin = begin_messages,
                                               .piece = write_piece,
                                               .end = end_messages,
                                               .whole = write_whole,
                                               .stream_error = write_stream_error,
                                               .error = anthropic_write_error};
const struct api_dialect anthropic_count = {.id_prefix = "count_",
                                            .read = read_count,
                                            .whole = write_count,
                                            .stream_error = write_stream_error,
                                            .error = anthropic_write_error};
