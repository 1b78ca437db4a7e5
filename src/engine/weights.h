/* Weights of a slice in memory: matrices packed for the kernels, vectors as f32.
 *
 * Read from the file by the compute pool's threads, each reading and packing its own blocks; only the slice's byte
 * ranges are read and nothing is mapped. Immutable once loaded. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/pool.h"
#include "engine/share.h"
#include "model/model.h"
#include "os/memory.h"

struct matrix {
    uint32_t type; /* of the file */
    size_t rows, cols;
    void *panels; /* NULL: the model has none */
};

#define WEIGHTS_MATRIX(name) struct matrix name;
#define WEIGHTS_VECTOR(name) float *name; /* NULL: the model has none */

struct weights_layer {
    const struct model_layer *is; /* what it does; the model's */
    MODEL_LAYER_TENSORS(WEIGHTS_MATRIX, WEIGHTS_VECTOR)
};

/* What part of the model: a member's share of layers [layer_begin, layer_end), and of embedding, final norm and head if
 * `ends`. */
struct weights_part {
    uint32_t layer_begin, layer_end;
    bool ends;
    const struct share *share;
};

struct weights {
    struct memory memory;
    struct weights_layer *layers;                     /* layer_end - layer_begin of them */
    MODEL_END_TENSORS(WEIGHTS_MATRIX, WEIGHTS_VECTOR) /* output may lie in token_embd */
    MODEL_ROPE_TENSORS(WEIGHTS_VECTOR)
};

/* Bytes that the part takes in memory. */
uint64_t weights_bytes(const struct model *m, struct weights_part part);

/* Call `visit` with each range of the model's file that the part is read from, in no order. */
void weights_ranges(const struct model *m, struct weights_part part,
                    void (*visit)(void *context, uint64_t offset, uint64_t len), void *context);

/* Reserve, read and pack. ERR_NOMEM, ERR_IO, ERR_UNSUPPORTED (a type without kernels), or ERR_CANCELLED when *cancel
 * (may be NULL) became true. Nothing needs freeing on failure. */
int weights_load(struct weights *w, const struct model *m, struct weights_part part, struct pool *pool,
                 const atomic_bool *cancel, struct error *error);
void weights_deinit(struct weights *w);
