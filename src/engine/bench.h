/* How fast this machine runs a model, beside what its memory and its multipliers could do: the numbers of
 * `caravan bench`. The limits are measured right beside each rate, on the same number of threads. One thread; takes
 * seconds. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "kern/kern.h"
#include "model/model.h"

enum { BENCH_REPEAT_MAX = 100 };

struct bench_options {
    unsigned threads;  /* 0: one per core */
    uint32_t prompt;   /* tokens of prefill, and of context when decoding starts; >= 1 */
    uint32_t generate; /* tokens decoded; >= 1 */
    uint32_t repeat;   /* 1 .. BENCH_REPEAT_MAX */
    uint32_t batch;    /* sequences that decode together; 1 .. STEP_ROWS_MAX */
    enum kern_isa isa;
};

struct bench_rate {
    double median, min, max;
};

struct bench_result {
    unsigned threads;
    uint64_t weights_bytes;            /* of the whole model, in the file's format */
    struct bench_rate read_bandwidth;  /* bytes/s of a plain read loop */
    double matmul_peak;                /* int8 multiply-adds/s of a register loop */
    struct bench_rate prefill, decode; /* tokens/s, of all sequences together */
    double decode_bandwidth_fraction;  /* bytes of the matrices that a step reads x steps/s / read bandwidth */
    double prefill_matmul_fraction;    /* multiply-adds with weights, head once / matmul_peak */
};

int bench_run(const struct model *m, const struct bench_options *options, struct bench_result *out,
              struct error *error);
