/* The header is walked once by a cursor. Every read is announced by need(), which tells "the buffer ends here, the file
 * does not" (ERR_AGAIN) from "the file ends here" and from lengths that no file of this size can hold. */
#include "model/gguf.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/size.h"
#include "kern/format.h"

enum {
    MAGIC = 0x46554747, /* "GGUF" */
    VERSION_MIN = 2,
    VERSION_MAX = 3,
    VALUES_MAX = 1 << 16,
    TENSORS_MAX = 1 << 18,
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
    FIELD_BYTES = 96,
};

struct parser {
    struct gguf *g;
    struct bytes_reader reader;
    size_t len;              /* of the buffer */
    char field[FIELD_BYTES]; /* what is being read, for error texts */
    struct error *error;
};

/* Bytes of one value; 0 for strings and arrays. */
static size_t type_bytes(uint32_t type) {
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL: return 1;
    case GGUF_U16:
    case GGUF_I16: return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32: return 4;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64: return 8;
    default: return 0;
    }
}

/* Names come from the file and end in messages: keep them short and printable. */
static void set_field(struct parser *p, const char *kind, struct gguf_string name) {
    int at = snprintf(p->field, sizeof p->field, "%s ", kind);
    for (size_t i = 0; i < name.len && at + 1 < FIELD_BYTES; i++) {
        unsigned char c = (unsigned char)name.data[i];
        p->field[at++] = c >= 0x20 && c != 0x7f ? (char)c : '?';
    }
    p->field[at] = '\0';
}

static int invalid(struct parser *p, const char *what) {
    return error_set(p->error, ERR_INVALID, "%s: %s", p->field, what);
}

static int no_memory(struct parser *p) { return error_set(p->error, ERR_NOMEM, "out of memory"); }

static uint64_t position(const struct parser *p) { return p->len - p->reader.left; }

/* 0 when the next `bytes` are in the buffer. */
static int need(struct parser *p, uint64_t bytes) {
    if (bytes <= p->reader.left) return 0;
    if (bytes > p->g->file_bytes - position(p))
        return error_set(p->error, ERR_INVALID, "%s: runs past the end of the file", p->field);
    if (bytes + position(p) > GGUF_HEADER_BYTES_MAX)
        return error_set(p->error, ERR_LIMIT, "%s: the header is longer than %d bytes", p->field,
                         GGUF_HEADER_BYTES_MAX);
    return error_set(p->error, ERR_AGAIN, "%s: the header goes on after %zu bytes", p->field, p->len);
}

static int read_string(struct parser *p, uint64_t bytes_max, struct gguf_string *out) {
    int rc = need(p, 8);
    if (rc < 0) return rc;
    uint64_t len = bytes_u64(&p->reader);
    if (len > bytes_max) return invalid(p, "the string is too long");
    if ((rc = need(p, len)) < 0) return rc;
    *out = (struct gguf_string){.data = (const char *)bytes_take(&p->reader, len), .len = len};
    return 0;
}

static int read_strings(struct parser *p, struct gguf_value *v) {
    uint64_t bytes_min;
    if (!size_mul(v->count, 8, &bytes_min)) return invalid(p, "too many items");
    int rc = need(p, bytes_min);
    if (rc < 0) return rc;
    v->strings = arena_array(&p->g->arena, v->count, sizeof *v->strings);
    if (!v->strings) return no_memory(p);
    for (uint64_t i = 0; i < v->count; i++)
        if ((rc = read_string(p, GGUF_HEADER_BYTES_MAX, &v->strings[i])) < 0) return rc;
    return 0;
}

static int read_numbers(struct parser *p, struct gguf_value *v, size_t item_bytes) {
    uint64_t bytes;
    if (!size_mul(v->count, item_bytes, &bytes)) return invalid(p, "too many items");
    int rc = need(p, bytes);
    if (rc < 0) return rc;
    bytes_take(&p->reader, bytes);
    return 0;
}

static int read_value(struct parser *p, struct gguf_value *v) {
    int rc = need(p, 4);
    if (rc < 0) return rc;
    uint32_t type = bytes_u32(&p->reader), item_type = type;
    v->count = 1;
    if (type == GGUF_ARRAY) {
        if ((rc = need(p, 12)) < 0) return rc;
        item_type = bytes_u32(&p->reader);
        v->count = bytes_u64(&p->reader);
    }
    if (type > GGUF_F64 || item_type > GGUF_F64) return invalid(p, "unknown type of value");
    if (item_type == GGUF_ARRAY) return invalid(p, "arrays of arrays are not supported");
    v->type = (enum gguf_type)type;
    v->item_type = (enum gguf_type)item_type;
    v->data = p->reader.at;
    rc = item_type == GGUF_STRING ? read_strings(p, v) : read_numbers(p, v, type_bytes(item_type));
    v->bytes = (size_t)(p->reader.at - v->data);
    return rc;
}

/* Remember the name; a second one is refused, for readers differ in which of them they take. */
static int index_name(struct parser *p, struct map *index, struct gguf_string name, size_t i) {
    if (map_get(index, name.data, name.len, NULL)) return invalid(p, "appears twice");
    return map_set(index, name.data, name.len, i) < 0 ? no_memory(p) : 0;
}

static int read_values(struct parser *p) {
    struct gguf *g = p->g;
    for (size_t i = 0; i < g->value_count; i++) {
        struct gguf_value *v = &g->values[i];
        snprintf(p->field, sizeof p->field, "key number %zu", i);
        int rc = read_string(p, GGUF_NAME_BYTES_MAX, &v->key);
        if (rc < 0) return rc;
        set_field(p, "key", v->key);
        if ((rc = read_value(p, v)) < 0 || (rc = index_name(p, &g->value_index, v->key, i)) < 0) return rc;
    }
    return 0;
}

static int read_dims(struct parser *p, struct gguf_tensor *t) {
    int rc = need(p, 4);
    if (rc < 0) return rc;
    t->dim_count = bytes_u32(&p->reader);
    if (t->dim_count == 0 || t->dim_count > GGUF_DIMS_MAX) return invalid(p, "must have 1 to 4 dimensions");
    if ((rc = need(p, t->dim_count * sizeof(uint64_t))) < 0) return rc;
    for (uint32_t i = 0; i < GGUF_DIMS_MAX; i++) {
        t->dims[i] = i < t->dim_count ? bytes_u64(&p->reader) : 1;
        if (t->dims[i] == 0) return invalid(p, "has a dimension of 0");
    }
    return 0;
}

static int measure_tensor(struct parser *p, struct gguf_tensor *t) {
    size_t block = tensor_type_block(t->type);
    if (block == 0) return error_set(p->error, ERR_UNSUPPORTED, "%s: type %" PRIu32 " is not known", p->field, t->type);
    if (t->dims[0] % block != 0) return invalid(p, "its rows are not whole blocks of its type");
    t->bytes = t->dims[0] / block;
    bool fits = size_mul(t->bytes, tensor_type_block_bytes(t->type), &t->bytes);
    for (uint32_t i = 1; fits && i < GGUF_DIMS_MAX; i++) fits = size_mul(t->bytes, t->dims[i], &t->bytes);
    uint64_t values = 1;
    for (uint32_t i = 0; fits && i < GGUF_DIMS_MAX; i++) fits = size_mul(values, t->dims[i], &values);
    return fits ? 0 : invalid(p, "its shape overflows");
}

static int read_tensor(struct parser *p, struct gguf_tensor *t) {
    int rc = read_string(p, GGUF_NAME_BYTES_MAX, &t->name);
    if (rc < 0) return rc;
    set_field(p, "tensor", t->name);
    if ((rc = read_dims(p, t)) < 0 || (rc = need(p, 12)) < 0) return rc;
    t->type = bytes_u32(&p->reader);
    t->offset = bytes_u64(&p->reader);
    return measure_tensor(p, t);
}

static int read_tensors(struct parser *p) {
    struct gguf *g = p->g;
    for (size_t i = 0; i < g->tensor_count; i++) {
        snprintf(p->field, sizeof p->field, "tensor number %zu", i);
        int rc = read_tensor(p, &g->tensors[i]);
        if (rc < 0 || (rc = index_name(p, &g->tensor_index, g->tensors[i].name, i)) < 0) return rc;
    }
    return 0;
}

static int read_counts(struct parser *p) {
    struct gguf *g = p->g;
    int rc = need(p, 16);
    if (rc < 0) return rc;
    uint64_t tensors = bytes_u64(&p->reader), values = bytes_u64(&p->reader);
    if (tensors > TENSORS_MAX || values > VALUES_MAX)
        return error_set(p->error, ERR_INVALID, "%" PRIu64 " tensors and %" PRIu64 " keys are more than any model has",
                         tensors, values);
    g->tensor_count = tensors;
    g->value_count = values;
    g->values = arena_array(&g->arena, values, sizeof *g->values);
    g->tensors = arena_array(&g->arena, tensors, sizeof *g->tensors);
    return g->values && g->tensors ? 0 : no_memory(p);
}

static int read_version(struct parser *p) {
    int rc = need(p, 8);
    if (rc < 0) return rc;
    if (bytes_u32(&p->reader) != MAGIC) return error_set(p->error, ERR_INVALID, "this is not a GGUF file");
    uint32_t version = p->g->version = bytes_u32(&p->reader);
    if (version >= VERSION_MIN && version <= VERSION_MAX) return 0;
    uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= VERSION_MAX)
        return error_set(p->error, ERR_UNSUPPORTED, "this GGUF file is big-endian, which is not supported");
    return error_set(p->error, ERR_UNSUPPORTED, "GGUF version %" PRIu32 " is not supported, %d to %d are", version,
                     VERSION_MIN, VERSION_MAX);
}

static int find_data(struct parser *p, uint64_t *alignment) {
    struct gguf *g = p->g;
    *alignment = ALIGNMENT_DEFAULT;
    snprintf(p->field, sizeof p->field, "key general.alignment");
    if (gguf_find(g, "general.alignment") && !gguf_u64(g, "general.alignment", alignment))
        return invalid(p, "must be a number");
    if (*alignment == 0 || *alignment > ALIGNMENT_MAX || (*alignment & (*alignment - 1)) != 0)
        return invalid(p, "must be a power of two up to 1048576");
    g->header_bytes = position(p);
    g->data_offset = size_round_up(g->header_bytes, *alignment);
    return 0;
}

/* Make offsets absolute and see that the data is there. */
static int place_tensors(struct parser *p, uint64_t alignment) {
    struct gguf *g = p->g;
    for (size_t i = 0; i < g->tensor_count; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint64_t end;
        set_field(p, "tensor", t->name);
        if (t->offset % alignment != 0) return invalid(p, "its offset is not aligned");
        if (!size_add(t->offset, g->data_offset, &t->offset) || !size_add(t->offset, t->bytes, &end))
            return invalid(p, "its offset overflows");
        if (end > g->file_bytes)
            return error_set(p->error, ERR_INVALID,
                             "%s: ends at byte %" PRIu64 " of a file of %" PRIu64 "; is the file whole?", p->field, end,
                             g->file_bytes);
    }
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const struct gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

static int check_overlap(struct parser *p) {
    struct gguf *g = p->g;
    const struct gguf_tensor **sorted = calloc(g->tensor_count + 1, sizeof(const struct gguf_tensor *));
    if (!sorted) return no_memory(p);
    for (size_t i = 0; i < g->tensor_count; i++) sorted[i] = &g->tensors[i];
    qsort(sorted, g->tensor_count, sizeof *sorted, by_offset);
    int rc = 0;
    for (size_t i = 1; i < g->tensor_count && rc == 0; i++) {
        if (sorted[i - 1]->offset + sorted[i - 1]->bytes <= sorted[i]->offset) continue;
        set_field(p, "tensor", sorted[i]->name);
        rc = invalid(p, "lies over another tensor");
    }
    free(sorted);
    return rc;
}

static int parse(struct parser *p) {
    uint64_t alignment;
    int rc = read_version(p);
    if (rc == 0) rc = read_counts(p);
    if (rc == 0) rc = read_values(p);
    if (rc == 0) rc = read_tensors(p);
    if (rc == 0) rc = find_data(p, &alignment);
    if (rc == 0) rc = place_tensors(p, alignment);
    if (rc == 0) rc = check_overlap(p);
    return rc;
}

int gguf_parse(struct gguf *g, const void *data, size_t len, uint64_t file_bytes, struct error *error) {
    *g = (struct gguf){.file_bytes = file_bytes};
    if (len > file_bytes) len = (size_t)file_bytes;
    /* No randomness in this room: where the loader put the bytes is what an author of hostile keys cannot know. */
    g->value_index.seed = g->tensor_index.seed = prng_mix((uintptr_t)data ^ (uintptr_t)g);
    struct parser p = {.g = g, .reader = bytes_reader(data, len), .len = len, .field = "the header", .error = error};
    int rc = parse(&p);
    if (rc < 0) gguf_deinit(g);
    return rc;
}

void gguf_deinit(struct gguf *g) {
    map_deinit(&g->value_index);
    map_deinit(&g->tensor_index);
    arena_deinit(&g->arena);
    *g = (struct gguf){0};
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key) {
    uint64_t i;
    return map_get(&g->value_index, key, strlen(key), &i) ? &g->values[i] : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name) {
    uint64_t i;
    return map_get(&g->tensor_index, name, strlen(name), &i) ? &g->tensors[i] : NULL;
}

static struct bytes_reader item_reader(const struct gguf_value *v, uint64_t i) {
    size_t size = type_bytes(v->item_type);
    return bytes_reader(v->data + i * size, size);
}

/* An integer of any type as 64 bits; false for other types and for unsigned values that do not fit. */
static bool item_integer(const struct gguf_value *v, uint64_t i, int64_t *out) {
    if (i >= v->count) return false;
    struct bytes_reader r = item_reader(v, i);
    uint64_t wide;
    switch (v->item_type) {
    case GGUF_U8: *out = bytes_u8(&r); return true;
    case GGUF_I8: *out = (int8_t)bytes_u8(&r); return true;
    case GGUF_U16: *out = bytes_u16(&r); return true;
    case GGUF_I16: *out = (int16_t)bytes_u16(&r); return true;
    case GGUF_U32: *out = bytes_u32(&r); return true;
    case GGUF_I32: *out = (int32_t)bytes_u32(&r); return true;
    case GGUF_I64: *out = (int64_t)bytes_u64(&r); return true;
    case GGUF_BOOL: *out = bytes_u8(&r) != 0; return true;
    case GGUF_U64:
        wide = bytes_u64(&r);
        *out = (int64_t)wide;
        return wide <= INT64_MAX;
    default: return false;
    }
}

bool gguf_item_i64(const struct gguf_value *v, uint64_t i, int64_t *out) {
    int64_t value;
    if (!item_integer(v, i, &value)) return false;
    *out = value;
    return true;
}

bool gguf_item_u64(const struct gguf_value *v, uint64_t i, uint64_t *out) {
    int64_t value;
    if (i < v->count && v->item_type == GGUF_U64) {
        struct bytes_reader r = item_reader(v, i);
        *out = bytes_u64(&r);
        return true;
    }
    if (!item_integer(v, i, &value) || value < 0) return false;
    *out = (uint64_t)value;
    return true;
}

bool gguf_item_f32(const struct gguf_value *v, uint64_t i, float *out) {
    int64_t integer;
    if (i >= v->count) return false;
    struct bytes_reader r = item_reader(v, i);
    if (v->item_type == GGUF_F32)
        *out = bytes_f32(&r);
    else if (v->item_type == GGUF_F64)
        *out = (float)bytes_f64(&r);
    else if (v->item_type != GGUF_BOOL && item_integer(v, i, &integer))
        *out = (float)integer;
    else
        return false;
    return true;
}

/* The value of the key if it is a single one. */
static const struct gguf_value *find_scalar(const struct gguf *g, const char *key) {
    const struct gguf_value *v = gguf_find(g, key);
    return v && v->type != GGUF_ARRAY ? v : NULL;
}

bool gguf_u64(const struct gguf *g, const char *key, uint64_t *out) {
    const struct gguf_value *v = find_scalar(g, key);
    return v && gguf_item_u64(v, 0, out);
}

bool gguf_f32(const struct gguf *g, const char *key, float *out) {
    const struct gguf_value *v = find_scalar(g, key);
    return v && gguf_item_f32(v, 0, out);
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out) {
    const struct gguf_value *v = find_scalar(g, key);
    int64_t value;
    if (!v || v->type != GGUF_BOOL || !item_integer(v, 0, &value)) return false;
    *out = value != 0;
    return true;
}

bool gguf_string_is(struct gguf_string s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

bool gguf_str(const struct gguf *g, const char *key, struct gguf_string *out) {
    const struct gguf_value *v = find_scalar(g, key);
    if (!v || v->type != GGUF_STRING) return false;
    *out = v->strings[0];
    return true;
}
