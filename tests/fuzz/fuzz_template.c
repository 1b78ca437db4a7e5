/* Any bytes as a chat template, rendered over a small conversation: text or an error, within the limits. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "model/template.h"

static const char conversation[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"a b\"},{\"role\":\"user\",\"content\":\"<|x|> \\u00e9\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"n\":1.5}}}"
    "]}],"
    "\"tools\":[{\"type\":\"function\"}],\"bos_token\":\"<s>\",\"n\":7,\"f\":2.5,\"t\":true,\"l\":[3,1,2],\"s\":\"Hi, "
    "you\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const foreign[] = {"messages", "tools", NULL};
    struct error error = {0};
    struct template *t = NULL;
    struct text out = {0}, origin = {0};
    json_t *variables = json_loads(conversation, 0, NULL);
    if (template_new(&t, (const char *)data, size, &error) == 0) {
        template_render_origin(t, variables, foreign, "2026-11-22T10:30:00", &out, &origin, &error);
        assert(out.failed || origin.len == out.len);
    }
    template_free(t);
    text_deinit(&out);
    text_deinit(&origin);
    json_decref(variables);
    return 0;
}
