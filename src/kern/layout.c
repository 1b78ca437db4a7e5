#include "kern/layout.h"

#include <assert.h>
#include <string.h>

#include "base/size.h"
#include "kern/half.h"

/* Packing is written once for all types and compiled for each: what a type does not have costs it nothing. */
#define INLINE static inline __attribute__((always_inline))

static const struct layout layouts[TENSOR_TYPE_MAX] = {
#define X(type, ...) [TENSOR_##type] = LAYOUT_INIT(__VA_ARGS__),
    LAYOUT_TYPES(X)
#undef X
};

const struct layout *layout_of(uint32_t type) {
    return type < TENSOR_TYPE_MAX && layouts[type].bits_low ? &layouts[type] : NULL;
}

/* IQ4_NL's values, twice those of OCP's E2M1 (MXFP4), eight times IQ1's; see grids.h. */
const uint8_t layout_codebooks[LAYOUT_CODE_COUNT][16] = {
    [LAYOUT_CODE_NL4] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},
    [LAYOUT_CODE_E2M1] = {128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116},
    [LAYOUT_CODE_IQ1] = {121, 129, 137, 128, 128, 128, 128, 128, 119, 127, 135, 128, 128, 128, 128, 128},
    [LAYOUT_CODE_IQ2] = {136, 153, 171, 128, 128, 128, 128, 128, 120, 103, 85, 128, 128, 128, 128, 128},
    [LAYOUT_CODE_IQ3_XXS] = {132, 140, 148, 156, 164, 172, 180, 190, 124, 116, 108, 100, 92, 84, 76, 66},
    [LAYOUT_CODE_IQ3_S] = {129, 131, 133, 135, 137, 139, 141, 143, 127, 125, 123, 121, 119, 117, 115, 113},
};

/* ---- the file's blocks (ggml-common.h; gguf-py/gguf/quants.py) ---- */

static uint16_t read_u16(const uint8_t *data) { return (uint16_t)(data[0] | data[1] << 8); }

static uint32_t read_word(const uint8_t *data) {
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* The same bits of each of four bytes. */
static uint32_t bits_of(uint32_t word, unsigned shift, unsigned bits) {
    return word >> shift & 0x01010101u * ((1u << bits) - 1);
}

/* 16 bytes of nibbles: the low ones are columns 0..15, the high ones 16..31. */
INLINE void decode_nibbles(const uint8_t *nibbles, struct layout_row *out) {
    for (int j = 0; j < 4; j++) {
        out->words[j] = bits_of(read_word(nibbles + 4 * j), 0, 4);
        out->words[j + 4] = bits_of(read_word(nibbles + 4 * j), 4, 4);
    }
}

/* 32 bits, one per column: the multiplication brings each of four to the bottom of its own byte. */
INLINE void add_fifth_bits(const uint8_t *bits, struct layout_row *out) {
    uint32_t all = bits[0] | bits[1] << 8 | bits[2] << 16 | (uint32_t)bits[3] << 24;
    for (int j = 0; j < LAYOUT_VECTORS; j++) out->words[j] |= bits_of((all >> 4 * j & 15) * 0x00204081u, 0, 1) << 4;
}

/* 32 bytes that hold `bits` bits of each column at `shift`, put at bit `to`. */
INLINE void add_bits(const uint8_t *data, unsigned shift, unsigned bits, unsigned to, struct layout_row *out) {
    for (int j = 0; j < LAYOUT_VECTORS; j++) out->words[j] |= bits_of(read_word(data + 4 * j), shift, bits) << to;
}

INLINE void decode_q8_0(const uint8_t *data, struct layout_row *out) {
    for (int j = 0; j < LAYOUT_VECTORS; j++) out->words[j] = read_word(data + 2 + 4 * j) ^ 0x80808080u; /* + 128 */
}

/* Eight 6-bit scales and minima in 12 bytes: the upper two bits of the last four lie in the first eight bytes. */
INLINE void decode_k_scales(const uint8_t *packed, unsigned index, struct layout_row *out) {
    if (index < 4) {
        out->scale[0] = packed[index] & 63;
        out->min[0] = packed[index + 4] & 63;
    } else {
        out->scale[0] = (int8_t)((packed[index + 4] & 15) | (packed[index - 4] >> 6) << 4);
        out->min[0] = (uint8_t)(packed[index + 4] >> 4 | (packed[index] >> 6) << 4);
    }
}

/* 16 scales (nibbles, with minima), 64 bytes of 2-bit quants (four blocks each 32 bytes), d, m. */
INLINE void decode_q2_k(const uint8_t *data, unsigned index, struct layout_row *out) {
    for (int half = 0; half < 2; half++) {
        out->scale[half] = data[2 * index + half] & 15;
        out->min[half] = data[2 * index + half] >> 4;
    }
    add_bits(data + 16 + index / 4 * 32, index % 4 * 2, 2, 0, out);
    out->d = read_u16(data + 80);
    out->m = read_u16(data + 82);
}

/* 32 bytes of third bits (one block per bit), 64 bytes as in Q2_K, 16 6-bit scales in 12 bytes, d. */
INLINE void decode_q3_k(const uint8_t *data, unsigned index, struct layout_row *out) {
    const uint8_t *scales = data + 96;
    for (int half = 0; half < 2; half++) {
        unsigned i = 2 * index + (unsigned)half;
        int low = scales[i % 8] >> i / 8 * 4 & 15, high = scales[8 + i % 4] >> i / 4 * 2 & 3;
        out->scale[half] = (int8_t)((low | high << 4) - 32);
    }
    add_bits(data + 32 + index / 4 * 32, index % 4 * 2, 2, 0, out);
    add_bits(data, index, 1, 2, out);
    out->d = read_u16(data + 108);
}

/* d, m, scales, in Q5_K 32 bytes of fifth bits (one block per bit), 32 bytes of nibbles for every two blocks. */
INLINE void decode_q45_k(const uint8_t *data, unsigned index, bool five, struct layout_row *out) {
    out->m = read_u16(data + 2);
    decode_k_scales(data + 4, index, out);
    add_bits(data + (five ? 48 : 16) + index / 2 * 32, index % 2 * 4, 4, 0, out);
    if (five) add_bits(data + 16, index, 1, 4, out);
}

/* Halves of 128 columns: 64 bytes of nibbles (blocks 0 and 1 in the low, 2 and 3 in the high ones), 32 bytes that hold
 * two more bits for four blocks each; 16 scales; d. */
INLINE void decode_q6_k(const uint8_t *data, unsigned index, struct layout_row *out) {
    unsigned half = index / 4, part = index % 4;
    add_bits(data + half * 64 + part % 2 * 32, part / 2 * 4, 4, 0, out);
    add_bits(data + 128 + half * 32, part * 2, 2, 4, out);
    memcpy(out->scale, data + 192 + index * 2, 2);
    out->d = read_u16(data + 208);
}

/* d, two upper bits of eight scales, their lower nibbles, quants. */
INLINE void decode_iq4_xs(const uint8_t *data, unsigned index, struct layout_row *out) {
    int low = data[4 + index / 2] >> index % 2 * 4 & 15, high = read_u16(data + 2) >> index * 2 & 3;
    out->scale[0] = (int8_t)((low | high << 4) - 32);
    decode_nibbles(data + 8 + index * 16, out);
}

INLINE void decode(uint32_t type, const uint8_t *data, unsigned index, struct layout_row *out) {
    *out = (struct layout_row){.d = read_u16(data)};
    switch (type) {
    case TENSOR_Q4_0:
    case TENSOR_IQ4_NL: decode_nibbles(data + 2, out); break;
    case TENSOR_Q4_1:
        out->m = read_u16(data + 2);
        decode_nibbles(data + 4, out);
        break;
    case TENSOR_Q8_0: decode_q8_0(data, out); break;
    case TENSOR_Q2_K: decode_q2_k(data, index, out); break;
    case TENSOR_Q3_K: decode_q3_k(data, index, out); break;
    case TENSOR_Q4_K: decode_q45_k(data, index, false, out); break;
    case TENSOR_Q5_K: decode_q45_k(data, index, true, out); break;
    case TENSOR_Q6_K: decode_q6_k(data, index, out); break;
    case TENSOR_IQ4_XS: decode_iq4_xs(data, index, out); break;
    case TENSOR_Q5_0:
        decode_nibbles(data + 6, out);
        add_fifth_bits(data + 2, out);
        break;
    case TENSOR_Q5_1:
        out->m = read_u16(data + 2);
        decode_nibbles(data + 8, out);
        add_fifth_bits(data + 4, out);
        break;
    case TENSOR_MXFP4:
        out->scale[0] = (int8_t)data[0];
        decode_nibbles(data + 1, out);
        break;
    default: {
        bool known = layout_decode_iq(type, data, index, out);
        assert(known);
    }
    }
}

void layout_decode(uint32_t type, const uint8_t *data, unsigned index, struct layout_row *out) {
    decode(type, data, index, out);
}

/* ---- scales and quants of a group ---- */

/* 2^(e - 128), as bits: the two smallest are denormal. */
static float e8m0_scale(uint8_t e) { return half_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23); }

static float row_scale(const struct layout *l, const struct layout_row *r, int half) {
    if (l->scales == LAYOUT_SCALES_E8M0) return e8m0_scale((uint8_t)r->scale[0]);
    float d = half_f16_to_f32(r->d);
    if (!layout_is_super(l)) return d;
    return layout_unit(l) * d * (float)r->scale[layout_has_halves(l) ? half : 0]; /* 11 bits times 8: exact */
}

static float row_min(const struct layout *l, const struct layout_row *r, int half) {
    if (!layout_has_min(l)) return 0.0f;
    float m = half_f16_to_f32(r->m);
    return layout_is_super(l) ? -m * (float)r->min[layout_has_halves(l) ? half : 0] : m;
}

/* The unsigned values of a row's columns. */
static void row_quants(const struct layout *l, const struct layout_row *r, uint8_t u[KERN_BLOCK]) {
    memcpy(u, r->words, KERN_BLOCK);
    if (l->code == LAYOUT_CODE_NONE) return;
    for (int i = 0; i < KERN_BLOCK; i++) u[i] = layout_codebooks[l->code][u[i]];
}

static void row_values(const struct layout *l, const struct layout_row *r, float *out) {
    uint8_t u[KERN_BLOCK];
    row_quants(l, r, u);
    for (int i = 0; i < KERN_BLOCK; i++) {
        float product = row_scale(l, r, i / 16) * (float)(u[i] - l->offset);
        out[i] = layout_has_min(l) ? product + row_min(l, r, i / 16) : product;
    }
}

static void put_f16(uint8_t *out, size_t row, uint16_t bits) { memcpy(out + row * 2, &bits, 2); }

static uint16_t get_f16(const uint8_t *data, size_t row) {
    uint16_t bits;
    memcpy(&bits, data + row * 2, 2);
    return bits;
}

INLINE void put_scales(const struct layout *l, uint8_t *group, unsigned index, size_t row, const struct layout_row *r) {
    uint8_t *bytes = group + layout_scales_at(l, index);
    if (l->scales != LAYOUT_SCALES_E8M0) put_f16(group, row, r->d);
    if (layout_has_min(l)) put_f16(group + sizeof(uint16_t) * KERN_LANES, row, r->m);
    if (l->scales >= LAYOUT_SCALES_E8M0) bytes[row] = (uint8_t)r->scale[0];
    switch (l->scales) {
    case LAYOUT_SCALES_K32_MIN: bytes[KERN_LANES + row] = r->min[0]; break;
    case LAYOUT_SCALES_K16: bytes[KERN_LANES + row] = (uint8_t)r->scale[1]; break;
    case LAYOUT_SCALES_K16_MIN:
        for (int half = 0; half < 2; half++)
            bytes[half * KERN_LANES + row] = (uint8_t)(r->scale[half] | r->min[half] << 4);
        break;
    default: break;
    }
}

static void get_scales(const struct layout *l, const uint8_t *group, unsigned index, size_t row, struct layout_row *r) {
    const uint8_t *bytes = group + layout_scales_at(l, index);
    *r = (struct layout_row){0};
    if (l->scales != LAYOUT_SCALES_E8M0) r->d = get_f16(group, row);
    if (layout_has_min(l)) r->m = get_f16(group + sizeof(uint16_t) * KERN_LANES, row);
    if (l->scales >= LAYOUT_SCALES_E8M0) r->scale[0] = (int8_t)bytes[row];
    switch (l->scales) {
    case LAYOUT_SCALES_K32_MIN: r->min[0] = bytes[KERN_LANES + row]; break;
    case LAYOUT_SCALES_K16: r->scale[1] = (int8_t)bytes[KERN_LANES + row]; break;
    case LAYOUT_SCALES_K16_MIN:
        for (int half = 0; half < 2; half++) {
            r->scale[half] = bytes[half * KERN_LANES + row] & 15;
            r->min[half] = bytes[half * KERN_LANES + row] >> 4;
        }
        break;
    default: break;
    }
}

/* A row's 32 values are eight words of four columns, one in each conceptual vector; a part of them is `bits` words, at
 * the row's place in the stored vectors. */
INLINE void put_part(const uint32_t words[LAYOUT_VECTORS], int first_bit, int bits, size_t row, uint8_t *out) {
    uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    for (int v = 0; v < bits; v++) {
        uint32_t stored = 0;
        for (int j = v; j < LAYOUT_VECTORS; j += bits) stored |= (words[j] >> first_bit & mask) << (j - v);
        memcpy(out + v * LAYOUT_VECTOR_BYTES + row * 4, &stored, 4);
    }
}

static void get_part(const uint8_t *data, int first_bit, int bits, size_t row, uint32_t words[LAYOUT_VECTORS]) {
    uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    for (int v = 0; v < bits; v++) {
        uint32_t stored;
        memcpy(&stored, data + v * LAYOUT_VECTOR_BYTES + row * 4, 4);
        for (int j = v; j < LAYOUT_VECTORS; j += bits) words[j] |= (stored >> (j - v) & mask) << first_bit;
    }
}

static size_t quants_at(const struct layout *l, unsigned index) {
    return layout_head_bytes(l) + index * layout_block_bytes(l);
}

INLINE void put_row(const struct layout *l, uint8_t *group, unsigned index, size_t row, const struct layout_row *r) {
    uint8_t *quants = group + quants_at(l, index);
    put_scales(l, group, index, row, r);
    put_part(r->words, 0, l->bits_low, row, quants);
    if (l->bits_high) put_part(r->words, l->bits_low, l->bits_high, row, quants + l->bits_low * LAYOUT_VECTOR_BYTES);
}

static void get_row(const struct layout *l, const uint8_t *group, unsigned index, size_t row, struct layout_row *r) {
    const uint8_t *quants = group + quants_at(l, index);
    get_scales(l, group, index, row, r);
    get_part(quants, 0, l->bits_low, row, r->words);
    if (l->bits_high) get_part(quants + l->bits_low * LAYOUT_VECTOR_BYTES, l->bits_low, l->bits_high, row, r->words);
}

void layout_unpack(const struct layout *l, const uint8_t *group, unsigned index, struct layout_block *out) {
    for (size_t row = 0; row < KERN_LANES; row++) {
        struct layout_row r;
        get_row(l, group, index, row, &r);
        row_quants(l, &r, out->u[row]);
        for (int half = 0; half < 2; half++) {
            out->scale[half][row] = row_scale(l, &r, half);
            out->min[half][row] = row_min(l, &r, half);
        }
    }
}

/* Rows of the file's layout, up to KERN_LANES, and the columns that all of them have. */
struct file_rows {
    const uint8_t *data;
    size_t bytes, count, cols; /* bytes from one row to the next */
};

INLINE void pack_block(uint32_t type, const struct layout *l, const struct file_rows *from, unsigned index,
                       uint8_t *group) {
    for (size_t row = 0; row < from->count; row++) {
        struct layout_row r;
        decode(type, from->data + row * from->bytes, index, &r);
        put_row(l, group, index, row, &r);
    }
    for (size_t row = from->count; row < KERN_LANES; row++) {
        struct layout_row r = {0};
        memset(r.words, l->code ? 0 : l->offset, sizeof r.words);
        put_row(l, group, index, row, &r);
    }
}

INLINE uint8_t *pack_groups(uint32_t type, const struct layout *l, size_t block, size_t block_bytes,
                            struct file_rows from, uint8_t *group) {
    for (size_t i = 0; i < from.cols / block; i++) {
#pragma GCC unroll 8
        for (unsigned index = 0; index < layout_group_blocks(l); index++) pack_block(type, l, &from, index, group);
        from.data += block_bytes;
        group += layout_group_bytes(l);
    }
    return group;
}

/* ---- float types: element [column][row] ---- */

static bool is_float(uint32_t type) { return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16; }

static float read_float(uint32_t type, const void *data, size_t index) {
    if (type == TENSOR_F32) {
        float value;
        memcpy(&value, (const uint8_t *)data + index * 4, 4);
        return value;
    }
    uint16_t bits = get_f16(data, index);
    return type == TENSOR_F16 ? half_f16_to_f32(bits) : half_bf16_to_f32(bits);
}

/* A line of the cache of each row at a time: rows often lie a power of two apart, where a cache keeps few of them.
 * `bytes` is a constant where this is inlined. */
INLINE void interleave(size_t bytes, const uint8_t *rows, size_t row_bytes, size_t row_count, size_t cols,
                       uint8_t *panel) {
    const size_t step = 64 / bytes;
    for (size_t begin = 0; begin < cols; begin += step) {
        size_t end = cols - begin < step ? cols : begin + step;
        for (size_t row = 0; row < row_count; row++)
            for (size_t col = begin; col < end; col++)
                memcpy(panel + (col * KERN_LANES + row) * bytes, rows + row * row_bytes + col * bytes, bytes);
    }
}

static void pack_floats(uint32_t type, const uint8_t *rows, size_t row_bytes, size_t row_count, size_t cols,
                        uint8_t *panel) {
    memset(panel, 0, kern_panel_bytes(type, cols));
    if (type == TENSOR_F32)
        interleave(sizeof(float), rows, row_bytes, row_count, cols, panel);
    else
        interleave(sizeof(uint16_t), rows, row_bytes, row_count, cols, panel);
}

/* ---- the contract ---- */

bool kern_supports(uint32_t type) { return is_float(type) || layout_of(type); }
bool kern_wants_int8(uint32_t type) { return layout_of(type) != NULL; }

size_t kern_panel_bytes(uint32_t type, size_t cols) {
    const struct layout *l = layout_of(type);
    size_t bytes = l ? cols / (layout_group_blocks(l) * KERN_BLOCK) * layout_group_bytes(l)
                     : cols * KERN_LANES * tensor_type_block_bytes(type);
    return size_round_up(bytes, KERN_ALIGN);
}

/* Returns the end of what was written. */
static uint8_t *pack_quantised(uint32_t type, struct file_rows from, uint8_t *panel) {
    size_t block = tensor_type_block(type), block_bytes = tensor_type_block_bytes(type);
    switch (type) {
#define X(type, ...)                                                                                                   \
    case TENSOR_##type: {                                                                                              \
        const struct layout l = LAYOUT_INIT(__VA_ARGS__);                                                              \
        return pack_groups(TENSOR_##type, &l, block, block_bytes, from, panel);                                        \
    }
        LAYOUT_TYPES(X)
#undef X
    }
    return panel;
}

void kern_pack_panel(uint32_t type, const void *rows, size_t row_bytes, size_t row_count, size_t cols, void *panel) {
    const struct layout *l = layout_of(type);
    assert(kern_supports(type) && cols % tensor_type_block(type) == 0);
    if (!l) {
        pack_floats(type, rows, row_bytes, row_count, cols, panel);
        return;
    }
    uint8_t *end = (uint8_t *)panel + kern_panel_bytes(type, cols);
    uint8_t *group = pack_quantised(type, (struct file_rows){rows, row_bytes, row_count, cols}, panel);
    memset(group, 0, (size_t)(end - group));
}

void kern_row_read(uint32_t type, const void *panels, size_t row, size_t cols, float *out) {
    const struct layout *l = layout_of(type);
    const uint8_t *panel = (const uint8_t *)panels + row / KERN_LANES * kern_panel_bytes(type, cols);
    size_t lane = row % KERN_LANES;
    if (!l) {
        for (size_t col = 0; col < cols; col++) out[col] = read_float(type, panel, col * KERN_LANES + lane);
        return;
    }
    for (size_t block = 0; block < cols / KERN_BLOCK; block++) {
        unsigned index = (unsigned)(block % layout_group_blocks(l));
        const uint8_t *group = panel + block / layout_group_blocks(l) * layout_group_bytes(l);
        struct layout_row r;
        get_row(l, group, index, lane, &r);
        row_values(l, &r, out + block * KERN_BLOCK);
    }
}

void kern_dequantize(uint32_t type, const void *data, size_t n, float *out) {
    const struct layout *l = layout_of(type);
    assert(kern_supports(type) && n % tensor_type_block(type) == 0);
    if (!l) {
        for (size_t i = 0; i < n; i++) out[i] = read_float(type, data, i);
        return;
    }
    for (size_t block = 0; block < n / KERN_BLOCK; block++) {
        struct layout_row r = {0};
        layout_decode(type, (const uint8_t *)data + block / layout_group_blocks(l) * tensor_type_block_bytes(type),
                      (unsigned)(block % layout_group_blocks(l)), &r);
        row_values(l, &r, out + block * KERN_BLOCK);
    }
}
