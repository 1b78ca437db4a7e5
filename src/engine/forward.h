/* The forward pass: rows of hidden state through the layers of a slice, on this machine's CPU.
 *
 * One function for the whole decoder family, driven by the hyper-parameters and by what a layer has. Work is split by
 * output rows, heads and rows of the step, never along a sum, so results do not depend on threads or on what else is in
 * the step. All scratch memory is reserved at the start; a step allocates nothing. One thread calls; the pool computes.
 * Where several members share the layers (share.h), each computes its rows of every matrix for all rows of the step,
 * and between two matrices they tell each other. forward.c is the pass, products.c norms and matrix products,
 * attention.c heads and their cache, latent.c another way to their queries, convolution.c and recurrence.c what some
 * layers do instead, experts.c mixtures, gather.c what members tell each other. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/exchange.h"
#include "engine/forward_scratch.h"
#include "engine/pages.h"
#include "engine/pool.h"
#include "engine/rope.h"
#include "engine/share.h"
#include "engine/step.h"
#include "engine/weights.h"
#include "kern/kern.h"
#include "model/model.h"
#include "os/memory.h"

/* Consecutive rows of a part that belong to one session: what one attention call works on. */
struct forward_span {
    uint32_t row_begin, row_count;
    uint32_t seen; /* positions that all of its rows see; 0: each sees those up to its own */
};

/* Heads of this member that share a KV head, or some of them. */
struct forward_group {
    uint32_t head, count, kv_head; /* the first; of those that the member has */
};

/* Columns of activations, or of sums, of which each member has made its own ones. */
struct forward_columns {
    enum forward_cut { FORWARD_HEADS, FORWARD_INSIDE, FORWARD_HIDDEN } cut;
    struct activations *activations; /* NULL: sums */
    float *sums;                     /* [row][embd] */
    uint32_t row, rows, size;        /* of them; size: columns of all, but of FORWARD_HIDDEN */
    bool int8;                       /* activations: as int8, else f32 */
};

/* What a part of a step waits for from the other members, and the sums that then go to its hidden rows. */
struct forward_gather {
    struct forward_columns columns[2];
    uint32_t count;
    struct {
        float *rows;
        const float *post_norm;
    } sums[2];
    uint32_t sum_count;
};

/* Rows of a step that go through the layers together. Where members share a stage there are several: one is computed
 * while the columns of another are on their way. */
struct forward_part {
    const struct step_row *rows;
    uint32_t first, row_count; /* of the step */
    float *hidden;             /* [row_count][embd] */
    struct forward_span *spans;
    uint32_t span_count;
    struct forward_gather gather;
};

enum { FORWARD_PARTS_MAX = 64 };

/* Rotations of one kind of layer: of all pairs at the positions of a step. */
struct forward_rope {
    size_t pairs;
    double *frequency; /* [pair] radians a position */
    float magnitude;   /* on the following */
    float *cos, *sin;  /* [row][pair] of the step */
};

/* Heads of one kind of layer, and how they are grouped. */
struct forward_heads {
    struct share_sizes sizes;
    struct forward_group *groups;
    uint32_t group_count, group_size; /* the greatest */
};

struct forward {
    /* not owned; set before forward_init */
    const struct share_sizes *sizes;
    const struct model_params *params; /* of sizes */
    const struct model_params *whole;  /* the model's */
    const struct share *share;
    const struct exchange *exchange; /* NULL: alone */
    const struct kern *kern;
    const struct weights *weights;
    struct pages *pages;
    struct pool *pool;

    struct memory memory; /* everything below lies in it */
    struct activations normed, attended, gated;
    struct activations widened;     /* an embedding, between the last two matrices that it passes */
    float *q, *k, *v, *heads_gate, *convolved, *recurred, *up, *branch; /* [row][width] */
    float *other_branch;            /* where attention and FFN come out together: attention's */
    uint8_t *packed;                /* what is being sent */
    uint32_t rows_max, part_rows_max; /* of a step, of a part of it */
    struct mixture mixture;
    struct latent latent;
    float attention_scale, *slopes; /* ALiBi: [head] */
    struct forward_rope rope[2]; /* of layers that see everything, of those with a window */
    struct forward_heads heads[2]; /* the same */
    struct forward_span spans[STEP_ROWS_WHOLE_MAX];
    struct forward_part parts[FORWARD_PARTS_MAX];
    uint32_t part_count;
    uint8_t *member_scratch; /* attention's own, one for each member of the pool */
    size_t member_scratch_bytes;
};

/* Bytes of scratch memory for a pool of `threads` and sessions of `context` positions. */
uint64_t forward_bytes(const struct share_sizes *sizes, const struct share *share, unsigned threads, uint32_t context);
int forward_init(struct forward *f, uint32_t context, struct error *error); /* ERR_NOMEM: nothing is to be freed */
void forward_deinit(struct forward *f);

/* The functions of slice.h of the same name. */
int forward_embed(struct forward *f, const struct step *step, float *hidden, struct error *error);
int forward_layers(struct forward *f, const struct step *step, float *hidden, struct error *error);
/* Rows of logits are `stride` apart; filled are those of the member's rows of the head. */
void forward_head(struct forward *f, const float *hidden, uint32_t count, float *logits, size_t stride);
void forward_norm(struct forward *f, const float *hidden, uint32_t count, float *out);
/* What becomes of the sum of such rows, in place: nothing, unless the model has matrices for that. */
void forward_finish_pooled(struct forward *f, float *x);
