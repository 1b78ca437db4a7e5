/* The form of replies and how replies are read, against each other: any call that the grammar of a family lets pass is
 * read as a call of that tool, with arguments as its schema wants them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../fuzz/grammar_walk.h"
#include "api/forms.h"
#include "api/splitter.h"

/* What shows a template to be of each family. */
static const char *const families[] = {"<|channel|><|start|><|message|>",
                                       "<tool_call><function=",
                                       "<tool_call><arg_key>",
                                       "<tool_call>",
                                       "<|tool_call|><|/tool_call|>",
                                       "<|tool_call|>",
                                       "<|tool_call_begin|>",
                                       "<｜tool▁call▁begin｜>```json",
                                       "<｜tool▁call▁begin｜>",
                                       "[TOOL_CALLS][ARGS]",
                                       "[TOOL_CALLS]",
                                       "<|START_ACTION|>",
                                       "Action: tool_name ```json",
                                       "python_tag",
                                       "none"};

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{"
    "\"city\":{\"enum\":[\"Oslo\",\"Rome\"],\"type\":\"string\"},\"days\":{\"type\":\"integer\",\"minimum\":1,"
    "\"maximum\":"
    "12}},\"required\":[\"city\",\"days\"]}}},{\"type\":\"function\",\"function\":{\"name\":\"stop\",\"parameters\":{"
    "\"type\":\"object\",\"properties\":{\"hard\":{\"type\":\"boolean\"}}}}}]";

struct found {
    int calls;
    struct text text;
};

static void on_text(void *context, bool thought, const char *text, size_t len) {
    if (!thought) text_add(&((struct found *)context)->text, text, len);
}

static void on_call(void *context, const char *name, const char *arguments) {
    json_t *given = json_loads(arguments, 0, NULL);
    assert_true(json_is_object(given));
    if (strcmp(name, "get_weather") == 0) {
        const char *city = json_string_value(json_object_get(given, "city"));
        json_int_t days = json_integer_value(json_object_get(given, "days"));
        assert_true(city && (strcmp(city, "Oslo") == 0 || strcmp(city, "Rome") == 0));
        assert_true(days >= 1 && days <= 12);
    } else {
        assert_string_equal(name, "stop");
        assert_true(json_object_size(given) == 0 || json_is_boolean(json_object_get(given, "hard")));
    }
    ((struct found *)context)->calls++;
    json_decref(given);
}

static struct found split(const struct chat_form *form, const json_t *tools, const struct text *reply) {
    struct found f = {0};
    struct splitter s;
    splitter_init(&s, form, tools, false, &(struct splitter_listener){&f, on_text, on_call});
    splitter_add(&s, text_str(reply), reply->len);
    splitter_finish(&s);
    splitter_deinit(&s);
    return f;
}

static struct api_job new_job(json_t *tools, enum api_tool_choice choice) {
    struct api_job job;
    api_job_init(&job);
    job.tools = tools;
    job.messages = tools; /* some chat */
    job.tool_choice = choice;
    return job;
}

static struct grammar *form_of(struct api_job *job, const struct chat_form *form) {
    struct api_error e = {0};
    struct error error = {0};
    struct grammar *g;
    if (forms_make(job, form, false, &e) != 0) fail_msg("%s: %s", form->calls->name, e.message);
    if (job->grammar_kind == GRAMMAR_NONE) return NULL;
    if (grammar_new(&g, job->grammar_kind, text_str(&job->grammar), job->grammar.len, walk_vocabulary(), &error) != 0)
        fail_msg("%s: %s\n%s", form->calls->name, error.text, text_str(&job->grammar));
    return g;
}

/* Read a text byte by byte; false where the grammar refuses it. */
static bool read_text(struct grammar_state *s, const char *text, struct text *out) {
    for (; *text; text++) {
        if (grammar_accept(s, WALK_BYTES + (uint8_t)*text) != 0) return false;
        text_add_char(out, *text);
    }
    return true;
}

/* Bytes at random, as the mask leaves them, until the text may end. */
static bool write_text(struct grammar_state *s, uint64_t *random, struct text *out) {
    const uint32_t stop = WALK_END;
    float logits[WALK_TOKENS];
    for (int i = 0; i < 4000 && !grammar_may_end(s); i++) {
        struct error error = {0};
        memset(logits, 0, sizeof logits);
        for (int k = WALK_WORDS; k < WALK_TOKENS; k++) logits[k] = -INFINITY;
        if (grammar_mask(s, logits, WALK_TOKENS, &stop, 1, &error) != 0) fail_msg("%s", error.text);
        uint32_t token = walk_choose(logits, random);
        if (token == WALK_TOKENS || grammar_accept(s, token) != 0) return false;
        text_add_char(out, (char)(token - WALK_BYTES));
    }
    return grammar_may_end(s);
}

static void check_family(const char *source, json_t *tools, enum api_tool_choice choice) {
    struct chat_form form = chat_form_of(source, strlen(source));
    struct api_job job = new_job(tools, choice);
    struct grammar *g = form_of(&job, &form);
    bool in_channels = form.calls->body == CALL_CHANNEL;
    uint64_t random = 7;
    for (int i = 0; i < 25 && g; i++) {
        struct grammar_state s;
        struct text reply = {0};
        grammar_state_init(&s, g);
        if (in_channels) assert_true(read_text(&s, "<|channel|>commentary to=functions.", &reply));
        if (!in_channels && choice == API_TOOLS_AUTO) {
            assert_true(read_text(&s, "Let me see. ", &reply) && read_text(&s, form.calls->mark, &reply));
            assert_false(grammar_may_end(&s));
        }
        assert_true(write_text(&s, &random, &reply));
        struct found f = split(&form, tools, &reply);
        if (f.calls < 1) fail_msg("%s: no call in %s", form.calls->name, text_str(&reply));
        text_deinit(&f.text);
        text_deinit(&reply);
        grammar_state_deinit(&s);
    }
    grammar_free(g);
    job.tools = job.messages = NULL;
    api_job_deinit(&job);
}

static void calls_are_read_as_they_must_be_written(void **state) {
    json_t *tools = json_loads(tools_text, 0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        check_family(families[i], tools, API_TOOLS_REQUIRED);
        check_family(families[i], tools, API_TOOLS_AUTO);
    }
    json_decref(tools);
}

/* Answers with a schema: as a whole, behind thoughts, in the last channel. */
static void answers_keep_their_schema(void **state) {
    json_t *schema = json_loads("{\"type\":\"array\",\"items\":{\"const\":7},\"maxItems\":2}", 0, NULL);
    static const struct {
        const char *source, *good, *bad;
    } cases[] = {{"none", "[7,7]", "x[7]"},
                 {"enable_thinking <think> </think>", "<think>hm [</think>\n\n[7]", "hm[7]"},
                 {"enable_thinking <think> </think>", "[7, 7]", "<think>[8]</think>[8]"},
                 {"<|channel|><|start|><|message|>",
                  "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>[7]",
                  "<|channel|>final<|message|>[8]"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct chat_form form = chat_form_of(cases[i].source, strlen(cases[i].source));
        struct api_job job = new_job(schema, API_TOOLS_AUTO);
        job.tools = NULL;
        job.schema = schema;
        struct grammar *g = form_of(&job, &form);
        struct grammar_state s;
        struct text out = {0};
        grammar_state_init(&s, g);
        assert_true(read_text(&s, cases[i].good, &out) && grammar_may_end(&s));
        grammar_state_deinit(&s);
        grammar_state_init(&s, g);
        assert_false(read_text(&s, cases[i].bad, &out));
        grammar_state_deinit(&s);
        grammar_free(g);
        text_deinit(&out);
        job.messages = job.schema = NULL;
        api_job_deinit(&job);
    }
    json_decref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_read_as_they_must_be_written),
        cmocka_unit_test(answers_keep_their_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
