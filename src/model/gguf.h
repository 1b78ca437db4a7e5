/* GGUF files, versions 2 and 3: the header read as hostile input.
 *
 * Works on the bytes of the header only (metadata and tensor table), so that a header can come from a file or over a
 * link. Every count, length, offset and shape is checked with overflow-safe sums against the real file size; types,
 * nesting and sizes are capped; tensors may not overlap each other or the header. Strings and arrays are views into
 * the caller's bytes, which must outlive the struct. Pure, any thread once parsed.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64
};

enum { GGUF_DIMS_MAX = 4, GGUF_NAME_BYTES_MAX = 64 * 1024, GGUF_HEADER_BYTES_MAX = 1 << 30 };

struct gguf_string {
    const char *data; /* not NUL-terminated */
    size_t len;
};

struct gguf_value {
    struct gguf_string key;
    enum gguf_type type;
    enum gguf_type item_type;  /* of an array */
    uint64_t count;            /* items of an array; 1 else */
    const uint8_t *data;       /* first byte of the value (of the first item of an array) */
    size_t bytes;              /* of all items */
    struct gguf_string *strings; /* of a string or an array of strings, count of them */
};

struct gguf_tensor {
    struct gguf_string name;
    uint32_t type;                 /* enum tensor_type: known, not necessarily supported */
    uint32_t dim_count;
    uint64_t dims[GGUF_DIMS_MAX];  /* dims[0] is the row length; unused ones are 1 */
    uint64_t offset;               /* of its first byte in the file */
    uint64_t bytes;
};

struct gguf {
    uint32_t version;
    struct gguf_value *values;
    size_t value_count;
    struct gguf_tensor *tensors;
    size_t tensor_count;
    uint64_t header_bytes;         /* magic to the end of the tensor table: what the fingerprint covers */
    uint64_t data_offset;          /* where tensor data begins */
    uint64_t file_bytes;
    struct map value_index, tensor_index;
    struct arena arena;
};

/* Parse the first `len` bytes of a file of `file_bytes` bytes. ERR_AGAIN: the header is longer than `len`, come back
 * with more (never when len == file_bytes). ERR_INVALID with a text that names the field otherwise. On failure
 * nothing needs freeing. */
int gguf_parse(struct gguf *g, const void *data, size_t len, uint64_t file_bytes, struct error *error);
void gguf_deinit(struct gguf *g);

const struct gguf_value *gguf_find(const struct gguf *g, const char *key);  /* NULL: absent */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);
/* Any integer type widened, or a bool; false when absent, negative or of another type. */
bool gguf_u64(const struct gguf *g, const char *key, uint64_t *out);
bool gguf_f32(const struct gguf *g, const char *key, float *out);           /* F32, F64 or any integer */
bool gguf_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_str(const struct gguf *g, const char *key, struct gguf_string *out);
bool gguf_string_is(struct gguf_string s, const char *text);
/* Item `i` of an array of numbers, as above. */
bool gguf_item_u64(const struct gguf_value *v, uint64_t i, uint64_t *out);
bool gguf_item_i64(const struct gguf_value *v, uint64_t i, int64_t *out);
bool gguf_item_f32(const struct gguf_value *v, uint64_t i, float *out);
