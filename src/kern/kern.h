/* Numeric kernels: the contract.
 *
 * One table of function pointers, filled with the plain C versions (ref/, the truth) and overwritten by what the CPU
 * has (lanes/, written once over the registers of x86/ and arm/). ONE ARITHMETIC: every level computes the same bits,
 * compared with memcmp. The rules:
 *   - a weight matrix is stored as panels of KERN_LANES output rows; one row is one lane, so no lane is ever summed
 *     with another; sums over K run in file order;
 *   - quantised weights: activations are int8 with one f32 scale per KERN_BLOCK values (quantize() is the only rule);
 *     inside a block integer sums are exact; across blocks acc = fma(...), in order, one accumulator per output;
 *   - float weights (F32, F16, BF16): widened to f32, acc = fma(w, x, acc) over k = 0, 1, 2, ...;
 *   - reductions over a vector (norms, softmax sums) use KERN_LANES virtual lanes: lane i sums elements i, i+16, ...
 *     and the lanes are joined 16 -> 8 -> 4 -> 2 -> 1 by adding lane i and lane i + half;
 *   - exp and sigmoid are ours (kern/math.h), the same polynomial with the same fma everywhere.
 * So a result does not depend on the number of threads, on what else is in the batch, or on the machine.
 *
 * Memory: buffers are the caller's, aligned to KERN_ALIGN, disjoint unless stated; kernels never allocate. Reads past
 * the stated sizes never happen. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/format.h"
#include "kern/isa.h"

enum {
    KERN_LANES = 16, /* output rows in a panel */
    KERN_BLOCK = 32, /* values that share an activation scale */
    KERN_ALIGN = 64, /* bytes; of panels and activation rows */
    KERN_PAGE = 64,  /* positions in a KV page = one attention chunk */
    KERN_HEAD_DIM_MAX = 576,
};

enum kern_kv { KERN_KV_F16, KERN_KV_F32, KERN_KV_Q8_0, KERN_KV_COUNT }; /* how K and V are kept */

/* Activations of `tokens` rows of `cols` values. int8 side: value = q * scale of its block of KERN_BLOCK.
 * cols is padded to KERN_BLOCK with zeroes in q (K of quantised weights always is a multiple). */
struct kern_input {
    const float *f32;     /* [tokens][f32_stride]; read by matmuls with float weights only */
    size_t f32_stride;    /* in floats */
    const int8_t *q;      /* [tokens][q_stride] */
    const float *scale;   /* [tokens][q_stride / KERN_BLOCK] */
    const int32_t *sum16; /* [tokens][q_stride / 16]: exact sums of each 16 q */
    size_t q_stride;      /* in values, a multiple of KERN_ALIGN */
    const uint32_t *rows; /* token t is row rows[t] of all of the above; NULL: row t */
};

static inline size_t kern_input_row(const struct kern_input *x, size_t token) {
    return x->rows ? x->rows[token] : token;
}

/* xIELU (arXiv:2411.13010): plus x^2 + slope x above 0, else minus (exp(min(x, most)) - 1 - x) + slope x. */
struct kern_xielu {
    float plus, minus, slope, most;
};

/* Queries of one session against one KV head. All queries of a call share the pages. */
struct kern_attention {
    /* Page p holds positions [p * KERN_PAGE, ...): K transposed as [head_dim_k][KERN_PAGE], V as
     * [KERN_PAGE][head_dim_v]. Q8_0: int8 values so, behind them an f16 scale for each KERN_BLOCK dimensions of a
     * position, K's as [blocks][KERN_PAGE], V's as [KERN_PAGE][blocks]. Only positions that a query sees have to be
     * filled. */
    const void *const *k_pages, *const *v_pages;
    size_t head_dim_k, head_dim_v; /* multiples of 8, <= KERN_HEAD_DIM_MAX */
    float scale;                   /* on q.k, before softcap */
    float softcap;                 /* 0: none; else s = cap * tanh(s / cap) */
    const float *slopes;           /* NULL; or one a query: s falls by it with each position between a key and ... */
    const uint32_t *positions;     /* ... these of the queries */
};

struct kern {
    enum kern_isa isa;

    /* One row of activations to int8: per block of 32, scale = max|x| / 127, q = round-half-even(x / scale) in
     * [-127, 127] computed as x * (1 / scale), zeroes when max is 0. cols: any, padded as above. Fills q[padded],
     * scale[padded/32], sum16[padded/16]. */
    void (*quantize)(const float *x, size_t cols, int8_t *q, float *scale, int32_t *sum16);

    /* out[t][r] = sum_k W[r][k] * x[t][k] for rows [16 * panel_begin, min(16 * panel_end, rows)), all tokens.
     * `panels` is the packed matrix from its first panel; out_stride in floats, out is indexed by absolute row. The
     * function is indexed by the file's tensor type; NULL where the type is not supported. */
    void (*matmul[TENSOR_TYPE_MAX])(const void *panels, size_t rows, size_t cols, size_t panel_begin, size_t panel_end,
                                    const struct kern_input *x, size_t tokens, float *out, size_t out_stride);

    /* out = x * weight / sqrt(mean(x^2) + epsilon); out may be x; weight may be NULL (ones). */
    void (*rms_norm)(const float *x, const float *weight, size_t n, float epsilon, float *out);
    /* out = (x - mean) / sqrt(variance + epsilon) * weight + bias; weight may be NULL (ones), bias too (zeroes), and is
     * where weight is. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, size_t n, float epsilon, float *out);
    /* Rotate the first 2*pairs values of one head by cos[pairs], sin[pairs]. neox: pairs are (i, i + pairs), else
     * (2i, 2i + 1). */
    void (*rope)(float *head, const float *cos, const float *sin, size_t pairs, bool neox);
    void (*add)(float *x, const float *y, size_t n);                            /* x += y */
    void (*scale)(float *x, float factor, size_t n);                            /* x *= factor */
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *out); /* gate * sigmoid(gate) * up */
    void (*gelu_mul)(const float *gate, const float *up, size_t n, float *out); /* tanh form; up NULL: gelu alone */
    void (*gelu_erf_mul)(const float *gate, const float *up, size_t n, float *out); /* the same by the error function */
    /* With g = min(gate, 7) and u = up within [-7, 7]: g * sigmoid(1.702 g) * (u + 1), as gpt-oss has it. */
    void (*silu_clamped_mul)(const float *gate, const float *up, size_t n, float *out);
    void (*relu_squared)(const float *x, size_t n, float *out); /* max(x, 0)^2; out may be x */
    void (*xielu)(const float *x, size_t n, const struct kern_xielu *curve, float *out);
    void (*sigmoid_mul)(const float *gate, size_t n, float *x); /* x *= sigmoid(gate) */
    void (*softcap)(float *x, float cap, size_t n);             /* x = cap * tanh(x / cap) */

    /* Put one position of K (head_dim floats, scattered down a column) / V (one row) into a page of the given kind;
     * Q8_0 rounds by quantize(), and its scales to f16. */
    void (*store_k[KERN_KV_COUNT])(void *page, size_t position_in_page, const float *k, size_t head_dim);
    void (*store_v[KERN_KV_COUNT])(void *page, size_t position_in_page, const float *v, size_t head_dim);

    /* For each query i (q[i * q_stride ..]) over positions [begin[i], end[i]): softmax(scale * q.K) V to
     * out[i * out_stride ..]. Every page (chunk) is computed with its own maximum, then chunks are joined in order, so
     * the result does not depend on how the work is cut. sinks: NULL, or one logit per query that enters the
     * denominator only. */
    void (*attention[KERN_KV_COUNT])(const struct kern_attention *a, const float *q, size_t q_stride, size_t queries,
                                     const uint32_t *begin, const uint32_t *end, const float *sinks, float *out,
                                     size_t out_stride);
};

/* Fill the table for the given level, which must not be above kern_isa_best(). */
void kern_init(struct kern *k, enum kern_isa isa);

/* Can matmul, packing and row_read handle this type? */
bool kern_supports(uint32_t type);
/* Does matmul of this type read the int8 side of its input (else the f32 side)? */
bool kern_wants_int8(uint32_t type);

/* Bytes of one packed panel (16 rows x cols); a packed matrix is ceil(rows / 16) panels one after another. */
size_t kern_panel_bytes(uint32_t type, size_t cols);
/* Pack up to 16 consecutive rows of the file's layout (row_bytes apart) into one panel; missing rows become zeroes. */
void kern_pack_panel(uint32_t type, const void *rows, size_t row_bytes, size_t row_count, size_t cols, void *panel);
/* One row of a packed matrix as f32: the embedding look-up, and the truth in tests. */
void kern_row_read(uint32_t type, const void *panels, size_t row, size_t cols, float *out);
/* One row (or any run of whole blocks) of the file's layout as f32. */
void kern_dequantize(uint32_t type, const void *data, size_t n, float *out);

/* Bytes of one KV page of one head. */
static inline size_t kern_kv_page_bytes(enum kern_kv kv, size_t head_dim) {
    size_t blocks = (head_dim + KERN_BLOCK - 1) / KERN_BLOCK;
    return (size_t)KERN_PAGE * (kv == KERN_KV_Q8_0 ? head_dim + 2 * blocks : head_dim * (kv == KERN_KV_F32 ? 4 : 2));
}

/* Where the scales of a Q8_0 page are. */
static inline size_t kern_kv_scales_at(size_t head_dim) { return (size_t)KERN_PAGE * head_dim; }

/* Multiply-adds of one call of a register loop of the level's integer dot product: the peak that fractions refer to. */
uint64_t kern_peak_int8(enum kern_isa isa, uint64_t iterations);
