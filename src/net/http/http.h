/* The HTTP server: requests in, replies out, for people's programs and for this machine's command line.
 *
 * libmicrohttpd on its own polling thread, over TCP and over a UNIX socket (mode 0600: whoever can open it is the
 * user). The server checks what every path has in common before a handler sees a request: Host and Origin (DNS
 * rebinding), the API key, sizes of headers and body, and how long they take. It knows no paths but /health, and
 * answers OPTIONS. A client that leaves is noticed at once, also while its request waits. Handlers run on the server's
 * thread and must not block: they hand the exchange to another thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

enum {
    HTTP_BODY_BYTES_MAX = 32 << 20,
    HTTP_CONNECTIONS_MAX = 4096,      /* fewer where the process may open fewer than twice as many files */
    HTTP_STREAM_QUEUED_MAX = 1 << 20, /* bytes that a slow reader may leave unread before it is dropped */
    HTTP_REQUEST_ID_BYTES = 72,
};

struct http_server;
struct http_exchange; /* one request and its reply */

struct http_field {
    const char *name, *value;
};

/* What became of a request, for a log. Views live until the call returns. */
struct http_account {
    const char *id, *method, *path, *remote; /* remote: an address, or "local" */
    int status;                              /* 499: the client left before there was one */
    uint64_t bytes, took_us;                 /* of the reply's body; from the request's headers to the reply's end */
    const char *model;                       /* of http_note; "": none */
    uint32_t prompt_tokens, completion_tokens;
};

struct http_options {
    const char *host;           /* address to bind; NULL: 127.0.0.1 */
    uint16_t port;              /* 0: any free one */
    const char *socket_path;    /* UNIX socket; NULL: none */
    const char *certificate, *certificate_key; /* PEM files: TCP speaks TLS; NULL: it does not */
    const char *const *hosts;   /* more names that Host may carry, NULL-terminated; may be NULL */
    bool own_name;              /* Host may carry this machine's name: for a bind beyond loopback */
    const char *const *origins; /* more origins that Origin may carry ("*": any); likewise */
    unsigned headers_s, body_s; /* how long a client may take to send its headers, its body; 0: 60 and 120 */
    bool require_key;           /* every path but /health needs a key, except on the UNIX socket */
    /* May who shows no key see this path all the same (http_keyless then tells)? NULL: none. Server thread. */
    bool (*is_open)(const char *path);
    /* Is this a good key? Server thread. */
    bool (*check_key)(void *context, const char *key, size_t len);
    /* A request: the handler answers it now or later, exactly once. Server thread. */
    void (*handle)(void *context, struct http_exchange *x);
    /* Body of an error that the server itself answers (401, 403, 413 ...), in the dialect of the path: fills `body` (a
     * JSON text). Server thread. */
    void (*error_body)(void *context, const char *path, int status, const char *message, char *body, size_t body_bytes);
    /* A request and its reply are over. May be NULL. Server thread. */
    void (*done)(void *context, const struct http_account *account);
    void *context;
    const struct log *log;
};

/* Listens when it returns 0. ERR_BUSY: the port is taken; ERR_INVALID: no such address; ERR_IO. */
int http_open(struct http_server **out, const struct http_options *options, struct error *error);
/* Stop taking requests, end what is under way, join the thread. Every exchange must have been ended before. */
void http_close(struct http_server *s);
uint16_t http_port(const struct http_server *s);

/* ---- the request; views live until the exchange is ended; any thread ---- */
const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);                     /* decoded, without the query */
const char *http_query(const struct http_exchange *x, const char *name);  /* NULL: absent */
const char *http_header(const struct http_exchange *x, const char *name); /* NULL: absent */
const char *http_body(const struct http_exchange *x, size_t *len);        /* "" when there is none */
bool http_local(const struct http_exchange *x);                           /* came over the UNIX socket */
bool http_here(const struct http_exchange *x);                            /* from this machine, socket or loopback */
bool http_keyless(const struct http_exchange *x);                         /* a key is needed, but for this path */
const char *http_request_id(const struct http_exchange *x);               /* as in x-request-id */
/* Tells clients apart by the keys they show; 0: it shows none. */
uint64_t http_client(const struct http_exchange *x);
/* For the account: what the request used. Before the reply ends. */
void http_note(struct http_exchange *x, const char *model, uint32_t prompt_tokens, uint32_t completion_tokens);

/* ---- the reply; any thread, one at a time ---- */

/* Whole reply; ends the exchange, which must not be touched afterwards. The body is copied. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len);
/* The same with all of the reply's own headers: no Content-Type and no Cache-Control comes of itself. */
void http_reply_with(struct http_exchange *x, int status, const struct http_field *fields, size_t count,
                     const void *body, size_t len);
/* Extra header of the reply, before it begins ("Allow", "Retry-After"). Copied. */
void http_set_header(struct http_exchange *x, const char *name, const char *value);

/* A reply in pieces (200): begin, write any number of times, end. write returns 0, or ERR_CLOSED when the client has
 * gone or was dropped because it does not read; end must be called all the same, and ends the exchange. */
void http_stream_begin(struct http_exchange *x, const char *content_type);
int http_stream_write(struct http_exchange *x, const void *data, size_t len);
void http_stream_end(struct http_exchange *x);

/* Call `closed(context)` once, on a thread of the server, if the client leaves before the exchange is ended (at once if
 * it has left already). Not called after the exchange was ended: ending waits for a call that is under way. NULL
 * takes it back. */
void http_on_close(struct http_exchange *x, void (*closed)(void *context), void *context);
