/* caravan code | join | leave: which cluster this node belongs to. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"
#include "os/clock.h"

/* Nodes answer the beacon of a new one within a second of each other. */
enum { SEE_WAIT_MS = 4500, SEE_STEP_MS = 100, SEE_SETTLE_MS = 1000 };

static int print_code(bool renew, struct error *error) {
    struct client *client = NULL;
    json_t *reply = NULL;
    int code = client_open(&client, renew ? CLIENT_CLUSTER : CLIENT_HOME, error);
    if (code == 0)
        code = renew ? client_post(client, "code/new", json_object(), &reply, error)
                     : client_get(client, "code", &reply, error);
    const char *text = json_string_value(json_object_get(reply, "code"));
    if (text != NULL) printf("%s\n", text);
    json_decref(reply);
    client_close(client);
    return code;
}

int cli_code(int argc, char **argv) {
    struct option_words words;
    struct error error;
    bool renew = false;
    struct option_spec specs[] = {{"--new", OPTION_FLAG, &renew}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    return print_code(renew, &error) == 0 ? CLI_DONE : common_fail(&error);
}

static size_t count_others(const json_t *nodes) {
    size_t i, others = 0;
    const json_t *node;
    json_array_foreach(nodes, i, node) {
        const char *state = json_string_value(json_object_get(node, "state"));
        if (!json_is_true(json_object_get(node, "self")) && state != NULL && strcmp(state, "up") == 0) others++;
    }
    return others;
}

static void print_others(const json_t *nodes) {
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i, node) {
        if (json_is_true(json_object_get(node, "self"))) continue;
        printf("sees %s at %s (%s)\n", json_string_value(json_object_get(node, "name")),
               json_string_value(json_object_get(node, "address")), json_string_value(json_object_get(node, "state")));
    }
}

/* Give the others a moment to show up, then say whom the node sees. */
static int report_others(struct client *client, struct error *error) {
    size_t before = 0;
    for (int waited_ms = 0, settled_ms = 0;; waited_ms += SEE_STEP_MS) {
        json_t *nodes = NULL;
        int code = client_get(client, "nodes", &nodes, error);
        size_t others = count_others(nodes);
        settled_ms = others > 0 && others == before ? settled_ms + SEE_STEP_MS : 0;
        before = others;
        bool enough = code != 0 || settled_ms >= SEE_SETTLE_MS || waited_ms >= SEE_WAIT_MS;
        if (enough && code == 0) print_others(nodes);
        if (enough && code == 0 && others == 0) printf("joined; no other node in sight yet\n");
        json_decref(nodes);
        if (enough) return code;
        clock_sleep_ns(SEE_STEP_MS * 1000000ull);
    }
}

int cli_join(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = client_post(client, "join", json_pack("{s:s}", "code", words.at[0]), NULL, &error);
    if (code == 0 && client_owns_node(client))
        printf("stored; the node joins when it starts\n");
    else if (code == 0)
        code = report_others(client, &error);
    client_close(client);
    return code == 0 ? CLI_DONE : common_fail(&error);
}

int cli_leave(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_HOME, &error);
    if (code == 0) code = client_post(client, "leave", json_object(), NULL, &error);
    client_close(client);
    return code == 0 ? CLI_DONE : common_fail(&error);
}
