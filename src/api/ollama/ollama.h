/* The Ollama dialect: chat, generate, embed and the older embeddings (github.com/ollama/ollama/blob/main/docs/api.md),
 * and what its lists of models look like. Pure. */
#pragma once
#include "api/dialect.h"

extern const struct api_dialect ollama_chat, ollama_generate, ollama_embed, ollama_embeddings;

/* {"error": TEXT} */
void ollama_write_error(const struct api_error *e, struct text *out);
/* "1970-01-01T00:00:00Z" */
enum { OLLAMA_TIME_BYTES = 32 };
const char *ollama_time(int64_t unix_s, char out[OLLAMA_TIME_BYTES]);
/* How a model is called here: with the tag "latest" if its name has none. */
json_t *ollama_name(const char *name);
/* The name that a client's word means: without that tag. The text's own memory, or the job's. */
const char *ollama_model(struct api_job *job, const char *word);

/* What is known of a model's file. */
struct ollama_model {
    const char *name, *architecture, *format, *digest;
    const char *quantization; /* "Q4_K_M"; NULL: unknown */
    uint64_t bytes, parameters;
    int64_t modified_s;
};
/* An element of /api/tags and, with more, of /api/ps. New references. */
json_t *ollama_model_json(const struct ollama_model *m);
json_t *ollama_details_json(const struct ollama_model *m);
