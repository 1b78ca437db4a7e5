#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/common.h"
#include "cli/own_node.h"
#include "os/clock.h"

enum {
    REPLY_BYTES_MAX = 1 << 30,
    URL_BYTES = 8192,
    BUSY_TRIES = 60, /* another process opens or closes the node of this home */
    BUSY_STEP_MS = 50,
    LOOK_MS = 700, /* beacons go out after 0, 0.2 and 0.5 s */
    LOOK_STEP_MS = 50,
};

struct client {
    struct curl_slist *headers;
    char socket[CLI_PATH_BYTES], home[CLI_PATH_BYTES];
    struct own_node *own; /* started here because none ran; NULL else */
};

/* One request under way. */
struct call {
    CURL *curl;
    struct text body; /* of the reply; in a stream: the line that is still incomplete */
    bool (*on_event)(void *context, const json_t *event);
    bool (*on_turn)(void *context); /* NULL: nothing else is watched */
    int fd, turn_ms;
    void *context;
    struct error *error;
    bool ended;  /* on_event wants no more */
    bool failed; /* an event told of an error, which is in *error */
};

static volatile sig_atomic_t interrupted; /* the signal that came; 0: none */
static int wake[2] = {-1, -1};            /* a pipe that holds a byte for each signal */

static void on_signal(int number) {
    int before = errno;
    interrupted = number;
    ssize_t ignored = write(wake[1], "", 1); /* a full pipe wakes as well */
    (void)ignored;
    errno = before;
}

static int catch_signals(struct error *error) {
    struct sigaction action = {.sa_handler = on_signal};
    if (wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0)
        return error_set(error, ERR_LIMIT, "no descriptors are left: %s", strerror(errno));
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    return 0;
}

int client_interrupt_fd(void) { return wake[0]; }

bool client_take_interrupt(void) {
    char bytes[16];
    if (interrupted != SIGINT) return false;
    interrupted = 0;
    while (read(wake[0], bytes, sizeof bytes) > 0) continue;
    return true;
}

static int code_of_status(long status) {
    switch (status) {
    case 400: return ERR_INVALID;
    case 401:
    case 403: return ERR_DENIED;
    case 404: return ERR_NOT_FOUND;
    case 409:
    case 429: return ERR_BUSY;
    case 413:
    case 507: return ERR_LIMIT;
    case 504: return ERR_TIMEOUT;
    default: return ERR_IO;
    }
}

/* {"error": {"message": ...}} as an error; false when the value says no such thing. */
static bool error_of_json(const json_t *value, long status, struct error *error) {
    const json_t *inner = json_object_get(value, "error");
    const char *message = json_string_value(json_object_get(inner, "message"));
    if (message == NULL) return false;
    error_set(error, code_of_status(status), "%s", message);
    return true;
}

static bool take_event(struct call *call, const char *line, size_t len) {
    static const char field[] = "data:";
    if (len < sizeof field - 1 || memcmp(line, field, sizeof field - 1) != 0) return true;
    json_t *event = json_loadb(line + sizeof field - 1, len - (sizeof field - 1), 0, NULL);
    if (event == NULL) return true; /* [DONE] */
    call->failed = error_of_json(event, 500, call->error);
    if (!call->failed) call->ended = !call->on_event(call->context, event);
    json_decref(event);
    return !call->failed && !call->ended;
}

/* Hand over the complete lines and keep the rest. */
static bool take_lines(struct call *call) {
    size_t begin = 0;
    const char *newline;
    while ((newline = memchr(text_str(&call->body) + begin, '\n', call->body.len - begin)) != NULL) {
        size_t end = (size_t)(newline - call->body.data);
        if (!take_event(call, call->body.data + begin, end - begin)) return false;
        begin = end + 1;
    }
    memmove(call->body.data, call->body.data + begin, call->body.len - begin + 1);
    call->body.len -= begin;
    return true;
}

static size_t on_data(char *data, size_t size, size_t count, void *context) {
    struct call *call = context;
    long status = 0;
    text_add(&call->body, data, size * count);
    if (call->body.failed || interrupted) return 0;
    curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
    if (call->on_event != NULL && status == 200 && !take_lines(call)) return 0;
    return size * count;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    return interrupted != 0;
}

static int error_of_reply(struct call *call, long status) {
    json_t *reply = json_loadb(text_str(&call->body), call->body.len, 0, NULL);
    if (!error_of_json(reply, status, call->error))
        error_set(call->error, code_of_status(status), "the node answered with HTTP status %ld", status);
    json_decref(reply);
    return code_of_status(status);
}

/* curl_easy_perform, and a look at the descriptor meanwhile. */
static CURLcode perform_in_turns(struct call *call) {
    CURLM *multi = curl_multi_init();
    CURLcode result = CURLE_OUT_OF_MEMORY;
    int running = 1;
    if (multi == NULL || curl_multi_add_handle(multi, call->curl) != CURLM_OK) goto out;
    while (running > 0 && !interrupted && !call->ended) {
        struct curl_waitfd watched = {.fd = call->fd, .events = CURL_WAIT_POLLIN};
        if (curl_multi_perform(multi, &running) != CURLM_OK) goto out;
        if (running > 0) curl_multi_poll(multi, &watched, 1, call->turn_ms, NULL);
        if (!call->on_turn(call->context)) call->ended = true;
    }
    int left;
    const struct CURLMsg *message = curl_multi_info_read(multi, &left);
    result = message ? message->data.result : CURLE_OK;
out:
    curl_multi_remove_handle(multi, call->curl);
    curl_multi_cleanup(multi);
    return result;
}

static int perform(struct client *c, const char *path, const char *body, struct call *call) {
    char url[URL_BYTES + 32];
    long status = 0;
    CURL *curl = curl_easy_init();
    if (curl == NULL) return error_set(call->error, ERR_NOMEM, "out of memory");
    snprintf(url, sizeof url, "http://localhost/%s", path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
    if (body != NULL) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    call->curl = curl;
    call->body.len_max = REPLY_BYTES_MAX;
    CURLcode result = call->on_turn ? perform_in_turns(call) : curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (interrupted) return error_set(call->error, ERR_CANCELLED, "stopped");
    if (call->failed) return ERR_IO;
    if (call->ended) return 0;
    if (result != CURLE_OK)
        return error_set(call->error, ERR_CLOSED, "the node does not answer: %s", curl_easy_strerror(result));
    return status == 200 ? 0 : error_of_reply(call, status);
}

/* `body` is taken; NULL: a GET. */
static int request(struct client *c, const char *path, json_t *body, struct call *call) {
    char full[URL_BYTES];
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    bool no_text = body != NULL && text == NULL;
    json_decref(body);
    if (no_text) return error_set(call->error, ERR_INVALID, "the request is not valid UTF-8");
    int n = snprintf(full, sizeof full, "caravan/v1/%s", path);
    int code = n > 0 && n < (int)sizeof full ? perform(c, full, text, call)
                                             : error_set(call->error, ERR_LIMIT, "the model's name is too long");
    free(text);
    return code;
}

static int parse_reply(const struct text *body, json_t **reply, struct error *error) {
    *reply = json_loadb(text_str(body), body->len, JSON_DECODE_ANY, NULL);
    return *reply != NULL ? 0 : error_set(error, ERR_INVALID, "the node's answer is not JSON");
}

static int request_json(struct client *c, const char *path, json_t *body, json_t **reply, struct call *call) {
    int code = request(c, path, body, call);
    if (code == 0 && reply != NULL) code = parse_reply(&call->body, reply, call->error);
    text_deinit(&call->body);
    return code;
}

int client_get(struct client *c, const char *path, json_t **reply, struct error *error) {
    return request_json(c, path, NULL, reply, &(struct call){.error = error});
}

int client_post(struct client *c, const char *path, json_t *body, json_t **reply, struct error *error) {
    return request_json(c, path, body, reply, &(struct call){.error = error});
}

int client_post_watched(struct client *c, const char *path, json_t *body, json_t **reply, int turn_ms,
                        bool (*on_turn)(void *context), void *context, struct error *error) {
    struct call call = {.error = error, .on_turn = on_turn, .fd = wake[0], .turn_ms = turn_ms, .context = context};
    return request_json(c, path, body, reply, &call);
}

int client_post_bytes(struct client *c, const char *path, json_t *body, struct text *reply, struct error *error) {
    struct call call = {.error = error, .body = *reply};
    int code = request(c, path, body, &call);
    *reply = call.body;
    return code;
}

int client_stream(struct client *c, const char *path, json_t *body,
                  bool (*on_event)(void *context, const json_t *event), void *context, struct error *error) {
    struct call call = {.error = error, .on_event = on_event, .context = context};
    int code = request(c, path, body, &call);
    text_deinit(&call.body);
    return code;
}

int client_follow(struct client *c, const char *path, bool (*on_event)(void *context, const json_t *event), int fd,
                  int turn_ms, bool (*on_turn)(void *context), void *context, struct error *error) {
    struct call call = {
        .error = error, .on_event = on_event, .on_turn = on_turn, .fd = fd, .turn_ms = turn_ms, .context = context};
    int code = request(c, path, NULL, &call);
    text_deinit(&call.body);
    return code == 0 && !call.ended ? error_set(error, ERR_CLOSED, "the node has ended") : code;
}

char *client_escape(const char *text) {
    static const char hex[] = "0123456789ABCDEF";
    char *out = malloc(3 * strlen(text) + 1), *at = out;
    if (out == NULL) return NULL;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        *at++ = '%';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 15];
    }
    *at = '\0';
    return out;
}

/* Does somebody listen on the socket? */
static bool node_answers(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path) return false;
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool answers = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return answers;
}

static int find_socket(struct client *c, struct error *error) {
    int code = common_home(c->home, error);
    if (code != 0) return code;
    int n = snprintf(c->socket, sizeof c->socket, "%s/run/socket", c->home);
    if (n < 0 || n >= (int)sizeof c->socket)
        return error_set(error, ERR_LIMIT, "the path of Caravan's home is too long");
    return 0;
}

bool client_finds_node(void) {
    struct client c = {0};
    struct error ignored;
    return find_socket(&c, &ignored) == 0 && node_answers(c.socket);
}

/* A node in this process, for as long as the client is open. */
static int start_node(struct client *c, enum client_reach reach, struct error *error) {
    struct daemon_options options;
    int code = common_node_options(&options, c->home, error);
    options.port = 0;
    options.discovery = reach != CLIENT_HOME;
    options.measure = reach == CLIENT_CLUSTER;
    options.quiet = true;
    return code == 0 ? own_node_open(&c->own, &options, error) : code;
}

/* The node of this home, wherever it runs. Two verbs that start at the same time share the one that was quicker. */
static int find_node(struct client *c, enum client_reach reach, struct error *error) {
    int code = ERR_BUSY;
    for (int tries = 0; code == ERR_BUSY && tries < BUSY_TRIES; tries++) {
        if (node_answers(c->socket)) return 0;
        if (tries > 0) clock_sleep_ns(BUSY_STEP_MS * 1000000ull);
        code = start_node(c, reach, error);
    }
    return code;
}

size_t client_count_up(const json_t *nodes) {
    size_t i, up = 0;
    const json_t *node;
    json_array_foreach(nodes, i, node) {
        const char *state = json_string_value(json_object_get(node, "state"));
        up += state && strcmp(state, "up") == 0;
    }
    return up;
}

bool client_wait_for_others(struct client *c, int wait_ms) {
    struct error error;
    for (int waited_ms = 0;; waited_ms += LOOK_STEP_MS) {
        json_t *nodes = NULL;
        if (client_get(c, "nodes", &nodes, &error) != 0) return false;
        size_t up = client_count_up(nodes);
        json_decref(nodes);
        if (up > 1 || waited_ms >= wait_ms) return up > 1;
        clock_sleep_ns(LOOK_STEP_MS * 1000000ull);
    }
}

int client_open(struct client **out, enum client_reach reach, struct error *error) {
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    int code = catch_signals(error);
    if (code == 0) code = find_socket(c, error);
    if (code == 0) code = find_node(c, reach, error);
    if (code != 0) goto out;
    c->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (c->headers == NULL) code = error_set(error, ERR_NOMEM, "out of memory");
    if (code == 0 && c->own && reach == CLIENT_CLUSTER) client_wait_for_others(c, LOOK_MS);
out:
    if (code == 0)
        *out = c;
    else
        client_close(c);
    return code;
}

bool client_owns_node(const struct client *c) { return c->own != NULL; }

void client_close(struct client *c) {
    if (c == NULL) return;
    own_node_close(c->own);
    curl_slist_free_all(c->headers);
    free(c);
}
