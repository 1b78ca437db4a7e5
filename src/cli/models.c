/* caravan list | rm | prune | models ...: the models on this machine, and where they are looked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Which machines it would fit. */
static void print_fit(const json_t *offer) {
    size_t machines = json_array_size(json_object_get(offer, "fits"));
    bool together = json_is_true(json_object_get(offer, "fits_cluster"));
    char size[CLI_SIZE_BYTES], text[CLI_SIZE_BYTES + 8];
    common_size((uint64_t)json_integer_value(json_object_get(offer, "needs_bytes")), size);
    if (machines > 0)
        snprintf(text, sizeof text, "%zu machine%s", machines, machines == 1 ? "" : "s");
    else
        snprintf(text, sizeof text, together ? "together" : "needs %s", size);
    printf("%-16s", text);
}

static void print_offers(const json_t *offers) {
    size_t i;
    const json_t *offer;
    printf("%-18s %10s  %8s  %-16s %-11s %s\n", "NAME", "SIZE", "CONTEXT", "FITS", "LICENCE", "");
    json_array_foreach(offers, i, offer) {
        char size[CLI_SIZE_BYTES];
        printf("%-18s %10s  %8lld  ", json_string_value(json_object_get(offer, "name")),
               common_size((uint64_t)json_integer_value(json_object_get(offer, "size_bytes")), size),
               (long long)json_integer_value(json_object_get(offer, "context_length")));
        print_fit(offer);
        printf(" %-11s %s%s\n", json_string_value(json_object_get(offer, "licence")),
               json_string_value(json_object_get(offer, "summary")),
               json_is_true(json_object_get(offer, "here")) ? " (here)" : "");
    }
}

/* What is told of those is what was seen last. */
static void warn_of_hanging(struct client *client) {
    json_t *folders = NULL;
    const json_t *folder;
    size_t i;
    struct error ignored;
    client_get(client, "folders", &folders, &ignored);
    json_array_foreach(folders, i, folder) {
        if (strcmp(json_string_value(json_object_get(folder, "state")), "hangs") != 0) continue;
        fprintf(stderr, "caravan: %s does not answer: what lies there is listed as it was seen last\n",
                json_string_value(json_object_get(folder, "path")));
    }
    json_decref(folders);
}

int cli_list(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *models = NULL;
    bool json = false, catalog = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {"--catalog", OPTION_FLAG, &catalog}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, catalog ? CLIENT_CLUSTER : CLIENT_HOME, &error);
    if (code == 0) code = client_get(client, catalog ? "catalog" : "models", &models, &error);
    if (code == 0 && !catalog) warn_of_hanging(client);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(models);
    if (catalog)
        print_offers(models);
    else
        print_models(models);
    json_decref(models);
    return CLI_DONE;
}

/* What became of it on the other nodes. CLI_FAILED when it is still on one. */
static int print_nodes(const json_t *nodes) {
    size_t i;
    const json_t *node;
    int status = CLI_DONE;
    json_array_foreach(nodes, i, node) {
        const char *id = json_string_value(json_object_get(node, "node"));
        const char *state = json_string_value(json_object_get(node, "state"));
        const char *error = json_string_value(json_object_get(node, "error"));
        if (error == NULL && strcmp(state, "silent") == 0) error = "it has not answered";
        if (error) status = CLI_FAILED;
        if (error) fprintf(stderr, "caravan: node %s: %s\n", id, error);
    }
    return status;
}

int cli_rm(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *reply = NULL;
    bool cluster = false;
    struct option_spec specs[] = {{"--cluster", OPTION_FLAG, &cluster}, {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    json_t *body = json_pack("{s:s, s:b}", "model", words.at[0], "cluster", cluster);
    int code = client_open(&client, cluster ? CLIENT_CLUSTER : CLIENT_HOME, &error);
    if (code == 0)
        code = client_post(client, "models/rm", body, &reply, &error);
    else
        json_decref(body);
    client_close(client);
    if (code != 0) return common_fail(&error);
    int status = print_nodes(json_object_get(reply, "nodes"));
    json_decref(reply);
    return status;
}

/* ---- keeping house ---- */

static void print_pruned(const json_t *pruned, bool dry) {
    size_t i;
    const json_t *item;
    char size[CLI_SIZE_BYTES];
    json_array_foreach(json_object_get(pruned, "removed"), i, item)
        printf("%s %s: %s, %s\n", dry ? "would remove" : "removed", json_string_value(json_object_get(item, "path")),
               json_string_value(json_object_get(item, "why")),
               common_size((uint64_t)json_integer_value(json_object_get(item, "bytes")), size));
    json_array_foreach(json_object_get(pruned, "linked"), i, item)
        printf("%s %s: the same bytes as %s\n", dry ? "would link" : "linked",
               json_string_value(json_object_get(item, "path")), json_string_value(json_object_get(item, "to")));
    printf("%s %s\n", common_size((uint64_t)json_integer_value(json_object_get(pruned, "freed_bytes")), size),
           dry ? "could be freed" : "freed");
}

int cli_prune(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *pruned = NULL;
    bool json = false, dry = false, parts = false;
    struct option_spec specs[] = {
        {"--dry-run", OPTION_FLAG, &dry}, {"--parts", OPTION_FLAG, &parts}, {"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0)
        code = client_post(client, "models/prune", json_pack("{s:b, s:b}", "dry_run", dry, "parts", parts), &pruned,
                           &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    size_t i;
    const json_t *wrong;
    json_array_foreach(json_object_get(pruned, "errors"), i, wrong)
        fprintf(stderr, "caravan: %s\n", json_string_value(wrong));
    bool failed = json_array_size(json_object_get(pruned, "errors")) > 0;
    if (json) return common_print_json(pruned) != CLI_DONE || failed ? CLI_FAILED : CLI_DONE;
    print_pruned(pruned, dry);
    json_decref(pruned);
    return failed ? CLI_FAILED : CLI_DONE;
}

/* ---- folders ---- */

static void print_folders(const json_t *folders) {
    size_t i;
    const json_t *folder;
    json_array_foreach(folders, i, folder) {
        const char *error = json_string_value(json_object_get(folder, "error"));
        char size[CLI_SIZE_BYTES];
        printf("%-8s %5lld models %10s  %s%s%s\n", json_string_value(json_object_get(folder, "kind")),
               (long long)json_integer_value(json_object_get(folder, "models")),
               common_size((uint64_t)json_integer_value(json_object_get(folder, "size_bytes")), size),
               json_string_value(json_object_get(folder, "path")), error ? ": " : "", error ? error : "");
    }
}

int cli_models_folders(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *folders = NULL;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = client_get(client, "folders", &folders, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(folders);
    print_folders(folders);
    json_decref(folders);
    return CLI_DONE;
}

/* The node has another working directory. */
static int change_folders(int argc, char **argv, const char *verb) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    char *real = realpath(words.at[0], NULL);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0)
        code = client_post(client, verb, json_pack("{s:s}", "path", real ? real : words.at[0]), NULL, &error);
    client_close(client);
    free(real);
    return code == 0 ? CLI_DONE : common_fail(&error);
}

int cli_models_add(int argc, char **argv) { return change_folders(argc, argv, "folders"); }
int cli_models_drop(int argc, char **argv) { return change_folders(argc, argv, "folders/rm"); }
