#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { PAGES = 5, QUERIES_MAX = 20 };

struct fixture {
    enum kern_kv kv;
    struct kern_attention a;
    struct guarded k_pages[PAGES], v_pages[PAGES];
    const void *k[PAGES], *v[PAGES];
    float *k_dense, *v_dense; /* [position][dim], as stored */
    struct guarded q, out;
    size_t queries;
    uint32_t begin[QUERIES_MAX], end[QUERIES_MAX], positions[QUERIES_MAX];
    float sinks[QUERIES_MAX], slopes[QUERIES_MAX];
    bool with_sinks, with_slopes;
};

static float as_f32(const uint16_t *half) {
    float value;
    kern_dequantize(TENSOR_F16, half, 1, &value);
    return value;
}

/* Value `index` of a page of rows of `dims`, with scale number `scale`. */
static float as_stored(enum kern_kv kv, const void *page, size_t dims, size_t index, size_t scale) {
    if (kv == KERN_KV_F32) return ((const float *)page)[index];
    if (kv == KERN_KV_F16) return as_f32((const uint16_t *)page + index);
    const int8_t *q = page;
    return q[index] * as_f32((const uint16_t *)(const void *)(q + KERN_PAGE * dims) + scale);
}

/* The difference to what was to be kept: half a step of the format at most. */
static void check_kept(enum kern_kv kv, float kept, float value, const float *row, size_t dims, size_t d) {
    float most = 0.0f;
    for (size_t i = d / 32 * 32; i < dims && i < d / 32 * 32 + 32; i++) most = fmaxf(most, fabsf(row[i]));
    float step = kv == KERN_KV_F16 ? 0x1p-10f * fabsf(value) : most * (1.004f / 127 + 0x1p-10f);
    float bound = kv == KERN_KV_F32 ? 0.0f : step / 2;
    CHECK(fabsf(kept - value) <= bound, "kv %d dimension %zu of %zu: kept %g, was %g", kv, d, dims, kept, value);
}

/* Positions behind `filled` keep what guarded memory holds: nobody may look at it. */
static void fill_pages(uint64_t *random, const struct kern *ref, struct fixture *f, size_t filled) {
    size_t dim_k = f->a.head_dim_k, dim_v = f->a.head_dim_v;
    float *row = malloc((dim_k + dim_v) * sizeof *row);
    for (size_t page = 0; page < PAGES; page++) {
        f->k_pages[page] = guarded_new(kern_kv_page_bytes(f->kv, dim_k));
        f->v_pages[page] = guarded_new(kern_kv_page_bytes(f->kv, dim_v));
        f->k[page] = f->k_pages[page].data;
        f->v[page] = f->v_pages[page].data;
        memset(f->k_pages[page].data, 0xff, f->k_pages[page].bytes); /* NaN */
        memset(f->v_pages[page].data, 0xff, f->v_pages[page].bytes);
    }
    for (size_t i = 0; i < filled; i++) {
        size_t page = i / KERN_PAGE, at = i % KERN_PAGE;
        random_floats(random, row, dim_k + dim_v);
        ref->store_k[f->kv](f->k_pages[page].data, at, row, dim_k);
        ref->store_v[f->kv](f->v_pages[page].data, at, row + dim_k, dim_v);
        for (size_t d = 0; d < dim_k; d++) {
            float kept = as_stored(f->kv, f->k[page], dim_k, d * KERN_PAGE + at, d / 32 * KERN_PAGE + at);
            check_kept(f->kv, kept, row[d], row, dim_k, d);
            f->k_dense[i * dim_k + d] = kept;
        }
        for (size_t d = 0; d < dim_v; d++) {
            float kept = as_stored(f->kv, f->v[page], dim_v, at * dim_v + d, at * ((dim_v + 31) / 32) + d / 32);
            check_kept(f->kv, kept, row[dim_k + d], row + dim_k, dim_v, d);
            f->v_dense[i * dim_v + d] = kept;
        }
    }
    free(row);
}

static void fixture_init(uint64_t *random, const struct kern *ref, struct fixture *f, enum kern_kv kv, size_t dim_k,
                         size_t dim_v, size_t queries, int variant) {
    size_t positions = PAGES * KERN_PAGE, filled = 1 + prng_below(random, positions);
    *f = (struct fixture){.kv = kv, .queries = queries, .with_sinks = variant % 3 == 2};
    f->a =
        (struct kern_attention){f->k, f->v, dim_k, dim_v, 1.0f / sqrtf((float)dim_k), variant % 4 == 3 ? 5.0f : 0.0f};
    f->with_slopes = variant % 7 == 6;
    f->k_dense = malloc(positions * dim_k * sizeof(float));
    f->v_dense = malloc(positions * dim_v * sizeof(float));
    fill_pages(random, ref, f, filled);
    f->q = guarded_new(queries * dim_k * sizeof(float));
    f->out = guarded_new(queries * dim_v * sizeof(float));
    random_floats(random, f->q.data, queries * dim_k);
    for (size_t i = 0; i < queries; i++) {
        uint32_t back = (uint32_t)((queries - 1 - i) / 3); /* a causal chunk of a group of three */
        f->end[i] = (uint32_t)filled > back ? (uint32_t)filled - back : 1;
        if (variant % 5 == 4) f->end[i] = (uint32_t)prng_below(random, filled + 1);
        f->begin[i] = variant % 2 ? (uint32_t)prng_below(random, f->end[i] + 1) : 0;
        f->sinks[i] = random_float(random);
        f->slopes[i] = (float)(1 + prng_below(random, 200)) / 256;
        f->positions[i] = variant % 2 ? f->end[i] - 1 : (uint32_t)prng_below(random, filled);
    }
}

static void fixture_deinit(struct fixture *f) {
    for (size_t page = 0; page < PAGES; page++) {
        guarded_free(&f->k_pages[page]);
        guarded_free(&f->v_pages[page]);
    }
    guarded_free(&f->q);
    guarded_free(&f->out);
    free(f->k_dense);
    free(f->v_dense);
}

static void run(const struct kern *k, const struct fixture *f, size_t first, size_t count, float *out) {
    struct kern_attention a = f->a;
    a.slopes = f->with_slopes ? f->slopes + first : NULL;
    a.positions = f->positions + first;
    k->attention[f->kv](&a, (const float *)f->q.data + first * f->a.head_dim_k, f->a.head_dim_k, count,
                        f->begin + first, f->end + first, f->with_sinks ? f->sinks + first : NULL,
                        out + first * f->a.head_dim_v, f->a.head_dim_v);
}

static double score(const struct fixture *f, size_t query, size_t position) {
    const float *q = (const float *)f->q.data + query * f->a.head_dim_k, *k = f->k_dense + position * f->a.head_dim_k;
    double s = 0;
    for (size_t d = 0; d < f->a.head_dim_k; d++) s += (double)q[d] * k[d];
    s *= f->a.scale;
    if (f->a.softcap > 0) s = f->a.softcap * tanh(s / f->a.softcap);
    return f->with_slopes ? s - (double)f->slopes[query] * fabs((double)f->positions[query] - (double)position) : s;
}

static void check_truth(const struct fixture *f, size_t query, const float *out) {
    double sum = f->with_sinks && f->begin[query] < f->end[query] ? exp(f->sinks[query]) : 0, value[600] = {0};
    for (size_t i = f->begin[query]; i < f->end[query]; i++) {
        double weight = exp(score(f, query, i));
        sum += weight;
        for (size_t d = 0; d < f->a.head_dim_v; d++) value[d] += weight * f->v_dense[i * f->a.head_dim_v + d];
    }
    for (size_t d = 0; d < f->a.head_dim_v; d++) {
        double want = sum > 0 ? value[d] / sum : 0;
        CHECK(fabs(out[d] - want) <= 1e-5, "attention query %zu [%zu]: %.9g, should be %.9g", query, d, out[d], want);
    }
}

static void check_one(const struct kern *ref, const struct kern *level, const struct fixture *f, int variant) {
    size_t dim = f->a.head_dim_v, bytes = f->queries * dim * sizeof(float);
    float *want = malloc(bytes), *single = malloc(bytes);
    run(ref, f, 0, f->queries, want);
    if (ref->isa == level->isa)
        for (size_t i = 0; i < f->queries; i++) check_truth(f, i, want + i * dim);
    run(level, f, 0, f->queries, f->out.data);
    CHECK(memcmp(want, f->out.data, bytes) == 0, "%s attention kv %d dims %zu %zu, %zu queries, variant %d: not ref's",
          kern_isa_name(level->isa), f->kv, f->a.head_dim_k, dim, f->queries, variant);
    for (size_t i = 0; i < f->queries; i++) run(level, f, i, 1, single);
    CHECK(memcmp(want, single, bytes) == 0, "%s attention: another result for a query alone",
          kern_isa_name(level->isa));
    free(want);
    free(single);
}

void check_attention(const struct kern *ref, const struct kern *level) {
    static const size_t dims[][2] = {{64, 64}, {128, 128}, {8, 8}, {80, 80}, {96, 72}, {576, 512}, {256, 256}};
    static const size_t queries[] = {1, 3, 6, 9, 20};
    uint64_t random = 3;
    int variant = 0;
    for (int kv = 0; kv < KERN_KV_COUNT; kv++)
        for (size_t i = 0; i < ARRAY_LEN(dims); i++)
            for (size_t j = 0; j < ARRAY_LEN(queries); j++)
                for (int repeat = 0; repeat < 3; repeat++) {
                    struct fixture f;
                    fixture_init(&random, ref, &f, (enum kern_kv)kv, dims[i][0], dims[i][1], queries[j], variant);
                    check_one(ref, level, &f, variant++);
                    fixture_deinit(&f);
                }
}
