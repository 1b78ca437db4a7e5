#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/memory.h"
#include "os/queue.h"
#include "os/thread.h"

static void time_goes_on(void **state) {
    uint64_t before = clock_ns();
    clock_sleep_ns(2000000);
    assert_true(clock_ns() - before >= 2000000);
}

static bool readable(struct queue *q) {
    struct pollfd watched = {.fd = queue_fd(q), .events = POLLIN};
    return poll(&watched, 1, 0) == 1;
}

static void a_queue_keeps_order_and_its_bound(void **state) {
    struct queue *q;
    int items[3];
    assert_int_equal(queue_new(&q, 2), 0);
    assert_false(readable(q));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(queue_push(q, &items[0]), 0);
        assert_int_equal(queue_push(q, &items[1]), 0);
        assert_int_equal(queue_push(q, &items[2]), ERR_BUSY);
        assert_true(readable(q));
        assert_ptr_equal(queue_pop(q), &items[0]);
        assert_true(readable(q));
        assert_ptr_equal(queue_wait(q, -1), &items[1]);
        assert_false(readable(q));
    }
    assert_null(queue_pop(q));
    assert_null(queue_wait(q, 5));
    queue_free(q);
}

enum { PUSHES = 20000 };

static void push_many(void *context) {
    struct queue *q = context;
    for (uintptr_t i = 1; i <= PUSHES; i++)
        while (queue_push(q, (void *)i) == ERR_BUSY) sched_yield();
}

static void a_queue_loses_nothing_between_threads(void **state) {
    struct queue *q;
    struct thread writers[2];
    assert_int_equal(queue_new(&q, 16), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(thread_start(&writers[i], "writer", push_many, q), 0);
    uint64_t sum = 0;
    for (int i = 0; i < 2 * PUSHES; i++) sum += (uintptr_t)queue_wait(q, -1);
    for (int i = 0; i < 2; i++) thread_join(&writers[i]);
    assert_true(sum == (uint64_t)PUSHES * (PUSHES + 1));
    assert_null(queue_pop(q));
    queue_free(q);
}

static void set_and_wake(void *context) {
    atomic_uint *word = context;
    clock_sleep_ns(2000000);
    atomic_store(word, 1);
    thread_unpark_all(word);
}

static void a_parked_thread_is_woken(void **state) {
    atomic_uint word = 0;
    struct thread t;
    thread_park(&word, 0, 1000000); /* nobody wakes: the limit does */
    thread_park(&word, 7, -1);      /* another value: returns at once */
    assert_int_equal(thread_start(&t, "waker", set_and_wake, &word), 0);
    while (atomic_load(&word) == 0) thread_park(&word, 0, -1);
    thread_join(&t);
}

static void memory_is_zeroed_aligned_and_given_back(void **state) {
    struct memory m;
    assert_int_equal(memory_reserve(&m, 3 << 20, true), 0);
    assert_int_equal((uintptr_t)m.data % (2 << 20), 0);
    assert_true(m.bytes >= 3 << 20);
    const char *bytes = m.data;
    for (size_t i = 0; i < m.bytes; i += 4096) assert_int_equal(bytes[i], 0);
    memory_release(&m);
    assert_null(m.data);
    memory_release(&m);
    assert_int_equal(memory_reserve(&m, 0, true), 0);
    assert_int_equal(memory_reserve(&m, SIZE_MAX - 5, false), ERR_NOMEM);
}

static void a_file_is_read_by_position(void **state) {
    char path[] = "/tmp/caravan-test-XXXXXX", got[4];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    close(fd);
    struct file f;
    struct error error = {0};
    assert_int_equal(file_open(&f, path, &error), 0);
    assert_int_equal(f.bytes, 10);
    file_will_need(&f, 0, 10);
    assert_int_equal(file_read_at(&f, 3, got, 4, &error), 0);
    assert_memory_equal(got, "3456", 4);
    file_forget(&f, 0, 10);
    assert_int_equal(file_read_at(&f, 8, got, 4, &error), ERR_IO);
    assert_string_equal(error.text, "the file ends at byte 10");
    file_close(&f);
    unlink(path);
    assert_int_equal(file_open(&f, path, &error), ERR_NOT_FOUND);
    assert_int_equal(file_open(&f, "/tmp", &error), ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_goes_on),
        cmocka_unit_test(a_queue_keeps_order_and_its_bound),
        cmocka_unit_test(a_queue_loses_nothing_between_threads),
        cmocka_unit_test(a_parked_thread_is_woken),
        cmocka_unit_test(memory_is_zeroed_aligned_and_given_back),
        cmocka_unit_test(a_file_is_read_by_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
