/* What bench and debug logits do with --cluster: ask the running node for the same, through the loaded instance. */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

struct cluster_bench {
    const char *model;
    uint32_t prompt, generate, repeat, requests; /* requests: at once */
};

/* The node's measurement, the caller's. */
int cluster_bench(const struct cluster_bench *bench, json_t **result, struct error *error);

/* Logits after each of the tokens on stdout, float32; chunk 0: as many tokens a step as it likes. Returns the exit
 * status. */
int cluster_logits(const char *model, const uint32_t *tokens, uint32_t count, uint32_t chunk);
