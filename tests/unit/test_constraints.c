/* Requests that keep to a grammar: their text is one of the grammar's, also beside others and when it goes on after a
 * failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "engine/constraints.h"
#include "engine/runner.h"
#include "model/gguf_write.h"
#include "tiny_file.h"

/* The tiny model's tokens: an end, then these. */
enum { STOP = 0, VOCAB = 50, PROMPT = 7, SESSIONS = 3, TOKENS_MAX = 120 };
static const char pieces[] = "\"{}[]:,0123456789abcdefghijklmnopqrstuvwxyz.-\\ \n_";

static struct model model;
static struct gguf_writer writer;
static uint8_t *header;
static struct gguf vocabulary_file;
static struct tokenizer *tokenizer;
static struct error error;

struct job {
    struct runner_request request;
    struct grammar_state state;
    uint32_t prompt[PROMPT + TOKENS_MAX], out[TOKENS_MAX], count, stop;
    enum runner_finish reason;
    char text[TOKENS_MAX + 1], why[ERROR_TEXT_BYTES];
};

static bool on_token(void *of, uint32_t token) {
    struct job *j = of;
    j->text[j->count] = pieces[token - 1];
    j->out[j->count++] = token;
    return true;
}

static void on_finish(void *of, enum runner_finish reason, const struct error *why) {
    struct job *j = of;
    j->reason = reason;
    if (why) snprintf(j->why, sizeof j->why, "%s", why->text);
}

static void job_init(struct job *j, uint64_t seed, float temperature) {
    *j = (struct job){.stop = STOP};
    for (uint32_t i = 0; i < PROMPT; i++) j->prompt[i] = (uint32_t)(seed * 7 + i * 3) % VOCAB;
    j->request = (struct runner_request){.prompt = j->prompt,
                                         .prompt_count = PROMPT,
                                         .rows_from = PROMPT,
                                         .tokens_max = TOKENS_MAX,
                                         .sampling = sampler_defaults(),
                                         .stop_tokens = &j->stop,
                                         .stop_count = 1,
                                         .context = j,
                                         .on_token = on_token,
                                         .on_finish = on_finish};
    j->request.sampling.seed = seed;
    j->request.sampling.temperature = temperature;
}

static void keep_to(struct constraints *c, struct job *j, const char *gbnf, const uint32_t *generated, size_t count) {
    if (constraints_begin(c, GRAMMAR_GBNF, gbnf, strlen(gbnf), generated, count, &j->state, &error) != 0)
        fail_msg("%s", error.text);
    j->request.grammar = &j->state;
}

static void run(struct runner *r, struct job *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) assert_int_equal(runner_submit(r, &jobs[i].request, &error), 0);
    while (runner_busy(r)) assert_int_equal(runner_step(r, &error), 0);
}

static struct runner *open_runner(struct slice **s) {
    struct runner *r;
    struct slice_options slice = {
        .layer_end = model.params.layers, .ends = true, .threads = 1, .sessions = SESSIONS, .context = 256};
    struct runner_options options = {.sessions = SESSIONS, .context = 256};
    assert_int_equal(slice_open(s, &model, &slice, &error), 0);
    assert_int_equal(runner_new(&r, &model, *s, NULL, &options, &error), 0);
    return r;
}

static const char letters[] = "root ::= \"[\" [a-e]{1,90} \"]\"";

static bool is_letters(const char *text) {
    size_t len = strlen(text), inside = strspn(text + 1, "abcde");
    return text[0] == '[' && inside > 0 && inside + 2 == len && text[len - 1] == ']';
}

static void texts_are_the_grammars(void **state) {
    static struct job jobs[6];
    struct constraints c = {.tokenizer = tokenizer};
    struct slice *s;
    struct runner *r = open_runner(&s);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        job_init(&jobs[i], i, i % 2 ? 1.5f : 0);
        if (i != 2) keep_to(&c, &jobs[i], letters, NULL, 0);
    }
    run(r, jobs, ARRAY_LEN(jobs));
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        if (i == 2) continue;
        assert_int_equal(jobs[i].reason, RUNNER_STOP);
        if (!is_letters(jobs[i].text)) fail_msg("%s", jobs[i].text);
        constraints_end(&c, &jobs[i].state);
    }
    assert_false(is_letters(jobs[2].text));
    constraints_deinit(&c);
    runner_free(r);
    slice_close(s);
}

/* Cut anywhere and submitted again with what was generated, the text is the same. */
static void a_text_goes_on(void **state) {
    static struct job whole, rest;
    struct constraints c = {.tokenizer = tokenizer};
    struct slice *s;
    struct runner *r = open_runner(&s);
    job_init(&whole, 3, 1);
    keep_to(&c, &whole, letters, NULL, 0);
    run(r, &whole, 1);
    for (uint32_t cut = 1; cut < whole.count; cut += 3) {
        job_init(&rest, 3, 1);
        memcpy(rest.prompt + PROMPT, whole.out, cut * sizeof *whole.out);
        rest.request.prompt_count = rest.request.rows_from = PROMPT + cut;
        rest.request.tokens_max = TOKENS_MAX - cut;
        keep_to(&c, &rest, letters, whole.out, cut);
        run(r, &rest, 1);
        assert_string_equal(rest.text, whole.text + cut);
        constraints_end(&c, &rest.state);
    }
    uint32_t foreign = 2;
    assert_int_equal(constraints_begin(&c, GRAMMAR_GBNF, letters, strlen(letters), &foreign, 1, &rest.state, &error),
                     ERR_INVALID);
    constraints_end(&c, &whole.state);
    constraints_deinit(&c);
    runner_free(r);
    slice_close(s);
}

/* A text that gets no end is told to be too long; one that no token continues fails with the reason. */
static void ends_are_honest(void **state) {
    static struct job jobs[2];
    struct constraints c = {.tokenizer = tokenizer};
    struct slice *s;
    struct runner *r = open_runner(&s);
    job_init(&jobs[0], 1, 0);
    keep_to(&c, &jobs[0], "root ::= \"a\"{200} \"b\"", NULL, 0);
    job_init(&jobs[1], 1, 0);
    keep_to(&c, &jobs[1], "root ::= \"a\" \"X\"", NULL, 0);
    run(r, jobs, 2);
    assert_int_equal(jobs[0].reason, RUNNER_LENGTH);
    assert_int_equal(jobs[0].count, TOKENS_MAX);
    assert_int_equal(jobs[1].reason, RUNNER_FAILED);
    assert_non_null(strstr(jobs[1].why, "no token"));
    for (int i = 0; i < 2; i++) constraints_end(&c, &jobs[i].state);
    constraints_deinit(&c);
    runner_free(r);
    slice_close(s);
}

static void many_grammars_come_and_go(void **state) {
    struct constraints c = {.tokenizer = tokenizer};
    struct grammar_state first, states[40];
    char text[64];
    assert_int_equal(constraints_begin(&c, GRAMMAR_GBNF, letters, strlen(letters), NULL, 0, &first, &error), 0);
    for (int i = 0; i < 40; i++) {
        int len = snprintf(text, sizeof text, "root ::= \"a\"{%d}", i + 1);
        assert_int_equal(constraints_begin(&c, GRAMMAR_GBNF, text, (size_t)len, NULL, 0, &states[i], &error), 0);
        constraints_end(&c, &states[i]);
    }
    assert_int_equal(grammar_accept(&first, 4), 0);
    constraints_end(&c, &first);
    constraints_deinit(&c);
}

static int setup(void **state) {
    size_t len;
    char text[2] = "";
    gguf_write_str(&writer, "tokenizer.ggml.model", "llama", 5);
    gguf_write_array(&writer, "tokenizer.ggml.tokens", GGUF_STRING, VOCAB);
    gguf_write_item_str(&writer, "</s>", 4);
    for (int i = 1; i < VOCAB; i++) text[0] = pieces[i - 1], gguf_write_item_str(&writer, text, 1);
    gguf_write_array(&writer, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) gguf_write_item_u32(&writer, i == STOP ? TOKEN_CONTROL : TOKEN_NORMAL);
    gguf_write_array(&writer, "tokenizer.ggml.scores", GGUF_F32, VOCAB);
    for (int i = 0; i < VOCAB; i++) gguf_write_item_f32(&writer, 0);
    assert_int_equal(gguf_writer_take(&writer, &header, &len, NULL), 0);
    assert_int_equal(gguf_parse(&vocabulary_file, header, len, len, &error), 0);
    assert_int_equal(tokenizer_new(&tokenizer, &vocabulary_file, &error), 0);
    tiny_open(&model, &tiny_default);
    return 0;
}

static int teardown(void **state) {
    tiny_close(&model);
    tokenizer_free(tokenizer);
    gguf_deinit(&vocabulary_file);
    free(header);
    gguf_writer_deinit(&writer);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_the_grammars),
        cmocka_unit_test(a_text_goes_on),
        cmocka_unit_test(ends_are_honest),
        cmocka_unit_test(many_grammars_come_and_go),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
