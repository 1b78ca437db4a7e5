/* exp and what is made of it, in f32: the truth that every vector version repeats step by step.
 *
 * Only additions, multiplications, fma and division in a written order, so the bits do not depend on a machine's C
 * library. Relative error of math_exp: below 1.3e-7 (2 units in the last place). Pure, any thread. */
#pragma once
#include <math.h>

#include "kern/half.h"

/* Cody and Waite's reduction x = n ln 2 + r, |r| <= ln 2 / 2, then a minimax polynomial for e^r; n is rounded by adding
 * 1.5 * 2^23, whose lowest bits then hold n. Below LEAST the result is 0, above MOST it stays at e^MOST. */
#define MATH_EXP_LEAST -87.33654f
#define MATH_EXP_MOST  88.376f
#define MATH_LOG2E     0x1.715476p+0f
#define MATH_ROUND     0x1.8p+23f
#define MATH_LN2_HIGH  0x1.62e4p-1f
#define MATH_LN2_LOW   0x1.7f7d1cp-20f
#define MATH_EXP_C2    0.5f
#define MATH_EXP_C3    0x1.55548ep-3f
#define MATH_EXP_C4    0x1.55545ep-5f
#define MATH_EXP_C5    0x1.123bdep-7f
#define MATH_EXP_C6    0x1.6db4e8p-10f

/* The twofold slope of GELU's tanh form: 0.5 x (1 + tanh u) = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3). */
#define MATH_GELU_SLOPE -1.5957691f
#define MATH_GELU_CUBIC 0.044715f

static inline float math_exp(float x) {
    float clamped = x < MATH_EXP_MOST ? x : MATH_EXP_MOST;
    float shifted = fmaf(clamped, MATH_LOG2E, MATH_ROUND), n = shifted - MATH_ROUND;
    float r = fmaf(n, -MATH_LN2_HIGH, clamped);
    r = fmaf(n, -MATH_LN2_LOW, r);
    float p = fmaf(MATH_EXP_C6, r, MATH_EXP_C5);
    p = fmaf(p, r, MATH_EXP_C4);
    p = fmaf(p, r, MATH_EXP_C3);
    p = fmaf(p, r, MATH_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    float result = half_from_bits(half_to_bits(p) + (half_to_bits(shifted) << 23));
    return x < MATH_EXP_LEAST ? 0.0f : result;
}

static inline float math_silu(float x) { return x / (1.0f + math_exp(-x)); }

/* gpt-oss: slope and limit of its gate. */
#define MATH_CLAMPED_SLOPE -1.702f
#define MATH_CLAMPED_LIMIT 7.0f

static inline float math_silu_clamped(float gate, float up) {
    float g = gate < MATH_CLAMPED_LIMIT ? gate : MATH_CLAMPED_LIMIT;
    float low = up > -MATH_CLAMPED_LIMIT ? up : -MATH_CLAMPED_LIMIT;
    float u = low < MATH_CLAMPED_LIMIT ? low : MATH_CLAMPED_LIMIT;
    return g / (1.0f + math_exp(g * MATH_CLAMPED_SLOPE)) * (u + 1.0f);
}

static inline float math_gelu(float x) {
    float u = x * fmaf(x * x, MATH_GELU_CUBIC, 1.0f);
    return x / (1.0f + math_exp(u * MATH_GELU_SLOPE));
}

/* GELU itself, x (1 + erf(x / sqrt 2)) / 2 = max(x, 0) - |x| q / 2 with q = erfc(|x| / sqrt 2) by formula 7.1.26 of
 * Abramowitz and Stegun (Hastings 1955), whose error is below 1.5e-7; that of the whole is below 2.5e-7 max(|x|, 1). */
#define MATH_ERFC_SLOPE 0.23164189f /* 0.3275911 / sqrt 2 */
#define MATH_ERFC_C1    0.254829592f
#define MATH_ERFC_C2    -0.284496736f
#define MATH_ERFC_C3    1.421413741f
#define MATH_ERFC_C4    -1.453152027f
#define MATH_ERFC_C5    1.061405429f

static inline float math_gelu_erf(float x) {
    float size = fabsf(x), t = 1.0f / fmaf(size, MATH_ERFC_SLOPE, 1.0f);
    float p = fmaf(MATH_ERFC_C5, t, MATH_ERFC_C4);
    p = fmaf(p, t, MATH_ERFC_C3);
    p = fmaf(p, t, MATH_ERFC_C2);
    p = fmaf(p, t, MATH_ERFC_C1);
    float q = p * t * math_exp(x * x * -0.5f);
    return fmaf(size * -0.5f, q, x > 0.0f ? x : 0.0f);
}

static inline float math_tanh(float x) {
    float t = math_exp(-2.0f * fabsf(x));
    return copysignf((1.0f - t) / (1.0f + t), x);
}
