#include "node/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/write.h"
#include "base/hex.h"
#include "model/recipe.h"
#include "net/address.h"
#include "os/clock.h"
#include "os/readings.h"

const char *view_fingerprint(const uint8_t fingerprint[WIRE_FINGERPRINT_BYTES], char out[VIEW_FINGERPRINT_BYTES]) {
    return hex_write(fingerprint, WIRE_FINGERPRINT_BYTES, out);
}

const char *view_id(uint64_t id, char out[VIEW_ID_BYTES]) {
    snprintf(out, VIEW_ID_BYTES, "%016" PRIx64, id);
    return out;
}

void view_model_name(const char *model, char out[WIRE_MODEL_NAME_BYTES]) {
    const char *slash = model[0] == '/' ? strrchr(model, '/') : NULL, *name = slash ? slash + 1 : model;
    const char *recipe = recipe_suffix(name);
    int len = (int)(recipe - name);
    if (slash && len > 5 && strncasecmp(recipe - 5, ".gguf", 5) == 0) len -= 5;
    snprintf(out, WIRE_MODEL_NAME_BYTES, "%.*s%s", len, name, recipe);
}

bool view_is_model(const char *loaded, const char *word) {
    char name[WIRE_MODEL_NAME_BYTES];
    view_model_name(word, name);
    if (strcasecmp(loaded, name) == 0) return true;
    size_t len = (size_t)(recipe_suffix(loaded) - loaded);
    return strlen(name) == len && strncasecmp(loaded, name, len) == 0;
}

static json_t *id_json(uint64_t id) {
    char text[VIEW_ID_BYTES];
    return json_string(view_id(id, text));
}

/* A number that is not known yet is null, never a guess. */
static json_t *known(uint64_t value) { return value ? json_integer((json_int_t)value) : json_null(); }

static json_t *bytes_json(uint64_t value) { return json_integer((json_int_t)value); }

static json_t *rate_json(uint64_t per_ks) { return per_ks ? json_real((double)per_ks / 1000) : json_null(); }

static json_t *address_json(const struct wire_address *a) {
    char text[ADDRESS_TEXT_BYTES];
    if (a->port == 0) return json_null();
    address_format(a, text);
    return json_string(text);
}

static const char *peer_state(enum node_peer_state state) {
    switch (state) {
    case NODE_PEER_UP: return "up";
    case NODE_PEER_LOST: return "lost";
    case NODE_PEER_INCOMPATIBLE: return "incompatible";
    }
    return "lost";
}

static json_t *devices_json(const struct wire_facts *f) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < f->device_count; i++) {
        const struct wire_device *d = &f->devices[i];
        char id[16];
        snprintf(id, sizeof id, "%s%u", d->kind == WIRE_GPU ? "gpu" : "cpu", i);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "id", id, "kind", d->kind == WIRE_GPU ? "gpu" : "cpu",
                            "memory_total", bytes_json(d->memory_total), "memory_free", bytes_json(d->memory_free),
                            "read_bandwidth", known(d->read_bandwidth), "matmul_rate", known(d->matmul_rate)));
    }
    return list;
}

static json_t *links_json(const struct wire_facts *f) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < f->link_count; i++)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "to", id_json(f->links[i].to), "rtt_us",
                                              known(f->links[i].rtt_us), "bandwidth", known(f->links[i].bandwidth)));
    return list;
}

static json_t *peer_json(const struct node_peer_view *p) {
    const struct wire_facts *f = p->facts;
    return json_pack("{s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "id", id_json(p->id),
                     "name", write_string(p->name), "self", p->self, "state", peer_state(p->state), "reason",
                     write_string(p->reason), "address", address_json(&p->address), "memory_total",
                     known(f->memory_total), "memory_free", f->memory_total ? bytes_json(f->memory_free) : json_null(),
                     "threads", known(f->threads), "isa", f->isa, "read_bandwidth", known(f->read_bandwidth),
                     "matmul_rate", known(f->matmul_rate), "devices", devices_json(f), "links", links_json(f));
}

json_t *view_links(const struct node *n) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(n, peers, NODE_PEERS_MAX + 1);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *links = links_json(peers[i].facts), *link;
        size_t k;
        json_array_foreach(links, k, link) {
            json_object_set_new(link, "from", id_json(peers[i].id));
            json_array_append(list, link);
        }
        json_decref(links);
    }
    return list;
}

json_t *view_nodes(const struct node *n, const struct wire_address *own) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(n, peers, NODE_PEERS_MAX + 1);
    peers[0].address = *own;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, peer_json(&peers[i]));
    return list;
}

static json_t *member_json(const struct wire_member *m) {
    char device[16];
    snprintf(device, sizeof device, "cpu%u", m->device);
    return json_pack("{s:o, s:s, s:f, s:o, s:o, s:o}", "node", id_json(m->node), "device", device, "share",
                     (double)m->share / WIRE_SHARE_ONE, "weights_bytes", bytes_json(m->weights_bytes), "kv_bytes",
                     bytes_json(m->kv_bytes), "scratch_bytes", bytes_json(m->scratch_bytes));
}

static json_t *stages_json(const struct wire_plan *plan) {
    json_t *list = json_array();
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct wire_stage *stage = &plan->stages[s];
        json_t *members = json_array();
        for (uint32_t i = 0; i < stage->member_count; i++)
            json_array_append_new(members, member_json(&plan->members[stage->member_begin + i]));
        json_array_append_new(
            list, json_pack("{s:[i,i], s:o}", "layers", stage->layer_begin, stage->layer_end, "members", members));
    }
    return list;
}

static const char *instance_state(enum wire_state state) {
    switch (state) {
    case WIRE_LOADING: return "loading";
    case WIRE_READY: return "ready";
    case WIRE_RECOVERING: return "recovering";
    case WIRE_FAILED:
    case WIRE_GONE: break;
    }
    return "failed";
}

json_t *view_instance(const struct node_instance_view *v) {
    return json_pack("{s:o, s:o, s:s, s:o, s:i, s:i, s:i, s:o, s:I, s:o, s:I, s:I}", "id", id_json(v->id), "model",
                     write_string(v->plan->model), "state", instance_state(v->state), "reason", write_string(v->reason),
                     "context", v->plan->context, "parallel", v->plan->parallel, "replicas", v->plan->replicas,
                     "stages", stages_json(v->plan), "epoch", (json_int_t)v->epoch.number, "coordinator",
                     id_json(v->coordinator), "bytes_done",
                     (json_int_t)v->bytes_done, "bytes_total", (json_int_t)v->bytes_total);
}

json_t *view_instances(const struct node *n) {
    struct node_instance_view instances[NODE_INSTANCES_MAX];
    size_t count = node_instances(n, instances, NODE_INSTANCES_MAX);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, view_instance(&instances[i]));
    return list;
}

/* Of a plan that was made now; one that runs already says no more about it. */
static json_t *ms_json(const struct placement_result *result, uint64_t ns) {
    return result->compute_ns ? json_real((double)ns / 1e6) : json_null();
}

json_t *view_plan(const struct placement_result *result) {
    const struct wire_plan *plan = &result->plan;
    json_t *left_out = json_array();
    for (uint32_t i = 0; i < result->left_out_count; i++)
        json_array_append_new(left_out, json_pack("{s:o, s:o}", "node", id_json(result->left_out[i].node), "reason",
                                                  write_string(result->left_out[i].reason)));
    json_t *predicted =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "decode_tokens_per_s", rate_json(plan->decode_tokens_per_ks),
                  "prefill_tokens_per_s", rate_json(plan->prefill_tokens_per_ks), "together_tokens_per_s",
                  rate_json(result->together_tokens_per_ks), "compute_ms", ms_json(result, result->compute_ns),
                  "exchange_ms", ms_json(result, result->exchange_ns), "hop_ms", ms_json(result, result->hop_ns));
    return json_pack("{s:o, s:b, s:o, s:o, s:i, s:i, s:i, s:o, s:o, s:o}", "model", write_string(plan->model), "fits",
                     result->fits, "reason", write_string(result->reason), "choice", write_string(result->choice),
                     "context", plan->context, "parallel", plan->parallel, "replicas", plan->replicas, "stages",
                     stages_json(plan), "left_out", left_out, "predicted", predicted);
}

static json_t *real_or_null(bool is_known, double value) { return is_known ? json_real(value) : json_null(); }

static json_t *thousandths(uint32_t value) { return value ? json_real(value / 1000.0) : json_null(); }

static json_t *instruments_json(const struct node *n) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(n, peers, NODE_PEERS_MAX + 1);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct wire_readings *r = &peers[i].readings;
        if (peers[i].state != NODE_PEER_UP || (r->temperature_mc == 0 && r->power_mw == 0)) continue;
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "node", id_json(peers[i].id), "temperature_c",
                                              thousandths(r->temperature_mc), "power_w", thousandths(r->power_mw)));
    }
    return list;
}

json_t *view_activity(const struct node *n, const struct metrics *m, uint64_t beacon_us) {
    struct readings r;
    json_t *models = json_array();
    for (uint32_t i = 0; i < m->count; i++) {
        const struct metrics_model *of = &m->models[i];
        json_array_append_new(models, json_pack("{s:o, s:i, s:i, s:I, s:I}", "model", write_string(of->name), "waiting",
                                                of->waiting, "running", of->running, "prompt_tokens",
                                                (json_int_t)of->prompt_tokens, "generated_tokens",
                                                (json_int_t)of->generated_tokens));
    }
    readings_take("", &r);
    json_t *network = r.network_known ? json_pack("{s:I, s:I}", "sent_bytes", (json_int_t)r.sent_bytes,
                                                  "received_bytes", (json_int_t)r.received_bytes)
                                      : json_null();
    double beacon_s = (double)(clock_us() - beacon_us) / 1e6;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "models", models, "network", network, "temperature_c",
                     real_or_null(r.temperature_known, r.temperature_c), "power_w",
                     real_or_null(r.power_known, r.power_w), "instruments", instruments_json(n), "beacon_s",
                     real_or_null(beacon_us > 0, beacon_s));
}
