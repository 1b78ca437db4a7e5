#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <assert.h>
#include <cmocka.h>

#include "engine/pool.h"
#include "os/clock.h"
#include "os/thread.h"

enum { ITEMS = 1000 };

struct counts {
    unsigned visits[ITEMS];
    unsigned members;
    size_t grain;
};

static void count_visits(void *context, unsigned member, size_t begin, size_t end) {
    struct counts *c = context;
    assert(member < c->members && begin < end && end - begin <= c->grain);
    for (size_t i = begin; i < end; i++) c->visits[i]++;
}

static void every_item_is_visited_once(void **state) {
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct pool *pool;
        assert_int_equal(pool_new(&pool, threads), 0);
        assert_int_equal(pool_threads(pool), threads);
        for (size_t count = 0; count <= ITEMS; count += 37) {
            struct counts c = {.members = threads, .grain = 1 + count % 7};
            pool_run(pool, count, c.grain, count_visits, &c);
            for (size_t i = 0; i < ITEMS; i++) assert_int_equal(c.visits[i], i < count ? 1 : 0);
        }
        pool_free(pool);
    }
}

static void sum_up(void *context, unsigned member, size_t begin, size_t end) {
    uint64_t *sums = context;
    for (size_t i = begin; i < end; i++) sums[i] += i;
}

/* Regions follow each other faster than workers wake up: none may take a chunk of the wrong one. */
static void regions_in_a_row_do_not_mix(void **state) {
    struct pool *pool;
    uint64_t sums[8] = {0};
    assert_int_equal(pool_new(&pool, 4), 0);
    for (int round = 0; round < 20000; round++) pool_run(pool, 2 + round % 7, 1, sum_up, sums);
    for (size_t i = 0; i < 8; i++) {
        uint64_t rounds = 0;
        for (int round = 0; round < 20000; round++) rounds += i < 2 + (size_t)round % 7;
        assert_true(sums[i] == i * rounds);
    }
    pool_free(pool);
}

static void a_pool_wakes_up_again_after_a_pause(void **state) {
    struct pool *pool;
    assert_int_equal(pool_new(&pool, 2), 0);
    for (int round = 0; round < 20; round++) {
        struct counts c = {.members = 2, .grain = 1};
        clock_sleep_ns(1000000);
        pool_run(pool, 100, 1, count_visits, &c);
        for (size_t i = 0; i < 100; i++) assert_int_equal(c.visits[i], 1);
    }
    pool_free(pool);
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_visited_once),
        cmocka_unit_test(regions_in_a_row_do_not_mix),
        cmocka_unit_test(a_pool_wakes_up_again_after_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
