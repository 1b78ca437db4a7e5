#include "node/ollama.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/ollama/ollama.h"
#include "api/write.h"
#include "model/file_type.h"
#include "node/daemon_private.h"
#include "node/downloads.h"
#include "node/errand.h"
#include "node/stay.h"
#include "node/views.h"

static const char api_version[] = "0.21.0"; /* of the Ollama whose API this is: clients compare numbers */
static const char latest[] = ":latest";

/* ---- requests ---- */

static void fail(struct http_exchange *x, int status, const char *message) {
    web_reply(x, status, json_pack("{s:o}", "error", write_string(message)));
}

static void fail_errand(struct errand *e, const struct error *error) {
    e->status = errand_status(error);
    e->answer = json_pack("{s:o}", "error", write_string(error->text));
}

/* The name in the body, without the tag that Ollama's clients add; "name" is what older ones say. NULL: the exchange
 * is answered. malloc'ed. */
static char *read_name(struct http_exchange *x, json_t *body, const char *key, const char *older,
                       const struct error *error) {
    const char *name = json_string_value(json_object_get(body, key));
    if (name == NULL) name = json_string_value(json_object_get(body, older));
    if (name == NULL || name[0] == '\0') {
        struct text message = {0};
        text_printf(&message, "'%s' must be a string", key);
        fail(x, 400, body ? text_str(&message) : error->text);
        text_deinit(&message);
        return NULL;
    }
    size_t len = strlen(name), tag = strlen(latest);
    bool tagged = len > tag && strcmp(name + len - tag, latest) == 0;
    return strndup(name, tagged ? len - tag : len);
}

/* Run on the pool with the body's model. */
static void go(struct daemon *d, struct http_exchange *x, void (*run)(struct errand *e),
               void (*finish)(struct errand *e)) {
    struct error error = {0};
    json_t *body = web_body(x, &error);
    char *model = read_name(x, body, "model", "name", &error);
    if (model) errand_go(d, x, model, run, finish);
    free(model);
    json_decref(body);
}

void ollama_version(struct daemon *d, struct http_exchange *x) {
    web_reply(x, 200, json_pack("{s:s}", "version", api_version));
}

/* ---- lists ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static void list_models(struct errand *e) {
    json_t *list = library_list(e->daemon->library), *file, *models = json_array();
    size_t i;
    json_array_foreach(list, i, file) {
        struct ollama_model m = {.name = text_of(file, "name"),
                                 .architecture = text_of(file, "architecture"),
                                 .format = text_of(file, "format"),
                                 .digest = text_of(file, "fingerprint"),
                                 .quantization = text_of(file, "quantization"),
                                 .bytes = (uint64_t)number_of(file, "size_bytes"),
                                 .parameters = (uint64_t)number_of(file, "parameters"),
                                 .modified_s = number_of(file, "modified_s")};
        json_array_append_new(models, ollama_model_json(&m));
    }
    json_decref(list);
    e->answer = json_pack("{s:o}", "models", models);
}

static bool has_name(const json_t *models, const char *name) {
    size_t i;
    const json_t *model;
    json_t *own = ollama_name(name);
    bool found = false;
    json_array_foreach(models, i, model) found = found || json_equal(json_object_get(model, "name"), own);
    json_decref(own);
    return found;
}

/* A loaded instance, as far as this node knows the model. */
static json_t *instance_json(struct daemon *d, const struct node_instance_view *v,
                             char digest[VIEW_FINGERPRINT_BYTES]) {
    struct card *card = library_cached(d->library, v->plan->fingerprint);
    struct ollama_model m = {.name = v->plan->model,
                             .architecture = card ? card->model.params.architecture : "",
                             .format = "gguf",
                             .digest = view_fingerprint(v->plan->fingerprint, digest),
                             .quantization = card ? file_type_name(&card->model.gguf) : NULL,
                             .parameters = card ? card->model.parameters : 0,
                             .modified_s = d->started_s};
    for (uint32_t i = 0; i < v->plan->member_count; i++)
        m.bytes += v->plan->members[i].weights_bytes + v->plan->members[i].kv_bytes;
    json_t *json = ollama_model_json(&m);
    card_release(card);
    return json;
}

static size_t ready_instances(struct daemon *d, struct node_instance_view views[NODE_INSTANCES_MAX]) {
    size_t count = node_instances(d->node, views, NODE_INSTANCES_MAX), ready = 0;
    for (size_t i = 0; i < count; i++)
        if (views[i].state == WIRE_READY) views[ready++] = views[i];
    return ready;
}

/* Models that other nodes hold are as good as those here. */
static void add_loaded(struct errand *e) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    char digest[VIEW_FINGERPRINT_BYTES];
    json_t *models = json_object_get(e->answer, "models");
    size_t count = ready_instances(e->daemon, views);
    for (size_t i = 0; i < count; i++)
        if (!has_name(models, views[i].plan->model))
            json_array_append_new(models, instance_json(e->daemon, &views[i], digest));
}

void ollama_tags(struct daemon *d, struct http_exchange *x) { errand_go(d, x, NULL, list_models, add_loaded); }

void ollama_ps(struct daemon *d, struct http_exchange *x) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    char digest[VIEW_FINGERPRINT_BYTES], until[OLLAMA_TIME_BYTES];
    json_t *models = json_array();
    size_t count = ready_instances(d, views);
    for (size_t i = 0; i < count; i++) {
        static const uint64_t century_s = 100ull * 365 * 86400; /* who stays until it is told to go */
        uint64_t left_s;
        if (has_name(models, views[i].plan->model)) continue; /* of replicas one speaks for all */
        json_t *model = instance_json(d, &views[i], digest);
        if (!stay_leaves_in(d, views[i].id, &left_s)) left_s = century_s;
        json_object_set_new(model, "expires_at",
                            json_string(ollama_time((int64_t)time(NULL) + (int64_t)left_s, until)));
        json_object_set_new(model, "size_vram", json_integer(0));
        json_object_set_new(model, "context_length", json_integer(views[i].plan->context));
        json_array_append_new(models, model);
    }
    web_reply(x, 200, json_pack("{s:o}", "models", models));
}

/* ---- show ---- */

static json_t *value_json(const struct gguf *g, const struct gguf_value *v, const char *key) {
    uint64_t whole;
    float real;
    bool flag;
    if (v->type == GGUF_STRING) return json_stringn(v->strings[0].data, v->strings[0].len);
    if (v->type == GGUF_BOOL && gguf_bool(g, key, &flag)) return json_boolean(flag);
    if (v->type != GGUF_ARRAY && gguf_u64(g, key, &whole)) return json_integer((json_int_t)whole);
    if (v->type != GGUF_ARRAY && gguf_f32(g, key, &real)) return json_real(real);
    return json_null(); /* lists are long */
}

static json_t *info_json(const struct card *c) {
    json_t *info = json_object();
    for (size_t i = 0; i < c->model.gguf.value_count; i++) {
        const struct gguf_value *v = &c->model.gguf.values[i];
        char *key = strndup(v->key.data, v->key.len);
        json_t *value = key && strcmp(key, "tokenizer.chat_template") != 0 ? value_json(&c->model.gguf, v, key) : NULL;
        if (value) json_object_set_new(info, key, value);
        free(key);
    }
    json_object_set_new(info, "general.parameter_count", json_integer((json_int_t)c->model.parameters));
    return info;
}

static json_t *capabilities_json(const struct card *c) {
    json_t *list = json_pack("[s]", "embedding");
    if (c->model.params.encodes) return list;
    json_array_insert_new(list, 0, json_string("completion"));
    if (c->chat == NULL) return list;
    json_array_append_new(list, json_string("tools"));
    if (chat_form(c->chat)->switches_thinking) json_array_append_new(list, json_string("thinking"));
    return list;
}

static json_t *string_of(const struct card *c, const char *key) {
    struct gguf_string s = {"", 0};
    gguf_str(&c->model.gguf, key, &s);
    json_t *string = json_stringn(s.data, s.len);
    return string ? string : json_string("");
}

static void show_model(struct errand *e) {
    struct error error = {0};
    struct card *c;
    char time_text[OLLAMA_TIME_BYTES];
    if (library_open(e->daemon->library, e->model, false, LIBRARY_ANY_SIZE, &c, &error) != 0) {
        fail_errand(e, &error);
        return;
    }
    struct ollama_model m = {.architecture = c->model.params.architecture,
                             .format = "gguf",
                             .quantization = file_type_name(&c->model.gguf),
                             .parameters = c->model.parameters};
    e->answer = json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "license", string_of(c, "general.license"),
                          "modelfile", "", "parameters", "", "template", string_of(c, "tokenizer.chat_template"),
                          "details", ollama_details_json(&m), "model_info", info_json(c), "capabilities",
                          capabilities_json(c), "modified_at", ollama_time(e->daemon->started_s, time_text));
    card_release(c);
}

void ollama_show(struct daemon *d, struct http_exchange *x) { go(d, x, show_model, NULL); }

/* ---- copy and delete ---- */

static void delete_model(struct errand *e) {
    struct error error = {0};
    if (library_remove(e->daemon->library, e->model, &error) != 0)
        fail_errand(e, &error);
    else
        e->answer = json_object();
}

void ollama_delete(struct daemon *d, struct http_exchange *x) { go(d, x, delete_model, NULL); }

/* The errand's model is "SOURCE\nALIAS". */
static void copy_model(struct errand *e) {
    struct error error = {0};
    char *alias = strchr(e->model, '\n');
    *alias++ = '\0';
    if (library_alias(e->daemon->library, e->model, alias, &error) != 0)
        fail_errand(e, &error);
    else
        e->answer = json_object();
}

void ollama_copy(struct daemon *d, struct http_exchange *x) {
    struct error error = {0};
    json_t *body = web_body(x, &error);
    char *source = read_name(x, body, "source", "source", &error);
    char *alias = source ? read_name(x, body, "destination", "destination", &error) : NULL;
    struct text both = {0};
    if (alias) {
        text_printf(&both, "%s\n%s", source, alias);
        errand_go(d, x, text_str(&both), copy_model, NULL);
    }
    text_deinit(&both);
    free(source);
    free(alias);
    json_decref(body);
}

/* ---- pull ---- */

/* Somebody who waits for a model to come. */
struct ollama_pull {
    struct ollama_pull *next;
    struct http_exchange *x;
    char *model;
    bool streams;
};

static void tell(const struct ollama_pull *p, json_t *line) {
    struct text out = {0};
    write_line(&out, line);
    if (p->streams) (void)http_stream_write(p->x, text_str(&out), out.len);
    text_deinit(&out);
}

static void end_pull(struct daemon *d, struct ollama_pull *p, const char *error) {
    for (struct ollama_pull **at = &d->pulls; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    json_t *last = error ? json_pack("{s:o}", "error", write_string(error)) : json_pack("{s:s}", "status", "success");
    if (p->streams) {
        tell(p, last);
        http_stream_end(p->x);
    } else {
        web_reply(p->x, error ? 500 : 200, last);
    }
    free(p->model);
    free(p);
}

static void tell_progress(const struct ollama_pull *p, const struct stock_view *v) {
    char status[128];
    snprintf(status, sizeof status, "pulling %.100s", v->name);
    tell(p, json_pack("{s:s, s:s, s:I, s:I}", "status", status, "digest", v->name, "total", (json_int_t)v->bytes_total,
                      "completed", (json_int_t)v->bytes_done));
}

static void follow(struct daemon *d, struct ollama_pull *p) {
    struct stock_view v;
    if (!stock_find(d->stock, p->model, &v)) {
        end_pull(d, p, "the download was cancelled");
    } else if (v.state == STOCK_DONE) {
        if (v.bytes_total) tell_progress(p, &v);
        tell(p, json_pack("{s:s}", "status", "verifying sha256 digest"));
        tell(p, json_pack("{s:s}", "status", "writing manifest"));
        end_pull(d, p, NULL);
    } else if (v.state == STOCK_FAILED || v.state == STOCK_PAUSED) {
        end_pull(d, p, v.state == STOCK_FAILED ? v.error.text : "the download was paused");
    } else if (v.bytes_total) {
        tell_progress(p, &v);
    }
}

void ollama_pulled(struct daemon *d) {
    for (struct ollama_pull *p = d->pulls, *next; p; p = next) {
        next = p->next;
        follow(d, p);
    }
}

void ollama_shut(struct daemon *d) {
    while (d->pulls) end_pull(d, d->pulls, "the node stops");
}

static bool wants_stream(struct http_exchange *x) {
    json_t *body = web_body(x, NULL);
    bool streams = !json_is_false(json_object_get(body, "stream"));
    json_decref(body);
    return streams;
}

static void add_pull(struct daemon *d, struct errand *e) {
    struct ollama_pull *p = calloc(1, sizeof *p);
    assert(p != NULL);
    *p = (struct ollama_pull){.next = d->pulls, .x = e->x, .model = strdup(e->model), .streams = wants_stream(e->x)};
    d->pulls = p;
    e->x = NULL;
    if (p->streams) http_stream_begin(p->x, "application/x-ndjson");
    tell(p, json_pack("{s:s}", "status", "pulling manifest"));
    if (e->status == 200)
        end_pull(d, p, NULL);
    else
        follow(d, p);
}

/* Pool: what is here already need not come. */
static void look_for(struct errand *e) {
    if (library_find_name(e->daemon->library, e->model, &e->error) != 0) e->status = 202;
}

static void begin_pull(struct errand *e) {
    struct error error = {0};
    if (e->status != 200 && downloads_pull(e->daemon, e->model, &error) != 0)
        fail_errand(e, &error);
    else
        add_pull(e->daemon, e);
}

void ollama_get(struct daemon *d, struct http_exchange *x) { go(d, x, look_for, begin_pull); }
