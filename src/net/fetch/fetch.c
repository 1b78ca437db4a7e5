#include "net/fetch/fetch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "net/fetch/header.h"

enum { REDIRECTS_MAX = 8, BUFFER_BYTES = 512 << 10, CONNECTIONS_KEPT = 16, LINE_BYTES = 2300 };

struct fetcher {
    CURLM *multi;
    char agent[64];
    struct fetch *first;
};

struct fetch {
    struct fetch *next;
    struct fetcher *fetcher;
    CURL *easy;
    struct curl_slist *headers;
    struct fetch_request request; /* its strings are not used any more */
    struct fetch_reply reply;
    uint64_t taken;             /* bytes handed over */
    uint64_t skip;              /* bytes of an answer without ranges before those that are wanted */
    bool answered, from_public; /* a host has answered; the first that did has a public address */
    bool refused, ranged;
    int code; /* what data() returned, or why the answer is none */
    char why[CURL_ERROR_SIZE];
};

/* ---- addresses ---- */

static bool is_private(const struct sockaddr *at) {
    struct wire_address address;
    return !address_from_sockaddr(&address, at) || address_is_private(&address);
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct fetch *x = context;
    x->refused = x->from_public && is_private(&address->addr);
    if (x->refused) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Who answers, also over a connection that was kept. Behind a proxy it is the proxy. */
static bool peer_is_private(struct fetch *x) {
    char *text = NULL;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_IP, &text);
    if (text && inet_pton(AF_INET, text, &v4.sin_addr) == 1) return is_private((struct sockaddr *)&v4);
    return !text || inet_pton(AF_INET6, text, &v6.sin6_addr) != 1 || is_private((struct sockaddr *)&v6);
}

/* ---- headers ---- */

/* The next hop; what the hub linked stays. */
static void begin_answer(struct fetch *x) {
    bool closed = peer_is_private(x);
    if (!x->answered) x->from_public = !closed;
    x->answered = true;
    x->refused = x->from_public && closed;
    x->reply.begin = x->reply.total = 0;
    x->reply.retry_after_s = 0;
    x->reply.etag[0] = '\0';
    x->ranged = false;
}

static size_t on_header(char *data, size_t size, size_t count, void *context) {
    struct fetch *x = context;
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "%.*s", (int)(size * count), data);
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "HTTP/", 5) == 0)
        begin_answer(x);
    else
        fetch_take_header(&x->reply, &x->ranged, line);
    return x->refused ? 0 : size * count;
}

/* ---- bytes ---- */

/* The answer begins: is it the range that was asked for? */
static bool begins_right(struct fetch *x) {
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    x->reply.status = (int)status;
    if (status == 206) return x->ranged && x->reply.begin == x->request.offset;
    x->skip = status == 200 ? x->request.offset : 0; /* no ranges there: the whole file comes */
    return status == 200;
}

static size_t on_data(char *data, size_t size, size_t count, void *context) {
    struct fetch *x = context;
    size_t len = size * count, all = len;
    if (x->reply.status == 0 && !begins_right(x) && x->reply.status < 300) x->code = ERR_UNSUPPORTED;
    if (x->code < 0) return 0;
    if (x->reply.status != 200 && x->reply.status != 206) return len; /* the text of an error */
    size_t before = x->skip < len ? (size_t)x->skip : len;
    x->skip -= before;
    data += before;
    len -= before;
    if (x->request.len > 0 && len > x->request.len - x->taken) len = (size_t)(x->request.len - x->taken);
    if (len > 0) x->code = x->request.data(x->request.context, &x->reply, data, len);
    x->taken += len;
    bool enough = x->request.len > 0 && x->taken == x->request.len && x->reply.status == 200;
    return x->code < 0 || enough ? 0 : all;
}

/* ---- ends ---- */

static int code_of_status(int status) {
    if (status == 401 || status == 403) return ERR_DENIED;
    if (status == 404 || status == 410) return ERR_NOT_FOUND;
    if (status == 408 || status == 429 || status >= 500) return ERR_BUSY;
    return status == 416 ? ERR_STALE : ERR_INVALID;
}

static int code_of_curl(CURLcode result) {
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT: return ERR_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION: return ERR_INVALID;
    case CURLE_OUT_OF_MEMORY: return ERR_NOMEM;
    default: return ERR_CLOSED;
    }
}

static void judge(struct fetch *x, CURLcode result, struct error *error) {
    const struct fetch_request *r = &x->request;
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    x->reply.status = (int)status;
    const char *why = x->why[0] ? x->why : curl_easy_strerror(result);
    if (r->len > 0 && x->taken == r->len) return;
    if (x->code == ERR_UNSUPPORTED)
        error_set(error, x->code, "the answer is another range than was asked for");
    else if (x->code < 0)
        error_set(error, x->code, "%s", error_text(x->code));
    else if (x->refused)
        error_set(error, ERR_INVALID, "a redirect leads from a public address to a private one");
    else if (result != CURLE_OK && (status < 400 || result != CURLE_WRITE_ERROR))
        error_set(error, code_of_curl(result), "%s", why);
    else if (status != 200 && status != 206)
        error_set(error, code_of_status((int)status), "HTTP status %ld", status);
    else if (r->len > 0)
        error_set(error, ERR_CLOSED, "the answer ended early");
}

static void forget(struct fetch *x) {
    for (struct fetch **at = &x->fetcher->first; *at; at = &(*at)->next)
        if (*at == x) {
            *at = x->next;
            break;
        }
    curl_multi_remove_handle(x->fetcher->multi, x->easy);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    free(x);
}

static void end(struct fetch *x, CURLcode result) {
    struct error error = {0};
    judge(x, result, &error);
    struct fetch_request request = x->request;
    struct fetch_reply reply = x->reply;
    forget(x);
    request.done(request.context, &reply, &error);
}

void fetch_cancel(struct fetch *x) { forget(x); }

/* ---- starting ---- */

static void set_range(struct fetch *x, const struct fetch_request *r) {
    char range[64];
    if (r->len == 0) return;
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)r->offset,
             (unsigned long long)(r->offset + r->len - 1));
    curl_easy_setopt(x->easy, CURLOPT_RANGE, range);
}

/* The library drops headers with credentials when a redirect leads to another host, port or protocol. */
static bool set_headers(struct fetch *x, const struct fetch_request *r) {
    struct curl_slist *more = NULL;
    char line[1024];
    if (r->token == NULL || r->token[0] == '\0') return true;
    if (snprintf(line, sizeof line, "Authorization: Bearer %s", r->token) < (int)sizeof line)
        more = curl_slist_append(NULL, line);
    x->headers = more;
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, more);
    return more != NULL;
}

static void set_options(struct fetch *x, const struct fetch_request *r) {
    CURL *c = x->easy;
    curl_easy_setopt(c, CURLOPT_URL, r->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, x->fetcher->agent);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* streams want connections of their own */
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)FETCH_CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)FETCH_STALL_S);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->why);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(c, CURLOPT_PRIVATE, x);
    set_range(x, r);
}

int fetcher_start(struct fetcher *f, struct fetch **out, const struct fetch_request *r, struct error *error) {
    struct fetch *x = calloc(1, sizeof *x);
    CURL *easy = x ? curl_easy_init() : NULL;
    if (easy == NULL) {
        free(x);
        return error_set(error, ERR_NOMEM, "out of memory");
    }
    *x = (struct fetch){.next = f->first, .fetcher = f, .easy = easy, .request = *r};
    f->first = x;
    set_options(x, r);
    if (!set_headers(x, r)) {
        forget(x);
        return error_set(error, ERR_INVALID, "the token is too long");
    }
    x->request.url = x->request.token = NULL;
    curl_multi_add_handle(f->multi, easy);
    *out = x;
    return 0;
}

static void init_library(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

int fetcher_new(struct fetcher **out, const char *agent, struct error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct fetcher *f = calloc(1, sizeof *f);
    if (f) f->multi = curl_multi_init();
    if (f == NULL || f->multi == NULL) {
        free(f);
        return error_set(error, ERR_NOMEM, "out of memory");
    }
    snprintf(f->agent, sizeof f->agent, "%s", agent);
    curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    *out = f;
    return 0;
}

void fetcher_free(struct fetcher *f) {
    if (f == NULL) return;
    while (f->first) forget(f->first);
    curl_multi_cleanup(f->multi);
    free(f);
}

void fetcher_turn(struct fetcher *f, const struct fetch_wait *waits, size_t count, int timeout_ms) {
    struct curl_waitfd more[FETCH_WAITS_MAX];
    int running = 0, left = 0;
    const CURLMsg *message;
    if (count > FETCH_WAITS_MAX) count = FETCH_WAITS_MAX;
    for (size_t i = 0; i < count; i++)
        more[i] = (struct curl_waitfd){
            .fd = waits[i].fd,
            .events = (short)((waits[i].read ? CURL_WAIT_POLLIN : 0) | (waits[i].write ? CURL_WAIT_POLLOUT : 0))};
    curl_multi_poll(f->multi, more, (unsigned)count, timeout_ms, NULL);
    curl_multi_perform(f->multi, &running);
    while ((message = curl_multi_info_read(f->multi, &left)) != NULL) {
        struct fetch *x = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        end(x, result);
    }
}

void fetcher_wake(struct fetcher *f) { curl_multi_wakeup(f->multi); }
