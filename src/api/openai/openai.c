#include <string.h>

#include "api/body.h"
#include "api/openai/private.h"
#include "api/write.h"

/* ---- reading ---- */

static int read_streaming(struct api_job *job, struct api_error *e) {
    const json_t *options = body_get(job->body, "stream_options");
    if (options && !json_is_object(options)) return body_wrong(e, "stream_options", "must be an object");
    int status = body_bool(job->body, "stream", &job->stream, e);
    return status ? status : body_bool(options, "include_usage", &job->include_usage, e);
}

static int read_count(struct api_job *job, struct api_error *e) {
    uint32_t best = 0;
    int status = body_count(job->body, "n", 1, &job->answers, e);
    if (status == 0) status = body_count(job->body, "best_of", 1, &best, e);
    if (status) return status;
    if (job->answers > API_ANSWERS_MAX) return body_wrong(e, "n", "can be at most 8");
    return best > job->answers ? body_wrong(e, "best_of", "cannot be more than 'n'") : 0;
}

int openai__read_common(struct api_job *job, struct api_error *e) {
    int status = body_model(job, e);
    if (status == 0) status = body_sampling(job, job->body, e);
    if (status == 0) status = body_stops(job, job->body, "stop", e);
    if (status == 0) status = body_biases(job, "logit_bias", e);
    if (status == 0) status = read_streaming(job, e);
    if (status == 0) status = openai__read_grammar(job, e);
    return status ? status : read_count(job, e);
}

int openai__read_grammar(struct api_job *job, struct api_error *e) {
    const json_t *grammar = body_get(job->body, "grammar");
    if (grammar == NULL) return 0;
    if (!json_is_string(grammar)) return body_wrong(e, "grammar", "must be a grammar in GBNF, as text");
    text_add(&job->grammar, json_string_value(grammar), json_string_length(grammar));
    job->grammar_kind = GRAMMAR_GBNF;
    return 0;
}

int openai__read_format(struct api_job *job, const json_t *format, const char *param, struct api_error *e) {
    const char *type = json_string_value(json_object_get(format, "type"));
    const json_t *inner = json_object_get(format, "json_schema");
    const json_t *schema = json_object_get(json_is_object(inner) ? inner : format, "schema");
    if (format == NULL) return 0;
    if (type && strcmp(type, "text") == 0) return 0;
    bool any = type && strcmp(type, "json_object") == 0, given = type && strcmp(type, "json_schema") == 0;
    if (!any && !given) return body_wrong(e, param, "must be of type text, json_object or json_schema");
    if (given && !json_is_object(schema)) return body_wrong(e, param, "of type json_schema needs a \"schema\"");
    if (job->grammar_kind != GRAMMAR_NONE) return body_wrong(e, param, "and 'grammar' cannot both be given");
    job->schema = json_is_object(schema) ? schema : body_make(job, "schema", json_true());
    return 0;
}

int openai__read_effort(struct api_job *job, const json_t *object, const char *key, struct api_error *e) {
    const json_t *effort = body_get(object, key);
    static const char *const words[] = {"none", "minimal", "low", "medium", "high", "xhigh"};
    if (effort == NULL) return 0;
    for (size_t i = 0; json_is_string(effort) && i < sizeof words / sizeof *words; i++) {
        if (strcmp(json_string_value(effort), words[i]) != 0) continue;
        body_variable(job, "enable_thinking", json_boolean(i > 0));
        if (i > 0) body_variable(job, "reasoning_effort", json_string(i == 1 ? "low" : i > 4 ? "high" : words[i]));
        return 0;
    }
    return body_wrong(e, key, "must be none, minimal, low, medium, high or xhigh");
}

/* ---- writing ---- */

const char *openai__finish_reason(const struct api_answer *a) {
    if (a->finish == API_LENGTH) return "length";
    return json_array_size(a->calls) > 0 ? "tool_calls" : "stop";
}

json_t *openai__usage(const struct api_reply *r) {
    struct api_usage u = api_reply_usage(r);
    return json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I}}", "prompt_tokens", (json_int_t)u.prompt, "completion_tokens",
                     (json_int_t)u.completion, "total_tokens", (json_int_t)u.prompt + u.completion,
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u.cached, "completion_tokens_details",
                     "reasoning_tokens", (json_int_t)u.thoughts);
}

json_t *openai__reply(const struct api_reply *r, const char *object, json_t *choices) {
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", r->id, "object", object, "created", (json_int_t)r->created_s,
                     "model", r->model, "choices", choices);
}

void openai__write_end(const struct api_job *job, struct api_reply *r, const char *object, struct text *out) {
    if (job->include_usage) {
        json_t *last = openai__reply(r, object, json_array());
        json_object_set_new(last, "usage", openai__usage(r));
        write_event(out, last);
    }
    text_add_str(out, "data: [DONE]\n\n");
}

static json_t *error_json(const struct api_error *e) {
    return json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message", write_string(e->message), "type", e->type,
                     "param", e->param[0] ? e->param : NULL, "code", e->code);
}

void openai_write_error(const struct api_error *e, struct text *out) { write_json(out, error_json(e)); }
void openai_write_stream_error(const struct api_error *e, struct text *out) { write_event(out, error_json(e)); }

json_t *openai_no_model(const char *why) {
    struct api_error e;
    api_error_set(&e, 404, "invalid_request_error", "model_not_found", "model", "%s", why);
    return error_json(&e);
}

json_t *openai_model(const char *name, int64_t created_s) {
    return json_pack("{s:s, s:s, s:I, s:s}", "id", name, "object", "model", "created", (json_int_t)created_s,
                     "owned_by", "caravan");
}
