/* sim SEEDS [FIRST [stop]]: run so many seeds, from FIRST (1) on, on all cores; with `stop`, until a rule is broken.
 * Prints what is broken and ends with a line
 * `N seeds, N violations`. `sim 1 SEED` prints what happens as it happens; with a third argument, every message too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "story.h"
#include "world.h"

enum { WORKERS_MAX = 64, REPEAT_EVERY = 20, NOTICED_MAX = 1 << 16 };

/* What the workers tell; shared memory. */
struct progress {
    bool stop;                /* at the first violation */
    uint64_t at[WORKERS_MAX]; /* the seed that each works on; 0: done */
    uint64_t violations[WORKERS_MAX];
    uint64_t events[WORKERS_MAX];
    uint32_t noticed_ms[NOTICED_MAX]; /* by seed: how long a silent loss took to be noticed; 0: there was none */
};

static uint64_t run_seed(struct world *w, uint64_t seed, enum journal_mode mode, bool frames) {
    world_init(w, seed, mode);
    w->journal.frames = frames;
    story_run(w);
    return w->journal.hash;
}

static void print_broken(struct world *w, uint64_t seed) {
    world_deinit(w);
    run_seed(w, seed, JOURNAL_TAIL, false); /* again, with lines */
    printf("---- seed %llu\n", (unsigned long long)seed);
    journal_print_tail(&w->journal);
    printf("seed %llu breaks the rule \"%s\": %s\n", (unsigned long long)seed, w->journal.rule, w->journal.what);
    fflush(stdout);
}

static bool check_seed(struct world *w, uint64_t seed, uint64_t *events) {
    uint64_t hash = run_seed(w, seed, JOURNAL_SILENT, false);
    bool broken = w->journal.broken;
    *events += w->events;
    if (broken) {
        print_broken(w, seed);
    } else if (seed % REPEAT_EVERY == 0) {
        world_deinit(w);
        if (run_seed(w, seed, JOURNAL_TAIL, false) != hash) {
            printf("seed %llu breaks the rule \"the same seed gives the same run\"\n", (unsigned long long)seed);
            broken = true;
        }
    }
    world_deinit(w);
    return !broken;
}

static bool any_violation(const struct progress *p) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < WORKERS_MAX; i++) sum += p->violations[i];
    return sum > 0;
}

static void work(struct progress *p, uint32_t worker, uint64_t first, uint64_t end, uint32_t step) {
    struct world *w = malloc(sizeof *w);
    for (uint64_t seed = first; w && seed < end; seed += step) {
        if (p->stop && any_violation(p)) break;
        p->at[worker] = seed;
        p->violations[worker] += !check_seed(w, seed, &p->events[worker]);
        p->noticed_ms[seed % NOTICED_MAX] = (uint32_t)((w->noticed_us + 999) / 1000);
    }
    p->at[worker] = 0;
    free(w);
    fflush(stdout);
    _exit(0);
}

/* A worker that died left the seed it died of: say so and go on behind it. */
static void watch(struct progress *p, uint32_t worker, pid_t pid, uint64_t end, uint32_t step) {
    for (int status; waitpid(pid, &status, 0) == pid && p->at[worker] != 0;) {
        uint64_t seed = p->at[worker];
        printf("seed %llu breaks the rule \"asserts hold\": the process ended with status %x\n",
               (unsigned long long)seed, (unsigned)status);
        fflush(stdout);
        p->violations[worker]++;
        p->at[worker] = 0;
        if (seed + step >= end || (pid = fork()) < 0) return;
        if (pid == 0) work(p, worker, seed + step, end, step);
    }
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_noticed(struct progress *p) {
    qsort(p->noticed_ms, NOTICED_MAX, sizeof *p->noticed_ms, compare_u32);
    uint32_t first = 0;
    while (first < NOTICED_MAX && p->noticed_ms[first] == 0) first++;
    uint32_t count = NOTICED_MAX - first;
    if (count == 0) return;
    printf("%u members lost without a word, noticed after %u ms (median), %u ms (95 of 100), %u ms (the latest)\n",
           count, p->noticed_ms[first + count / 2], p->noticed_ms[first + count - 1 - count / 20],
           p->noticed_ms[NOTICED_MAX - 1]);
}

static uint64_t run_many(uint64_t first, uint64_t count, bool stop) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t workers = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (uint32_t)cores;
    struct progress *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[WORKERS_MAX];
    uint64_t violations = 0, events = 0;
    if (p == MAP_FAILED) return 1;
    p->stop = stop;
    fflush(stdout);
    for (uint32_t i = 0; i < workers; i++) {
        p->at[i] = first + i;
        pids[i] = fork();
        if (pids[i] == 0) work(p, i, first + i, first + count, workers);
    }
    for (uint32_t i = 0; i < workers; i++) {
        if (pids[i] > 0) watch(p, i, pids[i], first + count, workers);
        violations += p->violations[i] + (pids[i] < 0);
        events += p->events[i];
    }
    printf("%llu events\n", (unsigned long long)events);
    print_noticed(p);
    return violations;
}

static uint64_t run_one(uint64_t seed, bool frames) {
    struct world *w = malloc(sizeof *w);
    if (!w) return 1;
    run_seed(w, seed, JOURNAL_ALOUD, frames);
    bool broken = w->journal.broken;
    world_deinit(w);
    free(w);
    return broken;
}

static bool read_number(const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number > 0;
}

static int run_crowd(uint64_t hosts) {
    struct world *w = malloc(sizeof *w);
    if (!w || hosts < 2 || hosts > CROWD_MAX) return 2;
    world_init(w, 1, JOURNAL_SILENT);
    crowd_run(w, (uint32_t)hosts);
    bool broken = w->journal.broken;
    if (broken) printf("breaks the rule \"%s\": %s\n", w->journal.rule, w->journal.what);
    world_deinit(w);
    free(w);
    return broken;
}

int main(int argc, char **argv) {
    uint64_t count = 1000, first = 1, hosts;
    if (argc == 3 && strcmp(argv[1], "crowd") == 0 && read_number(argv[2], &hosts)) return run_crowd(hosts);
    if ((argc > 1 && !read_number(argv[1], &count)) || (argc > 2 && !read_number(argv[2], &first))) {
        fprintf(stderr, "usage: sim SEEDS [FIRST [stop]], sim 1 SEED [frames], or sim crowd HOSTS\n");
        return 2;
    }
    uint64_t violations = count == 1 && argc > 2 ? run_one(first, argc > 3) : run_many(first, count, argc > 3);
    printf("%llu seeds, %llu violations\n", (unsigned long long)count, (unsigned long long)violations);
    return violations ? 1 : 0;
}
