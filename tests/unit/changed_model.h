/* Requests of tests whose tiny model is changed by hand: two sessions, greedy, a few tokens after a prompt. Included by
 * one source a program. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "engine/runner.h"
#include "tiny_file.h"

enum { LAYERS = 2, PROMPT = 100, TOKENS = 3 };

static struct model model;
static struct error error;

struct job {
    struct runner_request request;
    uint32_t prompt[PROMPT], out[TOKENS], count;
};

static inline bool on_token(void *of, uint32_t token) {
    struct job *j = of;
    j->out[j->count++] = token;
    return true;
}

static inline void on_finish(void *of, enum runner_finish reason, const struct error *why) {
    assert_int_equal(reason, RUNNER_LENGTH);
}

static inline void job_init(struct job *j, uint32_t length) {
    *j = (struct job){.request = {.prompt = j->prompt,
                                  .prompt_count = length,
                                  .tokens_max = TOKENS,
                                  .sampling = sampler_defaults(),
                                  .context = j,
                                  .on_token = on_token,
                                  .on_finish = on_finish}};
    for (uint32_t i = 0; i < length; i++) j->prompt[i] = (31 + i * 8) % model.params.vocab;
    j->request.sampling.temperature = 0;
}

struct engine {
    struct slice *slice;
    struct runner *runner;
};

static inline struct engine open_engine(void) {
    struct engine e;
    struct slice_options slice = {.layer_end = LAYERS, .ends = true, .threads = 1, .sessions = 2, .context = 256};
    struct runner_options runner = {.sessions = 2, .context = 256};
    assert_int_equal(slice_open(&e.slice, &model, &slice, &error), 0);
    assert_int_equal(runner_new(&e.runner, &model, e.slice, NULL, &runner, &error), 0);
    return e;
}

static inline void close_engine(struct engine *e) {
    runner_free(e->runner);
    slice_close(e->slice);
}

static inline void run(struct engine *e, struct job *j) {
    assert_int_equal(runner_submit(e->runner, &j->request, &error), 0);
    while (runner_busy(e->runner)) assert_int_equal(runner_step(e->runner, &error), 0);
    assert_int_equal(j->count, TOKENS);
}

static inline void run_alone(struct job *j) {
    struct engine e = open_engine();
    run(&e, j);
    close_engine(&e);
}
