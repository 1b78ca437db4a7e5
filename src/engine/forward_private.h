/* What the files of the forward pass share (forward.h). Each function that takes `rows` works on rows [0, rows) of the
 * part, in regions of the pool. */
#pragma once
#include <stdbool.h>

#include "engine/forward.h"

/* Hands out aligned pieces of a reservation; without one (base 0) it only counts. */
struct carver {
    uintptr_t base;
    uint64_t used;
    uint32_t rows; /* of a step, at most */
};

void *forward__carve(struct carver *c, uint64_t count, size_t item_bytes);
float *forward__carve_rows(struct carver *c, size_t width);
void forward__carve_activations(struct carver *c, struct activations *a, size_t width, size_t rows);

/* ---- products.c ---- */

/* Weights of a norm; both NULL: the values as they are, unless it is a bare one. */
struct norm {
    const float *weight, *bias;
    bool bare;
};

bool forward__wants_int8(const struct matrix *m);
/* out = norm(x); out may be x. */
void forward__normalize(const struct forward *f, struct norm norm, const float *x, size_t n, float *out);
/* f->normed = norm(hidden), also as int8 if wanted. */
void forward__norm_rows(struct forward *f, const float *hidden, struct norm norm, uint32_t rows, bool int8);
/* The same to elsewhere, from any rows of its width. */
void forward__norm_into(struct forward *f, const float *from, struct norm norm, uint32_t rows, bool int8,
                        struct activations *to);
/* Values [begin, begin + count) of one row; begin is a multiple of KERN_BLOCK. */
void forward__quantize_part(const struct forward *f, struct activations *a, size_t row, size_t begin, size_t count);
/* Some columns, from a multiple of KERN_BLOCK on, of rows [row, row + rows). */
void forward__quantize_rows(struct forward *f, struct activations *a, uint32_t row, uint32_t rows,
                            struct range columns);

/* Up to four matrices that share their input, as one region: products[i].out[row][matrix->rows]. */
struct products {
    const struct activations *x;
    uint32_t x_row, rows; /* rows [x_row, x_row + rows) of x */
    struct product {
        const struct matrix *matrix; /* NULL ends the list */
        float *out;
        size_t stride; /* of out; 0: matrix->rows */
    } products[4];
};
void forward__multiply(struct forward *f, const struct products *products);

/* What becomes of a branch: hidden += scale * post_norm(W x + bias). Of some members' columns only the sums are made.
 */
struct branch {
    const struct matrix *matrix;
    const float *bias;
    const float *post_norm; /* NULL: none */
    const struct activations *x;
    uint32_t x_row;
    float *out; /* [row][embd], from the first column that is made */
};
void forward__run_branch(struct forward *f, const struct branch *branch, uint32_t rows, float *hidden);
/* The rest of it, of rows whose sums are complete. */
void forward__finish_branch(struct forward *f, const float *post_norm, float *sums, uint32_t rows, float *hidden);

/* The inside of an FFN, activation(gate x) * (up x), or activation(up x) where there is no gate. */
struct gate {
    struct matrix gate, up;
    const float *gate_bias, *up_bias;
    const float *weights; /* NULL, or one for each out row, on the products */
    struct kern_xielu curve;
    struct kern_input x;
    uint32_t rows;
    struct activations *out; /* rows [out_row, out_row + rows), also as int8 if wanted */
    uint32_t out_row;
    size_t out_column; /* where the columns go that are the member's own, a multiple of KERN_BLOCK */
    float *up_out;     /* scratch, [out row][out->width] */
    bool int8;
};
/* Blocks of an FFN of that width, and how many of `blocks` a task should take at a time. */
size_t forward__gate_blocks(size_t width);
size_t forward__gate_grain(const struct forward *f, size_t blocks, const struct matrix *like);
size_t forward__panel_grain(const struct forward *f, size_t panels, const struct matrix *like);
/* Compute blocks [begin, end). */
void forward__run_gate(const struct forward *f, const struct gate *gate, size_t begin, size_t end);
/* Rows of activations from `row` on, in them the columns from `column` (of a whole KERN_ALIGN) on. */
struct kern_input forward__input_from(const struct activations *a, size_t row, size_t column);
/* f->gated, rows [row, row + rows) = the inside of the layer's FFN, from f->normed. */
void forward__gate(struct forward *f, const struct weights_layer *layer, uint32_t row, uint32_t rows);
/* Bias, scale and soft cap of logits. */
void forward__finish_logits(struct forward *f, uint32_t rows, float *logits, size_t stride);

/* ---- experts.c ---- */

void forward__carve_mixture(struct carver *c, const struct share_sizes *sizes, struct mixture *m);
/* A layer of experts, from f->normed: what is inside of them and of the shared FFN; then, once all columns of that are
 * there, sums of a part: shared + those of the chosen. */
void forward__mix(struct forward *f, const struct weights_layer *layer, const struct forward_part *part);
void forward__unmix(struct forward *f, const struct weights_layer *layer, const struct forward_part *part);

/* ---- gather.c ---- */

void forward__carve_gather(struct carver *c, const struct share_sizes *sizes, const struct share *share,
                           struct forward *f);
/* The own columns of a cut. */
struct range forward__own(const struct forward *f, enum forward_cut cut, uint32_t size);
/* Remember what the part has made. Alone there is nothing to do, and the following do nothing. */
void forward__made(struct forward *f, struct forward_part *part, const struct forward_columns *columns);
void forward__made_sums(struct forward *f, struct forward_part *part, float *sums, const float *post_norm);
/* Send the own columns of what was made; later, wait for those of the others, and add sums to the hidden rows. */
int forward__send(struct forward *f, struct forward_part *part, struct error *error);
int forward__take(struct forward *f, struct forward_part *part, struct error *error);

/* ---- attention.c ---- */

/* ALiBi's slopes of the own heads. */
void forward__lean_heads(struct forward *f);
/* The member's heads in groups: f->heads. */
void forward__group_heads(struct forward *f);
/* Values of all heads of a row. */
size_t forward__query_width(const struct share_sizes *s);
size_t forward__key_width(const struct share_sizes *s);
size_t forward__value_width(const struct share_sizes *s);
/* Scratch of one member of the pool; f->heads have their sizes. */
uint64_t forward__attention_bytes(const struct forward *f, uint32_t context);
/* Cut the rows of the step into parts and spans, and turn the rotations to their positions; once a step. */
void forward__begin_attention(struct forward *f, const struct step *step, float *hidden);
/* f->q, f->k and f->v to f->attended: norms, rotation, K and V into their pages, attention. `index`: of the layer
 * within the slice. */
void forward__attend(struct forward *f, const struct forward_part *part, uint32_t index);
/* Its parts: K and V of one row into their pages; f->q of all rows and what is cached to `out`. */
void forward__store(const struct forward *f, uint32_t index, const struct step_row *row, const float *k,
                    const float *v);
/* A row's queries of a layer, `width` values: louder far behind the context as trained, where the model has it so. */
void forward__sharpen(const struct forward *f, const struct model_layer *l, uint32_t position, float *q, size_t width);
void forward__attend_heads(struct forward *f, const struct forward_part *part, uint32_t index, struct activations *out,
                           uint32_t out_row, size_t out_column);

/* ---- convolution.c ---- */

/* f->normed to f->attended, of a layer that convolves. */
void forward__convolve(struct forward *f, const struct forward_part *part, uint32_t index);

/* ---- latent.c ---- */

void forward__carve_latent(struct carver *c, const struct model_params *p, struct latent *l);
/* f->normed to f->attended. */
void forward__attend_latent(struct forward *f, const struct forward_part *part, uint32_t index);
