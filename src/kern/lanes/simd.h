/* Sixteen lanes as the level that is being compiled has them: one AVX-512 register, two of AVX2 or four of NEON. The
 * same names with the same bits, so that the kernels of this folder are written once. `_n` forms touch only the first n
 * lanes (0 < n <= 16) in memory and give zeroes in the others; max and min give their second operand for a NaN, as x86
 * has it. Included by lanes/ sources only. */
#pragma once
#if defined __AVX512VNNI__
#include "kern/x86/dots_avx512.h"
#elif defined __AVX2__
#include "kern/x86/dots_avx2.h"
#elif defined __ARM_FEATURE_MATMUL_INT8
#include "kern/arm/dots_i8mm.h"
#elif defined __ARM_FEATURE_DOTPROD
#include "kern/arm/dots_dotprod.h"
#elif defined __ARM_NEON
#include "kern/arm/dots_neon.h"
#endif
