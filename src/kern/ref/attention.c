#include <assert.h>
#include <math.h>

#include "kern/half.h"
#include "kern/math.h"
#include "kern/ref/ref.h"

/* THE FORMULA, per query: each page that holds positions of [begin, end) gives
 *   s = scale * (q . K), fma over the dimensions in order; cap * tanh(s / cap) where there is a softcap;
 *   fma(-slope, |position - the query's|, s) where there are slopes (ALiBi: arXiv 2108.12409)
 *   m = max s, p = exp(s - m), l = sum of p over 16 virtual lanes, o = fma(p, V, o) over the positions in order
 * and joins the pages before it (M, L, O): M' = max(M, m), a = exp(M - M'), b = exp(m - M'),
 *   L = fma(L, a, l * b), O = fma(O, a, o * b)
 * (online softmax: Milakov, Gimelshein: arXiv 1805.02867). A sink is a last page without V. out = O * (1 / L). */

struct softmax {
    float max, sum;
};

/* A value of a page; a Q8_0 times its scale is exact in f32. */
static float element(enum kern_kv kv, const void *page, size_t index, size_t dims, size_t scale) {
    if (kv == KERN_KV_F32) return ((const float *)page)[index];
    if (kv == KERN_KV_F16) return half_f16_to_f32(((const uint16_t *)page)[index]);
    const int8_t *q = page;
    return q[index] * half_f16_to_f32(((const uint16_t *)(const void *)(q + kern_kv_scales_at(dims)))[scale]);
}

static float k_element(const struct kern_attention *a, enum kern_kv kv, const void *page, size_t position, size_t d) {
    return element(kv, page, d * KERN_PAGE + position, a->head_dim_k, d / KERN_BLOCK * KERN_PAGE + position);
}

static float v_element(const struct kern_attention *a, enum kern_kv kv, const void *page, size_t position, size_t d) {
    size_t dims = a->head_dim_v, blocks = (dims + KERN_BLOCK - 1) / KERN_BLOCK;
    return element(kv, page, position * dims + d, dims, position * blocks + d / KERN_BLOCK);
}

static float score(const struct kern_attention *a, enum kern_kv kv, const void *k_page, const float *q,
                   size_t position) {
    float s = 0.0f;
    for (size_t i = 0; i < a->head_dim_k; i++) s = fmaf(k_element(a, kv, k_page, position, i), q[i], s);
    s *= a->scale;
    return a->softcap != 0.0f ? a->softcap * math_tanh(s / a->softcap) : s;
}

static float join_sum(float lanes[KERN_LANES]) {
    for (int half = KERN_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* What a query is made of besides its values. */
struct query {
    const float *q, *slope;
    uint32_t position, end; /* position: its own, where there is a slope */
};

/* Positions [begin, end) of one page: o[head_dim_v] and the page's maximum and sum. */
static struct softmax attend_page(const struct kern_attention *a, enum kern_kv kv, size_t page,
                                  const struct query *query, size_t begin, size_t end, float *o) {
    float p[KERN_PAGE], lanes[KERN_LANES] = {0}, max = -INFINITY;
    for (size_t i = begin; i < end; i++) {
        p[i] = score(a, kv, a->k_pages[page], query->q, i);
        float away = fabsf((float)((int64_t)(page * KERN_PAGE + i) - (int64_t)query->position));
        if (query->slope) p[i] = fmaf(-*query->slope, away, p[i]);
        max = p[i] > max ? p[i] : max;
    }
    for (size_t i = begin; i < end; i++) {
        p[i] = math_exp(p[i] - max);
        lanes[i % KERN_LANES] += p[i];
    }
    for (size_t d = 0; d < a->head_dim_v; d++) {
        o[d] = 0.0f;
        for (size_t i = begin; i < end; i++)
            o[d] = fmaf(p[i], v_element(a, kv, a->v_pages[page], i, d), o[d]);
    }
    return (struct softmax){max, join_sum(lanes)};
}

/* Page o into what came before it; o NULL: a sink. */
static void join(struct softmax *all, float *out, struct softmax page, const float *o, size_t n) {
    float max = page.max > all->max ? page.max : all->max;
    float before = math_exp(all->max - max), now = math_exp(page.max - max);
    all->max = max;
    all->sum = fmaf(all->sum, before, page.sum * now);
    for (size_t d = 0; d < n; d++) out[d] = o ? fmaf(out[d], before, o[d] * now) : out[d] * before;
}

static void attend(const struct kern_attention *a, enum kern_kv kv, const struct query *query, uint32_t begin,
                   const float *sink, float *out) {
    uint32_t end = query->end;
    struct softmax all = {0};
    float o[KERN_HEAD_DIM_MAX];
    for (size_t d = 0; d < a->head_dim_v; d++) out[d] = 0.0f;
    if (begin >= end) return;
    size_t first = begin / KERN_PAGE;
    for (size_t page = first; page * KERN_PAGE < end; page++) {
        size_t from = page == first ? begin % KERN_PAGE : 0, left = end - page * KERN_PAGE;
        size_t to = left < KERN_PAGE ? left : KERN_PAGE;
        if (page == first)
            all = attend_page(a, kv, page, query, from, to, out);
        else
            join(&all, out, attend_page(a, kv, page, query, from, to, o), o, a->head_dim_v);
    }
    if (sink) join(&all, out, (struct softmax){*sink, 1.0f}, NULL, a->head_dim_v);
    float inverse = 1.0f / all.sum;
    for (size_t d = 0; d < a->head_dim_v; d++) out[d] *= inverse;
}

static void attention(const struct kern_attention *a, enum kern_kv kv, const float *q, size_t q_stride, size_t queries,
                      const uint32_t *begin, const uint32_t *end, const float *sinks, float *out, size_t out_stride) {
    assert(a->head_dim_k <= KERN_HEAD_DIM_MAX && a->head_dim_v <= KERN_HEAD_DIM_MAX);
    for (size_t i = 0; i < queries; i++) {
        struct query query = {.q = q + i * q_stride, .end = end[i]};
        if (a->slopes) {
            query.slope = &a->slopes[i];
            query.position = a->positions[i];
        }
        attend(a, kv, &query, begin[i], sinks ? &sinks[i] : NULL, out + i * out_stride);
    }
}

static void attention_f16(const struct kern_attention *a, const float *q, size_t q_stride, size_t queries,
                          const uint32_t *begin, const uint32_t *end, const float *sinks, float *out,
                          size_t out_stride) {
    attention(a, KERN_KV_F16, q, q_stride, queries, begin, end, sinks, out, out_stride);
}

static void attention_f32(const struct kern_attention *a, const float *q, size_t q_stride, size_t queries,
                          const uint32_t *begin, const uint32_t *end, const float *sinks, float *out,
                          size_t out_stride) {
    attention(a, KERN_KV_F32, q, q_stride, queries, begin, end, sinks, out, out_stride);
}

static void attention_q8_0(const struct kern_attention *a, const float *q, size_t q_stride, size_t queries,
                           const uint32_t *begin, const uint32_t *end, const float *sinks, float *out,
                           size_t out_stride) {
    attention(a, KERN_KV_Q8_0, q, q_stride, queries, begin, end, sinks, out, out_stride);
}

void ref_attention_init(struct kern *k) {
    k->attention[KERN_KV_F16] = attention_f16;
    k->attention[KERN_KV_F32] = attention_f32;
    k->attention[KERN_KV_Q8_0] = attention_q8_0;
}
