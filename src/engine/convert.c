#include "engine/convert.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/gguf_dir.h"
#include "engine/hf_dir.h"
#include "engine/model_file.h"
#include "kern/kern.h"
#include "kern/quantize.h"
#include "model/gguf_write.h"

enum { BLOCK_VALUES = 1 << 18 }; /* converted at a time by one thread, about */

void conversion_deinit(struct conversion *c) {
    for (size_t i = 0; i < c->file_count; i++) {
        file_close(&c->files[i]);
        free(c->names[i]);
    }
    free(c->files);
    free(c->names);
    free(c->parts.items);
    free(c->header);
    arena_deinit(&c->arena);
    *c = (struct conversion){0};
}

int conversion_make_files(struct conversion *c, size_t count, struct error *error) {
    c->files = calloc(count, sizeof *c->files);
    c->names = calloc(count, sizeof *c->names);
    return c->files && c->names ? 0 : error_set(error, ERR_NOMEM, "out of memory");
}

static uint64_t row_bytes(uint32_t type, uint64_t cols) {
    return cols / tensor_type_block(type) * tensor_type_block_bytes(type);
}

/* ---- from GGUF ---- */

static struct recipe_model describe(const struct gguf *g) {
    struct gguf_string architecture = {0};
    uint64_t layers = 0, experts = 0, heads = 0, kv_heads = 0;
    char key[128];
    gguf_str(g, "general.architecture", &architecture);
    const struct {
        const char *name;
        uint64_t *out;
    } keys[] = {{"block_count", &layers},
                {"expert_count", &experts},
                {"attention.head_count", &heads},
                {"attention.head_count_kv", &kv_heads}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        snprintf(key, sizeof key, "%.*s.%s", (int)(architecture.len < 64 ? architecture.len : 64), architecture.data,
                 keys[i].name);
        gguf_u64(g, key, keys[i].out);
    }
    return (struct recipe_model){.layers = (uint32_t)layers,
                                 .experts = (uint32_t)experts,
                                 .heads_per_kv = kv_heads > 0 ? (uint32_t)(heads / kv_heads) : 1,
                                 .tied = gguf_tensor(g, "output.weight") == NULL};
}

static bool key_is(const struct gguf_value *v, const char *key) {
    return v->key.len == strlen(key) && memcmp(v->key.data, key, v->key.len) == 0;
}

/* Written anew, or true of the file that is read and not of the result. */
static bool is_left_out(const struct gguf_value *v, const struct recipe *r) {
    if (key_is(v, "general.file_type") || key_is(v, "general.quantization_version")) return r != NULL;
    return key_is(v, "general.alignment") || (v->key.len > 6 && memcmp(v->key.data, "split.", 6) == 0);
}

static void write_values(struct gguf_writer *w, const struct gguf *g, const struct recipe *r) {
    for (size_t i = 0; i < g->value_count; i++)
        if (!is_left_out(&g->values[i], r)) gguf_write_value(w, &g->values[i]);
    if (r == NULL) return;
    gguf_write_u32(w, "general.file_type", recipe_file_type(r));
    gguf_write_u32(w, "general.quantization_version", 2); /* ggml's number for today's blocks */
}

static int add_part(struct conversion *c, struct gguf_writer *w, const struct gguf_tensor *t, uint32_t type,
                    struct error *error) {
    struct part part = {.file = (uint32_t)c->file_count - 1,
                        .from = t->type,
                        .to = type,
                        .rows = 1,
                        .cols = t->dims[0],
                        .from_offset = t->offset};
    for (uint32_t i = 1; i < GGUF_DIMS_MAX; i++) part.rows *= t->dims[i];
    if (part.rows == 1 && tensor_type_block(t->type) == 1 && tensor_type_block(type) == 1) { /* a vector may be cut */
        part.rows = part.cols;
        part.cols = 1;
    }
    part.to_offset = gguf_write_tensor(w, t->name, type, t->dims, t->dim_count);
    return parts_add(&c->parts, part) < 0 ? error_set(error, ERR_NOMEM, "out of memory") : 0;
}

static int take_gguf(struct conversion *c, const struct gguf *g, const struct recipe *r, struct gguf_writer *w,
                     struct error *error) {
    struct recipe_model m = describe(g);
    int rc = 0;
    if (c->file_count == 1) write_values(w, g, r); /* the first part has them all */
    for (size_t i = 0; rc == 0 && i < g->tensor_count; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        rc = add_part(c, w, t, r ? recipe_type(r, &m, t) : t->type, error);
    }
    return rc;
}

static int add_gguf(struct conversion *c, const char *path, const struct recipe *r, struct gguf_writer *w,
                    struct error *error) {
    struct gguf g = {0};
    uint8_t *header = NULL;
    size_t len = 0;
    struct file *f = &c->files[c->file_count];
    int rc = file_open(f, path, error);
    if (rc < 0) return rc;
    c->names[c->file_count++] = strdup(path);
    rc = model_file_header(f, &header, &len, error);
    if (rc == 0) rc = gguf_parse(&g, header, len, f->bytes, error);
    if (rc == 0) rc = take_gguf(c, &g, r, w, error);
    gguf_deinit(&g);
    free(header);
    return rc < 0 ? error_prefix(error, "%s: ", path) : 0;
}

static int open_gguf(struct conversion *c, char *const *paths, size_t count, const struct recipe *r,
                     struct gguf_writer *w, struct error *error) {
    int rc = 0;
    rc = conversion_make_files(c, count, error);
    for (size_t i = 0; rc == 0 && i < count; i++) rc = add_gguf(c, paths[i], r, w, error);
    return rc;
}

static int open_any(struct conversion *c, const char *path, const struct recipe *r, struct gguf_writer *w,
                    struct error *error) {
    struct gguf_dir dir;
    int rc = gguf_dir_list(&dir, path, error);
    if (rc == 0)
        rc = dir.count > 0 ? open_gguf(c, dir.paths, dir.count, r, w, error) : hf_dir_open(c, path, r, w, error);
    gguf_dir_deinit(&dir);
    return rc;
}

/* ---- opening ---- */

static bool is_changed(const struct part *p) { return p->from != p->to || p->added != 0; }

/* The header, offsets that count from its start, and types that can be converted. */
static int complete(struct conversion *c, struct gguf_writer *w, struct error *error) {
    int rc = gguf_writer_take(w, &c->header, &c->header_len, error);
    c->bytes = c->header_len + w->data_bytes;
    for (size_t i = 0; rc == 0 && i < c->parts.count; i++) {
        struct part *p = &c->parts.items[i];
        p->to_offset += c->header_len;
        if (!is_changed(p) || (kern_supports(p->from) && kern_can_quantize(p->to))) continue;
        rc = error_set(error, ERR_UNSUPPORTED, "cannot make %s of %s", tensor_type_name(p->to),
                       tensor_type_name(p->from));
    }
    return rc;
}

int conversion_open(struct conversion *c, const char *path, const struct recipe *r, struct error *error) {
    struct gguf_writer w = {0};
    *c = (struct conversion){0};
    int rc = open_any(c, path, r, &w, error);
    if (rc == 0) rc = complete(c, &w, error);
    gguf_writer_deinit(&w);
    if (rc < 0) conversion_deinit(c);
    return rc;
}

/* ---- reading ---- */

/* Where the row of a head is that is wanted at `row`. */
static uint64_t turned(uint64_t row, uint32_t head) {
    uint64_t in_head = row % head;
    return row - in_head + in_head / 2 + (in_head % 2) * (head / 2);
}

/* Values that lie `step` apart in a file, `count` of them, to places `to_step` apart. */
struct gathering {
    const struct file *file;
    size_t size, step, to_step, count; /* size: of a value */
    uint8_t *run;                      /* room for all that lies between the first and the last */
};

static int gather(const struct gathering *g, uint64_t offset, uint8_t *out, struct error *error) {
    int rc = file_read_at(g->file, offset, g->run, ((g->count - 1) * g->step + 1) * g->size, error);
    for (size_t i = 0; rc == 0 && i < g->count; i++)
        memcpy(out + i * g->to_step * g->size, g->run + i * g->step * g->size, g->size);
    return rc;
}

/* Rows whose values lie apart, in runs along whichever side is closer together. */
static int read_apart(const struct conversion *c, const struct part *p, uint64_t begin, uint64_t count, uint8_t *out,
                      struct error *error) {
    bool by_column = p->column_step > p->row_step;
    size_t size = row_bytes(p->from, 1);
    struct gathering g = {.file = &c->files[p->file],
                          .size = size,
                          .step = by_column ? p->row_step : p->column_step,
                          .to_step = by_column ? p->cols : 1,
                          .count = by_column ? count : p->cols};
    uint64_t lines = by_column ? p->cols : count, line_step = by_column ? p->column_step : p->row_step;
    uint64_t first = p->from_offset + begin * p->row_step * size, to = by_column ? size : p->cols * size;
    g.run = malloc(((g.count - 1) * g.step + 1) * size);
    int rc = g.run ? 0 : error_set(error, ERR_NOMEM, "out of memory");
    for (uint64_t i = 0; rc == 0 && i < lines; i++) rc = gather(&g, first + i * line_step * size, out + i * to, error);
    free(g.run);
    return rc;
}

/* A block as ggml has it: its scale, and values i and i + 16 in a byte. */
static void join_block(uint8_t scale, const uint8_t *pairs, uint8_t *out) {
    enum { HALF = 16 };
    *out++ = scale;
    for (int i = 0; i < HALF; i++) {
        int low = pairs[i / 2] >> 4 * (i % 2), high = pairs[(i + HALF) / 2] >> 4 * (i % 2);
        out[i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
}

static int read_joined(const struct conversion *c, const struct part *p, uint64_t begin, uint64_t count, uint8_t *out,
                       struct error *error) {
    enum { PAIRS = 16, BLOCK = 17, VALUES = 32 };
    uint64_t blocks = p->cols / VALUES, step = (p->row_step ? p->row_step : p->cols) / VALUES;
    uint8_t *pairs = malloc(blocks * PAIRS), *scales = malloc(blocks);
    int rc = pairs && scales ? 0 : error_set(error, ERR_NOMEM, "out of memory");
    for (uint64_t row = begin; rc == 0 && row < begin + count; row++) {
        rc = file_read_at(&c->files[p->file], p->from_offset + row * step * PAIRS, pairs, blocks * PAIRS, error);
        if (rc == 0)
            rc = file_read_at(&c->files[p->scales_file], p->scales_offset + row * step, scales, blocks, error);
        for (uint64_t i = 0; rc == 0 && i < blocks; i++, out += BLOCK) join_block(scales[i], pairs + i * PAIRS, out);
    }
    free(pairs);
    free(scales);
    return rc;
}

static int read_raw(const struct conversion *c, const struct part *p, uint64_t begin, uint64_t count, uint8_t *out,
                    struct error *error) {
    uint64_t bytes = row_bytes(p->from, p->cols);
    int rc = 0;
    if (p->file == PART_OF_MEMORY) {
        memcpy(out, p->values + begin * p->cols, count * bytes);
        return 0;
    }
    if (p->scales_apart) return read_joined(c, p, begin, count, out, error);
    if (p->row_step > 0) return read_apart(c, p, begin, count, out, error);
    if (!p->head) return file_read_at(&c->files[p->file], p->from_offset + begin * bytes, out, count * bytes, error);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = file_read_at(&c->files[p->file], p->from_offset + turned(begin + i, p->head) * bytes, out + i * bytes,
                          bytes, error);
    return rc;
}

/* Rows [begin, begin + count) of a part as they are wanted. */
static int read_rows(const struct conversion *c, const struct part *p, uint64_t begin, uint64_t count, uint8_t *out,
                     struct error *error) {
    if (!is_changed(p)) return read_raw(c, p, begin, count, out, error);
    uint64_t n = count * p->cols;
    uint8_t *raw = malloc(count * row_bytes(p->from, p->cols));
    float *values = malloc(n * sizeof *values);
    int rc = raw && values ? read_raw(c, p, begin, count, raw, error) : error_set(error, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        kern_dequantize(p->from, raw, n, values);
        for (uint64_t i = 0; p->added != 0 && i < n; i++) values[i] += p->added;
        kern_quantize(p->to, values, n, out);
    }
    free(raw);
    free(values);
    return rc;
}

/* The part that holds the byte. */
static const struct part *find_part(const struct conversion *c, uint64_t offset) {
    size_t low = 0, high = c->parts.count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        *(c->parts.items[middle].to_offset <= offset ? &low : &high) = middle;
    }
    return &c->parts.items[low];
}

int conversion_read(const struct conversion *c, uint64_t offset, void *out, size_t len, struct error *error) {
    uint8_t *at = out;
    for (const struct part *p = find_part(c, offset); len > 0; p++) {
        uint64_t bytes = row_bytes(p->to, p->cols), begin = (offset - p->to_offset) / bytes;
        uint64_t count = len / bytes < p->rows - begin ? len / bytes : p->rows - begin;
        assert(offset >= p->to_offset && (offset - p->to_offset) % bytes == 0 && count > 0);
        int rc = read_rows(c, p, begin, count, at, error);
        if (rc < 0) return rc;
        at += count * bytes;
        offset += count * bytes;
        len -= count * bytes;
    }
    return 0;
}

/* Bytes of a file that all of a part lies between. */
static uint64_t extent(const struct part *p) {
    if (p->row_step == 0) return p->rows * row_bytes(p->from, p->cols);
    uint64_t values = (p->rows - 1) * p->row_step + (p->cols - 1) * p->column_step + 1;
    return row_bytes(p->from, values);
}

void conversion_ranges(const struct conversion *c, uint64_t offset, uint64_t len,
                       void (*visit)(void *context, const char *name, uint64_t offset, uint64_t len), void *context) {
    uint64_t end = offset + len;
    for (size_t i = 0; i < c->parts.count; i++) {
        const struct part *p = &c->parts.items[i];
        uint64_t bytes = row_bytes(p->to, p->cols), first = p->to_offset, last = first + p->rows * bytes;
        if (p->file == PART_OF_MEMORY || last <= offset || first >= end) continue;
        uint64_t begin_row = offset > first ? (offset - first) / bytes : 0;
        uint64_t end_row = end < last ? (end - first + bytes - 1) / bytes : p->rows;
        if (p->scales_apart) {
            visit(context, c->names[p->scales_file], p->scales_offset, extent(p) / 17);
            visit(context, c->names[p->file], p->from_offset, extent(p) / 17 * 16);
            continue;
        }
        if (p->row_step > 0) {
            visit(context, c->names[p->file], p->from_offset, extent(p));
            continue;
        }
        if (p->head) { /* rows stand in another order there */
            begin_row = 0;
            end_row = p->rows;
        }
        uint64_t from = row_bytes(p->from, p->cols);
        visit(context, c->names[p->file], p->from_offset + begin_row * from, (end_row - begin_row) * from);
    }
}

/* ---- writing ---- */

/* Some rows of a part. */
struct block {
    const struct part *part;
    uint64_t begin, count;
};

struct writing {
    const struct conversion *conversion;
    struct file out;
    struct block *blocks;
    size_t block_count, block_bytes_max;
    atomic_bool failed;
    struct error error; /* of whoever failed first */
};

/* Cut all parts into blocks; NULL blocks: only count and measure them. */
static void cut_blocks(struct writing *w) {
    w->block_count = 0;
    for (size_t i = 0; i < w->conversion->parts.count; i++) {
        const struct part *p = &w->conversion->parts.items[i];
        uint64_t step = p->cols < BLOCK_VALUES ? BLOCK_VALUES / p->cols : 1;
        if (step > p->rows) step = p->rows;
        size_t bytes = step * row_bytes(p->to, p->cols);
        if (bytes > w->block_bytes_max) w->block_bytes_max = bytes;
        for (uint64_t begin = 0; begin < p->rows; begin += step) {
            uint64_t count = p->rows - begin < step ? p->rows - begin : step;
            if (w->blocks) w->blocks[w->block_count] = (struct block){p, begin, count};
            w->block_count++;
        }
    }
}

static int write_block(const struct writing *w, const struct block *b, uint8_t *rows, struct error *error) {
    uint64_t bytes = row_bytes(b->part->to, b->part->cols);
    int rc = read_rows(w->conversion, b->part, b->begin, b->count, rows, error);
    return rc ? rc : file_write_at(&w->out, b->part->to_offset + b->begin * bytes, rows, b->count * bytes, error);
}

static void write_task(void *context, unsigned member, size_t begin, size_t end) {
    struct writing *w = context;
    struct error error = {0};
    uint8_t *rows = malloc(w->block_bytes_max);
    int rc = rows ? 0 : error_set(&error, ERR_NOMEM, "out of memory");
    for (size_t i = begin; rc == 0 && i < end && !atomic_load(&w->failed); i++)
        rc = write_block(w, &w->blocks[i], rows, &error);
    if (rc < 0 && !atomic_exchange(&w->failed, true)) w->error = error;
    free(rows);
}

static int write_all(struct writing *w, struct pool *pool, struct error *error) {
    const struct conversion *c = w->conversion;
    cut_blocks(w);
    w->blocks = calloc(w->block_count + 1, sizeof *w->blocks);
    if (!w->blocks) return error_set(error, ERR_NOMEM, "out of memory");
    cut_blocks(w);
    int rc = file_write_at(&w->out, 0, c->header, c->header_len, error);
    if (rc == 0) pool_run(pool, w->block_count, 1, write_task, w);
    free(w->blocks);
    if (rc < 0 || !atomic_load(&w->failed)) return rc;
    *error = w->error;
    return error->code;
}

int conversion_write(const struct conversion *c, const char *path, struct pool *pool, struct error *error) {
    struct writing w = {.conversion = c};
    char *part = NULL;
    if (asprintf(&part, "%s.part", path) < 0) return error_set(error, ERR_NOMEM, "out of memory");
    int rc = file_create(&w.out, part, c->bytes, error);
    if (rc == 0) {
        rc = write_all(&w, pool, error);
        if (rc == 0)
            rc = file_finish(&w.out, part, path, error);
        else
            file_abandon(&w.out, part);
    }
    free(part);
    return rc;
}
