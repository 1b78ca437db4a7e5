#include "node/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "engine/model_file.h"
#include "engine/source.h"
#include "model/file_type.h"
#include "node/model_dirs.h"
#include "node/parcel.h"
#include "node/views.h"
#include "os/dir.h"
#include "os/thread.h"

enum { CARDS_MAX = 8, KNOWN_MAX = 4096 };

/* Size and last change of a file; of a folder: of all that is in it. */
struct stamp {
    uint64_t bytes;
    int64_t changed_ns;
};

/* What a file said of itself when it was read last. */
struct known_file {
    char *path;
    struct stamp stamp;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    char architecture[32];
    char quantization[16];
    uint64_t parameters;
    uint32_t context;
};

struct library {
    pthread_mutex_t mutex;
    char *folders, *home;
    struct model_dirs dirs;        /* of these two */
    struct card *cards[CARDS_MAX]; /* used last first; NULL at the end */
    struct known_file *known;
    size_t known_count;
};

int library_new(struct library **out, const char *folders, const char *home, struct error *error) {
    struct library *l = calloc(1, sizeof *l);
    if (l == NULL) return error_set(error, ERR_NOMEM, "no memory for the library");
    pthread_mutex_init(&l->mutex, NULL);
    l->folders = strdup(folders ? folders : "");
    l->home = strdup(home);
    l->dirs = (struct model_dirs){.home = l->home, .extra = l->folders};
    l->known = calloc(KNOWN_MAX, sizeof *l->known);
    if (l->folders && l->home && l->known) {
        *out = l;
        return 0;
    }
    library_free(l);
    return error_set(error, ERR_NOMEM, "no memory for the library");
}

void library_free(struct library *l) {
    if (l == NULL) return;
    for (size_t i = 0; i < CARDS_MAX; i++) card_release(l->cards[i]);
    for (size_t i = 0; i < l->known_count; i++) free(l->known[i].path);
    free(l->known);
    free(l->folders);
    free(l->home);
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

/* ---- files ---- */

static bool add_stamp(struct stamp *s, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return false;
    int64_t changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    s->bytes += (uint64_t)st.st_size;
    if (changed_ns > s->changed_ns) s->changed_ns = changed_ns;
    return true;
}

static bool add_entry(void *context, const struct dir_entry *entry) {
    (void)add_stamp(context, entry->path);
    return true;
}

static bool read_stamp(const char *path, struct stamp *out) {
    char place[SOURCE_PATH_BYTES];
    *out = (struct stamp){0};
    if (!add_stamp(out, source_place(path, place))) return false;
    if (file_is_folder(place)) dir_list(place, add_entry, out);
    return true;
}

static bool same_file(const struct known_file *k, const char *path, const struct stamp *s) {
    return strcmp(k->path, path) == 0 && k->stamp.bytes == s->bytes && k->stamp.changed_ns == s->changed_ns;
}

static bool recall(struct library *l, const char *path, const struct stamp *stamp, struct known_file *out) {
    bool found = false;
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->known_count && !found; i++) {
        if (!same_file(&l->known[i], path, stamp)) continue;
        *out = l->known[i];
        found = true;
    }
    pthread_mutex_unlock(&l->mutex);
    return found;
}

static void remember(struct library *l, const struct known_file *k) {
    pthread_mutex_lock(&l->mutex);
    size_t at = 0;
    while (at < l->known_count && strcmp(l->known[at].path, k->path) != 0) at++;
    char *path = at < l->known_count ? l->known[at].path : at < KNOWN_MAX ? strdup(k->path) : NULL;
    if (path) {
        l->known[at] = *k;
        l->known[at].path = path;
        if (at == l->known_count) l->known_count++;
    }
    pthread_mutex_unlock(&l->mutex);
}

/* What the file is, from memory or by reading its header. out->path is only good while `path` is. */
static int know(struct library *l, const char *path, struct known_file *out) {
    struct stamp stamp;
    if (!read_stamp(path, &stamp)) return ERR_NOT_FOUND;
    if (recall(l, path, &stamp, out)) return 0;
    struct model m;
    int rc = model_file_open(&m, path, NULL);
    if (rc) return rc;
    *out = (struct known_file){
        .path = (char *)(uintptr_t)path, .stamp = stamp, .parameters = m.parameters, .context = m.params.context};
    model_fingerprint(&m, out->fingerprint);
    snprintf(out->architecture, sizeof out->architecture, "%s", m.params.architecture);
    snprintf(out->quantization, sizeof out->quantization, "%s", file_type_name(&m.gguf));
    model_deinit(&m);
    remember(l, out);
    return 0;
}

/* ---- what the header promises ---- */

static int open_path(struct library *l, const char *path, struct card **out, struct error *error) {
    struct known_file k;
    if (know(l, path, &k) == 0 && (*out = library_cached(l, k.fingerprint)) != NULL) {
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
    int rc = model_dirs_find_part(&l->dirs, model, allow_path, path, error);
    if (rc == 0) rc = source_fit(path, bytes_max, fitting, error);
    return rc ? rc : open_path(l, fitting, out, error);
}

int library_find_name(struct library *l, const char *model, struct error *error) {
    char path[MODEL_DIRS_PATH_BYTES];
    return model_dirs_find(&l->dirs, model, false, path, error);
}

/* Files that were opened by path are found as well: they are known. */
static bool known_path(struct library *l, const uint8_t *fingerprint, char path[MODEL_DIRS_PATH_BYTES]) {
    bool found = false;
    char place[SOURCE_PATH_BYTES];
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->known_count && !found; i++) {
        found = memcmp(l->known[i].fingerprint, fingerprint, MODEL_FINGERPRINT_BYTES) == 0 &&
                access(source_place(l->known[i].path, place), R_OK) == 0;
        if (found) snprintf(path, MODEL_DIRS_PATH_BYTES, "%s", l->known[i].path);
    }
    pthread_mutex_unlock(&l->mutex);
    return found;
}

/* Read all that lies in the folders, as it is and by the recipe ("@q8_0"; "": none). */
static void know_all(struct library *l, const char *recipe) {
    struct models m = {0};
    struct known_file k;
    char path[MODEL_DIRS_PATH_BYTES];
    model_dirs_scan(&l->dirs, &m);
    for (size_t i = 0; i < m.count; i++) {
        (void)know(l, m.entries[i].path, &k);
        if (*recipe && snprintf(path, sizeof path, "%s%s", m.entries[i].path, recipe) < (int)sizeof path)
            (void)know(l, path, &k);
    }
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

json_t *library_list(struct library *l) {
    struct models m = {0};
    model_dirs_scan(&l->dirs, &m);
    json_t *list = json_array();
    for (size_t i = 0; i < m.count; i++) {
        const struct models_entry *e = &m.entries[i];
        struct known_file k;
        char hex[VIEW_FINGERPRINT_BYTES];
        if (know(l, e->path, &k) != 0) continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:i, s:b, s:s, s:s, s:I}", "name",
                                              e->name, "path", e->path, "size_bytes", (json_int_t)e->bytes, "format",
                                              e->tensors ? "safetensors" : "gguf", "architecture", k.architecture,
                                              "parameters", (json_int_t)k.parameters, "context_length", (int)k.context,
                                              "read_only", e->read_only, "quantization", k.quantization, "fingerprint",
                                              view_fingerprint(k.fingerprint, hex), "modified_s",
                                              (json_int_t)(k.stamp.changed_ns / 1000000000)));
    }
    models_deinit(&m);
    return list;
}

int library_alias(struct library *l, const char *model, const char *alias, struct error *error) {
    return model_dirs_alias(&l->dirs, model, alias, error);
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
    return model_dirs_remove(&l->dirs, model, error);
}
