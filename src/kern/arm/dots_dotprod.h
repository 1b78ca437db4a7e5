/* Products of bytes by Armv8.2's dot products; empty for a compiler that has none. */
#pragma once
#ifdef __ARM_FEATURE_DOTPROD
#include "kern/arm/bytes_neon.h"

enum {
    SIMD_TOKENS = 4,       /* tokens of an integer tile: sixteen sums of 32 registers */
    SIMD_TOKENS_PARTS = 4, /* where a block has two sums */
    SIMD_SIGNED_BYTES = 1, /* dots_add_bytes takes its offset of 128 off by itself */
};

struct dots {
    i32x16 sum;
};

SIMD_INLINE struct dots dots_begin(const int32_t *start) { return (struct dots){i32_set(*start)}; }
SIMD_INLINE void dots_add(struct dots *d, u8x64 w, const int8_t *q) {
    int8x8_t a = four_bytes(q);
    UNROLLED (i, 4) d->sum.v[i] = vdotq_lane_s32(d->sum.v[i], vreinterpretq_s8_u8(w.v[i]), a, 0);
}
SIMD_INLINE void dots_add_bytes(struct dots *d, u8x64 w, const int8_t *q) {
    int8x8_t a = four_bytes(q);
    UNROLLED (i, 4) d->sum.v[i] = vdotq_lane_s32(d->sum.v[i], signed_bytes(w.v[i]), a, 0);
}
SIMD_INLINE void dots_flush(struct dots *d) {}
SIMD_INLINE i32x16 dots_end(struct dots *d, const int32_t *start) { return d->sum; }
#define SIMD_KEEP(dots)                                                                                                \
    __asm__ volatile("" : "+w"((dots).sum.v[0]), "+w"((dots).sum.v[1]), "+w"((dots).sum.v[2]), "+w"((dots).sum.v[3]))
#endif
