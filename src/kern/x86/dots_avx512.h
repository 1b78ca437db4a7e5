/* The bytes of simd.h and their products in AVX-512 registers; empty for a compiler that has none. */
#pragma once
#ifdef __AVX512VNNI__
#include "kern/x86/simd_avx512.h"

SIMD_INLINE u8x64 u8_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
SIMD_INLINE u8x64 u8_set(int x) { return _mm512_set1_epi8((char)x); }
SIMD_INLINE u8x64 u8_and(u8x64 a, u8x64 b) { return _mm512_and_si512(a, b); }
/* base | (a & mask) */
SIMD_INLINE u8x64 u8_or_and(u8x64 base, u8x64 a, u8x64 mask) { return _mm512_ternarylogic_epi32(base, a, mask, 0xf8); }
/* Shifts move bits between neighbouring bytes: mask afterwards. */
SIMD_INLINE u8x64 u8_shift_right(u8x64 a, int bits) { return _mm512_srli_epi16(a, (unsigned)bits); }
SIMD_INLINE u8x64 u8_shift_left(u8x64 a, int bits) { return _mm512_slli_epi16(a, (unsigned)bits); }

/* table[index], index < 16 */
SIMD_INLINE u8x64 u8_lookup(const uint8_t table[16], u8x64 index) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table)), index);
}

/* Sums of products per lane: dots_begin, any number of dots_add, dots_flush at least every so often that `bits` of the
 * bytes demand, dots_end. */
struct dots {
    __m512i sum;
};

SIMD_INLINE struct dots dots_begin(const int32_t *start) { return (struct dots){_mm512_set1_epi32(*start)}; }
/* Lane i: + w[4 i ..] . q[0 .. 3]. */
SIMD_INLINE void dots_add(struct dots *d, u8x64 w, const int8_t *q) {
    int32_t four;
    __builtin_memcpy(&four, q, sizeof four);
    d->sum = _mm512_dpbusd_epi32(d->sum, w, _mm512_set1_epi32(four));
}
SIMD_INLINE void dots_add_bytes(struct dots *d, u8x64 w, const int8_t *q) { dots_add(d, w, q); }
SIMD_INLINE void dots_flush(struct dots *d) {}
SIMD_INLINE i32x16 dots_end(struct dots *d, const int32_t *start) { return d->sum; }
/* The compiler must believe that somebody looks at the sums, or changes the bytes. */
#define SIMD_KEEP(dots)    __asm__ volatile("" : "+v"((dots).sum))
#define SIMD_KEEP_BYTES(w) __asm__ volatile("" : "+v"(w))
#endif
