/* What the products of whole numbers read: a panel's quants and scales in registers, and one call's share of them.
 * Included by matmul_int8.c and tiles.h; empty for a compiler that has no level. */
#pragma once
#include "kern/lanes/simd.h"
#include "kern/layout.h"
#include "kern/math.h"

#ifdef LEVEL
enum { CHUNK_BLOCKS = 40 }; /* of 32 columns; whole super-blocks; 12 tokens of it fill half of L1 */

/* Vector j of a part of a block (layout.h), moved to `to`. */
SIMD_INLINE u8x64 part_vector(const uint8_t *part, int bits, int j) {
    return u8_load(part + j % bits * LAYOUT_VECTOR_BYTES);
}

SIMD_INLINE u8x64 weight_vector(struct layout l, const uint8_t *block, int j) {
    u8x64 low = part_vector(block, l.bits_low, j);
    if (l.bits_low == 8) return low;
    int shift = l.bits_low * (j / l.bits_low);
    low = u8_and(shift ? u8_shift_right(low, shift) : low, u8_set((1 << l.bits_low) - 1));
    if (l.code) return u8_lookup(layout_codebooks[l.code], low);
    if (!l.bits_high) return low;
    u8x64 high = part_vector(block + l.bits_low * LAYOUT_VECTOR_BYTES, l.bits_high, j);
    int move = l.bits_low - l.bits_high * (j / l.bits_high);
    high = move > 0 ? u8_shift_left(high, move) : move < 0 ? u8_shift_right(high, -move) : high;
    return u8_or_and(low, high, u8_set(((1 << l.bits_high) - 1) << l.bits_low));
}

SIMD_INLINE bool is_wide(struct layout l) { return l.bits_low == 8 || l.code; }

/* Vectors of products that 16-bit sums can take. */
SIMD_INLINE int flush_interval(struct layout l) {
    int bits = l.bits_low + l.bits_high;
    return bits <= 4 ? 8 : 8 >> (bits - 4);
}

/* From whole numbers to floats for nothing: a sum that begins at the bits of MATH_ROUND ends at those of the float
 * MATH_ROUND + sum (|sum| < 2^22), and fma(that, scale, -MATH_ROUND * scale) is sum * scale, rounded once: the product
 * that is taken off is exact, as a scale has 18 bits at most. Only MXFP4's may be too large for it. */
SIMD_INLINE bool is_lifted(struct layout l) { return l.scales != LAYOUT_SCALES_E8M0; }

struct scales {
    f32x16 scale[2], min[2];
    f32x16 lowering; /* -MATH_ROUND * scale[0] */
};

SIMD_INLINE struct scales load_plain_scales(struct layout l, const uint8_t *group, unsigned index) {
    const uint16_t *d = (const uint16_t *)(const void *)group;
    const uint8_t *first = group + layout_scales_at(&l, index), *second = first + KERN_LANES;
    struct scales s = {.min[0] = f32_set(0.0f)};
    if (l.scales == LAYOUT_SCALES_E8M0) {
        s.scale[0] = f32_from_e8m0(first);
        return s;
    }
    s.scale[0] = s.scale[1] = f32_from_f16(d);
    if (layout_has_min(&l)) s.min[0] = s.min[1] = f32_from_f16(d + KERN_LANES);
    if (!layout_is_super(&l)) return s;
    s.min[0] = s.min[1] = f32_negate(s.min[0]);
    switch (l.scales) {
    case LAYOUT_SCALES_K32: s.scale[0] = f32_mul(s.scale[0], f32_from_i8(first)); break;
    case LAYOUT_SCALES_K32_MIN:
        s.scale[0] = f32_mul(s.scale[0], f32_from_u8(first));
        s.min[0] = f32_mul(s.min[0], f32_from_u8(second));
        break;
    case LAYOUT_SCALES_K16:
        s.scale[0] = f32_mul(s.scale[0], f32_from_i8(first));
        s.scale[1] = f32_mul(s.scale[1], f32_from_i8(second));
        break;
    default:
        s.scale[0] = f32_mul(s.scale[0], f32_from_u4(first, 0));
        s.scale[1] = f32_mul(s.scale[1], f32_from_u4(second, 0));
        s.min[0] = f32_mul(s.min[0], f32_from_u4(first, 4));
        s.min[1] = f32_mul(s.min[1], f32_from_u4(second, 4));
    }
    if (layout_unit(&l) == 1.0f) return s;
    s.scale[0] = f32_mul(s.scale[0], f32_set(layout_unit(&l)));
    s.scale[1] = f32_mul(s.scale[1], f32_set(layout_unit(&l)));
    return s;
}

SIMD_INLINE struct scales load_scales(struct layout l, const uint8_t *group, unsigned index) {
    struct scales s = load_plain_scales(l, group, index);
    s.lowering = f32_mul(s.scale[0], f32_set(-MATH_ROUND));
    return s;
}

/* A sum from dots_begin() of its start (prepare_sums()) on, times the first scale. */
SIMD_INLINE f32x16 scaled(struct layout l, i32x16 sum, struct scales s) {
    if (!is_lifted(l)) return f32_mul(f32_from_i32(sum), s.scale[0]);
    return f32_fma(f32_from_bits(sum), s.scale[0], s.lowering);
}

/* Several tokens stay long at each panel: the next one is fetched meanwhile. One token reads panel after panel, which
 * most CPUs see coming. */
SIMD_INLINE void prefetch(const uint8_t *at, size_t bytes, bool near) {
    UNROLLED (i, (bytes + 63) / 64) {
        if (near)
            __builtin_prefetch(at + i * 64, 0, 3);
        else
            __builtin_prefetch(at + i * 64, 0, 2);
    }
}

/* One chunk of K of a call: its panels by its tokens. The panels' chunks stay in L2 while the tokens go by. */
struct strip {
    const uint8_t *panels; /* at the chunk, of the first panel */
    size_t panel_bytes, rows, panel_begin, panel_end;
    size_t block_begin, blocks;
    const struct kern_input *x;
    float *out;
    size_t out_stride;
};

/* What `half` of one token's blocks (whole blocks where there are no halves) needs beside its quants. */
SIMD_INLINE void prepare_sums(struct layout l, int half, const int32_t *restrict sum16, const float *restrict scale,
                              size_t blocks, float *restrict sum, int32_t *restrict start) {
    const int32_t offset = is_wide(l) && SIMD_SIGNED_BYTES ? 0 : l.offset;
    const int32_t lift = is_lifted(l) && half == 0 ? (int32_t)half_to_bits(MATH_ROUND) : 0;
    for (size_t i = 0; i < blocks; i++) {
        int32_t q_sum = layout_has_halves(&l) ? sum16[2 * i + half] : sum16[2 * i] + sum16[2 * i + 1];
        if (layout_has_min(&l)) sum[i] = scale[i] * (float)q_sum;
        start[i] = lift - offset * q_sum;
    }
}
#endif
