/* chat/completions. */
#include <string.h>

#include "api/body.h"
#include "api/messages.h"
#include "api/openai/private.h"
#include "api/tools.h"
#include "api/write.h"

static const char chunk_object[] = "chat.completion.chunk";

/* ---- reading ---- */

static bool lists(const json_t *array, const char *word) {
    size_t i;
    const json_t *item;
    json_array_foreach(array, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), word) == 0) return true;
    return false;
}

/* Fields that would change the answer and that nobody reads: an error is honest, silence is not. */
static int refuse_unsupported(const struct api_job *job, struct api_error *e) {
    if (json_array_size(body_get(job->body, "functions")) > 0)
        return body_wrong(e, "functions", "is not supported: use 'tools'");
    if (lists(body_get(job->body, "modalities"), "audio")) return body_wrong(e, "modalities", "can only be text");
    return 0;
}

static int read_logprobs(struct api_job *job, struct api_error *e) {
    bool wanted = false;
    uint32_t top = 0;
    int status = body_bool(job->body, "logprobs", &wanted, e);
    if (status == 0) status = body_count(job->body, "top_logprobs", 0, &top, e);
    if (status) return status;
    if (top > API_TOP_LOGPROBS_MAX) return body_wrong(e, "top_logprobs", "can be at most 20");
    if (top > 0 && !wanted) return body_wrong(e, "top_logprobs", "needs 'logprobs' to be true");
    job->logprobs = wanted ? 1 + top : 0;
    return 0;
}

static int read_chat(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    int status = body_parse(job, text, len, e);
    if (status == 0) status = openai__read_common(job, e);
    if (status == 0) status = messages_read(job, e);
    if (status == 0) status = body_count(job->body, "max_tokens", 1, &job->tokens_max, e);
    if (status == 0) status = body_count(job->body, "max_completion_tokens", 1, &job->tokens_max, e);
    if (status == 0) status = openai__read_format(job, body_get(job->body, "response_format"), "response_format", e);
    if (status == 0) status = openai__read_effort(job, job->body, "reasoning_effort", e);
    if (status == 0) status = body_variables(job, "chat_template_kwargs", e);
    if (status == 0) status = read_logprobs(job, e);
    if (status == 0) status = tools_read(job, job->body, e);
    return status ? status : refuse_unsupported(job, e);
}

/* ---- writing ---- */

static json_t *logprobs_json(const json_t *tokens) {
    return tokens ? json_pack("{s:O, s:n}", "content", tokens, "refusal") : json_null();
}

static void write_chunk(const struct api_reply *r, uint32_t index, json_t *delta, const json_t *tokens,
                        const char *finish, struct text *out) {
    json_t *choice = json_pack("{s:i, s:o, s:o, s:s?}", "index", (int)index, "delta", delta, "logprobs",
                               logprobs_json(tokens), "finish_reason", finish);
    write_event(out, openai__reply(r, chunk_object, json_pack("[o]", choice)));
}

static void begin_chat(const struct api_job *job, struct api_reply *r, struct text *out) {
    for (uint32_t i = 0; i < r->count; i++)
        write_chunk(r, i, json_pack("{s:s, s:s}", "role", "assistant", "content", ""), NULL, NULL, out);
}

/* The first fragment of a call has its id and name, the second its arguments. */
static void write_call(const struct api_reply *r, const struct api_piece *p, struct text *out) {
    int index = (int)json_array_size(p->answer->calls) - 1;
    write_chunk(r, p->answer->index,
                json_pack("{s:[{s:i, s:O, s:s, s:{s:O, s:s}}]}", "tool_calls", "index", index, "id",
                          json_object_get(p->call, "id"), "type", "function", "function", "name",
                          json_object_get(p->call, "name"), "arguments", ""),
                p->tokens, NULL, out);
    write_chunk(r, p->answer->index,
                json_pack("{s:[{s:i, s:{s:O}}]}", "tool_calls", "index", index, "function", "arguments",
                          json_object_get(p->call, "arguments")),
                NULL, NULL, out);
}

static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    if (p->kind == API_PIECE_CALL)
        write_call(r, p, out);
    else
        write_chunk(
            r, p->answer->index,
            json_pack("{s:s%}", p->kind == API_PIECE_THOUGHT ? "reasoning_content" : "content", p->text, p->len),
            p->tokens, NULL, out);
}

static void write_answered(const struct api_job *job, struct api_reply *r, const struct api_answer *a,
                           struct text *out) {
    write_chunk(r, a->index, json_object(), NULL, openai__finish_reason(a), out);
}

static void end_chat(const struct api_job *job, struct api_reply *r, struct text *out) {
    openai__write_end(job, r, chunk_object, out);
}

static json_t *calls_json(const json_t *calls) {
    json_t *all = json_array();
    const json_t *call;
    size_t i;
    json_array_foreach(calls, i, call) json_array_append_new(
        all, json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", json_object_get(call, "id"), "type", "function", "function",
                       "name", json_object_get(call, "name"), "arguments", json_object_get(call, "arguments")));
    return all;
}

static json_t *message_json(const struct api_answer *a) {
    bool calls = json_array_size(a->calls) > 0;
    json_t *message =
        json_pack("{s:s, s:s%, s:n}", "role", "assistant", "content", text_str(&a->content), a->content.len, "refusal");
    if (calls && a->content.len == 0) json_object_set_new(message, "content", json_null());
    if (a->thoughts.len > 0)
        json_object_set_new(message, "reasoning_content", json_stringn(text_str(&a->thoughts), a->thoughts.len));
    if (calls) json_object_set_new(message, "tool_calls", calls_json(a->calls));
    return message;
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *choices = json_array();
    for (uint32_t i = 0; i < r->count; i++) {
        const struct api_answer *a = &r->answers[i];
        json_array_append_new(choices,
                              json_pack("{s:i, s:o, s:o, s:s}", "index", (int)i, "message", message_json(a), "logprobs",
                                        logprobs_json(a->tokens), "finish_reason", openai__finish_reason(a)));
    }
    json_t *reply = openai__reply(r, "chat.completion", choices);
    json_object_set_new(reply, "usage", openai__usage(r));
    write_json(out, reply);
}

const struct api_dialect openai_chat = {.id_prefix = "chatcmpl-",
                                        .stream_type = "text/event-stream",
                                        .read = read_chat,
                                        .begin = begin_chat,
                                        .piece = write_piece,
                                        .answered = write_answered,
                                        .end = end_chat,
                                        .whole = write_whole,
                                        .stream_error = openai_write_stream_error,
                                        .error = openai_write_error};
