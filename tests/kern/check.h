/* What the checks of the kernels share: guarded memory, random data, reports. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"
#include "base/size.h"
#include "kern/kern.h"

/* Memory that ends at a page that must not be touched and begins behind bytes that must not change. */
struct guarded {
    void *data;
    size_t bytes;
    void *map;
    size_t map_bytes;
};

struct guarded guarded_new(size_t bytes);
/* Also checks the bytes before the data. */
void guarded_free(struct guarded *g);

/* One line on stderr and a failed run. */
void check_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check_failed(__VA_ARGS__);                                                                   \
    } while (0)

float random_float(uint64_t *random); /* about normal */
void random_floats(uint64_t *random, float *out, size_t n);
/* Rows of a file's blocks: any quants, scales that are numbers. */
void random_blocks(uint64_t *random, uint32_t type, uint8_t *out, size_t blocks);
/* The same with every byte but those of the scales set to `value`; quantised types only. */
void fill_blocks(uint64_t *random, uint32_t type, uint8_t value, uint8_t *out, size_t blocks);

/* Each runs `level` against `ref` (and ref against double arithmetic, when they are the same). */
void check_formats(void);
void check_writing(void);
void check_matmul(const struct kern *ref, const struct kern *level);
void check_vector(const struct kern *ref, const struct kern *level);
void check_attention(const struct kern *ref, const struct kern *level);

/* Prints GB/s and G multiply-adds/s beside a plain read loop and the register peak of the level. */
void bench_kernels(const struct kern *level, const char *only);
