/* The logits of sequences of tokens: what `caravan debug logits` prints, perplexity scores and golden tests compare.
 *
 * A model loaded for one sequence at a time, without sampling. One thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/kern.h"
#include "model/model.h"

struct logits;

struct logits_setup {
    uint32_t context;    /* 0: the model's */
    uint32_t tokens_max; /* of the longest sequence, at most the context */
    uint32_t chunk;      /* tokens per step; 0: as many as a step takes */
    unsigned threads;    /* 0: one per core */
    enum kern_isa isa;
    enum kern_kv kv;
};

/* Takes the `vocab` logits after a position, in order; 0, or an ERR_ code that ends the run. */
typedef int logits_sink(void *context, const float *logits, size_t vocab);

/* Load the model, which must outlive it. ERR_LIMIT when the longest sequence does not fit in the context. */
int logits_open(struct logits **out, const struct model *m, const struct logits_setup *setup, struct error *error);
void logits_close(struct logits *l); /* NULL is fine */
/* Feed a sequence from position 0 and hand out the logits after position `first` and all later ones. What was fed
 * before is forgotten. count is at most tokens_max. */
int logits_feed(struct logits *l, const uint32_t *tokens, uint32_t count, uint32_t first, logits_sink *sink,
                void *context, struct error *error);

struct logits_options {
    const uint32_t *tokens;
    uint32_t count;
    uint32_t chunk;   /* tokens per step; 0: as many as a step takes */
    uint32_t context; /* 0: the model's */
    unsigned threads; /* 0: one per core */
    enum kern_isa isa;
    enum kern_kv kv;
};

/* All of it at once: load the model and hand out the logits after every token. */
int logits_run(const struct model *m, const struct logits_options *options, logits_sink *write, void *context,
               struct error *error);
