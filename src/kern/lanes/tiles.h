/* Products of sixteen tokens at once in AMX tiles (x86/tiles_amx.h), beside everything of AVX-512.
 *
 * A panel's chunk is unpacked once to signed bytes for up to TILE_GROUPS groups of sixteen tokens: a block of it, 32
 * columns of 16 rows, is a tile as the instructions want it (layout.h). Sums of whole numbers are exact in any order,
 * so the bits are those of every other level. From tile to register the way leads through memory: the sums of a block
 * are taken up when the next ones have been multiplied (docs/decisions/0022). Included by matmul_int8.c. */
#pragma once
#ifdef SIMD_AMX
#include <string.h>

#include "kern/lanes/panels.h"
#include "kern/x86/tiles_amx.h"

enum {
    TILE_GROUPS = 4, /* of tokens that go by an unpacked panel */
    TILE_AHEAD = 2,  /* blocks that are multiplied before the sums of the first are taken up */
};

/* A panel's chunk: signed bytes, and what stands for them. */
struct tile_panel {
    u8x64 weights[CHUNK_BLOCKS][LAYOUT_VECTORS];
    struct scales scales[CHUNK_BLOCKS];
};

/* The same chunk of sixteen tokens; sum[1]: of the second half. */
struct tile_tokens {
    int8_t q[CHUNK_BLOCKS][TILE_ROWS][KERN_BLOCK];
    float scale[CHUNK_BLOCKS][TILE_ROWS], sum[2][CHUNK_BLOCKS][TILE_ROWS];
} __attribute__((aligned(64)));

SIMD_INLINE void tile_unpack(struct layout l, const struct strip *s, size_t panel, struct tile_panel *out) {
    const uint8_t *group = s->panels + panel * s->panel_bytes;
    const u8x64 offset = u8_set(l.offset);
    for (size_t done = 0; done < s->blocks; group += layout_group_bytes(&l)) {
        const uint8_t *block = group + layout_head_bytes(&l);
        for (unsigned index = 0; index < layout_group_blocks(&l); index++, done++, block += layout_block_bytes(&l)) {
            prefetch(block + s->panel_bytes, layout_group_bytes(&l) / layout_group_blocks(&l), false);
            UNROLLED (j, LAYOUT_VECTORS) {
                u8x64 w = weight_vector(l, block, j);
                out->weights[done][j] = l.offset ? _mm512_sub_epi8(w, offset) : w;
            }
            out->scales[done] = load_scales(l, group, index);
        }
    }
    __asm__ volatile("" ::: "memory"); /* loads of tiles do not tell the compiler that they read */
}

SIMD_INLINE void tile_prepare(struct layout l, const struct strip *s, size_t token, struct tile_tokens *out) {
    const struct kern_input *x = s->x;
    for (size_t t = 0; t < TILE_ROWS; t++) {
        size_t at = kern_input_row(x, token + t) * x->q_stride + s->block_begin * KERN_BLOCK;
        const float *scale = x->scale + at / KERN_BLOCK;
        const int32_t *sum16 = x->sum16 + at / 16;
        for (size_t i = 0; i < s->blocks; i++) {
            memcpy(out->q[i][t], x->q + at + i * KERN_BLOCK, KERN_BLOCK);
            out->scale[i][t] = scale[i];
            if (!layout_has_min(&l)) continue;
            int32_t sum[2] = {sum16[2 * i], sum16[2 * i + 1]};
            if (!layout_has_halves(&l)) sum[0] += sum[1];
            for (int half = 0; half < 1 + layout_has_halves(&l); half++)
                out->sum[half][i][t] = scale[i] * (float)sum[half];
        }
    }
    __asm__ volatile("" ::: "memory");
}

/* Into the accumulators, as run_tile() of matmul_int8.c does. */
SIMD_INLINE void tile_take_up(struct layout l, const struct tile_sums *sums, const struct scales *s,
                              const struct tile_tokens *x, size_t i, f32x16 acc[TILE_ROWS]) {
    UNROLLED (t, TILE_ROWS) {
        f32x16 sum = f32_mul(f32_from_i32(sums->of[0][t]), s->scale[0]);
        if (layout_has_halves(&l)) sum = f32_fma(f32_from_i32(sums->of[1][t]), s->scale[1], sum);
        acc[t] = f32_fma(sum, f32_set(x->scale[i][t]), acc[t]);
        if (layout_has_min(&l)) acc[t] = f32_fma(s->min[0], f32_set(x->sum[0][i][t]), acc[t]);
        if (layout_has_min(&l) && layout_has_halves(&l))
            acc[t] = f32_fma(s->min[1], f32_set(x->sum[1][i][t]), acc[t]);
    }
}

SIMD_INLINE void tile_run(struct layout l, const struct strip *s, const struct tile_panel *w,
                          const struct tile_tokens *x, float *out, size_t rows) {
    struct tile_sums sums[TILE_AHEAD];
    f32x16 acc[TILE_ROWS];
    UNROLLED (t, TILE_ROWS)
        acc[t] = s->block_begin ? f32_load_n(out + (size_t)t * s->out_stride, rows) : f32_set(0.0f);
    for (size_t i = 0; i < TILE_AHEAD && i < s->blocks; i++)
        tile_multiply(layout_has_halves(&l), w->weights[i], x->q[i][0], &sums[i]);
    for (size_t i = 0; i < s->blocks; i++) {
        size_t next = i + TILE_AHEAD;
        tile_take_up(l, &sums[i % TILE_AHEAD], &w->scales[i], x, i, acc);
        if (next < s->blocks)
            tile_multiply(layout_has_halves(&l), w->weights[next], x->q[next][0], &sums[i % TILE_AHEAD]);
    }
    UNROLLED (t, TILE_ROWS) f32_store_n(out + (size_t)t * s->out_stride, acc[t], rows);
}

/* The groups of sixteen among the first `tokens`; where the others begin. */
SIMD_INLINE size_t run_tiles(struct layout l, const struct strip *s, size_t tokens) {
    struct tile_tokens x[TILE_GROUPS];
    struct tile_panel w;
    size_t token = 0;
    tiles_begin();
    while (tokens - token >= TILE_ROWS) {
        size_t groups = (tokens - token) / TILE_ROWS;
        if (groups > TILE_GROUPS) groups = TILE_GROUPS;
        for (size_t g = 0; g < groups; g++) tile_prepare(l, s, token + g * TILE_ROWS, &x[g]);
        for (size_t panel = s->panel_begin; panel < s->panel_end; panel++) {
            size_t row = panel * KERN_LANES, left = s->rows - row;
            tile_unpack(l, s, panel, &w);
            for (size_t g = 0; g < groups; g++)
                tile_run(l, s, &w, &x[g], s->out + (token + g * TILE_ROWS) * s->out_stride + row,
                         left < KERN_LANES ? left : KERN_LANES);
        }
        token += groups * TILE_ROWS;
    }
    tiles_end();
    return token;
}
#endif
