/* The floats of simd.h in pairs of AVX2 registers; empty for a compiler that has none. */
#pragma once
#ifdef __AVX2__
#include <immintrin.h>

#include "kern/lanes/level.h"
#include "kern/x86/join.h"

enum {
    SIMD_TOKENS = 4,       /* tokens of an integer tile: eight 16-bit sums of 16 registers */
    SIMD_TOKENS_PARTS = 4, /* where a block has two sums: some wait in L1, yet weights are unpacked less often */
    SIMD_CHAINS = 6,       /* accumulators of a tile of float products */
    SIMD_QUERIES = 2,      /* queries of an attention tile */
    SIMD_SIGNED_BYTES = 1, /* dots_add_bytes takes its offset of 128 off by itself */
};

typedef struct {
    __m256 low, high;
} f32x16;
typedef struct {
    __m256i low, high;
} i32x16;
typedef i32x16 u8x64;

/* Loaded at 16 - n: n lanes of ones, then zeroes. */
static const int32_t lane_masks[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

#define EACH1(type, function, a)    ((type){function((a).low), function((a).high)})
#define EACH2(type, function, a, b) ((type){function((a).low, (b).low), function((a).high, (b).high)})

SIMD_INLINE f32x16 f32_load(const float *p) { return (f32x16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SIMD_INLINE f32x16 f32_load_n(const float *p, size_t n) {
    const int32_t *mask = lane_masks + 16 - n;
    return (f32x16){_mm256_maskload_ps(p, _mm256_loadu_si256((const void *)mask)),
                    _mm256_maskload_ps(p + 8, _mm256_loadu_si256((const void *)(mask + 8)))};
}
SIMD_INLINE void f32_store(float *p, f32x16 a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
SIMD_INLINE void f32_store_n(float *p, f32x16 a, size_t n) {
    const int32_t *mask = lane_masks + 16 - n;
    _mm256_maskstore_ps(p, _mm256_loadu_si256((const void *)mask), a.low);
    _mm256_maskstore_ps(p + 8, _mm256_loadu_si256((const void *)(mask + 8)), a.high);
}
SIMD_INLINE f32x16 f32_set(float x) { return (f32x16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
SIMD_INLINE f32x16 f32_add(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_add_ps, a, b); }
SIMD_INLINE f32x16 f32_sub(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_sub_ps, a, b); }
SIMD_INLINE f32x16 f32_mul(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_mul_ps, a, b); }
SIMD_INLINE f32x16 f32_div(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_div_ps, a, b); }
SIMD_INLINE f32x16 f32_fma(f32x16 a, f32x16 b, f32x16 c) {
    return (f32x16){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
SIMD_INLINE f32x16 f32_max(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_max_ps, a, b); }
SIMD_INLINE f32x16 f32_min(f32x16 a, f32x16 b) { return EACH2(f32x16, _mm256_min_ps, a, b); }
SIMD_INLINE f32x16 f32_abs(f32x16 a) {
    f32x16 sign = f32_set(-0.0f);
    return EACH2(f32x16, _mm256_andnot_ps, sign, a);
}
SIMD_INLINE f32x16 f32_negate(f32x16 a) {
    f32x16 sign = f32_set(-0.0f);
    return EACH2(f32x16, _mm256_xor_ps, a, sign);
}
SIMD_INLINE f32x16 f32_copysign(f32x16 a, f32x16 sign) {
    f32x16 mask = f32_set(-0.0f), kept = EACH2(f32x16, _mm256_andnot_ps, mask, a);
    f32x16 bit = EACH2(f32x16, _mm256_and_ps, mask, sign);
    return EACH2(f32x16, _mm256_or_ps, kept, bit);
}
SIMD_INLINE f32x16 f32_zero_below(f32x16 a, f32x16 x, f32x16 limit) {
    return (f32x16){_mm256_and_ps(a.low, _mm256_cmp_ps(x.low, limit.low, _CMP_NLT_UQ)),
                    _mm256_and_ps(a.high, _mm256_cmp_ps(x.high, limit.high, _CMP_NLT_UQ))};
}
SIMD_INLINE __m256 add_exponent(__m256 a, __m256 b) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 23)));
}
SIMD_INLINE f32x16 f32_add_exponent(f32x16 a, f32x16 b) { return EACH2(f32x16, add_exponent, a, b); }

SIMD_INLINE __m256 evens(__m256 low, __m256 high) {
    __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xd8));
}
SIMD_INLINE __m256 odds(__m256 low, __m256 high) {
    __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xd8));
}
SIMD_INLINE void f32_unzip(f32x16 low, f32x16 high, f32x16 *even, f32x16 *odd) {
    *even = (f32x16){evens(low.low, low.high), evens(high.low, high.high)};
    *odd = (f32x16){odds(low.low, low.high), odds(high.low, high.high)};
}
SIMD_INLINE f32x16 zip8(__m256 even, __m256 odd) {
    __m256 first = _mm256_unpacklo_ps(even, odd), second = _mm256_unpackhi_ps(even, odd);
    return (f32x16){_mm256_permute2f128_ps(first, second, 0x20), _mm256_permute2f128_ps(first, second, 0x31)};
}
SIMD_INLINE void f32_zip(f32x16 even, f32x16 odd, f32x16 *low, f32x16 *high) {
    *low = zip8(even.low, odd.low);
    *high = zip8(even.high, odd.high);
}
SIMD_INLINE float f32_join_sum(f32x16 a) { return join_sum(_mm256_add_ps(a.low, a.high)); }
SIMD_INLINE float f32_join_max(f32x16 a) { return join_max(_mm256_max_ps(a.low, a.high)); }

SIMD_INLINE f32x16 f32_from_f16(const uint16_t *p) {
    return (f32x16){_mm256_cvtph_ps(_mm_loadu_si128((const void *)p)),
                    _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 8)))};
}
SIMD_INLINE f32x16 f32_from_f16_n(const uint16_t *p, size_t n) {
    uint16_t lanes[16] = {0};
    __builtin_memcpy(lanes, p, n * sizeof *p);
    return f32_from_f16(lanes);
}
SIMD_INLINE f32x16 f32_set_f16(uint16_t half) { return f32_set(_cvtsh_ss(half)); }
SIMD_INLINE void f32_to_f16(uint16_t *p, f32x16 a) {
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((void *)(p + 8), _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE __m256 from_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
SIMD_INLINE f32x16 f32_from_bf16(const uint16_t *p) { return (f32x16){from_bf16(p), from_bf16(p + 8)}; }
SIMD_INLINE f32x16 f32_from_i32(i32x16 a) { return EACH1(f32x16, _mm256_cvtepi32_ps, a); }
SIMD_INLINE f32x16 f32_from_bits(i32x16 a) { return EACH1(f32x16, _mm256_castsi256_ps, a); }
#endif
