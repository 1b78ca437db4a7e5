/* embeddings. */
#include <string.h>

#include "api/body.h"
#include "api/openai/private.h"
#include "api/vectors.h"
#include "api/write.h"

static int read_encoding(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "encoding_format");
    const char *name = json_string_value(given);
    if (given == NULL) return 0;
    job->base64 = name && strcmp(name, "base64") == 0;
    bool known = job->base64 || (name && strcmp(name, "float") == 0);
    return known ? 0 : body_wrong(e, "encoding_format", "must be float or base64");
}

static int read_embeddings(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    job->task = API_EMBED;
    int status = body_parse(job, text, len, e);
    if (status == 0) status = body_model(job, e);
    if (status == 0) status = body_prompts(job, "input", e);
    if (status == 0) status = body_count(job->body, "dimensions", 1, &job->dimensions, e);
    return status ? status : read_encoding(job, e);
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *data = json_array();
    json_int_t tokens = api_reply_usage(r).prompt;
    for (uint32_t i = 0; i < r->count; i++)
        json_array_append_new(data, json_pack("{s:s, s:i, s:o}", "object", "embedding", "index", (int)i, "embedding",
                                              vectors_json(job, &r->answers[i])));
    write_json(out, json_pack("{s:s, s:o, s:s, s:{s:I, s:I}}", "object", "list", "data", data, "model", r->model,
                              "usage", "prompt_tokens", tokens, "total_tokens", tokens));
}

const struct api_dialect openai_embeddings = {.id_prefix = "embd-",
                                              .read = read_embeddings,
                                              .whole = write_whole,
                                              .stream_error = openai_write_stream_error,
                                              .error = openai_write_error};
