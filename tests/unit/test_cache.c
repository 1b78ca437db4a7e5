/* The book of pages: what is filed is found, what is held is not taken, the oldest goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "engine/cache.h"

enum { PAGES = 12, SLOTS = 8, TOKENS_MAX = 4 * KERN_PAGE, WHOLE = 64 };

static struct cache cache;

static int setup(void **state) { return cache_init(&cache, PAGES, 0, 0, false); }

static int setup_windows(void **state) { return cache_init(&cache, PAGES, 70, SLOTS, false); }

static int teardown(void **state) {
    cache_deinit(&cache);
    return 0;
}

static void count_up(uint32_t *tokens, uint32_t from) {
    for (uint32_t i = 0; i < TOKENS_MAX; i++) tokens[i] = from + i;
}

/* Take pages for the tokens behind what is known, file them; the path's pages stay held. */
static uint32_t learn(const uint32_t *tokens, uint32_t count, uint32_t *pages) {
    uint32_t part, known = cache_match(&cache, tokens, count, WHOLE, pages, &part), held = known / KERN_PAGE;
    if (part != CACHE_NONE) cache_release(&cache, part);
    for (; held * KERN_PAGE < count; held++) {
        uint32_t left = count - held * KERN_PAGE;
        pages[held] = cache_file(&cache, held ? pages[held - 1] : CACHE_NONE, cache_take(&cache),
                                 tokens + held * KERN_PAGE, left < KERN_PAGE ? left : KERN_PAGE);
    }
    return held;
}

static void leave(const uint32_t *pages, uint32_t held) {
    while (held > 0) cache_release(&cache, pages[--held]);
}

static void learn_and_leave(const uint32_t *tokens, uint32_t count) {
    uint32_t pages[TOKENS_MAX / KERN_PAGE];
    leave(pages, learn(tokens, count, pages));
}

/* Give back what cache_match gave. */
static void leave_at(const uint32_t *pages, uint32_t part, uint32_t count) {
    uint32_t held = count / KERN_PAGE;
    if (part != CACHE_NONE) cache_pass(&cache, part);
    if (part != CACHE_NONE) cache_release(&cache, part);
    for (uint32_t i = pages_first_seen(cache.window, count); i < held; i++) cache_pass(&cache, pages[i]);
    leave(pages, held);
}

static uint32_t known(const uint32_t *tokens, uint32_t most) {
    uint32_t pages[TOKENS_MAX / KERN_PAGE], part, count = cache_match(&cache, tokens, most, WHOLE, pages, &part);
    assert_int_equal(part != CACHE_NONE, count % KERN_PAGE != 0);
    leave_at(pages, part, count);
    return count;
}

/* As learn_and_leave where there are windows of 70 positions. */
static void learn_in_windows(const uint32_t *tokens, uint32_t count) {
    uint32_t pages[TOKENS_MAX / KERN_PAGE], held = 0;
    for (; held * KERN_PAGE < count; held++) {
        uint32_t left = count - held * KERN_PAGE;
        pages[held] = cache_file(&cache, held ? pages[held - 1] : CACHE_NONE, cache_take(&cache),
                                 tokens + held * KERN_PAGE, left < KERN_PAGE ? left : KERN_PAGE);
        if (held >= 2) cache_pass(&cache, pages[held - 2]);
    }
    for (uint32_t i = held < 2 ? 0 : held - 2; i < held; i++) cache_pass(&cache, pages[i]);
    leave(pages, held);
}

static void what_was_filed_is_found(void **state) {
    uint32_t tokens[TOKENS_MAX], other[TOKENS_MAX], pages[4], part;
    count_up(tokens, 0);
    assert_int_equal(known(tokens, 200), 0);
    learn_and_leave(tokens, 150);
    assert_int_equal(known(tokens, 200), 150);
    assert_int_equal(known(tokens, 149), 149);
    assert_int_equal(known(tokens, 64), 64);
    assert_int_equal(known(tokens, 63), 63);
    assert_int_equal(known(tokens, 0), 0);
    memcpy(other, tokens, sizeof other);
    other[70] = 9999;
    assert_int_equal(known(other, 200), 70);
    learn_and_leave(other, 140);
    assert_int_equal(known(other, 200), 140); /* another way on behind the first page */
    assert_int_equal(known(tokens, 200), 150);
    other[0] = 9999;
    assert_int_equal(known(other, 200), 0);
    assert_int_equal(cache_match(&cache, tokens, 200, 1, pages, &part), 64); /* no more pages than there is room for */
    assert_int_equal(part, CACHE_NONE);
    cache_release(&cache, pages[0]);
    cache_forget(&cache);
    assert_int_equal(known(tokens, 200), 0);
}

static void the_oldest_end_of_a_path_goes_first(void **state) {
    uint32_t first[TOKENS_MAX], second[TOKENS_MAX], third[TOKENS_MAX], pages[4];
    count_up(first, 0);
    count_up(second, 1000);
    count_up(third, 2000);
    learn_and_leave(first, 256);
    learn_and_leave(second, 256);
    learn_and_leave(third, 256);
    assert_int_equal(known(first, 256), 256); /* now the second is the oldest */
    for (uint32_t i = 0; i < 2; i++) pages[i] = cache_take(&cache);
    assert_int_equal(known(second, 256), 128);
    assert_int_equal(known(first, 256), 256);
    assert_int_equal(known(third, 256), 256);
    leave(pages, 2);
    for (uint32_t i = 0; i < 2; i++) pages[i] = cache_take(&cache); /* those that hold nothing */
    assert_int_equal(known(second, 256), 128);
    leave(pages, 2);
}

static void a_held_path_stays(void **state) {
    uint32_t held[TOKENS_MAX], other[TOKENS_MAX], pages[4], taken[PAGES];
    count_up(held, 0);
    count_up(other, 1000);
    uint32_t count = learn(held, 200, pages);
    learn_and_leave(other, 256);
    for (uint32_t i = 0; i < PAGES - 4; i++) {
        taken[i] = cache_take(&cache);
        for (uint32_t j = 0; j < count; j++) assert_int_not_equal(taken[i], pages[j]);
    }
    assert_int_equal(known(other, 256), 0);
    assert_int_equal(known(held, 256), 200);
    leave(taken, PAGES - 4);
    leave(pages, count);
}

static void twins_become_one(void **state) {
    uint32_t tokens[TOKENS_MAX];
    count_up(tokens, 0);
    uint32_t a = cache_take(&cache), b = cache_take(&cache), c = cache_take(&cache);
    assert_int_equal(cache_file(&cache, CACHE_NONE, a, tokens, KERN_PAGE), a);
    assert_int_equal(cache_file(&cache, CACHE_NONE, b, tokens, KERN_PAGE), a);
    assert_int_equal(cache.pages[a].holders, 2);
    assert_int_equal(cache.pages[b].holders, 0);
    assert_int_equal(cache_file(&cache, CACHE_NONE, c, tokens, 10), a); /* part of it */
    for (int i = 0; i < 3; i++) cache_release(&cache, a);
    assert_int_equal(cache.pages[a].holders, 0);
}

static void what_grew_is_kept_once(void **state) {
    uint32_t tokens[TOKENS_MAX];
    count_up(tokens, 0);
    learn_and_leave(tokens, 10);
    learn_and_leave(tokens, 30);
    learn_and_leave(tokens, 100);
    uint32_t filed = 0;
    for (uint32_t i = 0; i < PAGES; i++) filed += cache.pages[i].count > 0;
    assert_int_equal(filed, 2);
    assert_int_equal(known(tokens, 200), 100);
}

/* Sessions that come and go with prompts of few different tokens: a page is never written while another holds it, and
 * what is found holds what was asked for. */
static void many_at_once(void **state) {
    enum { SESSIONS = 3 };
    static uint32_t written[PAGES][KERN_PAGE];
    uint32_t pages[SESSIONS][4], held[SESSIONS] = {0};
    uint64_t random = 5, found = 0;
    for (int round = 0; round < 20000; round++) {
        uint32_t s = (uint32_t)prng_below(&random, SESSIONS), tokens[TOKENS_MAX], part;
        leave(pages[s], held[s]);
        uint32_t count = 1 + (uint32_t)prng_below(&random, TOKENS_MAX);
        for (uint32_t i = 0; i < count; i++) tokens[i] = i % 50 == 7 ? (uint32_t)prng_below(&random, 3) : i;
        uint32_t match = cache_match(&cache, tokens, count, WHOLE, pages[s], &part);
        held[s] = match / KERN_PAGE;
        found += match;
        for (uint32_t i = 0; i < match; i++) {
            uint32_t page = i / KERN_PAGE < held[s] ? pages[s][i / KERN_PAGE] : part;
            assert_int_equal(written[page][i % KERN_PAGE], tokens[i]);
        }
        if (part != CACHE_NONE) cache_release(&cache, part);
        for (; held[s] * KERN_PAGE < count; held[s]++) {
            uint32_t begin = held[s] * KERN_PAGE, n = count - begin < KERN_PAGE ? count - begin : KERN_PAGE;
            uint32_t page = cache_take(&cache);
            assert_int_equal(cache.pages[page].holders, 1);
            memcpy(written[page], tokens + begin, n * sizeof *tokens);
            pages[s][held[s]] = cache_file(&cache, begin ? pages[s][held[s] - 1] : CACHE_NONE, page, tokens + begin, n);
            assert_memory_equal(written[pages[s][held[s]]], tokens + begin, n * sizeof *tokens);
        }
    }
    assert_true(found > 20000);
}

/* What a window of 70 shows must have its slots: where one was taken, a prompt goes on before. */
static void slots_are_taken_from_the_oldest(void **state) {
    uint32_t first[TOKENS_MAX], second[TOKENS_MAX], third[TOKENS_MAX], pages[4], part;
    count_up(first, 0);
    count_up(second, 1000);
    count_up(third, 2000);
    learn_in_windows(first, 256);
    assert_int_equal(known(first, 256), 256);
    assert_int_equal(known(first, 100), 100);
    learn_in_windows(second, 256);
    learn_in_windows(third, 256); /* takes those of the first */
    assert_int_equal(known(third, 256), 256);
    assert_int_equal(known(second, 256), 256);
    assert_int_equal(known(first, 256), 0);
    for (uint32_t most = 1; most < 256; most++) {
        uint32_t count = cache_match(&cache, second, most, WHOLE, pages, &part);
        assert_int_equal(count, most);
        for (uint32_t i = 0; i * KERN_PAGE < count; i++) {
            uint32_t page = i < count / KERN_PAGE ? pages[i] : part, slot = cache.pages[page].slot;
            assert_int_equal(cache.slots[slot].page, page);
            assert_int_equal(cache.slots[slot].holders, i >= pages_first_seen(70, count));
        }
        leave_at(pages, part, count);
    }
}

/* The end of a path has lost its slot, what comes before it has not. */
static void a_prompt_goes_on_where_its_window_is_whole(void **state) {
    uint32_t tokens[TOKENS_MAX];
    count_up(tokens, 0);
    learn_in_windows(tokens, 200);
    uint32_t end = cache.pages[cache.first].child;
    end = cache.pages[cache.pages[end].child].child;
    cache.slots[cache.pages[end].slot].page = CACHE_NONE;
    cache.pages[end].slot = CACHE_NONE;
    assert_int_equal(known(tokens, 256), 192);
    assert_int_equal(known(tokens, 150), 150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_filed_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_end_of_a_path_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_path_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(twins_become_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_grew_is_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(many_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_are_taken_from_the_oldest, setup_windows, teardown),
        cmocka_unit_test_setup_teardown(a_prompt_goes_on_where_its_window_is_whole, setup_windows, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
