/* What members of a stage tell each other between two matrices: each the columns that it has made, for all rows of a
 * part. Activations go as the next matrix reads them, in whole blocks of int8 where that is what it wants; sums go as
 * f32. Nothing is added up on the way, so what arrives has the bits that one node alone would have made. */
#include <assert.h>
#include <string.h>

#include "base/size.h"
#include "engine/forward_private.h"

enum { PART_ROWS_MAX = 128, PACKED_BYTES_MAX = 16 << 20 }; /* of a part; more rows make more parts */

/* ---- sizes ---- */

static struct range cut_of(const struct forward *f, enum forward_cut cut, uint32_t size, uint32_t member) {
    struct range heads;
    switch (cut) {
    case FORWARD_INSIDE: return share_columns(f->share, size, member);
    case FORWARD_HIDDEN: return share_hidden(f->share, f->whole, member);
    case FORWARD_HEADS: break;
    }
    heads = share_heads(f->share, f->whole, member);
    size /= f->whole->heads; /* of one of them */
    return (struct range){heads.begin * size, heads.end * size};
}

struct range forward__own(const struct forward *f, enum forward_cut cut, uint32_t size) {
    return cut_of(f, cut, size, f->share->member);
}

/* Bytes of so many columns of a row. Of int8: q, then scale and sum16 of each block; the last may be part of one. */
static size_t row_bytes(const struct forward_columns *c, struct range r) {
    size_t count = range_length(r), padded = size_round_up(count, KERN_BLOCK);
    return c->int8 ? padded + padded / KERN_BLOCK * sizeof(float) + padded / 16 * sizeof(int32_t)
                   : count * sizeof(float);
}

static size_t message_bytes(const struct forward *f, const struct forward_gather *g, uint32_t member) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct forward_columns *c = &g->columns[i];
        bytes += c->rows * row_bytes(c, cut_of(f, c->cut, c->size, member));
    }
    return bytes;
}

/* The most that a row can take in one message. */
static size_t row_bytes_max(const struct share_sizes *sizes) {
    const struct model_params *p = &sizes->params;
    size_t sums = 2 * (size_t)p->embd, experts = (size_t)p->experts.used * p->experts.ff;
    size_t activations = (size_t)sizes->attended + p->ff + experts;
    return (activations > sums ? activations : sums) * sizeof(float);
}

void forward__carve_gather(struct carver *c, const struct share_sizes *sizes, const struct share *share,
                           struct forward *f) {
    f->other_branch = NULL;
    f->part_rows_max = PART_ROWS_MAX;
    if (share->members > 1) {
        size_t each = row_bytes_max(sizes), rows = PACKED_BYTES_MAX / each;
        size_t least = (STEP_ROWS_MAX + FORWARD_PARTS_MAX - 1) / FORWARD_PARTS_MAX;
        if (rows < least) rows = least;
        if (rows < PART_ROWS_MAX) f->part_rows_max = (uint32_t)rows;
        f->packed = forward__carve(c, f->part_rows_max, each);
    }
    if (sizes->params.parallel) f->other_branch = forward__carve_rows(c, sizes->params.embd);
}

/* ---- what was made ---- */

void forward__made(struct forward *f, struct forward_part *part, const struct forward_columns *columns) {
    struct forward_gather *g = &part->gather;
    if (!f->exchange) return;
    assert(g->count < ARRAY_LEN(g->columns));
    g->columns[g->count++] = *columns;
}

void forward__made_sums(struct forward *f, struct forward_part *part, float *sums, const float *post_norm) {
    struct forward_gather *g = &part->gather;
    if (!f->exchange) return;
    forward__made(f, part,
                  &(struct forward_columns){
                      .cut = FORWARD_HIDDEN, .sums = sums, .row = part->first, .rows = part->row_count});
    g->sums[g->sum_count].rows = sums + (size_t)part->first * f->params->embd;
    g->sums[g->sum_count++].post_norm = post_norm;
}

/* ---- packing: rows one behind the other ---- */

struct pack_job {
    const struct forward *f;
    const struct forward_columns *columns;
    struct range range;
    uint8_t *out;       /* to pack into */
    const uint8_t *in;  /* to unpack from; NULL: pack */
};

static void move(const struct pack_job *job, void *here, size_t at, size_t bytes) {
    if (job->in)
        memcpy(here, job->in + at, bytes);
    else
        memcpy(job->out + at, here, bytes);
}

static void pack_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct pack_job *job = context;
    const struct forward_columns *c = job->columns;
    struct activations *a = c->activations;
    size_t bytes = row_bytes(c, job->range), from = job->range.begin, count = range_length(job->range);
    for (size_t i = begin; i < end; i++) {
        size_t row = c->row + i, at = i * bytes;
        if (!c->int8) {
            float *here = a ? a->f32 + row * a->f32_stride : c->sums + row * job->f->params->embd;
            move(job, here + from, at, bytes);
            continue;
        }
        size_t blocks = (count + KERN_BLOCK - 1) / KERN_BLOCK, first = row * a->q_stride + from;
        move(job, a->q + first, at, blocks * KERN_BLOCK);
        move(job, a->scale + first / KERN_BLOCK, at += blocks * KERN_BLOCK, blocks * sizeof *a->scale);
        move(job, a->sum16 + first / 16, at + blocks * sizeof *a->scale, 2 * blocks * sizeof *a->sum16);
    }
}

/* The columns of a member, to `out`, or from `in` to their places. */
static void pack(struct forward *f, const struct forward_gather *g, uint32_t member, uint8_t *out, const uint8_t *in) {
    size_t at = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct forward_columns *c = &g->columns[i];
        struct pack_job job = {.f = f, .columns = c, .range = cut_of(f, c->cut, c->size, member)};
        job.out = out ? out + at : NULL;
        job.in = in ? in + at : NULL;
        pool_run(f->pool, c->rows, 16, pack_task, &job);
        at += c->rows * row_bytes(c, job.range);
    }
}

/* ---- the exchange ---- */

int forward__send(struct forward *f, struct forward_part *part, struct error *error) {
    const struct forward_gather *g = &part->gather;
    if (g->count == 0) return 0;
    pack(f, g, f->share->member, f->packed, NULL);
    return f->exchange->send(f->exchange->context, EXCHANGE_COLUMNS, f->packed,
                             message_bytes(f, g, f->share->member), error);
}

int forward__take(struct forward *f, struct forward_part *part, struct error *error) {
    struct forward_gather *g = &part->gather;
    const uint8_t *from[SHARE_MEMBERS_MAX];
    size_t len[SHARE_MEMBERS_MAX];
    if (g->count == 0) return 0;
    for (uint32_t i = 0; i < f->share->members; i++) len[i] = message_bytes(f, g, i);
    int rc = f->exchange->receive(f->exchange->context, EXCHANGE_COLUMNS, len, from, error);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < f->share->members; i++)
        if (i != f->share->member) pack(f, g, i, NULL, from[i]);
    f->exchange->release(f->exchange->context);
    for (uint32_t i = 0; i < g->sum_count; i++)
        forward__finish_branch(f, g->sums[i].post_norm, g->sums[i].rows, part->row_count, part->hidden);
    *g = (struct forward_gather){0};
    return 0;
}
