/* The pace of prompts beside answers, with machines of made-up speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/pace.h"

enum { MOST = 512, LONG = 4000, BRIEF = 100, STEPS = 600, CROWD = 8 };

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

/* Half of the steps are as short as ever, the others not much more than twice that, and prompts get their third. In a
 * crowd four of five are longer, but by less. */
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
                assert_true(rows > 0 ? us < (answers < CROWD ? 5 : 4) * alone / 2 : us == alone);
                whole += us;
                of_prompts += us - alone;
            }
            assert_true(with <= (STEPS - 100) * (answers < CROWD ? 0.5 : 0.8));
            assert_true(of_prompts * 5 > whole);
        }
}

/* More answers come: what a step costs is measured again, before prompts go on. */
static void it_learns_again(void **state) {
    struct machine m = {1000, 100, 0};
    struct pace p = {0};
    uint32_t rows;
    for (int i = 0; i < 100; i++) step(&p, &m, 1, 1, LONG, &rows);
    step(&p, &m, 7, 7, LONG, &rows);
    assert_int_equal(rows, 0);
    for (int i = 0; i < 20; i++) step(&p, &m, 7, 7, LONG, &rows);
    assert_in_range(pace_rows(&p, 7, 7, LONG, MOST) + rows, 14, 20); /* one of them is none */
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

/* ---- a crowd ---- */

enum { STREAMS = 64, TOKENS = 100 };

struct stream {
    uint32_t prompt, tokens; /* to come */
    uint64_t last_us;        /* when the last token came; 0: none did */
};

/* Read so many rows of the prompts, in their order. */
static void read_prompts(struct stream *all, uint32_t rows) {
    for (int i = 0; i < STREAMS; i++) {
        uint32_t taken = all[i].prompt < rows ? all[i].prompt : rows;
        all[i].prompt -= taken;
        rows -= taken;
    }
}

/* What comes to those whose prompts are read; the gaps between one's tokens into `gaps`. Returns how many. */
static uint32_t take_tokens(struct stream *all, uint64_t now_us, uint64_t *gaps) {
    uint32_t count = 0;
    for (struct stream *s = all; s < all + STREAMS; s++) {
        if (s->prompt > 0 || s->tokens == 0) continue;
        if (s->last_us > 0) gaps[count++] = now_us - s->last_us;
        s->last_us = now_us;
        s->tokens--;
    }
    return count;
}

/* All ask at once: the gaps between their tokens. Returns how many there are. */
static uint32_t run_crowd(const struct machine *m, uint32_t prompt, uint64_t *gaps) {
    struct stream all[STREAMS];
    struct pace p = {0};
    uint64_t now_us = 0;
    uint32_t count = 0, answers, waiting;
    for (int i = 0; i < STREAMS; i++) all[i] = (struct stream){prompt, TOKENS, 0};
    do {
        answers = waiting = 0;
        for (int i = 0; i < STREAMS; i++) {
            answers += all[i].prompt == 0 && all[i].tokens > 0;
            waiting += all[i].prompt;
        }
        uint32_t rows = pace_rows(&p, answers, answers, waiting, MOST);
        if (rows > waiting) rows = waiting;
        uint64_t us = cost_us(m, answers, rows);
        pace_learn(&p, answers, answers, rows, us);
        read_prompts(all, rows);
        now_us += us;
        count += take_tokens(all, now_us, gaps + count);
    } while (answers + waiting > 0);
    return count;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* 99 of 100 tokens come within three times the median. */
static void a_crowd_has_an_even_pace(void **state) {
    static const struct machine machines[] = {{2000, 300, 0}, {3000, 600, 0},  {3000, 1500, 0},
                                              {3000, 900, 0}, {10000, 300, 0}, {1000, 4000, 0}};
    static uint64_t gaps[STREAMS * TOKENS];
    for (unsigned k = 0; k < sizeof machines / sizeof *machines; k++)
        for (uint32_t prompt = 40; prompt <= 80; prompt += 5) {
            uint32_t count = run_crowd(&machines[k], prompt, gaps);
            qsort(gaps, count, sizeof *gaps, compare);
            uint64_t median = gaps[count / 2], most = gaps[count * 99 / 100];
            if (most > 3 * median)
                fail_msg("machine %u, prompts of %u: median %lu us, 99 %% within %lu us", k, prompt,
                         (unsigned long)median, (unsigned long)most);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_a_prompt_takes_all),
        cmocka_unit_test(answers_keep_their_pace),
        cmocka_unit_test(it_learns_again),
        cmocka_unit_test(steps_between_answers_are_shorter),
        cmocka_unit_test(brief_prompts_are_done_with_soon),
        cmocka_unit_test(a_crowd_has_an_even_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
