/* The runner: requests together and apart give the same tokens; what is known of a prompt is used again; every request
 * ends exactly once, whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/size.h"
#include "engine/runner.h"
#include "tiny_file.h"

enum { CONTEXT = 256, CONTEXT_LONG = 1280, SESSIONS = 3, TOKENS = 12 };

static struct model model;
static uint32_t context = CONTEXT;
static struct error error;

struct job {
    struct runner_request request;
    uint32_t prompt[CONTEXT_LONG], out[CONTEXT_LONG];
    uint32_t count, rows, finished;
    enum runner_finish reason;
    int code;
    struct runner *cancels; /* cancel from the first token's callback */
};

static bool on_token(void *of, uint32_t token) {
    struct job *j = of;
    j->out[j->count++] = token;
    if (j->cancels) runner_cancel(j->cancels, &j->request);
    return true;
}

static void on_finish(void *of, enum runner_finish reason, const struct error *why) {
    struct job *j = of;
    j->finished++;
    j->reason = reason;
    j->code = why ? why->code : 0;
}

static void on_logits(void *of, uint32_t position, const float *logits, size_t vocab) {
    struct job *j = of;
    assert_int_equal(position, j->rows++);
    assert_int_equal(vocab, model.params.vocab);
}

/* A prompt of `length` tokens that depend on `seed`. */
static void job_init(struct job *j, uint32_t seed, uint32_t length, uint32_t tokens) {
    *j = (struct job){0};
    for (uint32_t i = 0; i < length; i++) j->prompt[i] = (seed * 31 + i * (seed + 7)) % model.params.vocab;
    j->request = (struct runner_request){.prompt = j->prompt,
                                         .prompt_count = length,
                                         .tokens_max = tokens,
                                         .sampling = sampler_defaults(),
                                         .context = j,
                                         .on_token = on_token,
                                         .on_finish = on_finish};
    j->request.sampling.seed = seed;
}

static struct slice *open_slice(uint32_t layer_begin, uint32_t layer_end, bool ends) {
    struct slice *s;
    struct slice_options o = {.layer_begin = layer_begin, .layer_end = layer_end, .ends = ends, .threads = 1,
                              .sessions = SESSIONS, .context = context};
    assert_int_equal(slice_open(&s, &model, &o, &error), 0);
    return s;
}

static struct runner *open_runner(struct slice *s, const struct runner_ring *ring, uint32_t chunk) {
    struct runner *r;
    struct runner_options o = {.sessions = SESSIONS, .context = context, .chunk_tokens = chunk};
    assert_int_equal(runner_new(&r, &model, s, ring, &o, &error), 0);
    return r;
}

static void run_all(struct runner *r) {
    for (int steps = 0; runner_busy(r); steps++) {
        assert_true(steps < 20000);
        assert_int_equal(runner_step(r, &error), 0);
    }
}

static void run_alone(struct job *j) {
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 0);
    assert_int_equal(runner_submit(r, &j->request, &error), 0);
    run_all(r);
    runner_free(r);
    slice_close(s);
    assert_int_equal(j->finished, 1);
    assert_int_equal(j->reason, RUNNER_LENGTH);
    assert_int_equal(j->count, j->request.tokens_max);
}

static void assert_same(const struct job *a, const struct job *b) {
    assert_int_equal(b->finished, 1);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->out, b->out, a->count * sizeof a->out[0]);
}

/* More requests than sessions, of many lengths, in chunks of any size. */
static void together_is_as_alone(void **state) {
    enum { JOBS = 7 };
    static struct job alone[JOBS], together[JOBS];
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&alone[i], i, 1 + i * 23, TOKENS + i);
        run_alone(&alone[i]);
    }
    for (uint32_t chunk = 1; chunk < 200; chunk = chunk * 5 + 2) {
        struct slice *s = open_slice(0, model.params.layers, true);
        struct runner *r = open_runner(s, NULL, chunk);
        for (uint32_t i = 0; i < JOBS; i++) {
            job_init(&together[i], i, 1 + i * 23, TOKENS + i);
            assert_int_equal(runner_submit(r, &together[i].request, &error), 0);
        }
        run_all(r);
        for (uint32_t i = 0; i < JOBS; i++) assert_same(&alone[i], &together[i]);
        runner_free(r);
        slice_close(s);
    }
}

/* What a job tells beside its tokens. */
struct told {
    struct job job; /* first */
    struct logprobs probs[CONTEXT];
    float sum[1024];
    uint32_t count;
};

static void on_logprobs(void *of, uint32_t position, const struct logprobs *p) {
    struct told *t = of;
    assert_int_equal(position, t->job.request.rows_from + 1 + t->count);
    t->probs[t->count++] = *p;
}

static void on_embedding(void *of, const float *sum, size_t embd) {
    struct told *t = of;
    assert_true(embd <= ARRAY_LEN(t->sum));
    memcpy(t->sum, sum, embd * sizeof *sum);
    t->count++;
}

/* Log probabilities of prompt and answer, and embeddings, do not depend on chunks or company; what is cached or not. */
static void rows_are_as_alone(void **state) {
    static struct told want[3], got[3];
    for (uint32_t chunk = 200; chunk > 2; chunk /= 5) {
        struct slice *s = open_slice(0, model.params.layers, true);
        struct runner *r = open_runner(s, NULL, chunk);
        for (uint32_t i = 0; i < 3; i++) {
            job_init(&got[i].job, 1, 70 + i, i < 2 ? TOKENS : 0);
            got[i].count = 0;
            got[i].job.request.rows_from = 0;
            got[i].job.request.top = 3;
            if (i < 2) got[i].job.request.on_logprobs = on_logprobs;
            else got[i].job.request.on_embedding = on_embedding;
            assert_int_equal(runner_submit(r, &got[i].job.request, &error), 0);
        }
        run_all(r);
        runner_free(r);
        slice_close(s);
        assert_int_equal(got[0].count, 69 + TOKENS);
        assert_int_equal(got[2].count, 1);
        if (chunk == 200) memcpy(want, got, sizeof want);
        for (uint32_t i = 0; i < 2; i++) assert_memory_equal(want[i].probs, got[i].probs, sizeof got[i].probs);
        assert_memory_equal(want[2].sum, got[2].sum, sizeof got[2].sum);
    }
    const struct logprobs *last = &got[0].probs[got[0].count - 1];
    assert_int_equal(last->list[0].token, got[0].job.out[TOKENS - 1]);
    assert_true(last->top == 3 && last->list[1].value >= last->list[2].value && last->list[1].value < 0);
}

/* A bias of +100 wins, one of -100 loses. */
static void biases_decide(void **state) {
    static struct job plain, pushed;
    struct sampler_bias bias = {.token = 5, .bias = 100};
    job_init(&plain, 3, 20, 1);
    run_alone(&plain);
    job_init(&pushed, 3, 20, 1);
    pushed.request.sampling.biases = &bias;
    pushed.request.sampling.bias_count = 1;
    run_alone(&pushed);
    assert_int_equal(pushed.out[0], 5);
    bias = (struct sampler_bias){.token = plain.out[0], .bias = -100};
    job_init(&pushed, 3, 20, 1);
    pushed.request.sampling.biases = &bias;
    pushed.request.sampling.bias_count = 1;
    run_alone(&pushed);
    assert_int_not_equal(pushed.out[0], plain.out[0]);
}

static void a_known_beginning_is_used_again(void **state) {
    static struct job first, again, longer, other, fresh;
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 0);
    job_init(&first, 1, 100, TOKENS);
    assert_int_equal(runner_submit(r, &first.request, &error), 0);
    run_all(r);
    assert_int_equal(first.request.cached_count, 0);

    job_init(&again, 1, 100, TOKENS);
    assert_int_equal(runner_submit(r, &again.request, &error), 0);
    run_all(r);
    assert_int_equal(again.request.cached_count, 99); /* all but the one whose logits are needed */
    assert_same(&first, &again);

    job_init(&longer, 1, 100, TOKENS); /* the answer and something new behind it */
    memcpy(longer.prompt + 100, first.out, 5 * sizeof first.out[0]);
    longer.prompt[105] = (first.out[5] + 1) % model.params.vocab;
    longer.request.prompt_count = 106;
    fresh = longer;
    fresh.request.prompt = fresh.prompt;
    fresh.request.context = &fresh;
    assert_int_equal(runner_submit(r, &longer.request, &error), 0);
    run_all(r);
    assert_int_equal(longer.request.cached_count, 105);
    run_alone(&fresh);
    assert_same(&fresh, &longer);

    job_init(&other, 2, 50, TOKENS); /* begins differently */
    assert_int_equal(runner_submit(r, &other.request, &error), 0);
    run_all(r);
    assert_int_equal(other.request.cached_count, 0);
    runner_free(r);
    slice_close(s);
}

/* Requests come and go, one after the other: all of them are remembered, whichever session ran them. */
static void beginnings_outlive_their_sessions(void **state) {
    enum { JOBS = SESSIONS + 2 };
    static struct job jobs[JOBS], again;
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 0);
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&jobs[i], i, 90, TOKENS);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
        run_all(r);
    }
    for (uint32_t i = 0; i < JOBS; i++) { /* two pages each, and two for a copy */
        job_init(&again, i, 90, TOKENS);
        assert_int_equal(runner_submit(r, &again.request, &error), 0);
        run_all(r);
        assert_same(&jobs[i], &again);
        assert_int_equal(again.request.cached_count, 89);
    }
    runner_free(r);
    slice_close(s);
}

/* Those that run share the full pages of their beginning; with contexts full to the last position there are enough. */
static void running_requests_share(void **state) {
    static struct job alone, first, others[SESSIONS];
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 16);
    job_init(&alone, 1, 100, CONTEXT - 100);
    run_alone(&alone);
    job_init(&first, 1, 100, CONTEXT - 100);
    assert_int_equal(runner_submit(r, &first.request, &error), 0);
    while (first.count == 0) assert_int_equal(runner_step(r, &error), 0);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        job_init(&others[i], 1, 100, CONTEXT - 100);
        assert_int_equal(runner_submit(r, &others[i].request, &error), 0);
    }
    run_all(r);
    assert_same(&alone, &first);
    for (uint32_t i = 0; i < SESSIONS; i++) assert_same(&alone, &others[i]);
    for (uint32_t i = 0; i < SESSIONS - 1; i++) assert_int_equal(others[i].request.cached_count, 64);
    assert_int_equal(others[SESSIONS - 1].request.cached_count, 99); /* it waited for another's end */
    runner_free(r);
    slice_close(s);
}

/* A long prompt takes the pages of what was left longest ago. */
static void the_oldest_is_forgotten_first(void **state) {
    static struct job old, young, big, running;
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, STEP_ROWS_MAX);
    job_init(&old, 1, 130, 1);
    job_init(&young, 2, 130, 1);
    job_init(&running, 3, 100, CONTEXT - 100);
    job_init(&big, 4, 240, 1);
    assert_int_equal(runner_submit(r, &old.request, &error), 0);
    run_all(r);
    assert_int_equal(runner_submit(r, &young.request, &error), 0);
    run_all(r);
    assert_int_equal(runner_submit(r, &running.request, &error), 0);
    while (running.count < 40) assert_int_equal(runner_step(r, &error), 0);
    assert_int_equal(runner_submit(r, &big.request, &error), 0); /* 3 + 3 + 3 + 4 pages of 12 */
    while (big.finished == 0) assert_int_equal(runner_step(r, &error), 0);
    job_init(&young, 2, 130, 1);
    assert_int_equal(runner_submit(r, &young.request, &error), 0);
    while (young.finished == 0) assert_int_equal(runner_step(r, &error), 0);
    assert_int_equal(young.request.cached_count, 129);
    job_init(&old, 1, 130, 1);
    assert_int_equal(runner_submit(r, &old.request, &error), 0);
    run_all(r);
    assert_int_equal(old.request.cached_count, 64); /* its end went to big, the page before to young */
    job_init(&old, 3, 100, CONTEXT - 100);
    run_alone(&old);
    assert_same(&old, &running);
    runner_free(r);
    slice_close(s);
}

static void cancelled_requests_end_and_others_do_not(void **state) {
    enum { JOBS = 5 };
    static struct job jobs[JOBS], alone;
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 16);
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&jobs[i], i, 60, 100);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    jobs[2].cancels = r;                 /* while it speaks */
    runner_cancel(r, &jobs[4].request);  /* while it waits for a session */
    assert_int_equal(runner_step(r, &error), 0);
    runner_cancel(r, &jobs[0].request);  /* in its prompt */
    run_all(r);
    for (uint32_t i = 0; i < JOBS; i++) assert_int_equal(jobs[i].finished, 1);
    assert_int_equal(jobs[0].reason, RUNNER_CANCELLED);
    assert_int_equal(jobs[0].count, 0);
    assert_int_equal(jobs[2].reason, RUNNER_CANCELLED);
    assert_int_equal(jobs[2].count, 1);
    assert_int_equal(jobs[4].reason, RUNNER_CANCELLED);
    assert_int_equal(jobs[4].count, 0);
    for (uint32_t i = 1; i < 4; i += 2) {
        job_init(&alone, i, 60, 100);
        run_alone(&alone);
        assert_same(&alone, &jobs[i]);
    }
    struct runner_request unknown = {0};
    runner_cancel(r, &unknown);
    assert_false(runner_busy(r));
    runner_free(r);
    slice_close(s);
}

static void freeing_ends_what_runs(void **state) {
    static struct job jobs[5];
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 0);
    for (uint32_t i = 0; i < 5; i++) {
        job_init(&jobs[i], i, 10, 100);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    for (int i = 0; i < 5; i++) assert_int_equal(runner_step(r, &error), 0);
    runner_free(r);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(jobs[i].finished, 1);
        assert_int_equal(jobs[i].reason, RUNNER_CANCELLED);
    }
    slice_close(s);
}

static void wrong_requests_are_refused(void **state) {
    static struct job j;
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 0);
    job_init(&j, 1, 10, CONTEXT - 9);
    assert_int_equal(runner_submit(r, &j.request, &error), ERR_LIMIT);
    assert_non_null(strstr(error.text, "context of 256"));
    job_init(&j, 1, 10, UINT32_MAX);
    assert_int_equal(runner_submit(r, &j.request, &error), ERR_LIMIT);
    job_init(&j, 1, 0, 5);
    assert_int_equal(runner_submit(r, &j.request, &error), ERR_INVALID);
    job_init(&j, 1, 10, 5);
    j.prompt[9] = model.params.vocab;
    assert_int_equal(runner_submit(r, &j.request, &error), ERR_INVALID);
    assert_false(runner_busy(r));
    assert_int_equal(j.finished, 0);
    job_init(&j, 1, 10, CONTEXT - 10); /* to the last position */
    assert_int_equal(runner_submit(r, &j.request, &error), 0);
    run_all(r);
    assert_int_equal(j.count, CONTEXT - 10);
    runner_free(r);
    slice_close(s);
}

static void stops_and_limits(void **state) {
    static struct job free_run, stopped, none, logits;
    job_init(&free_run, 3, 20, TOKENS);
    run_alone(&free_run);
    struct slice *s = open_slice(0, model.params.layers, true);
    struct runner *r = open_runner(s, NULL, 7);
    job_init(&stopped, 3, 20, TOKENS);
    stopped.request.stop_tokens = &free_run.out[6];
    stopped.request.stop_count = 1;
    job_init(&none, 3, 20, 0);
    job_init(&logits, 3, 20, 2);
    logits.request.on_logits = on_logits;
    struct job *jobs[] = {&stopped, &none, &logits};
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) assert_int_equal(runner_submit(r, &jobs[i]->request, &error), 0);
    run_all(r);
    assert_int_equal(stopped.reason, RUNNER_STOP);
    assert_true(stopped.count <= 6); /* the token may have come up earlier */
    assert_memory_equal(stopped.out, free_run.out, stopped.count * sizeof(uint32_t));
    assert_int_equal(free_run.out[stopped.count], free_run.out[6]);
    assert_int_equal(none.reason, RUNNER_LENGTH);
    assert_int_equal(none.count, 0);
    assert_int_equal(logits.rows, 20);
    assert_int_equal(logits.count, 2);
    logits.request.rows_from = 17;
    logits.rows = 17;
    logits.count = 0;
    assert_int_equal(runner_submit(r, &logits.request, &error), 0);
    run_all(r);
    assert_int_equal(logits.request.cached_count, 17);
    assert_int_equal(logits.rows, 20);
    runner_free(r);
    slice_close(s);
}

/* ---- a ring: the other layers, some steps late ---- */

enum { LATE = 3 };

struct fake_ring {
    struct slice *slice;
    struct step steps[LATE];
    float hidden[LATE][STEP_ROWS_MAX * 64];
    uint64_t sent, received;
    int fail_send_at, fail_receive_at; /* step numbers; 0: never */
};

static int ring_send(void *of, const struct step *step, const float *hidden, struct error *why) {
    struct fake_ring *ring = of;
    if ((int)step->number == ring->fail_send_at) return error_set(why, ERR_LOST, "the ring is cut");
    assert_true(ring->sent - ring->received < LATE);
    ring->steps[ring->sent % LATE] = *step;
    memcpy(ring->hidden[ring->sent % LATE], hidden, step->row_count * 64 * sizeof *hidden);
    ring->sent++;
    return 0;
}

static int ring_receive(void *of, uint64_t number, float *hidden, uint32_t row_count, bool wait,
                        struct error *why) {
    struct fake_ring *ring = of;
    if ((int)number == ring->fail_receive_at) return error_set(why, ERR_LOST, "the ring is cut");
    if (!wait && ring->sent - ring->received < LATE) return ERR_AGAIN;
    uint32_t at = (uint32_t)(ring->received++ % LATE), count = 0;
    const struct step *step = &ring->steps[at];
    assert_int_equal(step->number, number);
    assert_int_equal(slice_map(ring->slice, step, why), 0);
    assert_int_equal(slice_layers(ring->slice, step, ring->hidden[at], why), 0);
    for (uint32_t i = 0; i < step->row_count; i++)
        if (step->rows[i].want_logits) memcpy(hidden + 64 * count++, ring->hidden[at] + 64 * i, 64 * sizeof *hidden);
    assert_int_equal(count, row_count);
    return 0;
}

static void a_ring_is_as_one(void **state) {
    enum { JOBS = 5 };
    static struct job alone, jobs[JOBS];
    static struct fake_ring ring;
    struct runner_ring seam = {&ring, LATE, 2, ring_send, ring_receive};
    struct slice *s = open_slice(0, 1, true);
    ring = (struct fake_ring){.slice = open_slice(1, model.params.layers, false)};
    struct runner *r = open_runner(s, &seam, 11);
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&jobs[i], i, 30 + i, TOKENS);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    run_all(r);
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&alone, i, 30 + i, TOKENS);
        run_alone(&alone);
        assert_same(&alone, &jobs[i]);
    }
    runner_free(r);
    slice_close(s);
    slice_close(ring.slice);
}

/* A beginning of one of few prompts, then something of its own. */
static void job_init_alike(struct job *j, uint64_t *random) {
    uint32_t length = 1 + (uint32_t)prng_below(random, context - 76), tokens = 1 + (uint32_t)prng_below(random, 70);
    job_init(j, (uint32_t)prng_below(random, 3), length, tokens);
    for (uint32_t i = (uint32_t)prng_below(random, length); i < length && prng_below(random, 2); i++) j->prompt[i] = 5;
}

static void check_alone(const struct job *j) {
    static struct job alone;
    alone = *j;
    alone.count = alone.finished = 0;
    alone.cancels = NULL;
    alone.request.prompt = alone.prompt;
    alone.request.context = &alone;
    run_alone(&alone);
    assert_int_equal(j->finished, 1);
    assert_memory_equal(j->out, alone.out, j->count * sizeof alone.out[0]);
    if (!j->cancels) assert_int_equal(j->count, alone.count);
}

/* Prompts that begin alike, in any order, some cancelled, in a ring and alone. Returns how many tokens were known. */
static uint64_t run_alike(int rounds, uint32_t window) {
    static struct job jobs[SESSIONS + 1];
    static struct fake_ring ring;
    struct runner_ring seam = {&ring, LATE, 2, ring_send, ring_receive};
    uint64_t random = 11, cached = 0;
    uint32_t no_window = model.params.window;
    model.params.window = window;
    struct slice *s = open_slice(0, 1, true);
    ring = (struct fake_ring){.slice = open_slice(1, model.params.layers, false)};
    struct runner *r = open_runner(s, &seam, 37);
    for (int round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < ARRAY_LEN(jobs); i++) {
            job_init_alike(&jobs[i], &random);
            if (prng_below(&random, 4) == 0) jobs[i].cancels = r;
            assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
            for (uint64_t steps = prng_below(&random, 20); steps > 0; steps--)
                assert_int_equal(runner_step(r, &error), 0);
        }
        run_all(r);
        model.params.window = no_window;
        for (uint32_t i = 0; i < ARRAY_LEN(jobs); i++) {
            cached += jobs[i].request.cached_count;
            check_alone(&jobs[i]);
        }
        model.params.window = window;
    }
    runner_free(r);
    slice_close(s);
    slice_close(ring.slice);
    model.params.window = no_window;
    return cached;
}

/* Shared or computed again: the same. */
static void shared_pages_change_nothing(void **state) { assert_true(run_alike(8, 0) > 8 * 50); }

/* Layers that keep only what their window shows against the same where they keep everything, as before a window of the
 * size of the context. */
static void windows_keep_enough(void **state) {
    context = CONTEXT_LONG; /* 20 pages a session, of which a window of 40 needs 10 */
    model.params.rope_local = model.params.rope;
    model.params.window = CONTEXT_LONG;
    for (uint32_t last = 0; last < 2; last++) {
        for (uint32_t i = 0; i < model.params.layers; i++) model.layers[i].window = i >= last ? 40 : 0;
        assert_true(run_alike(2, 40) > 100);
    }
    for (uint32_t i = 0; i < model.params.layers; i++) model.layers[i].window = 0;
    model.params.window = 0;
    context = CONTEXT;
}

/* A cut ring ends all requests with the reason, and the runner goes on when it is whole again. */
static void a_cut_ring_fails_all(void **state) {
    static struct job jobs[5], alone, after;
    static struct fake_ring ring;
    struct runner_ring seam = {&ring, LATE, 2, ring_send, ring_receive};
    for (int at_send = 0; at_send < 2; at_send++) {
        struct slice *s = open_slice(0, 1, true);
        ring = (struct fake_ring){.slice = open_slice(1, model.params.layers, false)};
        *(at_send ? &ring.fail_send_at : &ring.fail_receive_at) = 9;
        struct runner *r = open_runner(s, &seam, 0);
        for (uint32_t i = 0; i < 5; i++) {
            job_init(&jobs[i], i, 30, TOKENS);
            assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
        }
        int rc;
        while ((rc = runner_step(r, &error)) == 0) assert_true(runner_busy(r));
        assert_int_equal(rc, ERR_LOST);
        assert_string_equal(error.text, "the ring is cut");
        assert_false(runner_busy(r));
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(jobs[i].finished, 1);
            assert_int_equal(jobs[i].reason, RUNNER_FAILED);
            assert_int_equal(jobs[i].code, ERR_LOST);
        }
        ring.sent = ring.received = 0;
        ring.fail_send_at = ring.fail_receive_at = 0;
        job_init(&after, 1, 30, TOKENS);
        assert_int_equal(runner_submit(r, &after.request, &error), 0);
        run_all(r);
        assert_int_equal(after.request.cached_count, 0);
        job_init(&alone, 1, 30, TOKENS);
        run_alone(&alone);
        assert_same(&alone, &after);
        runner_free(r);
        slice_close(s);
        slice_close(ring.slice);
    }
}

/* ---- turns ---- */

/* A slice whose pages are enough for `parallel` whole contexts. */
static struct slice *open_part(uint32_t layer_begin, uint32_t layer_end, bool ends, uint32_t parallel) {
    struct slice *s;
    struct slice_options o = {.layer_begin = layer_begin,
                              .layer_end = layer_end,
                              .ends = ends,
                              .threads = 1,
                              .sessions = 8,
                              .parallel = parallel,
                              .context = context};
    assert_int_equal(slice_open(&s, &model, &o, &error), 0);
    return s;
}

static struct runner *open_turns(struct slice *s, const struct runner_ring *seam, uint32_t parallel, uint64_t turn_us) {
    struct runner *r;
    struct runner_options o = {.sessions = 8,
                               .parallel = parallel,
                               .context = context,
                               .queue_max = 30,
                               .turn_us = turn_us,
                               .chunk_tokens = 24};
    assert_int_equal(runner_new(&r, &model, s, seam, &o, &error), 0);
    return r;
}

/* More than sessions and pages hold, put back again and again: nobody's tokens change, everybody ends. */
static void run_crowded(uint32_t window, uint32_t parallel, uint64_t turn_us) {
    enum { JOBS = 10 };
    static struct job jobs[JOBS], alone;
    static struct fake_ring ring;
    struct runner_ring seam = {&ring, LATE, 2, ring_send, ring_receive};
    uint32_t no_window = model.params.window;
    model.params.window = window;
    struct slice *s = open_part(0, 1, true, parallel);
    ring = (struct fake_ring){.slice = open_part(1, model.params.layers, false, parallel)};
    struct runner *r = open_turns(s, &seam, parallel, turn_us);
    for (uint32_t i = 0; i < JOBS; i++) {
        uint32_t length = 1 + i * 31 % 190;
        job_init(&jobs[i], i % 5, length, i % 3 ? context - length : TOKENS);
        jobs[i].request.client = i % 4;
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    run_all(r);
    for (uint32_t i = 0; i < JOBS; i++) {
        job_init(&alone, i % 5, jobs[i].request.prompt_count, jobs[i].request.tokens_max);
        run_alone(&alone);
        assert_same(&alone, &jobs[i]);
    }
    runner_free(r);
    slice_close(s);
    slice_close(ring.slice);
    model.params.window = no_window;
}

static void crowds_get_through(void **state) {
    run_crowded(0, 1, 0);
    run_crowded(0, 3, 1);
    run_crowded(70, 1, 1);
    run_crowded(70, 2, 0);
}

static void a_greedy_client_leaves_room(void **state) {
    enum { GREED = 20 };
    static struct job greedy[GREED], modest;
    struct slice *s = open_part(0, model.params.layers, true, 8);
    struct runner *r = open_turns(s, NULL, 8, 0);
    for (uint32_t i = 0; i < GREED; i++) {
        job_init(&greedy[i], i, 10, 200);
        greedy[i].request.client = 1;
        assert_int_equal(runner_submit(r, &greedy[i].request, &error), 0);
    }
    while (greedy[0].count < 20) assert_int_equal(runner_step(r, &error), 0);
    job_init(&modest, 99, 10, 5);
    modest.request.client = 2;
    assert_int_equal(runner_submit(r, &modest.request, &error), 0);
    for (int steps = 0; steps < 10 && !modest.finished; steps++) assert_int_equal(runner_step(r, &error), 0);
    assert_int_equal(modest.count, 5);
    for (uint32_t i = 0; i < GREED; i++) assert_int_equal(greedy[i].finished, 0);
    run_all(r);
    for (uint32_t i = 0; i < GREED; i++) assert_int_equal(greedy[i].count, 200);
    runner_free(r);
    slice_close(s);
}

/* Requests of one client, too: who waits longer than a turn gets one. */
static void nobody_waits_for_the_end_of_the_longest(void **state) {
    static struct job jobs[9];
    struct slice *s = open_part(0, model.params.layers, true, 8);
    struct runner *r = open_turns(s, NULL, 8, 1);
    for (uint32_t i = 0; i < 9; i++) {
        job_init(&jobs[i], i, 10, 240);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    while (jobs[8].count == 0) assert_int_equal(runner_step(r, &error), 0);
    for (uint32_t i = 0; i < 8; i++) assert_int_equal(jobs[i].finished, 0);
    runner_free(r);
    slice_close(s);
}

static void the_queue_is_bounded(void **state) {
    static struct job jobs[31];
    struct slice *s = open_part(0, model.params.layers, true, 1);
    struct runner *r = open_turns(s, NULL, 1, 0);
    for (uint32_t i = 0; i < 31; i++) {
        job_init(&jobs[i], i, 10, 1);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), i < 30 ? 0 : ERR_BUSY);
    }
    run_all(r);
    assert_int_equal(jobs[30].finished, 0);
    runner_free(r);
    slice_close(s);
}

static void a_long_prompt_does_not_hold_up_a_short_one(void **state) {
    static struct job long_one, short_one;
    struct slice *s = open_part(0, model.params.layers, true, 8);
    struct runner *r = open_turns(s, NULL, 8, 0);
    job_init(&long_one, 1, 250, 2);
    job_init(&short_one, 2, 20, 2);
    assert_int_equal(runner_submit(r, &long_one.request, &error), 0);
    assert_int_equal(runner_step(r, &error), 0);
    assert_int_equal(runner_submit(r, &short_one.request, &error), 0);
    for (int steps = 0; steps < 2; steps++) assert_int_equal(runner_step(r, &error), 0);
    assert_int_not_equal(short_one.count, 0);
    assert_int_equal(long_one.count, 0);
    while (long_one.count == 0) assert_int_equal(runner_step(r, &error), 0);
    runner_free(r);
    slice_close(s);
}

/* Answers go through a ring in as many steps as it has stages. */
static void a_ring_has_work_for_all_stages(void **state) {
    static struct job jobs[4];
    static struct fake_ring ring;
    struct runner_ring seam = {&ring, LATE, 2, ring_send, ring_receive};
    struct slice *s = open_part(0, 1, true, 4);
    ring = (struct fake_ring){.slice = open_part(1, model.params.layers, false, 4)};
    struct runner *r = open_turns(s, &seam, 4, 0);
    for (uint32_t i = 0; i < 4; i++) {
        job_init(&jobs[i], i, 10, 100);
        assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    }
    while (jobs[3].count < 20) assert_int_equal(runner_step(r, &error), 0);
    for (uint32_t i = 0; i < LATE; i++) assert_int_equal(ring.steps[i].row_count, 2);
    run_all(r);
    runner_free(r);
    slice_close(s);
    slice_close(ring.slice);
}

static int open_model(void **state) {
    tiny_open(&model, &tiny_default);
    return 0;
}

static int close_model(void **state) {
    tiny_close(&model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_is_as_alone),
        cmocka_unit_test(rows_are_as_alone),
        cmocka_unit_test(biases_decide),
        cmocka_unit_test(a_known_beginning_is_used_again),
        cmocka_unit_test(beginnings_outlive_their_sessions),
        cmocka_unit_test(running_requests_share),
        cmocka_unit_test(the_oldest_is_forgotten_first),
        cmocka_unit_test(cancelled_requests_end_and_others_do_not),
        cmocka_unit_test(freeing_ends_what_runs),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(stops_and_limits),
        cmocka_unit_test(a_ring_is_as_one),
        cmocka_unit_test(shared_pages_change_nothing),
        cmocka_unit_test(windows_keep_enough),
        cmocka_unit_test(a_cut_ring_fails_all),
        cmocka_unit_test(crowds_get_through),
        cmocka_unit_test(a_greedy_client_leaves_room),
        cmocka_unit_test(nobody_waits_for_the_end_of_the_longest),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(a_long_prompt_does_not_hold_up_a_short_one),
        cmocka_unit_test(a_ring_has_work_for_all_stages),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
