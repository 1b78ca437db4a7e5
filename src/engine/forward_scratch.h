/* What the forward pass writes into between two matrices. Plain data, views of one reservation (forward.c). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

/* Rows of activations as the matmuls read them. */
struct activations {
    struct kern_input input; /* views of the following */
    float *f32;
    int8_t *q;
    float *scale;
    int32_t *sum16;
    size_t width, f32_stride, q_stride;
};

/* What a layer of experts works on. An entry is one row at one expert; entries are sorted by expert. */
struct mixture {
    float *scores, *ranks, *shared_gate; /* [row][expert], the last [row] */
    uint32_t *chosen, *entry;            /* [row][used]: expert; place among the entries */
    float *weight, *inward;              /* [row][used]; [entry]: the same, where it is on what goes in */
    uint32_t *row, *begin;               /* [entry]; [expert + 1]: its first entry */
    uint32_t *active, active_count;      /* experts that have entries */
    struct activations gated;            /* [entry] */
    float *up, *down;                    /* [entry][width] */
};

/* What a layer of latent attention works on. */
struct latent {
    float *low, *queries;          /* [row][width] */
    struct activations low_normed; /* what queries are made of */
    struct activations nope;       /* parts of queries that do not rotate, each head's from a whole block on */
    struct activations seen;       /* [head]: sums of latent vectors */
};
