/* The plain C kernels: the truth, for any CPU. They fill a whole table. Pure, any thread. */
#pragma once
#include "kern/kern.h"

void ref_matmul_init(struct kern *k);
void ref_vector_init(struct kern *k);
void ref_attention_init(struct kern *k);
/* See kern_peak_int8. */
uint64_t ref_peak_int8(uint64_t iterations);
