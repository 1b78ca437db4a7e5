/* AMX tiles: a block of sixteen rows of weights times sixteen tokens, exact sums of whole numbers. Empty for a compiler
 * that was not asked for them. Intel SDM, volume 1, chapter 18. */
#pragma once
#ifdef SIMD_AMX
#include "kern/lanes/simd.h"
#include "kern/layout.h"

enum { TILE_ROWS = 16 }; /* tokens */

/* The tiles: sums, then tokens and weights of a block of eight vectors and of half a block. Macros, since the compiler
 * wants their numbers spelt. */
#define TILE_SUMS         0
#define TILE_TOKENS       1
#define TILE_WEIGHTS      2
#define TILE_TOKENS_HALF  3
#define TILE_WEIGHTS_HALF 4

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

/* A thread's tiles have their shapes from here to tiles_end(), behind which it has no state more to be saved. */
SIMD_INLINE void tiles_begin(void) {
    static const struct tile_config config = {
        .palette = 1,
        .row_bytes = {64, 32, 64, 16, 64},
        .rows = {TILE_ROWS, TILE_ROWS, 8, TILE_ROWS, 4},
    };
    _tile_loadconfig(&config);
}
SIMD_INLINE void tiles_end(void) { _tile_release(); }

/* One block's sums: of all of it, or of either half. */
struct tile_sums {
    __m512i of[2][TILE_ROWS];
};

/* Eight vectors of signed bytes times a block of sixteen tokens' bytes, all of it or half after half. */
SIMD_INLINE void tile_multiply(bool halves, const u8x64 *weights, const int8_t *q, struct tile_sums *out) {
    if (!halves) {
        _tile_zero(TILE_SUMS);
        _tile_loadd(TILE_TOKENS, q, KERN_BLOCK);
        _tile_loadd(TILE_WEIGHTS, weights, sizeof *weights);
        _tile_dpbssd(TILE_SUMS, TILE_TOKENS, TILE_WEIGHTS);
        _tile_stored(TILE_SUMS, out->of[0], sizeof out->of[0][0]);
        return;
    }
    UNROLLED (half, 2) {
        _tile_zero(TILE_SUMS);
        _tile_loadd(TILE_TOKENS_HALF, q + 16 * half, KERN_BLOCK);
        _tile_loadd(TILE_WEIGHTS_HALF, weights + 4 * half, sizeof *weights);
        _tile_dpbssd(TILE_SUMS, TILE_TOKENS_HALF, TILE_WEIGHTS_HALF);
        _tile_stored(TILE_SUMS, out->of[half], sizeof out->of[0][0]);
    }
}
#endif
