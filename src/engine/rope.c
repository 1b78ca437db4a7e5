#include "engine/rope.h"

#include <math.h>

#include "engine/exact.h"

static const double tau = 6.283185307179586, frequency_max = 16; /* a file's divisors can be anything */

/* The pair that turns `turns` times within the original context. */
static double pair_of_turns(const struct model_params *p, const struct model_rope *rope, double turns) {
    return p->rope_dims * exact_log(p->original_context / (turns * tau)) / (2.0 * exact_log(rope->base));
}

/* YaRN: pairs that turn often keep their speed, those that hardly turn are slowed down by the whole factor. The part of
 * the slow speed that pair i has. */
static double yarn_part(const struct model_params *p, const struct model_rope *rope, uint32_t i) {
    double begin = floor(pair_of_turns(p, rope, rope->beta_fast)), end = ceil(pair_of_turns(p, rope, rope->beta_slow));
    begin = begin > 0 ? begin : 0;
    end = end < p->rope_dims - 1 ? end : p->rope_dims - 1;
    double width = end - begin > 0.001 ? end - begin : 0.001, part = (i - begin) / width;
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

void rope_frequencies(const struct model_params *p, const struct model_rope *rope, const float *divisors, double *out) {
    double log_base = exact_log(rope->base);
    for (uint32_t i = 0; i < p->rope_dims / 2; i++) {
        double slow_part = rope->scaling == MODEL_SCALING_YARN ? yarn_part(p, rope, i) : 1.0;
        out[i] = exact_exp(-2.0 * i / p->rope_dims * log_base);
        if (divisors) out[i] /= divisors[i];
        out[i] = out[i] * (1.0 - slow_part) + out[i] / rope->factor * slow_part;
        if (!(out[i] >= 0 && out[i] <= frequency_max)) out[i] = frequency_max;
    }
}

float rope_magnitude(const struct model_rope *rope) {
    double magnitude = rope->magnitude, stretch = exact_log(rope->factor);
    if (rope->scaling != MODEL_SCALING_YARN) return rope->magnitude;
    return (float)(magnitude * (1.0 + 0.1 * stretch) / (1.0 + 0.1 * rope->log_multiplier * stretch));
}

float rope_attention_scale(const struct model_params *p) {
    double root = 1.0 + 0.1 * p->latent.yarn_multiplier * exact_log(p->rope.factor);
    return p->latent.kv_rank > 0 ? (float)(p->attention_scale * root * root) : p->attention_scale;
}

void rope_turn(const double *frequencies, size_t pairs, float magnitude, uint32_t position, float *cosines,
               float *sines) {
    for (size_t i = 0; i < pairs; i++) {
        double sine, cosine;
        exact_sincos(position * frequencies[i], &sine, &cosine);
        cosines[i] = (float)(cosine * magnitude);
        sines[i] = (float)(sine * magnitude);
    }
}
