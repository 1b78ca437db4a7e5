#include "api/ollama/fields.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/ollama/ollama.h"

static const char latest[] = ":latest";

const char *ollama_model(struct api_job *job, const char *word) {
    size_t len = strlen(word), tag = strlen(latest);
    if (len <= tag || strcmp(word + len - tag, latest) != 0) return word;
    return json_string_value(body_make(job, "model", json_stringn(word, len - tag)));
}

/* ---- keep_alive ---- */

/* A duration as Go writes it, "1h2m3.5s", in seconds. False: it is none. */
static bool read_duration(const char *text, double *seconds) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
    bool negative = text[0] == '-';
    if (negative) text++;
    *seconds = 0;
    while (*text) {
        char *end;
        double value = strtod(text, &end);
        size_t i = 0, count = sizeof units / sizeof *units;
        if (end == text || !isfinite(value)) return false;
        while (i < count && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0) i++;
        if (i == count && *end) return false;
        *seconds += value * (i == count ? 1 : units[i].seconds);
        text = i == count ? end : end + strlen(units[i].unit);
    }
    if (negative) *seconds = -*seconds;
    return true;
}

static int read_keep_alive(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "keep_alive");
    double seconds = json_number_value(given);
    if (given == NULL) return 0;
    bool good = json_is_number(given) || (json_is_string(given) && json_string_length(given) > 0 &&
                                          read_duration(json_string_value(given), &seconds));
    if (!good) return body_wrong(e, "keep_alive", "must be seconds, or a duration like \"5m\"");
    job->keep_alive_s = seconds < 0 || seconds >= API_KEEP_AS_IT_IS ? API_KEEP_FOREVER : (uint32_t)ceil(seconds);
    return 0;
}

/* Of a model that is loaded already it stays as it is. */
static int read_context_length(struct api_job *job, struct api_error *e) {
    const json_t *options = body_get(job->body, "options");
    return json_is_object(options) ? body_count(options, "num_ctx", 0, &job->context_wanted, e) : 0;
}

/* Older clients say "name". */
int ollama__read_model(struct api_job *job, struct api_error *e) {
    const json_t *older = body_get(job->body, "name");
    if (body_get(job->body, "model") == NULL && json_is_string(older))
        json_object_set(job->body, "model", (json_t *)(uintptr_t)older);
    int status = body_model(job, e);
    if (status == 0) status = read_keep_alive(job, e);
    if (status == 0) status = read_context_length(job, e);
    if (status == 0) job->model = ollama_model(job, job->model);
    return status;
}

/* ---- the others ---- */

/* Below zero: as many as there is room for. */
static int read_length(struct api_job *job, const json_t *options, struct api_error *e) {
    const json_t *given = body_get(options, "num_predict");
    if (given == NULL || (json_is_number(given) && json_number_value(given) < 0)) return 0;
    return body_count(options, "num_predict", 0, &job->tokens_max, e);
}

/* Ollama's own defaults; sizes of batches are the node's affair. */
static int read_options(struct api_job *job, struct api_error *e) {
    const json_t *options = body_get(job->body, "options");
    job->temperature = 0.8f;
    job->top_p = 0.9f;
    job->top_k = 40;
    if (options == NULL) return 0;
    if (!json_is_object(options)) return body_wrong(e, "options", "must be an object");
    int status = body_sampling(job, options, e);
    if (status == 0) status = body_stops(job, options, "stop", e);
    return status ? status : read_length(job, options, e);
}

static int read_format(struct api_job *job, struct api_error *e) {
    const json_t *format = body_get(job->body, "format");
    const char *word = json_string_value(format);
    if (format == NULL || (word && word[0] == '\0')) return 0;
    if (json_is_object(format))
        job->schema = format;
    else if (word && strcmp(word, "json") == 0)
        job->schema = body_make(job, "schema", json_true());
    else
        return body_wrong(e, "format", "must be \"json\" or a JSON Schema");
    return 0;
}

static int read_think(struct api_job *job, struct api_error *e) {
    const json_t *think = body_get(job->body, "think");
    static const char *const efforts[] = {"low", "medium", "high"};
    if (think == NULL) return 0;
    if (json_is_boolean(think)) {
        body_variable(job, "enable_thinking", json_boolean(json_is_true(think)));
        return 0;
    }
    for (size_t i = 0; json_is_string(think) && i < sizeof efforts / sizeof *efforts; i++) {
        if (strcmp(json_string_value(think), efforts[i]) != 0) continue;
        body_variable(job, "enable_thinking", json_true());
        body_variable(job, "reasoning_effort", json_string(efforts[i]));
        return 0;
    }
    return body_wrong(e, "think", "must be true, false, low, medium or high");
}

static int read_logprobs(struct api_job *job, struct api_error *e) {
    bool wanted = false;
    uint32_t top = 0;
    int status = body_bool(job->body, "logprobs", &wanted, e);
    if (status == 0) status = body_count(job->body, "top_logprobs", 0, &top, e);
    if (status == 0 && top > API_TOP_LOGPROBS_MAX) status = body_wrong(e, "top_logprobs", "can be at most 20");
    job->logprobs = wanted ? 1 + top : 0;
    return status;
}

int ollama__read_common(struct api_job *job, struct api_error *e) {
    job->stream = true;
    int status = ollama__read_model(job, e);
    if (status == 0) status = read_options(job, e);
    if (status == 0) status = read_format(job, e);
    if (status == 0) status = read_think(job, e);
    if (status == 0) status = read_logprobs(job, e);
    return status ? status : body_bool(job->body, "stream", &job->stream, e);
}

int ollama__refuse_images(const json_t *object, const char *param, struct api_error *e) {
    return json_array_size(json_object_get(object, "images")) > 0
               ? body_wrong(e, param, "holds images: not supported yet")
               : 0;
}
