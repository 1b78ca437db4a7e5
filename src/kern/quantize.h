/* Floats to the quantised formats of model files.
 *
 * Scales are searched for the least squared error, in which large values count more: they matter more than their number
 * says. The plain scale from the extremes is always among the candidates, so what lies on a format's grid already stays
 * there. No importance matrix. The same bits on every machine. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* F32, F16, BF16 and every type that kern_supports() but IQ1, IQ2, IQ3 and TQ. */
bool kern_can_quantize(uint32_t type);
/* n values, whole blocks of the type, to the file's layout. In quantised types NaN counts as 0, and what
 * lies beyond 10^9 as that: no format reaches so far. */
void kern_quantize(uint32_t type, const float *x, size_t n, void *out);
