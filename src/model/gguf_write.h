/* GGUF headers, written: keys, tensor table, and where each tensor's data go.
 *
 * Keys and tensors are added one by one, in any order of calls, and come out in theirs; then the header is taken.
 * Version 3. Running out of memory shows at the end. Pure, one thread.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/gguf.h"

struct gguf_writer {
    struct text values, tensors; /* as they stand in the file */
    uint64_t value_count, tensor_count;
    uint64_t data_bytes; /* of the tensors so far, each rounded up to the alignment */
};

enum { GGUF_WRITER_ALIGNMENT = 32 }; /* the format's default: no key says it */

/* A zeroed struct is empty. */
void gguf_writer_deinit(struct gguf_writer *w);

void gguf_write_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_write_f32(struct gguf_writer *w, const char *key, float value);
void gguf_write_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_write_str(struct gguf_writer *w, const char *key, const char *data, size_t len);
/* A key of a parsed header as it is. */
void gguf_write_value(struct gguf_writer *w, const struct gguf_value *value);
/* An array of `count` items, which must follow. */
void gguf_write_array(struct gguf_writer *w, const char *key, enum gguf_type item_type, uint64_t count);
void gguf_write_item_str(struct gguf_writer *w, const char *data, size_t len);
void gguf_write_item_u8(struct gguf_writer *w, uint8_t value);
void gguf_write_item_bool(struct gguf_writer *w, bool value);
void gguf_write_item_u32(struct gguf_writer *w, uint32_t value); /* and I32 */
void gguf_write_item_f32(struct gguf_writer *w, float value);

/* A tensor of that type and shape; returns where its data begin, from the start of all data. The shape must not
 * overflow and its rows be whole blocks. */
uint64_t gguf_write_tensor(struct gguf_writer *w, struct gguf_string name, uint32_t type, const uint64_t *dims,
                           uint32_t dim_count);

/* The whole header with the padding before the data, on the heap, the caller's. ERR_NOMEM. */
int gguf_writer_take(struct gguf_writer *w, uint8_t **header, size_t *len, struct error *error);
