/* Fetching over HTTP: an address, a range of bytes, somebody who takes them. Knows nothing of models.
 *
 * Follows redirects to http and https only, and from a public address never to a private one. A token goes to the host
 * of the request alone and is dropped when a redirect leads elsewhere. Proxies as the environment says (http_proxy,
 * https_proxy, no_proxy). A connection that brings nothing for some seconds has failed. Connections are kept for
 * the next request. One thread drives all requests with fetcher_turn; callbacks come on it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { FETCH_STALL_S = 10, FETCH_CONNECT_MS = 15000 };

struct fetcher;
struct fetch;

struct fetch_reply {
    int status;             /* of HTTP; 0: no answer came */
    uint64_t begin, total;  /* of Content-Range; total 0: not told */
    uint32_t retry_after_s; /* 0: not told */
    char hash[68];          /* X-Linked-Etag of any hop, without quotes, if it is a SHA-256; else "" */
    char etag[80];          /* of the last hop, as it came; "": none, or too long */
    char next[2048];        /* address of the next page (Link); "": none */
};

struct fetch_request {
    const char *url;
    const char *token; /* NULL: none */
    uint64_t offset;
    uint64_t len; /* 0: all that is there, without asking for a range */
    /* Bytes of a good answer, in order; never more than len if that is not 0. Returns 0 to go on, or an ERR_ code that
     * ends the request. */
    int (*data)(void *context, const struct fetch_reply *reply, const void *bytes, size_t len);
    /* Exactly once, last, unless the fetch was cancelled. code 0: everything came. ERR_DENIED 401, 403; ERR_NOT_FOUND
     * 404, 410; ERR_BUSY 429, 5xx; ERR_TIMEOUT stalled; ERR_CLOSED the connection failed or ended early;
     * ERR_UNSUPPORTED no ranges; ERR_INVALID a bad address or a redirect that is not followed; what data() returned. */
    void (*done)(void *context, const struct fetch_reply *reply, const struct error *error);
    void *context;
};

/* `agent`: what the program calls itself. */
int fetcher_new(struct fetcher **out, const char *agent, struct error *error);
void fetcher_free(struct fetcher *f); /* cancels everything; NULL is fine */

/* The request's strings are copied. */
int fetcher_start(struct fetcher *f, struct fetch **out, const struct fetch_request *request, struct error *error);
void fetch_cancel(struct fetch *fetch);

/* Another descriptor that a turn may end for. */
struct fetch_wait {
    int fd;
    bool read, write;
};
enum { FETCH_WAITS_MAX = 128 };
/* Wait for at most timeout_ms, or until something comes of `waits`, and do what can be done. */
void fetcher_turn(struct fetcher *f, const struct fetch_wait *waits, size_t count, int timeout_ms);
/* Let fetcher_turn return now. Any thread. */
void fetcher_wake(struct fetcher *f);

/* What a Content-Range says: "bytes 5-9/100". False for anything else. total 0: "*". */
bool fetch_content_range(const char *text, uint64_t *begin, uint64_t *end, uint64_t *total);
