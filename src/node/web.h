/* HTTP paths to what the daemon can do. Requests arrive on the server's thread and are answered on the loop. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "net/http/http.h"

struct daemon;

/* Open the API's sockets. ERR_DENIED: a bind beyond loopback needs a key. */
int web_open(struct daemon *d, struct error *error);
void web_close(struct daemon *d);

/* The body as a JSON object; NULL with the reason. New reference. */
json_t *web_body(struct http_exchange *x, struct error *error);
/* {"error": {"message", "code"}} */
json_t *web_error(int code, const char *message);
/* The HTTP status of an ERR_ code. */
int web_status(int code);
/* Answer with JSON (taken). */
void web_reply(struct http_exchange *x, int status, json_t *body);
/* The nodes of the cluster, as CLI.md has them. New reference. */
json_t *web_nodes(struct daemon *d);
