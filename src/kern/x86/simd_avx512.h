/* The floats of simd.h in AVX-512 registers; empty for a compiler that has none. */
#pragma once
#ifdef __AVX512VNNI__
#include <immintrin.h>

#include "kern/lanes/level.h"
#include "kern/x86/join.h"

enum {
    SIMD_TOKENS = 12,       /* tokens of an integer tile: 12 sums and 12 accumulators of 32 registers */
    SIMD_TOKENS_PARTS = 12, /* where a block has two sums: some wait in L1, yet weights are unpacked less often */
    SIMD_CHAINS = 12,       /* accumulators of a tile of float products */
    SIMD_QUERIES = 6,       /* queries of an attention tile */
    SIMD_SIGNED_BYTES = 0,  /* dots_add_bytes takes bytes as they are stored, with offset */
};

typedef __m512 f32x16;
typedef __m512i i32x16;
typedef __m512i u8x64;

SIMD_INLINE __mmask16 first_lanes(size_t n) { return (__mmask16)((1u << n) - 1); }

SIMD_INLINE f32x16 f32_load(const float *p) { return _mm512_loadu_ps(p); }
SIMD_INLINE f32x16 f32_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
SIMD_INLINE void f32_store(float *p, f32x16 a) { _mm512_storeu_ps(p, a); }
SIMD_INLINE void f32_store_n(float *p, f32x16 a, size_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), a); }
SIMD_INLINE f32x16 f32_set(float x) { return _mm512_set1_ps(x); }
SIMD_INLINE f32x16 f32_add(f32x16 a, f32x16 b) { return _mm512_add_ps(a, b); }
SIMD_INLINE f32x16 f32_sub(f32x16 a, f32x16 b) { return _mm512_sub_ps(a, b); }
SIMD_INLINE f32x16 f32_mul(f32x16 a, f32x16 b) { return _mm512_mul_ps(a, b); }
SIMD_INLINE f32x16 f32_div(f32x16 a, f32x16 b) { return _mm512_div_ps(a, b); }
SIMD_INLINE f32x16 f32_fma(f32x16 a, f32x16 b, f32x16 c) { return _mm512_fmadd_ps(a, b, c); }
SIMD_INLINE f32x16 f32_max(f32x16 a, f32x16 b) { return _mm512_max_ps(a, b); }
SIMD_INLINE f32x16 f32_min(f32x16 a, f32x16 b) { return _mm512_min_ps(a, b); }
SIMD_INLINE f32x16 f32_abs(f32x16 a) { return _mm512_abs_ps(a); }
SIMD_INLINE f32x16 f32_negate(f32x16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
SIMD_INLINE f32x16 f32_copysign(f32x16 a, f32x16 sign) {
    __m512i mask = _mm512_set1_epi32((int)0x80000000);
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_castps_si512(a), _mm512_castps_si512(sign), mask, 0xd8));
}
/* a where x >= limit (or is NaN), else zero. */
SIMD_INLINE f32x16 f32_zero_below(f32x16 a, f32x16 x, f32x16 limit) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), a);
}
/* a + (b << 23) on the bits: a * 2^n where b ends in the bits of n. */
SIMD_INLINE f32x16 f32_add_exponent(f32x16 a, f32x16 b) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(b), 23)));
}
/* Pairs (2i, 2i + 1) of 32 floats to their first and second members, and back. */
SIMD_INLINE void f32_unzip(f32x16 low, f32x16 high, f32x16 *even, f32x16 *odd) {
    __m512i index = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *even = _mm512_permutex2var_ps(low, index, high);
    *odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(index, _mm512_set1_epi32(1)), high);
}
SIMD_INLINE void f32_zip(f32x16 even, f32x16 odd, f32x16 *low, f32x16 *high) {
    __m512i index = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    *low = _mm512_permutex2var_ps(even, index, odd);
    *high = _mm512_permutex2var_ps(even, _mm512_add_epi32(index, _mm512_set1_epi32(8)), odd);
}
/* The lanes joined 16 -> 8 -> 4 -> 2 -> 1, lane i with lane i + half. */
SIMD_INLINE float f32_join_sum(f32x16 a) {
    return join_sum(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}
SIMD_INLINE float f32_join_max(f32x16 a) {
    return join_max(_mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}

SIMD_INLINE f32x16 f32_from_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
SIMD_INLINE f32x16 f32_from_f16_n(const uint16_t *p, size_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
SIMD_INLINE f32x16 f32_set_f16(uint16_t half) { return f32_set(_cvtsh_ss(half)); }
SIMD_INLINE void f32_to_f16(uint16_t *p, f32x16 a) {
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE f32x16 f32_from_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
SIMD_INLINE f32x16 f32_from_u8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}
SIMD_INLINE f32x16 f32_from_i8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
SIMD_INLINE f32x16 f32_from_i8_n(const uint8_t *p, size_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)));
}
/* Four bits at `shift` of 16 bytes. */
SIMD_INLINE f32x16 f32_from_u4(const uint8_t *p, int shift) {
    __m512i words = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(words, (unsigned)shift), _mm512_set1_epi32(15)));
}
/* 2^(e - 128) of 16 bytes e; the two smallest are denormal. */
SIMD_INLINE f32x16 f32_from_e8m0(const uint8_t *p) {
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
    __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(bits, small, _mm512_set1_epi32(0x00200000), e));
}
SIMD_INLINE f32x16 f32_from_i32(i32x16 a) { return _mm512_cvtepi32_ps(a); }
SIMD_INLINE f32x16 f32_from_bits(i32x16 a) { return _mm512_castsi512_ps(a); }

/* 32 whole numbers in [-127, 127] that MATH_ROUND was added to: to bytes, with the sums of each 16. */
SIMD_INLINE void i8_store_rounded(int8_t *q, int32_t *sum16, f32x16 low, f32x16 high) {
    __m128i bytes[2] = {_mm512_cvtepi32_epi8(_mm512_castps_si512(low)),
                        _mm512_cvtepi32_epi8(_mm512_castps_si512(high))};
    for (int i = 0; i < 2; i++) {
        __m128i biased = _mm_xor_si128(bytes[i], _mm_set1_epi8((char)0x80));
        __m128i sums = _mm_sad_epu8(biased, _mm_setzero_si128());
        _mm_storeu_si128((void *)(q + 16 * i), bytes[i]);
        sum16[i] = _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
    }
}
#endif
