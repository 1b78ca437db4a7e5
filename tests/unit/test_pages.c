/* The table of KV pages, and the rotation of positions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/exact.h"
#include "engine/pages.h"
#include "engine/rope.h"

static const struct pages_shape shape = {
    .kv = KERN_KV_F32, .layers = 2, .kv_heads = 3, .head_dim_k = 16, .head_dim_v = 8, .sessions = 2, .context = 200};

enum { KV_VALUE = sizeof(float), k_bytes = 16 * KERN_PAGE * KV_VALUE, v_bytes = 8 * KERN_PAGE * KV_VALUE };

static void map_one(struct pages *p, uint32_t session, uint32_t index, uint32_t page) {
    static struct step step;
    step.page_count = 1;
    step.pages[0] = (struct step_page){session, index, page, page, PAGES_UNMAPPED, PAGES_UNMAPPED};
    assert_int_equal(pages_map(p, &step, NULL), 0);
}

static void pages_are_where_they_were_mapped(void **state) {
    struct pages p;
    assert_int_equal(pages_init(&p, &shape, NULL), 0);
    assert_int_equal(p.shape.pages, 2 * 4); /* 200 positions are 4 pages of 64 */
    map_one(&p, 0, 0, 5);
    map_one(&p, 1, 0, 2);
    for (uint32_t layer = 0; layer < shape.layers; layer++)
        for (uint32_t head = 0; head < shape.kv_heads; head++)
            for (uint32_t session = 0; session < 2; session++) {
                memset(pages_k(&p, layer, head, session, 0), (int)(layer * 32 + head * 2 + session), k_bytes);
                memset(pages_v(&p, layer, head, session, 0), (int)(layer * 32 + head * 2 + session), v_bytes);
            }
    for (uint32_t layer = 0; layer < shape.layers; layer++)
        for (uint32_t head = 0; head < shape.kv_heads; head++)
            for (uint32_t session = 0; session < 2; session++) {
                const uint8_t *k = pages_k(&p, layer, head, session, 0), *v = pages_v(&p, layer, head, session, 0);
                for (size_t i = 0; i < k_bytes; i++) assert_int_equal(k[i], layer * 32 + head * 2 + session);
                for (size_t i = 0; i < v_bytes; i++) assert_int_equal(v[i], layer * 32 + head * 2 + session);
            }
    pages_deinit(&p);
}

static void unmapped_positions_are_refused(void **state) {
    struct pages p;
    struct error error;
    assert_int_equal(pages_init(&p, &shape, NULL), 0);
    assert_int_equal(pages_check(&p, 0, 0, &error), ERR_INVALID);
    map_one(&p, 0, 0, 7);
    map_one(&p, 0, 2, 1);
    assert_int_equal(pages_check(&p, 0, 63, &error), 0);
    assert_int_equal(pages_check(&p, 0, 64, &error), ERR_INVALID);
    assert_int_equal(pages_check(&p, 0, 130, &error), ERR_INVALID); /* page 1 is missing before it */
    assert_int_equal(pages_check(&p, 1, 0, &error), ERR_INVALID);
    assert_int_equal(pages_check(&p, 2, 0, &error), ERR_INVALID);
    assert_int_equal(pages_check(&p, 0, 200, &error), ERR_INVALID);
    assert_int_equal(pages_check(&p, 0, UINT32_MAX, &error), ERR_INVALID);
    pages_deinit(&p);
}

static void wrong_pages_are_refused(void **state) {
    static const struct step_page wrong[] = {{2, 0, 0, 0, -1, -1}, {UINT32_MAX, 0, 0, 0, -1, -1}, {0, 4, 0, 0, -1, -1},
                                             {0, 0, 8, 0, -1, -1}, {0, 0, UINT32_MAX, 0, -1, -1}, {0, 0, 0, 8, -1, -1},
                                             {0, 0, 0, 0, 0, -1}, {0, 0, 0, 0, -1, 0}};
    static struct step step;
    struct pages p;
    struct error error;
    assert_int_equal(pages_init(&p, &shape, NULL), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        step.page_count = 1;
        step.pages[0] = wrong[i];
        assert_int_equal(pages_map(&p, &step, &error), ERR_INVALID);
    }
    pages_deinit(&p);
}

static void a_page_begins_as_a_copy(void **state) {
    static struct step step;
    struct pages p;
    assert_int_equal(pages_init(&p, &shape, NULL), 0);
    map_one(&p, 0, 0, 5);
    map_one(&p, 0, 1, 6);
    for (uint32_t layer = 0; layer < shape.layers; layer++)
        for (uint32_t head = 0; head < shape.kv_heads; head++) {
            memset(pages_k(&p, layer, head, 0, 0), (int)(layer * 8 + head), k_bytes + v_bytes);
            memset(pages_k(&p, layer, head, 0, 1), 0x55, k_bytes + v_bytes);
        }
    step.page_count = 2;
    step.pages[0] = (struct step_page){1, 0, 2, 5, PAGES_UNMAPPED, PAGES_UNMAPPED};
    step.pages[1] = (struct step_page){1, 1, 5, 6, PAGES_UNMAPPED, PAGES_UNMAPPED}; /* in order: 5 was copied before */
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    for (uint32_t layer = 0; layer < shape.layers; layer++)
        for (uint32_t head = 0; head < shape.kv_heads; head++) {
            const uint8_t *k = pages_k(&p, layer, head, 1, 0), *other = pages_k(&p, layer, head, 1, 1);
            for (size_t i = 0; i < k_bytes + v_bytes; i++) {
                assert_int_equal(k[i], layer * 8 + head);
                assert_int_equal(other[i], 0x55);
            }
        }
    pages_deinit(&p);
}

/* Smaller and more of them: a page's heads lie one behind the other, whatever the kind of layer. */
static void heads_behind_windows_are_others(void **state) {
    static const struct model_layer layers[] = {{.window = 100}, {.window = 0}};
    static struct step step = {.page_count = 1, .pages = {{1, 0, 3, 3, 1, 1}}};
    struct pages_shape mixed = shape;
    struct pages p;
    mixed.window = 100;
    mixed.of_model = layers;
    mixed.local = (struct model_heads){.kv_heads = 5, .dim_k = 8, .dim_v = 8};
    assert_int_equal(pages_init(&p, &mixed, NULL), 0);
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    const size_t small = 8 * KERN_PAGE * KV_VALUE;
    const uint8_t *first = p.layers[0] + 1 * 5 * 2 * small, *all = p.layers[1] + 3 * 3 * (k_bytes + v_bytes);
    for (uint32_t head = 0; head < 5; head++) {
        assert_ptr_equal(pages_k(&p, 0, head, 1, 0), first + head * 2 * small);
        assert_ptr_equal(pages_v(&p, 0, head, 1, 0), first + (head * 2 + 1) * small);
    }
    assert_ptr_equal(pages_v(&p, 1, 2, 1, 0), all + 2 * (k_bytes + v_bytes) + k_bytes);
    assert_int_equal(pages_bytes(&mixed), p.slot_count * 5 * 2 * small + 8ull * 3 * (k_bytes + v_bytes));
    pages_deinit(&p);
}

/* All rows of a step find what their windows show, in slots that are used in turn. */
static void own_slots_are_enough(void **state) {
    static const uint32_t windows[] = {1, 2, 3, 63, 64, 65, 512, 1000, 4096};
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        for (uint32_t first = 0; first < 1500; first++) {
            uint32_t from = pages_first_seen(windows[i], first), to = (first + STEP_ROWS_MAX - 1) / KERN_PAGE;
            assert_true(windows[i] + KERN_PAGE > first - from * KERN_PAGE || from == 0);
            assert_true(to - from < pages_slots(windows[i], 1 << 20));
            assert_int_equal(pages_own_slot(windows[i], 1 << 20, 1, from) / pages_slots(windows[i], 1 << 20), 1);
        }
    assert_int_equal(pages_slots(0, 1 << 20), 0);
    assert_int_equal(pages_slots(UINT32_MAX, 1000), 16); /* no more than the context has */
    assert_int_equal(pages_own_slot(0, 1000, 1, 1), PAGES_UNMAPPED);
}

static void windows_have_slots(void **state) {
    static struct model_layer layers[2] = {{.window = 70}, {.window = 0}};
    static struct step step;
    struct pages_shape two = shape;
    struct pages p;
    two.context = 2000; /* 32 pages, 11 slots */
    two.window = 70;
    two.of_model = layers;
    assert_int_equal(pages_slots(70, 2000), 11);
    assert_int_equal(pages_bytes(&two), (uint64_t)2 * (32 + 11) * 3 * 64 * (16 + 8) * 4);
    assert_int_equal(pages_init(&p, &two, NULL), 0);
    step.page_count = 3;
    step.pages[0] = (struct step_page){0, 0, 7, 7, PAGES_UNMAPPED, PAGES_UNMAPPED};
    step.pages[1] = (struct step_page){0, 1, 8, 8, 21, 21};
    step.pages[2] = (struct step_page){0, 2, 9, 9, 20, 20};
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    assert_int_equal(pages_check(&p, 0, 132, NULL), ERR_INVALID); /* sees 63 in page 0 */
    assert_int_equal(pages_check(&p, 0, 133, NULL), 0);
    uint8_t *first = pages_k(&p, 0, 0, 0, 1), *second = pages_k(&p, 0, 0, 0, 2);
    assert_ptr_equal(first, second + 3 * (k_bytes + v_bytes)); /* the slot before */
    assert_ptr_equal(pages_k(&p, 1, 0, 0, 2), (uint8_t *)pages_k(&p, 1, 0, 0, 1) + 3 * (k_bytes + v_bytes));
    memset(first, 1, k_bytes);
    memset(pages_k(&p, 1, 0, 0, 1), 2, k_bytes);
    step.page_count = 1;
    step.pages[0] = (struct step_page){1, 1, 10, 8, 3, 21};
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    assert_memory_equal(pages_k(&p, 0, 0, 1, 1), first, k_bytes);
    assert_memory_equal(pages_k(&p, 1, 0, 1, 1), pages_k(&p, 1, 0, 0, 1), k_bytes);
    step.pages[0].slot = 22;
    assert_int_equal(pages_map(&p, &step, NULL), ERR_INVALID);
    pages_deinit(&p);
}

static void a_layer_that_convolves_has_pages_of_its_own_size(void **state) {
    static struct model_layer layers[3] = {
        {.window = 3, .convolves = true}, {.window = 0}, {.window = 3, .convolves = true}};
    static struct step step;
    struct pages_shape mixed = shape;
    struct pages p;
    mixed.layers = 3;
    mixed.context = 2000; /* 32 pages, 10 slots */
    mixed.window = 3;
    mixed.kept = KERN_PAGE * 100;
    mixed.of_model = layers;
    uint64_t slots = (uint64_t)mixed.sessions * 10, pages = (uint64_t)mixed.sessions * 32;
    assert_int_equal(pages_bytes(&mixed), (2 * slots * 100 + pages * 3 * (16 + 8)) * 64 * sizeof(float));
    assert_int_equal(pages_init(&p, &mixed, NULL), 0);
    step.page_count = 1;
    step.pages[0] = (struct step_page){0, 0, 7, 7, 4, 4};
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    float *first = pages_kept(&p, 0, 0, 0), *last = pages_kept(&p, 2, 0, 0);
    for (size_t i = 0; i < 64 * 100; i++) last[i] = (first[i] = (float)i) + 1;
    step.pages[0] = (struct step_page){1, 0, 8, 7, 5, 4};
    assert_int_equal(pages_map(&p, &step, NULL), 0);
    assert_memory_equal(pages_kept(&p, 0, 1, 0), first, 64 * 100 * sizeof(float));
    assert_memory_equal(pages_kept(&p, 2, 1, 0), last, 64 * 100 * sizeof(float));
    pages_deinit(&p);
}

static void absurd_sizes_are_refused(void **state) {
    struct pages_shape huge = shape;
    struct pages p;
    struct error error;
    huge.layers = 1024;
    huge.kv_heads = 1 << 20;
    huge.sessions = 1024;
    huge.context = UINT32_MAX;
    assert_int_equal(pages_init(&p, &huge, &error), ERR_NOMEM);
    assert_non_null(strstr(error.text, "MiB"));
}

/* ---- rotation ---- */

static void elementary_functions_are_exact(void **state) {
    for (double x = 1e-3; x < 1e7; x *= 1.01) assert_true(fabs(exact_log(x) - log(x)) <= 4e-16 * fmax(1, fabs(log(x))));
    for (double x = -30; x < 30; x += 0.013) assert_true(fabs(exact_exp(x) / exp(x) - 1) < 2e-15);
    for (double x = -1e6; x < 1e6; x += 97.3) {
        double sine, cosine;
        exact_sincos(x, &sine, &cosine);
        assert_true(fabs(sine - sin(x)) < 1e-15 && fabs(cosine - cos(x)) < 1e-15);
    }
}

static void frequencies_are_powers_of_the_base(void **state) {
    struct model_params params = {.rope_dims = 64};
    struct model_rope rope = {.base = 500000, .factor = 1, .magnitude = 1};
    double f[32];
    float factors[32], cosines[32], sines[32];
    rope_frequencies(&params, &rope, NULL, f);
    for (int i = 0; i < 32; i++) assert_true(fabs(f[i] / pow(500000, -2.0 * i / 64) - 1) < 1e-13);
    for (int i = 0; i < 32; i++) factors[i] = 1 + (float)i;
    rope.scaling = MODEL_SCALING_LINEAR;
    rope.factor = 4;
    rope_frequencies(&params, &rope, factors, f);
    for (int i = 0; i < 32; i++) assert_true(fabs(f[i] * (1 + i) * 4 / pow(500000, -2.0 * i / 64) - 1) < 1e-13);
    rope_turn(f, 32, 1, 131071, cosines, sines);
    for (int i = 0; i < 32; i++) {
        assert_true(cosines[i] == (float)cos(131071 * f[i]));
        assert_true(sines[i] == (float)sin(131071 * f[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_where_they_were_mapped),
        cmocka_unit_test(unmapped_positions_are_refused),
        cmocka_unit_test(wrong_pages_are_refused),
        cmocka_unit_test(a_page_begins_as_a_copy),
        cmocka_unit_test(heads_behind_windows_are_others),
        cmocka_unit_test(own_slots_are_enough),
        cmocka_unit_test(windows_have_slots),
        cmocka_unit_test(a_layer_that_convolves_has_pages_of_its_own_size),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(elementary_functions_are_exact),
        cmocka_unit_test(frequencies_are_powers_of_the_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
