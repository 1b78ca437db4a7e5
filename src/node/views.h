/* What the node shows of the cluster, as JSON: the values that docs/user/command-line.md names. Loop thread; results
 * are new references. */
#pragma once
#include <jansson.h>

#include "cluster/node.h"
#include "node/metrics.h"

/* "0000000000000abc": ids are hexadecimal texts outside the program. */
enum { VIEW_ID_BYTES = 17 };
const char *view_id(uint64_t id, char out[VIEW_ID_BYTES]);

/* How a model is called that was given as a path: by its file's name, recipe included. */
void view_model_name(const char *model, char out[WIRE_MODEL_NAME_BYTES]);
/* Does the word mean the loaded model of that name? A word without a recipe means it by any. */
bool view_is_model(const char *loaded, const char *word);

/* In hexadecimal. */
enum { VIEW_FINGERPRINT_BYTES = 2 * WIRE_FINGERPRINT_BYTES + 1 };
const char *view_fingerprint(const uint8_t fingerprint[WIRE_FINGERPRINT_BYTES], char out[VIEW_FINGERPRINT_BYTES]);

/* `own`: where this node itself is reached. */
json_t *view_nodes(const struct node *n, const struct wire_address *own);
json_t *view_links(const struct node *n); /* [{"from","to","rtt_us","bandwidth"}] */
json_t *view_instance(const struct node_instance_view *v);
json_t *view_instances(const struct node *n);
/* What this node does, what its host's instruments and those of all nodes show; beacon_us: when it last heard another's
 * beacon, 0: never. */
json_t *view_activity(const struct node *n, const struct metrics *m, uint64_t beacon_us);
json_t *view_plan(const struct placement_result *result);
