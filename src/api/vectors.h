/* Embeddings as clients want them: of length 1, cut, as numbers or as text. Pure. */
#pragma once
#include "api/reply.h"

/* The answer's vector, cut to job->dimensions and scaled to length 1: array of numbers, or base64 of little-endian
 * float32 if the job says so. New reference. */
json_t *vectors_json(const struct api_job *job, const struct api_answer *a);
