/* caravan show: what a model is, what it needs, where it lies. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"

static long long number(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

static const char *words(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "unknown";
}

static const char *size(const json_t *object, const char *key, char out[CLI_SIZE_BYTES]) {
    return common_size((uint64_t)number(object, key), out);
}

static void print_header(const json_t *model) {
    char bytes[CLI_SIZE_BYTES];
    size_t template = json_string_length(json_object_get(model, "template"));
    printf("name          %s\n", words(model, "name"));
    printf("architecture  %s: %lld layers of %lld channels, %lld heads (%lld of K and V), vocabulary %lld\n",
           words(model, "architecture"), number(model, "layers"), number(model, "embedding_length"),
           number(model, "heads"), number(model, "kv_heads"), number(model, "vocabulary"));
    printf("parameters    %.2fB in %s, %s\n", (double)number(model, "parameters") / 1e9, words(model, "quantization"),
           size(model, "size_bytes", bytes));
    printf("context       %lld tokens\n", number(model, "context_length"));
    printf("licence       %s\n", words(model, "licence"));
    if (template > 0)
        printf("template      %zu bytes (--json shows it)\n", template);
    else
        printf("template      none\n");
}

static void print_needs(const json_t *model) {
    size_t i;
    const json_t *needs;
    char bytes[CLI_SIZE_BYTES];
    json_array_foreach(json_object_get(model, "needs"), i, needs)
        printf("%-13s %s with %lld tokens of one session\n", i ? "" : "needs", size(needs, "bytes", bytes),
               number(needs, "context"));
}

static void print_files(const json_t *model) {
    size_t i;
    const json_t *file;
    char here[CLI_SIZE_BYTES], bytes[CLI_SIZE_BYTES];
    bool whole = json_is_true(json_object_get(model, "whole"));
    json_array_foreach(json_object_get(model, "files"), i, file) {
        printf("%-13s %s, ", i ? "" : "files", words(file, "path"));
        if (whole)
            printf("%s\n", size(file, "size_bytes", bytes));
        else
            printf("%s of %s are here\n", size(file, "bytes_here", here), size(file, "size_bytes", bytes));
    }
}

static void print_loaded(const json_t *model) {
    size_t i, k, j;
    const json_t *instance, *stage, *member;
    json_array_foreach(json_object_get(model, "loaded"), i, instance)
        json_array_foreach(json_object_get(instance, "stages"), k, stage)
            json_array_foreach(json_object_get(stage, "members"), j, member)
                printf("%-13s layers %lld to %lld on node %s\n", i + k + j ? "" : "loaded",
                       (long long)json_integer_value(json_array_get(json_object_get(stage, "layers"), 0)),
                       (long long)json_integer_value(json_array_get(json_object_get(stage, "layers"), 1)) - 1,
                       words(member, "node"));
}

static void print_elsewhere(const json_t *model) {
    size_t i;
    const json_t *node;
    char here[CLI_SIZE_BYTES], bytes[CLI_SIZE_BYTES];
    json_array_foreach(json_object_get(model, "elsewhere"), i, node)
        printf("%-13s on node %s: %s, %s of %s\n", i ? "" : "elsewhere", words(node, "node"), words(node, "state"),
               size(node, "bytes_here", here), size(node, "size_bytes", bytes));
}

int cli_show(int argc, char **argv) {
    struct option_words given;
    struct error error;
    struct client *client = NULL;
    json_t *model = NULL;
    bool json = false, cluster = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {"--cluster", OPTION_FLAG, &cluster}, {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &given);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, cluster ? CLIENT_CLUSTER : CLIENT_HOME, &error);
    if (code == 0) code = common_show(client, given.at[0], cluster, &model, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(model);
    print_header(model);
    print_needs(model);
    print_files(model);
    print_elsewhere(model);
    print_loaded(model);
    json_decref(model);
    return CLI_DONE;
}
