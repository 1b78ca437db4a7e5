/* Products of bytes by Armv8.6's products of matrices, whose weights may stay unsigned; empty for a compiler that has
 * none. A pair of tokens takes two vectors of weights at a time; one token takes dot products. */
#pragma once
#ifdef __ARM_FEATURE_MATMUL_INT8
#include "kern/arm/bytes_neon.h"

#define SIMD_PAIRS /* tokens go in pairs: an even number of them, or one */
enum {
    SIMD_TOKENS = 4,       /* tokens of an integer tile: sixteen sums and eight woven weights of 32 registers */
    SIMD_TOKENS_PARTS = 4, /* where a block has two sums */
    SIMD_SIGNED_BYTES = 0, /* dots_add_bytes takes bytes as they are stored, with offset */
};

struct dots {
    i32x16 sum;
};

SIMD_INLINE struct dots dots_begin(const int32_t *start) { return (struct dots){i32_set(*start)}; }
SIMD_INLINE void dots_add(struct dots *d, u8x64 w, const int8_t *q) {
    int8x8_t a = four_bytes(q);
    UNROLLED (i, 4) d->sum.v[i] = vusdotq_lane_s32(d->sum.v[i], w.v[i], a, 0);
}
SIMD_INLINE void dots_add_bytes(struct dots *d, u8x64 w, const int8_t *q) { dots_add(d, w, q); }
SIMD_INLINE void dots_flush(struct dots *d) {}
SIMD_INLINE i32x16 dots_end(struct dots *d, const int32_t *start) { return d->sum; }

/* Sixteen rows of eight columns, two rows a register. */
struct woven {
    uint8x16_t v[8];
};

SIMD_INLINE struct woven dots_weave(u8x64 first, u8x64 second) {
    struct woven w;
    UNROLLED (i, 4) {
        uint32x4_t a = vreinterpretq_u32_u8(first.v[i]), b = vreinterpretq_u32_u8(second.v[i]);
        w.v[2 * i] = vreinterpretq_u8_u32(vzip1q_u32(a, b));
        w.v[2 * i + 1] = vreinterpretq_u8_u32(vzip2q_u32(a, b));
    }
    return w;
}
/* Sums of two tokens side by side, two rows of two a register: d[0] has the first two of four rows, d[1] the others. */
SIMD_INLINE void dots_pair(struct dots d[2]) {
    UNROLLED (i, 4) {
        int32x4_t a = d[0].sum.v[i], b = d[1].sum.v[i];
        d[0].sum.v[i] = vzip1q_s32(a, b);
        d[1].sum.v[i] = vzip2q_s32(a, b);
    }
}
SIMD_INLINE void dots_unpair(struct dots d[2]) {
    UNROLLED (i, 4) {
        int32x4_t a = d[0].sum.v[i], b = d[1].sum.v[i];
        d[0].sum.v[i] = vuzp1q_s32(a, b);
        d[1].sum.v[i] = vuzp2q_s32(a, b);
    }
}
/* Eight columns of two tokens. */
SIMD_INLINE void dots_add_pair(struct dots d[2], struct woven w, const int8_t *q0, const int8_t *q1) {
    int8x16_t a = vcombine_s8(vld1_s8(q0), vld1_s8(q1));
    UNROLLED (i, 4) {
        d[0].sum.v[i] = vusmmlaq_s32(d[0].sum.v[i], w.v[2 * i], a);
        d[1].sum.v[i] = vusmmlaq_s32(d[1].sum.v[i], w.v[2 * i + 1], a);
    }
}
#define SIMD_KEEP(dots)                                                                                                \
    __asm__ volatile("" : "+w"((dots).sum.v[0]), "+w"((dots).sum.v[1]), "+w"((dots).sum.v[2]), "+w"((dots).sum.v[3]))
#endif
