/* Layers with a state instead of a cache, within forward.h's pass. */
#pragma once
#include "engine/forward.h"

/* Rows of scratch: what comes into a layer of this kind, and behind that what leaves its convolution. */
size_t forward__recurrence_width(const struct model_recurrence *r);
/* f->normed to f->attended, of a layer with a state. A session's rows are at consecutive positions, one after another.
 */
void forward__recur(struct forward *f, const struct forward_part *part, uint32_t index);
