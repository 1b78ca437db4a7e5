#include "api/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/calls.h"
#include "api/write.h"

/* ---- reading ---- */

static int check_tool(const json_t *tool, size_t i, struct api_error *e) {
    char param[64];
    const json_t *function = json_object_get(tool, "function"), *parameters;
    snprintf(param, sizeof param, "tools[%zu]", i);
    const char *name = json_string_value(json_object_get(function, "name"));
    if (name == NULL || name[0] == '\0' || strlen(name) > 256)
        return body_wrong(e, param, "must be {\"type\": \"function\", \"function\": {\"name\", \"parameters\"}}");
    parameters = body_get(function, "parameters");
    if (parameters && !json_is_object(parameters)) return body_wrong(e, param, "needs a JSON Schema as \"parameters\"");
    return 0;
}

int tools_choose(struct api_job *job, const char *choice, const char *name, const char *param, struct api_error *e) {
    if (strcmp(choice, "none") == 0) job->tools = NULL;
    if (strcmp(choice, "none") == 0 || strcmp(choice, "auto") == 0) return 0;
    job->tool_choice = API_TOOLS_REQUIRED;
    job->tool_named = name;
    if (job->tools == NULL) return body_wrong(e, param, "wants a tool to be called, but there are no 'tools'");
    if (name && calls_find_tool(job->tools, name) == NULL)
        return body_wrong(e, param, "names a tool that is not in 'tools'");
    return 0;
}

static int read_choice(struct api_job *job, const json_t *choice, struct api_error *e) {
    static const char *const words[] = {"auto", "none", "required"};
    const json_t *function = json_object_get(choice, "function");
    const char *name = json_string_value(json_object_get(function ? function : choice, "name"));
    if (choice == NULL) return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (json_is_string(choice) && strcmp(json_string_value(choice), words[i]) == 0)
            return tools_choose(job, words[i], NULL, "tool_choice", e);
    if (name) return tools_choose(job, "required", name, "tool_choice", e);
    return body_wrong(e, "tool_choice",
                      "must be auto, none, required or {\"type\": \"function\", \"function\": {\"name\"}}");
}

int tools_read(struct api_job *job, const json_t *object, struct api_error *e) {
    const json_t *tools = body_get(object, "tools"), *tool;
    bool parallel = true;
    size_t i;
    if (tools && !json_is_array(tools)) return body_wrong(e, "tools", "must be an array");
    json_array_foreach(tools, i, tool) {
        int status = check_tool(tool, i, e);
        if (status) return status;
    }
    job->tools = json_array_size(tools) > 0 ? tools : NULL;
    int status = body_bool(object, "parallel_tool_calls", &parallel, e);
    job->one_call = !parallel;
    return status ? status : read_choice(job, body_get(object, "tool_choice"), e);
}

/* ---- telling a model of them ---- */

static void describe(const json_t *tools, struct text *out) {
    size_t i;
    const json_t *tool;
    text_add_str(out, "You may call these tools:\n");
    json_array_foreach(tools, i, tool) {
        write_json(out, json_deep_copy(json_object_get(tool, "function")));
        text_add_str(out, "\n");
    }
    text_add_str(
        out, "To call one, answer with nothing but\n<tool_call>\n{\"name\": NAME, \"arguments\": {...}}\n</tool_call>");
}

json_t *tools_described(const struct api_job *job, const struct chat_form *form) {
    if (job->tools == NULL || form->shows_tools) return NULL;
    struct text all = {0};
    json_t *messages = json_copy((json_t *)(uintptr_t)job->messages), *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    const json_t *said = json_object_get(first, "content");
    bool system = role && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0) && json_is_string(said);
    describe(job->tools, &all);
    if (system) {
        text_add_str(&all, "\n\n");
        text_add_str(&all, json_string_value(said));
        json_array_remove(messages, 0);
    }
    json_array_insert_new(messages, 0, json_pack("{s:s, s:s}", "role", "system", "content", text_str(&all)));
    text_deinit(&all);
    return messages;
}
