#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kern/half.h"
#include "kern/layout.h"
#include "kern/ref/ref.h"

/* THE FORMULA of the quantised product, per output and block of 32 columns, in order, from acc = 0. All in f32:
 *
 *   i, i0, i1 = exact integer sums of (u - offset) * q over the block, its first half, its second half
 *   one scale:          acc = fma(i * scale, input_scale, acc)
 *   a scale per half:   acc = fma(fma(i1, scale1, i0 * scale0), input_scale, acc)
 *   where it has mins:  acc = fma(min, input_scale * sum of q, acc)     after the above
 *   a min per half:     the same for the first half, then for the second
 *
 * |i| < 2^24, so turning it to f32 is exact; scale and min are the exact values of the format. */

/* One token's part of kern_input for one block. */
struct block_input {
    const int8_t *q;
    float scale;
    int32_t sum16[2];
};

static struct block_input block_input(const struct kern_input *x, size_t token, size_t block) {
    size_t row = kern_input_row(x, token);
    const int32_t *sums = x->sum16 + row * (x->q_stride / 16) + block * 2;
    return (struct block_input){
        .q = x->q + row * x->q_stride + block * KERN_BLOCK,
        .scale = x->scale[row * (x->q_stride / KERN_BLOCK) + block],
        .sum16 = {sums[0], sums[1]},
    };
}

/* Sums of (u - offset) * q of one row over half a block. */
static float half_sum(const struct layout_block *w, const struct layout *l, size_t row, int half, const int8_t *q) {
    int32_t sum = 0;
    for (int i = 16 * half; i < 16 * half + 16; i++) sum += (w->u[row][i] - l->offset) * q[i];
    return (float)sum;
}

static float accumulate(const struct layout_block *w, const struct layout *l, size_t row, struct block_input in,
                        float acc) {
    float i0 = half_sum(w, l, row, 0, in.q), i1 = half_sum(w, l, row, 1, in.q);
    if (!layout_has_halves(l)) {
        acc = fmaf((i0 + i1) * w->scale[0][row], in.scale, acc);
        float sum = (float)(in.sum16[0] + in.sum16[1]);
        return layout_has_min(l) ? fmaf(w->min[0][row], in.scale * sum, acc) : acc;
    }
    acc = fmaf(fmaf(i1, w->scale[1][row], i0 * w->scale[0][row]), in.scale, acc);
    for (int half = 0; half < 2 && layout_has_min(l); half++)
        acc = fmaf(w->min[half][row], in.scale * (float)in.sum16[half], acc);
    return acc;
}

static size_t rows_of_panel(size_t rows, size_t panel) {
    size_t left = rows - panel * KERN_LANES;
    return left < KERN_LANES ? left : KERN_LANES;
}

static void clear(float *out, size_t out_stride, size_t tokens, size_t count) {
    for (size_t token = 0; token < tokens; token++) memset(out + token * out_stride, 0, count * sizeof *out);
}

static void matmul_panel(const struct layout *l, const uint8_t *panel, size_t row_count, size_t cols,
                         const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {
    unsigned group_blocks = layout_group_blocks(l);
    clear(out, out_stride, tokens, row_count);
    for (size_t block = 0; block < cols / KERN_BLOCK; block++) {
        struct layout_block w;
        layout_unpack(l, panel + block / group_blocks * layout_group_bytes(l), (unsigned)(block % group_blocks), &w);
        for (size_t token = 0; token < tokens; token++) {
            struct block_input in = block_input(x, token, block);
            float *acc = out + token * out_stride;
            for (size_t row = 0; row < row_count; row++) acc[row] = accumulate(&w, l, row, in, acc[row]);
        }
    }
}

static void matmul_quantised(uint32_t type, const uint8_t *panels, size_t rows, size_t cols, size_t panel_begin,
                             size_t panel_end, const struct kern_input *x, size_t tokens, float *out,
                             size_t out_stride) {
    size_t panel_bytes = kern_panel_bytes(type, cols);
    for (size_t panel = panel_begin; panel < panel_end; panel++)
        matmul_panel(layout_of(type), panels + panel * panel_bytes, rows_of_panel(rows, panel), cols, x, tokens,
                     out + panel * KERN_LANES, out_stride);
}

/* ---- float weights: acc = fma(w, x, acc) over the columns ---- */

static float element(uint32_t type, const uint8_t *panel, size_t index) {
    float value;
    uint16_t half;
    if (type == TENSOR_F32) {
        memcpy(&value, panel + index * sizeof value, sizeof value);
        return value;
    }
    memcpy(&half, panel + index * sizeof half, sizeof half);
    return type == TENSOR_F16 ? half_f16_to_f32(half) : half_bf16_to_f32(half);
}

static void matmul_float(uint32_t type, const uint8_t *panels, size_t rows, size_t cols, size_t panel_begin,
                         size_t panel_end, const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {
    size_t panel_bytes = kern_panel_bytes(type, cols);
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
        const uint8_t *data = panels + panel * panel_bytes;
        size_t count = rows_of_panel(rows, panel);
        clear(out + panel * KERN_LANES, out_stride, tokens, count);
        for (size_t col = 0; col < cols; col++)
            for (size_t row = 0; row < count; row++) {
                float w = element(type, data, col * KERN_LANES + row);
                for (size_t token = 0; token < tokens; token++) {
                    float *acc = &out[token * out_stride + panel * KERN_LANES + row];
                    *acc = fmaf(w, x->f32[kern_input_row(x, token) * x->f32_stride + col], *acc);
                }
            }
    }
}

#define MATMUL(type, product)                                                                                          \
    static void matmul_##type(const void *panels, size_t rows, size_t cols, size_t panel_begin, size_t panel_end,      \
                              const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {              \
        product(TENSOR_##type, panels, rows, cols, panel_begin, panel_end, x, tokens, out, out_stride);                \
    }
#define MATMUL_QUANTISED(type, ...) MATMUL(type, matmul_quantised)
LAYOUT_TYPES(MATMUL_QUANTISED)
MATMUL(F32, matmul_float)
MATMUL(F16, matmul_float)
MATMUL(BF16, matmul_float)

void ref_matmul_init(struct kern *k) {
#define SET(type, ...) k->matmul[TENSOR_##type] = matmul_##type;
    LAYOUT_TYPES(SET)
    SET(F32)
    SET(F16)
    SET(BF16)
#undef SET
}

uint64_t ref_peak_int8(uint64_t iterations) {
    static const int8_t ones[64] = {1, 2, 3};
    volatile int32_t sink;
    int32_t sum = 0;
    for (uint64_t i = 0; i < iterations; i++)
        for (size_t j = 0; j < ARRAY_LEN(ones); j++) sum += ones[j] * (int8_t)i;
    sink = sum;
    (void)sink;
    return iterations * ARRAY_LEN(ones);
}
