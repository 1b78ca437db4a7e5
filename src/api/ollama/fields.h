/* Fields that the requests of the Ollama dialect share. Pure. */
#pragma once
#include "api/job.h"

/* model, options, keep_alive, format, think, stream, logprobs. 0 or the HTTP status. */
int ollama__read_common(struct api_job *job, struct api_error *e);
/* model and keep_alive. */
int ollama__read_model(struct api_job *job, struct api_error *e);
/* "images" of an object: none may be there yet. */
int ollama__refuse_images(const json_t *object, const char *param, struct api_error *e);
