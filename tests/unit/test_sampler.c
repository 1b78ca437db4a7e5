#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "engine/exact.h"
#include "engine/sampler.h"

enum { VOCAB = 64, DRAWS = 20000 };

static double scratch[VOCAB * SAMPLER_SCRATCH_BYTES / sizeof(double)];

static uint32_t draw(const struct sampler_options *o, const float *logits, size_t vocab, uint32_t position) {
    float copy[VOCAB];
    memcpy(copy, logits, vocab * sizeof *copy);
    return sampler_draw(o, copy, vocab, NULL, 0, position, scratch);
}

static struct sampler_options plain(float temperature) {
    return (struct sampler_options){.temperature = temperature, .top_p = 1.0f, .repetition_penalty = 1.0f, .seed = 7};
}

static void elementary_functions_agree_with_the_library(void **state) {
    for (double x = -20.0; x <= 700.0; x += 0.37)
        assert_true(fabs(exact_exp(x) / exp(x) - 1.0) < 4e-15 * (1 + fabs(x)));
    for (double x = 1e-16; x < 1e9; x *= 1.37)
        assert_true(fabs(exact_log(x) - log(x)) <= 1e-15 * fmax(1.0, fabs(log(x))));
    for (double x = 0.0; x < 140000.0; x += 13.7719) {
        double sine, cosine;
        exact_sincos(x, &sine, &cosine);
        assert_true(fabs(sine - sin(x)) < 1e-14 && fabs(cosine - cos(x)) < 1e-14);
    }
}

static void greedy_takes_the_best_and_the_lowest_of_equals(void **state) {
    float logits[4] = {1.0f, 3.0f, 3.0f, -1.0f};
    struct sampler_options o = plain(0.0f);
    assert_int_equal(draw(&o, logits, 4, 0), 1);
    o = sampler_defaults();
    float impossible[3] = {-INFINITY, -INFINITY, -INFINITY}, undefined[3] = {NAN, NAN, NAN};
    assert_int_equal(draw(&o, impossible, 3, 0), 0);
    assert_int_equal(draw(&o, undefined, 3, 0), 0);
}

/* Counts over many positions must follow the softmax; 5 standard deviations allowed. */
static void check_distribution(const struct sampler_options *o, const float *logits, const double *expected, size_t n) {
    unsigned counts[VOCAB] = {0};
    for (uint32_t position = 0; position < DRAWS; position++) counts[draw(o, logits, n, position)]++;
    for (size_t i = 0; i < n; i++) {
        double deviation = sqrt(DRAWS * expected[i] * (1.0 - expected[i]));
        assert_true(fabs(counts[i] - DRAWS * expected[i]) <= 5.0 * deviation);
    }
}

static void draws_follow_the_probabilities(void **state) {
    float logits[5] = {2.0f, 1.0f, 0.0f, -1.0f, 1.5f};
    double expected[5], sum = 0.0;
    for (int i = 0; i < 5; i++) sum += expected[i] = exp(logits[i] / 0.8);
    for (int i = 0; i < 5; i++) expected[i] /= sum;
    struct sampler_options o = plain(0.8f);
    check_distribution(&o, logits, expected, 5);
    o.min_p = 1e-9f; /* the path with filters, which leave everything */
    check_distribution(&o, logits, expected, 5);
}

static void filters_keep_what_they_say(void **state) {
    float logits[5];
    double p[5] = {0.1, 0.4, 0.05, 0.3, 0.15};
    for (int i = 0; i < 5; i++) logits[i] = (float)log(p[i]);
    struct sampler_options o = plain(1.0f);
    o.top_k = 2;
    check_distribution(&o, logits, (double[]){0, 0.4 / 0.7, 0, 0.3 / 0.7, 0}, 5);
    o = plain(1.0f);
    o.top_p = 0.8f; /* 0.4 + 0.3 fall short of it: one more */
    check_distribution(&o, logits, (double[]){0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85}, 5);
    o = plain(1.0f);
    o.min_p = 0.3f; /* 0.12 and up */
    check_distribution(&o, logits, (double[]){0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85}, 5);
    o = plain(1.0f);
    o.top_p = 0.0f; /* the best always stays */
    check_distribution(&o, logits, (double[]){0, 1, 0, 0, 0}, 5);
}

static void a_draw_depends_on_seed_position_and_token_alone(void **state) {
    float logits[VOCAB], longer[VOCAB];
    uint64_t random = 1;
    unsigned other_seed = 0;
    for (int i = 0; i < VOCAB; i++) logits[i] = longer[i] = (float)prng_below(&random, 1000) / 500.0f;
    for (int i = VOCAB / 2; i < VOCAB; i++) longer[i] = -1000.0f;
    struct sampler_options o = plain(1.0f), o8 = o;
    o8.seed = 8;
    for (uint32_t position = 0; position < 500; position++) {
        assert_int_equal(draw(&o, logits, VOCAB, position), draw(&o, logits, VOCAB, position));
        assert_int_equal(draw(&o, logits, VOCAB / 2, position), draw(&o, longer, VOCAB, position));
        other_seed += draw(&o, logits, VOCAB, position) != draw(&o8, logits, VOCAB, position);
    }
    assert_true(other_seed > 400);
}

static void penalties_count_what_was_seen(void **state) {
    float logits[4] = {2.0f, 1.9f, -1.0f, 1.0f};
    uint32_t history[5] = {0, 0, 0, 2, 1000};
    struct sampler_options o = plain(0.0f);
    o.repetition_penalty = 2.0f;
    assert_int_equal(sampler_draw(&o, logits, 4, history, 5, 0, scratch), 1);
    assert_true(logits[0] == 1.0f && logits[1] == 1.9f && logits[2] == -2.0f && logits[3] == 1.0f);
    float again[4] = {2.0f, 1.9f, -1.0f, 1.0f};
    o = plain(0.0f);
    o.presence_penalty = 0.5f;
    o.frequency_penalty = 0.25f;
    sampler_draw(&o, again, 4, history, 5, 0, scratch);
    assert_true(again[0] == 0.75f && again[2] == -1.75f && again[3] == 1.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementary_functions_agree_with_the_library),
        cmocka_unit_test(greedy_takes_the_best_and_the_lowest_of_equals),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(filters_keep_what_they_say),
        cmocka_unit_test(a_draw_depends_on_seed_position_and_token_alone),
        cmocka_unit_test(penalties_count_what_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
