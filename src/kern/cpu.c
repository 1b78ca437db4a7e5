#include <assert.h>
#include <string.h>

#include "kern/kern.h"
#include "kern/lanes/levels.h"
#include "kern/ref/ref.h"

static void ref_init(struct kern *k) {
    ref_matmul_init(k);
    ref_vector_init(k);
    ref_attention_init(k);
}

static const struct {
    const char *name;
    void (*init)(struct kern *k);
    uint64_t (*peak_int8)(uint64_t iterations);
} levels[KERN_ISA_COUNT] = {
    [KERN_REF] = {"ref", ref_init, ref_peak_int8},
#define X(level, LEVEL) [KERN_##LEVEL] = {#level, lanes_##level##_init, lanes_##level##_peak_int8},
    LANES_LEVELS(X)
#undef X
};

#if defined __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 }; /* arch_prctl's ARCH_REQ_XCOMP_PERM, XCR0's bit of tiles */

/* Not every compiler's run-time check knows the name. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & bit_F16C;
}

/* The state of tiles is large: Linux saves it for whoever asks (Documentation/arch/x86/xstate.rst). */
static bool has_amx(void) {
    const unsigned tile_and_int8 = 3u << 24;
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & tile_and_int8) != tile_and_int8) return false;
    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}

/* The compiler's run-time checks include XCR0: whether the system saves the wide registers. */
enum kern_isa kern_isa_best(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) return KERN_REF;
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vnni");
    if (!avx512) return KERN_AVX2;
    return has_amx() ? KERN_AMX : KERN_AVX512;
}
#elif defined __aarch64__
#include <sys/auxv.h>

enum kern_isa kern_isa_best(void) {
    if (!(getauxval(AT_HWCAP) & HWCAP_ASIMDDP)) return KERN_NEON;
    return getauxval(AT_HWCAP2) & HWCAP2_I8MM ? KERN_I8MM : KERN_DOTPROD;
}
#else
enum kern_isa kern_isa_best(void) { return KERN_REF; }
#endif

const char *kern_isa_name(enum kern_isa isa) { return isa < KERN_ISA_COUNT ? levels[isa].name : "unknown"; }

bool kern_isa_parse(const char *name, enum kern_isa *out) {
    for (int i = 0; i < KERN_ISA_COUNT; i++)
        if (strcmp(name, levels[i].name) == 0) {
            *out = (enum kern_isa)i;
            return true;
        }
    return false;
}

void kern_init(struct kern *k, enum kern_isa isa) {
    assert(isa <= kern_isa_best());
    *k = (struct kern){.isa = isa};
    ref_init(k);
    levels[isa].init(k);
}

uint64_t kern_peak_int8(enum kern_isa isa, uint64_t iterations) {
    assert(isa <= kern_isa_best());
    return levels[isa].peak_int8(iterations);
}
