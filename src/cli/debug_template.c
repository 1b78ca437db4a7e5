/* caravan debug template: one JSON object on stdin, the rendered text on stdout. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "model/template.h"

/* The template's variables: all members but the template and the date; add_generation_prompt is true by default. */
static json_t *variables_of(const json_t *input) {
    json_t *variables = json_copy((json_t *)(uintptr_t)input);
    json_object_del(variables, "template");
    json_object_del(variables, "now");
    if (json_object_get(variables, "add_generation_prompt") == NULL)
        json_object_set_new(variables, "add_generation_prompt", json_true());
    return variables;
}

static int render(const json_t *input, struct text *out, struct error *error) {
    const json_t *source = json_object_get(input, "template");
    const char *now = json_string_value(json_object_get(input, "now"));
    struct template *template = NULL;
    if (!json_is_string(source)) return error_set(error, ERR_INVALID, "the input has no text \"template\"");
    int rc = template_new(&template, json_string_value(source), json_string_length(source), error);
    if (rc == 0) {
        json_t *variables = variables_of(input);
        rc = template_render(template, variables, now, out, error);
        json_decref(variables);
    }
    template_free(template);
    return rc;
}

int cli_debug_template(int argc, char **argv) {
    struct error error = {0};
    struct text out = {0};
    json_error_t why;
    struct option_words words;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    json_t *input = json_loadf(stdin, JSON_ALLOW_NUL, &why);
    int rc = 0;
    if (!json_is_object(input)) rc = error_set(&error, ERR_INVALID, "stdin is not a JSON object: %s", why.text);
    if (rc == 0) rc = render(input, &out, &error);
    if (rc == 0)
        fwrite(out.data, 1, out.len, stdout);
    else
        fprintf(stderr, "caravan: %s\n", error.text);
    json_decref(input);
    text_deinit(&out);
    return rc == 0 ? CLI_DONE : CLI_FAILED;
}
