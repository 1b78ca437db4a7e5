#include "api/cluster/generate.h"

#include "api/body.h"
#include "api/messages.h"
#include "api/write.h"

static int read_prompt(struct api_job *job, struct api_error *e) {
    const json_t *prompt = body_get(job->body, "prompt");
    if (prompt == NULL) return messages_read(job, e);
    if (!json_is_string(prompt)) return body_wrong(e, "prompt", "must be a string");
    return body_prompts(job, "prompt", e);
}

static int read_generate(struct api_job *job, const char *body, size_t len, struct api_error *e) {
    job->stream = true;
    job->temperature = 0.7f;
    job->top_p = 0.95f;
    int status = body_parse(job, body, len, e);
    if (status == 0) status = body_model(job, e);
    if (status == 0) status = read_prompt(job, e);
    if (status == 0) status = body_sampling(job, job->body, e);
    if (status == 0) status = body_stops(job, job->body, "stop", e);
    return status ? status : body_count(job->body, "max_tokens", 1, &job->tokens_max, e);
}

static void begin_nothing(const struct api_job *job, struct api_reply *r, struct text *out) {}

/* Thoughts are shown as they come: people may want to see them. */
static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    if (p->kind == API_PIECE_CALL) return;
    write_event(out, json_pack("{s:s%}", p->kind == API_PIECE_THOUGHT ? "thought" : "text", p->text, p->len));
}

static json_t *rate_json(uint32_t tokens, uint64_t duration_us) {
    return tokens > 0 && duration_us > 0 ? json_real(tokens / ((double)duration_us / 1e6)) : json_null();
}

static void write_end(const struct api_job *job, struct api_reply *r, struct text *out) {
    const struct api_answer *a = &r->answers[0];
    uint32_t later = a->completion_tokens ? a->completion_tokens - 1 : 0;
    write_event(out, json_pack("{s:b, s:s, s:I, s:I, s:I, s:f, s:o}", "done", 1, "finish_reason",
                               a->finish == API_LENGTH ? "length" : "stop", "prompt_tokens",
                               (json_int_t)a->prompt_tokens, "cached_tokens", (json_int_t)a->cached_tokens, "tokens",
                               (json_int_t)a->completion_tokens, "first_token_s", (double)a->first_token_us / 1e6,
                               "tokens_per_s", rate_json(later, a->decode_us)));
}

static json_t *error_json(const struct api_error *e) {
    return json_pack("{s:{s:o, s:s?, s:s?}}", "error", "message", write_string(e->message), "code", e->code, "param",
                     e->param[0] ? e->param : NULL);
}

void cluster_write_error(const struct api_error *e, struct text *out) { write_json(out, error_json(e)); }
static void write_stream_error(const struct api_error *e, struct text *out) { write_event(out, error_json(e)); }

const struct api_dialect cluster_generate = {.id_prefix = "gen-",
                                             .stream_type = "text/event-stream",
                                             .read = read_generate,
                                             .begin = begin_nothing,
                                             .piece = write_piece,
                                             .end = write_end,
                                             .stream_error = write_stream_error,
                                             .error = cluster_write_error};
