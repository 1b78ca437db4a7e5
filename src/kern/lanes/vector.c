#include <assert.h>
#include <float.h>
#include <string.h>

#include "kern/half.h"
#include "kern/lanes/levels.h"
#include "kern/lanes/math.h"
#include "kern/lanes/simd.h"

/* For i over all elements, n = 16 or what is left at the end. */
#define FOR_LANES(count) for (size_t i = 0, n; n = (count)-i < 16 ? (count)-i : 16, i < (count); i += 16)

/* ---- activations to int8 ---- */

SIMD_INLINE f32x16 to_int8_range(f32x16 x) {
    f32x16 clamped = f32_min(f32_max(x, f32_set(-127.0f)), f32_set(127.0f));
    return f32_add(clamped, f32_set(MATH_ROUND));
}

static void quantize(const float *x, size_t cols, int8_t *q, float *scale, int32_t *sum16) {
    for (size_t begin = 0; begin < cols; begin += KERN_BLOCK) {
        size_t left = cols - begin;
        f32x16 low = f32_load_n(x + begin, left < 16 ? left : 16), high = f32_set(0.0f);
        if (left >= KERN_BLOCK)
            high = f32_load(x + begin + 16);
        else if (left > 16)
            high = f32_load_n(x + begin + 16, left - 16);
        /* max gives its second operand for a NaN: a NaN is not the largest */
        float s = f32_join_max(f32_max(f32_abs(high), f32_max(f32_abs(low), f32_set(0.0f)))) / 127.0f;
        scale[begin / KERN_BLOCK] = s >= FLT_MIN ? s : 0.0f;
        f32x16 inverse = f32_set(s >= FLT_MIN ? 1.0f / s : 0.0f);
        i8_store_rounded(q + begin, sum16 + begin / 16, to_int8_range(f32_mul(low, inverse)),
                         to_int8_range(f32_mul(high, inverse)));
    }
}

/* ---- norms ---- */

static float sum(const float *x, size_t count) {
    f32x16 lanes = f32_set(0.0f);
    FOR_LANES (count) lanes = f32_add(lanes, f32_load_n(x + i, n));
    return f32_join_sum(lanes);
}

static float sum_squares(const float *x, size_t count, float center) {
    f32x16 lanes = f32_set(0.0f), c = f32_set(center);
    size_t whole = count / 16 * 16;
    for (size_t i = 0; i < whole; i += 16) {
        f32x16 d = f32_sub(f32_load(x + i), c);
        lanes = f32_fma(d, d, lanes);
    }
    if (whole < count) {
        float rest[16];
        f32_store(rest, lanes);
        for (size_t i = whole; i < count; i++) {
            float d = x[i] - center;
            rest[i - whole] = fmaf(d, d, rest[i - whole]);
        }
        lanes = f32_load(rest);
    }
    return f32_join_sum(lanes);
}

static void rms_norm(const float *x, const float *weight, size_t count, float epsilon, float *out) {
    f32x16 factor = f32_set(1.0f / sqrtf(sum_squares(x, count, 0.0f) / (float)count + epsilon));
    FOR_LANES (count) {
        f32x16 scaled = f32_mul(f32_load_n(x + i, n), factor);
        f32_store_n(out + i, weight ? f32_mul(scaled, f32_load_n(weight + i, n)) : scaled, n);
    }
}

static void layer_norm(const float *x, const float *weight, const float *bias, size_t count, float epsilon,
                       float *out) {
    float mean = sum(x, count) / (float)count;
    f32x16 factor = f32_set(1.0f / sqrtf(sum_squares(x, count, mean) / (float)count + epsilon)), m = f32_set(mean);
    FOR_LANES (count) {
        f32x16 scaled = f32_mul(f32_sub(f32_load_n(x + i, n), m), factor);
        if (weight && bias)
            scaled = f32_fma(scaled, f32_load_n(weight + i, n), f32_load_n(bias + i, n));
        else if (weight)
            scaled = f32_mul(scaled, f32_load_n(weight + i, n));
        f32_store_n(out + i, scaled, n);
    }
}

/* ---- element by element ---- */

SIMD_INLINE void rotate(f32x16 *a, f32x16 *b, f32x16 cosine, f32x16 sine) {
    f32x16 x = *a, y = *b;
    *a = f32_fma(x, cosine, f32_negate(f32_mul(y, sine)));
    *b = f32_fma(x, sine, f32_mul(y, cosine));
}

static void rope_halves(float *head, const float *cosines, const float *sines, size_t pairs) {
    FOR_LANES (pairs) {
        f32x16 a = f32_load_n(head + i, n), b = f32_load_n(head + pairs + i, n);
        rotate(&a, &b, f32_load_n(cosines + i, n), f32_load_n(sines + i, n));
        f32_store_n(head + i, a, n);
        f32_store_n(head + pairs + i, b, n);
    }
}

static void rope_pairs(float *head, const float *cosines, const float *sines, size_t pairs) {
    size_t i = 0;
    for (; i + 16 <= pairs; i += 16) {
        f32x16 a, b, low, high;
        f32_unzip(f32_load(head + 2 * i), f32_load(head + 2 * i + 16), &a, &b);
        rotate(&a, &b, f32_load(cosines + i), f32_load(sines + i));
        f32_zip(a, b, &low, &high);
        f32_store(head + 2 * i, low);
        f32_store(head + 2 * i + 16, high);
    }
    for (; i < pairs; i++) {
        float x = head[2 * i], y = head[2 * i + 1];
        head[2 * i] = fmaf(x, cosines[i], -(y * sines[i]));
        head[2 * i + 1] = fmaf(x, sines[i], y * cosines[i]);
    }
}

static void rope(float *head, const float *cosines, const float *sines, size_t pairs, bool neox) {
    (neox ? rope_halves : rope_pairs)(head, cosines, sines, pairs);
}

static void add(float *x, const float *y, size_t count) {
    FOR_LANES (count) f32_store_n(x + i, f32_add(f32_load_n(x + i, n), f32_load_n(y + i, n)), n);
}

static void scale(float *x, float factor, size_t count) {
    FOR_LANES (count) f32_store_n(x + i, f32_mul(f32_load_n(x + i, n), f32_set(factor)), n);
}

static void silu_mul(const float *gate, const float *up, size_t count, float *out) {
    FOR_LANES (count) f32_store_n(out + i, f32_mul(simd_silu(f32_load_n(gate + i, n)), f32_load_n(up + i, n)), n);
}

static void gelu_mul(const float *gate, const float *up, size_t count, float *out) {
    FOR_LANES (count) {
        f32x16 g = simd_gelu(f32_load_n(gate + i, n));
        f32_store_n(out + i, up ? f32_mul(g, f32_load_n(up + i, n)) : g, n);
    }
}

static void gelu_erf_mul(const float *gate, const float *up, size_t count, float *out) {
    FOR_LANES (count) {
        f32x16 g = simd_gelu_erf(f32_load_n(gate + i, n));
        f32_store_n(out + i, up ? f32_mul(g, f32_load_n(up + i, n)) : g, n);
    }
}

static void relu_squared(const float *x, size_t count, float *out) {
    FOR_LANES (count) {
        f32x16 above = f32_max(f32_load_n(x + i, n), f32_set(0.0f));
        f32_store_n(out + i, f32_mul(above, above), n);
    }
}

static void silu_clamped_mul(const float *gate, const float *up, size_t count, float *out) {
    FOR_LANES (count) f32_store_n(out + i, simd_silu_clamped(f32_load_n(gate + i, n), f32_load_n(up + i, n)), n);
}

static void xielu(const float *x, size_t count, const struct kern_xielu *c, float *out) {
    f32x16 zero = f32_set(0.0f), one = f32_set(1.0f), plus = f32_set(c->plus), minus = f32_set(c->minus);
    FOR_LANES (count) {
        f32x16 v = f32_load_n(x + i, n), above = f32_max(v, zero);
        f32x16 sum = f32_fma(f32_mul(plus, above), above, f32_mul(f32_set(c->slope), v));
        f32x16 power = f32_sub(simd_exp(f32_min(v, f32_set(c->most))), one);
        f32x16 below = f32_zero_below(f32_mul(f32_sub(power, v), minus), f32_negate(v), zero);
        f32_store_n(out + i, f32_add(sum, below), n);
    }
}

static void sigmoid_mul(const float *gate, size_t count, float *x) {
    FOR_LANES (count) {
        f32x16 e = simd_exp(f32_negate(f32_load_n(gate + i, n)));
        f32_store_n(x + i, f32_div(f32_load_n(x + i, n), f32_add(f32_set(1.0f), e)), n);
    }
}

static void softcap(float *x, float cap, size_t count) {
    f32x16 c = f32_set(cap);
    FOR_LANES (count) f32_store_n(x + i, f32_mul(c, simd_tanh(f32_div(f32_load_n(x + i, n), c))), n);
}

/* ---- K and V into a page ---- */

static void store_k_f16(void *page, size_t position, const float *k, size_t head_dim) {
    uint16_t *out = (uint16_t *)page + position, halves[16];
    FOR_LANES (head_dim) {
        f32_to_f16(halves, f32_load_n(k + i, n));
        for (size_t j = 0; j < n; j++) out[(i + j) * KERN_PAGE] = halves[j];
    }
}

static void store_v_f16(void *page, size_t position, const float *v, size_t head_dim) {
    uint16_t *out = (uint16_t *)page + position * head_dim, halves[16];
    FOR_LANES (head_dim) {
        f32_to_f16(halves, f32_load_n(v + i, n));
        memcpy(out + i, halves, n * sizeof *out);
    }
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

void LEVEL(vector_init)(struct kern *k) {
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
    k->store_k[KERN_KV_Q8_0] = store_k_q8_0;
    k->store_v[KERN_KV_F16] = store_v_f16;
    k->store_v[KERN_KV_Q8_0] = store_v_q8_0;
}
