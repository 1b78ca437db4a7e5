/* Layers with states: a prompt goes on where a state was kept, and only there; alone or beside others. */
#include "changed_model.h"

static struct model_tensor values_of(const struct model_tensor *t, uint64_t rows, uint64_t cols) {
    struct model_tensor part = *t;
    part.rows = rows;
    part.cols = cols;
    part.bytes = rows * cols * sizeof(float);
    return part;
}

/* The tiny model's tensors as those of a layer with a state: 192 rows lie one behind the other from attn_q on. */
static void make_recur(struct model_layer *l) {
    const struct model_recurrence *r = &model.params.recurrence;
    uint64_t channels = model_recurrence_channels(r);
    l->recurs = true;
    l->window = model.params.window;
    l->recurrence_in = values_of(&l->attn_q, r->inner + channels + r->heads, 64);
    l->recurrence_taps = values_of(&l->ffn_up, channels, r->taps);
    l->recurrence_step_bias = l->recurrence_decay = l->recurrence_skip = values_of(&l->ffn_down, 1, r->heads);
    l->recurrence_decay.offset += sizeof(float); /* this one is negative: the state decays */
    l->recurrence_norm = values_of(&l->ffn_gate, r->groups, r->inner / r->groups);
    l->attn_q.bytes = l->attn_k.bytes = l->attn_v.bytes = 0;
}

/* Another last token than the prompt before had at that place: there is no state but where a page ends. */
static void check_going_on(void) {
    static struct job whole, other, alone, further;
    for (uint32_t length = 60; length < 72; length++) {
        struct engine e = open_engine();
        job_init(&whole, PROMPT);
        run(&e, &whole);
        job_init(&other, length);
        other.prompt[length - 1] = 7;
        run(&e, &other);
        assert_int_equal(other.request.cached_count, length - 1 < KERN_PAGE ? 0 : KERN_PAGE);
        job_init(&alone, length);
        alone.prompt[length - 1] = 7;
        run_alone(&alone);
        assert_memory_equal(other.out, alone.out, sizeof alone.out);
        job_init(&further, length + TOKENS);
        memcpy(further.prompt, other.prompt, length * sizeof *other.prompt);
        memcpy(further.prompt + length, other.out, sizeof other.out);
        run(&e, &further);
        assert_int_equal(further.request.cached_count, length + TOKENS - 1);
        close_engine(&e);
        alone = further;
        alone.count = 0;
        alone.request.context = &alone;
        alone.request.prompt = alone.prompt;
        run_alone(&alone);
        assert_memory_equal(further.out, alone.out, sizeof alone.out);
    }
}

static void check_side_by_side(void) {
    static struct job one, two, alone;
    struct engine e = open_engine();
    job_init(&one, PROMPT);
    job_init(&two, PROMPT - 20);
    two.prompt[3] = 9;
    assert_int_equal(runner_submit(e.runner, &one.request, &error), 0);
    run(&e, &two);
    close_engine(&e);
    job_init(&alone, PROMPT);
    run_alone(&alone);
    assert_memory_equal(one.out, alone.out, sizeof alone.out);
    job_init(&alone, PROMPT - 20);
    alone.prompt[3] = 9;
    run_alone(&alone);
    assert_memory_equal(two.out, alone.out, sizeof alone.out);
    assert_true(two.out[0] != two.out[1]); /* they are numbers */
}

static void states_go_on(void **state) {
    tiny_open(&model, &tiny_default);
    assert_int_equal(model.params.layers, LAYERS);
    model.params.recurrence = (struct model_recurrence){.inner = 64, .heads = 1, .size = 16, .groups = 1, .taps = 4};
    model.params.window = 2;
    model.params.rope_local = model.params.rope;
    for (uint32_t i = 0; i < LAYERS; i++) {
        make_recur(&model.layers[i]);
        check_going_on();
        check_side_by_side();
    }
    tiny_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(states_go_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
