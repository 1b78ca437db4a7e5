/* The file's blocks of formats that choose groups of levels from a grid, and of ternary ones (gguf-py/gguf/quants.py
 * tells their structure). A column becomes its level, with 8 added where it is negative: an index of a codebook. */
#include <string.h>

#include "kern/grids.h"
#include "kern/half.h"
#include "kern/layout.h"

enum { NEGATIVE = 8 };

static uint16_t read_u16(const uint8_t *data) { return (uint16_t)(data[0] | data[1] << 8); }
static uint32_t read_u32(const uint8_t *data) { return read_u16(data) | (uint32_t)read_u16(data + 2) << 16; }

/* Columns of a block as they are found. */
struct codes {
    uint8_t at[KERN_BLOCK];
};

static void put_codes(const struct codes *codes, struct layout_row *out) { memcpy(out->words, codes->at, KERN_BLOCK); }

/* `count` levels of an entry of a grid, those negative whose bit in `signs` is set. */
static void put_entry(struct codes *codes, int column, int count, uint16_t entry, unsigned signs) {
    int bits = 16 / count > 2 ? 3 : 2;
    for (int i = 0; i < count; i++)
        codes->at[column + i] = (uint8_t)((entry >> bits * i & ((1 << bits) - 1)) | (signs >> i & 1) * NEGATIVE);
}

/* Seven signs are stored, the eighth makes their number even. */
static unsigned all_signs(unsigned seven) { return seven | (unsigned)__builtin_parity(seven) << 7; }

static void put_scales(struct layout_row *out, unsigned nibbles) {
    out->scale[0] = (int8_t)(2 * (nibbles & 15) + 1);
    out->scale[1] = (int8_t)(2 * (nibbles >> 4) + 1);
}

/* d; for each block four indices, 4 x 7 signs and a scale. */
static void decode_iq2_xxs(const uint8_t *data, unsigned index, struct layout_row *out) {
    const uint8_t *indices = data + 2 + 8 * index;
    uint32_t signs = read_u32(indices + 4);
    struct codes codes;
    for (int i = 0; i < 4; i++) put_entry(&codes, 8 * i, 8, grid_iq2_xxs[indices[i]], all_signs(signs >> 7 * i & 127));
    put_codes(&codes, out);
    put_scales(out, signs >> 28);
}

/* d; indices of 9 bits with 7 signs each; scales of 16. */
static void decode_iq2_xs(const uint8_t *data, unsigned index, struct layout_row *out) {
    struct codes codes;
    for (unsigned i = 0; i < 4; i++) {
        unsigned word = read_u16(data + 2 + 8 * index + 2 * i);
        put_entry(&codes, (int)(8 * i), 8, grid_iq2_xs[word & 511], all_signs(word >> 9));
    }
    put_codes(&codes, out);
    put_scales(out, data[66 + index]);
}

/* d; 8 bits of the indices; signs; two more bits of the indices; scales of 16. */
static void decode_iq2_s(const uint8_t *data, unsigned index, struct layout_row *out) {
    const uint8_t *low = data + 2 + 4 * index, *signs = low + 32;
    struct codes codes;
    for (int i = 0; i < 4; i++)
        put_entry(&codes, 8 * i, 8, grid_iq2_s[low[i] | (data[66 + index] >> 2 * i & 3) << 8], signs[i]);
    put_codes(&codes, out);
    put_scales(out, data[74 + index]);
}

/* d; indices of four; for each block 4 x 7 signs and a scale. */
static void decode_iq3_xxs(const uint8_t *data, unsigned index, struct layout_row *out) {
    uint32_t signs = read_u32(data + 66 + 4 * index);
    struct codes codes;
    for (int i = 0; i < 8; i++)
        put_entry(&codes, 4 * i, 4, grid_iq3_xxs[data[2 + 8 * index + (unsigned)i]],
                  all_signs(signs >> i / 2 * 7 & 127) >> i % 2 * 4);
    put_codes(&codes, out);
    put_scales(out, signs >> 28);
}

/* d; 8 bits of the indices; the ninth; signs; scales of 32. */
static void decode_iq3_s(const uint8_t *data, unsigned index, struct layout_row *out) {
    const uint8_t *low = data + 2 + 8 * index, *signs = data + 74 + 4 * index;
    struct codes codes;
    for (int i = 0; i < 8; i++)
        put_entry(&codes, 4 * i, 4, grid_iq3_s[low[i] | (data[66 + index] >> i & 1) << 8], signs[i / 2] >> i % 2 * 4);
    put_codes(&codes, out);
    put_scales(out, data[106 + index / 2] >> index % 2 * 4 & 15);
}

/* All eight levels of an entry are moved the same way. */
static void put_moved(struct codes *codes, int column, unsigned entry, bool down) {
    put_entry(codes, column, 8, grid_iq1[entry], down ? 255 : 0);
}

/* d; 8 bits of the indices; for each block 4 x 3 more, a scale, and which way its values are moved. */
static void decode_iq1_s(const uint8_t *data, unsigned index, struct layout_row *out) {
    unsigned high = read_u16(data + 34 + 2 * index);
    struct codes codes;
    for (int i = 0; i < 4; i++)
        put_moved(&codes, 8 * i, data[2 + 4 * index + (unsigned)i] | (high >> 3 * i & 7) << 8, high >> 15);
    put_codes(&codes, out);
    out->scale[0] = (int8_t)(2 * (high >> 12 & 7) + 1);
}

/* 8 bits of the indices; nibbles of three more and which way eight values are moved; scales of 16 and d, both spread
 * over four numbers of 16 bits. */
static void decode_iq1_m(const uint8_t *data, unsigned index, struct layout_row *out) {
    const uint8_t *scales = data + 48;
    unsigned packed = read_u16(scales + index / 2 * 2) >> index % 2 * 6;
    struct codes codes;
    for (unsigned i = 0; i < 4; i++) {
        unsigned high = data[32 + 2 * index + i / 2] >> i % 2 * 4;
        put_moved(&codes, (int)(8 * i), data[4 * index + i] | (high & 7) << 8, high >> 3 & 1);
    }
    put_codes(&codes, out);
    out->d = 0;
    for (int i = 0; i < 4; i++) out->d |= (uint16_t)(read_u16(scales + 2 * i) >> 12 << 4 * i);
    out->scale[0] = (int8_t)(2 * (packed & 7) + 1);
    out->scale[1] = (int8_t)(2 * (packed >> 3 & 7) + 1);
}

/* The nth of five ternary digits, the byte being a fraction of 256 in base 3. */
static uint8_t digit(uint8_t byte, int n) {
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    return (uint8_t)((uint8_t)(byte * powers[n]) * 3 >> 8);
}

/* 32 bytes of 5 x 32 columns, 16 of 5 x 16, 4 of 4 x 4; d. */
static void decode_tq1_0(const uint8_t *data, unsigned index, struct layout_row *out) {
    struct codes codes;
    for (unsigned i = 0; i < KERN_BLOCK; i++) {
        unsigned column = 32 * index + i, second = column - 160, third = column - 240;
        codes.at[i] = column < 160   ? digit(data[i], (int)index)
                      : column < 240 ? digit(data[32 + second % 16], (int)(second / 16))
                                     : digit(data[48 + third % 4], (int)(third / 4));
    }
    put_codes(&codes, out);
    out->d = read_u16(data + 52);
    out->scale[0] = 1;
}

/* Two halves of 32 bytes, two bits for each of four blocks; d. */
static void decode_tq2_0(const uint8_t *data, unsigned index, struct layout_row *out) {
    struct codes codes;
    for (unsigned i = 0; i < KERN_BLOCK; i++) codes.at[i] = data[index / 4 * 32 + i] >> index % 4 * 2 & 3;
    put_codes(&codes, out);
    out->d = read_u16(data + 64);
    out->scale[0] = 1;
}

bool layout_decode_iq(uint32_t type, const uint8_t *data, unsigned index, struct layout_row *out) {
    switch (type) {
    case TENSOR_IQ2_XXS: decode_iq2_xxs(data, index, out); break;
    case TENSOR_IQ2_XS: decode_iq2_xs(data, index, out); break;
    case TENSOR_IQ2_S: decode_iq2_s(data, index, out); break;
    case TENSOR_IQ3_XXS: decode_iq3_xxs(data, index, out); break;
    case TENSOR_IQ3_S: decode_iq3_s(data, index, out); break;
    case TENSOR_IQ1_S: decode_iq1_s(data, index, out); break;
    case TENSOR_IQ1_M: decode_iq1_m(data, index, out); break;
    case TENSOR_TQ1_0: decode_tq1_0(data, index, out); break;
    case TENSOR_TQ2_0: decode_tq2_0(data, index, out); break;
    default: return false;
    }
    return true;
}
