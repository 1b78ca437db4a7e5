#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kern/half.h"
#include "kern/math.h"
#include "kern/ref/ref.h"

/* ---- activations to int8 ---- */

static float largest_magnitude(const float *x, size_t n) {
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    return largest;
}

/* NaN becomes -127, as it does in the vector versions. */
static int8_t round_to_int8(float x) {
    float low = x > -127.0f ? x : -127.0f, clamped = low < 127.0f ? low : 127.0f;
    return (int8_t)((clamped + MATH_ROUND) - MATH_ROUND); /* ties to even */
}

static void quantize_block(const float *x, size_t n, int8_t *q, float *scale, int32_t *sum16) {
    float s = largest_magnitude(x, n) / 127.0f;
    memset(q, 0, KERN_BLOCK);
    *scale = s >= FLT_MIN ? s : 0.0f; /* below, the inverse could be infinite */
    float inverse = s >= FLT_MIN ? 1.0f / s : 0.0f;
    for (size_t i = 0; i < n; i++) q[i] = round_to_int8(x[i] * inverse);
    for (int half = 0; half < 2; half++) {
        sum16[half] = 0;
        for (int i = 0; i < 16; i++) sum16[half] += q[16 * half + i];
    }
}

static void quantize(const float *x, size_t cols, int8_t *q, float *scale, int32_t *sum16) {
    for (size_t begin = 0; begin < cols; begin += KERN_BLOCK) {
        size_t n = cols - begin < KERN_BLOCK ? cols - begin : KERN_BLOCK;
        quantize_block(x + begin, n, q + begin, scale + begin / KERN_BLOCK, sum16 + begin / 16);
    }
}

/* ---- norms ---- */

/* The sums of the virtual lanes, joined 16 -> 8 -> 4 -> 2 -> 1. */
static float join_sum(float lanes[KERN_LANES]) {
    for (int half = KERN_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

static float sum(const float *x, size_t n) {
    float lanes[KERN_LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % KERN_LANES] += x[i];
    return join_sum(lanes);
}

static float sum_squares(const float *x, size_t n, float center) {
    float lanes[KERN_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - center;
        lanes[i % KERN_LANES] = fmaf(d, d, lanes[i % KERN_LANES]);
    }
    return join_sum(lanes);
}

static void rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *out) {
    float factor = 1.0f / sqrtf(sum_squares(x, n, 0.0f) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = weight ? x[i] * factor * weight[i] : x[i] * factor;
}

static void layer_norm(const float *x, const float *weight, const float *bias, size_t n, float epsilon, float *out) {
    float mean = sum(x, n) / (float)n;
    float factor = 1.0f / sqrtf(sum_squares(x, n, mean) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) {
        float scaled = (x[i] - mean) * factor;
        if (!weight)
            out[i] = scaled;
        else
            out[i] = bias ? fmaf(scaled, weight[i], bias[i]) : scaled * weight[i];
    }
}

/* ---- element by element ---- */

static void rope(float *head, const float *cos, const float *sin, size_t pairs, bool neox) {
    for (size_t i = 0; i < pairs; i++) {
        float *a = &head[neox ? i : 2 * i], *b = &head[neox ? i + pairs : 2 * i + 1];
        float x = *a, y = *b;
        *a = fmaf(x, cos[i], -(y * sin[i]));
        *b = fmaf(x, sin[i], y * cos[i]);
    }
}

static void add(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void scale(float *x, float factor, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] *= factor;
}

static void silu_mul(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = math_silu(gate[i]) * up[i];
}

static void gelu_mul(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = up ? math_gelu(gate[i]) * up[i] : math_gelu(gate[i]);
}

static void gelu_erf_mul(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = up ? math_gelu_erf(gate[i]) * up[i] : math_gelu_erf(gate[i]);
}

static void relu_squared(const float *x, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] > 0.0f ? x[i] * x[i] : 0.0f;
}

static void silu_clamped_mul(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = math_silu_clamped(gate[i], up[i]);
}

static void xielu(const float *x, size_t n, const struct kern_xielu *c, float *out) {
    for (size_t i = 0; i < n; i++) {
        float above = x[i] > 0.0f ? x[i] : 0.0f, sum = fmaf(c->plus * above, above, c->slope * x[i]);
        float power = math_exp(x[i] < c->most ? x[i] : c->most) - 1.0f;
        out[i] = sum + (x[i] > 0.0f ? 0.0f : (power - x[i]) * c->minus);
    }
}

static void sigmoid_mul(const float *gate, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) x[i] /= 1.0f + math_exp(-gate[i]);
}

static void softcap(float *x, float cap, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = cap * math_tanh(x[i] / cap);
}

/* ---- K and V into a page ---- */

static void store_k_f16(void *page, size_t position, const float *k, size_t head_dim) {
    uint16_t *out = (uint16_t *)page + position;
    for (size_t i = 0; i < head_dim; i++) out[i * KERN_PAGE] = half_f32_to_f16(k[i]);
}

static void store_k_f32(void *page, size_t position, const float *k, size_t head_dim) {
    float *out = (float *)page + position;
    for (size_t i = 0; i < head_dim; i++) out[i * KERN_PAGE] = k[i];
}

static void store_v_f16(void *page, size_t position, const float *v, size_t head_dim) {
    uint16_t *out = (uint16_t *)page + position * head_dim;
    for (size_t i = 0; i < head_dim; i++) out[i] = half_f32_to_f16(v[i]);
}

static void store_v_f32(void *page, size_t position, const float *v, size_t head_dim) {
    memcpy((float *)page + position * head_dim, v, head_dim * sizeof *v);
}

/* One position as int8, and the scales of its blocks. */
struct rounded {
    int8_t q[KERN_HEAD_DIM_MAX];
    float scale[KERN_HEAD_DIM_MAX / KERN_BLOCK];
    int32_t sum16[KERN_HEAD_DIM_MAX / 16];
};

static void store_k_q8_0(void *page, size_t position, const float *k, size_t head_dim) {
    struct rounded r;
    int8_t *out = (int8_t *)page + position;
    uint16_t *scales = (uint16_t *)(void *)((int8_t *)page + kern_kv_scales_at(head_dim)) + position;
    assert(head_dim <= KERN_HEAD_DIM_MAX);
    quantize(k, head_dim, r.q, r.scale, r.sum16);
    for (size_t i = 0; i < head_dim; i++) out[i * KERN_PAGE] = r.q[i];
    for (size_t i = 0; i * KERN_BLOCK < head_dim; i++) scales[i * KERN_PAGE] = half_f32_to_f16(r.scale[i]);
}

static void store_v_q8_0(void *page, size_t position, const float *v, size_t head_dim) {
    struct rounded r;
    size_t blocks = (head_dim + KERN_BLOCK - 1) / KERN_BLOCK;
    uint16_t *scales = (uint16_t *)(void *)((int8_t *)page + kern_kv_scales_at(head_dim)) + position * blocks;
    assert(head_dim <= KERN_HEAD_DIM_MAX);
    quantize(v, head_dim, r.q, r.scale, r.sum16);
    memcpy((int8_t *)page + position * head_dim, r.q, head_dim);
    for (size_t i = 0; i < blocks; i++) scales[i] = half_f32_to_f16(r.scale[i]);
}

void ref_vector_init(struct kern *k) {
    k->quantize = quantize;
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->rope = rope;
    k->add = add;
    k->scale = scale;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->gelu_erf_mul = gelu_erf_mul;
    k->silu_clamped_mul = silu_clamped_mul;
    k->relu_squared = relu_squared;
    k->xielu = xielu;
    k->sigmoid_mul = sigmoid_mul;
    k->softcap = softcap;
    k->store_k[KERN_KV_F16] = store_k_f16;
    k->store_k[KERN_KV_F32] = store_k_f32;
    k->store_k[KERN_KV_Q8_0] = store_k_q8_0;
    k->store_v[KERN_KV_F16] = store_v_f16;
    k->store_v[KERN_KV_F32] = store_v_f32;
    k->store_v[KERN_KV_Q8_0] = store_v_q8_0;
}
