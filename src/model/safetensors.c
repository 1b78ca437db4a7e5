#include "model/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/size.h"
#include "kern/format.h"

enum { TENSORS_MAX = 1 << 20 };

static const struct dtype {
    const char *name;
    uint32_t type;
    size_t bytes;
} dtypes[] = {
    {"F32", TENSOR_F32, 4},
    {"F16", TENSOR_F16, 2},
    {"BF16", TENSOR_BF16, 2},
    {"F64", TENSOR_F64, 8},
    {"I8", TENSOR_I8, 1},
    {"I16", TENSOR_I16, 2},
    {"I32", TENSOR_I32, 4},
    {"I64", TENSOR_I64, 8},
    {"U8", TENSOR_TYPE_MAX, 1},
    {"U16", TENSOR_TYPE_MAX, 2},
    {"U32", TENSOR_TYPE_MAX, 4},
    {"U64", TENSOR_TYPE_MAX, 8},
    {"BOOL", TENSOR_TYPE_MAX, 1},
    {"F8_E4M3", TENSOR_TYPE_MAX, 1},
    {"F8_E5M2", TENSOR_TYPE_MAX, 1},
    {"F8_E8M0", TENSOR_TYPE_MAX, 1},
};

static int invalid(struct error *error, const char *name, const char *what) {
    return error_set(error, ERR_INVALID, "tensor %.60s: %s", name, what);
}

int safetensors_header_bytes(const uint8_t front[SAFETENSORS_FRONT_BYTES], uint64_t file_bytes, size_t *out,
                             struct error *error) {
    struct bytes_reader r = bytes_reader(front, SAFETENSORS_FRONT_BYTES);
    uint64_t bytes = bytes_u64(&r);
    if (file_bytes < SAFETENSORS_FRONT_BYTES || bytes > file_bytes - SAFETENSORS_FRONT_BYTES)
        return error_set(error, ERR_INVALID, "this is not a safetensors file, or it is cut short");
    if (bytes > SAFETENSORS_HEADER_BYTES_MAX)
        return error_set(error, ERR_LIMIT, "a header of %" PRIu64 " bytes is longer than %d", bytes,
                         SAFETENSORS_HEADER_BYTES_MAX);
    *out = (size_t)bytes;
    return 0;
}

/* An integer of at least 0 from an array; false when there is none. */
static bool read_index(const json_t *array, size_t i, uint64_t *out) {
    const json_t *v = json_array_get(array, i);
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static const struct dtype *find_dtype(const char *name) {
    for (size_t i = 0; name && i < ARRAY_LEN(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    return NULL;
}

/* The shape; leading ones of tensors with many dimensions are dropped. *values is their product. */
static int read_shape(struct safetensors_tensor *t, const json_t *shape, uint64_t *values, struct error *error) {
    size_t count = json_array_size(shape), first = 0;
    uint64_t dim;
    if (!json_is_array(shape)) return invalid(error, t->name, "has no shape");
    while (count - first > SAFETENSORS_DIMS_MAX && read_index(shape, first, &dim) && dim == 1) first++;
    if (count - first > SAFETENSORS_DIMS_MAX) return invalid(error, t->name, "has too many dimensions");
    t->dim_count = (uint32_t)(count - first);
    *values = 1;
    for (size_t i = 0; i < SAFETENSORS_DIMS_MAX; i++) {
        t->dims[i] = 1;
        if (i >= t->dim_count) continue;
        if (!read_index(shape, first + i, &t->dims[i])) return invalid(error, t->name, "its shape is not of numbers");
        if (!size_mul(*values, t->dims[i], values)) return invalid(error, t->name, "its shape overflows");
    }
    return 0;
}

static int read_tensor(struct safetensors_tensor *t, const json_t *entry, uint64_t data_offset, uint64_t file_bytes,
                       struct error *error) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const struct dtype *dtype = find_dtype(json_string_value(json_object_get(entry, "dtype")));
    uint64_t values = 0, bytes, begin, end;
    if (!dtype) return invalid(error, t->name, "its type is not known");
    t->dtype = dtype->name;
    t->type = dtype->type;
    int rc = read_shape(t, json_object_get(entry, "shape"), &values, error);
    if (rc < 0) return rc;
    if (json_array_size(offsets) != 2 || !read_index(offsets, 0, &begin) || !read_index(offsets, 1, &end) ||
        begin > end)
        return invalid(error, t->name, "has no place in the file");
    if (!size_mul(values, dtype->bytes, &bytes) || bytes != end - begin)
        return invalid(error, t->name, "its shape and its size do not agree");
    if (end > file_bytes - data_offset)
        return invalid(error, t->name, "runs past the end of the file; is the file whole?");
    t->offset = data_offset + begin;
    t->bytes = bytes;
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const struct safetensors_tensor *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static int check_overlap(const struct safetensors *s, struct error *error) {
    const struct safetensors_tensor **sorted = calloc(s->count + 1, sizeof(const struct safetensors_tensor *));
    if (!sorted) return error_set(error, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < s->count; i++) sorted[i] = &s->tensors[i];
    qsort(sorted, s->count, sizeof *sorted, by_offset);
    int rc = 0;
    for (size_t i = 1; i < s->count && rc == 0; i++)
        if (sorted[i - 1]->offset + sorted[i - 1]->bytes > sorted[i]->offset)
            rc = invalid(error, sorted[i]->name, "lies over another tensor");
    free(sorted);
    return rc;
}

static int read_all(struct safetensors *s, uint64_t data_offset, uint64_t file_bytes, struct error *error) {
    const char *name;
    json_t *entry;
    size_t count = json_object_size(s->json);
    if (count > TENSORS_MAX) return error_set(error, ERR_LIMIT, "%zu tensors are more than any model has", count);
    s->tensors = arena_array(&s->arena, count + 1, sizeof *s->tensors);
    if (!s->tensors) return error_set(error, ERR_NOMEM, "out of memory");
    json_object_foreach(s->json, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        struct safetensors_tensor *t = &s->tensors[s->count];
        t->name = name;
        int rc = read_tensor(t, entry, data_offset, file_bytes, error);
        if (rc < 0) return rc;
        if (map_set(&s->index, name, strlen(name), s->count++) < 0) return error_set(error, ERR_NOMEM, "out of memory");
    }
    return check_overlap(s, error);
}

int safetensors_parse(struct safetensors *s, const char *json, size_t len, uint64_t file_bytes, struct error *error) {
    json_error_t why;
    *s = (struct safetensors){.json = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why)};
    s->index.seed = prng_mix((uintptr_t)s ^ (uintptr_t)json);
    int rc =
        json_is_object(s->json) ? 0 : error_set(error, ERR_INVALID, "its header is not a JSON object: %s", why.text);
    if (rc == 0) rc = read_all(s, SAFETENSORS_FRONT_BYTES + len, file_bytes, error);
    if (rc < 0) safetensors_deinit(s);
    return rc;
}

void safetensors_deinit(struct safetensors *s) {
    map_deinit(&s->index);
    arena_deinit(&s->arena);
    json_decref(s->json);
    *s = (struct safetensors){0};
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name) {
    uint64_t i;
    return map_get(&s->index, name, strlen(name), &i) ? &s->tensors[i] : NULL;
}
