/* Requests to the cluster itself - plan, load, unload, headers - from an HTTP exchange or a waiting job to the node's
 * reply. Loop thread only. */
#pragma once
#include <stdint.h>

#include "cluster/node.h"
#include "net/http/http.h"

struct daemon;

/* Each takes the exchange and answers it. Bodies as the verbs' flags: {"model", "nodes", "split", "context",
 * "parallel", "for"}; a plan may be asked for by GET, with the same words in the query. */
void requests_plan(struct daemon *d, struct http_exchange *x);
void requests_load(struct daemon *d, struct http_exchange *x);
void requests_measure(struct daemon *d, struct http_exchange *x); /* everything anew, then the nodes */
void requests_unload(struct daemon *d, struct http_exchange *x); /* {"model": name or id} */

/* What the node itself asks for: a load (local: the word may be a path; context and parallel 0: the default; no more
 * context than the model has), a stop. Returns a number; `done` is called later, once, with code 0 or why not. */
typedef void requests_done(struct daemon *d, uint64_t request, int code, uint64_t instance, const char *text);
uint64_t requests_load_model(struct daemon *d, const char *model, bool local, uint32_t context, uint32_t parallel,
                             requests_done *done);
uint64_t requests_stop_instance(struct daemon *d, uint64_t instance, requests_done *done);

/* Where a model whose headers are here would be held. `planned` is called later, once; NULL: nowhere. */
typedef void requests_planned(struct daemon *d, const char *name, const struct wire_plan *plan);
void requests_plan_pull(struct daemon *d, const char *name, requests_planned *planned);

/* A number for a header that a gateway's job waits for; it is told by gateway_card. */
uint64_t requests_add_header(struct daemon *d, uint64_t job);
void requests_header_piece(struct daemon *d, const struct node_effect *e);
void requests_reply(struct daemon *d, const struct node_effect *e);

/* What other nodes ask of this one. */
void requests_lookup(struct daemon *d, const struct node_effect *e);
void requests_read_header(struct daemon *d, const struct node_effect *e);
/* What the node itself must know of a model: NODE_MODEL_MEASURED. */
void requests_describe(struct daemon *d, const struct node_effect *e);

/* The stock has news: loads that wait for a model to come look again. */
void requests_pulled(struct daemon *d);

/* Answer everything that waits. */
void requests_shut(struct daemon *d, const char *why);
