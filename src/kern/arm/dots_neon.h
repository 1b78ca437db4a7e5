/* Products of bytes with what every NEON has; empty for a compiler that has none. */
#pragma once
#ifdef __ARM_NEON
#include "kern/arm/bytes_neon.h"

enum {
    SIMD_TOKENS = 2,       /* tokens of an integer tile: sixteen 16-bit sums of 32 registers */
    SIMD_TOKENS_PARTS = 2, /* where a block has two sums */
    SIMD_SIGNED_BYTES = 1, /* dots_add_bytes takes its offset of 128 off by itself */
};

/* Sums of columns in 16 bits. Two neighbours are joined in 16 bits too: eight vectors of nibbles fit, four of 5 bits,
 * two of 6. */
struct dots {
    i32x16 sum;
    int16x8_t part[8]; /* since the last flush; two rows each */
};

SIMD_INLINE struct dots dots_begin(const int32_t *start) {
    struct dots d = {.sum = i32_set(*start)};
    UNROLLED (i, 8) d.part[i] = vdupq_n_s16(0);
    return d;
}
SIMD_INLINE void dots_add(struct dots *d, u8x64 w, const int8_t *q) {
    int8x16_t a = four_times_4(q);
    UNROLLED (i, 4) {
        int8x16_t value = vreinterpretq_s8_u8(w.v[i]);
        d->part[2 * i] = vmlal_s8(d->part[2 * i], vget_low_s8(value), vget_low_s8(a));
        d->part[2 * i + 1] = vmlal_high_s8(d->part[2 * i + 1], value, a);
    }
}
/* A product is at most 128 * 127, so two of them are at most 32512. */
SIMD_INLINE void dots_add_bytes(struct dots *d, u8x64 w, const int8_t *q) {
    int8x16_t a = four_times_4(q);
    UNROLLED (i, 4) {
        int8x16_t value = signed_bytes(w.v[i]);
        int16x8_t low = vmull_s8(vget_low_s8(value), vget_low_s8(a)), high = vmull_high_s8(value, a);
        d->sum.v[i] = vpadalq_s16(d->sum.v[i], vpaddq_s16(low, high));
    }
}
SIMD_INLINE void dots_flush(struct dots *d) {
    UNROLLED (i, 4) {
        d->sum.v[i] = vpadalq_s16(d->sum.v[i], vpaddq_s16(d->part[2 * i], d->part[2 * i + 1]));
        d->part[2 * i] = d->part[2 * i + 1] = vdupq_n_s16(0);
    }
}
SIMD_INLINE i32x16 dots_end(struct dots *d, const int32_t *start) { return d->sum; }
#define SIMD_KEEP(dots)                                                                                                \
    __asm__ volatile("" : "+w"((dots).part[0]), "+w"((dots).part[1]), "+w"((dots).part[2]), "+w"((dots).part[3]),      \
                     "+w"((dots).part[4]), "+w"((dots).part[5]), "+w"((dots).part[6]), "+w"((dots).part[7]))
#endif
