/* Levels of instructions: which there are, and which this CPU has. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* The levels of the architecture that the program is built for; each CPU that has one has those before it. */
enum kern_isa {
    KERN_REF,
#if defined __x86_64__
    KERN_AVX2,   /* and FMA, F16C */
    KERN_AVX512, /* F, BW, VL, DQ, VNNI */
    KERN_AMX,    /* TILE, INT8 */
#elif defined __aarch64__
    KERN_NEON,
    KERN_DOTPROD, /* of Armv8.2 */
    KERN_I8MM,    /* of Armv8.6 */
#endif
    KERN_ISA_COUNT
};

/* The best level of this CPU (x86: CPUID and XCR0, Arm: what the kernel tells of it). Asks Linux for the state of AMX
 * tiles where there are any. */
enum kern_isa kern_isa_best(void);
const char *kern_isa_name(enum kern_isa isa); /* "ref", "avx2", "neon", ... */
/* False when no such level exists. */
bool kern_isa_parse(const char *name, enum kern_isa *out);

/* How far ahead memory that is read once, from its beginning to its end, is best fetched by instruction, in bytes; 0
 * where the CPU's own prefetchers are quicker without (docs/decisions/0023). */
static inline size_t kern_read_ahead(void) {
#if defined __x86_64__
    return __builtin_cpu_is("intel") ? 4096 : 0;
#else
    return 0;
#endif
}
