/* The pace of prompts beside answers, with machines of made-up speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/pace.h"

enum { MOST = 512, LONG = 4000, BRIEF = 100, STEPS = 600 };

/* What a step costs here: reading the weights, each row, and reading the prompt's context if it has a row. */
struct machine {
    uint64_t step_us, row_us, context_us;
};

static uint64_t cost_us(const struct machine *m, uint32_t decode_rows, uint32_t prompt_rows) {
    return m->step_us + m->row_us * (decode_rows + prompt_rows) + (prompt_rows ? m->context_us : 0);
}

static uint64_t step(struct pace *p, const struct machine *m, uint32_t answers, uint32_t decode_rows, uint32_t waiting,
                     uint32_t *rows) {
    *rows = pace_rows(p, answers, decode_rows, waiting, MOST);
    uint64_t us = cost_us(m, decode_rows, *rows);
    pace_learn(p, answers, decode_rows, *rows, us);
    return us;
}

static void alone_a_prompt_takes_all(void **state) {
    struct pace p = {0};
    assert_int_equal(pace_rows(&p, 0, 0, LONG, MOST), MOST);
}

/* Half of the steps are as short as ever, the others not much more than twice that, and prompts get their third. */
static void answers_keep_their_pace(void **state) {
    static const struct machine machines[] = {
        {2000, 300, 0}, {2000, 100, 2000}, {100000, 900, 20000}, {500, 500, 0}, {3000, 5, 3000}};
    for (unsigned k = 0; k < sizeof machines / sizeof *machines; k++)
        for (uint32_t answers = 1; answers < 64; answers *= 3) {
            struct pace p = {0};
            uint64_t alone = cost_us(&machines[k], answers, 0), whole = 0, of_prompts = 0;
            uint32_t with = 0, rows;
            for (int i = 0; i < STEPS; i++) {
                uint64_t us = step(&p, &machines[k], answers, answers, LONG, &rows);
                if (i < 100) continue;
                with += rows > 0;
                assert_true(rows > 0 ? us < 5 * alone / 2 : us == alone);
                whole += us;
                of_prompts += us - alone;
            }
            assert_true(2 * with <= STEPS - 100);
            assert_true(of_prompts * 5 > whole);
        }
}

/* More answers come: what a step costs is measured again, before prompts go on. */
static void it_learns_again(void **state) {
    struct machine m = {1000, 100, 0};
    struct pace p = {0};
    uint32_t rows;
    for (int i = 0; i < 100; i++) step(&p, &m, 1, 1, LONG, &rows);
    step(&p, &m, 40, 40, LONG, &rows);
    assert_int_equal(rows, 0);
    for (int i = 0; i < 20; i++) step(&p, &m, 40, 40, LONG, &rows);
    assert_in_range(pace_rows(&p, 40, 40, LONG, MOST) + rows, 40, 60); /* one of them is none */
}

/* In a ring a step may hold no answer while one is under way in another. */
static void steps_between_answers_are_shorter(void **state) {
    struct machine m = {2000, 100, 500};
    struct pace p = {0};
    uint32_t rows;
    uint64_t us = 0;
    for (int i = 0; i < 100; i++) {
        pace_learn(&p, 1, 1, 0, cost_us(&m, 1, 0));
        us = step(&p, &m, 1, 0, LONG, &rows);
        assert_true(rows > 0);
    }
    assert_true(us < cost_us(&m, 1, 0) + cost_us(&m, 0, 1));
}

/* A few tokens beside a fast answer: few steps that nobody notices, instead of many. */
static void brief_prompts_are_done_with_soon(void **state) {
    struct machine m = {2000, 200, 0};
    struct pace p = {0};
    uint32_t rows;
    for (int i = 0; i < 50; i++) step(&p, &m, 1, 1, LONG, &rows);
    rows = pace_rows(&p, 1, 1, BRIEF, MOST);
    assert_in_range(rows, BRIEF, 150);
    assert_true(cost_us(&m, 1, rows) < 35000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_a_prompt_takes_all),
        cmocka_unit_test(answers_keep_their_pace),
        cmocka_unit_test(it_learns_again),
        cmocka_unit_test(steps_between_answers_are_shorter),
        cmocka_unit_test(brief_prompts_are_done_with_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
