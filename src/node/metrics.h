/* What this node's gateway has done, for Prometheus: vLLM's names after our own prefix where they mean the same.
 *
 * Counted per model, from what the gateway sees; the cluster's nodes each tell their own. Loop thread only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "api/reply.h"
#include "base/text.h"

enum { METRICS_MODELS_MAX = 32, METRICS_NAME_BYTES = 128, METRICS_BUCKETS = 20 };

struct metrics_histogram {
    uint64_t counts[METRICS_BUCKETS + 1]; /* the last one: more than the largest bound */
    double sum;
};

struct metrics_model {
    char name[METRICS_NAME_BYTES];
    uint32_t waiting, running; /* now: before and after the first token */
    uint64_t ended[API_FAILED + 1];
    uint64_t prompt_tokens, cached_tokens;
    uint64_t generated_tokens; /* counted by the gateway as they come */
    struct metrics_histogram first_token, between_tokens, mean_between, whole, decode;
    struct metrics_histogram prompt_sizes, answer_sizes; /* tokens */
};

/* What only the node that coordinates a model knows of it. */
struct metrics_cache {
    const char *model;
    double used;         /* part of the pages that running requests hold */
    uint64_t put_back;   /* requests that gave way to others and went on later */
};

struct metrics {
    struct metrics_model models[METRICS_MODELS_MAX];
    uint32_t count;
};

/* The model's row, made on first use; models beyond the table share its last row. */
struct metrics_model *metrics_of(struct metrics *m, const char *model);
/* A request has ended, `whole_us` after its prompt was ready. begun: its first token was seen. */
void metrics_end(struct metrics_model *m, const struct api_answer *a, uint64_t whole_us, bool begun);
/* A token came so long after the one before it. */
void metrics_token(struct metrics_model *m, uint64_t gap_us);
/* How long requests take, over all models; 0: none has ended. */
double metrics_mean_s(const struct metrics *m);
/* In Prometheus's text format. */
void metrics_write(const struct metrics *m, const struct metrics_cache *caches, size_t cache_count, struct text *out);
