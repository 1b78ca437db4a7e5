#include "node/library.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/model_file.h"
#include "engine/source.h"
#include "node/model_dirs.h"
#include "node/parcel.h"
#include "node/show.h"
#include "node/views.h"

enum { CARDS_MAX = 8 };

struct library {
    struct index *index;
    struct model_dirs *dirs;
    pthread_mutex_t mutex;
    struct card *cards[CARDS_MAX]; /* used last first; NULL at the end */
};

int library_new(struct library **out, const char *folders, const char *home, struct error *error) {
    char file[INDEX_PATH_BYTES];
    struct library *l = calloc(1, sizeof *l);
    if (l == NULL) return error_set(error, ERR_NOMEM, "no memory for the library");
    pthread_mutex_init(&l->mutex, NULL);
    snprintf(file, sizeof file, "%s/index.json", home);
    l->index = index_new(file);
    if (l->index && model_dirs_new(&l->dirs, home, folders, l->index) == 0) {
        model_dirs_look(l->dirs);
        *out = l;
        return 0;
    }
    library_free(l);
    return error_set(error, ERR_NOMEM, "no memory for the library");
}

void library_free(struct library *l) {
    if (l == NULL) return;
    for (size_t i = 0; i < CARDS_MAX; i++) card_release(l->cards[i]);
    model_dirs_free(l->dirs);
    if (l->index) index_save(l->index);
    index_release(l->index);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

/* ---- cards that are open ---- */

struct card *library_cached(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES]) {
    struct card *found = NULL;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < CARDS_MAX && l->cards[i] && !found; i++)
        if (memcmp(l->cards[i]->fingerprint, fingerprint, MODEL_FINGERPRINT_BYTES) == 0) found = card_hold(l->cards[i]);
    pthread_mutex_unlock(&l->mutex);
    return found;
}

void library_keep(struct library *l, struct card *card) {
    struct card *dropped = NULL;
    pthread_mutex_lock(&l->mutex);
    size_t at = 0;
    while (at < CARDS_MAX - 1 && l->cards[at] && l->cards[at] != card) at++;
    if (l->cards[at] != card) {
        dropped = l->cards[at];
        card_hold(card);
    }
    memmove(l->cards + 1, l->cards, at * sizeof *l->cards);
    l->cards[0] = card;
    pthread_mutex_unlock(&l->mutex);
    card_release(dropped);
}

/* ---- what the header promises ---- */

static int open_path(struct library *l, const char *path, struct card **out, struct error *error) {
    struct index_entry known;
    if (index_know(l->index, path, &known) == 0 && (*out = library_cached(l, known.fingerprint)) != NULL) {
        if ((*out)->model.path[0]) return 0;
        card_release(*out); /* known by its header only: now the file is here */
    }
    int rc = card_open(out, path, error);
    if (rc == 0) library_keep(l, *out);
    return rc;
}

int library_open(struct library *l, const char *model, bool allow_path, uint64_t bytes_max, struct card **out,
                 struct error *error) {
    char path[MODEL_DIRS_PATH_BYTES], fitting[SOURCE_PATH_BYTES];
    int rc = model_dirs_find_part(l->dirs, model, allow_path, path, error);
    if (rc == 0) rc = source_fit(path, bytes_max, fitting, error);
    return rc ? rc : open_path(l, fitting, out, error);
}

int library_show(struct library *l, const char *model, bool allow_path, json_t **out, struct error *error) {
    char path[MODEL_DIRS_PATH_BYTES], fitting[SOURCE_PATH_BYTES];
    struct model m;
    int rc = model_dirs_find_part(l->dirs, model, allow_path, path, error);
    if (rc == 0) rc = source_fit(path, LIBRARY_ANY_SIZE, fitting, error);
    if (rc == 0) rc = model_file_open(&m, fitting, error);
    if (rc < 0) return rc;
    *out = show_json(&m, model);
    model_deinit(&m);
    return 0;
}

int library_find_name(struct library *l, const char *model, struct error *error) {
    char path[MODEL_DIRS_PATH_BYTES];
    return model_dirs_find(l->dirs, model, false, path, error);
}

bool library_has_elsewhere(struct library *l, const char *model, uint64_t *bytes) {
    return model_dirs_has_elsewhere(l->dirs, model, bytes);
}

/* Files that were opened by path are found as well: they are known. */
static bool known_path(struct library *l, const uint8_t *fingerprint, char path[MODEL_DIRS_PATH_BYTES]) {
    char place[SOURCE_PATH_BYTES];
    size_t at = 0;
    while (index_find(l->index, fingerprint, &at, path))
        if (model_dirs_answers(l->dirs, path) && access(source_place(path, place), R_OK) == 0) return true;
    return false;
}

/* Look at all that lies in the folders, and read it by the recipe ("@q8_0"; "": none). */
static void know_all(struct library *l, const char *recipe) {
    struct models m = {0};
    struct index_entry ignored;
    char path[MODEL_DIRS_PATH_BYTES];
    model_dirs_scan(l->dirs, &m);
    for (size_t i = 0; *recipe && i < m.count; i++)
        if (!m.entries[i].away && snprintf(path, sizeof path, "%s%s", m.entries[i].path, recipe) < (int)sizeof path)
            (void)index_know(l->index, path, &ignored);
    models_deinit(&m);
}

int library_find_here(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], const char *name,
                      struct card **out, struct error *error) {
    char path[MODEL_DIRS_PATH_BYTES];
    if (!known_path(l, fingerprint, path)) {
        know_all(l, recipe_suffix(name));
        if (!known_path(l, fingerprint, path))
            return error_set(error, ERR_NOT_FOUND, "the model's file is not on this machine");
    }
    return open_path(l, path, out, error);
}

static json_t *model_json(const struct models_entry *e, const struct index_entry *known) {
    char hex[VIEW_FINGERPRINT_BYTES];
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:i, s:b, s:s, s:s, s:I}", "name", e->name, "path", e->path,
                     "size_bytes", (json_int_t)e->bytes, "format", e->tensors ? "safetensors" : "gguf", "architecture",
                     known->architecture, "parameters", (json_int_t)known->parameters, "context_length",
                     (int)known->context, "read_only", e->read_only, "quantization", known->quantization, "fingerprint",
                     view_fingerprint(known->fingerprint, hex), "modified_s",
                     (json_int_t)(known->changed_ns / 1000000000));
}

json_t *library_list(struct library *l) {
    struct models m = {0};
    struct index_entry known;
    model_dirs_scan(l->dirs, &m);
    json_t *list = json_array();
    for (size_t i = 0; i < m.count; i++)
        if (index_recall(l->index, m.entries[i].path, &known) == 0)
            json_array_append_new(list, model_json(&m.entries[i], &known));
    models_deinit(&m);
    return list;
}

static json_t *folder_json(const struct scout_view *v) {
    const char *state = v->hangs ? "hangs" : v->code ? "failed" : "ok";
    const char *why = v->hangs ? "it does not answer" : v->code ? error_text(v->code) : NULL;
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:o}", "path", v->where.path, "kind", folder_kind_name(v->where.kind),
                     "models", (json_int_t)v->models, "size_bytes", (json_int_t)v->bytes, "state", state, "error",
                     why ? json_string(why) : json_null());
}

/* Caches that are not there go without saying. */
json_t *library_folders(struct library *l) {
    struct scout_view *views = calloc(FOLDERS_MAX, sizeof *views);
    size_t count = views ? model_dirs_folders(l->dirs, views) : 0;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (views[i].where.kind <= FOLDER_ADDED || views[i].code != ERR_NOT_FOUND)
            json_array_append_new(list, folder_json(&views[i]));
    free(views);
    return list;
}

int library_add_folder(struct library *l, const char *path, struct error *error) {
    return model_dirs_add(l->dirs, path, error);
}

int library_drop_folder(struct library *l, const char *path, struct error *error) {
    return model_dirs_drop(l->dirs, path, error);
}

int library_alias(struct library *l, const char *model, const char *alias, struct error *error) {
    return model_dirs_alias(l->dirs, model, alias, error);
}

bool library_is_partial(const struct card *card) {
    char place[SOURCE_PATH_BYTES], folder[PARCEL_PATH_BYTES];
    struct manifest m;
    if (parcel_manifest_of(source_place(card->model.path, place), &m, folder) != 0) return false;
    bool partial = !m.complete;
    manifest_deinit(&m);
    return partial;
}

int library_remove(struct library *l, const char *model, struct error *error) {
    return model_dirs_remove(l->dirs, model, error);
}

bool library_fingerprint(struct library *l, const char *model, uint8_t out[MODEL_FINGERPRINT_BYTES]) {
    char path[MODEL_DIRS_PATH_BYTES];
    struct index_entry known;
    if (model_dirs_find_part(l->dirs, model, false, path, NULL) != 0) return false;
    if (index_know(l->index, path, &known) != 0) return false;
    memcpy(out, known.fingerprint, MODEL_FINGERPRINT_BYTES);
    return true;
}

/* One entry for each name. */
static bool is_share(struct library *l, const struct models_entry *e, const uint8_t *fingerprint) {
    struct index_entry known;
    return !e->away && index_recall(l->index, e->path, &known) == 0 &&
           memcmp(known.fingerprint, fingerprint, MODEL_FINGERPRINT_BYTES) == 0;
}

void library_share(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], const char *name, bool remove,
                   uint64_t *here, uint64_t *total, struct error *error) {
    static const uint8_t none[MODEL_FINGERPRINT_BYTES];
    uint8_t found[MODEL_FINGERPRINT_BYTES];
    struct models m = {0};
    *here = *total = 0;
    memcpy(found, fingerprint, sizeof found);
    if (memcmp(found, none, sizeof none) == 0 && !library_fingerprint(l, name, found)) return;
    model_dirs_scan(l->dirs, &m);
    for (size_t i = 0; i < m.count; i++) {
        const struct models_entry *e = &m.entries[i];
        if (!is_share(l, e, found)) continue;
        if (*total == 0) show_bytes(e->path, here, total);
        if (remove && !e->read_only) (void)model_dirs_remove(l->dirs, e->name, error);
        if (remove && e->read_only && error->code == 0)
            error_set(error, ERR_DENIED, "%.200s lies in a read-only folder: %.250s", e->name, e->path);
    }
    models_deinit(&m);
}
