/* Models on their way to this node, over HTTP: listed, begun, paused, cancelled; and told to whoever waits for them.
 * Loop thread only. */
#pragma once
#include <jansson.h>

#include "base/error.h"
#include "net/http/http.h"

struct daemon;

/* Opens the daemon's stock. */
int downloads_open(struct daemon *d, struct error *error);

/* Who is there may have changed: the stock hears it. */
void downloads_peers(struct daemon *d);

/* [{"model","state","bytes_total","bytes_done","bytes_fetched","bytes_from_peers","bytes_per_s","eta_s",
 * "connections","error"}]. New reference. */
json_t *downloads_list(struct daemon *d);

void downloads_shut(struct daemon *d); /* nobody waits for a plan any more */

/* Begin to pull a model, or go on: alone, all of it; in a cluster, as it plans. */
int downloads_pull(struct daemon *d, const char *name, struct error *error);

/* Each takes the exchange and answers it; a body is {"model"}. */
void downloads_get(struct daemon *d, struct http_exchange *x);
void downloads_start(struct daemon *d, struct http_exchange *x);
void downloads_pause(struct daemon *d, struct http_exchange *x);
void downloads_cancel(struct daemon *d, struct http_exchange *x);
void downloads_check(struct daemon *d, struct http_exchange *x);
