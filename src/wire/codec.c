#include "wire/codec.h"

#include <math.h>
#include <string.h>

bool codec_reading(const struct codec *c) { return c->mode == CODEC_READ; }

bool codec_failed(const struct codec *c) { return c->failed || c->writer.failed || c->reader.failed; }

/* Generates the walk of one integer or float type from the cursor functions of base/bytes.h. */
#define CODEC_SCALAR(name, type)                                                                                       \
    static void scalar_##name(struct codec *c, type *value) {                                                          \
        if (c->mode == CODEC_MEASURE)                                                                                  \
            c->measured += sizeof(type);                                                                               \
        else if (c->mode == CODEC_WRITE)                                                                               \
            bytes_put_##name(&c->writer, *value);                                                                      \
        else                                                                                                           \
            *value = bytes_##name(&c->reader);                                                                         \
    }
CODEC_SCALAR(u8, uint8_t)
CODEC_SCALAR(u16, uint16_t)
CODEC_SCALAR(u32, uint32_t)
CODEC_SCALAR(u64, uint64_t)
CODEC_SCALAR(f32, float)

void codec_u16(struct codec *c, uint16_t *value) { scalar_u16(c, value); }
void codec_u32(struct codec *c, uint32_t *value) { scalar_u32(c, value); }
void codec_u64(struct codec *c, uint64_t *value) { scalar_u64(c, value); }

void codec_i32(struct codec *c, int32_t *value) {
    uint32_t bits = (uint32_t)*value;
    scalar_u32(c, &bits);
    *value = (int32_t)bits;
}

void codec_f32(struct codec *c, float *value) {
    scalar_f32(c, value);
    if (codec_reading(c) && !isfinite(*value)) {
        c->failed = true;
        *value = 0;
    }
}

void codec_choice(struct codec *c, uint8_t *value, uint8_t max) {
    scalar_u8(c, value);
    if (*value > max) {
        c->failed = true;
        *value = 0;
    }
}

void codec_count(struct codec *c, uint32_t *value, uint32_t max) {
    scalar_u32(c, value);
    if (*value > max || codec_failed(c)) {
        c->failed = true;
        *value = 0;
    }
}

void codec_bytes(struct codec *c, void *data, size_t len) {
    if (c->mode == CODEC_MEASURE)
        c->measured += len;
    else if (c->mode == CODEC_WRITE)
        bytes_put(&c->writer, data, len);
    else
        bytes_copy(&c->reader, data, len);
}

/* Length of the well-formed UTF-8 character at `s` (RFC 3629), 0 if it is none or a control character. */
static size_t printable_length(const uint8_t *s, size_t left) {
    if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7f;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > left) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    bool control = s[0] == 0xc2 && s[1] < 0xa0;
    return overlong || beyond || control ? 0 : len;
}

static void make_printable(char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        size_t step = printable_length((const uint8_t *)text + i, len - i);
        if (step == 0) text[i] = '?';
        i += step == 0 ? 1 : step;
    }
}

void codec_text(struct codec *c, char *text, size_t capacity) {
    uint16_t len = codec_reading(c) ? 0 : (uint16_t)strnlen(text, capacity - 1);
    codec_u16(c, &len);
    if (len >= capacity) {
        c->failed = true;
        len = 0;
    }
    codec_bytes(c, text, len);
    if (!codec_reading(c)) return;
    memset(text + len, 0, capacity - len);
    make_printable(text, len);
}

void *codec_array(struct codec *c, uint32_t count, size_t size, size_t wire_size) {
    if (count == 0 || codec_failed(c)) return NULL;
    void *items = count <= c->reader.left / wire_size ? arena_array(c->arena, count, size) : NULL;
    if (!items) c->failed = true;
    return items;
}

void codec_u32_array(struct codec *c, uint32_t **values, uint32_t count) {
    if (codec_reading(c)) *values = codec_array(c, count, sizeof(uint32_t), sizeof(uint32_t));
    for (uint32_t i = 0; i < count && !codec_failed(c); i++) codec_u32(c, &(*values)[i]);
}
