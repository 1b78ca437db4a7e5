#include "node/web.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/anthropic/anthropic.h"
#include "api/cluster/generate.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/openai/responses.h"
#include "api/openapi.h"
#include "api/write.h"
#include "node/access_log.h"
#include "node/daemon_private.h"
#include "node/downloads.h"
#include "node/events.h"
#include "node/offers.h"
#include "node/ollama.h"
#include "node/page.h"
#include "node/shelf.h"
#include "node/views.h"

/* ---- answers ---- */

json_t *web_error(int code, const char *message) {
    return json_pack("{s:{s:o, s:s}}", "error", "message", write_string(message), "code", error_text(code));
}

void web_reply(struct http_exchange *x, int status, json_t *body) {
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(body);
    if (text)
        http_reply(x, status, "application/json", text, strlen(text));
    else
        http_reply(x, 500, "application/json", "{}", 2);
    free(text);
}

json_t *web_body(struct http_exchange *x, struct error *error) {
    size_t len;
    const char *text = http_body(x, &len);
    json_error_t why;
    json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (body == NULL) {
        error_set(error, ERR_INVALID, "the body is not JSON: %s", why.text);
    } else if (!json_is_object(body)) {
        error_set(error, ERR_INVALID, "the body must be a JSON object");
        json_decref(body);
        body = NULL;
    }
    return body;
}

int web_status(int code) {
    switch (code) {
    case ERR_NOT_FOUND: return 404;
    case ERR_INVALID: return 400;
    case ERR_EXISTS:
    case ERR_BUSY: return 409;
    case ERR_DENIED: return 403;
    case ERR_LIMIT:
    case ERR_NOMEM: return 507;
    default: return 503;
    }
}

static void reply_error(struct http_exchange *x, int status, const struct error *error) {
    web_reply(x, status, web_error(error->code, error->text));
}

static void reply_status(struct http_exchange *x, int status, const char *code, const char *message);

/* ---- the cluster ---- */

json_t *web_nodes(struct daemon *d) {
    struct wire_address own = control_own_address(d);
    return view_nodes(d->node, &own);
}

static void get_nodes(struct daemon *d, struct http_exchange *x) {
    if (http_query(x, "measure"))
        requests_measure(d, x);
    else
        web_reply(x, 200, web_nodes(d));
}

static void get_instances(struct daemon *d, struct http_exchange *x) { web_reply(x, 200, view_instances(d->node)); }

static void reply_code(struct daemon *d, struct http_exchange *x) {
    char code[SECRET_CODE_BYTES];
    secret_code(&d->secret, NULL, code);
    web_reply(x, 200, json_pack("{s:s}", "code", code));
}

static void post_code_new(struct daemon *d, struct http_exchange *x) {
    struct error error = {0};
    if (daemon_rotate_secret(d, &error) != 0)
        reply_error(x, 500, &error);
    else
        reply_code(d, x);
}

static void post_join(struct daemon *d, struct http_exchange *x) {
    struct error error = {0};
    json_t *body = web_body(x, &error);
    const char *code = json_string_value(json_object_get(body, "code"));
    int rc = body ? daemon_join(d, code ? code : "", &error) : ERR_INVALID;
    if (rc)
        reply_error(x, rc == ERR_INVALID ? 400 : 500, &error);
    else
        web_reply(x, 200, json_object());
    json_decref(body);
}

static void post_leave(struct daemon *d, struct http_exchange *x) {
    struct error error = {0};
    if (daemon_leave(d, &error) != 0)
        reply_error(x, 500, &error);
    else
        web_reply(x, 200, json_object());
}

/* ---- what can be watched ---- */

static void get_links(struct daemon *d, struct http_exchange *x) { web_reply(x, 200, view_links(d->node)); }

static void get_activity(struct daemon *d, struct http_exchange *x) {
    web_reply(x, 200, view_activity(d->node, &d->metrics, d->beacon_us));
}

static void get_metrics(struct daemon *d, struct http_exchange *x) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    struct text out = {0};
    size_t count = node_peers(d->node, peers, NODE_PEERS_MAX + 1), up = 0;
    for (size_t i = 0; i < count; i++) up += peers[i].state == NODE_PEER_UP;
    text_printf(&out,
                "# HELP caravan:nodes Nodes of the cluster that are up.\n# TYPE caravan:nodes gauge\n"
                "caravan:nodes %zu\n",
                up);
    struct metrics_cache caches[NODE_INSTANCES_MAX];
    metrics_write(&d->metrics, caches, slices_caches(d, caches, NODE_INSTANCES_MAX), &out);
    http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", text_str(&out), out.len);
    text_deinit(&out);
}

static void get_openapi(struct daemon *d, struct http_exchange *x) {
    http_reply(x, 200, "application/json", openapi_json, openapi_json_len);
}

static void get_page(struct daemon *d, struct http_exchange *x) {
    if (!page_reply(x)) reply_status(x, 404, "not_found", "the page has no such file");
}

/* ---- dialects ---- */

static void post_chat(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &openai_chat); }
static void post_completion(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &openai_completions); }
static void post_embedding(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &openai_embeddings); }
static void post_response(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &openai_responses); }
static void post_ollama_chat(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &ollama_chat); }
static void post_ollama_text(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &ollama_generate); }
static void post_ollama_embed(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &ollama_embed); }
static void post_ollama_vector(struct daemon *d, struct http_exchange *x) {
    gateway_generate(d, x, &ollama_embeddings);
}

/* Anthropic's clients look for the id of a request under this name. */
static void post_messages(struct daemon *d, struct http_exchange *x) {
    http_set_header(x, "request-id", http_request_id(x));
    gateway_generate(d, x, &anthropic_messages);
}

static void post_count(struct daemon *d, struct http_exchange *x) {
    http_set_header(x, "request-id", http_request_id(x));
    gateway_generate(d, x, &anthropic_count);
}

static void post_generate(struct daemon *d, struct http_exchange *x) { gateway_generate(d, x, &cluster_generate); }
static void get_openai_models(struct daemon *d, struct http_exchange *x) { shelf_openai(d, x, ""); }

static void get_openai_model(struct daemon *d, struct http_exchange *x);
static void get_response(struct daemon *d, struct http_exchange *x);
static void delete_response(struct daemon *d, struct http_exchange *x);

/* ---- routes ---- */

/* Paths that begin with /v1 are answered without it as well; one that ends in a slash takes the rest as a name. */
static const struct route {
    const char *method, *path;
    void (*handle)(struct daemon *d, struct http_exchange *x);
} routes[] = {
    {"GET", "/v1/models", get_openai_models},
    {"GET", "/v1/models/", get_openai_model},
    {"POST", "/v1/chat/completions", post_chat},
    {"POST", "/v1/completions", post_completion},
    {"POST", "/v1/embeddings", post_embedding},
    {"POST", "/v1/responses", post_response},
    {"GET", "/v1/responses/", get_response},
    {"DELETE", "/v1/responses/", delete_response},
    {"POST", "/v1/messages", post_messages},
    {"POST", "/v1/messages/count_tokens", post_count},
    {"POST", "/api/chat", post_ollama_chat},
    {"POST", "/api/generate", post_ollama_text},
    {"POST", "/api/embed", post_ollama_embed},
    {"POST", "/api/embeddings", post_ollama_vector},
    {"GET", "/api/tags", ollama_tags},
    {"GET", "/api/ps", ollama_ps},
    {"GET", "/api/version", ollama_version},
    {"POST", "/api/show", ollama_show},
    {"POST", "/api/pull", ollama_get},
    {"DELETE", "/api/delete", ollama_delete},
    {"POST", "/api/copy", ollama_copy},
    {"GET", "/caravan/v1/nodes", get_nodes},
    {"GET", "/caravan/v1/links", get_links},
    {"GET", "/caravan/v1/plan", requests_plan},
    {"POST", "/caravan/v1/plan", requests_plan},
    {"POST", "/caravan/v1/load", requests_load},
    {"POST", "/caravan/v1/unload", requests_unload},
    {"GET", "/caravan/v1/instances", get_instances},
    {"GET", "/caravan/v1/downloads", downloads_get},
    {"POST", "/caravan/v1/downloads", downloads_start},
    {"POST", "/caravan/v1/downloads/pause", downloads_pause},
    {"POST", "/caravan/v1/downloads/check", downloads_check},
    {"POST", "/caravan/v1/downloads/cancel", downloads_cancel},
    {"GET", "/caravan/v1/events", events_open},
    {"GET", "/caravan/v1/activity", get_activity},
    {"GET", "/caravan/v1/code", reply_code},
    {"POST", "/caravan/v1/code/new", post_code_new},
    {"POST", "/caravan/v1/join", post_join},
    {"POST", "/caravan/v1/leave", post_leave},
    {"GET", "/caravan/v1/catalog", offers_list},
    {"GET", "/caravan/v1/models", shelf_list},
    {"GET", "/caravan/v1/models/show", shelf_show},
    {"POST", "/caravan/v1/models/rm", shelf_remove},
    {"POST", "/caravan/v1/models/prune", shelf_prune},
    {"GET", "/caravan/v1/folders", shelf_folders},
    {"POST", "/caravan/v1/folders", shelf_add_folder},
    {"POST", "/caravan/v1/folders/rm", shelf_drop_folder},
    {"POST", "/caravan/v1/generate", post_generate},
    {"POST", "/caravan/v1/logits", gateway_logits},
    {"POST", "/caravan/v1/bench", gateway_bench},
    {"GET", "/metrics", get_metrics},
    {"GET", "/", get_page},
    {"GET", "/page/", get_page},
    {"GET", "/openapi.json", get_openapi},
};

/* Where the name begins in a path that holds one; the path's end in others; NULL: another path. */
static const char *match_path(const char *route, const char *path) {
    size_t len = strlen(route);
    if (strncmp(path, route, len) != 0) return NULL;
    bool takes_name = len > 1 && route[len - 1] == '/';
    return takes_name == (path[len] != '\0') ? path + len : NULL;
}

static const char *match(const struct route *route, const char *path) {
    const char *rest = match_path(route->path, path);
    return rest || strncmp(route->path, "/v1/", 4) != 0 ? rest : match_path(route->path + 3, path);
}

/* The name at the end of a path that this handler takes. */
static const char *name_in(struct http_exchange *x, void (*handle)(struct daemon *d, struct http_exchange *x)) {
    const char *name = NULL;
    for (size_t i = 0; name == NULL; i++)
        if (routes[i].handle == handle) name = match(&routes[i], http_path(x));
    return name;
}

static void get_openai_model(struct daemon *d, struct http_exchange *x) {
    shelf_openai(d, x, name_in(x, get_openai_model));
}

static void reply_status(struct http_exchange *x, int status, const char *code, const char *message);

static void get_response(struct daemon *d, struct http_exchange *x) {
    const struct turn *turn = turns_find(&d->turns, name_in(x, get_response));
    if (turn)
        http_reply(x, 200, "application/json", turn->response, strlen(turn->response));
    else
        reply_status(x, 404, "not_found", "this node has no response of that id (any more)");
}

static void delete_response(struct daemon *d, struct http_exchange *x) {
    const char *id = name_in(x, delete_response);
    if (turns_forget(&d->turns, id))
        web_reply(x, 200, json_pack("{s:o, s:s, s:b}", "id", write_string(id), "object", "response", "deleted", 1));
    else
        reply_status(x, 404, "not_found", "this node has no response of that id (any more)");
}

static bool begins(const char *path, const char *with) { return strncmp(path, with, strlen(with)) == 0; }

/* How errors are written at a path. */
static void (*error_writer_of(const char *path))(const struct api_error *e, struct text *out) {
    if (begins(path, "/caravan/")) return cluster_write_error;
    if (begins(path, "/api/")) return ollama_write_error;
    if (begins(path, "/v1/messages") || begins(path, "/messages")) return anthropic_write_error;
    return openai_write_error;
}

/* An error in the words of the path's dialect, as text. */
static void error_text_of(const char *path, int status, const char *code, const char *message, struct text *out) {
    struct api_error e;
    const char *type = status == 401   ? "authentication_error"
                       : status == 403 ? "permission_error"
                       : status >= 500 ? "server_error"
                                       : "invalid_request_error";
    api_error_set(&e, status, type, code, "", "%s", message);
    error_writer_of(path)(&e, out);
}

static void reply_status(struct http_exchange *x, int status, const char *code, const char *message) {
    struct text out = {0};
    error_text_of(http_path(x), status, code, message, &out);
    http_reply(x, status, "application/json", text_str(&out), out.len);
    text_deinit(&out);
}

static bool takes(const struct route *route, const char *method) {
    bool head = strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0;
    return head || strcmp(route->method, method) == 0;
}

static void dispatch(struct daemon *d, struct http_exchange *x) {
    struct text allowed = {0};
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (match(&routes[i], http_path(x)) == NULL) continue;
        if (takes(&routes[i], http_method(x))) {
            text_deinit(&allowed);
            routes[i].handle(d, x);
            return;
        }
        if (allowed.len > 0) text_add_str(&allowed, ", ");
        text_add_str(&allowed, strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
    }
    if (allowed.len == 0) {
        reply_status(x, 404, "not_found", "there is nothing at this path: /openapi.json lists them");
    } else {
        char message[96];
        snprintf(message, sizeof message, "this path takes %s", text_str(&allowed));
        http_set_header(x, "Allow", text_str(&allowed));
        reply_status(x, 405, "method_not_allowed", message);
    }
    text_deinit(&allowed);
}

struct arrival {
    struct letter letter;
    struct daemon *daemon;
    struct http_exchange *x;
};

static void refuse_new(struct http_exchange *x) {
    http_set_header(x, "Retry-After", "1");
    reply_status(x, 503, "shutting_down", "the node stops");
}

static void deliver_arrival(struct letter *letter) {
    struct arrival *a = (struct arrival *)letter;
    if (a->daemon->stopping || a->daemon->draining)
        refuse_new(a->x);
    else
        dispatch(a->daemon, a->x);
    free(a);
}

/* Server thread: hand over, nothing else. */
static void on_request(void *context, struct http_exchange *x) {
    struct daemon *d = context;
    struct arrival *a = calloc(1, sizeof *a);
    if (a == NULL) {
        http_reply(x, 503, "application/json", "{}", 2);
        return;
    }
    *a = (struct arrival){.letter.deliver = deliver_arrival, .daemon = d, .x = x};
    mailbox_post(&d->mailbox, &a->letter);
}

/* Keys may be added and removed while the node runs: the file is read for each request that shows one. */
static bool check_key(void *context, const char *key, size_t len) {
    struct daemon *d = context;
    struct keys *keys = malloc(sizeof *keys);
    bool good = keys && keys_load(keys, d->home.path, NULL) == 0 && keys_check(keys, key, len);
    free(keys);
    return good;
}

static void error_body(void *context, const char *path, int status, const char *message, char *body, size_t bytes) {
    struct text out = {0};
    error_text_of(path, status, status == 401 ? "invalid_api_key" : NULL, message, &out);
    snprintf(body, bytes, "%s", text_str(&out));
    text_deinit(&out);
}

static bool is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0) return true;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static void write_account(void *context, const struct http_account *account) {
    const struct daemon *d = context;
    access_log_write(d->access_log, account);
}

int web_open(struct daemon *d, struct error *error) {
    const char *host = d->options.host ? d->options.host : "127.0.0.1";
    char socket_path[HOME_PATH_BYTES];
    struct keys *keys = calloc(1, sizeof *keys);
    int rc = keys ? keys_load(keys, d->home.path, error) : ERR_NOMEM;
    bool any_key = keys && keys->count > 0;
    free(keys);
    if (rc) return rc;
    if (!is_loopback(host) && !any_key)
        return error_set(
            error, ERR_DENIED,
            "refusing to serve the API on %s without an API key: anyone on that network could use it. Make "
            "one with `caravan key add`, or bind to 127.0.0.1",
            host);
    rc = home_file(&d->home, "run/socket", socket_path, sizeof socket_path, error);
    if (rc == 0 && d->options.access_log) rc = access_log_open(d->options.access_log, &d->access_log, error);
    if (rc) return rc;
    struct http_options options = {
        .host = host,
        .port = (uint16_t)d->options.port,
        .socket_path = socket_path,
        .certificate = d->options.tls_cert,
        .certificate_key = d->options.tls_key,
        .done = d->options.access_log ? write_account : NULL,
        .hosts = d->options.allow_hosts,
        .own_name = !is_loopback(host),
        .origins = d->options.allow_origins,
        .require_key = d->options.require_key || !is_loopback(host),
        .is_open = page_is_open,
        .check_key = check_key,
        .handle = on_request,
        .error_body = error_body,
        .context = d,
        .log = &d->log,
    };
    rc = http_open(&d->http, &options, error);
    if (rc) return rc;
    snprintf(d->url, sizeof d->url, strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u",
             d->options.tls_cert ? "https" : "http", host, http_port(d->http));
    return 0;
}

void web_close(struct daemon *d) {
    if (d->http) http_close(d->http);
    d->http = NULL;
}
