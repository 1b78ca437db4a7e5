/* caravan nodes: who is in the cluster and what each has. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "-" : text;
}

/* A number with its unit, "-" while it is not known. */
static const char *rate_of(const json_t *node, const char *key, double unit, const char *unit_name, char out[32]) {
    const json_t *value = json_object_get(node, key);
    if (!json_is_number(value)) return "-";
    snprintf(out, 32, "%.*f %s", json_number_value(value) < unit ? 3 : 1, json_number_value(value) / unit, unit_name);
    return out;
}

static const char *name_of(const json_t *nodes, const char *id) {
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node) if (strcmp(text_of(node, "id"), id) == 0) return text_of(node, "name");
    return id;
}

static void print_links(const json_t *nodes, const json_t *node) {
    size_t i;
    const json_t *link;
    char rtt[32], bandwidth[32];
    json_array_foreach(json_object_get(node, "links"), i, link)
        printf("  to %-16s round trip %9s, %12s\n", name_of(nodes, text_of(link, "to")),
               rate_of(link, "rtt_us", 1e3, "ms", rtt), rate_of(link, "bandwidth", 1e6, "MB/s", bandwidth));
}

static void print_table(const json_t *nodes) {
    size_t i;
    const json_t *node;
    char free_text[CLI_SIZE_BYTES], total[CLI_SIZE_BYTES], read[32], multiply[32];
    printf("%-16s %-12s %-34s %21s  %7s  %12s  %12s\n", "NAME", "STATE", "ADDRESS", "MEMORY FREE/TOTAL", "THREADS",
           "READ", "MULTIPLY");
    json_array_foreach(nodes, i, node) {
        printf("%-16s %-12s %-34s %10s/%10s  %7lld  %12s  %12s%s\n", text_of(node, "name"), text_of(node, "state"),
               text_of(node, "address"),
               common_size((uint64_t)json_integer_value(json_object_get(node, "memory_free")), free_text),
               common_size((uint64_t)json_integer_value(json_object_get(node, "memory_total")), total),
               (long long)json_integer_value(json_object_get(node, "threads")),
               rate_of(node, "read_bandwidth", 1e9, "GB/s", read),
               rate_of(node, "matmul_rate", 1e9, "GMAC/s", multiply),
               json_is_true(json_object_get(node, "self")) ? "  (this node)" : "");
        print_links(nodes, node);
    }
}

int cli_nodes(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *nodes = NULL;
    bool json = false, measure = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {"--measure", OPTION_FLAG, &measure}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0) code = client_get(client, measure ? "nodes?measure=1" : "nodes", &nodes, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(nodes);
    print_table(nodes);
    json_decref(nodes);
    return CLI_DONE;
}
