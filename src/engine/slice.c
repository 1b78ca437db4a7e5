#include "engine/slice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/forward.h"
#include "engine/pages.h"
#include "engine/pool.h"
#include "engine/weights.h"
#include "os/facts.h"

struct slice {
    const struct model *model;
    struct share share;
    struct share_sizes sizes;
    const struct exchange *exchange;
    struct kern kern;
    struct pool *pool;
    struct weights weights;
    struct pages pages;
    struct forward forward;
    bool ends;
    float *logits; /* of the own rows of the head, for the first member; NULL: it is this one, or there is no head */
};

enum { HEAD_ROWS = 32 }; /* that members are asked for together: bounds the frames */

static unsigned thread_count(const struct slice_options *o) { return o->threads ? o->threads : facts_cores(""); }

static struct weights_part part_of(const struct slice_options *o, const struct share *share) {
    return (struct weights_part){
        .layer_begin = o->layer_begin, .layer_end = o->layer_end, .ends = o->ends, .share = share};
}

static struct pages_shape shape_of(const struct model *m, const struct slice_options *o,
                                   const struct share_sizes *sizes) {
    const struct model_params *p = &sizes->params;
    return (struct pages_shape){.kv = o->kv,
                                .layers = o->layer_end - o->layer_begin,
                                .kv_heads = p->kv_heads,
                                .head_dim_k = p->head_dim_k,
                                .head_dim_v = p->head_dim_v,
                                .local = p->local,
                                .sessions = o->sessions,
                                .context = o->context,
                                .parallel = o->parallel,
                                .pages = o->pages,
                                .window = p->window,
                                .kept = pages_values_kept(p),
                                .of_model = m->layers + o->layer_begin};
}

static bool answers_head(const struct slice_options *o) { return o->ends && o->member > 0; }

static uint64_t answer_bytes(const struct share_sizes *sizes) {
    return HEAD_ROWS * (uint64_t)sizes->params.vocab * sizeof(float);
}

static void measure(const struct model *m, const struct slice_options *o, const struct share *share,
                    const struct share_sizes *sizes, struct slice_size *out) {
    struct pages_shape shape = shape_of(m, o, sizes);
    out->weights_bytes = weights_bytes(m, part_of(o, share));
    out->kv_bytes = pages_bytes(&shape);
    out->scratch_bytes = forward_bytes(sizes, share, thread_count(o), o->context);
    if (answers_head(o)) out->scratch_bytes += answer_bytes(sizes);
}

void slice_measure(const struct model *m, const struct slice_options *o, struct slice_size *out) {
    struct share share;
    struct share_sizes sizes;
    share_init(&share, m, o->member, o->members, o->shares);
    share_sizes(&share, &m->params, &sizes);
    measure(m, o, &share, &sizes, out);
}

void slice_measure_cuts(const struct model *m, struct slice_cuts *out) {
    uint32_t nearly_all[] = {1, UINT16_MAX};
    struct slice_options o = {.sessions = 1, .context = m->params.context, .ends = true, .member = 1, .members = 2};
    struct slice_size size;
    *out = (struct slice_cuts){.members_max = share_members_max(m)};
    if (out->members_max < 2) return;
    o.shares = nearly_all;
    slice_measure(m, &o, &size);
    out->scratch_bytes = size.scratch_bytes;
    for (uint32_t i = 0; i < m->params.layers; i++) {
        struct share_slack slack = share_slack(m, i);
        if (slack.weights_bytes > out->layer_slack_bytes) out->layer_slack_bytes = slack.weights_bytes;
        if (slack.kv_heads > out->kv_heads_slack) out->kv_heads_slack = slack.kv_heads;
        out->exchange_bytes += share_exchange_bytes(m, i);
    }
    out->exchanges = share_exchanges(m);
    out->exchange_bytes /= m->params.layers;
}

static uint64_t memory_max(const struct slice_options *o) {
    struct facts_memory memory;
    if (o->memory_max > 0) return o->memory_max;
    facts_memory("", &memory);
    return facts_memory_budget(&memory, 0);
}

static int check_memory(const struct slice_options *o, const struct slice_size *size, struct error *error) {
    uint64_t needed = size->weights_bytes + size->scratch_bytes, max = memory_max(o);
    if (!size_add(needed, size->kv_bytes, &needed) || needed > max)
        return error_set(error, ERR_LIMIT, "needs %llu MiB (weights %llu, KV %llu, scratch %llu), %llu MiB are allowed",
                         (unsigned long long)(needed >> 20), (unsigned long long)(size->weights_bytes >> 20),
                         (unsigned long long)(size->kv_bytes >> 20), (unsigned long long)(size->scratch_bytes >> 20),
                         (unsigned long long)(max >> 20));
    return 0;
}

static int check_options(const struct model *m, const struct slice_options *o, struct error *error) {
    if (o->layer_begin > o->layer_end || o->layer_end > m->params.layers)
        return error_set(error, ERR_INVALID, "layers %u to %u of a model of %u", o->layer_begin, o->layer_end,
                         m->params.layers);
    if (o->sessions == 0 || o->context == 0)
        return error_set(error, ERR_INVALID, "a slice needs at least one session of at least one position");
    if (o->isa > kern_isa_best()) return error_set(error, ERR_UNSUPPORTED, "this CPU has no %s", kern_isa_name(o->isa));
    assert(o->members <= 1 || (o->member < o->members && o->shares && o->exchange));
    return 0;
}

/* What is this member's of the model, and is there room for it? */
static int take_share(struct slice *s, const struct slice_options *o, struct error *error) {
    share_init(&s->share, s->model, o->member, o->members, o->shares);
    int rc = share_check(&s->share, s->model, error);
    if (rc < 0) return rc;
    share_sizes(&s->share, &s->model->params, &s->sizes);
    struct slice_size size;
    measure(s->model, o, &s->share, &s->sizes, &size);
    return check_memory(o, &size, error);
}

static int open_forward(struct slice *s, const struct slice_options *o, struct error *error) {
    struct forward *f = &s->forward;
    f->sizes = &s->sizes;
    f->params = &s->sizes.params;
    f->whole = &s->model->params;
    f->share = &s->share;
    f->exchange = s->exchange;
    f->kern = &s->kern;
    f->weights = &s->weights;
    f->pages = &s->pages;
    f->pool = s->pool;
    if (answers_head(o) && !(s->logits = malloc(answer_bytes(&s->sizes))))
        return error_set(error, ERR_NOMEM, "no memory for logits");
    return forward_init(f, o->context, error);
}

int slice_open(struct slice **out, const struct model *m, const struct slice_options *o, struct error *error) {
    int rc = check_options(m, o, error);
    if (rc < 0) return rc;
    struct slice *s = calloc(1, sizeof *s);
    if (!s) return error_set(error, ERR_NOMEM, "out of memory");
    s->model = m;
    s->ends = o->ends;
    s->exchange = o->members > 1 ? o->exchange : NULL;
    kern_init(&s->kern, o->isa);
    if ((rc = take_share(s, o, error)) < 0) goto out;
    if ((rc = pool_new(&s->pool, thread_count(o))) < 0) {
        error_set(error, rc, "cannot start %u threads", thread_count(o));
        goto out;
    }
    if ((rc = weights_load(&s->weights, m, part_of(o, &s->share), s->pool, o->cancel, error)) < 0) goto out;
    struct pages_shape shape = shape_of(m, o, &s->sizes);
    if ((rc = pages_init(&s->pages, &shape, error)) < 0) goto out;
    rc = open_forward(s, o, error);
out:
    if (rc < 0)
        slice_close(s);
    else
        *out = s;
    return rc;
}

void slice_close(struct slice *s) {
    if (!s) return;
    forward_deinit(&s->forward);
    pages_deinit(&s->pages);
    weights_deinit(&s->weights);
    pool_free(s->pool);
    free(s->logits);
    free(s);
}

int slice_map(struct slice *s, const struct step *step, struct error *error) {
    return pages_map(&s->pages, step, error);
}

int slice_embed(struct slice *s, const struct step *step, float *hidden, struct error *error) {
    assert(s->ends && s->share.member == 0);
    return forward_embed(&s->forward, step, hidden, error);
}

int slice_layers(struct slice *s, const struct step *step, float *hidden, struct error *error) {
    return forward_layers(&s->forward, step, hidden, error);
}

/* The other members' rows of the head, which stand behind those of this one. */
static int take_logits(struct slice *s, uint32_t count, float *logits, struct error *error) {
    const struct exchange *e = s->exchange;
    size_t len[SHARE_MEMBERS_MAX], vocab = s->model->params.vocab;
    const uint8_t *from[SHARE_MEMBERS_MAX];
    struct range rows[SHARE_MEMBERS_MAX];
    for (uint32_t i = 0; i < s->share.members; i++) {
        rows[i] = share_vocab(&s->share, &s->model->params, i);
        len[i] = (size_t)count * range_length(rows[i]) * sizeof *logits;
    }
    int rc = e->receive(e->context, EXCHANGE_LOGITS, len, from, error);
    if (rc < 0) return rc;
    for (uint32_t i = 1; i < s->share.members; i++)
        for (uint32_t row = 0; row < count; row++)
            memcpy(logits + row * vocab + rows[i].begin, from[i] + row * (len[i] / count), len[i] / count);
    e->release(e->context);
    return 0;
}

static int head_together(struct slice *s, const float *hidden, uint32_t count, float *logits, struct error *error) {
    const struct exchange *e = s->exchange;
    size_t len = (size_t)count * s->model->params.embd * sizeof *hidden;
    int rc = e->send(e->context, EXCHANGE_HEAD, hidden, len, error);
    if (rc < 0) return rc;
    forward_head(&s->forward, hidden, count, logits, s->model->params.vocab);
    return take_logits(s, count, logits, error);
}

int slice_head(struct slice *s, const float *hidden, uint32_t count, float *logits, struct error *error) {
    const struct model_params *p = &s->model->params;
    assert(s->ends && s->share.member == 0);
    if (!s->exchange) {
        forward_head(&s->forward, hidden, count, logits, p->vocab);
        return 0;
    }
    int rc = 0;
    for (uint32_t at = 0, rows; rc == 0 && at < count; at += rows) {
        rows = count - at < HEAD_ROWS ? count - at : HEAD_ROWS;
        rc = head_together(s, hidden + (size_t)at * p->embd, rows, logits + (size_t)at * p->vocab, error);
    }
    return rc;
}

int slice_answer_head(struct slice *s, const void *hidden, size_t len, struct error *error) {
    size_t row = s->model->params.embd * sizeof(float), count = len / row, vocab = s->sizes.params.vocab;
    if (!s->logits || count == 0 || count > HEAD_ROWS || count * row != len)
        return error_set(error, ERR_INVALID, "the head of %zu bytes of hidden rows is asked for", len);
    forward_head(&s->forward, hidden, (uint32_t)count, s->logits, vocab);
    return s->exchange->send(s->exchange->context, EXCHANGE_LOGITS, s->logits, count * vocab * sizeof *s->logits,
                             error);
}

void slice_norm(struct slice *s, const float *hidden, uint32_t count, float *out) {
    assert(s->ends);
    forward_norm(&s->forward, hidden, count, out);
}

void slice_finish_pooled(struct slice *s, float *pooled) {
    assert(s->ends);
    forward_finish_pooled(&s->forward, pooled);
}

unsigned slice_threads(const struct slice *s) { return pool_threads(s->pool); }
