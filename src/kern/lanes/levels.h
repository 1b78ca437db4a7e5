/* The kernels that are written once, over sixteen lanes (simd.h), and compiled once per level with that level's flags.
 * A level overwrites every function of the table. Call only what kern_isa_best() allows. Pure, any thread. */
#pragma once
#include "kern/kern.h"

/* X(level, LEVEL): what this machine's CPUs may have, the least first. */
#if defined __x86_64__
#define LANES_LEVELS(X) X(avx2, AVX2) X(avx512, AVX512) X(amx, AMX)
#elif defined __aarch64__
#define LANES_LEVELS(X) X(neon, NEON) X(dotprod, DOTPROD) X(i8mm, I8MM)
#else
#define LANES_LEVELS(X)
#endif

#define X(level, LEVEL)                                                                                                \
    void lanes_##level##_init(struct kern *k);                                                                         \
    uint64_t lanes_##level##_peak_int8(uint64_t iterations);
LANES_LEVELS(X)
#undef X
