#include "node/requests.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pages.h"
#include "engine/source.h"
#include "model/recipe.h"
#include "node/daemon_private.h"
#include "node/parcel.h"
#include "node/stay.h"
#include "node/views.h"

enum { HEADER_PREFIX_BYTES = 8 }; /* a header travels behind the size of its file */

struct request {
    struct request *next;
    struct daemon *daemon;
    uint64_t id;
    struct http_exchange *x; /* NULL: for `done`, or a header for `job` */
    requests_done *done;
    requests_planned *planned;
    uint64_t job;
    bool measures;         /* all nodes, everything anew */
    bool plan_only, local; /* local: the name may be a path */
    bool pulling, pulled;  /* waits for the stock; has waited for it */
    uv_work_t work;
    json_t *body;
    struct placement_options options;
    bool has_options;
    struct text name;   /* of the model, as it was asked for or as it is already loaded */
    uint64_t bytes_max; /* what the cluster can hold of a model */
    uint64_t needs;     /* of the model that is to be loaded: bytes at least */
    struct card *card;
    uint8_t *header; /* as it arrives */
    uint64_t header_bytes, header_total;
    struct error error;
};

static struct request *add(struct daemon *d, struct http_exchange *x) {
    struct request *r = calloc(1, sizeof *r);
    assert(r != NULL);
    *r = (struct request){.next = d->requests, .daemon = d, .id = ++d->next_request, .x = x};
    d->requests = r;
    return r;
}

static struct request *find(struct daemon *d, uint64_t id) {
    for (struct request *r = d->requests; r; r = r->next)
        if (r->id == id) return r;
    return NULL;
}

static void drop(struct request *r) {
    for (struct request **at = &r->daemon->requests; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    json_decref(r->body);
    card_release(r->card);
    text_deinit(&r->name);
    free(r->header);
    free(r);
}

static void answer(struct request *r, int status, json_t *body) {
    if (r->x)
        web_reply(r->x, status, body);
    else
        json_decref(body);
    r->x = NULL;
    drop(r);
}

/* What the node itself has asked for is done. */
static void call_done(struct request *r, int code, uint64_t instance, const char *text) {
    struct daemon *d = r->daemon;
    requests_done *done = r->done;
    uint64_t id = r->id;
    char copy[ERROR_TEXT_BYTES];
    snprintf(copy, sizeof copy, "%s", text);
    drop(r);
    done(d, id, code, instance, copy);
}

static void call_planned(struct request *r, const struct wire_plan *plan) {
    struct daemon *d = r->daemon;
    requests_planned *planned = r->planned;
    char *name = strdup(text_str(&r->name));
    assert(name != NULL);
    drop(r);
    planned(d, name, plan);
    free(name);
}

static void refuse(struct request *r, const struct error *error) {
    if (r->planned)
        call_planned(r, NULL);
    else if (r->done)
        call_done(r, error->code, 0, error->text);
    else
        answer(r, web_status(error->code), web_error(error->code, error->text));
}

/* ---- plan and load: the model's numbers first, on the pool ---- */

static void fill_model(struct placement_model *out, const struct card *c, const char *name) {
    const struct model *m = &c->model;
    *out = (struct placement_model){.layer_count = m->params.layers,
                                    .context = m->params.context,
                                    .kv_bytes = model_kv_bytes(m, 2),
                                    .window_kv_bytes = pages_window_bytes(m, 2),
                                    .kv_page = KERN_PAGE,
                                    .window_positions = (uint64_t)pages_slots(m->params.window, UINT32_MAX) * KERN_PAGE,
                                    .hidden_bytes = (uint64_t)m->params.embd * sizeof(float),
                                    .logits_bytes = (uint64_t)m->params.vocab * sizeof(float)};
    snprintf(out->name, sizeof out->name, "%s", name);
    memcpy(out->fingerprint, c->fingerprint, sizeof out->fingerprint);
    struct slice_options options = {.sessions = 1, .context = m->params.context}; /* scratch grows with it */
    struct slice_size size, ends;
    for (uint32_t i = 0; i < m->params.layers; i++) {
        options.layer_begin = i;
        options.layer_end = i + 1;
        slice_measure(m, &options, &size);
        out->layer_bytes[i] = size.weights_bytes;
        out->has_window[i] = m->layers[i].window > 0;
    }
    options.layer_end = options.layer_begin;
    options.ends = true;
    slice_measure(m, &options, &ends);
    out->ends_bytes = ends.weights_bytes;
    out->head_bytes = m->output.bytes ? m->output.bytes : m->token_embd.bytes;
    out->scratch_bytes = size.scratch_bytes;
    out->ends_scratch_bytes = ends.scratch_bytes > size.scratch_bytes ? ends.scratch_bytes - size.scratch_bytes : 0;
    struct slice_cuts cuts;
    slice_measure_cuts(m, &cuts);
    out->cuts_max = cuts.members_max;
    out->cut_exchanges = cuts.exchanges;
    out->cut_exchange_bytes = cuts.exchange_bytes;
    out->cut_slack_bytes = cuts.layer_slack_bytes;
    out->cut_kv_bytes = out->kv_bytes * cuts.kv_heads_slack / m->params.kv_heads;
    out->cut_scratch_bytes = cuts.scratch_bytes > size.scratch_bytes ? cuts.scratch_bytes - size.scratch_bytes : 0;
    out->head_weights = (uint64_t)m->params.vocab * m->params.embd;
    struct model_work work = model_layers_work(m, 0, m->params.layers);
    out->layer_weights = work.madds / m->params.layers;
    out->layer_read_bytes = work.bytes / m->params.layers;
}

/* Weights and nothing else. */
static uint64_t least_bytes(const struct placement_model *m) {
    uint64_t bytes = m->ends_bytes;
    for (uint32_t i = 0; i < m->layer_count; i++) bytes += m->layer_bytes[i];
    return bytes;
}

static bool read_count(const json_t *body, const char *key, uint32_t max, uint32_t *out, struct error *error) {
    const json_t *value = json_object_get(body, key);
    if (value == NULL || json_is_null(value)) return true;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > max) {
        error_set(error, ERR_INVALID, "'%s' must be a whole number from 1 to %u", key, max);
        return false;
    }
    *out = (uint32_t)json_integer_value(value);
    return true;
}

static bool read_split(const json_t *body, uint8_t *out, struct error *error) {
    const char *split = json_string_value(json_object_get(body, "split"));
    if (split == NULL || strcmp(split, "auto") == 0)
        *out = WIRE_SPLIT_AUTO;
    else if (strcmp(split, "pipeline") == 0)
        *out = WIRE_SPLIT_PIPELINE;
    else if (strcmp(split, "tensor") == 0)
        *out = WIRE_SPLIT_TENSOR;
    else {
        error_set(error, ERR_INVALID, "'split' must be auto, pipeline or tensor");
        return false;
    }
    return true;
}

static bool read_aim(const json_t *body, uint8_t *out, struct error *error) {
    const json_t *value = json_object_get(body, "for");
    const char *aim = json_string_value(value);
    *out = aim && strcmp(aim, "throughput") == 0 ? WIRE_FOR_THROUGHPUT : WIRE_FOR_LATENCY;
    if (value == NULL || json_is_null(value) || (aim && (*out || strcmp(aim, "latency") == 0))) return true;
    error_set(error, ERR_INVALID, "'for' must be latency or throughput");
    return false;
}

/* "" when the body names no model. */
static const char *model_of(const struct request *r) {
    const char *name = json_string_value(json_object_get(r->body, "model"));
    return name ? name : "";
}

static int need_model(struct request *r) {
    return model_of(r)[0] ? 0 : error_set(&r->error, ERR_INVALID, "'model' must be a string");
}

/* {"name": weight, ...}; weights become whole numbers, the greatest SHARES_WEIGHT_MAX. */
static bool read_shares(const json_t *body, struct shares *out, struct error *error) {
    json_t *shares = json_object_get(body, "shares"), *weight;
    const char *name;
    double most = 0;
    if (shares == NULL || json_is_null(shares)) return true;
    json_object_foreach(shares, name, weight) most = fmax(most, json_number_value(weight));
    json_object_foreach(shares, name, weight) {
        double part = most > 0 && isfinite(most) ? json_number_value(weight) / most * SHARES_WEIGHT_MAX : 0;
        if (out->count == SHARES_MAX || strlen(name) >= WIRE_NAME_BYTES || !(part >= 1)) break;
        struct share *share = &out->items[out->count++];
        snprintf(share->name, sizeof share->name, "%s", name);
        share->weight = (uint32_t)part;
    }
    if (out->count > 0 && out->count == json_object_size(shares)) return true;
    error_set(error, ERR_INVALID, "'shares' must give up to %d nodes by name a weight above 0 each", SHARES_MAX);
    return false;
}

static int read_options(struct request *r) {
    static const char *const keys[] = {"nodes", "split", "context", "parallel", "shares", "for"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) r->has_options |= json_object_get(r->body, keys[i]) != NULL;
    bool good = read_count(r->body, "nodes", WIRE_STAGES_MAX, &r->options.nodes, &r->error) &&
                read_count(r->body, "context", 1 << 24, &r->options.context, &r->error) &&
                read_count(r->body, "parallel", 1024, &r->options.parallel, &r->error) &&
                read_split(r->body, &r->options.split, &r->error) && read_aim(r->body, &r->options.aim, &r->error) &&
                read_shares(r->body, &r->options.shares, &r->error);
    return good ? 0 : ERR_INVALID;
}

static bool has_id(const struct node_instance_view *view, const char *text) {
    char id[VIEW_ID_BYTES];
    return strcmp(view_id(view->id, id), text) == 0;
}

/* By name or id. False when no such model is loaded. */
static bool find_instance(struct daemon *d, const char *model, struct node_instance_view *out) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(d->node, views, NODE_INSTANCES_MAX);
    for (size_t i = 0; i < count; i++)
        if (has_id(&views[i], model) || view_is_model(views[i].plan->model, model)) {
            *out = views[i];
            return true;
        }
    return false;
}

/* A node without the model's file may still use what the others have loaded. */
static bool answer_loaded(struct request *r) {
    struct node_instance_view view;
    char id[VIEW_ID_BYTES];
    if (r->plan_only || r->has_options || r->error.code != ERR_NOT_FOUND) return false;
    if (!find_instance(r->daemon, model_of(r), &view) || view.state != WIRE_READY) return false;
    if (r->done)
        call_done(r, 0, view.id, "");
    else
        answer(r, 200, json_pack("{s:s}", "id", view_id(view.id, id)));
    return true;
}

static void on_pool_open(uv_work_t *work) {
    struct request *r = work->data;
    library_open(r->daemon->library, text_str(&r->name), r->local, r->bytes_max, &r->card, &r->error);
}

/* What the card's file was made of by the recipe that fits. */
static void name_model(const struct request *r, char out[WIRE_MODEL_NAME_BYTES]) {
    const char *asked = recipe_suffix(text_str(&r->name));
    view_model_name(text_str(&r->name), out);
    if (*asked) return;
    size_t len = strlen(out);
    snprintf(out + len, WIRE_MODEL_NAME_BYTES - len, "%s", recipe_suffix(r->card->model.path));
}

static const char *plain_name(const struct request *r, char out[SOURCE_PATH_BYTES]) {
    return source_place(text_str(&r->name), out);
}

/* A person who loads what is not here, and names where it can come from, gets it. */
static bool begin_pull(struct request *r) {
    char name[SOURCE_PATH_BYTES];
    bool missing = r->error.code == ERR_NOT_FOUND || r->error.code == ERR_AGAIN;
    if (r->x == NULL || r->plan_only || r->pulled || !missing || r->daemon->stopping) return false;
    r->pulling = r->pulled = stock_pull(r->daemon->stock, plain_name(r, name), false, NULL) == 0;
    return r->pulling;
}

static void on_opened(uv_work_t *work, int status) {
    struct request *r = work->data;
    struct daemon *d = r->daemon;
    r->work.data = NULL;
    if (d->stopping) error_set(&r->error, ERR_CLOSED, "the node stops");
    if (d->stopping || r->card == NULL) {
        if (!answer_loaded(r) && !begin_pull(r)) refuse(r, &r->error);
        return;
    }
    struct placement_model *model = malloc(sizeof *model);
    assert(model != NULL);
    char name[WIRE_MODEL_NAME_BYTES];
    name_model(r, name);
    fill_model(model, r->card, name);
    r->needs = least_bytes(model);
    if (r->done && r->options.context > model->context) r->options.context = model->context;
    driver_event(d, &(struct node_event){.type = r->plan_only ? NODE_REQUEST_PLAN : NODE_REQUEST_LOAD,
                                         .request = r->id,
                                         .model = model,
                                         .options = r->options,
                                         .any_options = !r->has_options});
    free(model);
}

/* GET: the same words in the query. */
static json_t *body_of(struct http_exchange *x, struct error *error) {
    static const char *const texts[] = {"model", "split", "for"}, *const counts[] = {"nodes", "context", "parallel"};
    if (strcmp(http_method(x), "POST") == 0) return web_body(x, error);
    json_t *body = json_object();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (http_query(x, texts[i])) json_object_set_new(body, texts[i], json_string(http_query(x, texts[i])));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (http_query(x, counts[i]))
            json_object_set_new(body, counts[i], json_integer(strtoll(http_query(x, counts[i]), NULL, 10)));
    return body;
}

/* The model's name; with the recipe by which it is loaded already, where none is asked for. */
static void take_name(struct request *r) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(r->daemon->node, views, NODE_INSTANCES_MAX);
    const char *model = model_of(r);
    text_printf(&r->name, "%s", model);
    for (size_t i = 0; i < count && !*recipe_suffix(text_str(&r->name)); i++)
        if (view_is_model(views[i].plan->model, model))
            text_printf(&r->name, "%s", recipe_suffix(views[i].plan->model));
}

/* Of all nodes that are up. */
static uint64_t cluster_bytes(const struct daemon *d, bool only_free) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(d->node, peers, NODE_PEERS_MAX + 1);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (peers[i].state == NODE_PEER_UP)
            bytes += only_free ? peers[i].facts->memory_free : peers[i].facts->memory_total;
    return bytes;
}

static void open_on_pool(struct request *r) {
    take_name(r);
    r->bytes_max = cluster_bytes(r->daemon, true) / 8 * 7; /* some is left for caches and scratch memory */
    r->work.data = r;
    uv_queue_work(&r->daemon->loop, &r->work, on_pool_open, on_opened);
}

static void look_at_pull(struct request *r) {
    char name[SOURCE_PATH_BYTES];
    struct stock_view view = {0};
    bool found = stock_find(r->daemon->stock, plain_name(r, name), &view);
    if (found && (view.state == STOCK_LISTING || view.state == STOCK_HEADERS)) return;
    r->pulling = false;
    r->error = view.error;
    if (found && (view.state == STOCK_DONE || view.headers)) {
        text_clear(&r->name);
        open_on_pool(r);
        return;
    }
    if (r->error.code == 0) error_set(&r->error, ERR_CANCELLED, "the pull of %.200s was stopped", name);
    refuse(r, &r->error);
}

void requests_pulled(struct daemon *d) {
    for (struct request *r = d->requests, *next; r; r = next) {
        next = r->next;
        if (r->pulling) look_at_pull(r);
    }
}

static void open_model(struct daemon *d, struct http_exchange *x, bool plan_only) {
    struct request *r = add(d, x);
    r->plan_only = plan_only;
    r->body = body_of(x, &r->error);
    if (r->body == NULL || need_model(r) != 0 || read_options(r) != 0) {
        refuse(r, &r->error);
        return;
    }
    r->local = http_local(x);
    open_on_pool(r);
}

void requests_plan(struct daemon *d, struct http_exchange *x) { open_model(d, x, true); }
void requests_load(struct daemon *d, struct http_exchange *x) { open_model(d, x, false); }

void requests_plan_pull(struct daemon *d, const char *name, requests_planned *planned) {
    struct request *r = add(d, NULL);
    r->planned = planned;
    r->plan_only = true;
    r->body = json_pack("{s:s}", "model", name);
    open_on_pool(r);
}

uint64_t requests_load_model(struct daemon *d, const char *model, bool local, uint32_t context, uint32_t parallel,
                             requests_done *done) {
    struct request *r = add(d, NULL);
    r->done = done;
    r->body = json_pack("{s:s}", "model", model);
    r->local = local;
    r->options.context = context;
    r->options.parallel = parallel;
    uint64_t id = r->id;
    open_on_pool(r);
    return id;
}

void requests_measure(struct daemon *d, struct http_exchange *x) {
    struct request *r = add(d, x);
    r->measures = true;
    driver_event(d, &(struct node_event){.type = NODE_REQUEST_NODES, .request = r->id});
}

/* ---- unload ---- */

void requests_unload(struct daemon *d, struct http_exchange *x) {
    struct request *r = add(d, x);
    r->body = web_body(x, &r->error);
    bool named = r->body && need_model(r) == 0;
    struct node_instance_view view;
    bool found = named && find_instance(d, model_of(r), &view);
    if (named && !found) error_set(&r->error, ERR_NOT_FOUND, "no model '%s' is loaded: see `caravan ps`", model_of(r));
    if (found) /* by its name all of the model, by an id that replica only */
        driver_event(d, &(struct node_event){.type = NODE_REQUEST_STOP,
                                             .request = r->id,
                                             .instance = view.id,
                                             .replicas = !has_id(&view, model_of(r))});
    else
        refuse(r, &r->error);
}

uint64_t requests_stop_instance(struct daemon *d, uint64_t instance, requests_done *done) {
    struct request *r = add(d, NULL);
    r->done = done;
    driver_later(d, &(struct node_event){.type = NODE_REQUEST_STOP, .request = r->id, .instance = instance});
    return r->id;
}

/* ---- headers for the gateway ---- */

uint64_t requests_add_header(struct daemon *d, uint64_t job) {
    struct request *r = add(d, NULL);
    r->job = job;
    return r->id;
}

void requests_header_piece(struct daemon *d, const struct node_effect *e) {
    struct request *r = find(d, e->request);
    if (r == NULL || e->total > GGUF_HEADER_BYTES_MAX || e->offset != r->header_bytes) return;
    if (r->header == NULL) {
        r->header_total = e->total;
        r->header = malloc(e->total);
    }
    if (r->header == NULL || e->len > r->header_total - r->header_bytes) return;
    memcpy(r->header + r->header_bytes, e->bytes, e->len);
    r->header_bytes += e->len;
}

static void on_pool_build(uv_work_t *work) {
    struct request *r = work->data;
    if (r->header_bytes != r->header_total || r->header_total <= HEADER_PREFIX_BYTES) {
        error_set(&r->error, ERR_INVALID, "the model's header did not arrive whole");
        return;
    }
    struct bytes_reader reader = bytes_reader(r->header, HEADER_PREFIX_BYTES);
    uint64_t file_bytes = bytes_u64(&reader);
    size_t len = r->header_total - HEADER_PREFIX_BYTES;
    memmove(r->header, r->header + HEADER_PREFIX_BYTES, len);
    uint8_t *header = r->header;
    r->header = NULL;
    if (card_from_header(&r->card, header, len, file_bytes, &r->error) == 0) library_keep(r->daemon->library, r->card);
}

static void on_built(uv_work_t *work, int status) {
    struct request *r = work->data;
    gateway_card(r->daemon, r->job, r->card, r->error.text);
    drop(r);
}

static void reply_header(struct request *r, const struct node_effect *e) {
    if (e->code) {
        gateway_card(r->daemon, r->job, NULL, e->text ? e->text : error_text(e->code));
        drop(r);
        return;
    }
    r->work.data = r;
    uv_queue_work(&r->daemon->loop, &r->work, on_pool_build, on_built);
}

/* ---- the node's answer ---- */

static json_t *load_json(const struct node_effect *e) {
    char id[VIEW_ID_BYTES];
    json_t *body = e->result ? view_plan(e->result) : json_object();
    json_object_set_new(body, "id", json_string(view_id(e->instance, id)));
    return body;
}

/* Not even if nothing else was loaded. */
static bool fits_never(const struct request *r, const struct node_effect *e) {
    return e->code == ERR_LIMIT && r->needs > cluster_bytes(r->daemon, false);
}

/* Who will hold which layers is wanted of a pull, also where their memory is too small for the usual context. */
static bool plan_shorter(struct request *r, const struct node_effect *e) {
    bool shorter = r->planned && e->result && !e->result->fits && e->result->context_fits > 0;
    if (!shorter || r->options.context > 0) return false;
    r->options.context = e->result->context_fits;
    card_release(r->card);
    r->card = NULL;
    text_clear(&r->name);
    open_on_pool(r);
    return true;
}

void requests_reply(struct daemon *d, const struct node_effect *e) {
    struct request *r = find(d, e->request);
    if (r == NULL || plan_shorter(r, e)) return;
    if (e->code == 0 && r->needs > 0 && !r->done) stay_keep(d, e->instance, WIRE_KEEP_FOREVER); /* loaded by hand */
    if (r->pulled) (void)stock_pause_planning(d->stock, text_str(&r->name));
    if (r->planned)
        call_planned(r, e->result && e->result->fits ? &e->result->plan : NULL);
    else if (r->done)
        call_done(r, fits_never(r, e) ? ERR_NOMEM : e->code, e->instance, e->text ? e->text : error_text(e->code));
    else if (r->x == NULL)
        reply_header(r, e);
    else if (r->measures && e->code == 0)
        answer(r, 200, web_nodes(d));
    else if (r->plan_only && e->result)
        answer(r, 200, view_plan(e->result));
    else if (e->code)
        answer(r, web_status(e->code), web_error(e->code, e->text ? e->text : error_text(e->code)));
    else
        answer(r, 200, load_json(e));
}

void requests_shut(struct daemon *d, const char *why) {
    for (struct request *r = d->requests, *next; r; r = next) {
        next = r->next;
        if (r->work.data) continue; /* comes back from the pool */
        if (r->x)
            answer(r, 503, web_error(ERR_CLOSED, why));
        else
            drop(r);
    }
}

/* ---- what other nodes ask ---- */

struct favour {
    uv_work_t work;
    struct daemon *daemon;
    uint64_t peer, request, offset;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    char name[WIRE_MODEL_NAME_BYTES];
    struct card *card;
    bool found;
};

static void on_pool_find(uv_work_t *work) {
    struct favour *f = work->data;
    f->card = library_cached(f->daemon->library, f->fingerprint);
    if (f->card && f->card->model.path[0]) return;
    card_release(f->card);
    f->card = NULL;
    (void)library_find_here(f->daemon->library, f->fingerprint, f->name, &f->card, NULL);
}

/* What is not here can come from the node that asks, or from where it got it, if there is room. */
static void on_pool_look_up(uv_work_t *work) {
    struct favour *f = work->data;
    on_pool_find(work);
    f->found = f->card || parcel_room(f->daemon->home.path) > 0;
}

static void on_looked_up(uv_work_t *work, int status) {
    struct favour *f = work->data;
    driver_event(f->daemon, &(struct node_event){
                                .type = NODE_MODEL_ANSWER, .peer = f->peer, .request = f->request, .found = f->found});
    card_release(f->card);
    free(f);
}

/* The object that travels: the file's size, then the header. */
static uint32_t header_chunk(const struct card *c, uint64_t offset, uint8_t *out, uint32_t max) {
    uint8_t prefix[HEADER_PREFIX_BYTES];
    struct bytes_writer w = bytes_writer(prefix, sizeof prefix);
    bytes_put_u64(&w, c->model.gguf.file_bytes);
    uint32_t len = 0;
    for (; offset < HEADER_PREFIX_BYTES && len < max; offset++) out[len++] = prefix[offset];
    uint64_t at = offset - HEADER_PREFIX_BYTES, left = c->model.gguf.header_bytes - at;
    uint32_t more = left < max - len ? (uint32_t)left : max - len;
    memcpy(out + len, c->model.header + at, more);
    return len + more;
}

static void on_header_found(uv_work_t *work, int status) {
    struct favour *f = work->data;
    struct node_event event = {.type = NODE_HEADER_READ, .peer = f->peer, .request = f->request, .offset = f->offset};
    uint8_t *chunk = malloc(WIRE_CHUNK_BYTES_MAX);
    if (f->card && chunk) event.total = f->card->model.gguf.header_bytes + HEADER_PREFIX_BYTES;
    if (f->offset < event.total) {
        event.len = header_chunk(f->card, f->offset, chunk, WIRE_CHUNK_BYTES_MAX);
        event.bytes = chunk;
    }
    driver_event(f->daemon, &event);
    free(chunk);
    card_release(f->card);
    free(f);
}

/* Without the file its header will do. */
static void on_pool_measure(uv_work_t *work) {
    struct favour *f = work->data;
    f->card = library_cached(f->daemon->library, f->fingerprint);
    if (f->card == NULL) (void)library_find_here(f->daemon->library, f->fingerprint, f->name, &f->card, NULL);
}

static void on_measured(uv_work_t *work, int status) {
    struct favour *f = work->data;
    struct placement_model *model = f->card ? malloc(sizeof *model) : NULL;
    if (model) fill_model(model, f->card, f->name);
    driver_event(f->daemon, &(struct node_event){.type = NODE_MODEL_MEASURED, .request = f->request, .model = model});
    free(model);
    card_release(f->card);
    free(f);
}

static void do_favour(struct daemon *d, const struct node_effect *e, uv_work_cb look, uv_after_work_cb done) {
    struct favour *f = calloc(1, sizeof *f);
    assert(f != NULL);
    *f = (struct favour){.daemon = d, .peer = e->peer, .request = e->request, .offset = e->offset};
    memcpy(f->fingerprint, e->fingerprint, sizeof f->fingerprint);
    snprintf(f->name, sizeof f->name, "%s", e->text);
    f->work.data = f;
    uv_queue_work(&d->loop, &f->work, look, done);
}

void requests_lookup(struct daemon *d, const struct node_effect *e) { do_favour(d, e, on_pool_look_up, on_looked_up); }
void requests_describe(struct daemon *d, const struct node_effect *e) { do_favour(d, e, on_pool_measure, on_measured); }
void requests_read_header(struct daemon *d, const struct node_effect *e) {
    do_favour(d, e, on_pool_find, on_header_found);
}
