/* Caravan's own dialect: what `caravan run` speaks. {"model", "prompt" or "messages", "temperature", "top_p", "seed",
 * "max_tokens"} gives events {"text"} and at last {"done": true, "finish_reason", ...}. Pure. */
#pragma once
#include "api/dialect.h"

extern const struct api_dialect cluster_generate;

/* {"error": {"message", "code", "param"}}: how errors look on all of Caravan's own paths. */
void cluster_write_error(const struct api_error *e, struct text *out);
