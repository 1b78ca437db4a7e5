#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kern/lanes/levels.h"
#include "kern/lanes/math.h"
#include "kern/lanes/simd.h"

/* The formula is in ref/attention.c. A tile of queries shares every page: scores are 64 positions in four vectors per
 * query, results four vectors of dimensions per query, so both inner loops are the same small product in registers. */
enum { PAGE_VECTORS = KERN_PAGE / KERN_LANES, SPAN = 4 * KERN_LANES };

/* What one query has seen so far. */
struct softmax {
    float max, sum;
    bool any;
};

/* Positions of a page that a query sees. */
struct range {
    size_t begin, end;
};

struct tile {
    const struct kern_attention *a;
    const float *q;
    size_t q_stride;
    float *out;
    size_t out_stride;
    const float *slopes; /* NULL, or of each query */
    const uint32_t *positions;
    struct softmax seen[SIMD_QUERIES];
    struct range range[SIMD_QUERIES];
    float p[SIMD_QUERIES][KERN_PAGE] __attribute__((aligned(KERN_ALIGN)));
    float o[SIMD_QUERIES][KERN_HEAD_DIM_MAX] __attribute__((aligned(KERN_ALIGN)));
};

SIMD_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
SIMD_INLINE float larger(float a, float b) { return a > b ? a : b; }

/* Values as they are stored: those of Q8_0 without their scales. */
SIMD_INLINE f32x16 load_kv(enum kern_kv kv, const void *page, size_t index, size_t n) {
    if (kv == KERN_KV_F32) {
        const float *p = (const float *)page + index;
        return n == KERN_LANES ? f32_load(p) : f32_load_n(p, n);
    }
    if (kv == KERN_KV_Q8_0) {
        const uint8_t *p = (const uint8_t *)page + index;
        return n == KERN_LANES ? f32_from_i8(p) : f32_from_i8_n(p, n);
    }
    const uint16_t *p = (const uint16_t *)page + index;
    return n == KERN_LANES ? f32_from_f16(p) : f32_from_f16_n(p, n);
}

SIMD_INLINE const uint16_t *scales_of(const void *page, size_t dims) {
    return (const void *)((const uint8_t *)page + kern_kv_scales_at(dims));
}

/* While one page is at work, the same place of the page that comes after it is fetched: K, V, the next K, ... v: which
 * of several vectors side by side this is; a line of the cache is fetched once. */
SIMD_INLINE void prefetch_kv(enum kern_kv kv, const void *page, size_t index, int v) {
    const int bytes = kv == KERN_KV_F32 ? 4 : kv == KERN_KV_F16 ? 2 : 1, line = 64;
    if (v % (line / (KERN_LANES * bytes)) == 0) __builtin_prefetch((const uint8_t *)page + index * (size_t)bytes);
}

SIMD_INLINE void scores(enum kern_kv kv, int queries, struct tile *t, const void *k_page, const void *v_page) {
    f32x16 sum[SIMD_QUERIES][PAGE_VECTORS], scales[PAGE_VECTORS] = {0};
    const uint16_t *scales_from = scales_of(k_page, t->a->head_dim_k);
    UNROLLED (i, queries)
        UNROLLED (v, PAGE_VECTORS) sum[i][v] = f32_set(0.0f);
    for (size_t d = 0; d < t->a->head_dim_k; d++) {
        if (kv == KERN_KV_Q8_0 && d % KERN_BLOCK == 0) {
            UNROLLED (v, PAGE_VECTORS) scales[v] = f32_from_f16(scales_from + v * KERN_LANES);
            scales_from += KERN_PAGE;
        }
        UNROLLED (v, PAGE_VECTORS) {
            size_t index = d * KERN_PAGE + (size_t)v * KERN_LANES;
            f32x16 k = load_kv(kv, k_page, index, KERN_LANES);
            prefetch_kv(kv, v_page, index, v);
            if (kv == KERN_KV_Q8_0) k = f32_mul(k, scales[v]);
            UNROLLED (i, queries) sum[i][v] = f32_fma(k, f32_set(t->q[(size_t)i * t->q_stride + d]), sum[i][v]);
        }
    }
    f32x16 scale = f32_set(t->a->scale);
    UNROLLED (i, queries)
        UNROLLED (v, PAGE_VECTORS) f32_store(&t->p[i][v * KERN_LANES], f32_mul(sum[i][v], scale));
}

static void cap_scores(float *p, float cap) {
    for (size_t i = 0; i < KERN_PAGE; i += KERN_LANES)
        f32_store(p + i, f32_mul(f32_set(cap), simd_tanh(f32_div(f32_load(p + i), f32_set(cap)))));
}

/* `first`: the page's first position, counted from the query's own. */
static void lean(float *p, float slope, float first) {
    static const float steps[KERN_LANES] __attribute__((aligned(KERN_ALIGN))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                                                 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < KERN_PAGE; i += KERN_LANES) {
        f32x16 away = f32_abs(f32_add(f32_set(first + (float)i), f32_load(steps)));
        f32_store(p + i, f32_fma(f32_set(-slope), away, f32_load(p + i)));
    }
}

static void fill_outside(float *p, struct range r, float value) {
    for (size_t i = 0; i < r.begin; i++) p[i] = value;
    for (size_t i = r.end; i < KERN_PAGE; i++) p[i] = value;
}

/* Scores to weights exp(s - max), zero outside the range; the page's maximum and sum. */
static struct softmax page_softmax(float *p, struct range r) {
    f32x16 most = f32_set(-INFINITY), lanes = f32_set(0.0f);
    fill_outside(p, r, -INFINITY);
    for (size_t i = 0; i < KERN_PAGE; i += KERN_LANES) most = f32_max(f32_load(p + i), most);
    float max = f32_join_max(most);
    for (size_t i = 0; i < KERN_PAGE; i += KERN_LANES)
        f32_store(p + i, simd_exp(f32_sub(f32_load(p + i), f32_set(max))));
    fill_outside(p, r, 0.0f);
    for (size_t i = 0; i < KERN_PAGE; i += KERN_LANES) lanes = f32_add(lanes, f32_load(p + i));
    return (struct softmax){max, f32_join_sum(lanes), true};
}

/* o[first ..][dim ..] += p V over positions [begin, end), up to SPAN dimensions. */
SIMD_INLINE void weigh_span(enum kern_kv kv, int queries, int vectors, size_t last_lanes, struct tile *t, int first,
                            const void *v_page, const void *next_k_page, struct range r, size_t dim) {
    f32x16 sum[SIMD_QUERIES][4];
    size_t blocks = (t->a->head_dim_v + KERN_BLOCK - 1) / KERN_BLOCK;
    const uint16_t *scales = scales_of(v_page, t->a->head_dim_v);
    UNROLLED (i, queries)
        UNROLLED (v, vectors) sum[i][v] = f32_load(&t->o[first + i][dim + (size_t)v * KERN_LANES]);
    for (size_t position = r.begin; position < r.end; position++)
        UNROLLED (v, vectors) {
            size_t index = position * t->a->head_dim_v + dim + (size_t)v * KERN_LANES;
            f32x16 value = load_kv(kv, v_page, index, v + 1 < vectors ? KERN_LANES : last_lanes);
            prefetch_kv(kv, next_k_page, index, v);
            size_t block = (dim + (size_t)v * KERN_LANES) / KERN_BLOCK;
            if (kv == KERN_KV_Q8_0) value = f32_mul(value, f32_set_f16(scales[position * blocks + block]));
            UNROLLED (i, queries) sum[i][v] = f32_fma(value, f32_set(t->p[first + i][position]), sum[i][v]);
        }
    UNROLLED (i, queries)
        UNROLLED (v, vectors) f32_store(&t->o[first + i][dim + (size_t)v * KERN_LANES], sum[i][v]);
}

SIMD_INLINE void weigh(enum kern_kv kv, int queries, struct tile *t, int first, const void *v_page,
                       const void *next_k_page, struct range r) {
    size_t dim = 0, dims = t->a->head_dim_v;
    if (r.begin >= r.end) return;
    for (; dim + SPAN <= dims; dim += SPAN)
        weigh_span(kv, queries, 4, KERN_LANES, t, first, v_page, next_k_page, r, dim);
    for (; dim + KERN_LANES <= dims; dim += KERN_LANES)
        weigh_span(kv, queries, 1, KERN_LANES, t, first, v_page, next_k_page, r, dim);
    if (dim < dims) weigh_span(kv, queries, 1, dims - dim, t, first, v_page, next_k_page, r, dim);
}

/* Positions in order: what only some queries see before the common range, that range for all at once, then the rest. */
SIMD_INLINE void weigh_all(enum kern_kv kv, int queries, struct tile *t, const void *v_page, const void *next_k_page) {
    struct range common = {0, KERN_PAGE};
    for (int i = 0; i < queries; i++) {
        for (size_t d = 0; d < t->a->head_dim_v; d += KERN_LANES) f32_store(&t->o[i][d], f32_set(0.0f));
        if (t->range[i].begin > common.begin) common.begin = t->range[i].begin;
        common.end = smaller(common.end, t->range[i].end);
    }
    if (common.begin >= common.end) {
        for (int i = 0; i < queries; i++) weigh(kv, 1, t, i, v_page, next_k_page, t->range[i]);
        return;
    }
    for (int i = 0; i < queries; i++)
        weigh(kv, 1, t, i, v_page, next_k_page, (struct range){t->range[i].begin, common.begin});
    weigh(kv, queries, t, 0, v_page, next_k_page, common);
    for (int i = 0; i < queries; i++)
        weigh(kv, 1, t, i, v_page, next_k_page, (struct range){common.end, t->range[i].end});
}

/* What a page (o NULL: a sink) and what came before it weigh, by how far their maxima are below the larger one; the
 * exponents of up to 8 pairs cost as much as one. */
struct joint {
    float before, now;
};

static void weigh_joints(size_t count, const struct softmax *seen, const struct softmax *page, struct joint *joints) {
    float differences[KERN_LANES] __attribute__((aligned(KERN_ALIGN))) = {0};
    for (size_t i = 0; i < count; i++) {
        float max = larger(page[i].max, seen[i].max);
        differences[2 * i] = seen[i].max - max;
        differences[2 * i + 1] = page[i].max - max;
    }
    f32_store(differences, simd_exp(f32_load(differences)));
    memcpy(joints, differences, count * sizeof *joints);
}

static void join(struct softmax *seen, float *out, struct softmax page, const float *o, size_t dims,
                 struct joint joint) {
    f32x16 before = f32_set(joint.before), now = f32_set(joint.now);
    *seen = (struct softmax){larger(page.max, seen->max), fmaf(seen->sum, joint.before, page.sum * joint.now), true};
    for (size_t d = 0; d < dims; d += KERN_LANES) {
        size_t n = smaller(dims - d, KERN_LANES);
        f32x16 old = f32_load_n(out + d, n);
        f32_store_n(out + d, o ? f32_fma(old, before, f32_mul(f32_load(o + d), now)) : f32_mul(old, before), n);
    }
}

static struct range range_in_page(uint32_t begin, uint32_t end, size_t page) {
    size_t base = page * KERN_PAGE;
    struct range r = {begin > base ? smaller(begin - base, KERN_PAGE) : 0,
                      end > base ? smaller(end - base, KERN_PAGE) : 0};
    return r.begin < r.end ? r : (struct range){0, 0};
}

SIMD_INLINE void attend_page(enum kern_kv kv, int queries, struct tile *t, size_t page, size_t next) {
    struct softmax parts[SIMD_QUERIES] = {0};
    struct joint joints[SIMD_QUERIES];
    scores(kv, queries, t, t->a->k_pages[page], t->a->v_pages[page]);
    for (int i = 0; i < queries; i++) {
        if (t->range[i].begin == t->range[i].end) continue;
        if (t->a->softcap != 0.0f) cap_scores(t->p[i], t->a->softcap);
        if (t->slopes) lean(t->p[i], t->slopes[i], (float)((int64_t)(page * KERN_PAGE) - (int64_t)t->positions[i]));
        parts[i] = page_softmax(t->p[i], t->range[i]);
    }
    weigh_all(kv, queries, t, t->a->v_pages[page], t->a->k_pages[next]);
    weigh_joints((size_t)queries, t->seen, parts, joints);
    for (int i = 0; i < queries; i++) {
        float *out = t->out + (size_t)i * t->out_stride;
        if (t->range[i].begin == t->range[i].end) continue;
        if (t->seen[i].any)
            join(&t->seen[i], out, parts[i], t->o[i], t->a->head_dim_v, joints[i]);
        else
            memcpy(out, t->o[i], t->a->head_dim_v * sizeof *out);
        if (!t->seen[i].any) t->seen[i] = parts[i];
    }
}

static void join_sink(struct softmax *seen, float *out, float logit, size_t dims) {
    struct softmax sink = {logit, 1.0f, true};
    struct joint joint;
    weigh_joints(1, seen, &sink, &joint);
    join(seen, out, sink, NULL, dims, joint);
}

SIMD_INLINE void finish(int queries, struct tile *t, const float *sinks) {
    size_t dims = t->a->head_dim_v;
    for (int i = 0; i < queries; i++) {
        float *out = t->out + (size_t)i * t->out_stride;
        if (!t->seen[i].any) {
            memset(out, 0, dims * sizeof *out);
            continue;
        }
        if (sinks) join_sink(&t->seen[i], out, sinks[i], dims);
        f32x16 inverse = f32_set(1.0f / t->seen[i].sum);
        for (size_t d = 0; d < dims; d += KERN_LANES) {
            size_t n = smaller(dims - d, KERN_LANES);
            f32_store_n(out + d, f32_mul(f32_load_n(out + d, n), inverse), n);
        }
    }
}

/* The parameters of kern->attention. */
struct call {
    const struct kern_attention *a;
    const float *q;
    size_t q_stride;
    const uint32_t *begin, *end;
    const float *sinks;
    float *out;
    size_t out_stride;
};

/* The queries from `at` on. */
SIMD_INLINE void attend(enum kern_kv kv, int queries, const struct call *c, size_t at) {
    struct tile t;
    uint32_t first = UINT32_MAX, last = 0;
    const uint32_t *begin = c->begin + at, *end = c->end + at;
    t.a = c->a;
    t.q = c->q + at * c->q_stride;
    t.q_stride = c->q_stride;
    t.out = c->out + at * c->out_stride;
    t.out_stride = c->out_stride;
    t.slopes = c->a->slopes ? c->a->slopes + at : NULL;
    t.positions = c->a->slopes ? c->a->positions + at : NULL;
    for (int i = 0; i < queries; i++) {
        t.seen[i] = (struct softmax){0};
        if (begin[i] >= end[i]) continue;
        if (begin[i] < first) first = begin[i];
        if (end[i] > last) last = end[i];
    }
    for (size_t page = first / KERN_PAGE; page * KERN_PAGE < last; page++) {
        for (int i = 0; i < queries; i++) t.range[i] = range_in_page(begin[i], end[i], page);
        attend_page(kv, queries, &t, page, (page + 1) * KERN_PAGE < last ? page + 1 : page);
    }
    finish(queries, &t, c->sinks ? c->sinks + at : NULL);
}

typedef void attend_tile(const struct call *c, size_t at);

/* As few tiles as can be, all of nearly one size. */
static void attend_all(attend_tile *const tiles[], const struct call *c, size_t queries) {
    assert(c->a->head_dim_k <= KERN_HEAD_DIM_MAX && c->a->head_dim_v <= KERN_HEAD_DIM_MAX);
    for (size_t at = 0; at < queries;) {
        size_t left = queries - at, count = (left + SIMD_QUERIES - 1) / SIMD_QUERIES, size = (left + count - 1) / count;
        tiles[size - 1](c, at);
        at += size;
    }
}

#define TILE(name, kv, queries)                                                                                        \
    static void attend_##name##_##queries(const struct call *c, size_t at) {                                           \
        if (queries <= SIMD_QUERIES) attend(kv, queries, c, at);                                                       \
    }

#define ATTENTION(name, kv)                                                                                            \
    TILE(name, kv, 1)                                                                                                  \
    TILE(name, kv, 2) TILE(name, kv, 3) TILE(name, kv, 4) TILE(name, kv, 5)                                            \
        TILE(name, kv, 6) static void attention_##name(                                                                \
            const struct kern_attention *a, const float *q, size_t q_stride, size_t queries, const uint32_t *begin,    \
            const uint32_t *end, const float *sinks, float *out, size_t out_stride) {                                  \
        static attend_tile *const tiles[] = {attend_##name##_1, attend_##name##_2, attend_##name##_3,                  \
                                             attend_##name##_4, attend_##name##_5, attend_##name##_6};                 \
        _Static_assert(SIMD_QUERIES <= ARRAY_LEN(tiles) && 2 * SIMD_QUERIES <= KERN_LANES, "tiles and their joints");  \
        attend_all(tiles, &(struct call){a, q, q_stride, begin, end, sinks, out, out_stride}, queries);                \
    }
ATTENTION(f16, KERN_KV_F16)
ATTENTION(f32, KERN_KV_F32)
ATTENTION(q8_0, KERN_KV_Q8_0)

void LEVEL(attention_init)(struct kern *k) {
    k->attention[KERN_KV_F16] = attention_f16;
    k->attention[KERN_KV_F32] = attention_f32;
    k->attention[KERN_KV_Q8_0] = attention_q8_0;
}
