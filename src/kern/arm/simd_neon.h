/* The floats of simd.h in four NEON registers; empty for a compiler that has none. */
#pragma once
#ifdef __ARM_NEON
#include <arm_neon.h>

#include "kern/lanes/level.h"

enum {
    SIMD_CHAINS = 6,  /* accumulators of a tile of float products */
    SIMD_QUERIES = 2, /* queries of an attention tile */
};

typedef struct {
    float32x4_t v[4];
} f32x16;
typedef struct {
    int32x4_t v[4];
} i32x16;
typedef struct {
    uint8x16_t v[4];
} u8x64;

#define EACH1(type, function, a)                                                                                       \
    ((type){{function((a).v[0]), function((a).v[1]), function((a).v[2]), function((a).v[3])}})
#define EACH2(type, function, a, b)                                                                                    \
    ((type){{function((a).v[0], (b).v[0]), function((a).v[1], (b).v[1]), function((a).v[2], (b).v[2]),                 \
             function((a).v[3], (b).v[3])}})
#define EACH3(type, function, a, b, c)                                                                                 \
    ((type){{function((a).v[0], (b).v[0], (c).v[0]), function((a).v[1], (b).v[1], (c).v[1]),                           \
             function((a).v[2], (b).v[2], (c).v[2]), function((a).v[3], (b).v[3], (c).v[3])}})

SIMD_INLINE f32x16 f32_load(const float *p) {
    return (f32x16){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
SIMD_INLINE f32x16 f32_load_n(const float *p, size_t n) {
    if (n == KERN_LANES) return f32_load(p);
    float lanes[KERN_LANES] = {0};
    __builtin_memcpy(lanes, p, n * sizeof *p);
    return f32_load(lanes);
}
SIMD_INLINE void f32_store(float *p, f32x16 a) {
    UNROLLED (i, 4) vst1q_f32(p + 4 * i, a.v[i]);
}
SIMD_INLINE void f32_store_n(float *p, f32x16 a, size_t n) {
    if (n == KERN_LANES) {
        f32_store(p, a);
        return;
    }
    float lanes[KERN_LANES];
    f32_store(lanes, a);
    __builtin_memcpy(p, lanes, n * sizeof *p);
}
SIMD_INLINE f32x16 f32_set(float x) {
    float32x4_t four = vdupq_n_f32(x);
    return (f32x16){{four, four, four, four}};
}
SIMD_INLINE f32x16 f32_add(f32x16 a, f32x16 b) { return EACH2(f32x16, vaddq_f32, a, b); }
SIMD_INLINE f32x16 f32_sub(f32x16 a, f32x16 b) { return EACH2(f32x16, vsubq_f32, a, b); }
SIMD_INLINE f32x16 f32_mul(f32x16 a, f32x16 b) { return EACH2(f32x16, vmulq_f32, a, b); }
SIMD_INLINE f32x16 f32_div(f32x16 a, f32x16 b) { return EACH2(f32x16, vdivq_f32, a, b); }
SIMD_INLINE f32x16 f32_fma(f32x16 a, f32x16 b, f32x16 c) { return EACH3(f32x16, vfmaq_f32, c, a, b); }
/* Not FMAX, which gives NaN for a NaN. */
SIMD_INLINE float32x4_t four_max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
SIMD_INLINE float32x4_t four_min(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
SIMD_INLINE f32x16 f32_max(f32x16 a, f32x16 b) { return EACH2(f32x16, four_max, a, b); }
SIMD_INLINE f32x16 f32_min(f32x16 a, f32x16 b) { return EACH2(f32x16, four_min, a, b); }
SIMD_INLINE f32x16 f32_abs(f32x16 a) { return EACH1(f32x16, vabsq_f32, a); }
SIMD_INLINE f32x16 f32_negate(f32x16 a) { return EACH1(f32x16, vnegq_f32, a); }
SIMD_INLINE float32x4_t with_sign(float32x4_t a, float32x4_t sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000), sign, a);
}
SIMD_INLINE f32x16 f32_copysign(f32x16 a, f32x16 sign) { return EACH2(f32x16, with_sign, a, sign); }
SIMD_INLINE float32x4_t zero_below(float32x4_t a, float32x4_t x, float32x4_t limit) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, limit)));
}
SIMD_INLINE f32x16 f32_zero_below(f32x16 a, f32x16 x, f32x16 limit) { return EACH3(f32x16, zero_below, a, x, limit); }
SIMD_INLINE float32x4_t add_exponent(float32x4_t a, float32x4_t b) {
    uint32x4_t exponent = vshlq_n_u32(vreinterpretq_u32_f32(b), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), exponent));
}
SIMD_INLINE f32x16 f32_add_exponent(f32x16 a, f32x16 b) { return EACH2(f32x16, add_exponent, a, b); }

SIMD_INLINE void f32_unzip(f32x16 low, f32x16 high, f32x16 *even, f32x16 *odd) {
    *even = (f32x16){{vuzp1q_f32(low.v[0], low.v[1]), vuzp1q_f32(low.v[2], low.v[3]),
                      vuzp1q_f32(high.v[0], high.v[1]), vuzp1q_f32(high.v[2], high.v[3])}};
    *odd = (f32x16){{vuzp2q_f32(low.v[0], low.v[1]), vuzp2q_f32(low.v[2], low.v[3]), vuzp2q_f32(high.v[0], high.v[1]),
                     vuzp2q_f32(high.v[2], high.v[3])}};
}
SIMD_INLINE void f32_zip(f32x16 even, f32x16 odd, f32x16 *low, f32x16 *high) {
    *low = (f32x16){{vzip1q_f32(even.v[0], odd.v[0]), vzip2q_f32(even.v[0], odd.v[0]),
                     vzip1q_f32(even.v[1], odd.v[1]), vzip2q_f32(even.v[1], odd.v[1])}};
    *high = (f32x16){{vzip1q_f32(even.v[2], odd.v[2]), vzip2q_f32(even.v[2], odd.v[2]),
                      vzip1q_f32(even.v[3], odd.v[3]), vzip2q_f32(even.v[3], odd.v[3])}};
}
SIMD_INLINE float f32_join_sum(f32x16 a) {
    float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
SIMD_INLINE float f32_join_max(f32x16 a) {
    return vmaxvq_f32(four_max(four_max(a.v[0], a.v[2]), four_max(a.v[1], a.v[3])));
}

SIMD_INLINE float32x4_t from_f16(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
SIMD_INLINE f32x16 f32_from_f16(const uint16_t *p) {
    return (f32x16){{from_f16(p), from_f16(p + 4), from_f16(p + 8), from_f16(p + 12)}};
}
SIMD_INLINE f32x16 f32_from_f16_n(const uint16_t *p, size_t n) {
    uint16_t lanes[KERN_LANES] = {0};
    __builtin_memcpy(lanes, p, n * sizeof *p);
    return f32_from_f16(lanes);
}
SIMD_INLINE f32x16 f32_set_f16(uint16_t half) {
    float32x4_t four = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
    return (f32x16){{four, four, four, four}};
}
SIMD_INLINE void f32_to_f16(uint16_t *p, f32x16 a) {
    UNROLLED (i, 4) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
SIMD_INLINE float32x4_t from_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
SIMD_INLINE f32x16 f32_from_bf16(const uint16_t *p) {
    return (f32x16){{from_bf16(p), from_bf16(p + 4), from_bf16(p + 8), from_bf16(p + 12)}};
}
SIMD_INLINE f32x16 f32_from_i32(i32x16 a) { return EACH1(f32x16, vcvtq_f32_s32, a); }
SIMD_INLINE f32x16 f32_from_bits(i32x16 a) { return EACH1(f32x16, vreinterpretq_f32_s32, a); }
#endif
