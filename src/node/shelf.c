#include "node/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/openai/openai.h"
#include "api/write.h"
#include "base/hex.h"
#include "node/daemon_private.h"
#include "node/errand.h"
#include "node/prune.h"
#include "node/views.h"

static void fail_errand(struct errand *e, const struct error *error) {
    e->status = errand_status(error);
    e->answer = web_error(error->code, error->text);
}

/* ---- Caravan's own ---- */

static void list_models(struct errand *e) { e->answer = library_list(e->daemon->library); }

/* The other nodes: [{"node", "state", "bytes_here", "size_bytes", "error"}]; "silent" ones have not answered. */
static json_t *census(struct daemon *d, const char *model, bool remove) {
    struct stock_share about = {.remove = remove}, *shares = calloc(STOCK_PEERS_MAX, sizeof *shares);
    snprintf(about.name, sizeof about.name, "%s", model);
    (void)library_fingerprint(d->library, model, about.fingerprint);
    size_t count = shares ? stock_census(d->stock, &about, shares) : 0;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct stock_share *s = &shares[i];
        char id[VIEW_ID_BYTES];
        const char *state = !s->told               ? "silent"
                            : s->error.code        ? "failed"
                            : s->bytes_total == 0  ? "absent"
                            : remove               ? "removed"
                            : s->bytes_here < s->bytes_total ? "part"
                                                             : "whole";
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:o}", "node", view_id(s->node, id), "state", state,
                                              "bytes_here", (json_int_t)s->bytes_here, "size_bytes",
                                              (json_int_t)s->bytes_total, "error",
                                              s->error.code ? write_string(s->error.text) : json_null()));
    }
    free(shares);
    return list;
}

static void show_model(struct errand *e) {
    struct error error = {0};
    if (library_show(e->daemon->library, e->model, http_local(e->x), &e->answer, &error) != 0)
        fail_errand(e, &error);
    else if (http_query(e->x, "cluster"))
        json_object_set_new(e->answer, "elsewhere", census(e->daemon, e->model, false));
}

/* Which machines hold its layers now. */
static void add_loaded(struct errand *e) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    char hex[VIEW_FINGERPRINT_BYTES];
    size_t count = node_instances(e->daemon->node, views, NODE_INSTANCES_MAX);
    const char *fingerprint = json_string_value(json_object_get(e->answer, "fingerprint"));
    json_t *loaded = json_array();
    for (size_t i = 0; fingerprint && i < count; i++)
        if (strcmp(view_fingerprint(views[i].plan->fingerprint, hex), fingerprint) == 0)
            json_array_append_new(loaded, view_instance(&views[i]));
    if (fingerprint) json_object_set(e->answer, "loaded", loaded);
    json_decref(loaded);
}

static void remove_model(struct errand *e) {
    struct error error = {0};
    if (library_remove(e->daemon->library, e->model, &error) != 0)
        fail_errand(e, &error);
    else
        e->answer = json_object();
}

/* On every node that has it; this one may have nothing. */
static void remove_everywhere(struct errand *e) {
    struct error error = {0};
    json_t *nodes = census(e->daemon, e->model, true);
    size_t i, removed = 0;
    const json_t *node;
    json_array_foreach(nodes, i, node)
        removed += strcmp(json_string_value(json_object_get(node, "state")), "removed") == 0;
    int rc = library_remove(e->daemon->library, e->model, &error);
    e->answer = json_pack("{s:o}", "nodes", nodes);
    if (rc == 0 || (rc == ERR_NOT_FOUND && removed > 0)) return;
    json_decref(e->answer);
    fail_errand(e, &error);
}

/* Its pull, which was over, is not told of any more. One that failed may have brought nothing that could be removed. */
static void forget_pull(struct errand *e) {
    struct stock_view view;
    bool found = stock_find(e->daemon->stock, e->model, &view), failed = found && view.state == STOCK_FAILED;
    bool over = failed || (found && view.state == STOCK_DONE && !view.held);
    bool gone = e->status == 200 || (failed && e->status == errand_status(&(struct error){.code = ERR_NOT_FOUND}));
    if (!over || !gone || stock_cancel(e->daemon->stock, e->model, NULL) != 0 || e->status == 200) return;
    json_decref(e->answer);
    e->answer = json_object();
    e->status = 200;
}

void shelf_list(struct daemon *d, struct http_exchange *x) { errand_go(d, x, NULL, list_models, NULL); }

void shelf_show(struct daemon *d, struct http_exchange *x) {
    errand_go(d, x, http_query(x, "model"), show_model, add_loaded);
}

/* Is it still on its way? Then it comes no further, and what is here of it goes. */
static bool cancel_pull(struct daemon *d, const char *model) {
    struct stock_view view;
    return model && stock_find(d->stock, model, &view) && view.state != STOCK_DONE && view.state != STOCK_FAILED &&
           stock_cancel(d->stock, model, NULL) == 0;
}

void shelf_remove(struct daemon *d, struct http_exchange *x) {
    struct error error = {0};
    json_t *body = web_body(x, &error);
    bool here = !json_is_true(json_object_get(body, "cluster"));
    if (here && cancel_pull(d, json_string_value(json_object_get(body, "model"))))
        web_reply(x, 200, json_object());
    else if (body)
        errand_go(d, x, json_string_value(json_object_get(body, "model")),
                  json_is_true(json_object_get(body, "cluster")) ? remove_everywhere : remove_model, forget_pull);
    else
        web_reply(x, 400, web_error(error.code, error.text));
    json_decref(body);
}

/* ---- folders ---- */

static void list_folders(struct errand *e) { e->answer = library_folders(e->daemon->library); }

static void add_folder(struct errand *e) {
    struct error error = {0};
    if (library_add_folder(e->daemon->library, e->model, &error) != 0)
        fail_errand(e, &error);
    else
        list_folders(e);
}

static void drop_folder(struct errand *e) {
    struct error error = {0};
    if (library_drop_folder(e->daemon->library, e->model, &error) != 0)
        fail_errand(e, &error);
    else
        list_folders(e);
}

/* Which folders a node reads is for whoever sits at it. */
static void change_folders(struct daemon *d, struct http_exchange *x, void (*run)(struct errand *e)) {
    struct error error = {0};
    json_t *body = web_body(x, &error);
    const char *path = json_string_value(json_object_get(body, "path"));
    if (body && path == NULL) error_set(&error, ERR_INVALID, "'path' must name a folder");
    if (body && !http_here(x)) error_set(&error, ERR_DENIED, "folders are added and dropped on the machine itself");
    if (error.code)
        web_reply(x, web_status(error.code), web_error(error.code, error.text));
    else
        errand_go(d, x, path, run, NULL);
    json_decref(body);
}

void shelf_folders(struct daemon *d, struct http_exchange *x) { errand_go(d, x, NULL, list_folders, NULL); }
void shelf_add_folder(struct daemon *d, struct http_exchange *x) { change_folders(d, x, add_folder); }
void shelf_drop_folder(struct daemon *d, struct http_exchange *x) { change_folders(d, x, drop_folder); }

/* ---- keeping house ---- */

/* The errand's model is two letters, "d" for a dry run and "p" for parts, and the fingerprints of what is loaded. */
static void prune(struct errand *e) {
    uint8_t used[NODE_INSTANCES_MAX][WIRE_FINGERPRINT_BYTES];
    struct prune how = {.home = e->daemon->home.path,
                        .stock = e->daemon->stock,
                        .dry = e->model[0] == 'd',
                        .parts = e->model[1] == 'p',
                        .used = used};
    for (const char *at = e->model + 2; *at; at += 2 * WIRE_FINGERPRINT_BYTES)
        hex_read(at, used[how.used_count++], WIRE_FINGERPRINT_BYTES);
    e->answer = prune_run(&how);
}

void shelf_prune(struct daemon *d, struct http_exchange *x) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    struct error error = {0};
    struct text order = {0};
    json_t *body = web_body(x, &error);
    size_t count = node_instances(d->node, views, NODE_INSTANCES_MAX);
    text_add_str(&order, json_is_true(json_object_get(body, "dry_run")) ? "d" : "-");
    text_add_str(&order, json_is_true(json_object_get(body, "parts")) ? "p" : "-");
    for (size_t i = 0; i < count; i++) {
        char hex[VIEW_FINGERPRINT_BYTES];
        text_add_str(&order, view_fingerprint(views[i].plan->fingerprint, hex));
    }
    if (body)
        errand_go(d, x, text_str(&order), prune, NULL);
    else
        web_reply(x, 400, web_error(error.code, error.text));
    text_deinit(&order);
    json_decref(body);
}

/* ---- OpenAI's ---- */

static bool has_model(const json_t *list, const char *name) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i,
                       item) if (strcmp(json_string_value(json_object_get(item, "id")), name) == 0) return true;
    return false;
}

/* e->answer is an array from here on, until it is finished. */
static void list_openai(struct errand *e) {
    json_t *list = library_list(e->daemon->library), *model;
    size_t i;
    e->answer = json_array();
    json_array_foreach(list, i, model) json_array_append_new(
        e->answer, openai_model(json_string_value(json_object_get(model, "name")), e->daemon->started_s));
    json_decref(list);
    if (e->model[0] && !has_model(e->answer, e->model) &&
        library_find_name(e->daemon->library, e->model, &e->error) == 0)
        error_set(&e->error, ERR_INVALID, "the file of this model cannot be read: `caravan show` tells why");
}

/* Models that other nodes hold are as good as those here. */
static void add_instances(struct errand *e) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(e->daemon->node, views, NODE_INSTANCES_MAX);
    for (size_t i = 0; i < count; i++)
        if (views[i].state == WIRE_READY && !has_model(e->answer, views[i].plan->model))
            json_array_append_new(e->answer, openai_model(views[i].plan->model, e->daemon->started_s));
}

static void finish_openai(struct errand *e) {
    add_instances(e);
    if (e->model[0] == '\0') {
        e->answer = json_pack("{s:s, s:o}", "object", "list", "data", e->answer);
        return;
    }
    bool known = has_model(e->answer, e->model);
    json_decref(e->answer);
    e->status = known ? 200 : 404;
    e->answer = known ? openai_model(e->model, e->daemon->started_s) : openai_no_model(e->error.text);
}

void shelf_openai(struct daemon *d, struct http_exchange *x, const char *name) {
    errand_go(d, x, name, list_openai, finish_openai);
}
