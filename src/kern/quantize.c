#include "kern/quantize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kern/half.h"
#include "kern/layout.h"

enum {
    LANES = 8, /* sums run in so many lanes, joined at the end: fast, and the same bits everywhere */
    UNIT_MAX = KERN_BLOCK,
    UNITS_MAX = LAYOUT_SUPER / 16,
    STEPS = 10,     /* candidates on either side of the plain scale, each a tenth of a level from the next */
    STEPS_FINE = 5, /* where there are many levels: farther ones lower the squared error, but make models worse (seen in
                     * the divergence of their outputs) */
    LEVELS_FEW = 8, /* on one side of zero */
};

static const float half_most = 65504.0f, value_most = 1e9f, nearest_magic = 0x1.8p+23f;

/* What a quant can stand for: whole numbers low..high, or the entries of a codebook. */
struct levels {
    float low, high;
    const uint8_t *code; /* of 16 entries + 128, ascending; NULL: whole numbers */
};

/* Values that share a scale (and a minimum): x ~ scale * q + min. */
struct unit {
    const float *x;
    float weight[UNIT_MAX];
    size_t n; /* 16 or 32 */
    float scale, min;
};

/* ---- sums ---- */

static float join(const float lanes[LANES]) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static float sum2(const float *a, const float *b, size_t n) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += a[i + j] * b[i + j];
    return join(lanes);
}

static float sum3(const float *a, const float *b, const float *c, size_t n) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += a[i + j] * b[i + j] * c[i + j];
    return join(lanes);
}

static float sum1(const float *a, size_t n) {
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += a[i + j];
    return join(lanes);
}

/* ---- rounding to levels ---- */

/* index[i] = which entry is next to v[i]; entry by entry, so that it runs over many values at a time. */
static void find_codes(const uint8_t *code, const float *v, size_t n, int32_t *index) {
    for (size_t i = 0; i < n; i++) index[i] = 0;
    for (int k = 0; k < 15; k++) {
        float between = 0.5f * (float)(code[k] + code[k + 1] - 256);
        for (size_t i = 0; i < n; i++) index[i] += v[i] > between;
    }
}

static void round_to_code(const uint8_t *code, float *q, size_t n) {
    int32_t index[UNIT_MAX];
    find_codes(code, q, n, index);
    for (size_t i = 0; i < n; i++) q[i] = (float)(code[index[i]] - 128);
}

/* q[i] = the level next to (x[i] + add) * inverse. */
static void round_all(const struct levels *l, const float *x, size_t n, float inverse, float add, float *q) {
    for (size_t i = 0; i < n; i++) {
        float v = (x[i] + add) * inverse;
        v = v > l->low ? v : l->low;
        q[i] = v < l->high ? v : l->high;
    }
    if (l->code)
        round_to_code(l->code, q, n);
    else
        for (size_t i = 0; i < n; i++) q[i] = (q[i] + nearest_magic) - nearest_magic;
}

static float inverse_of(float scale) { return scale != 0 ? 1.0f / scale : 0.0f; }

/* The squared error of quants that are already there. */
static float error_with(const float *x, const float *q, const float *weight, size_t n, float scale, float min) {
    float off[UNIT_MAX];
    for (size_t i = 0; i < n; i++) off[i] = q[i] * scale + min - x[i];
    return sum3(off, off, weight, n);
}

/* The squared error of the unit with this scale and minimum. */
static float error_of(const struct levels *l, const struct unit *u, float scale, float min) {
    float q[UNIT_MAX];
    round_all(l, u->x, u->n, inverse_of(scale), -min, q);
    return error_with(u->x, q, u->weight, u->n, scale, min);
}

/* ---- fitting a scale ---- */

static float extreme(const float *x, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++) most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    return most;
}

/* The scale for which x ~ scale * q has the least weighted squared error among scales that bring the extreme value
 * about to the far end of the levels; each candidate is refitted to the quants that it gives. */
static float fit_scale(const struct levels *l, const float *x, const float *weight, size_t n) {
    float most = extreme(x, n), far = -l->low >= l->high ? l->low : l->high, best = INFINITY, scale = 0;
    float q[UNIT_MAX];
    float step = (l->code ? 1.0f : 0.1f) * (far < 0 ? -1.0f : 1.0f);
    int steps = l->code || fabsf(far) <= LEVELS_FEW ? STEPS : STEPS_FINE;
    if (most == 0) return 0;
    for (int k = -steps; k <= steps; k++) {
        round_all(l, x, n, (far + step * (float)k) / most, 0, q);
        float qq = sum3(q, q, weight, n), refitted = qq > 0 ? sum3(x, q, weight, n) / qq : 0;
        float error = error_with(x, q, weight, n, refitted, 0);
        if (error >= best) continue;
        best = error;
        scale = refitted;
    }
    return scale;
}

/* Least squares for x ~ scale * q + min; with `below` the minimum is not above 0. False when q tells nothing. */
static bool solve(const struct unit *u, const float *q, bool below, float *scale, float *min) {
    float w = sum1(u->weight, u->n), x = sum2(u->x, u->weight, u->n), l = sum2(q, u->weight, u->n);
    float xl = sum3(u->x, q, u->weight, u->n), ll = sum3(q, q, u->weight, u->n), d = w * ll - l * l;
    if (d <= 0) return false;
    *scale = (w * xl - x * l) / d;
    *min = (ll * x - l * xl) / d;
    if (below && *min > 0) {
        *min = 0;
        *scale = xl / ll;
    }
    return true;
}

static void fit_scale_and_min(const struct levels *l, struct unit *u, bool below) {
    float least = u->x[0], most = u->x[0], q[UNIT_MAX];
    for (size_t i = 1; i < u->n; i++) {
        least = u->x[i] < least ? u->x[i] : least;
        most = u->x[i] > most ? u->x[i] : most;
    }
    if (below && least > 0) least = 0;
    u->min = least;
    u->scale = (most - least) / l->high;
    if (most == least) return;
    float best = error_of(l, u, u->scale, u->min), scale, min;
    for (int k = -STEPS; k <= STEPS; k++) {
        round_all(l, u->x, u->n, (l->high + 0.1f * (float)k) / (most - least), -least, q);
        if (!solve(u, q, below, &scale, &min)) continue;
        float error = error_of(l, u, scale, min);
        if (error >= best) continue;
        best = error;
        u->scale = scale;
        u->min = min;
    }
}

/* ---- blocks ---- */

static float as_half(float value) {
    float clamped = value > half_most ? half_most : value < -half_most ? -half_most : value;
    return half_f16_to_f32(half_f32_to_f16(clamped));
}

static struct levels levels_of(uint32_t type) {
    const struct layout *l = layout_of(type);
    if (l->code == LAYOUT_CODE_NL4) return (struct levels){-127, 113, layout_codebooks[LAYOUT_CODE_NL4]};
    int most = (1 << (l->bits_low + l->bits_high)) - 1 - l->offset;
    return (struct levels){type == TENSOR_Q8_0 ? -127.0f : (float)-l->offset, (float)most, NULL};
}

/* Of the scales and minima of a super-block. */
static struct levels scale_levels(uint32_t type) {
    switch (type) {
    case TENSOR_Q2_K: return (struct levels){0, 15, NULL};
    case TENSOR_Q3_K:
    case TENSOR_IQ4_XS: return (struct levels){-32, 31, NULL};
    case TENSOR_Q6_K: return (struct levels){-128, 127, NULL};
    default: return (struct levels){0, 63, NULL};
    }
}

static void weigh(struct unit *u) {
    float mean = sqrtf(sum2(u->x, u->x, u->n) / (float)u->n);
    for (size_t i = 0; i < u->n; i++) u->weight[i] = mean + fabsf(u->x[i]);
}

/* The unit's values with its scale and minimum, as stored; `first`: its column in the row. */
static void store_quants(const struct layout *l, const struct levels *levels, const struct unit *u, size_t first,
                         struct layout_row *row) {
    uint8_t *out = (uint8_t *)row->words + first;
    float q[UNIT_MAX];
    int32_t index[UNIT_MAX];
    round_all(levels, u->x, u->n, inverse_of(u->scale), -u->min, q);
    if (levels->code) find_codes(levels->code, q, u->n, index);
    for (size_t i = 0; i < u->n; i++) out[i] = (uint8_t)(levels->code ? index[i] : (int32_t)q[i] + l->offset);
}

static void quantize_small(uint32_t type, const float *x, uint8_t *out) {
    const struct layout *l = layout_of(type);
    struct levels levels = levels_of(type);
    struct unit u = {.x = x, .n = KERN_BLOCK};
    struct layout_row row = {0};
    weigh(&u);
    if (layout_has_min(l))
        fit_scale_and_min(&levels, &u, false);
    else
        u.scale = fit_scale(&levels, x, u.weight, u.n);
    u.scale = as_half(u.scale);
    u.min = as_half(u.min);
    row.d = half_f32_to_f16(u.scale);
    row.m = half_f32_to_f16(u.min);
    store_quants(l, &levels, &u, 0, &row);
    layout_encode(type, &row, out);
}

/* ---- super-blocks: scales and minima are quantised themselves ---- */

struct super {
    struct levels levels, scales;
    struct unit units[UNITS_MAX];
    size_t count;
    float d, m; /* a unit's scale is d * scale[i], its minimum -m * min[i] */
    float scale[UNITS_MAX], min[UNITS_MAX];
};

static void fit_units(struct super *s, const float *x, bool has_min) {
    float weight[UNITS_MAX], scales[UNITS_MAX], mins[UNITS_MAX];
    for (size_t i = 0; i < s->count; i++) {
        struct unit *u = &s->units[i];
        u->n = LAYOUT_SUPER / s->count;
        u->x = x + i * u->n;
        weigh(u);
        if (has_min)
            fit_scale_and_min(&s->levels, u, true);
        else
            u->scale = fit_scale(&s->levels, u->x, u->weight, u->n);
        weight[i] = sum1(u->weight, u->n);
        scales[i] = u->scale;
        mins[i] = -u->min;
    }
    s->d = as_half(fit_scale(&s->scales, scales, weight, s->count));
    s->m = has_min ? as_half(fit_scale(&s->scales, mins, weight, s->count)) : 0;
    round_all(&s->scales, scales, s->count, inverse_of(s->d), 0, s->scale);
    round_all(&s->scales, mins, s->count, inverse_of(s->m), 0, s->min);
}

static bool is_level(const struct levels *l, float v) { return v >= l->low && v <= l->high; }

/* Rounding scale and minimum apart is not the best for both: their neighbours are tried too. */
static void refine_unit(struct super *s, size_t i) {
    struct unit *u = &s->units[i];
    float scale = s->scale[i], min = s->min[i], best = INFINITY;
    for (int a = -1; a <= 1; a++) {
        for (int b = -1; b <= 1; b++) {
            float as = scale + (float)a, bs = min + (float)b;
            if (!is_level(&s->scales, as) || !is_level(&s->scales, bs) || (b != 0 && s->m == 0)) continue;
            float error = error_of(&s->levels, u, s->d * as, -s->m * bs);
            if (error >= best) continue;
            best = error;
            s->scale[i] = as;
            s->min[i] = bs;
        }
    }
    u->scale = s->d * s->scale[i];
    u->min = -s->m * s->min[i];
}

static void quantize_super(uint32_t type, const float *x, uint8_t *out) {
    const struct layout *l = layout_of(type);
    bool halves = layout_has_halves(l);
    struct super s = {.levels = levels_of(type), .scales = scale_levels(type), .count = halves ? 16 : 8};
    struct layout_row rows[LAYOUT_SUPER / KERN_BLOCK] = {0};
    fit_units(&s, x, layout_has_min(l));
    for (size_t i = 0; i < s.count; i++) {
        struct layout_row *row = &rows[halves ? i / 2 : i];
        size_t half = halves ? i % 2 : 0;
        refine_unit(&s, i);
        row->d = half_f32_to_f16(s.d);
        row->m = half_f32_to_f16(s.m);
        row->scale[half] = (int8_t)s.scale[i];
        row->min[half] = (uint8_t)s.min[i];
        store_quants(l, &s.levels, &s.units[i], half * 16, row);
    }
    layout_encode(type, rows, out);
}

/* ---- MXFP4: the scale is a power of two ---- */

/* 2^(e - 128) */
static float power(int e) { return ldexpf(1.0f, e - 128); }

/* Twice a magnitude of E2M1, and its index; the sign is the index's highest bit. */
static uint8_t e2m1_index(float v) {
    static const float between[] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    uint8_t index = 0;
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) index += fabsf(v) > between[i];
    return (uint8_t)(index | (v < 0 && index > 0) << 3);
}

static float e2m1_error(const struct unit *u, int e) {
    float error = 0, scale = power(e);
    for (size_t i = 0; i < u->n; i++) {
        float q = (float)(layout_codebooks[LAYOUT_CODE_E2M1][e2m1_index(u->x[i] / scale)] - 128);
        float off = q * scale - u->x[i];
        error += u->weight[i] * off * off;
    }
    return error;
}

static void quantize_mxfp4(const float *x, uint8_t *out) {
    struct unit u = {.x = x, .n = KERN_BLOCK};
    struct layout_row row = {0};
    int exponent, chosen = 0;
    float most = fabsf(extreme(x, u.n)), best = INFINITY;
    weigh(&u);
    frexpf(most, &exponent); /* most < 2^exponent; the greatest level is 12 */
    for (int e = exponent + 128 - 5; most > 0 && e <= exponent + 128 - 3; e++) {
        int valid = e < 0 ? 0 : e > 254 ? 254 : e;
        float error = e2m1_error(&u, valid);
        if (error < best) best = error, chosen = valid;
    }
    row.scale[0] = (int8_t)chosen;
    for (size_t i = 0; i < u.n; i++) ((uint8_t *)row.words)[i] = e2m1_index(x[i] / power(chosen));
    layout_encode(TENSOR_MXFP4, &row, out);
}

/* ---- the contract ---- */

static void store_floats(uint32_t type, const float *x, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (type == TENSOR_F32) {
            memcpy(out + 4 * i, &x[i], sizeof x[i]);
        } else {
            uint16_t half = type == TENSOR_F16 ? half_f32_to_f16(x[i]) : half_f32_to_bf16(x[i]);
            memcpy(out + 2 * i, &half, sizeof half);
        }
    }
}

static float make_sane(float x) {
    if (isnan(x)) return 0;
    return x > value_most ? value_most : x < -value_most ? -value_most : x;
}

bool kern_can_quantize(uint32_t type) {
    return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16 || layout_encodes(type);
}

void kern_quantize(uint32_t type, const float *x, size_t n, void *out) {
    size_t block = tensor_type_block(type);
    uint8_t *data = out;
    float sane[LAYOUT_SUPER];
    assert(kern_can_quantize(type) && n % block == 0);
    if (!layout_of(type)) {
        store_floats(type, x, n, out);
        return;
    }
    for (size_t at = 0; at < n; at += block, data += tensor_type_block_bytes(type)) {
        for (size_t i = 0; i < block; i++) sane[i] = make_sane(x[at + i]);
        if (type == TENSOR_MXFP4)
            quantize_mxfp4(sane, data);
        else if (layout_is_super(layout_of(type)))
            quantize_super(type, sane, data);
        else
            quantize_small(type, sane, data);
    }
}
