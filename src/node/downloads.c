#include "node/downloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/source.h"
#include "node/daemon_private.h"
#include "node/errand.h"
#include "node/events.h"
#include "node/ollama.h"
#include "node/views.h"

static const char public_hub[] = "https://huggingface.co";

/* ---- links to other stocks ---- */

struct call {
    struct letter letter;
    struct daemon *daemon;
    uint64_t node;
};

/* The node's id is not in the hello that this one sends, so the call is found by it. */
static void on_dialled(struct daemon *d, const struct wire_hello *hello, struct link *link) {
    if (link && d->stock && !d->stopping)
        stock_take_link(d->stock, hello->instance, link);
    else
        link_free(link);
}

static void deliver_call(struct letter *letter) {
    struct call *c = (struct call *)letter;
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = c->daemon->node && !c->daemon->stopping ? node_peers(c->daemon->node, peers, NODE_PEERS_MAX + 1) : 0;
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id != c->node || peers[i].self || peers[i].address.port == 0) continue;
        struct wire_hello hello = {.kind = WIRE_STORE, .instance = c->node};
        control_dial_data(c->daemon, &peers[i].address, &hello, on_dialled);
    }
    free(c);
}

/* The stock's thread. */
static void dial_stock(void *context, uint64_t node) {
    struct daemon *d = context;
    struct call *c = calloc(1, sizeof *c);
    if (c == NULL) return;
    *c = (struct call){.letter.deliver = deliver_call, .daemon = d, .node = node};
    mailbox_post(&d->mailbox, &c->letter);
}

/* A thread of its own. */
static int locate(void *context, const uint8_t *fingerprint, const char *name, char path[STOCK_PATH_BYTES]) {
    struct daemon *d = context;
    struct card *card;
    int rc = library_find_here(d->library, fingerprint, name, &card, NULL);
    if (rc < 0) return rc;
    source_place(card->model.path, path);
    bool there = path[0] != '\0';
    card_release(card);
    return there ? 0 : ERR_NOT_FOUND;
}

/* A thread of its own. */
static void tell_share(void *context, struct stock_share *share) {
    struct daemon *d = context;
    struct stock_view view;
    if (share->remove && stock_find_held(d->stock, share->fingerprint, &view) && view.state < STOCK_DONE) {
        error_set(&share->error, ERR_BUSY, "it is on its way there");
        return;
    }
    library_share(d->library, share->fingerprint, share->name, share->remove, &share->bytes_here, &share->bytes_total,
                  &share->error);
}

void downloads_peers(struct daemon *d) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    uint64_t nodes[STOCK_PEERS_MAX];
    size_t count = node_peers(d->node, peers, NODE_PEERS_MAX + 1), up = 0;
    for (size_t i = 0; i < count && up < STOCK_PEERS_MAX; i++)
        if (peers[i].state == NODE_PEER_UP) nodes[up++] = peers[i].id;
    stock_set_peers(d->stock, nodes, up);
}

/* ---- pulls that become plans ---- */

/* A pull that was asked for here: once its headers are here, the cluster decides who holds what. */
struct wish {
    struct wish *next;
    char name[ORIGIN_NAME_BYTES];
    bool planning;
};

static void drop_wish(struct daemon *d, const char *name) {
    for (struct wish **at = &d->wishes; *at; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) {
            struct wish *w = *at;
            *at = w->next;
            free(w);
            return;
        }
}

static void add_wish(struct daemon *d, const char *name) {
    struct wish *w = calloc(1, sizeof *w);
    if (w == NULL) return;
    drop_wish(d, name);
    w->next = d->wishes;
    snprintf(w->name, sizeof w->name, "%s", name);
    d->wishes = w;
}

/* Where nothing fits, by no context, or nobody else is there, this node takes all of it. */
static void on_planned(struct daemon *d, const char *name, const struct wire_plan *plan) {
    struct error error = {0};
    if (plan)
        stock_hold(d->stock, plan, true, &error);
    else
        stock_pull(d->stock, name, true, &error);
    drop_wish(d, name);
}

static void plan_wishes(struct daemon *d) {
    for (struct wish *w = d->wishes, *next; w; w = next) {
        struct stock_view view;
        next = w->next;
        bool found = stock_find(d->stock, w->name, &view);
        bool over = !found || view.state == STOCK_FAILED || view.state == STOCK_PAUSED || view.state == STOCK_DONE;
        if (over)
            drop_wish(d, w->name);
        else if (view.state == STOCK_PLANNING && !view.follows && !w->planning) {
            w->planning = true;
            requests_plan_pull(d, w->name, on_planned);
        }
    }
}

/* ---- news of the stock ---- */

static void deliver_news(struct letter *letter) {
    struct daemon *d = (struct daemon *)((char *)letter - offsetof(struct daemon, stock_news));
    atomic_store(&d->stock_told, false);
    if (d->stopping) return;
    events_changed(d);
    requests_pulled(d);
    ollama_pulled(d);
    slices_pulled(d);
    plan_wishes(d);
}

/* The stock's thread. */
static void on_changed(void *context) {
    struct daemon *d = context;
    if (!atomic_exchange(&d->stock_told, true)) mailbox_post(&d->mailbox, &d->stock_news);
}

int downloads_open(struct daemon *d, struct error *error) {
    const char *hub = d->options.hub && d->options.hub[0] ? d->options.hub : public_hub;
    size_t len = strlen(hub);
    while (len > 0 && hub[len - 1] == '/') len--;
    snprintf(d->hub, sizeof d->hub, "%.*s", (int)len, hub);
    if (strncmp(d->hub, "http://", 7) != 0 && strncmp(d->hub, "https://", 8) != 0)
        return error_set(error, ERR_INVALID, "CARAVAN_HUB is '%.200s'; it must be an http or https address", hub);
    d->stock_news.deliver = deliver_news;
    struct stock_options options = {.home = d->home.path,
                                    .hub = d->hub,
                                    .token = d->options.hub_token,
                                    .agent = "caravan/" CARAVAN_VERSION,
                                    .disk_max = d->options.disk_bytes,
                                    .log = &d->log,
                                    .changed = on_changed,
                                    .dial = dial_stock,
                                    .locate = locate,
                                    .share = tell_share,
                                    .context = d};
    return stock_new(&d->stock, &options, error);
}

/* ---- as JSON ---- */

static json_t *known(uint64_t value) { return value ? json_integer((json_int_t)value) : json_null(); }

static json_t *parts_json(const struct stock_view *v) {
    char id[VIEW_ID_BYTES];
    json_t *list = json_array();
    for (uint32_t i = 0; i < v->part_count; i++) {
        const struct stock_part *p = &v->parts[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "node", view_id(p->node, id), "bytes_done",
                                              (json_int_t)p->bytes_done, "bytes_total", known(p->bytes_total)));
    }
    return list;
}

static json_t *view_json(const struct stock_view *v) {
    uint64_t left = v->bytes_total - v->bytes_done;
    json_t *eta = v->rate > 0 ? json_real((double)left / (double)v->rate) : json_null();
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:i, s:o, s:o}", "model", v->name, "state",
                     stock_state_name(v->state), "bytes_total", known(v->bytes_total), "bytes_done",
                     (json_int_t)v->bytes_done, "bytes_fetched", (json_int_t)v->fetched_bytes, "bytes_from_peers",
                     (json_int_t)v->given_bytes, "bytes_per_s", (json_int_t)v->rate, "eta_s", eta, "connections",
                     (int)v->streams, "error", v->error.code ? json_string(v->error.text) : json_null(), "parts",
                     parts_json(v));
}

json_t *downloads_list(struct daemon *d) {
    struct stock_view *views = calloc(STOCK_PULLS_MAX, sizeof *views);
    json_t *list = json_array();
    size_t count = views ? stock_views(d->stock, views, STOCK_PULLS_MAX) : 0;
    for (size_t i = 0; i < count; i++) json_array_append_new(list, view_json(&views[i]));
    free(views);
    return list;
}

/* ---- over HTTP ---- */

void downloads_get(struct daemon *d, struct http_exchange *x) { web_reply(x, 200, downloads_list(d)); }

/* The body's model; NULL once the exchange is answered. */
static const char *model_of(struct http_exchange *x, json_t **body) {
    struct error error = {0};
    *body = web_body(x, &error);
    const char *model = json_string_value(json_object_get(*body, "model"));
    if (*body && (model == NULL || model[0] == '\0')) error_set(&error, ERR_INVALID, "'model' must name a model");
    if (error.code == 0) return model;
    web_reply(x, web_status(error.code), web_error(error.code, error.text));
    return NULL;
}

/* What is told once it was done: the pull, or why there is none. */
static json_t *outcome(struct daemon *d, const char *model, const struct error *error, int *status) {
    struct stock_view view = {0};
    *status = error->code ? web_status(error->code) : 200;
    if (error->code) return web_error(error->code, error->text);
    stock_find(d->stock, model, &view);
    if (view.name[0] == '\0') snprintf(view.name, sizeof view.name, "%s", model);
    return view_json(&view);
}

static void answer(struct daemon *d, struct http_exchange *x,
                   int (*act)(struct stock *s, const char *name, struct error *error)) {
    struct error error = {0};
    json_t *body, *told;
    int status;
    const char *model = model_of(x, &body);
    if (model) {
        act(d->stock, model, &error);
        told = outcome(d, model, &error, &status);
        web_reply(x, status, told);
    }
    json_decref(body);
}

int downloads_pull(struct daemon *d, const char *name, struct error *error) {
    struct node_peer_view peers[NODE_PEERS_MAX + 1];
    size_t count = node_peers(d->node, peers, NODE_PEERS_MAX + 1), up = 0;
    for (size_t i = 0; i < count; i++) up += peers[i].state == NODE_PEER_UP;
    int rc = stock_pull(d->stock, name, up < 2, error);
    if (rc == 0 && up >= 2) add_wish(d, name);
    return rc;
}

/* A path names what lies on this machine, if it is a model and whole. */
static bool is_at(struct errand *e, uint64_t *bytes, struct error *error) {
    struct card *card;
    if (e->model[0] != '/' || !http_local(e->x)) return false;
    if (library_open(e->daemon->library, e->model, true, LIBRARY_ANY_SIZE, &card, error) < 0) return false;
    *bytes = card->model.gguf.file_bytes;
    card_release(card);
    return true;
}

/* What lies in a folder of somebody else's is here already. */
static void look_elsewhere(struct errand *e) {
    struct stock_view view = {.state = STOCK_DONE};
    struct error error = {0};
    snprintf(view.name, sizeof view.name, "%s", e->model);
    if (is_at(e, &view.bytes_total, &error) ||
        library_has_elsewhere(e->daemon->library, e->model, &view.bytes_total)) {
        view.bytes_done = view.bytes_total;
        e->answer = view_json(&view);
    } else if (error.code) {
        e->status = errand_status(&error);
        e->answer = web_error(error.code, error.text);
    }
}

static void start_pull(struct errand *e) {
    struct error error = {0};
    if (e->answer) return;
    downloads_pull(e->daemon, e->model, &error);
    e->answer = outcome(e->daemon, e->model, &error, &e->status);
}

void downloads_start(struct daemon *d, struct http_exchange *x) {
    json_t *body;
    const char *model = model_of(x, &body);
    if (model) errand_go(d, x, model, look_elsewhere, start_pull);
    json_decref(body);
}

void downloads_pause(struct daemon *d, struct http_exchange *x) { answer(d, x, stock_pause); }
void downloads_cancel(struct daemon *d, struct http_exchange *x) { answer(d, x, stock_cancel); }
void downloads_check(struct daemon *d, struct http_exchange *x) { answer(d, x, stock_check); }

void downloads_shut(struct daemon *d) {
    while (d->wishes) drop_wish(d, d->wishes->name);
}
