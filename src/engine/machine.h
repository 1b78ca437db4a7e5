/* What a machine's memory and multipliers give to plain loops: the limits that everything else is measured by, and what
 * a node tells others of itself. Takes from a tenth of a second to seconds; one thread, the compute pool is inside. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/pool.h"
#include "kern/kern.h"
#include "os/memory.h"

enum { MACHINE_READ_BYTES = 256 << 20 }; /* far beyond any cache that matters */

struct machine {
    struct pool *pool;
    struct memory memory;
    enum kern_isa isa;
    atomic_uint_fast64_t sink; /* keeps the compiler from dropping the loops */
};

/* ERR_NOMEM. `read_bytes` is rounded down to whole MiB, at least one. */
int machine_init(struct machine *m, unsigned threads, enum kern_isa isa, uint64_t read_bytes, struct error *error);
void machine_deinit(struct machine *m);
/* Bytes/s of a plain read loop, and int8 multiply-adds/s of a register loop on all threads, for at least so long. */
double machine_read(struct machine *m, uint64_t at_least_ns);
double machine_multiply(struct machine *m, uint64_t at_least_ns);

/* A CPU quota: threads that never wait run so long of each period. */
struct machine_brake {
    uint32_t run_us, period_us; /* 0, 0: none */
};

struct machine_rates {
    double read_bandwidth, matmul_rate;
    struct machine_brake brake;
};

/* Both rates as they can be kept up: under a quota the mean over some periods, else the best of some tries, since
 * others may disturb them. `known`: the quota, if it is known. Takes no more than `memory_max` bytes. ERR_NOMEM. */
int machine_measure(unsigned threads, enum kern_isa isa, const struct machine_brake *known, uint64_t memory_max,
                    struct machine_rates *out);

/* The level that multiplies a prompt by a matrix faster; both must be ones of this CPU. Some milliseconds. */
enum kern_isa machine_faster(enum kern_isa a, enum kern_isa b);
