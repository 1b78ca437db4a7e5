/* Slices of a tiny model: what they hold is what was planned, and however the work is cut, the bits are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/slice.h"
#include "tiny_file.h"

enum { TOKENS = 100 };

static struct error error;
static struct step step;

static struct slice_options whole(const struct model *m) {
    return (struct slice_options){
        .layer_end = m->params.layers, .ends = true, .threads = 1, .sessions = 1, .context = 256};
}

/* Positions [begin, end) of one session, whose pages count up from `page`. */
static void add_rows(uint32_t session, uint32_t begin, uint32_t end, uint32_t page) {
    for (uint32_t at = begin; at < end; at++) {
        if (at % KERN_PAGE == 0)
            step.pages[step.page_count++] = (struct step_page){session, at / KERN_PAGE, page + at / KERN_PAGE,
                                                               page + at / KERN_PAGE, UINT32_MAX, UINT32_MAX};
        step.rows[step.row_count++] = (struct step_row){session, at, (at * 7 + 3) % 50, true};
    }
}

static void clear_step(void) { step.row_count = step.page_count = 0; }

static void run(struct slice *s, float *hidden, bool embed) {
    assert_int_equal(slice_map(s, &step, &error), 0);
    if (embed) assert_int_equal(slice_embed(s, &step, hidden, &error), 0);
    assert_int_equal(slice_layers(s, &step, hidden, &error), 0);
}

static float *floats(size_t count) {
    float *f = aligned_alloc(KERN_ALIGN, (count * sizeof *f + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN);
    assert_non_null(f);
    return f;
}

static void parts_give_the_bits_of_the_whole(void **state) {
    for (int type = 0; type < 2; type++) {
        struct tiny t = tiny_default;
        struct model m;
        struct slice *all, *first, *second;
        t.type = type ? TENSOR_Q8_0 : TENSOR_F32;
        t.layers = 3;
        tiny_open(&m, &t);
        struct slice_options o = whole(&m), a = o, b = o;
        a.layer_end = b.layer_begin = 1;
        b.ends = false;
        b.threads = 3;
        assert_int_equal(slice_open(&all, &m, &o, &error), 0);
        assert_int_equal(slice_open(&first, &m, &a, &error), 0);
        assert_int_equal(slice_open(&second, &m, &b, &error), 0);
        float *x = floats(TOKENS * t.embd), *y = floats(TOKENS * t.embd);
        float *p = floats(TOKENS * t.vocab), *q = floats(TOKENS * t.vocab);
        clear_step();
        add_rows(0, 0, TOKENS, 0);
        run(all, x, true);
        run(first, y, true);
        run(second, y, false);
        assert_memory_equal(x, y, TOKENS * t.embd * sizeof *x);
        assert_int_equal(slice_head(all, x, TOKENS, p, &error), 0);
        assert_int_equal(slice_head(first, y, TOKENS, q, &error), 0);
        assert_memory_equal(p, q, TOKENS * t.vocab * sizeof *p);
        slice_close(all);
        slice_close(first);
        slice_close(second);
        free(x), free(y), free(p), free(q);
        tiny_close(&m);
    }
}

/* Two sessions side by side, one of them a chunk at a time, in pages that are handed out crosswise. */
static void neighbours_do_not_matter(void **state) {
    struct model m;
    struct slice *alone, *together;
    tiny_open(&m, &tiny_default);
    uint32_t embd = m.params.embd;
    struct slice_options o = whole(&m), two = o;
    two.sessions = 2;
    two.threads = 2;
    assert_int_equal(slice_open(&alone, &m, &o, &error), 0);
    assert_int_equal(slice_open(&together, &m, &two, &error), 0);
    float *x = floats(TOKENS * embd), *y = floats(2 * TOKENS * embd);
    clear_step();
    add_rows(0, 0, TOKENS, 0);
    run(alone, x, true);
    for (uint32_t at = 0; at < TOKENS; at += 10) {
        clear_step();
        add_rows(1, at, at + 10, 4);
        add_rows(0, at, at + 10, 0);
        run(together, y, true);
        assert_memory_equal(y, x + at * embd, 10 * embd * sizeof *x);
        assert_memory_equal(y + 10 * embd, x + at * embd, 10 * embd * sizeof *x);
    }
    slice_close(alone);
    slice_close(together);
    free(x), free(y);
    tiny_close(&m);
}

static void a_step_may_be_repeated(void **state) {
    struct model m;
    struct slice *s;
    tiny_open(&m, &tiny_default);
    struct slice_options o = whole(&m);
    assert_int_equal(slice_open(&s, &m, &o, &error), 0);
    float *x = floats(TOKENS * m.params.embd), *y = floats(TOKENS * m.params.embd);
    clear_step();
    add_rows(0, 0, TOKENS, 0);
    run(s, x, true);
    run(s, y, true);
    assert_memory_equal(x, y, TOKENS * m.params.embd * sizeof *x);
    slice_close(s);
    free(x), free(y);
    tiny_close(&m);
}

static void wrong_steps_are_refused(void **state) {
    struct model m;
    struct slice *s;
    float hidden[64 * 2];
    tiny_open(&m, &tiny_default);
    struct slice_options o = whole(&m);
    assert_int_equal(slice_open(&s, &m, &o, &error), 0);
    clear_step();
    add_rows(0, 0, 1, 0);
    step.rows[0].token = m.params.vocab;
    assert_int_equal(slice_embed(s, &step, hidden, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "token 50"));
    step.rows[0].token = 1;
    step.rows[0].position = 64; /* its page was never mapped */
    assert_int_equal(slice_map(s, &step, &error), 0);
    assert_int_equal(slice_embed(s, &step, hidden, &error), 0);
    assert_int_equal(slice_layers(s, &step, hidden, &error), ERR_INVALID);
    step.rows[0].position = 256; /* the context ends before it */
    assert_int_equal(slice_layers(s, &step, hidden, &error), ERR_INVALID);
    step.rows[0] = (struct step_row){.session = 1};
    assert_int_equal(slice_layers(s, &step, hidden, &error), ERR_INVALID);
    step.pages[0].session = 1;
    assert_int_equal(slice_map(s, &step, &error), ERR_INVALID);
    slice_close(s);
    tiny_close(&m);
}

static void limits_and_cancelling(void **state) {
    struct model m;
    struct slice *s;
    struct slice_size size;
    tiny_open(&m, &tiny_default);
    struct slice_options o = whole(&m);
    slice_measure(&m, &o, &size);
    o.memory_max = size.weights_bytes + size.kv_bytes + size.scratch_bytes;
    assert_int_equal(slice_open(&s, &m, &o, &error), 0);
    slice_close(s);
    o.memory_max--;
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_LIMIT);
    assert_non_null(strstr(error.text, "MiB are allowed"));
    o.memory_max = 0;
    atomic_bool cancel = true;
    o.cancel = &cancel;
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_CANCELLED);
    o.cancel = NULL;
    o.layer_end = 3;
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_INVALID);
    o.layer_end = 2;
    o.sessions = 0;
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_INVALID);
    tiny_close(&m);
}

static void parts_add_up(void **state) {
    struct model m;
    struct slice_size all, ends, first, second;
    tiny_open(&m, &tiny_default);
    struct slice_options o = whole(&m);
    slice_measure(&m, &o, &all);
    o.layer_end = 0;
    slice_measure(&m, &o, &ends);
    o.layer_end = 1;
    o.ends = false;
    slice_measure(&m, &o, &first);
    o.layer_begin = 1;
    o.layer_end = 2;
    slice_measure(&m, &o, &second);
    assert_int_equal(all.weights_bytes, ends.weights_bytes + first.weights_bytes + second.weights_bytes);
    assert_int_equal(all.kv_bytes, first.kv_bytes + second.kv_bytes);
    assert_int_equal(ends.kv_bytes, 0);
    tiny_close(&m);
}

static void a_file_that_shrank_is_an_error(void **state) {
    struct model m;
    struct slice *s;
    tiny_open(&m, &tiny_default);
    struct slice_options o = whole(&m);
    assert_int_equal(truncate(m.path, (off_t)m.gguf.data_offset + 100), 0);
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_IO);
    assert_non_null(strstr(error.text, m.path));
    unlink(m.path);
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_NOT_FOUND);
    tiny_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_give_the_bits_of_the_whole),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(a_step_may_be_repeated),
        cmocka_unit_test(wrong_steps_are_refused),
        cmocka_unit_test(limits_and_cancelling),
        cmocka_unit_test(parts_add_up),
        cmocka_unit_test(a_file_that_shrank_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
