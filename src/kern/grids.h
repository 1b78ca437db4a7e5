/* Grids of the IQ formats: which groups of levels there are, as rows of small numbers. The values that levels stand for
 * are in the layouts' codebooks. What the formats are defined by (ggml-common.h); written out from gguf-py. */
#pragma once
#include <stdint.h>

/* Eight levels of 2 bits, the first in the lowest bits: 8, 25, 43; of the last: -1, 0, 1. */
extern const uint16_t grid_iq2_xxs[256], grid_iq2_xs[512], grid_iq2_s[1024], grid_iq1[2048];
/* Four levels of 3 bits: 4, 12, 20, 28, 36, 44, 52, 62; of the last: 1, 3, ..., 15. */
extern const uint16_t grid_iq3_xxs[256], grid_iq3_s[512];
