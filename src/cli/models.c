/* caravan list | show | rm: the models on this machine. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"

static void print_models(const json_t *models) {
    size_t i;
    const json_t *model;
    char size[CLI_SIZE_BYTES];
    json_array_foreach(models, i, model) {
        const char *architecture = json_string_value(json_object_get(model, "architecture"));
        printf("%-32s %10s  %-12s %s\n", json_string_value(json_object_get(model, "name")),
               common_size((uint64_t)json_integer_value(json_object_get(model, "size_bytes")), size),
               architecture == NULL ? "-" : architecture, json_string_value(json_object_get(model, "path")));
    }
}

int cli_list(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *models = NULL;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = client_get(client, "models", &models, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(models);
    print_models(models);
    json_decref(models);
    return CLI_DONE;
}

int cli_show(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *model = NULL;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = common_show(client, words.at[0], &model, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(model);
    json_dumpf(model, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(model);
    return CLI_DONE;
}

int cli_rm(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = client_post(client, "models/rm", json_pack("{s:s}", "model", words.at[0]), NULL, &error);
    client_close(client);
    return code == 0 ? CLI_DONE : common_fail(&error);
}
