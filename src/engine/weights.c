#include "engine/weights.h"

#include <assert.h>
#include <stdlib.h>

#include "base/size.h"
#include "engine/source.h"
#include "kern/kern.h"
#include "kern/quantize.h"
#include "os/facts.h"

enum {
    READ_BYTES = 512 << 10, /* one block of a reader: stays in its core's cache between reading and packing */
    READ_AHEAD_BLOCKS = 8,  /* blocks announced to the system before they are read */
};

/* A tensor of the file, or what is held of it, and its place in memory: a packed matrix or an f32 vector. */
struct piece {
    const struct model_tensor *tensor;
    struct cut cut;
    struct matrix *matrix; /* NULL: a vector */
    float **vector;
    uint64_t offset; /* from the start of the reservation */
};

struct piece_list {
    struct piece *items;
    size_t count;
    uint64_t bytes; /* of the reservation */
};

#define COUNT_PIECE(name) +1
enum {
    PIECES_PER_LAYER = 0 MODEL_LAYER_TENSORS(COUNT_PIECE, COUNT_PIECE),
    PIECES_OF_ENDS = 0 MODEL_END_TENSORS(COUNT_PIECE, COUNT_PIECE) MODEL_ROPE_TENSORS(COUNT_PIECE),
};

/* Some panels of a matrix, or a whole vector. */
struct block {
    const struct piece *piece;
    size_t panel_begin, panel_end;
};

struct load {
    struct source source;
    const struct model *model;
    struct block *blocks;
    size_t block_count;
    struct piece_list pieces;
    uint8_t *memory;
    uint8_t *staging; /* staging_bytes for each member of the pool */
    size_t staging_bytes;
    bool forget_behind; /* the file is too big to leave it in the page cache */
    const atomic_bool *cancel;
    atomic_bool failed;
    struct error error; /* of whoever failed first */
};

/* What is turned has other rows in the file. */
static size_t file_rows(const struct model_tensor *t) { return t->turned ? t->rows / t->turned * t->cols : t->rows; }
static size_t row_bytes(const struct model_tensor *t) { return t->bytes / file_rows(t); }

/* Blocks of a quantised type cannot be turned. */
static uint32_t memory_type(const struct model_tensor *t) {
    return t->turned && tensor_type_block(t->type) > 1 ? TENSOR_F16 : t->type;
}

static size_t value_count(const struct model_tensor *t) { return t->rows * t->cols; }

/* Rows of a matrix, or values of a vector, that are held of each group; panels that they fill. */
static size_t group_rows(const struct piece *p) { return range_length(p->cut.rows); }
static size_t group_panels(const struct piece *p) { return (group_rows(p) + KERN_LANES - 1) / KERN_LANES; }
static size_t panel_count(const struct piece *p) { return p->cut.groups * group_panels(p); }
static size_t panel_bytes(const struct piece *p) { return kern_panel_bytes(memory_type(p->tensor), p->tensor->cols); }

static uint64_t piece_bytes(const struct piece *p) {
    return p->matrix ? (uint64_t)panel_count(p) * panel_bytes(p)
                     : (uint64_t)p->cut.groups * group_rows(p) * sizeof(float);
}

static void list_add(struct piece_list *l, struct piece piece) {
    if (piece.tensor->bytes == 0) return;
    piece.offset = l->bytes;
    l->bytes = size_round_up(l->bytes + piece_bytes(&piece), KERN_ALIGN);
    if (l->items) l->items[l->count] = piece;
    l->count++;
}

static void list_matrix(struct piece_list *l, const struct model_tensor *t, struct cut cut, struct matrix *out) {
    list_add(l, (struct piece){.tensor = t, .cut = cut, .matrix = out});
}

static void list_vector(struct piece_list *l, const struct model_tensor *t, struct cut cut, float **out) {
    list_add(l, (struct piece){.tensor = t, .cut = cut, .vector = out});
}

static struct cut whole_matrix(const struct model_tensor *t) { return (struct cut){1, {0, (uint32_t)t->rows}}; }

static void list_whole_vector(struct piece_list *l, const struct model_tensor *t, float **out) {
    list_vector(l, t, (struct cut){1, {0, (uint32_t)value_count(t)}}, out);
}

#define LIST_MATRIX(name)       list_matrix(l, &from->name, cuts.name, &to->name);
#define LIST_VECTOR(name)       list_vector(l, &from->name, cuts.name, &to->name);
#define LIST_WHOLE_VECTOR(name) list_whole_vector(l, &m->name, &w->name);

static void list_layer(struct piece_list *l, const struct model *m, uint32_t layer, const struct share *share,
                       struct weights_layer *to) {
    const struct model_layer *from = &m->layers[layer];
    struct share_layer cuts;
    share_layer(share, m, layer, &cuts);
    MODEL_LAYER_TENSORS(LIST_MATRIX, LIST_VECTOR)
    to->is = from;
}

/* The first member embeds, and takes its rows of the head from the embedding where they are tied. */
static void list_ends(struct piece_list *l, const struct model *m, const struct share *share, struct weights *w) {
    const struct model_tensor *head = m->params.tied ? &m->token_embd : &m->output;
    struct cut own = {1, share_vocab(share, &m->params, share->member)};
    bool embeds = share->member == 0;
    if (embeds) list_matrix(l, &m->token_embd, whole_matrix(&m->token_embd), &w->token_embd);
    if (!embeds || !m->params.tied) list_matrix(l, head, own, &w->output);
    if (embeds) list_matrix(l, &m->position_embd, whole_matrix(&m->position_embd), &w->position_embd);
    if (embeds) list_whole_vector(l, &m->token_type, &w->token_type);
    if (embeds) list_whole_vector(l, &m->embd_norm, &w->embd_norm);
    if (embeds) list_whole_vector(l, &m->embd_norm_bias, &w->embd_norm_bias);
    if (embeds) list_matrix(l, &m->pooled_up, whole_matrix(&m->pooled_up), &w->pooled_up);
    if (embeds) list_matrix(l, &m->pooled_down, whole_matrix(&m->pooled_down), &w->pooled_down);
    list_whole_vector(l, &m->output_norm, &w->output_norm);
    list_whole_vector(l, &m->output_norm_bias, &w->output_norm_bias);
    list_vector(l, &m->output_bias, own, &w->output_bias);
}

/* The one list of what a part consists of. A list without items only counts: nothing is pointed at. */
static void list_part(struct piece_list *l, const struct model *m, struct weights_part part, struct weights *w) {
    struct weights_layer nowhere;
    for (uint32_t i = part.layer_begin; i < part.layer_end; i++)
        list_layer(l, m, i, part.share, l->items ? &w->layers[i - part.layer_begin] : &nowhere);
    if (part.layer_begin < part.layer_end) {
        MODEL_ROPE_TENSORS(LIST_WHOLE_VECTOR)
    }
    if (part.ends) list_ends(l, m, part.share, w);
}

uint64_t weights_bytes(const struct model *m, struct weights_part part) {
    struct piece_list l = {0};
    struct weights nowhere;
    list_part(&l, m, part, &nowhere);
    return l.bytes;
}

/* From the tensor's first byte to its last, gaps between its groups included. */
static uint64_t span_bytes(const struct model_tensor *t) {
    uint64_t rows = t->turned ? t->turned : t->group_rows, groups = rows ? t->rows / rows : 1;
    return groups > 1 ? (groups - 1) * t->group_stride + t->bytes / groups : t->bytes;
}

/* Rows that the share has, of each group; all of it where rows do not lie one behind the other. */
static void visit_piece(const struct piece *p, void (*visit)(void *context, uint64_t offset, uint64_t len),
                        void *context) {
    const struct model_tensor *t = p->tensor;
    uint64_t groups = p->cut.groups, rows = groups ? t->rows / groups : 0;
    if (!p->matrix || t->turned || t->group_rows || rows == 0) {
        visit(context, t->offset, span_bytes(t));
        return;
    }
    for (uint64_t g = 0; g < groups; g++)
        visit(context, t->offset + (g * rows + p->cut.rows.begin) * row_bytes(t),
              range_length(p->cut.rows) * row_bytes(t));
}

void weights_ranges(const struct model *m, struct weights_part part,
                    void (*visit)(void *context, uint64_t offset, uint64_t len), void *context) {
    struct weights nowhere = {.layers = calloc(part.layer_end - part.layer_begin + 1, sizeof *nowhere.layers)};
    size_t count_max = (size_t)(part.layer_end - part.layer_begin) * PIECES_PER_LAYER + PIECES_OF_ENDS;
    struct piece_list l = {.items = calloc(count_max, sizeof *l.items)};
    assert(l.items && nowhere.layers);
    list_part(&l, m, part, &nowhere);
    for (size_t i = 0; i < l.count; i++) visit_piece(&l.items[i], visit, context);
    free(l.items);
    free(nowhere.layers);
}

static int check_types(const struct piece_list *l, const char *path, struct error *error) {
    for (size_t i = 0; i < l->count; i++) {
        const struct model_tensor *t = l->items[i].tensor;
        bool parted = l->items[i].vector && tensor_type_block(t->type) > 1 &&
                      piece_bytes(&l->items[i]) < value_count(t) * sizeof(float);
        if (kern_supports(t->type) && !parted) continue;
        const char *name = tensor_type_name(t->type);
        return error_set(error, ERR_UNSUPPORTED, "%s: weights of type %s are not supported", path, name ? name : "?");
    }
    return 0;
}

/* The row of the file that a panel begins with. */
static uint64_t panel_row(const struct piece *p, size_t panel) {
    size_t group = panel / group_panels(p), within = panel % group_panels(p);
    return group * (p->tensor->rows / p->cut.groups) + p->cut.rows.begin + within * KERN_LANES;
}

/* Where a block ends that begins at a panel: about READ_BYTES in the file but at least one panel, and within a group
 * of rows. */
static size_t block_end(const struct piece *p, size_t panel) {
    const struct model_tensor *t = p->tensor;
    if (!p->matrix) return 1;
    if (t->turned) return panel + t->turned / KERN_LANES;
    size_t step = READ_BYTES / (KERN_LANES * row_bytes(t)), end = panel + (step > 0 ? step : 1);
    size_t limit = panel - panel % group_panels(p) + group_panels(p);
    if (t->group_rows) {
        size_t gap = panel + (t->group_rows - panel_row(p, panel) % t->group_rows) / KERN_LANES;
        if (gap < limit) limit = gap;
    }
    return end < limit ? end : limit;
}

static uint64_t block_offset(const struct block *b) {
    const struct model_tensor *t = b->piece->tensor;
    if (!b->piece->matrix) return t->offset;
    uint64_t row = panel_row(b->piece, b->panel_begin);
    if (t->turned) return t->offset + row / t->turned * t->group_stride;
    if (!t->group_rows) return t->offset + row * row_bytes(t);
    return t->offset + row / t->group_rows * t->group_stride + row % t->group_rows * row_bytes(t);
}

static size_t block_rows(const struct block *b) {
    const struct piece *p = b->piece;
    if (!p->matrix) return p->tensor->rows;
    if (p->tensor->turned) return p->tensor->cols;
    size_t left = group_rows(p) - b->panel_begin % group_panels(p) * KERN_LANES;
    size_t most = (b->panel_end - b->panel_begin) * KERN_LANES;
    return most < left ? most : left;
}

static size_t block_bytes(const struct block *b) { return block_rows(b) * row_bytes(b->piece->tensor); }

/* Cut all pieces into blocks; NULL blocks: only count them. */
static void cut_blocks(struct load *l) {
    l->block_count = 0;
    for (size_t i = 0; i < l->pieces.count; i++) {
        const struct piece *p = &l->pieces.items[i];
        size_t panels = p->matrix ? panel_count(p) : 1;
        for (size_t begin = 0, end; begin < panels; begin = end) {
            end = block_end(p, begin);
            struct block b = {p, begin, end};
            if (block_bytes(&b) > l->staging_bytes) l->staging_bytes = size_round_up(block_bytes(&b), KERN_ALIGN);
            if (l->blocks) l->blocks[l->block_count] = b;
            l->block_count++;
        }
    }
}

/* One group, stored as t->cols rows of t->turned columns. */
static int pack_turned(const struct model_tensor *t, const uint8_t *rows, uint8_t *panel, struct error *error) {
    uint32_t type = memory_type(t);
    size_t count = t->turned * t->cols, row_size = t->cols * tensor_type_block_bytes(type);
    float *values = malloc(count * sizeof *values), *row = malloc(t->cols * sizeof *row);
    uint8_t *turned = malloc(KERN_LANES * row_size);
    int rc = values && row && turned ? 0 : error_set(error, ERR_NOMEM, "out of memory");
    if (rc == 0) kern_dequantize(t->type, rows, count, values);
    for (size_t first = 0; rc == 0 && first < t->turned; first += KERN_LANES) {
        for (size_t lane = 0; lane < KERN_LANES; lane++) {
            for (size_t i = 0; i < t->cols; i++) row[i] = values[i * t->turned + first + lane];
            kern_quantize(type, row, t->cols, turned + lane * row_size);
        }
        kern_pack_panel(type, turned, row_size, KERN_LANES, t->cols, panel);
        panel += kern_panel_bytes(type, t->cols);
    }
    free(values);
    free(row);
    free(turned);
    return rc;
}

/* Values of a vector that are held, of each group. */
static void pack_vector(const struct piece *p, const uint8_t *values, float *out) {
    const struct model_tensor *t = p->tensor;
    size_t block = tensor_type_block(t->type), bytes = tensor_type_block_bytes(t->type), count = group_rows(p);
    for (uint32_t i = 0; i < p->cut.groups; i++) {
        size_t from = i * (value_count(t) / p->cut.groups) + p->cut.rows.begin;
        kern_dequantize(t->type, values + from / block * bytes, count, out + i * count);
    }
}

static int pack_block(const struct load *l, const struct block *b, const uint8_t *rows, struct error *error) {
    const struct piece *p = b->piece;
    const struct model_tensor *t = p->tensor;
    uint8_t *out = l->memory + p->offset;
    if (!p->matrix) {
        pack_vector(p, rows, (float *)out);
        return 0;
    }
    out += b->panel_begin * panel_bytes(p);
    if (t->turned) return pack_turned(t, rows, out, error);
    size_t left = block_rows(b);
    for (size_t panel = b->panel_begin; panel < b->panel_end; panel++) {
        size_t count = left < KERN_LANES ? left : KERN_LANES;
        kern_pack_panel(t->type, rows, row_bytes(t), count, t->cols, out);
        out += panel_bytes(p);
        rows += count * row_bytes(t);
        left -= count;
    }
    return 0;
}

static int load_block(struct load *l, size_t index, uint8_t *staging, struct error *error) {
    const struct block *b = &l->blocks[index];
    if (l->cancel && atomic_load(l->cancel)) return error_set(error, ERR_CANCELLED, "loading was cancelled");
    if (index + READ_AHEAD_BLOCKS < l->block_count) {
        const struct block *ahead = b + READ_AHEAD_BLOCKS;
        source_will_need(&l->source, block_offset(ahead), block_bytes(ahead));
    }
    int rc = source_read_at(&l->source, block_offset(b), staging, block_bytes(b), error);
    if (rc < 0) return rc;
    if (l->forget_behind) source_forget(&l->source, block_offset(b), block_bytes(b));
    return pack_block(l, b, staging, error);
}

static void load_task(void *context, unsigned member, size_t begin, size_t end) {
    struct load *l = context;
    for (size_t i = begin; i < end && !atomic_load(&l->failed); i++) {
        struct error error = {0};
        if (load_block(l, i, l->staging + member * l->staging_bytes, &error) < 0 && !atomic_exchange(&l->failed, true))
            l->error = error;
    }
}

static void point_at_memory(const struct load *l) {
    for (size_t i = 0; i < l->pieces.count; i++) {
        const struct piece *p = &l->pieces.items[i];
        const struct model_tensor *t = p->tensor;
        uint8_t *at = l->memory + p->offset;
        if (p->matrix)
            *p->matrix = (struct matrix){memory_type(t), p->cut.groups * group_rows(p), t->cols, at};
        else
            *p->vector = (float *)at;
    }
}

static bool too_big_to_cache(uint64_t file_bytes) {
    struct facts_memory facts;
    facts_memory("", &facts);
    return file_bytes > facts.total_bytes / 2;
}

static int list_pieces(struct load *l, struct weights *w, struct weights_part part, struct error *error) {
    size_t count_max = (size_t)(part.layer_end - part.layer_begin) * PIECES_PER_LAYER + PIECES_OF_ENDS;
    w->layers = calloc(part.layer_end - part.layer_begin + 1, sizeof *w->layers);
    l->pieces.items = calloc(count_max, sizeof *l->pieces.items);
    if (!w->layers || !l->pieces.items) return error_set(error, ERR_NOMEM, "out of memory");
    list_part(&l->pieces, l->model, part, w);
    return check_types(&l->pieces, l->model->path, error);
}

static int prepare_blocks(struct load *l, unsigned readers, struct error *error) {
    cut_blocks(l);
    l->blocks = calloc(l->block_count + 1, sizeof *l->blocks);
    l->staging = aligned_alloc(KERN_ALIGN, readers * l->staging_bytes + KERN_ALIGN);
    if (!l->blocks || !l->staging) return error_set(error, ERR_NOMEM, "out of memory");
    cut_blocks(l);
    return 0;
}

int weights_load(struct weights *w, const struct model *m, struct weights_part part, struct pool *pool,
                 const atomic_bool *cancel, struct error *error) {
    *w = (struct weights){0};
    struct load l = {.source.file.fd = -1, .model = m, .cancel = cancel};
    int rc = list_pieces(&l, w, part, error);
    if (rc < 0) goto out;
    if ((rc = prepare_blocks(&l, pool_threads(pool), error)) < 0) goto out;
    if ((rc = source_open(&l.source, m->path, error)) < 0) goto out;
    if (memory_reserve(&w->memory, l.pieces.bytes, false) < 0) {
        rc = error_set(error, ERR_NOMEM, "cannot reserve %llu MiB for weights",
                       (unsigned long long)(l.pieces.bytes >> 20));
        goto out;
    }
    l.memory = w->memory.data;
    l.forget_behind = too_big_to_cache(m->gguf.file_bytes);
    point_at_memory(&l);
    pool_run(pool, l.block_count, 1, load_task, &l);
    if (m->params.tied && w->token_embd.panels) {
        w->output = w->token_embd;
        w->output.rows = range_length(share_vocab(part.share, &m->params, 0));
    }
    if (atomic_load(&l.failed)) {
        if (error) *error = l.error;
        error_prefix(error, "%s: ", m->path);
        rc = l.error.code;
    }
out:
    source_close(&l.source);
    free(l.pieces.items);
    free(l.blocks);
    free(l.staging);
    if (rc < 0) weights_deinit(w);
    return rc;
}

void weights_deinit(struct weights *w) {
    memory_release(&w->memory);
    free(w->layers);
    *w = (struct weights){0};
}
