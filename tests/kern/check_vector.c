#include <math.h>
#include <string.h>

#include "check.h"

static const size_t lengths[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 64, 100, 576, 1536, 2047};

static struct guarded floats_new(uint64_t *random, size_t n, int variant) {
    struct guarded g = guarded_new(n * sizeof(float));
    float *x = g.data;
    random_floats(random, x, n);
    if (variant == 1) memset(x, 0, n * sizeof *x);
    if (variant == 2) x[n / 2] = 1e15f;
    if (variant == 3)
        for (size_t i = 0; i < n; i++) x[i] *= 60.0f;
    if (variant == 4)
        for (size_t i = 0; i < n; i++) x[i] *= 1e-40f;
    if (variant == 5) x[0] = NAN, x[n - 1] = -INFINITY;
    return g;
}

enum { VARIANTS = 6, FINITE_VARIANTS = 5 };

static bool same(const struct guarded *a, const struct guarded *b) {
    const float *x = a->data, *y = b->data;
    for (size_t i = 0; i < a->bytes / sizeof *x; i++)
        if (memcmp(&x[i], &y[i], sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i]))) return false;
    return true;
}

static struct guarded copy_of(const struct guarded *g) {
    struct guarded copy = guarded_new(g->bytes);
    memcpy(copy.data, g->data, g->bytes);
    return copy;
}

/* ---- quantize ---- */

struct quantized {
    struct guarded q, scale, sum16;
};

static struct quantized quantized_new(const struct kern *k, const struct guarded *x, size_t n) {
    size_t padded = size_round_up(n, KERN_BLOCK);
    struct quantized r = {guarded_new(padded), guarded_new(padded / KERN_BLOCK * sizeof(float)),
                          guarded_new(padded / 16 * sizeof(int32_t))};
    k->quantize(x->data, n, r.q.data, r.scale.data, r.sum16.data);
    return r;
}

static void quantized_free(struct quantized *r) {
    guarded_free(&r->q);
    guarded_free(&r->scale);
    guarded_free(&r->sum16);
}

/* Half a step off at most, sums that are sums, zeroes behind the end. */
static void check_quantized(const float *x, size_t n, const struct quantized *r) {
    const int8_t *q = r->q.data;
    const float *scale = r->scale.data;
    const int32_t *sum16 = r->sum16.data;
    for (size_t i = 0; i < r->q.bytes; i++) {
        double value = i < n ? x[i] : 0.0, step = scale[i / KERN_BLOCK];
        CHECK(fabs(q[i] * step - value) <= 0.5001 * step + 2e-36, "quantize: %g became %d * %g", value, q[i], step);
        CHECK(q[i] >= -127, "quantize: -128");
    }
    for (size_t i = 0; i < r->q.bytes / 16; i++) {
        int sum = 0;
        for (int j = 0; j < 16; j++) sum += q[16 * i + j];
        CHECK(sum == sum16[i], "quantize: the sum of 16 is %d, not %d", sum, sum16[i]);
    }
}

static void check_quantize(const struct kern *ref, const struct kern *level, uint64_t *random, size_t n, int variant) {
    struct guarded x = floats_new(random, n, variant);
    struct quantized want = quantized_new(ref, &x, n), got = quantized_new(level, &x, n);
    if (variant < FINITE_VARIANTS) check_quantized(x.data, n, &want);
    CHECK(memcmp(want.q.data, got.q.data, want.q.bytes) == 0 && same(&want.scale, &got.scale) &&
              memcmp(want.sum16.data, got.sum16.data, want.sum16.bytes) == 0,
          "%s quantize n=%zu variant %d: not the bits of ref", kern_isa_name(level->isa), n, variant);
    quantized_free(&want);
    quantized_free(&got);
    guarded_free(&x);
}

/* ---- functions of vectors: by name, on copies of the same inputs ---- */

struct vectors {
    struct guarded x, y, z;
    size_t n;
};

typedef void run_function(const struct kern *k, struct vectors *v);
/* What element i of x should be, from the inputs, in double; `bound` is the size that its error is relative to. */
typedef double truth_function(const struct vectors *v, size_t i, double *bound);

static const float *xs(const struct vectors *v) { return v->x.data; }
static const float *ys(const struct vectors *v) { return v->y.data; }
static const float *zs(const struct vectors *v) { return v->z.data; }

static double mean_of(const struct vectors *v, int power, double center) {
    double sum = 0;
    for (size_t i = 0; i < v->n; i++) sum += pow(xs(v)[i] - center, power);
    return sum / (double)v->n;
}

static void run_rms_norm(const struct kern *k, struct vectors *v) {
    k->rms_norm(v->x.data, v->y.data, v->n, 1e-5f, v->x.data);
}
static double rms_norm_truth(const struct vectors *v, size_t i, double *bound) {
    double value = xs(v)[i] * ys(v)[i] / sqrt(mean_of(v, 2, 0) + 1e-5);
    *bound = fabs(value);
    return value;
}
static void run_rms_norm_bare(const struct kern *k, struct vectors *v) {
    k->rms_norm(v->x.data, NULL, v->n, 1e-5f, v->x.data);
}
static double rms_norm_bare_truth(const struct vectors *v, size_t i, double *bound) {
    double value = xs(v)[i] / sqrt(mean_of(v, 2, 0) + 1e-5);
    *bound = fabs(value);
    return value;
}
static void run_layer_norm(const struct kern *k, struct vectors *v) {
    k->layer_norm(v->x.data, v->y.data, v->z.data, v->n, 1e-5f, v->x.data);
}
static double layer_norm_truth(const struct vectors *v, size_t i, double *bound) {
    double mean = mean_of(v, 1, 0), factor = 1 / sqrt(mean_of(v, 2, mean) + 1e-5);
    *bound = (fabs(xs(v)[i]) + fabs(mean)) * factor * fabs(ys(v)[i]) + fabs(zs(v)[i]);
    return (xs(v)[i] - mean) * factor * ys(v)[i] + zs(v)[i];
}
static void run_layer_norm_unbiased(const struct kern *k, struct vectors *v) {
    k->layer_norm(v->x.data, v->y.data, NULL, v->n, 1e-5f, v->x.data);
}
static void run_layer_norm_bare(const struct kern *k, struct vectors *v) {
    k->layer_norm(v->x.data, NULL, NULL, v->n, 1e-5f, v->x.data);
}
static double layer_norm_bare_truth(const struct vectors *v, size_t i, double *bound) {
    double mean = mean_of(v, 1, 0), factor = 1 / sqrt(mean_of(v, 2, mean) + 1e-5);
    *bound = (fabs(xs(v)[i]) + fabs(mean)) * factor;
    return (xs(v)[i] - mean) * factor;
}
static void run_add(const struct kern *k, struct vectors *v) { k->add(v->x.data, v->y.data, v->n); }
static double add_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fabs(xs(v)[i]) + fabs(ys(v)[i]);
    return (double)xs(v)[i] + ys(v)[i];
}
static void run_scale(const struct kern *k, struct vectors *v) { k->scale(v->x.data, 0.7f, v->n); }
static double scale_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fabs(xs(v)[i]);
    return (double)xs(v)[i] * 0.7f;
}
static void run_silu(const struct kern *k, struct vectors *v) { k->silu_mul(v->x.data, v->y.data, v->n, v->x.data); }
static double silu_truth(const struct vectors *v, size_t i, double *bound) {
    double value = xs(v)[i] / (1 + exp(-(double)xs(v)[i])) * ys(v)[i];
    *bound = fabs(value) + 1e-30 * fabs((double)xs(v)[i]);
    return value;
}
static void run_gelu(const struct kern *k, struct vectors *v) { k->gelu_mul(v->x.data, v->y.data, v->n, v->x.data); }
static double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
static double gelu_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fabs((double)xs(v)[i] * ys(v)[i]);
    return gelu(xs(v)[i]) * ys(v)[i];
}
static void run_gelu_alone(const struct kern *k, struct vectors *v) { k->gelu_mul(v->x.data, NULL, v->n, v->x.data); }
static double gelu_alone_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fabs((double)xs(v)[i]);
    return gelu(xs(v)[i]);
}
static void run_gelu_erf(const struct kern *k, struct vectors *v) {
    k->gelu_erf_mul(v->x.data, v->y.data, v->n, v->x.data);
}
static double gelu_erf(double x) { return 0.5 * x * erfc(-x * 0.7071067811865476); }
static double gelu_erf_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fmax(fabs((double)xs(v)[i]), 1) * fabs((double)ys(v)[i]) / 8; /* 2e-6 of it: 2.5e-7 max(|x|, 1) */
    return gelu_erf(xs(v)[i]) * ys(v)[i];
}
static void run_gelu_erf_alone(const struct kern *k, struct vectors *v) {
    k->gelu_erf_mul(v->x.data, NULL, v->n, v->x.data);
}
static double gelu_erf_alone_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = fmax(fabs((double)xs(v)[i]), 1) / 8;
    return gelu_erf(xs(v)[i]);
}
static void run_clamped(const struct kern *k, struct vectors *v) {
    k->silu_clamped_mul(v->x.data, v->y.data, v->n, v->x.data);
}
static double clamped_truth(const struct vectors *v, size_t i, double *bound) {
    double g = fmin(xs(v)[i], 7), u = fmax(fmin(ys(v)[i], 7), -7), value = g / (1 + exp(-1.702 * g)) * (u + 1);
    *bound = fabs(g * (u + 1));
    return value;
}
static void run_relu_squared(const struct kern *k, struct vectors *v) {
    k->relu_squared(v->x.data, v->n, v->x.data);
}
static double relu_squared_truth(const struct vectors *v, size_t i, double *bound) {
    double above = fmax(xs(v)[i], 0);
    return *bound = above * above;
}
static const struct kern_xielu curve = {0.9f, 1.3f, 0.5f, -1e-6f};
static void run_xielu(const struct kern *k, struct vectors *v) { k->xielu(v->x.data, v->n, &curve, v->x.data); }
static double xielu_truth(const struct vectors *v, size_t i, double *bound) {
    double x = xs(v)[i], power = expm1(fmin(x, (double)curve.most));
    *bound = curve.plus * x * x + 3 * fabs(x) + 1;
    return x > 0 ? curve.plus * x * x + curve.slope * x : (power - x) * curve.minus + curve.slope * x;
}
static void run_sigmoid_mul(const struct kern *k, struct vectors *v) { k->sigmoid_mul(v->y.data, v->n, v->x.data); }
static double sigmoid_mul_truth(const struct vectors *v, size_t i, double *bound) {
    double value = xs(v)[i] / (1 + exp(-(double)ys(v)[i]));
    *bound = fabs(value) + 1e-30 * fabs((double)xs(v)[i]);
    return value;
}
static void run_softcap(const struct kern *k, struct vectors *v) { k->softcap(v->x.data, 30.0f, v->n); }
static double softcap_truth(const struct vectors *v, size_t i, double *bound) {
    *bound = 30;
    return 30 * tanh(xs(v)[i] / 30.0);
}
static void run_rope_halves(const struct kern *k, struct vectors *v) {
    k->rope(v->x.data, v->y.data, v->z.data, v->n / 2, true);
}
static void run_rope_pairs(const struct kern *k, struct vectors *v) {
    k->rope(v->x.data, v->y.data, v->z.data, v->n / 2, false);
}
static double rotated(const struct vectors *v, size_t pair, size_t first, size_t second, bool want_second,
                      double *bound) {
    double a = xs(v)[first], b = xs(v)[second], c = ys(v)[pair], s = zs(v)[pair];
    *bound = (fabs(a) + fabs(b)) * (fabs(c) + fabs(s));
    return want_second ? a * s + b * c : a * c - b * s;
}
static double rope_halves_truth(const struct vectors *v, size_t i, double *bound) {
    size_t pairs = v->n / 2, pair = i % (pairs ? pairs : 1);
    return i < 2 * pairs ? rotated(v, pair, pair, pair + pairs, i >= pairs, bound) : xs(v)[i];
}
static double rope_pairs_truth(const struct vectors *v, size_t i, double *bound) {
    return i < v->n / 2 * 2 ? rotated(v, i / 2, i / 2 * 2, i / 2 * 2 + 1, i % 2, bound) : xs(v)[i];
}

static const struct {
    const char *name;
    run_function *run;
    truth_function *truth;
} functions[] = {
    {"rms_norm", run_rms_norm, rms_norm_truth},
    {"rms_norm without weight", run_rms_norm_bare, rms_norm_bare_truth},
    {"layer_norm", run_layer_norm, layer_norm_truth},
    {"layer_norm without bias", run_layer_norm_unbiased, NULL},
    {"layer_norm without weight", run_layer_norm_bare, layer_norm_bare_truth},
    {"add", run_add, add_truth},
    {"scale", run_scale, scale_truth},
    {"silu_mul", run_silu, silu_truth},
    {"gelu_mul", run_gelu, gelu_truth},
    {"gelu alone", run_gelu_alone, gelu_alone_truth},
    {"gelu_erf_mul", run_gelu_erf, gelu_erf_truth},
    {"gelu_erf alone", run_gelu_erf_alone, gelu_erf_alone_truth},
    {"silu_clamped_mul", run_clamped, clamped_truth},
    {"relu_squared", run_relu_squared, relu_squared_truth},
    {"xielu", run_xielu, xielu_truth},
    {"sigmoid_mul", run_sigmoid_mul, sigmoid_mul_truth},
    {"softcap", run_softcap, softcap_truth},
    {"rope of halves", run_rope_halves, rope_halves_truth},
    {"rope of pairs", run_rope_pairs, rope_pairs_truth},
};

static void check_values(const char *name, truth_function *truth, const struct vectors *in, const float *out) {
    for (size_t i = 0; i < in->n; i++) {
        double bound = 0, want = truth(in, i, &bound);
        if (!(fabs(want) < 1e38 && bound < 1e18)) continue; /* squares overflow f32 */
        CHECK(fabs(out[i] - want) <= 2e-6 * bound + 1e-36, "%s n=%zu [%zu]: %.9g, should be %.9g", name, in->n, i,
              out[i], want);
    }
}

static void check_function(const struct kern *ref, const struct kern *level, size_t index, uint64_t *random, size_t n,
                           int variant) {
    struct vectors in = {floats_new(random, n, variant), floats_new(random, n, 0), floats_new(random, n, 0), n};
    struct vectors want = in, got = in;
    want.x = copy_of(&in.x);
    got.x = copy_of(&in.x);
    functions[index].run(ref, &want);
    functions[index].run(level, &got);
    if (ref->isa == level->isa && functions[index].truth && variant < FINITE_VARIANTS)
        check_values(functions[index].name, functions[index].truth, &in, want.x.data);
    CHECK(same(&want.x, &got.x), "%s %s n=%zu variant %d: not the bits of ref", kern_isa_name(level->isa),
          functions[index].name, n, variant);
    guarded_free(&want.x);
    guarded_free(&got.x);
    guarded_free(&in.x);
    guarded_free(&in.y);
    guarded_free(&in.z);
}

/* ---- every f16 through the pages, and what rounds to it ---- */

static void check_store(const struct kern *ref, const struct kern *level, uint64_t *random, size_t dim, int variant) {
    struct guarded x = floats_new(random, dim, variant);
    for (int kv = 0; kv < KERN_KV_COUNT; kv++) {
        size_t bytes = kern_kv_page_bytes((enum kern_kv)kv, dim);
        for (int v = 0; v < 2; v++) {
            struct guarded want = guarded_new(bytes), got = guarded_new(bytes);
            for (size_t position = 0; position < KERN_PAGE; position += 21) {
                (v ? ref->store_v : ref->store_k)[kv](want.data, position, x.data, dim);
                (v ? level->store_v : level->store_k)[kv](got.data, position, x.data, dim);
            }
            CHECK(memcmp(want.data, got.data, bytes) == 0, "%s store_%c kv %d dim %zu: not the bits of ref",
                  kern_isa_name(level->isa), v ? 'v' : 'k', kv, dim);
            guarded_free(&want);
            guarded_free(&got);
        }
    }
    guarded_free(&x);
}

/* Around every f16: the value itself, its neighbours in f32, the ties to both sides. */
static void check_half(const struct kern *ref, const struct kern *level) {
    static const uint32_t nearby[8] = {0, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x17ff, 0x0800};
    for (uint32_t half = 0; half < 0x10000; half++) {
        float x[8], back[8];
        uint16_t want[KERN_PAGE * 8], got[KERN_PAGE * 8];
        uint16_t bits = (uint16_t)half;
        kern_dequantize(TENSOR_F16, &bits, 1, x);
        for (int i = 0; i < 8; i++) {
            uint32_t word;
            memcpy(&word, x, sizeof word);
            word += nearby[i];
            memcpy(&back[i], &word, sizeof word);
        }
        ref->store_v[KERN_KV_F16](want, 0, back, 8);
        level->store_v[KERN_KV_F16](got, 0, back, 8);
        CHECK(memcmp(want, got, 16) == 0, "%s: f16 %04x is rounded differently", kern_isa_name(level->isa), half);
        bool nan = (half & 0x7c00) == 0x7c00 && (half & 0x3ff);
        CHECK(nan || want[0] == half, "f16 %04x came back as %04x", half, want[0]);
        CHECK(nan || (half & 0x7c00) == 0x7c00 || want[4] == half + 1 || (half & 0x7fff) < 0x400,
              "f16 %04x and more than half a step became %04x", half, want[4]);
    }
}

void check_vector(const struct kern *ref, const struct kern *level) {
    uint64_t random = 2;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (int variant = 0; variant < VARIANTS; variant++) {
            check_quantize(ref, level, &random, lengths[i], variant);
            for (size_t index = 0; index < ARRAY_LEN(functions); index++)
                check_function(ref, level, index, &random, lengths[i], variant);
            check_store(ref, level, &random, size_round_up(lengths[i] % 576 + 1, 8), variant);
        }
    check_half(ref, level);
}
