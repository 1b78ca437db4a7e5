#include "engine/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "os/clock.h"

enum {
    CHUNK_BYTES = 1 << 20,
    READ_PASSES = 3,
    PEAK_CHUNKS = 64, /* so that a core that was taken away costs little */
    PEAK_ITERATIONS = 100000,
    TRIES = 3,
    TRY_NS = 600000000, /* neighbours come and go: the best of all tries in this time */
    TRIES_BRAKED = 2,
    PERIODS = 20,         /* of a quota: the odd part of one that gets in weighs little */
    PERIODS_MAX_MS = 800, /* but two of them in any case */
    MEMORY_PARTS = 8,     /* no more than this part of the memory that is left */
    WATCH_NS = 300000000,
    LONG_NS = 15000000, /* a standstill so long may belong to a long period */
    LONG_WATCH_NS = 700000000,
    STANDSTILL_NS = 200000,
    STANDSTILLS_MIN = 4, /* to be called regular */
    STANDSTILLS_MAX = 600,
};

static void read_task(void *context, unsigned member, size_t begin, size_t end) {
    struct machine *m = context;
    const uint64_t *words = m->memory.data;
    uint64_t sums[16] = {0}, sum = 0;
    const size_t ahead = kern_read_ahead() / 8;
    for (size_t i = begin / 8; i < end / 8; i += ARRAY_LEN(sums)) {
        for (size_t j = 0; ahead && j < ARRAY_LEN(sums); j += 8) __builtin_prefetch(words + i + j + ahead);
        for (size_t j = 0; j < ARRAY_LEN(sums); j++) sums[j] += words[i + j];
    }
    for (size_t j = 0; j < ARRAY_LEN(sums); j++) sum += sums[j];
    atomic_fetch_add(&m->sink, sum);
}

static void peak_task(void *context, unsigned member, size_t begin, size_t end) {
    struct machine *m = context;
    for (size_t i = begin; i < end; i++) atomic_fetch_add(&m->sink, kern_peak_int8(m->isa, PEAK_ITERATIONS));
}

double machine_read(struct machine *m, uint64_t at_least_ns) {
    uint64_t begin_ns = clock_ns(), took_ns = 0, passes = 0;
    for (; passes < READ_PASSES || took_ns < at_least_ns; passes++) {
        pool_run(m->pool, m->memory.bytes, CHUNK_BYTES, read_task, m);
        took_ns = clock_ns() - begin_ns;
    }
    return (double)passes * (double)m->memory.bytes * 1e9 / (double)took_ns;
}

static double multiply_once(struct machine *m, uint64_t at_least_ns) {
    uint64_t begin_ns = clock_ns(), took_ns;
    atomic_store(&m->sink, 0);
    do {
        pool_run(m->pool, PEAK_CHUNKS, 1, peak_task, m);
        took_ns = clock_ns() - begin_ns;
    } while (took_ns < at_least_ns);
    return (double)atomic_load(&m->sink) * 1e9 / (double)took_ns;
}

double machine_multiply(struct machine *m, uint64_t at_least_ns) {
    double best = 0.0;
    for (int i = 0; i < (at_least_ns ? 1 : TRIES); i++) {
        double rate = multiply_once(m, at_least_ns);
        if (rate > best) best = rate;
    }
    return best;
}

int machine_init(struct machine *m, unsigned threads, enum kern_isa isa, uint64_t read_bytes, struct error *error) {
    *m = (struct machine){.isa = isa};
    read_bytes = read_bytes < CHUNK_BYTES ? CHUNK_BYTES : read_bytes / CHUNK_BYTES * CHUNK_BYTES;
    if (memory_reserve(&m->memory, read_bytes, false) < 0 || pool_new(&m->pool, threads) < 0) {
        memory_release(&m->memory);
        return error_set(error, ERR_NOMEM, "out of memory");
    }
    memset(m->memory.data, 1, read_bytes); /* untouched pages would all be the same zero page */
    return 0;
}

void machine_deinit(struct machine *m) {
    pool_free(m->pool);
    memory_release(&m->memory);
}

/* ---- quotas ---- */

/* When a thread that never waits began to run again after it had stood still. */
struct standstills {
    uint64_t until_ns, begin_ns, stood_ns; /* stood_ns: all of them together */
    uint64_t at_ns[STANDSTILLS_MAX];
    unsigned count;
    bool long_ones;
};

static void watch_clock(struct standstills *s) {
    uint64_t last_ns = s->begin_ns = clock_ns();
    while (last_ns < s->until_ns && s->count < STANDSTILLS_MAX) {
        uint64_t now_ns = clock_ns(), gap_ns = now_ns - last_ns;
        if (gap_ns > STANDSTILL_NS) {
            s->at_ns[s->count++] = now_ns;
            s->stood_ns += gap_ns;
            if (gap_ns > LONG_NS && !s->long_ones) s->until_ns += LONG_WATCH_NS;
            s->long_ones |= gap_ns > LONG_NS;
        }
        last_ns = now_ns;
    }
}

/* Every thread computes, since the quota is for all of them; the first one watches. */
static void watch_task(void *context, unsigned member, size_t begin, size_t end) {
    struct standstills own = {.until_ns = clock_ns() + WATCH_NS};
    struct standstills *out = context;
    watch_clock(&own);
    if (begin == 0) *out = own;
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The distance between two that most have, or a multiple of it; 0: they come at odd times, and are somebody else's. */
static uint64_t regular_ns(const struct standstills *s) {
    uint64_t distance[STANDSTILLS_MAX];
    unsigned count = s->count - 1, regular = 0;
    for (unsigned i = 0; i < count; i++) distance[i] = s->at_ns[i + 1] - s->at_ns[i];
    qsort(distance, count, sizeof *distance, compare_u64);
    uint64_t median = distance[count / 2], off = median / 32;
    for (unsigned i = 0; i < count; i++) regular += distance[i] % median <= off || median - distance[i] % median <= off;
    return regular * 4 >= count * 3 ? median : 0;
}

/* Find a quota that nothing tells of (a container may not see its control group) by what it does: threads that compute
 * stand still at regular times. Takes 0.3 s, or 1 s where they stand still for long. */
static struct machine_brake find_brake(struct machine *m) {
    struct standstills s = {0};
    pool_run(m->pool, pool_threads(m->pool), 1, watch_task, &s);
    uint64_t period_ns = s.count > STANDSTILLS_MIN ? regular_ns(&s) : 0;
    if (period_ns == 0) return (struct machine_brake){0};
    uint64_t took_ns = s.at_ns[s.count - 1] - s.begin_ns;
    return (struct machine_brake){.run_us = (uint32_t)(period_ns * (took_ns - s.stood_ns) / took_ns / 1000),
                                  .period_us = (uint32_t)((period_ns + 500) / 1000)};
}

static uint64_t window_ns(uint64_t period_us) {
    uint64_t window_us = PERIODS * period_us, least_us = 2 * period_us, most_us = PERIODS_MAX_MS * 1000;
    if (window_us > most_us) window_us = most_us;
    return 1000 * (window_us > least_us ? window_us : least_us);
}

int machine_measure(unsigned threads, enum kern_isa isa, const struct machine_brake *known, uint64_t memory_max,
                    struct machine_rates *out) {
    struct machine m;
    uint64_t bytes = memory_max / MEMORY_PARTS;
    int rc = machine_init(&m, threads, isa, bytes < MACHINE_READ_BYTES ? bytes : MACHINE_READ_BYTES, NULL);
    if (rc) return rc;
    *out = (struct machine_rates){.brake = known->period_us ? *known : find_brake(&m)};
    uint64_t window = window_ns(out->brake.period_us);
    uint64_t end_ns = clock_ns() + TRY_NS;
    for (int i = 0; i < (window ? TRIES_BRAKED : TRIES) || (!window && clock_ns() < end_ns); i++) {
        double read = machine_read(&m, window), multiply = machine_multiply(&m, window);
        if (read > out->read_bandwidth) out->read_bandwidth = read;
        if (multiply > out->matmul_rate) out->matmul_rate = multiply;
    }
    machine_deinit(&m);
    return 0;
}

/* ---- levels ---- */

enum { TRIAL_PANELS = 8, TRIAL_COLS = 2048, TRIAL_TOKENS = 64, TRIAL_TRIES = 5 };

/* A matrix that stays in the cache; what it holds does not matter. */
struct trial {
    _Alignas(KERN_ALIGN) uint8_t panels[TRIAL_PANELS * KERN_LANES * TRIAL_COLS * 2];
    int8_t q[TRIAL_TOKENS][TRIAL_COLS];
    float scale[TRIAL_TOKENS][TRIAL_COLS / KERN_BLOCK];
    int32_t sum16[TRIAL_TOKENS][TRIAL_COLS / 16];
    float out[TRIAL_TOKENS][TRIAL_PANELS * KERN_LANES];
};

static uint64_t trial_ns(struct trial *t, enum kern_isa isa) {
    const struct kern_input in = {.q = t->q[0], .scale = t->scale[0], .sum16 = t->sum16[0], .q_stride = TRIAL_COLS};
    const size_t rows = TRIAL_PANELS * KERN_LANES;
    uint64_t best_ns = UINT64_MAX;
    struct kern k;
    kern_init(&k, isa);
    for (int i = 0; i < TRIAL_TRIES; i++) {
        uint64_t begin_ns = clock_ns(), took_ns;
        k.matmul[TENSOR_Q8_0](t->panels, rows, TRIAL_COLS, 0, TRIAL_PANELS, &in, TRIAL_TOKENS, t->out[0], rows);
        took_ns = clock_ns() - begin_ns;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    return best_ns;
}

enum kern_isa machine_faster(enum kern_isa a, enum kern_isa b) {
    struct trial *t = aligned_alloc(KERN_ALIGN, sizeof *t);
    if (!t) return a;
    memset(t, 0, sizeof *t);
    bool b_is = trial_ns(t, b) < trial_ns(t, a);
    free(t);
    return b_is ? b : a;
}
