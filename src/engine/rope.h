/* Rotary position embedding (Su et al.: "RoFormer", 2021): how far each pair of channels turns at a position, and how
 * that is stretched to longer contexts (YaRN: Peng et al., 2023). Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

/* Radians per position for each of rope_dims / 2 pairs: base^(-2i / dims), stretched, divided by divisors[i] (NULL:
 * ones). */
void rope_frequencies(const struct model_params *p, const struct model_rope *rope, const float *divisors, double *out);
/* What cosines and sines are multiplied by. */
float rope_magnitude(const struct model_rope *rope);
/* What q.k is multiplied by, the stretch of latent attention included. */
float rope_attention_scale(const struct model_params *p);
/* cos and sin of each pair's angle at a position, times `magnitude`. */
void rope_turn(const double *frequencies, size_t pairs, float magnitude, uint32_t position, float *cosines,
               float *sines);
