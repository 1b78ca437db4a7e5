/* Layers that convolve: a prompt that goes on where another one left it finds what its sums need. */
#include "changed_model.h"

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
