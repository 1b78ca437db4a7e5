/* caravan pull: a model from a hub, followed to its end. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "os/clock.h"
#include "store/origin.h"

/* Its last word. 0 to go on, 1 when it is done, else why not. */
static int judge(const json_t *download, struct error *error) {
    const char *state = json_string_value(json_object_get(download, "state"));
    const char *why = json_string_value(json_object_get(download, "error"));
    if (state == NULL) return error_set(error, ERR_CANCELLED, "the pull was cancelled");
    if (strcmp(state, "failed") == 0) return error_set(error, ERR_IO, "%s", why ? why : "the pull failed");
    if (strcmp(state, "paused") == 0) return error_set(error, ERR_CANCELLED, "the pull was paused");
    return strcmp(state, "done") == 0;
}

static int follow(struct client *client, const char *model, struct error *error) {
    struct progress progress = progress_new();
    int state = 0;
    while (state == 0) {
        json_t *list = NULL;
        int code = client_get(client, "downloads", &list, error);
        const json_t *download = progress_find(list, model);
        state = code < 0 ? code : judge(download, error);
        if (state == 0) progress_show(&progress, download);
        json_decref(list);
        if (state == 0) clock_sleep_ns(PROGRESS_LOOK_MS * 1000000ull);
    }
    progress_clear(&progress);
    return state < 0 ? state : 0;
}

/* Who is interrupted goes on later: what is here is kept. */
static int pull(struct client *client, const char *verb, const char *model, struct error *error) {
    json_t *started = NULL;
    int code = client_post(client, verb, json_pack("{s:s}", "model", model), &started, error);
    if (code < 0) return code;
    char name[CLI_PATH_BYTES];
    snprintf(name, sizeof name, "%s", json_string_value(json_object_get(started, "model")));
    bool here = judge(started, error) == 1;
    json_decref(started);
    if (here) return 0;
    code = follow(client, name, error);
    if (code == ERR_CANCELLED && client_take_interrupt()) {
        struct error ignored;
        client_post(client, "downloads/pause", json_pack("{s:s}", "model", model), NULL, &ignored);
        error_set(error, ERR_CANCELLED, "stopped; `caravan pull %s` goes on from here", model);
    }
    return code;
}

/* A path is looked at where it is; what may come from a hub is no path. */
static const char *pulled_name(const char *name, char out[CLI_PATH_BYTES]) {
    struct origin origin;
    return origin_parse(&origin, name, NULL) == 0 ? name : common_model_name(name, out);
}

int cli_pull(int argc, char **argv) {
    struct option_words words;
    struct error error;
    struct client *client = NULL;
    bool pause = false, cancel = false, check = false, json = false;
    struct option_spec specs[] = {{"--pause", OPTION_FLAG, &pause},
                                  {"--cancel", OPTION_FLAG, &cancel},
                                  {"--check", OPTION_FLAG, &check},
                                  {"--json", OPTION_FLAG, &json},
                                  {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    char path[CLI_PATH_BYTES];
    const char *model = pulled_name(words.at[0], path), *verb = pause ? "downloads/pause" : "downloads/cancel";
    json_t *shown = NULL;
    int code = client_open(&client, CLIENT_LOOKING, &error);
    if (code == 0 && (pause || cancel))
        code = client_post(client, verb, json_pack("{s:s}", "model", model), NULL, &error);
    else if (code == 0)
        code = pull(client, check ? "downloads/check" : "downloads", model, &error);
    if (code == 0 && json && !pause && !cancel) code = common_show(client, model, false, &shown, &error);
    client_close(client);
    if (code != 0) return common_fail(&error);
    return shown ? common_print_json(shown) : CLI_DONE;
}
