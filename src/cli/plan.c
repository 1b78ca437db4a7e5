/* caravan plan | load | stop | ps: where a model lies in the cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "engine/source.h"

enum { OTHERS_WAIT_MS = 2000 };

struct plan_flags {
    int64_t nodes, context, parallel; /* -1: not given */
    const char *split, *aim, *shares, *quantize;
    bool json;
};

/* "NAME=W,NAME=W" as an object; NULL when it is none. */
static json_t *parse_shares(const char *text) {
    json_t *shares = json_object();
    while (*text != '\0') {
        const char *equals = strchr(text, '=');
        char *end = NULL;
        double weight = equals == NULL ? 0 : strtod(equals + 1, &end);
        if (equals == NULL || equals == text || end == equals + 1 || !(weight > 0)) goto bad;
        if (*end != ',' && *end != '\0') goto bad;
        json_object_setn_new(shares, text, (size_t)(equals - text), json_real(weight));
        text = *end == ',' ? end + 1 : end;
    }
    if (json_object_size(shares) > 0) return shares;
bad:
    json_decref(shares);
    return NULL;
}

static void set_count(json_t *request, const char *key, int64_t value) {
    if (value >= 0) json_object_set_new(request, key, json_integer(value));
}

/* The request for MODEL with the flags that were given; NULL after telling what is wrong. */
static json_t *plan_request(const char *verb, const char *model, const struct plan_flags *flags) {
    char path[CLI_PATH_BYTES];
    json_t *request = json_object(), *shares = NULL;
    if (flags->shares != NULL && (shares = parse_shares(flags->shares)) == NULL) {
        fprintf(stderr, "caravan %s: --shares takes NAME=WEIGHT,NAME=WEIGHT with weights above 0\n", verb);
        json_decref(request);
        return NULL;
    }
    json_object_set_new(request, "model", json_string(common_model_name(model, path)));
    set_count(request, "nodes", flags->nodes);
    set_count(request, "context", flags->context);
    set_count(request, "parallel", flags->parallel);
    if (flags->split != NULL) json_object_set_new(request, "split", json_string(flags->split));
    if (flags->aim != NULL) json_object_set_new(request, "for", json_string(flags->aim));
    if (shares != NULL) json_object_set_new(request, "shares", shares);
    return request;
}

static bool split_is_known(const char *verb, const char *split) {
    if (split == NULL || strcmp(split, "auto") == 0 || strcmp(split, "pipeline") == 0 || strcmp(split, "tensor") == 0)
        return true;
    fprintf(stderr, "caravan %s: --split takes auto, pipeline or tensor\nusage: caravan %s\n", verb, cli_usage(verb));
    return false;
}

static bool aim_is_known(const char *verb, const char *aim) {
    if (aim == NULL || strcmp(aim, "latency") == 0 || strcmp(aim, "throughput") == 0) return true;
    fprintf(stderr, "caravan %s: --for takes latency or throughput\nusage: caravan %s\n", verb, cli_usage(verb));
    return false;
}

/* The flags and the one word of plan and load. CLI_DONE with *request filled (NULL: only help was asked for). */
static int parse_plan(int argc, char **argv, struct plan_flags *flags, json_t **request) {
    struct option_words words;
    *flags = (struct plan_flags){-1, -1, -1, NULL, NULL, NULL, NULL, false};
    *request = NULL;
    struct option_spec specs[] = {{"--nodes", OPTION_COUNT, &flags->nodes, 1, 64},
                                  {"--split", OPTION_TEXT, &flags->split},
                                  {"--for", OPTION_TEXT, &flags->aim},
                                  {"--shares", OPTION_TEXT, &flags->shares},
                                  {"--context", OPTION_COUNT, &flags->context, 1, 1 << 24},
                                  {"--parallel", OPTION_COUNT, &flags->parallel, 1, 1024},
                                  {"--quantize", OPTION_TEXT, &flags->quantize},
                                  {"--json", OPTION_FLAG, &flags->json},
                                  {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (!split_is_known(argv[0], flags->split) || !aim_is_known(argv[0], flags->aim)) return CLI_USAGE;
    char name[CLI_PATH_BYTES];
    int status = common_quantized(words.at[0], flags->quantize, name);
    if (status != CLI_DONE) return status;
    *request = plan_request(argv[0], name, flags);
    return *request == NULL ? CLI_USAGE : CLI_DONE;
}

static void print_member(const json_t *member) {
    char weights[CLI_SIZE_BYTES], kv[CLI_SIZE_BYTES];
    printf("    node %s  %3.0f %%  weights %s, KV cache %s\n", json_string_value(json_object_get(member, "node")),
           100 * json_number_value(json_object_get(member, "share")),
           common_size((uint64_t)json_integer_value(json_object_get(member, "weights_bytes")), weights),
           common_size((uint64_t)json_integer_value(json_object_get(member, "kv_bytes")), kv));
}

static void print_stages(const json_t *stages) {
    size_t i, j;
    const json_t *stage, *member;
    json_array_foreach(stages, i, stage) {
        const json_t *layers = json_object_get(stage, "layers");
        printf("  stage %zu: layers %lld to %lld\n", i, (long long)json_integer_value(json_array_get(layers, 0)),
               (long long)json_integer_value(json_array_get(layers, 1)) - 1);
        json_array_foreach(json_object_get(stage, "members"), j, member) print_member(member);
    }
}

static void print_predicted(const json_t *plan) {
    const json_t *predicted = json_object_get(plan, "predicted");
    const json_t *decode = json_object_get(predicted, "decode_tokens_per_s");
    const json_t *prefill = json_object_get(predicted, "prefill_tokens_per_s");
    const json_t *together = json_object_get(predicted, "together_tokens_per_s");
    if (!json_is_number(decode)) return;
    printf("  about %.1f tokens/s", json_number_value(decode));
    if (json_is_number(prefill)) printf(", %.0f of a prompt", json_number_value(prefill));
    if (json_is_number(together))
        printf(", %.1f of %lld requests together", json_number_value(together),
               (long long)json_integer_value(json_object_get(plan, "parallel")));
    printf("\n  %s\n", json_string_value(json_object_get(plan, "choice")));
}

static void print_plan(const json_t *plan) {
    size_t i;
    const json_t *left;
    const char *reason = json_string_value(json_object_get(plan, "reason"));
    bool fits = json_is_true(json_object_get(plan, "fits"));
    printf("%s: %s\n", json_string_value(json_object_get(plan, "model")), fits ? "fits" : "does not fit");
    if (reason != NULL && *reason != '\0') printf("  %s\n", reason);
    print_stages(json_object_get(plan, "stages"));
    json_array_foreach(json_object_get(plan, "left_out"), i, left)
        printf("  without node %s: %s\n", json_string_value(json_object_get(left, "node")),
               json_string_value(json_object_get(left, "reason")));
    print_predicted(plan);
}

int cli_plan(int argc, char **argv) {
    struct plan_flags flags;
    struct error error;
    struct client *client = NULL;
    json_t *request, *plan = NULL;
    int status = parse_plan(argc, argv, &flags, &request);
    if (request == NULL) return status;
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0) code = client_post(client, "plan", json_incref(request), &plan, &error);
    client_close(client);
    json_decref(request);
    if (code != 0) return common_fail(&error);
    bool fits = json_is_true(json_object_get(plan, "fits"));
    const char *reason = json_string_value(json_object_get(plan, "reason"));
    if (!fits && reason != NULL) fprintf(stderr, "caravan: %s\n", reason);
    if (flags.json) return common_print_json(plan) == CLI_DONE && fits ? CLI_DONE : CLI_FAILED;
    print_plan(plan);
    json_decref(plan);
    return fits ? CLI_DONE : CLI_FAILED;
}

/* ---- loading ---- */

/* A load that waits for a model which is not here yet. */
struct wait {
    struct client *client;
    char model[CLI_PATH_BYTES];
    struct progress progress;
};

static bool under_way(const json_t *download) {
    static const char *const stages[] = {"listing", "headers", "planning", "fetching"};
    const char *state = json_string_value(json_object_get(download, "state"));
    for (size_t i = 0; state && i < ARRAY_LEN(stages); i++)
        if (strcmp(state, stages[i]) == 0) return true;
    return false;
}

static bool show_pull(void *context) {
    struct wait *w = context;
    struct error ignored;
    json_t *downloads = NULL;
    if (!w->progress.terminal) return true;
    client_get(w->client, "downloads", &downloads, &ignored);
    const json_t *download = progress_find(downloads, w->model);
    if (under_way(download))
        progress_show(&w->progress, download);
    else
        progress_clear(&w->progress);
    json_decref(downloads);
    return true;
}

/* As with a pull that is interrupted: what is here is kept. */
static void pause_pull(const struct wait *w, struct error *error) {
    struct error ignored;
    json_t *downloads = NULL;
    client_get(w->client, "downloads", &downloads, &ignored);
    if (under_way(progress_find(downloads, w->model))) {
        client_post(w->client, "downloads/pause", json_pack("{s:s}", "model", w->model), NULL, &ignored);
        error_set(error, ERR_CANCELLED, "stopped; `caravan pull %s` goes on from here", w->model);
    }
    json_decref(downloads);
}

static int post_load(struct client *client, json_t *request, json_t **reply, struct error *error) {
    struct wait w = {.client = client, .progress = progress_new()};
    source_place(json_string_value(json_object_get(request, "model")), w.model);
    int code = client_post_watched(client, "load", json_incref(request), reply, PROGRESS_LOOK_MS, show_pull, &w, error);
    progress_clear(&w.progress);
    if (code == ERR_CANCELLED && client_take_interrupt()) pause_pull(&w, error);
    return code;
}

int plan_load(struct client *client, json_t *request, json_t **reply, struct error *error) {
    int code = post_load(client, request, reply, error);
    bool alone = code == ERR_LIMIT && client_owns_node(client);
    if (alone && client_wait_for_others(client, OTHERS_WAIT_MS)) code = post_load(client, request, reply, error);
    json_decref(request);
    return code;
}

int cli_load(int argc, char **argv) {
    struct plan_flags flags;
    struct error error;
    struct client *client = NULL;
    json_t *request, *reply = NULL;
    int status = parse_plan(argc, argv, &flags, &request);
    if (request == NULL) return status;
    int code = client_open(&client, CLIENT_LOOKING, &error);
    if (code == 0) code = plan_load(client, json_incref(request), &reply, &error);
    client_close(client);
    json_decref(request);
    if (code != 0) return common_fail(&error);
    if (flags.json) return common_print_json(reply);
    json_decref(reply);
    return CLI_DONE;
}

int cli_stop(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    char path[CLI_PATH_BYTES];
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    json_t *request = json_pack("{s:s}", "model", common_model_name(words.at[0], path));
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0) code = client_post(client, "unload", json_incref(request), NULL, &error);
    client_close(client);
    json_decref(request);
    return code == 0 ? CLI_DONE : common_fail(&error);
}

static void print_instances(const json_t *instances) {
    size_t i;
    const json_t *instance;
    json_array_foreach(instances, i, instance) {
        printf("%s  %s  %s\n", json_string_value(json_object_get(instance, "model")),
               json_string_value(json_object_get(instance, "state")),
               json_string_value(json_object_get(instance, "id")));
        print_stages(json_object_get(instance, "stages"));
    }
}

int cli_ps(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    json_t *instances = NULL;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0) code = client_get(client, "instances", &instances, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    if (json) return common_print_json(instances);
    print_instances(instances);
    json_decref(instances);
    return CLI_DONE;
}
