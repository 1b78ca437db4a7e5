/* Replies of every family's layout, split into thoughts, text and calls, however they are cut on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/splitter.h"
#include "base/size.h"

static const char tools_json[] = "[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"parameters\":{"
                                 "\"properties\":{\"a\":{\"type\":\"integer\"},"
                                 "\"s\":{\"type\":\"string\"}}}}}]";
static json_t *tools;

static void on_text(void *context, bool thought, const char *text, size_t len) {
    struct text *log = context;
    const char *sign = thought ? "?" : "!";
    assert_true(len > 0);
    text_printf(log, "%s%.*s", sign, (int)len, text);
}

static void on_call(void *context, const char *name, const char *arguments) {
    text_printf(context, "@%s%s", name, arguments);
}

/* One mark before each piece is one too many: only where the kind changes. */
static void join(struct text *log, struct text *out) {
    char kind = 0;
    for (size_t i = 0; i < log->len; i++) {
        char c = log->data[i];
        if ((c == '!' || c == '?') && c == kind) continue;
        if (c == '!' || c == '?' || c == '@') kind = c;
        text_add_char(out, c);
    }
}

static void split_by(size_t step, const char *template, const char *reply, bool thinks, const char *want) {
    struct chat_form form = chat_form_of(template, strlen(template));
    struct text log = {0}, joined = {0};
    struct splitter s;
    splitter_init(&s, &form, tools, thinks, &(struct splitter_listener){&log, on_text, on_call});
    for (size_t at = 0, len = strlen(reply); at < len; at += step)
        splitter_add(&s, reply + at, step < len - at ? step : len - at);
    splitter_finish(&s);
    splitter_deinit(&s);
    join(&log, &joined);
    assert_string_equal(text_str(&joined), want);
    text_deinit(&log);
    text_deinit(&joined);
}

static void split(const char *template, const char *reply, bool thinks, const char *want) {
    for (size_t step = 1; step < 64; step = step * 3 + 1) split_by(step, template, reply, thinks, want);
}

static void thoughts_are_apart(void **state) {
    split("", "<think>\nhm\n</think>\n\nYes.", false, "?hm!Yes.");
    split("", "hm\n</think>\n\nYes.", true, "?hm!Yes.");
    split("", "hm", true, "?hm");
    split("", "  I <think> so", false, "!  I <think> so");
    split("[/THINK]", "[THINK]hm[/THINK]Yes", false, "?hm!Yes");
    split("", "a < b\n", false, "!a < b\n");
}

static void calls_of_every_family(void **state) {
    static const struct {
        const char *template, *reply, *want;
    } cases[] = {
        {"<tool_call>", "Well.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>",
         "!Well.@add{\"a\":1}"},
        {"<tool_call>",
         "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>\n{\"name\": \"add\", "
         "\"arguments\": {\"a\": 2}}\n</tool_call>",
         "@add{\"a\":1}@add{\"a\":2}"},
        {"<tool_call>", "<think>\nadd\n</think>\n\n<tool_call>{\"name\": \"add\", \"arguments\": \"{}\"}</tool_call>",
         "?add@add{}"},
        {"<tool_call><function=",
         "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=s>\n1\n2\n</parameter>\n</function>\n"
         "</tool_call>",
         "@add{\"a\":1,\"s\":\"1\\n2\"}"},
        {"<tool_call><arg_key>",
         "<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>5</arg_value>\n<arg_key>s</arg_key>\n<arg_value>5</"
         "arg_value>\n"
         "</tool_call>",
         "@add{\"a\":5,\"s\":\"5\"}"},
        {"<|python_tag|>", "{\"name\": \"add\", \"parameters\": {\"a\": 1}}", "@add{\"a\":1}"},
        {"<|python_tag|>",
         "<|python_tag|>{\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\": \"add\", "
         "\"parameters\": {}}",
         "@add{\"a\":1}@add{}"},
        {"<|python_tag|>", "{\"name\": \"Ann\", \"age\": 5}", "!{\"name\": \"Ann\", \"age\": 5}"},
        {"[TOOL_CALLS]",
         "[TOOL_CALLS][{\"name\": \"add\", \"arguments\": {\"a\": 1}}, {\"name\": \"add\", \"arguments\": "
         "{\"a\": 2}}]",
         "@add{\"a\":1}@add{\"a\":2}"},
        {"[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]add[ARGS]{\"a\": 1}[TOOL_CALLS]add[CALL_ID]x1[ARGS]{\"a\": 2}",
         "@add{\"a\":1}@add{\"a\":2}"},
        {"<｜tool▁call▁begin｜> ```json",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```"
         "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 2}\n```"
         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
         "@add{\"a\":1}@add{\"a\":2}"},
        {"<｜tool▁call▁begin｜>",
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"
         "<｜tool▁calls▁end｜>",
         "@add{\"a\":1}"},
        {"<|tool_call_begin|>",
         "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{\"a\": 1}"
         "<|tool_call_end|><|tool_calls_section_end|>",
         "@add{\"a\":1}"},
        {"<|tool_call|>", "<|tool_call|>[{\"name\": \"add\", \"arguments\": {\"a\": 1}}]", "@add{\"a\":1}"},
        {"<|START_ACTION|>",
         "<|START_ACTION|>[\n{\"tool_call_id\": \"0\", \"tool_name\": \"add\", \"parameters\": {\"a\": 1}}\n]"
         "<|END_ACTION|>",
         "@add{\"a\":1}"},
        {"<|channel|><|start|><|message|>",
         "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.add "
         "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
         "?hm@add{\"a\":1}"},
        {"<|channel|><|start|><|message|>",
         "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "?hm!Yes."},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) split(cases[i].template, cases[i].reply, false, cases[i].want);
}

static void what_is_no_call_is_text(void **state) {
    split("<tool_call>", "<tool_call>nonsense</tool_call> and on", false, "!<tool_call>nonsense</tool_call> and on");
    split("<tool_call>", "<tool_call>{\"name\": 5", false, "!<tool_call>{\"name\": 5");
    split("<tool_call>", "a <tool", false, "!a <tool");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thoughts_are_apart),
        cmocka_unit_test(calls_of_every_family),
        cmocka_unit_test(what_is_no_call_is_text),
    };
    tools = json_loads(tools_json, 0, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(tools);
    return failed;
}
