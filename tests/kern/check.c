#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "amx_emulator.h"
#include "kern/lanes/levels.h"

enum { CANARY = 0xa5, CANARY_BYTES = 64, FAILURES_MAX = 20 };

static int failures;

void check_failed(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (++failures >= FAILURES_MAX) exit(1);
}

struct guarded guarded_new(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = size_round_up(bytes + CANARY_BYTES, page);
    uint8_t *map = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + body, page, PROT_NONE) < 0) {
        perror("mmap");
        exit(1);
    }
    memset(map, CANARY, body);
    return (struct guarded){map + body - bytes, bytes, map, body + page};
}

void guarded_free(struct guarded *g) {
    const uint8_t *before = (const uint8_t *)g->data - CANARY_BYTES;
    for (int i = 0; i < CANARY_BYTES; i++) CHECK(before[i] == CANARY, "byte %d before a buffer was changed", i - 64);
    munmap(g->map, g->map_bytes);
}

float random_float(uint64_t *random) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += (float)prng_below(random, 1 << 20) / (1 << 19) - 1.0f;
    return sum;
}

void random_floats(uint64_t *random, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = random_float(random);
}

/* An f16 of either sign with an exponent around that of 0.01. */
static void put_random_f16(uint64_t *random, uint8_t *out) {
    uint16_t bits = (uint16_t)(prng_next(random) & 0x83ff) | (uint16_t)((6 + prng_below(random, 6)) << 10);
    memcpy(out, &bits, sizeof bits);
}

/* Where a block keeps its one or two f16s; -1: none. */
static void f16_places(uint32_t type, int places[2]) {
    places[0] = 0;
    places[1] = -1;
    switch (type) {
    case TENSOR_Q4_1:
    case TENSOR_Q5_1:
    case TENSOR_Q4_K:
    case TENSOR_Q5_K: places[1] = 2; break;
    case TENSOR_Q2_K: places[0] = 80, places[1] = 82; break;
    case TENSOR_Q3_K: places[0] = 108; break;
    case TENSOR_Q6_K: places[0] = 208; break;
    case TENSOR_TQ1_0: places[0] = 52; break;
    case TENSOR_TQ2_0: places[0] = 64; break;
    case TENSOR_IQ1_M:
    case TENSOR_MXFP4: places[0] = -1; break;
    default: break;
    }
}

static void put_random_scales(uint64_t *random, uint32_t type, uint8_t *block) {
    int places[2];
    f16_places(type, places);
    for (int i = 0; i < 2; i++)
        if (places[i] >= 0) put_random_f16(random, block + places[i]);
    if (type == TENSOR_IQ1_M) block[55] = (uint8_t)((block[55] & 0x0f) | 0x20); /* the upper nibble of its f16 */
    bool tiny = prng_below(random, 10) == 0;                                    /* denormal scales too */
    if (type == TENSOR_MXFP4) block[0] = (uint8_t)(tiny ? prng_below(random, 3) : 110 + prng_below(random, 20));
}

void random_blocks(uint64_t *random, uint32_t type, uint8_t *out, size_t blocks) {
    size_t bytes = tensor_type_block_bytes(type);
    for (size_t block = 0; block < blocks; block++, out += bytes) {
        if (type == TENSOR_F32) {
            float value = random_float(random);
            memcpy(out, &value, sizeof value);
        } else if (bytes == 2) { /* F16, BF16 */
            put_random_f16(random, out);
            if (type == TENSOR_BF16) out[1] = (uint8_t)((out[1] & 0x80) | 0x3d);
        } else {
            for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)prng_next(random);
            put_random_scales(random, type, out);
        }
    }
}

void fill_blocks(uint64_t *random, uint32_t type, uint8_t value, uint8_t *out, size_t blocks) {
    size_t bytes = tensor_type_block_bytes(type);
    memset(out, value, blocks * bytes);
    for (size_t block = 0; block < blocks; block++) put_random_scales(random, type, out + block * bytes);
}

static void check_level(const struct kern *level, const char *how) {
    struct kern ref;
    int before = failures;
    kern_init(&ref, KERN_REF);
    check_matmul(&ref, level);
    check_vector(&ref, level);
    check_attention(&ref, level);
    printf("%s: %s%s\n", kern_isa_name(level->isa), failures == before ? "ok" : "FAILED", how);
}

#if defined __x86_64__
/* The level's code runs as it is, the instructions that the CPU lacks in software. */
static bool check_emulated(enum kern_isa isa) {
    struct kern level;
    if (isa != KERN_AMX || kern_isa_best() != KERN_AVX512 || !amx_emulate()) return false;
    kern_init(&level, KERN_AVX512);
    level.isa = isa;
    lanes_amx_init(&level);
    check_level(&level, ", emulated");
    CHECK(amx_emulated() > 0, "no tile was multiplied");
    return true;
}
#else
static bool check_emulated(enum kern_isa isa) {
    (void)isa;
    return false;
}
#endif

static int usage(const char *name) {
    fprintf(stderr, "usage: %s [--from ISA | --bench [ISA|TYPE]]\n", name);
    return 2;
}

int main(int argc, char **argv) {
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0, from = argc == 3 && strcmp(argv[1], "--from") == 0;
    enum kern_isa first = KERN_REF;
    if ((argc > 1 && !bench && !from) || (from && !kern_isa_parse(argv[2], &first))) return usage(argv[0]);
    if (!bench && first == KERN_REF) {
        check_formats();
        check_writing();
    }
    for (enum kern_isa isa = first; isa < KERN_ISA_COUNT; isa++) {
        struct kern level;
        if (isa > kern_isa_best()) {
            if (bench || !check_emulated(isa)) printf("%s: skipped, this CPU does not have it\n", kern_isa_name(isa));
            continue;
        }
        kern_init(&level, isa);
        if (bench)
            bench_kernels(&level, argc > 2 ? argv[2] : NULL);
        else
            check_level(&level, "");
    }
    return failures > 0;
}
