/* Which level the sources of this folder are being compiled for, and what they add up to: each source fills its part of
 * that level's table. LEVEL is not defined where the compiler has no level. Included by lanes/, x86/ and arm/ only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

#define SIMD_INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that what it indexes can stay in registers. */
#define UNROLLED(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (int)(count); i++)

#if defined SIMD_AMX
#define LEVEL(name) lanes_amx_##name
#elif defined __AVX512VNNI__
#define LEVEL(name) lanes_avx512_##name
#elif defined __AVX2__
#define LEVEL(name) lanes_avx2_##name
#elif defined __ARM_FEATURE_MATMUL_INT8
#define LEVEL(name) lanes_i8mm_##name
#elif defined __ARM_FEATURE_DOTPROD
#define LEVEL(name) lanes_dotprod_##name
#elif defined __ARM_NEON
#define LEVEL(name) lanes_neon_##name
#endif

#ifdef LEVEL
void LEVEL(matmul_int8_init)(struct kern *k);
void LEVEL(matmul_float_init)(struct kern *k);
void LEVEL(vector_init)(struct kern *k);
void LEVEL(attention_init)(struct kern *k);
#endif
