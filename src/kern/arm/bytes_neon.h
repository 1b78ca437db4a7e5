/* Bytes to floats and back, and bytes in four NEON registers; empty for a compiler that has none. */
#pragma once
#ifdef __ARM_NEON
#include "kern/arm/simd_neon.h"

typedef struct {
    uint32x4_t v[4];
} u32x16;

SIMD_INLINE u32x16 words(uint8x16_t bytes) {
    uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    return (u32x16){{vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)),
                     vmovl_high_u16(high)}};
}
SIMD_INLINE f32x16 f32_from_bytes(uint8x16_t bytes) {
    u32x16 w = words(bytes);
    return EACH1(f32x16, vcvtq_f32_u32, w);
}
SIMD_INLINE f32x16 f32_from_u8(const uint8_t *p) { return f32_from_bytes(vld1q_u8(p)); }
SIMD_INLINE f32x16 f32_from_i8(const uint8_t *p) {
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    i32x16 w = {
        {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)}};
    return f32_from_i32(w);
}
SIMD_INLINE f32x16 f32_from_i8_n(const uint8_t *p, size_t n) {
    uint8_t lanes[KERN_LANES] = {0};
    __builtin_memcpy(lanes, p, n);
    return f32_from_i8(lanes);
}
SIMD_INLINE f32x16 f32_from_u4(const uint8_t *p, int shift) {
    return f32_from_bytes(vandq_u8(vld1q_u8(p) >> shift, vdupq_n_u8(15)));
}
SIMD_INLINE float32x4_t from_e8m0(uint32x4_t e) {
    uint32x4_t bits = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t denormal = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcgtq_u32(e, vdupq_n_u32(1)), bits, denormal));
}
SIMD_INLINE f32x16 f32_from_e8m0(const uint8_t *p) {
    u32x16 e = words(vld1q_u8(p));
    return EACH1(f32x16, from_e8m0, e);
}

/* Sixteen words whose lowest byte counts, to 16 bytes. */
SIMD_INLINE int8x16_t low_bytes(f32x16 a) {
    u32x16 w = EACH1(u32x16, vreinterpretq_u32_f32, a);
    uint16x8_t low = vmovn_high_u32(vmovn_u32(w.v[0]), w.v[1]), high = vmovn_high_u32(vmovn_u32(w.v[2]), w.v[3]);
    return vreinterpretq_s8_u8(vmovn_high_u16(vmovn_u16(low), high));
}
SIMD_INLINE void i8_store_rounded(int8_t *q, int32_t *sum16, f32x16 low, f32x16 high) {
    int8x16_t bytes[2] = {low_bytes(low), low_bytes(high)};
    for (int i = 0; i < 2; i++) {
        vst1q_s8(q + 16 * i, bytes[i]);
        sum16[i] = vaddlvq_s8(bytes[i]);
    }
}

SIMD_INLINE u8x64 u8_load(const uint8_t *p) {
    return (u8x64){{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}
SIMD_INLINE u8x64 u8_set(int x) {
    uint8x16_t bytes = vdupq_n_u8((uint8_t)x);
    return (u8x64){{bytes, bytes, bytes, bytes}};
}
SIMD_INLINE u8x64 u8_and(u8x64 a, u8x64 b) { return EACH2(u8x64, vandq_u8, a, b); }
SIMD_INLINE u8x64 u8_or_and(u8x64 base, u8x64 a, u8x64 mask) {
    u8x64 masked = u8_and(a, mask);
    return EACH2(u8x64, vorrq_u8, base, masked);
}
SIMD_INLINE u8x64 u8_shift_right(u8x64 a, int bits) {
    return (u8x64){{a.v[0] >> bits, a.v[1] >> bits, a.v[2] >> bits, a.v[3] >> bits}};
}
SIMD_INLINE u8x64 u8_shift_left(u8x64 a, int bits) {
    return (u8x64){{a.v[0] << bits, a.v[1] << bits, a.v[2] << bits, a.v[3] << bits}};
}
SIMD_INLINE u8x64 u8_lookup(const uint8_t table[16], u8x64 index) {
    uint8x16_t t = vld1q_u8(table);
    return (u8x64){{vqtbl1q_u8(t, index.v[0]), vqtbl1q_u8(t, index.v[1]), vqtbl1q_u8(t, index.v[2]),
                    vqtbl1q_u8(t, index.v[3])}};
}

SIMD_INLINE int8x16_t four_times_4(const int8_t *q) {
    int32_t four;
    __builtin_memcpy(&four, q, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
/* Four bytes and zeroes: products by a lane need no copies. */
SIMD_INLINE int8x8_t four_bytes(const int8_t *q) {
    uint32_t four;
    __builtin_memcpy(&four, q, sizeof four);
    return vcreate_s8(four);
}
SIMD_INLINE i32x16 i32_set(int32_t x) {
    int32x4_t four = vdupq_n_s32(x);
    return (i32x16){{four, four, four, four}};
}
/* Stored bytes have 128 added. */
SIMD_INLINE int8x16_t signed_bytes(uint8x16_t w) { return vreinterpretq_s8_u8(veorq_u8(w, vdupq_n_u8(0x80))); }

/* The compiler must believe that somebody looks at the sums, or changes the bytes. */
#define SIMD_KEEP_BYTES(w) __asm__ volatile("" : "+w"((w).v[0]), "+w"((w).v[1]), "+w"((w).v[2]), "+w"((w).v[3]))
#endif
