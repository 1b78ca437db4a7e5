/* Exchanges and libmicrohttpd.
 *
 * MHD's polling thread calls in; a request that waits is suspended and resumed by whoever replies. An exchange lives
 * until both sides are done with it: MHD has completed the request, and its owner has ended it. One mutex per exchange
 * orders the two. What a suspended request hides - the client's leaving - is seen by leaving.c's watcher. */
#include "net/http/http.h"

#include <gnutls/crypto.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "net/http/certificate.h"
#include "net/http/guard.h"
#include "net/http/leaving.h"
#include "net/http/patience.h"
#include "net/http/sockets.h"
#include "os/clock.h"

enum {
    CONNECTION_BYTES = 64 * 1024, /* headers of one request */
    SILENCE_S = 120,              /* a client that takes nothing of its reply */
    HEADERS_S = 60,               /* until a request begins, and its headers are there */
    BODY_S = 120,
    HEADERS_MAX = 4,
};
static const char tls_versions[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
/* A body that is refused is heard to its end, so that the client gets to read why; longer ones are cut off. */
static const uint64_t refused_bytes_max = 256 << 20;
/* Bodies of all requests that are under way. */
static const size_t bodies_bytes_max = 256 << 20;

struct http_server {
    struct http_options options;
    struct MHD_Daemon *tcp, *local;
    struct leaving *leaving;
    struct patience *patience;
    struct certificate certificate;
    atomic_size_t bodies_bytes;
    uint16_t port;
};

struct http_exchange {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct patience_visitor *visitor;
    bool local, keyless;
    char id[HTTP_REQUEST_ID_BYTES];
    char *method, *path;
    char remote[SOCKETS_ADDRESS_BYTES];
    uint64_t begin_us;
    struct text body;
    uint64_t received;            /* bytes of the body, also of those that were not kept */
    struct guard_verdict refusal; /* of the server itself; status 0: none */
    bool handed;                  /* to the handler */
    uint64_t watch;               /* of the leaving watcher; 0: none */

    pthread_mutex_t mutex;         /* guards what follows */
    struct MHD_Response *response; /* ready to be queued */
    int status;
    bool suspended, queued, streaming, ended, completed, gone;
    struct text out; /* of a stream, not yet taken */
    size_t taken;
    struct http_account account; /* of it: bytes and what http_note told */
    char model[128];
    struct {
        char name[32], value[128];
    } headers[HEADERS_MAX];
    size_t header_count;
    void (*closed)(void *context);
    void *closed_context;
};

/* ---- life ---- */

static void free_exchange(struct http_exchange *x) {
    if (x->response) MHD_destroy_response(x->response);
    atomic_fetch_sub(&x->server->bodies_bytes, x->body.len);
    text_deinit(&x->body);
    text_deinit(&x->out);
    pthread_mutex_destroy(&x->mutex);
    free(x->method);
    free(x->path);
    free(x);
}

/* With the mutex held; gives it back. */
static void unlock_and_free_if_done(struct http_exchange *x) {
    bool done = x->completed && (x->ended || !x->handed);
    pthread_mutex_unlock(&x->mutex);
    if (done) free_exchange(x);
}

static void resume(struct http_exchange *x) {
    if (!x->suspended || x->completed) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
}

/* The client has left: tell the owner, once, with the mutex held so that ending waits for it. */
static void tell_gone(struct http_exchange *x) {
    if (x->gone) return;
    x->gone = true;
    if (x->closed && !x->ended) x->closed(x->closed_context);
}

static void on_left(void *context) {
    struct http_exchange *x = context;
    pthread_mutex_lock(&x->mutex);
    tell_gone(x);
    resume(x);
    pthread_mutex_unlock(&x->mutex);
}

/* ---- replies ---- */

static void add_common_headers(struct http_exchange *x, struct MHD_Response *r) {
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "x-request-id", x->id);
    for (size_t i = 0; i < x->header_count; i++) MHD_add_response_header(r, x->headers[i].name, x->headers[i].value);
    guard_add_cors(&x->server->options, x->connection, r);
}

static void add_headers(struct http_exchange *x, struct MHD_Response *r, const char *type) {
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    add_common_headers(x, r);
}

void http_set_header(struct http_exchange *x, const char *name, const char *value) {
    if (x->header_count == HEADERS_MAX) return;
    snprintf(x->headers[x->header_count].name, sizeof x->headers[0].name, "%s", name);
    snprintf(x->headers[x->header_count++].value, sizeof x->headers[0].value, "%s", value);
}

void http_reply_with(struct http_exchange *x, int status, const struct http_field *fields, size_t count,
                     const void *body, size_t len) {
    leaving_forget(x->server->leaving, x->watch);
    pthread_mutex_lock(&x->mutex);
    if (!x->completed) {
        x->response = MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
        x->status = status;
        x->account.bytes = len;
        for (size_t i = 0; i < count; i++) MHD_add_response_header(x->response, fields[i].name, fields[i].value);
        add_common_headers(x, x->response);
    }
    x->ended = true;
    resume(x);
    unlock_and_free_if_done(x);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len) {
    const struct http_field fields[] = {{"Content-Type", content_type}, {"Cache-Control", "no-store"}};
    http_reply_with(x, status, fields, 2, body, len);
}

static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t max) {
    struct http_exchange *x = context;
    ssize_t n = 0;
    pthread_mutex_lock(&x->mutex);
    size_t left = x->out.len - x->taken;
    if (x->gone) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (left > 0) {
        n = (ssize_t)(left < max ? left : max);
        memcpy(buffer, x->out.data + x->taken, (size_t)n);
        x->taken += (size_t)n;
        x->account.bytes += (size_t)n;
        if (x->taken == x->out.len) {
            text_clear(&x->out);
            x->taken = 0;
        }
    } else if (x->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->mutex);
    return n;
}

void http_stream_begin(struct http_exchange *x, const char *content_type) {
    pthread_mutex_lock(&x->mutex);
    x->streaming = true;
    if (!x->completed) {
        x->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_stream, x, NULL);
        x->status = 200;
        add_headers(x, x->response, content_type);
        MHD_add_response_header(x->response, "X-Accel-Buffering", "no");
    }
    resume(x);
    pthread_mutex_unlock(&x->mutex);
}

int http_stream_write(struct http_exchange *x, const void *data, size_t len) {
    pthread_mutex_lock(&x->mutex);
    bool dropped = x->out.len - x->taken + len > HTTP_STREAM_QUEUED_MAX; /* does not read */
    if (dropped) x->gone = true;
    int rc = x->gone || x->completed ? ERR_CLOSED : 0;
    if (rc == 0) text_add(&x->out, data, len);
    resume(x);
    pthread_mutex_unlock(&x->mutex);
    return rc;
}

void http_stream_end(struct http_exchange *x) {
    leaving_forget(x->server->leaving, x->watch);
    pthread_mutex_lock(&x->mutex);
    x->ended = true;
    resume(x);
    unlock_and_free_if_done(x);
}

void http_on_close(struct http_exchange *x, void (*closed)(void *context), void *context) {
    pthread_mutex_lock(&x->mutex);
    x->closed = closed;
    x->closed_context = context;
    if (closed && (x->gone || x->completed)) closed(context);
    pthread_mutex_unlock(&x->mutex);
}

/* ---- the request ---- */

const char *http_method(const struct http_exchange *x) { return x->method; }
const char *http_path(const struct http_exchange *x) { return x->path; }
bool http_local(const struct http_exchange *x) { return x->local; }
bool http_here(const struct http_exchange *x) {
    return x->local || strncmp(x->remote, "127.", 4) == 0 || strcmp(x->remote, "::1") == 0;
}
bool http_keyless(const struct http_exchange *x) { return x->keyless; }
const char *http_request_id(const struct http_exchange *x) { return x->id; }

uint64_t http_client(const struct http_exchange *x) {
    const char *key = guard_key(x->connection);
    uint8_t hash[32];
    uint64_t client = 0;
    if (key == NULL || gnutls_hash_fast(GNUTLS_DIG_SHA256, key, strlen(key), hash) != 0) return 0;
    memcpy(&client, hash, sizeof client);
    return client;
}

void http_note(struct http_exchange *x, const char *model, uint32_t prompt_tokens, uint32_t completion_tokens) {
    pthread_mutex_lock(&x->mutex);
    snprintf(x->model, sizeof x->model, "%s", model);
    x->account.prompt_tokens = prompt_tokens;
    x->account.completion_tokens = completion_tokens;
    pthread_mutex_unlock(&x->mutex);
}

const char *http_query(const struct http_exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_exchange *x, size_t *len) {
    *len = x->body.len;
    return text_str(&x->body);
}

static int connection_fd(struct MHD_Connection *c) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void draw_id(struct http_exchange *x, struct MHD_Connection *c) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "x-request-id");
    if (given && given[0] && strlen(given) <= 64 && strspn(given, allowed) == strlen(given)) {
        snprintf(x->id, sizeof x->id, "%s", given);
        return;
    }
    uint64_t words[2] = {0};
    gnutls_rnd(GNUTLS_RND_NONCE, words, sizeof words);
    snprintf(x->id, sizeof x->id, "%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1]);
}

static struct http_exchange *new_exchange(struct http_server *s, struct MHD_Connection *c, const char *url,
                                          const char *method, bool local) {
    struct http_exchange *x = calloc(1, sizeof *x);
    if (x == NULL) return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    *x = (struct http_exchange){.server = s,
                                .connection = c,
                                .visitor = info ? info->socket_context : NULL,
                                .local = local,
                                .begin_us = clock_us(),
                                .method = strdup(method),
                                .path = strdup(url)};
    x->body.len_max = HTTP_BODY_BYTES_MAX;
    pthread_mutex_init(&x->mutex, NULL);
    sockets_peer(connection_fd(c), x->remote);
    draw_id(x, c);
    return x;
}

/* With the mutex held: the reply is over. */
static void tell_account(struct http_exchange *x) {
    const struct http_options *o = &x->server->options;
    struct http_account a = x->account;
    a.id = x->id;
    a.method = x->method;
    a.path = x->path;
    a.remote = x->remote;
    a.model = x->model;
    a.status = x->queued ? x->status : 499;
    a.took_us = clock_us() - x->begin_us;
    if (o->done) o->done(o->context, &a);
}

static enum MHD_Result queue(struct http_exchange *x) {
    struct MHD_Response *r = x->response;
    enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)x->status, r);
    x->queued = true;
    x->response = NULL;
    MHD_destroy_response(r);
    return ok;
}

/* An answer of the server itself; no handler sees the request. */
static enum MHD_Result answer(struct http_exchange *x, int status, const char *body, const char *header,
                              const char *value) {
    x->response = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    x->status = status;
    x->account.bytes = strlen(body);
    add_headers(x, x->response, "application/json");
    if (header) MHD_add_response_header(x->response, header, value);
    return queue(x);
}

static enum MHD_Result refuse(struct http_exchange *x) {
    char body[2048] = "{}";
    const struct http_options *o = &x->server->options;
    int status = x->refusal.status;
    if (o->error_body) o->error_body(o->context, x->path, status, x->refusal.message, body, sizeof body);
    if (status == 401) return answer(x, status, body, "WWW-Authenticate", "Bearer");
    if (status == 503) return answer(x, status, body, "Retry-After", "1");
    if (status == 405) return answer(x, status, body, "Allow", "GET, HEAD");
    return answer(x, status, body, NULL, NULL);
}

static enum MHD_Result reply_health(struct http_exchange *x) {
    if (strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0)
        return answer(x, 200, "{\"status\":\"ok\"}", NULL, NULL);
    x->refusal = (struct guard_verdict){405, "use GET here"};
    return refuse(x);
}

/* The whole request is here: hand it over, then sleep until somebody replies. */
static enum MHD_Result hand_over(struct http_exchange *x) {
    x->handed = true;
    x->watch = leaving_watch(x->server->leaving, connection_fd(x->connection), on_left, x);
    x->server->options.handle(x->server->options.context, x);
    pthread_mutex_lock(&x->mutex);
    enum MHD_Result ok = MHD_YES;
    if (x->response) {
        ok = queue(x);
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->mutex);
    return ok;
}

static void keep_piece(struct http_exchange *x, const char *data, size_t size) {
    size_t before = x->body.len;
    text_add(&x->body, data, size);
    size_t all = atomic_fetch_add(&x->server->bodies_bytes, x->body.len - before) + x->body.len - before;
    if (all > bodies_bytes_max) x->refusal = (struct guard_verdict){503, "too many large requests at once: try again"};
    if (x->body.failed) x->refusal = (struct guard_verdict){413, "the body is longer than 32 MiB"};
    if (x->refusal.status == 0) return;
    atomic_fetch_sub(&x->server->bodies_bytes, x->body.len);
    text_deinit(&x->body);
    x->body = (struct text){0};
}

static enum MHD_Result continue_request(struct http_exchange *x, const char *data, size_t *size) {
    if (*size > 0) {
        x->received += *size;
        if (x->refusal.status == 0) keep_piece(x, data, *size);
        *size = 0;
        return x->refusal.status && x->received > refused_bytes_max ? MHD_NO : MHD_YES;
    }
    if (x->handed) { /* resumed */
        pthread_mutex_lock(&x->mutex);
        enum MHD_Result ok = x->response ? queue(x) : MHD_NO;
        pthread_mutex_unlock(&x->mutex);
        return ok;
    }
    patience_expect(x->server->patience, x->visitor, 0);
    if (x->refusal.status) return refuse(x);
    if (strcmp(x->method, "OPTIONS") == 0) return answer(x, 204, "", "Allow", "GET, HEAD, POST, OPTIONS");
    if (strcmp(x->path, "/health") == 0) return reply_health(x);
    return hand_over(x);
}

/* Must the client hear of the refusal before it sends its body? Else it hears of it afterwards. */
static bool must_refuse_now(struct MHD_Connection *c) {
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Expect") ||
           (length && strtoull(length, NULL, 10) > refused_bytes_max);
}

static bool body_announced_too_long(struct MHD_Connection *c) {
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > HTTP_BODY_BYTES_MAX;
}

static enum MHD_Result begin_request(struct http_server *s, struct MHD_Connection *c, const char *url,
                                     const char *method, bool local, void **state) {
    struct http_exchange *x = new_exchange(s, c, url, method, local);
    if (x == NULL) return MHD_NO;
    *state = x;
    patience_expect(s->patience, x->visitor, s->options.body_s);
    x->refusal = guard_check(&s->options, c, url, local, &x->keyless);
    if (x->refusal.status == 0 && body_announced_too_long(c))
        x->refusal = (struct guard_verdict){413, "the body is longer than 32 MiB"};
    return x->refusal.status && must_refuse_now(c) ? refuse(x) : MHD_YES;
}

static enum MHD_Result on_tcp(void *context, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **state) {
    return *state ? continue_request(*state, data, size) : begin_request(context, c, url, method, false, state);
}

static enum MHD_Result on_local(void *context, struct MHD_Connection *c, const char *url, const char *method,
                                const char *version, const char *data, size_t *size, void **state) {
    return *state ? continue_request(*state, data, size) : begin_request(context, c, url, method, true, state);
}

static void on_completed(void *context, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why) {
    struct http_exchange *x = *state;
    if (x == NULL) return;
    *state = NULL;
    patience_expect(x->server->patience, x->visitor, x->server->options.headers_s);
    pthread_mutex_lock(&x->mutex);
    x->completed = true;
    tell_account(x);
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK && x->handed) tell_gone(x);
    unlock_and_free_if_done(x);
}

static void on_connection(void *context, struct MHD_Connection *c, void **state,
                          enum MHD_ConnectionNotificationCode what) {
    struct http_server *s = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        patience_leave(s->patience, *state);
        return;
    }
    int on = 1, fd = connection_fd(c);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a UNIX socket has no such thing */
    struct patience_visitor *visitor = patience_enter(s->patience, fd);
    patience_expect(s->patience, visitor, s->options.headers_s);
    *state = visitor;
}

/* ---- listening ---- */

static unsigned connections_max(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur / 2 > HTTP_CONNECTIONS_MAX) return HTTP_CONNECTIONS_MAX;
    return (unsigned)(files.rlim_cur / 2);
}

static struct MHD_Daemon *start(struct http_server *s, int fd, MHD_AccessHandlerCallback handler,
                                const struct certificate *certificate) {
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, certificate ? certificate->chain : NULL},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, certificate ? certificate->key : NULL},
                                   {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_versions},
                                   {MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (certificate ? MHD_USE_TLS : 0);
    return MHD_start_daemon(flags, 0, NULL, NULL, handler, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
                            MHD_OPTION_CONNECTION_LIMIT, connections_max(), MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                            MHD_OPTION_ARRAY, certificate ? tls : tls + 3, MHD_OPTION_END);
}

int http_open(struct http_server **out, const struct http_options *options, struct error *error) {
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL) return error_set(error, ERR_NOMEM, "no memory for the HTTP server");
    s->options = *options;
    if (s->options.host == NULL) s->options.host = "127.0.0.1";
    if (s->options.headers_s == 0) s->options.headers_s = HEADERS_S;
    if (s->options.body_s == 0) s->options.body_s = BODY_S;
    int tcp = -1, local = -1;
    int rc = options->certificate ? certificate_load(&s->certificate, options->certificate, options->certificate_key,
                                                     error)
                                  : 0;
    if (rc == 0) rc = leaving_open(&s->leaving, error);
    if (rc == 0) rc = patience_open(&s->patience, error);
    if (rc == 0) rc = sockets_listen_tcp(s->options.host, options->port, &tcp, error);
    if (rc == 0 && options->socket_path) rc = sockets_listen_local(options->socket_path, &local, error);
    if (rc == 0) {
        s->port = sockets_port(tcp);
        s->tcp = start(s, tcp, on_tcp, options->certificate ? &s->certificate : NULL);
        if (options->socket_path) s->local = start(s, local, on_local, NULL);
        if (s->tcp == NULL || (options->socket_path && s->local == NULL))
            rc = error_set(error, ERR_IO, "the HTTP server does not start");
    }
    if (rc == 0) {
        *out = s;
        return 0;
    }
    if (s->tcp == NULL && tcp >= 0) close(tcp);
    if (s->local == NULL && local >= 0) close(local);
    http_close(s);
    return rc;
}

void http_close(struct http_server *s) {
    if (s->tcp) MHD_stop_daemon(s->tcp);
    if (s->local) MHD_stop_daemon(s->local);
    if (s->local) unlink(s->options.socket_path);
    leaving_close(s->leaving);
    patience_close(s->patience);
    certificate_free(&s->certificate);
    free(s);
}

uint16_t http_port(const struct http_server *s) { return s->port; }
