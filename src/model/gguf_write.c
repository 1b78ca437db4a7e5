#include "model/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/size.h"
#include "kern/format.h"

enum { MAGIC = 0x46554747, VERSION = 3, FRONT_BYTES = 24 };

static void add_u32(struct text *t, uint32_t value) {
    uint8_t bytes[sizeof value];
    struct bytes_writer w = bytes_writer(bytes, sizeof bytes);
    bytes_put_u32(&w, value);
    text_add(t, bytes, sizeof bytes);
}

static void add_u64(struct text *t, uint64_t value) {
    uint8_t bytes[sizeof value];
    struct bytes_writer w = bytes_writer(bytes, sizeof bytes);
    bytes_put_u64(&w, value);
    text_add(t, bytes, sizeof bytes);
}

static void add_f32(struct text *t, float value) {
    uint8_t bytes[sizeof value];
    struct bytes_writer w = bytes_writer(bytes, sizeof bytes);
    bytes_put_f32(&w, value);
    text_add(t, bytes, sizeof bytes);
}

static void add_str(struct text *t, const char *data, size_t len) {
    add_u64(t, len);
    text_add(t, data, len);
}

static struct text *add_key(struct gguf_writer *w, const char *key, enum gguf_type type) {
    add_str(&w->values, key, strlen(key));
    add_u32(&w->values, type);
    w->value_count++;
    return &w->values;
}

void gguf_writer_deinit(struct gguf_writer *w) {
    text_deinit(&w->values);
    text_deinit(&w->tensors);
    *w = (struct gguf_writer){0};
}

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value) {
    add_u32(add_key(w, key, GGUF_U32), value);
}

void gguf_write_f32(struct gguf_writer *w, const char *key, float value) { add_f32(add_key(w, key, GGUF_F32), value); }

void gguf_write_bool(struct gguf_writer *w, const char *key, bool value) {
    text_add_char(add_key(w, key, GGUF_BOOL), value);
}

void gguf_write_str(struct gguf_writer *w, const char *key, const char *data, size_t len) {
    add_str(add_key(w, key, GGUF_STRING), data, len);
}

void gguf_write_value(struct gguf_writer *w, const struct gguf_value *value) {
    add_str(&w->values, value->key.data, value->key.len);
    add_u32(&w->values, value->type);
    if (value->type == GGUF_ARRAY) {
        add_u32(&w->values, value->item_type);
        add_u64(&w->values, value->count);
    }
    text_add(&w->values, value->data, value->bytes);
    w->value_count++;
}

void gguf_write_array(struct gguf_writer *w, const char *key, enum gguf_type item_type, uint64_t count) {
    struct text *t = add_key(w, key, GGUF_ARRAY);
    add_u32(t, item_type);
    add_u64(t, count);
}

void gguf_write_item_str(struct gguf_writer *w, const char *data, size_t len) { add_str(&w->values, data, len); }
void gguf_write_item_u8(struct gguf_writer *w, uint8_t value) { text_add_char(&w->values, (char)value); }
void gguf_write_item_bool(struct gguf_writer *w, bool value) { text_add_char(&w->values, value); }
void gguf_write_item_u32(struct gguf_writer *w, uint32_t value) { add_u32(&w->values, value); }
void gguf_write_item_f32(struct gguf_writer *w, float value) { add_f32(&w->values, value); }

uint64_t gguf_write_tensor(struct gguf_writer *w, struct gguf_string name, uint32_t type, const uint64_t *dims,
                           uint32_t dim_count) {
    uint64_t offset = w->data_bytes, bytes = dims[0] / tensor_type_block(type) * tensor_type_block_bytes(type);
    add_str(&w->tensors, name.data, name.len);
    add_u32(&w->tensors, dim_count);
    for (uint32_t i = 0; i < dim_count; i++) add_u64(&w->tensors, dims[i]);
    for (uint32_t i = 1; i < dim_count; i++) bytes *= dims[i];
    add_u32(&w->tensors, type);
    add_u64(&w->tensors, offset);
    w->tensor_count++;
    w->data_bytes += size_round_up(bytes, GGUF_WRITER_ALIGNMENT);
    return offset;
}

int gguf_writer_take(struct gguf_writer *w, uint8_t **header, size_t *len, struct error *error) {
    static const uint8_t zeroes[GGUF_WRITER_ALIGNMENT];
    size_t bytes = FRONT_BYTES + w->values.len + w->tensors.len;
    size_t padded = size_round_up(bytes, GGUF_WRITER_ALIGNMENT);
    uint8_t *data = w->values.failed || w->tensors.failed ? NULL : malloc(padded);
    if (!data) return error_set(error, ERR_NOMEM, "out of memory");
    struct bytes_writer out = bytes_writer(data, padded);
    bytes_put_u32(&out, MAGIC);
    bytes_put_u32(&out, VERSION);
    bytes_put_u64(&out, w->tensor_count);
    bytes_put_u64(&out, w->value_count);
    bytes_put(&out, text_str(&w->values), w->values.len);
    bytes_put(&out, text_str(&w->tensors), w->tensors.len);
    bytes_put(&out, zeroes, padded - bytes);
    *header = data;
    *len = padded;
    return 0;
}
