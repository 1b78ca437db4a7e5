/* From logits to a token: biases, penalties, temperature, top-k, top-p, min-p and seeded noise.
 *
 * Applied in this order; top-p and min-p look at the probabilities after temperature. The noise is Gumbel-max by (seed,
 * position, token id), so a draw does not depend on the batch, the node or the plan:
 * token = argmax(logit / temperature + gumbel(seed, position, id)) over what the filters leave. temperature 0 is
 * argmax, the lowest id winning ties. Pure, one thread per call.
 * Gumbel-max: Maddison, Tarlow, Minka: "A* Sampling", 2014. Top-p: Holtzman et al., 2020. Repetition penalty: Keskar et
 * al.: "CTRL", 2019. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct sampler_bias {
    uint32_t token;
    float bias; /* added to its logit before anything else */
};

struct sampler_options {
    float temperature;        /* 0: greedy */
    uint32_t top_k;           /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off; divides positive and multiplies negative logits of tokens seen */
    float presence_penalty, frequency_penalty; /* 0: off; subtracted once, and once per occurrence */
    uint64_t seed;
    const struct sampler_bias *biases; /* the caller's */
    uint32_t bias_count;
};

struct sampler_options sampler_defaults(void); /* temperature 0.7, top_p 0.95, everything else off, seed 0 */

enum { SAMPLER_SCRATCH_BYTES = 8 }; /* per token of the vocabulary */

/* The token for `position`; `history` are the session's tokens so far (for the penalties). logits are changed.
 * `scratch` holds vocab * SAMPLER_SCRATCH_BYTES bytes, aligned for floats. Tokens less likely than e^-16 of the best
 * one count as outside of top-k, top-p and min-p. */
uint32_t sampler_draw(const struct sampler_options *o, float *logits, size_t vocab, const uint32_t *history,
                      size_t history_count, uint32_t position, void *scratch);
