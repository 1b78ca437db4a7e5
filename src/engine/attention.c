/* Heads of the forward pass: norms, rotation, K and V into their pages, attention over them. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "engine/exact.h"
#include "engine/forward_private.h"

enum {
    ATTENTION_QUERIES = 60, /* rows x heads of a group that one call shares pages for; tiles of 2 to 6 divide it */
    PART_ROWS_MIN = 32,     /* a step of less than two of them is one part */
    GROUP_HEADS_MAX = 16,   /* of many heads that share a KV head several members of the pool take a part each */
};

struct attention_job {
    struct forward *f;
    const struct forward_part *part;
    const struct weights_layer *layer;
    const struct forward_heads *heads;
    uint32_t layer_index; /* within the slice */
    struct activations *out;
    uint32_t out_row;  /* of the part's first row */
    size_t out_column; /* of the first head */
};

size_t forward__query_width(const struct share_sizes *s) { return (size_t)s->queries * s->params.head_dim_k; }
size_t forward__key_width(const struct share_sizes *s) { return (size_t)s->keys * s->params.head_dim_k; }
size_t forward__value_width(const struct share_sizes *s) { return (size_t)s->params.kv_heads * s->params.head_dim_v; }

/* Of layers that see everything, or of those with a window: heads, rotations. */
static size_t kind_of(const struct weights_layer *l) { return l->is->window > 0 || l->is->reach > 0; }

/* The group that begins with a head: all that share its KV head and are the member's, or a part of them. */
static struct forward_group group_at(const struct share_sizes *sizes, uint32_t head) {
    uint32_t each = sizes->heads_per_kv, from = sizes->heads.begin, kv_head = (from + head) / each;
    uint32_t begin = kv_head * each, end = begin + each, last = from + sizes->params.heads;
    if (begin < from) begin = from;
    if (end > last) end = last;
    uint32_t size = end - begin;
    while (size > GROUP_HEADS_MAX && size % 2 == 0) size /= 2;
    return (struct forward_group){head, size, kv_head - from / each};
}

static uint32_t group_size(const struct share_sizes *sizes) {
    uint32_t most = 0;
    for (uint32_t head = 0; head < sizes->params.heads; head += group_at(sizes, head).count)
        if (group_at(sizes, head).count > most) most = group_at(sizes, head).count;
    return most;
}

void forward__group_heads(struct forward *f) {
    for (size_t i = 0; i < ARRAY_LEN(f->heads); i++) {
        struct forward_heads *h = &f->heads[i];
        h->group_count = 0;
        h->group_size = group_size(&h->sizes);
        for (uint32_t head = 0; head < f->params->heads; head += h->groups[h->group_count++].count)
            h->groups[h->group_count] = group_at(&h->sizes, head);
    }
}

/* Of all heads of the model, whose number need not be a power of two: the rest lie between the others. */
static double slope_of(uint32_t head, uint32_t heads, uint32_t octaves) {
    uint32_t whole = 1;
    while (2 * whole <= heads) whole *= 2;
    double step = ldexp(1.0, -(int)octaves), slope = 1;
    uint32_t power = head + 1;
    for (uint32_t n = head < whole ? whole : 2 * whole; n > 1; n /= 2) step = sqrt(step); /* exact on every machine */
    if (head >= whole) power = 2 * (head - whole) + 1;
    while (power-- > 0) slope *= step;
    return slope;
}

void forward__lean_heads(struct forward *f) {
    const struct model_params *p = f->params;
    uint32_t all = f->sizes->heads_of_model;
    for (uint32_t head = 0; p->bias_octaves && head < p->heads; head++)
        f->slopes[head] = (float)slope_of(f->sizes->heads.begin + head, all, p->bias_octaves);
}

/* Of groups of so many heads at most. */
static uint32_t span_rows_max(uint32_t size) {
    uint32_t rows = ATTENTION_QUERIES / size;
    return rows > 0 ? rows : 1;
}

/* ---- scratch memory of a member ---- */

/* What one attention call needs: queries and results side by side, their ranges and sinks, the session's pages. */
struct attention_scratch {
    float *q, *out, *sinks, *slopes;
    uint32_t *begin, *end, *positions;
    const void **k_pages, **v_pages;
};

static void carve_attention(struct carver *c, const struct model_params *p, uint32_t size, uint32_t context,
                            struct attention_scratch *s) {
    size_t queries = (size_t)span_rows_max(size) * size, pages = context / KERN_PAGE + 1;
    s->q = forward__carve(c, queries * p->head_dim_k, sizeof(float));
    s->out = forward__carve(c, queries * p->head_dim_v, sizeof(float));
    s->sinks = forward__carve(c, queries, sizeof(float));
    s->slopes = forward__carve(c, queries, sizeof(float));
    s->positions = forward__carve(c, queries, sizeof(uint32_t));
    s->begin = forward__carve(c, queries, sizeof(uint32_t));
    s->end = forward__carve(c, queries, sizeof(uint32_t));
    s->k_pages = forward__carve(c, pages, sizeof(void *));
    s->v_pages = forward__carve(c, pages, sizeof(void *));
}

uint64_t forward__attention_bytes(const struct forward *f, uint32_t context) {
    uint64_t most = 0;
    for (size_t i = 0; i < ARRAY_LEN(f->heads); i++) {
        const struct share_sizes *sizes = &f->heads[i].sizes;
        struct carver c = {0};
        carve_attention(&c, &sizes->params, group_size(sizes), context, &(struct attention_scratch){0});
        if (c.used > most) most = c.used;
    }
    return most;
}

static struct attention_scratch attention_scratch(const struct forward *f, const struct forward_heads *h,
                                                  unsigned member) {
    struct carver c = {.base = (uintptr_t)(f->member_scratch + member * f->member_scratch_bytes)};
    struct attention_scratch s;
    carve_attention(&c, &h->sizes.params, h->group_size, f->pages->shape.context, &s);
    return s;
}

/* ---- rows: from products to queries, and keys and values in their pages ---- */

/* Over the channels of each head, with weights of its own or of all heads, or over all heads together. */
static void norm_heads(const struct forward *f, const struct model_tensor *shape, const float *weight, float *x,
                       size_t all) {
    if (!weight) return;
    for (size_t at = 0, width = shape->cols; at < all; at += width) {
        struct norm norm = {.weight = weight + (shape->rows > 1 ? at : 0)};
        forward__normalize(f, norm, x + at, width, x + at);
    }
}

static void norm_queries_and_keys(const struct attention_job *job, float *q, float *k) {
    const struct weights_layer *l = job->layer;
    norm_heads(job->f, &l->is->attn_q_norm, l->attn_q_norm, q, forward__query_width(&job->heads->sizes));
    norm_heads(job->f, &l->is->attn_k_norm, l->attn_k_norm, k, forward__key_width(&job->heads->sizes));
}

static void limit(const struct forward *f, float *x, size_t n) {
    float most = f->params->qkv_limit;
    for (size_t i = 0; most > 0.0f && i < n; i++) x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

static void norm_bare(const struct forward *f, float *x, size_t dim, uint32_t heads) {
    for (uint32_t i = 0; i < heads; i++, x += dim) f->kern->rms_norm(x, NULL, dim, f->params->norm_epsilon, x);
}

static void rotate_heads(const struct forward *f, const struct forward_rope *rope, size_t row, float *x, size_t dim,
                         uint32_t heads) {
    const float *cosines = rope->cos + row * rope->pairs, *sines = rope->sin + row * rope->pairs;
    for (uint32_t head = 0; head < heads; head++)
        f->kern->rope(x + head * dim, cosines, sines, rope->pairs, f->params->pairing == MODEL_ROPE_HALVES);
}

/* Far behind the original context queries grow, so that attention stays as sharp. */
void forward__sharpen(const struct forward *f, const struct model_layer *l, uint32_t position, float *q, size_t width) {
    const struct model_params *p = f->params;
    if (p->temperature_scale == 0.0f || (p->temperature_still && l->rotates)) return;
    double lengths = (position + p->temperature_shift) / p->temperature_length; /* whole ones */
    if (lengths == 0) return;
    f->kern->scale(q, (float)(1.0 + p->temperature_scale * exact_log(1.0 + lengths)), width);
}

void forward__store(const struct forward *f, uint32_t layer, const struct step_row *r, const float *k, const float *v) {
    const struct model_params *p = &f->heads[kind_of(&f->weights->layers[layer])].sizes.params;
    enum kern_kv kv = f->pages->shape.kv;
    uint32_t index = r->position / KERN_PAGE, at = r->position % KERN_PAGE;
    for (uint32_t head = 0; head < p->kv_heads; head++) {
        f->kern->store_k[kv](pages_k(f->pages, layer, head, r->session, index), at, k + (size_t)head * p->head_dim_k,
                             p->head_dim_k);
        f->kern->store_v[kv](pages_v(f->pages, layer, head, r->session, index), at, v + (size_t)head * p->head_dim_v,
                             p->head_dim_v);
    }
}

static void finish_qkv_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct attention_job *job = context;
    const struct forward *f = job->f;
    const struct model_params *p = f->params;
    const struct share_sizes *sizes = &job->heads->sizes;
    const struct weights_layer *l = job->layer;
    const struct forward_rope *rope = &f->rope[kind_of(l)];
    size_t q_width = forward__query_width(sizes), k_width = forward__key_width(sizes), dim = sizes->params.head_dim_k;
    size_t v_width = forward__value_width(sizes);
    for (size_t row = begin; row < end; row++) {
        float *q = f->q + row * q_width, *k = f->k + row * k_width, *v = f->v + row * v_width;
        if (l->attn_q_bias) f->kern->add(q, l->attn_q_bias, q_width);
        if (l->attn_k_bias) f->kern->add(k, l->attn_k_bias, k_width);
        if (l->attn_v_bias) f->kern->add(v, l->attn_v_bias, v_width);
        limit(f, q, q_width);
        limit(f, k, k_width);
        limit(f, v, v_width);
        if (!p->heads_normed_last) norm_queries_and_keys(job, q, k);
        if (p->value_scale != 1.0f) f->kern->scale(v, p->value_scale, v_width);
        if (p->values_normed) norm_bare(f, v, sizes->params.head_dim_v, sizes->params.kv_heads);
        if (l->is->rotates) {
            rotate_heads(f, rope, job->part->first + row, q, dim, sizes->queries);
            rotate_heads(f, rope, job->part->first + row, k, dim, sizes->keys);
        }
        if (p->heads_normed_last) norm_queries_and_keys(job, q, k);
        if (p->heads_normed_bare && l->is->rotates) {
            norm_bare(f, q, dim, sizes->queries);
            norm_bare(f, k, dim, sizes->keys);
        }
        forward__sharpen(f, l->is, job->part->rows[row].position, q, q_width);
        k += sizes->key_from * dim;
        forward__store(f, job->layer_index, &job->part->rows[row], k, v);
    }
}

/* ---- attention ---- */

/* Those that rows at these positions see. */
static void find_pages(const struct attention_job *job, uint32_t head, uint32_t session, uint32_t position_min,
                       uint32_t position_max, struct attention_scratch *s) {
    uint32_t first = pages_first_seen(job->layer->is->window, position_min);
    for (uint32_t index = first; index <= position_max / KERN_PAGE; index++) {
        s->k_pages[index] = pages_k(job->f->pages, job->layer_index, head, session, index);
        s->v_pages[index] = pages_v(job->f->pages, job->layer_index, head, session, index);
    }
}

static uint32_t first_visible(uint32_t position, const struct model_layer *l, bool chunked) {
    if (chunked && l->window > 0) return position / l->window * l->window;
    if (l->reach > 0) return position > l->reach ? position - l->reach : 0;
    return l->window > 0 && position >= l->window ? position - l->window + 1 : 0;
}

/* seen: positions of the text, where a row sees those behind it too; 0: it does not. */
static uint32_t end_visible(uint32_t position, uint32_t seen, const struct model_layer *l) {
    if (seen == 0) return position + 1;
    return l->reach > 0 && position + l->reach < seen ? position + l->reach + 1 : seen;
}

/* The queries of a row's group of heads, and what they see. */
static void gather_row(const struct attention_job *job, uint32_t row, uint32_t seen, const struct forward_group *group,
                       size_t at, struct attention_scratch *s) {
    const struct forward *f = job->f;
    const struct share_sizes *sizes = &job->heads->sizes;
    size_t dim = sizes->params.head_dim_k, head = sizes->query_from + group->head, width = forward__query_width(sizes);
    uint32_t position = job->part->rows[row].position;
    memcpy(s->q + at * dim, f->q + row * width + head * dim, group->count * dim * sizeof(float));
    for (size_t i = 0; i < group->count; i++) {
        s->begin[at + i] = first_visible(position, job->layer->is, f->params->chunked);
        s->end[at + i] = end_visible(position, seen, job->layer->is);
        s->positions[at + i] = position;
        if (f->params->bias_octaves) s->slopes[at + i] = f->slopes[group->head + i];
        if (job->layer->attn_sinks) s->sinks[at + i] = job->layer->attn_sinks[group->head + i];
    }
}

/* What a group of heads leaves of a row. */
static void gate_heads(const struct forward *f, size_t row, const struct forward_group *group, float *out) {
    size_t dim = f->params->head_dim_v;
    const float *gates = f->heads_gate + (row * f->params->heads + group->head) * dim;
    f->kern->sigmoid_mul(gates, group->count * dim, out);
}

/* The queries of a span and one group of heads against their KV head, gathered so that they share its pages. */
static void attend_span(const struct attention_job *job, const struct forward_span *span,
                        const struct forward_group *group, struct attention_scratch *s) {
    const struct forward *f = job->f;
    const struct model_params *p = &job->heads->sizes.params;
    const struct step_row *rows = job->part->rows + span->row_begin;
    size_t width = group->count * p->head_dim_v;
    uint32_t position_min = UINT32_MAX, position_max = 0;
    for (uint32_t i = 0; i < span->row_count; i++) {
        gather_row(job, span->row_begin + i, span->seen, group, i * group->count, s);
        if (rows[i].position < position_min) position_min = rows[i].position;
        if (rows[i].position > position_max) position_max = rows[i].position;
    }
    if (span->seen > 0) position_max = span->seen - 1;
    find_pages(job, group->kv_head, rows->session, position_min, position_max, s);
    struct kern_attention a = {.k_pages = s->k_pages,
                               .v_pages = s->v_pages,
                               .head_dim_k = p->head_dim_k,
                               .head_dim_v = p->head_dim_v,
                               .scale = f->attention_scale,
                               .softcap = p->attention_softcap,
                               .slopes = p->bias_octaves ? s->slopes : NULL,
                               .positions = s->positions};
    f->kern->attention[f->pages->shape.kv](&a, s->q, p->head_dim_k, span->row_count * group->count, s->begin, s->end,
                                           job->layer->attn_sinks ? s->sinks : NULL, s->out, p->head_dim_v);
    float *out = job->out->f32 + job->out_column + group->head * p->head_dim_v;
    uint32_t row = job->out_row + span->row_begin;
    for (uint32_t i = 0; i < span->row_count; i++) {
        if (p->heads_gated) gate_heads(f, span->row_begin + i, group, s->out + i * width);
        memcpy(out + (row + i) * job->out->f32_stride, s->out + i * width, width * sizeof(float));
    }
}

static void attention_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct attention_job *job = context;
    const struct forward_heads *h = job->heads;
    struct attention_scratch scratch = attention_scratch(job->f, h, member);
    for (size_t i = begin; i < end; i++)
        attend_span(job, &job->part->spans[i / h->group_count], &h->groups[i % h->group_count], &scratch);
}

void forward__attend_heads(struct forward *f, const struct forward_part *part, uint32_t index, struct activations *out,
                           uint32_t out_row, size_t out_column) {
    const struct weights_layer *l = &f->weights->layers[index];
    struct attention_job job = {f, part, l, &f->heads[kind_of(l)], index, out, out_row, out_column};
    pool_run(f->pool, (size_t)part->span_count * job.heads->group_count, 1, attention_task, &job);
}

void forward__attend(struct forward *f, const struct forward_part *part, uint32_t index) {
    const struct weights_layer *l = &f->weights->layers[index];
    const struct forward_heads *h = &f->heads[kind_of(l)];
    struct attention_job job = {.f = f, .part = part, .layer = l, .heads = h, .layer_index = index};
    pool_run(f->pool, part->row_count, 1, finish_qkv_task, &job);
    size_t column = (size_t)h->sizes.heads.begin * h->sizes.params.head_dim_v;
    forward__attend_heads(f, part, index, &f->attended, part->first, column);
}

/* ---- once a step ---- */

/* Cut the rows of a part into spans: one session each, at most span_rows_max rows. */
static void find_spans(const struct forward *f, struct forward_part *part) {
    uint32_t all = f->heads[0].group_size, local = f->heads[1].group_size;
    uint32_t rows_max = span_rows_max(all > local ? all : local);
    for (uint32_t row = 0; row < part->row_count; row++) {
        struct forward_span *last = part->span_count ? &part->spans[part->span_count - 1] : NULL;
        if (last && last->row_count < rows_max &&
            part->rows[last->row_begin].session == part->rows[row].session)
            last->row_count++;
        else
            part->spans[part->span_count++] = (struct forward_span){row, 1, 0};
    }
}

/* All rows of a session, which come one after another, see all of its positions. */
static void see_all(struct forward_part *part) {
    uint32_t session = UINT32_MAX, seen = 0;
    for (uint32_t i = part->span_count; i-- > 0;) {
        struct forward_span *span = &part->spans[i];
        const struct step_row *last = &part->rows[span->row_begin + span->row_count - 1];
        if (last->session != session) seen = last->position + 1;
        session = last->session;
        span->seen = seen;
    }
}

/* One part; where columns are to travel, two or more, unless there are too few rows for that to be worth it. */
static void find_parts(struct forward *f, const struct step *step, float *hidden) {
    uint32_t size = step->row_count;
    if (f->exchange && size >= 2 * PART_ROWS_MIN) size = (size + 1) / 2;
    if (f->exchange && size > f->part_rows_max) size = f->part_rows_max;
    f->part_count = 0;
    for (uint32_t first = 0; first < step->row_count; first += size) {
        uint32_t left = step->row_count - first;
        struct forward_part *part = &f->parts[f->part_count++];
        *part = (struct forward_part){.rows = step->rows + first,
                                      .first = first,
                                      .row_count = left < size ? left : size,
                                      .hidden = hidden + (size_t)first * f->params->embd,
                                      .spans = f->spans + first};
        find_spans(f, part);
        if (f->params->encodes) see_all(part);
    }
}

struct turn_job {
    struct forward *f;
    const struct step *step;
};

static void turn_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct turn_job *job = context;
    struct forward *f = job->f;
    size_t kinds = f->params->window > 0 || f->params->reach > 0 ? 2 : 1;
    for (size_t row = begin; row < end; row++)
        for (size_t i = 0; i < kinds; i++)
            rope_turn(f->rope[i].frequency, f->rope[i].pairs, f->rope[i].magnitude, job->step->rows[row].position,
                      f->rope[i].cos + row * f->rope[i].pairs, f->rope[i].sin + row * f->rope[i].pairs);
}

void forward__begin_attention(struct forward *f, const struct step *step, float *hidden) {
    find_parts(f, step, hidden);
    pool_run(f->pool, step->row_count, 16, turn_task, &(struct turn_job){f, step});
}
