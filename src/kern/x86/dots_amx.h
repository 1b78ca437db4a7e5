/* Products of sixteen tokens at once in AMX tiles, beside everything of AVX-512; empty for a compiler that has none.
 *
 * A block of 32 columns of 16 rows, unpacked, is a tile of bytes as the instructions want it (layout.h). Sums of whole
 * numbers are exact in any order, so the bits are those of every other level. Intel SDM, volume 1, chapter 18. */
#pragma once
#ifdef SIMD_AMX
#include "kern/x86/dots_avx512.h"

#define SIMD_TILE 16 /* tokens of a tile */

/* The tiles: four of sums, then tokens and weights of a block of eight vectors and of half a block. Macros, since the
 * compiler wants their numbers spelt. */
#define TILE_SUMS         0
#define TILE_TOKENS       4
#define TILE_WEIGHTS      5
#define TILE_TOKENS_HALF  6
#define TILE_WEIGHTS_HALF 7

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

/* A thread's tiles have their shapes from here to tiles_end(), behind which it has no state more to be saved. */
SIMD_INLINE void tiles_begin(void) {
    static const struct tile_config config = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 32, 64, 16, 64},
        .rows = {SIMD_TILE, SIMD_TILE, SIMD_TILE, SIMD_TILE, SIMD_TILE, 8, SIMD_TILE, 4},
    };
    _tile_loadconfig(&config);
}
SIMD_INLINE void tiles_end(void) { _tile_release(); }

/* Vectors of weights, unpacked. */
struct tile_weights {
    __m512i vectors[8];
};

SIMD_INLINE void tile_multiply(const struct tile_weights *w, int count, const int8_t *q, size_t distance) {
    if (count == 8) {
        _tile_loadd(TILE_TOKENS, q, distance);
        _tile_loadd(TILE_WEIGHTS, w->vectors, sizeof w->vectors[0]);
        _tile_dpbsud(TILE_SUMS, TILE_TOKENS, TILE_WEIGHTS);
    } else {
        _tile_loadd(TILE_TOKENS_HALF, q, distance);
        _tile_loadd(TILE_WEIGHTS_HALF, w->vectors, sizeof w->vectors[0]);
        _tile_dpbsud(TILE_SUMS, TILE_TOKENS_HALF, TILE_WEIGHTS_HALF);
    }
}

/* Add the products of `count` vectors (8, or 4: half a block) and sixteen tokens' bytes, `distance` apart. */
SIMD_INLINE void dots_add_tile(struct dots dots[SIMD_TILE], const struct tile_weights *w, int count, const int8_t *q,
                               size_t distance) {
    __m512i sums[SIMD_TILE];
    __asm__ volatile("" ::: "memory"); /* loads of tiles do not tell the compiler that they read */
    _tile_zero(TILE_SUMS);
    tile_multiply(w, count, q, distance);
    _tile_stored(TILE_SUMS, sums, sizeof sums[0]);
    UNROLLED (t, SIMD_TILE) dots[t].sum = _mm512_add_epi32(dots[t].sum, sums[t]);
}

/* Products of `iterations` rounds in registers. */
SIMD_INLINE uint64_t tile_peak(uint64_t iterations) {
    tiles_begin();
    for (uint64_t n = 0; n < iterations; n++) {
        _tile_dpbsud(0, TILE_TOKENS, TILE_WEIGHTS);
        _tile_dpbsud(1, TILE_TOKENS, TILE_WEIGHTS);
        _tile_dpbsud(2, TILE_TOKENS, TILE_WEIGHTS);
        _tile_dpbsud(3, TILE_TOKENS, TILE_WEIGHTS);
    }
    tiles_end();
    return iterations * 4 * SIMD_TILE * sizeof(struct tile_weights);
}
#endif
