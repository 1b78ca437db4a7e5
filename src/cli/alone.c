/* caravan without a verb: a node of its own with the live view as its client; line by line where that cannot be drawn.
 *
 * The node is a process of its own, so that it can go on when the view ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/screen.h"
#include "cli/top.h"

extern char **environ;

enum { URL_BYTES = 128 };

/* The node that was started here. */
struct started {
    pid_t pid; /* 0: it ran before */
    char url[URL_BYTES];
    char log[CLI_PATH_BYTES + 16];
};

/* ---- the node ---- */

/* "ready URL" from the node; false when it has ended instead. */
static bool read_ready(int fd, char url[URL_BYTES]) {
    char line[URL_BYTES + 16];
    FILE *out = fdopen(fd, "r");
    bool good = out && fgets(line, sizeof line, out) && sscanf(line, "ready %127s", url) == 1;
    if (out)
        fclose(out);
    else
        close(fd);
    return good;
}

static int spawn(struct started *s, char *const arguments[], int *ready_fd) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, s->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    int failed = posix_spawn(&s->pid, "/proc/self/exe", &files, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    if (failed) close(ends[0]);
    *ready_fd = ends[0];
    return failed;
}

/* On the usual port, or any other where that is taken. */
static int start(struct started *s, struct error *error) {
    char *const usual[] = {"caravan", "serve", NULL}, *const any[] = {"caravan", "serve", "--port", "0", NULL};
    char home[CLI_PATH_BYTES];
    int fd = -1, code = common_home(home, error);
    if (code != 0) return code;
    mkdir(home, 0700);
    snprintf(s->log, sizeof s->log, "%s/node.log", home);
    for (int i = 0; i < 2; i++) {
        int failed = spawn(s, i == 0 ? usual : any, &fd);
        if (failed) return error_set(error, ERR_IO, "a node cannot be started: %s", strerror(failed));
        if (read_ready(fd, s->url)) return 0;
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
    return error_set(error, ERR_IO, "the node does not start; %s says why", s->log);
}

static void end(const struct started *s) {
    kill(s->pid, SIGTERM);
    waitpid(s->pid, NULL, 0);
}

/* ---- line by line ---- */

/* What was printed last, so that only news is. */
struct view {
    struct text nodes, models;
};

/* "a, b (lost), c" from an array of objects; a state that is `usual` goes without saying. */
static void summarise(const json_t *list, const char *name_key, const char *usual, struct text *out) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        const char *state = watch_text(item, "state");
        text_printf(out, "%s%s", i ? ", " : "", watch_text(item, name_key));
        if (strcmp(state, usual) != 0) text_printf(out, " (%s)", state);
    }
}

/* Print `now` (taken) behind its title if it is not what was printed before. */
static void print_news(const char *title, struct text *before, struct text *now) {
    if (before->data == NULL || strcmp(text_str(before), text_str(now)) != 0)
        printf("%-7s %s\n", title, now->len ? text_str(now) : "none yet");
    fflush(stdout);
    text_deinit(before);
    text_add_str(now, "");
    *before = *now;
}

static bool on_event(void *context, const json_t *event) {
    struct view *view = context;
    struct text now = {0};
    const json_t *nodes = json_object_get(event, "nodes"), *models = json_object_get(event, "instances");
    if (nodes) {
        summarise(nodes, "name", "up", &now);
        print_news("nodes", &view->nodes, &now);
    } else if (models) {
        summarise(models, "model", "ready", &now);
        print_news("models", &view->models, &now);
    }
    return true;
}

static int follow_lines(struct client *client, const struct top_hints *hints, bool own, struct error *error) {
    struct view view = {0};
    printf("%s\n%s\n%s\n", hints->lines[0], hints->lines[1], hints->lines[2]);
    printf("        Ctrl-C ends %s\n", own ? "the node" : "the view");
    int code = client_stream(client, "events", NULL, on_event, &view, error);
    text_deinit(&view.nodes);
    text_deinit(&view.models);
    return code == ERR_CANCELLED ? 0 : code;
}

/* ---- both ---- */

/* What this machine has to give. A weight takes 4.85 bits in the usual format of four (Q4_K_M); the rest: caches. */
static void hint_found(const json_t *nodes, bool own, char out[TOP_HINT_BYTES]) {
    enum { BITS_PER_PARAMETER = 5 };
    char size[CLI_SIZE_BYTES];
    const json_t *self = NULL, *node;
    size_t i;
    json_array_foreach(nodes, i, node) if (json_is_true(json_object_get(node, "self"))) self = node;
    double bytes = watch_number(self, "memory_total"), billions = bytes * 8 / BITS_PER_PARAMETER / 1e9;
    snprintf(out, TOP_HINT_BYTES, "found   %s%.0f cores with %s, %s: models of up to %.*fB parameters in 4 bits",
             own ? "" : "a node that runs already: ", watch_number(self, "threads"), watch_text(self, "isa"),
             common_size((uint64_t)bytes, size), billions < 10 ? 1 : 0, billions);
}

/* A model that is here, the default one before others. */
static void hint_run(const json_t *models, const char *url, char out[TOP_HINT_BYTES]) {
    static const char usual[] = "smollm2:135m";
    const char *name = json_array_size(models) > 0 ? watch_text(json_array_get(models, 0), "name") : usual;
    const json_t *model;
    size_t i;
    json_array_foreach(models, i, model) if (strcmp(watch_text(model, "name"), usual) == 0) name = usual;
    snprintf(out, TOP_HINT_BYTES, "run     caravan %s %.60s%s%s", json_array_size(models) > 0 ? "run" : "pull", name,
             *url ? ", or the page: " : "", url);
}

/* Three lines for newcomers. */
static int make_hints(struct client *client, const struct started *s, struct top_hints *out, struct error *error) {
    json_t *code = NULL, *nodes = NULL, *models = NULL;
    int failed = client_get(client, "code", &code, error);
    if (failed == 0) failed = client_get(client, "nodes", &nodes, error);
    if (failed == 0) failed = client_get(client, "models", &models, error);
    if (failed == 0) {
        hint_found(nodes, s->pid != 0, out->lines[0]);
        hint_run(models, s->url, out->lines[1]);
        snprintf(out->lines[2], TOP_HINT_BYTES, "join    caravan join %s adds a machine", watch_text(code, "code"));
    }
    json_decref(code);
    json_decref(nodes);
    json_decref(models);
    return failed;
}

static int watch(struct started *s, enum top_end *how, struct error *error) {
    struct client *client = NULL;
    struct top_hints hints = {0};
    int code = client_open(&client, CLIENT_HOME, error);
    if (code == 0) code = make_hints(client, s, &hints, error);
    if (code == 0 && screen_open())
        code = top_follow(client, &hints, s->pid != 0, how, error);
    else if (code == 0)
        code = follow_lines(client, &hints, s->pid != 0, error);
    screen_close();
    client_close(client);
    return code;
}

int cli_alone(void) {
    struct started s = {0};
    struct error error = {0};
    enum top_end how = TOP_QUIT;
    int code = client_finds_node() ? 0 : start(&s, &error);
    if (code == 0) code = watch(&s, &how, &error);
    if (s.pid && how == TOP_DETACH)
        printf("the node goes on at %s; `caravan top` shows it, `kill %d` ends it\n", s.url, (int)s.pid);
    else if (s.pid)
        end(&s);
    return code == 0 ? CLI_DONE : common_fail(&error);
}
