/* Bytes to floats and back, bytes and their products in pairs of AVX2 registers; empty for a compiler that has none. */
#pragma once
#ifdef __AVX2__
#include "kern/x86/simd_avx2.h"

SIMD_INLINE __m256i words_u8(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)); }
SIMD_INLINE f32x16 f32_from_u8(const uint8_t *p) {
    return (f32x16){_mm256_cvtepi32_ps(words_u8(p)), _mm256_cvtepi32_ps(words_u8(p + 8))};
}
SIMD_INLINE f32x16 f32_from_i8(const uint8_t *p) {
    return (f32x16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p))),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(p + 8))))};
}
SIMD_INLINE f32x16 f32_from_i8_n(const uint8_t *p, size_t n) {
    uint8_t lanes[16] = {0};
    __builtin_memcpy(lanes, p, n);
    return f32_from_i8(lanes);
}
SIMD_INLINE __m256 from_u4(const uint8_t *p, int shift) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(words_u8(p), shift), _mm256_set1_epi32(15)));
}
SIMD_INLINE f32x16 f32_from_u4(const uint8_t *p, int shift) {
    return (f32x16){from_u4(p, shift), from_u4(p + 8, shift)};
}
SIMD_INLINE __m256 from_e8m0(const uint8_t *p) {
    __m256i e = words_u8(p), one = _mm256_set1_epi32(1);
    __m256i bits = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
    __m256i denormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(denormal, bits, _mm256_cmpgt_epi32(e, one)));
}
SIMD_INLINE f32x16 f32_from_e8m0(const uint8_t *p) { return (f32x16){from_e8m0(p), from_e8m0(p + 8)}; }

/* Sixteen words whose lowest byte counts, to 16 bytes. */
SIMD_INLINE __m128i low_bytes(f32x16 a) {
    __m256i mask = _mm256_set1_epi32(255);
    __m256i words = _mm256_packus_epi32(_mm256_and_si256(_mm256_castps_si256(a.low), mask),
                                        _mm256_and_si256(_mm256_castps_si256(a.high), mask));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
SIMD_INLINE void i8_store_rounded(int8_t *q, int32_t *sum16, f32x16 low, f32x16 high) {
    __m128i bytes[2] = {low_bytes(low), low_bytes(high)};
    for (int i = 0; i < 2; i++) {
        __m128i sums = _mm_sad_epu8(_mm_xor_si128(bytes[i], _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
        _mm_storeu_si128((void *)(q + 16 * i), bytes[i]);
        sum16[i] = _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
    }
}

SIMD_INLINE u8x64 u8_load(const uint8_t *p) {
    return (u8x64){_mm256_loadu_si256((const void *)p), _mm256_loadu_si256((const void *)(p + 32))};
}
SIMD_INLINE u8x64 u8_set(int x) { return (u8x64){_mm256_set1_epi8((char)x), _mm256_set1_epi8((char)x)}; }
SIMD_INLINE u8x64 u8_and(u8x64 a, u8x64 b) { return EACH2(u8x64, _mm256_and_si256, a, b); }
SIMD_INLINE u8x64 u8_or_and(u8x64 base, u8x64 a, u8x64 mask) {
    u8x64 masked = u8_and(a, mask);
    return EACH2(u8x64, _mm256_or_si256, base, masked);
}
SIMD_INLINE u8x64 u8_shift_right(u8x64 a, int bits) {
    return (u8x64){_mm256_srli_epi16(a.low, bits), _mm256_srli_epi16(a.high, bits)};
}
SIMD_INLINE u8x64 u8_shift_left(u8x64 a, int bits) {
    return (u8x64){_mm256_slli_epi16(a.low, bits), _mm256_slli_epi16(a.high, bits)};
}

SIMD_INLINE u8x64 u8_lookup(const uint8_t table[16], u8x64 index) {
    __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
    return (u8x64){_mm256_shuffle_epi8(both, index.low), _mm256_shuffle_epi8(both, index.high)};
}

/* vpmaddubsw adds pairs of products in 16 bits and saturates: eight pairs of nibbles fit, four of 5 bits, two of 6. */
struct dots {
    i32x16 sum;
    i32x16 part; /* 16-bit sums since the last flush */
};

SIMD_INLINE struct dots dots_begin(const int32_t *start) { return (struct dots){0}; }
SIMD_INLINE __m256i four_times_8(const int8_t *q) {
    int32_t four;
    __builtin_memcpy(&four, q, sizeof four);
    return _mm256_set1_epi32(four);
}
/* Sums are made now: compilers like to keep all products of a block, in memory, and to add them at its end. */
SIMD_INLINE void now(i32x16 *sum) { __asm__("" : "+x"(sum->low), "+x"(sum->high)); }
SIMD_INLINE void dots_add(struct dots *d, u8x64 w, const int8_t *q) {
    __m256i a = four_times_8(q);
    d->part.low = _mm256_add_epi16(d->part.low, _mm256_maddubs_epi16(w.low, a));
    d->part.high = _mm256_add_epi16(d->part.high, _mm256_maddubs_epi16(w.high, a));
    now(&d->part);
}
/* |w| is at most 128 and |q| at most 127, so a pair is at most 32512. */
SIMD_INLINE __m256i signed_products(__m256i w, __m256i a) {
    __m256i value = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(a, value));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
SIMD_INLINE void dots_add_bytes(struct dots *d, u8x64 w, const int8_t *q) {
    __m256i a = four_times_8(q);
    d->sum.low = _mm256_add_epi32(d->sum.low, signed_products(w.low, a));
    d->sum.high = _mm256_add_epi32(d->sum.high, signed_products(w.high, a));
    now(&d->sum);
}
SIMD_INLINE void dots_flush(struct dots *d) {
    __m256i ones = _mm256_set1_epi16(1);
    d->sum.low = _mm256_add_epi32(d->sum.low, _mm256_madd_epi16(d->part.low, ones));
    d->sum.high = _mm256_add_epi32(d->sum.high, _mm256_madd_epi16(d->part.high, ones));
    d->part = (i32x16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
SIMD_INLINE i32x16 dots_end(struct dots *d, const int32_t *start) {
    __m256i first = _mm256_set1_epi32(*start);
    return (i32x16){_mm256_add_epi32(d->sum.low, first), _mm256_add_epi32(d->sum.high, first)};
}
/* The compiler must believe that somebody looks at the sums, or changes the bytes. */
#define SIMD_KEEP(dots)    __asm__ volatile("" : "+x"((dots).part.low), "+x"((dots).part.high))
#define SIMD_KEEP_BYTES(w) __asm__ volatile("" : "+x"((w).low), "+x"((w).high))
#endif
