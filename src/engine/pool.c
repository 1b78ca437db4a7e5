#include "engine/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/thread.h"

/* Pauses before a waiting thread sleeps: about 50 us, longer than the gap between two regions of a step. */
enum { SPINS_MAX = 1500, CACHE_LINE = 64 };

struct worker {
    struct thread thread;
    struct pool *pool;
    unsigned member;
};

/* Chunks that are a member's to begin with, a run of neighbours: it streams, and meets nobody while it takes them. */
struct share {
    /* Region number << 32 | chunks not yet taken. Taking one is a compare-exchange, so that a thread that slept through
     * a whole region cannot take a chunk of the next one with what it knows of the last. */
    _Alignas(CACHE_LINE) atomic_uint_fast64_t ticket;
};

struct pool {
    /* The region under way; written before its tickets are published, so whoever takes a chunk sees it whole. */
    pool_task *task;
    void *context;
    size_t count, grain, chunks;
    uint64_t region; /* its number; the owner's */

    struct share *shares;                        /* one for each member */
    _Alignas(CACHE_LINE) atomic_uint unfinished; /* chunks taken or not, but not reported as done */
    atomic_uint owner_sleeps;                    /* the owner parks on `unfinished` */
    _Alignas(CACHE_LINE) atomic_uint wake_count; /* sleeping workers park on it */
    atomic_uint sleepers;
    atomic_bool stopping;

    unsigned threads, started; /* members; workers whose thread runs */
    struct worker workers[];   /* members 1 .. threads - 1 */
};

static uint32_t chunks_left(uint64_t ticket) { return (uint32_t)ticket; }

/* Of all chunks, the first that is in the share of a member, or behind the last share. */
static size_t share_begin(const struct pool *p, unsigned member) { return p->chunks * member / p->threads; }

/* Take one chunk of somebody's share and run it; false when none was left. */
static bool run_chunk(struct pool *p, unsigned member, unsigned whose) {
    atomic_uint_fast64_t *share = &p->shares[whose].ticket;
    uint64_t ticket = atomic_load(share);
    do {
        if (chunks_left(ticket) == 0) return false;
    } while (!atomic_compare_exchange_weak(share, &ticket, ticket - 1));
    size_t begin = (share_begin(p, whose + 1) - chunks_left(ticket)) * p->grain, left = p->count - begin;
    p->task(p->context, member, begin, begin + (left < p->grain ? left : p->grain));
    return true;
}

/* Run what is left: the own share, then what others did not get to. The region lasts at least until the report. */
static void run_chunks(struct pool *p, unsigned member) {
    unsigned done = 0;
    for (unsigned i = 0; i < p->threads; i++)
        while (run_chunk(p, member, (member + i) % p->threads)) done++;
    if (done > 0 && atomic_fetch_sub(&p->unfinished, done) == done && atomic_load(&p->owner_sleeps))
        thread_unpark_all(&p->unfinished);
}

static bool is_wanted(struct pool *p, unsigned member) {
    return chunks_left(atomic_load(&p->shares[member].ticket)) > 0 || atomic_load(&p->stopping);
}

static void await_work(struct pool *p, unsigned member) {
    for (unsigned spin = 0; spin < SPINS_MAX; spin++) {
        if (is_wanted(p, member)) return;
        thread_relax();
    }
    unsigned seen = atomic_load(&p->wake_count);
    atomic_fetch_add(&p->sleepers, 1);
    if (!is_wanted(p, member)) thread_park(&p->wake_count, seen, -1);
    atomic_fetch_sub(&p->sleepers, 1);
}

static void worker_main(void *context) {
    struct worker *w = context;
    while (!atomic_load(&w->pool->stopping)) {
        run_chunks(w->pool, w->member);
        await_work(w->pool, w->member);
    }
}

static void wake_workers(struct pool *p) {
    if (atomic_load(&p->sleepers) == 0) return;
    atomic_fetch_add(&p->wake_count, 1);
    thread_unpark_all(&p->wake_count);
}

static void await_finish(struct pool *p) {
    for (unsigned spin = 0; spin < SPINS_MAX; spin++) {
        if (atomic_load(&p->unfinished) == 0) return;
        thread_relax();
    }
    atomic_store(&p->owner_sleeps, 1);
    for (unsigned left; (left = atomic_load(&p->unfinished)) > 0;) thread_park(&p->unfinished, left, -1);
    atomic_store(&p->owner_sleeps, 0);
}

/* Zeroed memory in whole cache lines. */
static void *new_lines(size_t bytes) {
    size_t rounded = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *lines = aligned_alloc(CACHE_LINE, rounded);
    if (lines) memset(lines, 0, rounded);
    return lines;
}

int pool_new(struct pool **out, unsigned threads) {
    assert(threads >= 1);
    struct pool *p = new_lines(sizeof(struct pool) + (threads - 1) * sizeof(struct worker));
    if (!p) return ERR_NOMEM;
    p->threads = threads;
    if (!(p->shares = new_lines(threads * sizeof(struct share)))) {
        pool_free(p);
        return ERR_NOMEM;
    }
    for (unsigned i = 0; i < threads - 1; i++) {
        p->workers[i] = (struct worker){.pool = p, .member = i + 1};
        if (thread_start(&p->workers[i].thread, "compute", worker_main, &p->workers[i]) < 0) {
            pool_free(p);
            return ERR_NOMEM;
        }
        p->started++;
    }
    *out = p;
    return 0;
}

void pool_free(struct pool *p) {
    if (!p) return;
    atomic_store(&p->stopping, true);
    wake_workers(p);
    for (unsigned i = 0; i < p->started; i++) thread_join(&p->workers[i].thread);
    free(p->shares);
    free(p);
}

unsigned pool_threads(const struct pool *p) { return p->threads; }

static void run_alone(size_t count, size_t grain, pool_task *task, void *context) {
    for (size_t begin = 0; begin < count; begin += grain)
        task(context, 0, begin, count - begin < grain ? count : begin + grain);
}

static void publish_shares(struct pool *p) {
    p->region++;
    for (unsigned i = p->threads; i-- > 0;)
        atomic_store(&p->shares[i].ticket, p->region << 32 | (share_begin(p, i + 1) - share_begin(p, i)));
}

void pool_run(struct pool *p, size_t count, size_t grain, pool_task *task, void *context) {
    size_t chunks = (count + grain - 1) / grain;
    if (p->threads == 1 || chunks <= 1) {
        run_alone(count, grain, task, context);
        return;
    }
    assert(chunks <= UINT32_MAX);
    p->task = task;
    p->context = context;
    p->count = count;
    p->grain = grain;
    p->chunks = chunks;
    atomic_store(&p->unfinished, (unsigned)chunks);
    publish_shares(p);
    wake_workers(p);
    run_chunks(p, 0);
    await_finish(p);
}
