/* Layers that convolve: a prompt that goes on where another one left it finds what its sums need. */
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

static bool on_token(void *of, uint32_t token) {
    struct job *j = of;
    j->out[j->count++] = token;
    return true;
}

static void on_finish(void *of, enum runner_finish reason, const struct error *why) {
    assert_int_equal(reason, RUNNER_LENGTH);
}

static void job_init(struct job *j, uint32_t length) {
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

static struct engine open_engine(void) {
    struct engine e;
    struct slice_options slice = {.layer_end = LAYERS, .ends = true, .threads = 1, .sessions = 2, .context = 256};
    struct runner_options runner = {.sessions = 2, .context = 256};
    assert_int_equal(slice_open(&e.slice, &model, &slice, &error), 0);
    assert_int_equal(runner_new(&e.runner, &model, e.slice, NULL, &runner, &error), 0);
    return e;
}

static void close_engine(struct engine *e) {
    runner_free(e->runner);
    slice_close(e->slice);
}

static void run(struct engine *e, struct job *j) {
    assert_int_equal(runner_submit(e->runner, &j->request, &error), 0);
    while (runner_busy(e->runner)) assert_int_equal(runner_step(e->runner, &error), 0);
    assert_int_equal(j->count, TOKENS);
}

static void run_alone(struct job *j) {
    struct engine e = open_engine();
    run(&e, j);
    close_engine(&e);
}

/* The tiny model's tensors as those of a layer that convolves: 192 rows lie one behind the other from attn_q on. */
static void make_convolve(struct model_layer *l) {
    l->convolves = true;
    l->window = model.params.convolution;
    l->convolution_in = l->attn_q;
    l->convolution_in.rows = 192;
    l->convolution_in.bytes *= 3;
    l->convolution = l->ffn_up;
    l->convolution.rows = 64;
    l->convolution.cols = 3;
    l->convolution.bytes = (uint64_t)64 * 3 * sizeof(float);
    l->attn_q.bytes = l->attn_k.bytes = l->attn_v.bytes = 0;
}

/* Another last token than the prompt before had at that place, within pages and where they meet. */
static void check_going_on(void) {
    static struct job whole, other, alone;
    for (uint32_t length = 60; length < 72; length++) {
        struct engine e = open_engine();
        job_init(&whole, PROMPT);
        run(&e, &whole);
        job_init(&other, length);
        other.prompt[length - 1] = 7;
        run(&e, &other);
        assert_int_equal(other.request.cached_count, length - 1);
        close_engine(&e);
        job_init(&alone, length);
        alone.prompt[length - 1] = 7;
        run_alone(&alone);
        assert_memory_equal(other.out, alone.out, sizeof alone.out);
    }
}

static void sums_go_on(void **state) {
    tiny_open(&model, &tiny_default);
    assert_int_equal(model.params.layers, LAYERS);
    model.params.window = model.params.convolution = 3;
    model.params.rope_local = model.params.rope;
    for (uint32_t i = 0; i < LAYERS; i++) {
        make_convolve(&model.layers[i]);
        check_going_on();
    }
    tiny_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_go_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
