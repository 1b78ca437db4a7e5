/* Safetensors files: the header read as hostile input.
 *
 * A file is eight bytes with the length of a JSON object, that object (name -> type, shape, place), and the data. Every
 * number is checked against the file's real size; tensors may not overlap. Names are views into the parsed object.
 * Pure, any thread once parsed. Format: https://huggingface.co/docs/safetensors */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"

enum { SAFETENSORS_FRONT_BYTES = 8, SAFETENSORS_HEADER_BYTES_MAX = 100 << 20, SAFETENSORS_DIMS_MAX = 4 };

struct safetensors_tensor {
    const char *name;
    const char *dtype;                   /* "BF16" */
    uint32_t type;                       /* enum tensor_type; TENSOR_TYPE_MAX for a dtype that has none */
    uint32_t dim_count;                  /* 0: a single number */
    uint64_t dims[SAFETENSORS_DIMS_MAX]; /* the last one is the row length, as the file has it; unused ones are 1 */
    uint64_t offset, bytes;              /* in the file */
};

struct safetensors {
    json_t *json;
    struct safetensors_tensor *tensors;
    size_t count;
    struct map index;
    struct arena arena;
};

/* Bytes of the JSON object behind the first eight bytes of a file; ERR_INVALID when no file of this size has that many.
 */
int safetensors_header_bytes(const uint8_t front[SAFETENSORS_FRONT_BYTES], uint64_t file_bytes, size_t *out,
                             struct error *error);
/* Read the object of `len` bytes. ERR_INVALID with a text that names the tensor. Nothing needs freeing on failure. */
int safetensors_parse(struct safetensors *s, const char *json, size_t len, uint64_t file_bytes, struct error *error);
void safetensors_deinit(struct safetensors *s); /* a zeroed struct is fine */

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL: absent */
