#include "model/chat_form.h"

#include <string.h>

#include "base/size.h"

/* The first whose signs a template shows. After the models' own documentation (model cards and templates on
 * huggingface.co); the last one is Hermes' (github.com/NousResearch/Hermes-Function-Calling). */
static const struct call_syntax syntaxes[] = {
    {"harmony",
     {"<|channel|>", "<|start|>", "<|message|>"},
     CALL_CHANNEL,
     "",
     "",
     "<|channel|>commentary to=functions.",
     " <|constrain|>json<|message|>",
     "",
     "",
     ""},
    {"qwen-coder",
     {"<tool_call>", "<function="},
     CALL_FUNCTION,
     "<tool_call>",
     "</tool_call>",
     "<tool_call>\n<function=",
     ">\n",
     "\n</function>\n</tool_call>",
     "",
     ""},
    {"glm",
     {"<tool_call>", "<arg_key>"},
     CALL_ARG_KEYS,
     "<tool_call>",
     "</tool_call>",
     "<tool_call>",
     "\n",
     "\n</tool_call>",
     "",
     ""},
    {"hermes",
     {"<tool_call>"},
     CALL_JSON,
     "<tool_call>",
     "</tool_call>",
     "<tool_call>\n{\"name\": \"",
     "\", \"arguments\": ",
     "}\n</tool_call>",
     "",
     ""},
    {"phi",
     {"<|tool_call|>", "<|/tool_call|>"},
     CALL_JSON,
     "<|tool_call|>",
     "<|/tool_call|>",
     "<|tool_call|>[{\"name\": \"",
     "\", \"arguments\": ",
     "}]<|/tool_call|>",
     "",
     ""},
    {"granite",
     {"<|tool_call|>"},
     CALL_JSON,
     "<|tool_call|>",
     "",
     "<|tool_call|>[{\"name\": \"",
     "\", \"arguments\": ",
     "}]",
     "",
     ""},
    {"kimi",
     {"<|tool_call_begin|>"},
     CALL_NAMED_JSON,
     "<|tool_calls_section_begin|>",
     "<|tool_calls_section_end|>",
     "<|tool_call_begin|>functions.",
     ":0<|tool_call_argument_begin|>",
     "<|tool_call_end|>",
     "<|tool_calls_section_begin|>",
     "<|tool_calls_section_end|>"},
    {"deepseek",
     {"<｜tool▁call▁begin｜>", "```json"},
     CALL_NAMED_JSON,
     "<｜tool▁calls▁begin｜>",
     "<｜tool▁calls▁end｜>",
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
     "\n```json\n",
     "\n```<｜tool▁call▁end｜>",
     "<｜tool▁calls▁begin｜>",
     "<｜tool▁calls▁end｜>"},
    {"deepseek-3.1",
     {"<｜tool▁call▁begin｜>"},
     CALL_NAMED_JSON,
     "<｜tool▁calls▁begin｜>",
     "<｜tool▁calls▁end｜>",
     "<｜tool▁call▁begin｜>",
     "<｜tool▁sep｜>",
     "<｜tool▁call▁end｜>",
     "<｜tool▁calls▁begin｜>",
     "<｜tool▁calls▁end｜>"},
    {"mistral-args",
     {"[TOOL_CALLS]", "[ARGS]"},
     CALL_NAMED_JSON,
     "[TOOL_CALLS]",
     "",
     "[TOOL_CALLS]",
     "[ARGS]",
     "",
     "",
     ""},
    {"mistral",
     {"[TOOL_CALLS]"},
     CALL_JSON,
     "[TOOL_CALLS]",
     "",
     "[TOOL_CALLS][{\"name\": \"",
     "\", \"arguments\": ",
     "}]",
     "",
     ""},
    {"command",
     {"<|START_ACTION|>"},
     CALL_JSON,
     "<|START_ACTION|>",
     "<|END_ACTION|>",
     "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"",
     "\", \"parameters\": ",
     "}]<|END_ACTION|>",
     "",
     ""},
    {"command-r",
     {"Action:", "tool_name", "```json"},
     CALL_JSON,
     "Action:",
     "",
     "Action: ```json\n[{\"tool_name\": \"",
     "\", \"parameters\": ",
     "}]\n```",
     "",
     ""},
    {"llama", {"python_tag"}, CALL_JSON, "", "", "{\"name\": \"", "\", \"parameters\": ", "}", "", ""},
    {"llama",
     {"\"parameters\": dictionary of argument name"},
     CALL_JSON,
     "",
     "",
     "{\"name\": \"",
     "\", \"parameters\": ",
     "}",
     "",
     ""},
    {"generic",
     {NULL},
     CALL_JSON,
     "<tool_call>",
     "</tool_call>",
     "<tool_call>\n{\"name\": \"",
     "\", \"arguments\": ",
     "}\n</tool_call>",
     "",
     ""},
};

static const struct {
    const char *open, *close;
} thoughts[] = {
    {"[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<think>", "</think>"}, /* also where the template says nothing: distilled models write it all the same */
};

static bool shows(const char *source, size_t len, const char *sign) {
    return memmem(source, len, sign, strlen(sign)) != NULL;
}

static bool uses(const char *source, size_t len, const struct call_syntax *s) {
    for (size_t i = 0; i < ARRAY_LEN(s->signs) && s->signs[i]; i++)
        if (!shows(source, len, s->signs[i])) return false;
    return true;
}

struct chat_form chat_form_of(const char *source, size_t len) {
    struct chat_form form = {0};
    size_t i = 0, last = ARRAY_LEN(thoughts) - 1;
    while (!uses(source, len, &syntaxes[i])) i++;
    form.calls = &syntaxes[i];
    for (i = 0; i < last && !shows(source, len, thoughts[i].close); i++) continue;
    form.think_open = thoughts[i].open;
    form.think_close = thoughts[i].close;
    form.shows_tools = shows(source, len, "tools");
    form.switches_thinking = shows(source, len, "enable_thinking");
    return form;
}

bool chat_form_marks(const struct chat_form *form, const char *piece, size_t len) {
    const struct call_syntax *c = form->calls;
    const char *const texts[] = {form->think_open, form->think_close, c->mark,       c->close, c->begin, c->middle,
                                 c->end,           c->section_begin,  c->section_end};
    bool marks = false;
    for (size_t i = 0; i < ARRAY_LEN(texts) && len > 2; i++)
        marks = marks || memmem(texts[i], strlen(texts[i]), piece, len);
    if (c->body != CALL_CHANNEL) return marks || (len == 14 && memcmp(piece, "<|python_tag|>", len) == 0);
    static const char *const channels[] = {"<|start|>", "<|end|>", "<|call|>", "<|return|>"};
    for (size_t i = 0; i < ARRAY_LEN(channels); i++)
        marks = marks || (len == strlen(channels[i]) && memcmp(channels[i], piece, len) == 0);
    return marks;
}
