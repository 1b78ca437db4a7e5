/* The OpenAI dialect: chat/completions, completions, embeddings and models, request text to job and results to response
 * text; responses have a header of their own.
 *
 * Unknown fields are ignored; a known field that is impossible, or that would change the answer and is not supported,
 * is a 400 that names it. Pure. */
#pragma once
#include "api/dialect.h"

extern const struct api_dialect openai_chat, openai_completions, openai_embeddings;

/* {"error": {...}}, as a body and as an event in the middle of a stream. */
void openai_write_error(const struct api_error *e, struct text *out);
void openai_write_stream_error(const struct api_error *e, struct text *out);
/* An element of the list of models: new reference. */
json_t *openai_model(const char *name, int64_t created_s);
/* The error for a model that is none, new reference. */
json_t *openai_no_model(const char *why);
