#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/size.h"
#include "base/text.h"

static void what_is_written_is_read_back(void **state) {
    uint8_t buffer[64];
    struct bytes_writer w = bytes_writer(buffer, sizeof buffer);
    bytes_put_u8(&w, 7);
    bytes_put_u16(&w, 0x1234);
    bytes_put_u32(&w, 0xdeadbeef);
    bytes_put_u64(&w, 0x0123456789abcdef);
    bytes_put_f32(&w, 1.5f);
    assert_false(w.failed);
    assert_int_equal(buffer[1], 0x34);

    struct bytes_reader r = bytes_reader(buffer, w.len);
    assert_int_equal(bytes_u8(&r), 7);
    assert_int_equal(bytes_u16(&r), 0x1234);
    assert_int_equal(bytes_u32(&r), 0xdeadbeef);
    assert_true(bytes_u64(&r) == 0x0123456789abcdef);
    assert_true(bytes_f32(&r) == 1.5f);
    assert_true(bytes_done(&r));
}

static void a_reader_past_the_end_fails_and_stays_failed(void **state) {
    struct bytes_reader r = bytes_reader("abc", 3);
    assert_int_equal(bytes_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(bytes_u8(&r), 0);
    assert_false(bytes_done(&r));
    r = bytes_reader("abc", 3);
    assert_null(bytes_take(&r, SIZE_MAX));
}

static void a_writer_without_room_keeps_what_it_had(void **state) {
    uint8_t buffer[5] = {0};
    struct bytes_writer w = bytes_writer(buffer, 4);
    bytes_put_u32(&w, 1);
    bytes_put_u8(&w, 9);
    assert_true(w.failed);
    assert_int_equal(w.len, 4);
    assert_int_equal(buffer[4], 0);
}

static void text_grows_and_respects_its_limit(void **state) {
    struct text t = {0};
    for (int i = 0; i < 1000; i++) text_printf(&t, "%d,", i % 10);
    assert_int_equal(t.len, 2000);
    text_clear(&t);
    t.len_max = 4;
    text_add_str(&t, "abcd");
    assert_false(t.failed);
    text_add_char(&t, 'e');
    assert_true(t.failed);
    assert_string_equal(text_str(&t), "abcd");
    text_deinit(&t);
}

static void arena_zeroes_aligns_and_limits(void **state) {
    struct arena a = {.used_max = 100000};
    char *one = arena_alloc(&a, 1);
    uint64_t *many = arena_array(&a, 5000, sizeof *many);
    assert_non_null(one);
    assert_non_null(many);
    assert_int_equal((uintptr_t)many % 16, 0);
    assert_int_equal(many[4999], 0);
    assert_null(arena_array(&a, SIZE_MAX / 2, 4));
    assert_null(arena_alloc(&a, 90000));
    assert_string_equal(arena_copy(&a, "hello!", 5), "hello");
    arena_deinit(&a);
}

static void map_finds_every_key_and_no_other(void **state) {
    struct map m = {.seed = 42};
    static char keys[2000][8];
    for (size_t i = 0; i < 2000; i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        assert_int_equal(map_set(&m, keys[i], strlen(keys[i]), i), 0);
    }
    uint64_t value;
    for (size_t i = 0; i < 2000; i++) {
        assert_true(map_get(&m, keys[i], strlen(keys[i]), &value));
        assert_int_equal(value, i);
    }
    assert_false(map_get(&m, "k2000", 5, &value));
    assert_int_equal(map_set(&m, "k7", 2, 77), 0);
    assert_int_equal(m.count, 2000);
    assert_true(map_get(&m, "k7", 2, &value));
    assert_int_equal(value, 77);
    map_deinit(&m);
}

static void errors_carry_context(void **state) {
    struct error e = {0};
    assert_int_equal(error_set(&e, ERR_INVALID, "bad magic %d", 7), ERR_INVALID);
    error_prefix(&e, "%s: ", "x.gguf");
    assert_string_equal(e.text, "x.gguf: bad magic 7");
    assert_int_equal(error_set(NULL, ERR_IO, "nobody reads this"), ERR_IO);
    assert_string_equal(error_text(ERR_NOMEM), "out of memory");
}

static void sizes_notice_overflow(void **state) {
    uint64_t out = 5;
    assert_false(size_mul(UINT64_MAX, 2, &out));
    assert_false(size_add(UINT64_MAX, 1, &out));
    assert_int_equal(out, 5);
    assert_int_equal(size_round_up(33, 32), 64);
}

static void random_numbers_replay_and_stay_below(void **state) {
    uint64_t a = 9, b = 9;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_below(&a, 10);
        assert_true(x < 10);
        assert_int_equal(x, prng_below(&b, 10));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_reader_past_the_end_fails_and_stays_failed),
        cmocka_unit_test(a_writer_without_room_keeps_what_it_had),
        cmocka_unit_test(text_grows_and_respects_its_limit),
        cmocka_unit_test(arena_zeroes_aligns_and_limits),
        cmocka_unit_test(map_finds_every_key_and_no_other),
        cmocka_unit_test(errors_carry_context),
        cmocka_unit_test(sizes_notice_overflow),
        cmocka_unit_test(random_numbers_replay_and_stay_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
