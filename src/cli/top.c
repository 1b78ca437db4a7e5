/* caravan top: what the cluster does, as it happens. */
#include "cli/top.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/options.h"
#include "cli/panes.h"
#include "cli/screen.h"
#include "os/clock.h"

enum { BEAT_MS = 125 };

struct top {
    struct watch watch;
    struct panes panes;
    bool detachable;
    enum top_end how;
    uint64_t drawn_us;
};

static void draw(struct top *t, uint64_t now_us) {
    if (watch_running(&t->watch, NULL) > 0) t->panes.beat++;
    t->drawn_us = now_us;
    panes_draw(&t->panes, &t->watch);
}

static bool on_event(void *context, const json_t *event) {
    struct top *t = context;
    watch_take(&t->watch, event, clock_us());
    draw(t, clock_us());
    return true;
}

/* A key, a new size, or time for the token to move on. */
static bool on_turn(void *context) {
    struct top *t = context;
    bool changed = false;
    for (int key; (key = screen_key()) >= 0; changed = true) {
        if (key > 127) continue; /* no letter: a new size, an arrow */
        t->how = key == 'd' ? TOP_DETACH : TOP_QUIT;
        if (key == 'q' || key == 'Q' || (key == 'd' && t->detachable)) return false;
    }
    uint64_t now_us = clock_us();
    bool moves = watch_running(&t->watch, NULL) > 0 && now_us - t->drawn_us >= BEAT_MS * 1000;
    if (changed || moves) draw(t, now_us);
    return true;
}

int top_follow(struct client *client, const struct top_hints *hints, bool detachable, enum top_end *how,
               struct error *error) {
    struct top t = {.detachable = detachable,
                    .panes = {.title = "Caravan " CARAVAN_VERSION,
                              .hints = hints,
                              .keys = detachable ? "q quit   d leave, the node goes on" : "q quit"}};
    int code = client_follow(client, "events", on_event, STDIN_FILENO, BEAT_MS, on_turn, &t, error);
    *how = t.how;
    watch_free(&t.watch);
    return code == ERR_CANCELLED ? 0 : code;
}

int cli_top(int argc, char **argv) {
    struct option_words words;
    struct client *client = NULL;
    struct error error = {0};
    enum top_end how;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0 && !screen_open())
        code =
            error_set(&error, ERR_INVALID,
                      "top needs a terminal that it can draw on; `caravan nodes` and `caravan ps` show the same once");
    if (code == 0) code = top_follow(client, NULL, false, &how, &error);
    screen_close();
    client_close(client);
    return code == 0 ? CLI_DONE : common_fail(&error);
}
