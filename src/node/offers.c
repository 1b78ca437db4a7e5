#include "node/offers.h"

#include <string.h>

#include "cluster/placement.h"
#include "node/daemon_private.h"
#include "node/errand.h"
#include "node/views.h"
#include "store/catalog.h"

static bool is_here(const json_t *models, const char *name) {
    size_t i;
    const json_t *model;
    json_array_foreach(models, i, model) {
        const char *here = json_string_value(json_object_get(model, "name"));
        if (here && strcmp(here, name) == 0) return true;
    }
    return false;
}

static json_t *offer_json(const struct catalog_entry *e, bool here, const struct node_peer_view *peers, size_t count) {
    uint64_t needs = catalog_needs(e, PLACEMENT_CONTEXT_DEFAULT, PLACEMENT_PARALLEL_DEFAULT), together = 0;
    json_t *fits = json_array();
    for (size_t i = 0; i < count; i++) {
        char id[VIEW_ID_BYTES];
        if (peers[i].state != NODE_PEER_UP) continue;
        together += peers[i].facts->memory_total;
        if (peers[i].facts->memory_total >= needs) json_array_append_new(fits, json_string(view_id(peers[i].id, id)));
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:i, s:s, s:s, s:b, s:I, s:o, s:b}", "name", e->name, "hub", e->hub,
                     "size_bytes", (json_int_t)e->bytes, "parameters", (json_int_t)e->parameters, "context_length",
                     (int)e->context, "licence", e->licence, "summary", e->summary, "here", here, "needs_bytes",
                     (json_int_t)needs, "fits", fits, "fits_cluster", together >= needs);
}

static void list_here(struct errand *e) { e->answer = library_list(e->daemon->library); }

static void list_offers(struct errand *e) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(e->daemon->node, peers, NODE_PEERS_MAX + 1);
    json_t *here = e->answer;
    e->answer = json_array();
    for (const struct catalog_entry *at = catalog_table; at->name; at++)
        json_array_append_new(e->answer, offer_json(at, is_here(here, at->name), peers, count));
    json_decref(here);
}

void offers_list(struct daemon *d, struct http_exchange *x) { errand_go(d, x, NULL, list_here, list_offers); }
