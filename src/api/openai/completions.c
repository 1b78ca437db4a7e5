/* completions: text to continue, without a chat template. */
#include <string.h>

#include "api/body.h"
#include "api/openai/private.h"
#include "api/write.h"

enum { LOGPROBS_MAX = 20 };

static int read_logprobs(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "logprobs");
    uint32_t top = 0;
    if (given == NULL || json_is_false(given)) return 0;
    int status = json_is_true(given) ? 0 : body_count(job->body, "logprobs", 0, &top, e);
    if (status) return status;
    if (top > LOGPROBS_MAX) return body_wrong(e, "logprobs", "can be at most 20");
    job->logprobs = 1 + top;
    return 0;
}

static int read_suffix(struct api_job *job, struct api_error *e) {
    const json_t *suffix = body_get(job->body, "suffix");
    if (suffix == NULL) return 0;
    if (!json_is_string(suffix)) return body_wrong(e, "suffix", "must be a string");
    if (json_array_size(job->prompts) > 1) return body_wrong(e, "suffix", "goes with one prompt only");
    if (json_string_length(suffix) > 0) job->suffix = json_string_value(suffix);
    return 0;
}

static int read_completion(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    int status = body_parse(job, text, len, e);
    if (status == 0) status = openai__read_common(job, e);
    if (status == 0) status = body_prompts(job, "prompt", e);
    if (status == 0) status = body_count(job->body, "max_tokens", 0, &job->tokens_max, e);
    if (status == 0) status = body_bool(job->body, "echo", &job->echo, e);
    if (status == 0) status = openai__read_format(job, body_get(job->body, "response_format"), "response_format", e);
    if (status == 0) status = read_suffix(job, e);
    return status ? status : read_logprobs(job, e);
}

/* {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, as this path has them. */
static json_t *logprobs_json(const json_t *tokens, size_t offset) {
    if (tokens == NULL) return json_null();
    json_t *texts = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array();
    const json_t *token, *likely;
    size_t i, k;
    json_array_foreach(tokens, i, token) {
        json_t *top = json_object();
        json_array_foreach(json_object_get(token, "top_logprobs"), k, likely) {
            const char *text = json_string_value(json_object_get(likely, "token"));
            if (json_object_get(top, text) == NULL) json_object_set(top, text, json_object_get(likely, "logprob"));
        }
        bool first = json_is_null(json_object_get(token, "logprob"));
        json_array_append(texts, json_object_get(token, "token"));
        json_array_append(values, json_object_get(token, "logprob"));
        json_array_append_new(tops, first ? json_null() : json_incref(top));
        json_array_append_new(offsets, json_integer((json_int_t)offset));
        offset += json_array_size(json_object_get(token, "bytes"));
        json_decref(top);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", texts, "token_logprobs", values, "top_logprobs", tops,
                     "text_offset", offsets);
}

static json_t *choice_json(uint32_t index, const char *text, size_t len, json_t *logprobs, const char *finish) {
    return json_pack("{s:i, s:s%, s:o, s:s?}", "index", (int)index, "text", text, len, "logprobs", logprobs,
                     "finish_reason", finish);
}

static void begin_nothing(const struct api_job *job, struct api_reply *r, struct text *out) {}

static void write_choice(const struct api_reply *r, json_t *choice, struct text *out) {
    write_event(out, openai__reply(r, "text_completion", json_pack("[o]", choice)));
}

static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    json_t *logprobs = logprobs_json(p->tokens, p->answer->content.len - p->len);
    write_choice(r, choice_json(p->answer->index, p->text, p->len, logprobs, NULL), out);
}

static void write_answered(const struct api_job *job, struct api_reply *r, const struct api_answer *a,
                           struct text *out) {
    write_choice(r, choice_json(a->index, "", 0, json_null(), openai__finish_reason(a)), out);
}

static void write_end(const struct api_job *job, struct api_reply *r, struct text *out) {
    openai__write_end(job, r, "text_completion", out);
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *choices = json_array();
    for (uint32_t i = 0; i < r->count; i++) {
        const struct api_answer *a = &r->answers[i];
        json_array_append_new(choices, choice_json(i, text_str(&a->content), a->content.len,
                                                   logprobs_json(a->tokens, 0), openai__finish_reason(a)));
    }
    json_t *reply = openai__reply(r, "text_completion", choices);
    json_object_set_new(reply, "usage", openai__usage(r));
    write_json(out, reply);
}

const struct api_dialect openai_completions = {.id_prefix = "cmpl-",
                                               .stream_type = "text/event-stream",
                                               .read = read_completion,
                                               .begin = begin_nothing,
                                               .piece = write_piece,
                                               .answered = write_answered,
                                               .end = write_end,
                                               .whole = write_whole,
                                               .stream_error = openai_write_stream_error,
                                               .error = openai_write_error};
