/* The file's blocks written: the opposite of layout_decode, format by format (ggml-common.h). */
#include <assert.h>
#include <string.h>

#include "kern/layout.h"

static void write_u16(uint8_t *data, uint16_t value) {
    data[0] = (uint8_t)value;
    data[1] = (uint8_t)(value >> 8);
}

static const uint8_t *values_of(const struct layout_row *row) { return (const uint8_t *)row->words; }

/* The low nibbles of 16 bytes are columns 0..15, the high ones 16..31. */
static void put_nibbles(uint8_t *nibbles, const struct layout_row *row) {
    const uint8_t *u = values_of(row);
    for (int i = 0; i < 16; i++) nibbles[i] = (uint8_t)((u[i] & 15) | u[i + 16] << 4);
}

static void put_fifth_bits(uint8_t *bits, const struct layout_row *row) {
    const uint8_t *u = values_of(row);
    for (int i = 0; i < KERN_BLOCK; i++) bits[i / 8] |= (uint8_t)((u[i] >> 4 & 1) << i % 8);
}

/* `bits` bits of each column from bit `from` on, to bit `shift` of 32 bytes. */
static void put_bits(uint8_t *data, unsigned shift, unsigned bits, unsigned from, const struct layout_row *row) {
    const uint8_t *u = values_of(row);
    for (int i = 0; i < KERN_BLOCK; i++) data[i] |= (uint8_t)((u[i] >> from & ((1u << bits) - 1)) << shift);
}

static void encode_q8_0(uint8_t *data, const struct layout_row *row) {
    for (int i = 0; i < KERN_BLOCK; i++) data[2 + i] = values_of(row)[i] ^ 0x80; /* - 128 */
}

static void encode_k_scales(uint8_t *packed, unsigned index, uint8_t scale, uint8_t min) {
    if (index < 4) {
        packed[index] |= scale;
        packed[index + 4] |= min;
    } else {
        packed[index + 4] = (uint8_t)((scale & 15) | min << 4);
        packed[index - 4] |= (uint8_t)(scale >> 4 << 6);
        packed[index] |= (uint8_t)(min >> 4 << 6);
    }
}

static void encode_q2_k(uint8_t *data, unsigned index, const struct layout_row *row) {
    for (int half = 0; half < 2; half++) data[2 * index + half] = (uint8_t)(row->scale[half] | row->min[half] << 4);
    put_bits(data + 16 + index / 4 * 32, index % 4 * 2, 2, 0, row);
    write_u16(data + 80, row->d);
    write_u16(data + 82, row->m);
}

static void encode_q3_k(uint8_t *data, unsigned index, const struct layout_row *row) {
    uint8_t *scales = data + 96;
    for (int half = 0; half < 2; half++) {
        unsigned i = 2 * index + (unsigned)half, scale = (unsigned)(row->scale[half] + 32);
        scales[i % 8] |= (uint8_t)((scale & 15) << i / 8 * 4);
        scales[8 + i % 4] |= (uint8_t)(scale >> 4 << i / 4 * 2);
    }
    put_bits(data + 32 + index / 4 * 32, index % 4 * 2, 2, 0, row);
    put_bits(data, index, 1, 2, row);
    write_u16(data + 108, row->d);
}

static void encode_q45_k(uint8_t *data, unsigned index, bool five, const struct layout_row *row) {
    write_u16(data, row->d);
    write_u16(data + 2, row->m);
    encode_k_scales(data + 4, index, (uint8_t)row->scale[0], row->min[0]);
    put_bits(data + (five ? 48 : 16) + index / 2 * 32, index % 2 * 4, 4, 0, row);
    if (five) put_bits(data + 16, index, 1, 4, row);
}

static void encode_q6_k(uint8_t *data, unsigned index, const struct layout_row *row) {
    unsigned half = index / 4, part = index % 4;
    put_bits(data + half * 64 + part % 2 * 32, part / 2 * 4, 4, 0, row);
    put_bits(data + 128 + half * 32, part * 2, 2, 4, row);
    memcpy(data + 192 + index * 2, row->scale, 2);
    write_u16(data + 208, row->d);
}

static void encode_iq4_xs(uint8_t *data, unsigned index, const struct layout_row *row) {
    unsigned scale = (unsigned)(row->scale[0] + 32);
    write_u16(data, row->d);
    data[2 + index / 4] |= (uint8_t)(scale >> 4 << index % 4 * 2);
    data[4 + index / 2] |= (uint8_t)((scale & 15) << index % 2 * 4);
    put_nibbles(data + 8 + index * 16, row);
}

static void encode_small(uint32_t type, const struct layout_row *row, uint8_t *data) {
    write_u16(data, row->d);
    switch (type) {
    case TENSOR_Q4_0:
    case TENSOR_IQ4_NL: put_nibbles(data + 2, row); break;
    case TENSOR_Q4_1:
        write_u16(data + 2, row->m);
        put_nibbles(data + 4, row);
        break;
    case TENSOR_Q8_0: encode_q8_0(data, row); break;
    case TENSOR_Q5_0:
        put_fifth_bits(data + 2, row);
        put_nibbles(data + 6, row);
        break;
    case TENSOR_Q5_1:
        write_u16(data + 2, row->m);
        put_fifth_bits(data + 4, row);
        put_nibbles(data + 8, row);
        break;
    case TENSOR_MXFP4:
        data[0] = (uint8_t)row->scale[0];
        put_nibbles(data + 1, row);
        break;
    default: assert(!"a type without layout");
    }
}

void layout_encode(uint32_t type, const struct layout_row *rows, uint8_t *data) {
    const struct layout *l = layout_of(type);
    memset(data, 0, tensor_type_block_bytes(type));
    for (unsigned index = 0; index < layout_group_blocks(l); index++) {
        const struct layout_row *row = &rows[index];
        switch (type) {
        case TENSOR_Q2_K: encode_q2_k(data, index, row); break;
        case TENSOR_Q3_K: encode_q3_k(data, index, row); break;
        case TENSOR_Q4_K: encode_q45_k(data, index, false, row); break;
        case TENSOR_Q5_K: encode_q45_k(data, index, true, row); break;
        case TENSOR_Q6_K: encode_q6_k(data, index, row); break;
        case TENSOR_IQ4_XS: encode_iq4_xs(data, index, row); break;
        default: encode_small(type, row, data);
        }
    }
}
