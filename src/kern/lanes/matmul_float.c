#include <string.h>

#include "kern/lanes/levels.h"
#include "kern/lanes/simd.h"

/* acc = fma(w, x, acc), column after column, so speed comes from several chains at once: a few panels where there are
 * few tokens, else several tokens, whose values are copied side by side for a chunk of columns. */
enum {
    CHUNK_COLUMNS = 256,
    PREFETCH_BYTES = 2048, /* ahead in each panel when few tokens stream them */
};

struct tile {
    const uint8_t *weights; /* at the chunk's first column, of the first panel */
    size_t panel_bytes, columns;
    const float *x; /* [token][CHUNK_COLUMNS] */
    float *out;     /* [token][out_stride] */
    size_t out_stride, rows;
    bool first; /* chunk of columns: accumulators begin at zero */
};

SIMD_INLINE f32x16 load_weights(uint32_t type, const uint8_t *p) {
    if (type == TENSOR_F32) return f32_load((const float *)(const void *)p);
    const uint16_t *halves = (const uint16_t *)(const void *)p;
    return type == TENSOR_F16 ? f32_from_f16(halves) : f32_from_bf16(halves);
}

SIMD_INLINE size_t column_bytes(uint32_t type) { return KERN_LANES * (type == TENSOR_F32 ? 4 : 2); }

SIMD_INLINE size_t rows_of(size_t rows, int panel) {
    size_t left = rows - (size_t)panel * KERN_LANES;
    return left < KERN_LANES ? left : KERN_LANES;
}

SIMD_INLINE void run_tile(uint32_t type, int panels, int tokens, const struct tile *tile) {
    f32x16 acc[SIMD_CHAINS];
    const float *x = tile->x;
    UNROLLED (p, panels)
        UNROLLED (t, tokens) {
            const float *out = tile->out + (size_t)t * tile->out_stride + p * KERN_LANES;
            acc[p * tokens + t] = tile->first ? f32_set(0.0f) : f32_load_n(out, rows_of(tile->rows, p));
        }
    for (size_t column = 0; column < tile->columns; column++, x++)
        UNROLLED (p, panels) {
            const uint8_t *at = tile->weights + (size_t)p * tile->panel_bytes + column * column_bytes(type);
            f32x16 w = load_weights(type, at);
            if (panels > 1) __builtin_prefetch(at + PREFETCH_BYTES);
            UNROLLED (t, tokens) acc[p * tokens + t] = f32_fma(w, f32_set(x[t * CHUNK_COLUMNS]), acc[p * tokens + t]);
        }
    UNROLLED (p, panels)
        UNROLLED (t, tokens)
            f32_store_n(tile->out + (size_t)t * tile->out_stride + p * KERN_LANES, acc[p * tokens + t],
                        rows_of(tile->rows, p));
}

struct strip {
    const uint8_t *panels;
    size_t panel_bytes, rows, cols, panel_begin, panel_end;
    const struct kern_input *x;
    float *out;
    size_t out_stride;
};

/* Panels from `panel` on, `together` at a time, for one chunk of columns; returns the first panel that is left. */
SIMD_INLINE size_t run_panels(uint32_t type, int together, int tokens, const struct strip *s, size_t panel,
                              struct tile tile, float *out) {
    const uint8_t *weights = tile.weights;
    for (; panel + (size_t)together <= s->panel_end; panel += (size_t)together) {
        tile.weights = weights + panel * s->panel_bytes;
        tile.out = out + panel * KERN_LANES;
        tile.rows = s->rows - panel * KERN_LANES;
        run_tile(type, together, tokens, &tile);
    }
    return panel;
}

SIMD_INLINE void run_chunk(uint32_t type, int together, int tokens, const struct strip *s, size_t token, size_t begin,
                           size_t columns, const float *x) {
    struct tile tile = {.weights = s->panels + begin * column_bytes(type),
                        .panel_bytes = s->panel_bytes,
                        .columns = columns,
                        .x = x,
                        .out_stride = s->out_stride,
                        .first = begin == 0};
    float *out = s->out + token * s->out_stride;
    size_t panel = run_panels(type, together, tokens, s, s->panel_begin, tile, out);
    run_panels(type, 1, tokens, s, panel, tile, out);
}

/* `tokens` at a time from `token` on, by `together` panels, whose chunk of columns stays in L2 meanwhile; returns the
 * first token that is left. */
SIMD_INLINE size_t run_tokens(uint32_t type, int together, int tokens, const struct strip *s, size_t token,
                              size_t count) {
    float x[SIMD_CHAINS][CHUNK_COLUMNS] __attribute__((aligned(KERN_ALIGN)));
    size_t end = token + (count - token) / (size_t)tokens * (size_t)tokens;
    for (size_t begin = 0; begin < s->cols; begin += CHUNK_COLUMNS)
        for (size_t at = token; at < end; at += (size_t)tokens) {
            size_t left = s->cols - begin, columns = left < CHUNK_COLUMNS ? left : CHUNK_COLUMNS;
            for (int t = 0; t < tokens; t++) {
                size_t row = kern_input_row(s->x, at + (size_t)t);
                memcpy(x[t], s->x->f32 + row * s->x->f32_stride + begin, columns * sizeof(float));
            }
            run_chunk(type, together, tokens, s, at, begin, columns, x[0]);
        }
    return end;
}

SIMD_INLINE void matmul(uint32_t type, const void *panels, size_t rows, size_t cols, size_t panel_begin,
                        size_t panel_end, const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {
    const struct strip s = {panels,    kern_panel_bytes(type, cols), rows, cols, panel_begin, panel_end, x, out,
                            out_stride};
    size_t token = run_tokens(type, 1, SIMD_CHAINS, &s, 0, tokens);
    if (SIMD_CHAINS >= 8) token = run_tokens(type, SIMD_CHAINS / 4, 4, &s, token, tokens);
    token = run_tokens(type, SIMD_CHAINS / 2, 2, &s, token, tokens);
    if (token < tokens) run_chunk(type, 4, 1, &s, token, 0, cols, x->f32 + kern_input_row(x, token) * x->f32_stride);
}

#define MATMUL(type)                                                                                                   \
    static void matmul_##type(const void *panels, size_t rows, size_t cols, size_t panel_begin, size_t panel_end,      \
                              const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {              \
        matmul(TENSOR_##type, panels, rows, cols, panel_begin, panel_end, x, tokens, out, out_stride);                 \
    }
MATMUL(F32)
MATMUL(F16)
MATMUL(BF16)

void LEVEL(matmul_float_init)(struct kern *k) {
    k->matmul[TENSOR_F32] = matmul_F32;
    k->matmul[TENSOR_F16] = matmul_F16;
    k->matmul[TENSOR_BF16] = matmul_BF16;
}
