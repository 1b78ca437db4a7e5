#include "kern/lanes/levels.h"
#include "kern/lanes/simd.h"

void LEVEL(init)(struct kern *k) {
    LEVEL(matmul_int8_init)(k);
    LEVEL(matmul_float_init)(k);
    LEVEL(vector_init)(k);
    LEVEL(attention_init)(k);
}

/* As many independent sums as hide the latency. The compiler must not know the operands. AMX counts as AVX-512: what
 * its tiles multiply, while nobody takes up their sums, says nothing of any product (docs/decisions/0022). */
uint64_t LEVEL(peak_int8)(uint64_t iterations) {
    enum { CHAINS = SIMD_TOKENS };
    struct dots sums[CHAINS];
    const int32_t zero = 0;
    const int8_t q[4] = {1, 2, 3, 4};
    u8x64 w = u8_set(3);
    UNROLLED (i, CHAINS) sums[i] = dots_begin(&zero);
    for (uint64_t n = 0; n < iterations; n++) {
        UNROLLED (i, CHAINS) {
            SIMD_KEEP_BYTES(w);
            dots_add(&sums[i], w, q);
            SIMD_KEEP(sums[i]);
        }
    }
    return iterations * CHAINS * sizeof(u8x64);
}
