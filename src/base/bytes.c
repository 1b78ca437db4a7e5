#include "base/bytes.h"

#include <string.h>

struct bytes_reader bytes_reader(const void *data, size_t len) {
    return (struct bytes_reader){.at = data, .left = len};
}

const uint8_t *bytes_take(struct bytes_reader *r, size_t len) {
    if (r->failed || len > r->left) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *view = r->at;
    r->at += len;
    r->left -= len;
    return view;
}

void bytes_copy(struct bytes_reader *r, void *out, size_t len) {
    const uint8_t *view = bytes_take(r, len);
    if (len == 0) return;
    if (view) memcpy(out, view, len);
    else memset(out, 0, len);
}

static uint64_t take_little_endian(struct bytes_reader *r, size_t len) {
    const uint8_t *view = bytes_take(r, len);
    uint64_t value = 0;
    for (size_t i = 0; view && i < len; i++) value |= (uint64_t)view[i] << (8 * i);
    return value;
}

uint8_t bytes_u8(struct bytes_reader *r) { return (uint8_t)take_little_endian(r, 1); }
uint16_t bytes_u16(struct bytes_reader *r) { return (uint16_t)take_little_endian(r, 2); }
uint32_t bytes_u32(struct bytes_reader *r) { return (uint32_t)take_little_endian(r, 4); }
uint64_t bytes_u64(struct bytes_reader *r) { return take_little_endian(r, 8); }

float bytes_f32(struct bytes_reader *r) {
    uint32_t bits = bytes_u32(r);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double bytes_f64(struct bytes_reader *r) {
    uint64_t bits = bytes_u64(r);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool bytes_done(const struct bytes_reader *r) { return !r->failed && r->left == 0; }

struct bytes_writer bytes_writer(void *data, size_t capacity) {
    return (struct bytes_writer){.data = data, .capacity = capacity};
}

void bytes_put(struct bytes_writer *w, const void *data, size_t len) {
    if (w->failed || len > w->capacity - w->len) {
        w->failed = true;
        return;
    }
    if (len > 0) memcpy(w->data + w->len, data, len);
    w->len += len;
}

static void put_little_endian(struct bytes_writer *w, uint64_t value, size_t len) {
    uint8_t bytes[8];
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    bytes_put(w, bytes, len);
}

void bytes_put_u8(struct bytes_writer *w, uint8_t value) { put_little_endian(w, value, 1); }
void bytes_put_u16(struct bytes_writer *w, uint16_t value) { put_little_endian(w, value, 2); }
void bytes_put_u32(struct bytes_writer *w, uint32_t value) { put_little_endian(w, value, 4); }
void bytes_put_u64(struct bytes_writer *w, uint64_t value) { put_little_endian(w, value, 8); }

void bytes_put_f32(struct bytes_writer *w, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bytes_put_u32(w, bits);
}
