/* Memory runs out at every place where a load asks for it, one after another: always an error, never a crash or a leak.
 * The linker sends the allocations of the whole program through the functions here (-Wl,--wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/logits.h"
#include "engine/runner.h"
#include "tiny_file.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

static long asked, fails_at; /* 0: never */

static bool fails(void) { return fails_at > 0 && ++asked == fails_at; }

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

static int sink(void *context, const float *logits, size_t vocab) { return 0; }

/* Open the model at `path`, load it and run some tokens. */
static int load(const char *path) {
    static const uint32_t tokens[] = {1, 2, 3};
    struct error error = {0};
    struct model m;
    struct logits_options o = {.tokens = tokens, .count = 3, .threads = 2};
    int rc = model_file_open(&m, path, &error);
    if (rc == 0) {
        rc = logits_run(&m, &o, sink, NULL, &error);
        model_deinit(&m);
    }
    assert_int_equal(rc, error.code);
    return rc;
}

static void loading_survives(void **state) {
    struct model m;
    tiny_open(&m, &tiny_default);
    long times = 0;
    for (fails_at = 1;; fails_at++, times++) {
        asked = 0;
        int rc = load(m.path);
        if (asked < fails_at) {
            assert_int_equal(rc, 0); /* nothing failed any more */
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    fails_at = 0;
    assert_true(times > 15);
    tiny_close(&m);
}

static void runners_survive(void **state) {
    struct model m;
    struct slice *s;
    struct runner *r;
    struct error error;
    tiny_open(&m, &tiny_default);
    struct slice_options o = {.layer_end = 2, .ends = true, .threads = 1, .sessions = 2, .context = 64};
    struct runner_options options = {.sessions = 2, .context = 64};
    assert_int_equal(slice_open(&s, &m, &o, &error), 0);
    for (fails_at = 1;; fails_at++) {
        asked = 0;
        int rc = runner_new(&r, &m, s, NULL, &options, &error);
        if (asked < fails_at) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERR_NOMEM);
    }
    fails_at = 0;
    runner_free(r);
    slice_close(s);
    tiny_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_survives),
        cmocka_unit_test(runners_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
