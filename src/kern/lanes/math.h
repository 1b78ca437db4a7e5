/* kern/math.h on sixteen lanes: step by step the same. Included by lanes/ sources only; empty where there
 * is no level. */
#pragma once
#include "kern/math.h"
#include "kern/lanes/simd.h"

#ifdef LEVEL

SIMD_INLINE f32x16 simd_exp(f32x16 x) {
    f32x16 clamped = f32_min(x, f32_set(MATH_EXP_MOST));
    f32x16 shifted = f32_fma(clamped, f32_set(MATH_LOG2E), f32_set(MATH_ROUND));
    f32x16 n = f32_sub(shifted, f32_set(MATH_ROUND));
    f32x16 r = f32_fma(n, f32_set(-MATH_LN2_HIGH), clamped);
    r = f32_fma(n, f32_set(-MATH_LN2_LOW), r);
    f32x16 p = f32_fma(f32_set(MATH_EXP_C6), r, f32_set(MATH_EXP_C5));
    p = f32_fma(p, r, f32_set(MATH_EXP_C4));
    p = f32_fma(p, r, f32_set(MATH_EXP_C3));
    p = f32_fma(p, r, f32_set(MATH_EXP_C2));
    p = f32_fma(p, r, f32_set(1.0f));
    p = f32_fma(p, r, f32_set(1.0f));
    return f32_zero_below(f32_add_exponent(p, shifted), x, f32_set(MATH_EXP_LEAST));
}

SIMD_INLINE f32x16 simd_silu(f32x16 x) { return f32_div(x, f32_add(f32_set(1.0f), simd_exp(f32_negate(x)))); }

SIMD_INLINE f32x16 simd_silu_clamped(f32x16 gate, f32x16 up) {
    f32x16 limit = f32_set(MATH_CLAMPED_LIMIT), g = f32_min(gate, limit);
    f32x16 u = f32_min(f32_max(up, f32_set(-MATH_CLAMPED_LIMIT)), limit);
    f32x16 s = f32_div(g, f32_add(f32_set(1.0f), simd_exp(f32_mul(g, f32_set(MATH_CLAMPED_SLOPE)))));
    return f32_mul(s, f32_add(u, f32_set(1.0f)));
}

SIMD_INLINE f32x16 simd_gelu(f32x16 x) {
    f32x16 u = f32_mul(x, f32_fma(f32_mul(x, x), f32_set(MATH_GELU_CUBIC), f32_set(1.0f)));
    return f32_div(x, f32_add(f32_set(1.0f), simd_exp(f32_mul(u, f32_set(MATH_GELU_SLOPE)))));
}

SIMD_INLINE f32x16 simd_gelu_erf(f32x16 x) {
    f32x16 size = f32_abs(x), one = f32_set(1.0f);
    f32x16 t = f32_div(one, f32_fma(size, f32_set(MATH_ERFC_SLOPE), one));
    f32x16 p = f32_fma(f32_set(MATH_ERFC_C5), t, f32_set(MATH_ERFC_C4));
    p = f32_fma(p, t, f32_set(MATH_ERFC_C3));
    p = f32_fma(p, t, f32_set(MATH_ERFC_C2));
    p = f32_fma(p, t, f32_set(MATH_ERFC_C1));
    f32x16 q = f32_mul(f32_mul(p, t), simd_exp(f32_mul(f32_mul(x, x), f32_set(-0.5f))));
    return f32_fma(f32_mul(size, f32_set(-0.5f)), q, f32_max(x, f32_set(0.0f)));
}

SIMD_INLINE f32x16 simd_tanh(f32x16 x) {
    f32x16 t = simd_exp(f32_mul(f32_set(-2.0f), f32_abs(x)));
    return f32_copysign(f32_div(f32_sub(f32_set(1.0f), t), f32_add(f32_set(1.0f), t)), x);
}
#endif
