/* How quantised weights lie in memory: panels of 16 rows, made of groups of 32 or 256 columns.
 *
 * A group begins with its scales, 16 rows side by side, then holds its quants in blocks of 32 columns. Quants are
 * unsigned; value = scale * (u - offset) + min. Byte 4 * row + i of the conceptual vector j (0..7) of a block is column
 * 4 j + i of that row: what 4-way integer dot products want. A part with `bits` bits per value stores vector j in the
 * bits [bits * (j / bits), ...) of the 64-byte vector j % bits; 5 and 6 bits are a part of 4 and a part of 1 or 2.
 * Memory per weight is what the file takes (Q4_K: 2.8 % more, its 6-bit scales are widened); IQ1, IQ2 and IQ3 take
 * 4.1 to 4.2 bits and TQ 2.1: their levels are spelt out. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

enum {
    LAYOUT_VECTORS = 8,       /* vectors per block of 32 columns */
    LAYOUT_VECTOR_BYTES = 64, /* 16 rows of 4 columns */
    LAYOUT_SUPER = 256,       /* columns of a K-quant's super-block */
};

/* What stands at the head of a group; d, m: f16 [16], the others one byte per row and block.
 * F16: d. F16_MIN: d, m. E8M0: the exponent e of a scale 2^(e - 128). Super-blocks: d, with minima also m, then for
 * each block K32: scale[16]. K32_MIN: scale[16], min[16]. K16: scale[2][16], one per half of the block. K16_MIN:
 * [2][16], the scale in the low, the minimum in the high four bits. A value's scale is d * scale, its minimum -m * min.
 */
enum layout_scales {
    LAYOUT_SCALES_F16,
    LAYOUT_SCALES_F16_MIN,
    LAYOUT_SCALES_E8M0,
    LAYOUT_SCALES_K32, /* from here on super-blocks */
    LAYOUT_SCALES_K32_MIN,
    LAYOUT_SCALES_K16,
    LAYOUT_SCALES_K16_MIN,
};

/* What a stored nibble stands for, where it is not itself: a signed byte, kept as byte + 128. */
enum layout_codebook {
    LAYOUT_CODE_NONE,
    LAYOUT_CODE_NL4,
    LAYOUT_CODE_E2M1,
    LAYOUT_CODE_IQ1, /* from here on levels with signs (decode_iq.c) */
    LAYOUT_CODE_IQ2,
    LAYOUT_CODE_IQ3_XXS,
    LAYOUT_CODE_IQ3_S,
    LAYOUT_CODE_COUNT
};

struct layout {
    enum layout_scales scales;
    int bits_low, bits_high; /* of a quant; bits_high 0: one part */
    int offset;
    enum layout_codebook code;
};

/* 32 columns of 16 rows, spelt out; what the type does not have is zero. */
struct layout_block {
    uint8_t u[KERN_LANES][KERN_BLOCK];              /* [row][column] */
    float scale[2][KERN_LANES], min[2][KERN_LANES]; /* of columns 0..15 and 16..31; exact */
};

/* 32 columns of one row as stored: whole numbers and f16 bits. */
struct layout_row {
    uint32_t words[LAYOUT_VECTORS]; /* columns 4 j .. 4 j + 3, a byte each */
    uint16_t d, m;
    int8_t scale[2]; /* K16: both, else [0]; E8M0: the exponent's bits */
    uint8_t min[2];
};

/* X(type, scales, bits_low, bits_high, offset, code): the quantised types. A type has a row here and a decoder;
 * everything else follows. */
#define LAYOUT_TYPES(X)                                                                                                \
    X(Q4_0, F16, 4, 0, 8, NONE)                                                                                        \
    X(Q4_1, F16_MIN, 4, 0, 0, NONE)                                                                                    \
    X(Q5_0, F16, 4, 1, 16, NONE)                                                                                       \
    X(Q5_1, F16_MIN, 4, 1, 0, NONE)                                                                                    \
    X(Q8_0, F16, 8, 0, 128, NONE)                                                                                      \
    X(Q2_K, K16_MIN, 2, 0, 0, NONE)                                                                                    \
    X(Q3_K, K16, 2, 1, 4, NONE)                                                                                        \
    X(Q4_K, K32_MIN, 4, 0, 0, NONE)                                                                                    \
    X(Q5_K, K32_MIN, 4, 1, 0, NONE)                                                                                    \
    X(Q6_K, K16, 4, 2, 32, NONE)                                                                                       \
    X(IQ4_NL, F16, 4, 0, 128, NL4)                                                                                     \
    X(IQ4_XS, K32, 4, 0, 128, NL4)                                                                                     \
    X(MXFP4, E8M0, 4, 0, 128, E2M1)                                                                                    \
    X(IQ1_S, K32, 4, 0, 128, IQ1)                                                                                      \
    X(IQ1_M, K16, 4, 0, 128, IQ1)                                                                                      \
    X(IQ2_XXS, K32, 4, 0, 128, IQ2)                                                                                    \
    X(IQ2_XS, K16, 4, 0, 128, IQ2)                                                                                     \
    X(IQ2_S, K16, 4, 0, 128, IQ2)                                                                                      \
    X(IQ3_XXS, K32, 4, 0, 128, IQ3_XXS)                                                                                \
    X(IQ3_S, K32, 4, 0, 128, IQ3_S)                                                                                    \
    X(TQ1_0, K32, 2, 0, 1, NONE)                                                                                       \
    X(TQ2_0, K32, 2, 0, 1, NONE)

#define LAYOUT_INIT(scales, bits_low, bits_high, offset, code)                                                         \
    { LAYOUT_SCALES_##scales, bits_low, bits_high, offset, LAYOUT_CODE_##code }

/* The codebooks, with 128 added; [LAYOUT_CODE_NONE] is not used. */
extern const uint8_t layout_codebooks[LAYOUT_CODE_COUNT][16];
/* What scales of super-blocks are multiplied by: codebooks hold whole numbers. */
static inline float layout_unit(const struct layout *l) {
    return l->code == LAYOUT_CODE_IQ1 || l->code == LAYOUT_CODE_IQ2 ? 0.125f
           : l->code == LAYOUT_CODE_IQ3_XXS                         ? 0.25f
                                                                    : 1.0f;
}

/* NULL for types that are not quantised or not supported. */
const struct layout *layout_of(uint32_t type);
/* 32 columns from a block (or block `index` of a super-block) of the file's layout. */
void layout_decode(uint32_t type, const uint8_t *data, unsigned index, struct layout_row *out);
/* The part of it that knows the IQ1, IQ2, IQ3 and TQ types; false: it is none of them. */
bool layout_decode_iq(uint32_t type, const uint8_t *data, unsigned index, struct layout_row *out);
/* Can it be written? */
static inline bool layout_encodes(uint32_t type) {
    return layout_of(type) && type != TENSOR_TQ1_0 && type != TENSOR_TQ2_0 && layout_of(type)->code < LAYOUT_CODE_IQ1;
}
/* The opposite, of a whole block or super-block (8 rows, one for each `index`). */
void layout_encode(uint32_t type, const struct layout_row *rows, uint8_t *data);
/* Block `index` of a group, all rows. */
void layout_unpack(const struct layout *l, const uint8_t *group, unsigned index, struct layout_block *out);

static inline bool layout_is_super(const struct layout *l) { return l->scales >= LAYOUT_SCALES_K32; }
static inline bool layout_has_halves(const struct layout *l) { return l->scales >= LAYOUT_SCALES_K16; }
static inline bool layout_has_min(const struct layout *l) {
    return l->scales == LAYOUT_SCALES_F16_MIN || l->scales == LAYOUT_SCALES_K32_MIN ||
           l->scales == LAYOUT_SCALES_K16_MIN;
}
/* Blocks of 32 columns in a group. */
static inline unsigned layout_group_blocks(const struct layout *l) {
    return layout_is_super(l) ? LAYOUT_SUPER / KERN_BLOCK : 1;
}
/* Where the bytes of block `index` are in the head, behind the f16s. */
static inline size_t layout_scales_at(const struct layout *l, unsigned index) {
    size_t f16s = l->scales == LAYOUT_SCALES_E8M0 ? 0 : layout_has_min(l) ? 2 : 1;
    size_t bytes = !layout_is_super(l) ? 0 : l->scales == LAYOUT_SCALES_K32 ? 1 : 2;
    return KERN_LANES * (f16s * sizeof(uint16_t) + index * bytes);
}
static inline size_t layout_head_bytes(const struct layout *l) {
    return l->scales == LAYOUT_SCALES_E8M0 ? KERN_LANES : layout_scales_at(l, layout_group_blocks(l));
}
static inline size_t layout_block_bytes(const struct layout *l) {
    return (size_t)LAYOUT_VECTOR_BYTES * (l->bits_low + l->bits_high);
}
static inline size_t layout_group_bytes(const struct layout *l) {
    return layout_head_bytes(l) + layout_group_blocks(l) * layout_block_bytes(l);
}
