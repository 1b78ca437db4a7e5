/* The 16-bit floats of model files and KV pages, in integer arithmetic: the same bits as F16C and NEON give.
 *
 * Rounding is to nearest, ties to even; NaNs become quiet and keep the upper part of their payload. Pure, any thread.
 */
#pragma once
#include <stdint.h>
#include <string.h>

static inline float half_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t half_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 0x3ff;
    if (exponent == 31) return half_from_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent == 0) return half_from_bits(sign | half_to_bits((float)fraction * 0x1p-24f)); /* exact */
    return half_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t half_f32_to_f16(float value) {
    uint32_t bits = half_to_bits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* from 65520 on the nearest is infinity */
    if (magnitude < 0x38800000) /* below 2^-14: adding 0.5 leaves a count of 2^-24 in the lowest bits */
        return (uint16_t)(sign | (half_to_bits(half_from_bits(magnitude) + 0.5f) - 0x3f000000));
    magnitude += 0xfff + (magnitude >> 13 & 1) - (112u << 23);
    return (uint16_t)(sign | magnitude >> 13);
}

static inline float half_bf16_to_f32(uint16_t bf16) { return half_from_bits((uint32_t)bf16 << 16); }

static inline uint16_t half_f32_to_bf16(float value) {
    uint32_t bits = half_to_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
