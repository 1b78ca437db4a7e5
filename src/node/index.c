#include "node/index.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/hex.h"
#include "base/map.h"
#include "engine/gguf_dir.h"
#include "engine/model_file.h"
#include "engine/source.h"
#include "model/file_type.h"
#include "os/dir.h"

enum { ENTRIES_MAX = 4096, FILE_BYTES_MAX = 16 << 20, SETTLED_S = 2 };

struct slot {
    char *path; /* owned */
    struct index_entry entry;
};

struct index {
    atomic_uint references;
    pthread_mutex_t mutex;
    char *file;
    struct slot *slots; /* ENTRIES_MAX of them */
    size_t count;
    struct map places; /* path -> slot */
    bool changed;
};

/* ---- in memory ---- */

static void forget_all(struct index *x) {
    for (size_t i = 0; i < x->count; i++) free(x->slots[i].path);
    map_deinit(&x->places);
    x->count = 0;
}

static struct slot *find(struct index *x, const char *path) {
    uint64_t place;
    return map_get(&x->places, path, strlen(path), &place) ? &x->slots[place] : NULL;
}

/* Locked. One that is full begins anew: what is there is found again by looking. */
static void put(struct index *x, const char *path, const struct index_entry *entry) {
    struct slot *slot = find(x, path);
    if (slot == NULL) {
        if (x->count == ENTRIES_MAX) forget_all(x);
        char *copy = strdup(path);
        if (copy == NULL || map_set(&x->places, copy, strlen(copy), x->count) != 0) {
            free(copy);
            return;
        }
        slot = &x->slots[x->count++];
        slot->path = copy;
    }
    slot->entry = *entry;
    x->changed = true;
}

/* ---- on disk ---- */

static json_t *entry_json(const struct slot *s) {
    const struct index_entry *e = &s->entry;
    char hex[2 * MODEL_FINGERPRINT_BYTES + 1];
    return json_pack("{s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:I, s:I}", "path", s->path, "bytes", (json_int_t)e->bytes,
                     "changed_ns", (json_int_t)e->changed_ns, "readable", e->readable, "fingerprint",
                     hex_write(e->fingerprint, MODEL_FINGERPRINT_BYTES, hex), "architecture", e->architecture,
                     "quantization", e->quantization, "parameters", (json_int_t)e->parameters, "context",
                     (json_int_t)e->context);
}

static void take_entry(struct index *x, const json_t *item) {
    struct index_entry e = {0};
    const char *path, *hex, *architecture, *quantization;
    json_int_t bytes, changed_ns, parameters, context;
    int readable;
    if (json_unpack((json_t *)(uintptr_t)item, "{s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:I, s:I}", "path", &path, "bytes",
                    &bytes, "changed_ns", &changed_ns, "readable", &readable, "fingerprint", &hex, "architecture",
                    &architecture, "quantization", &quantization, "parameters", &parameters, "context", &context))
        return;
    if (strlen(path) >= INDEX_PATH_BYTES || strlen(hex) != 2 * MODEL_FINGERPRINT_BYTES ||
        !hex_read(hex, e.fingerprint, MODEL_FINGERPRINT_BYTES))
        return;
    e.bytes = (uint64_t)bytes;
    e.changed_ns = changed_ns;
    e.settled = true;
    e.readable = readable;
    e.parameters = (uint64_t)parameters;
    e.context = (uint32_t)context;
    snprintf(e.architecture, sizeof e.architecture, "%s", architecture);
    snprintf(e.quantization, sizeof e.quantization, "%s", quantization);
    put(x, path, &e);
}

/* Another version may read the same headers otherwise: it begins with nothing. */
static void load(struct index *x) {
    struct file f;
    if (x->file == NULL || file_open(&f, x->file, NULL) != 0) return;
    char *text = f.bytes <= FILE_BYTES_MAX ? malloc(f.bytes + 1) : NULL;
    json_t *all = text && file_read_at(&f, 0, text, f.bytes, NULL) == 0 ? json_loadb(text, f.bytes, 0, NULL) : NULL;
    const char *version = json_string_value(json_object_get(all, "version"));
    size_t i;
    const json_t *item;
    if (version && strcmp(version, CARAVAN_VERSION) == 0)
        json_array_foreach(json_object_get(all, "files"), i, item) take_entry(x, item);
    json_decref(all);
    free(text);
    file_close(&f);
    x->changed = false;
}

void index_save(struct index *x) {
    pthread_mutex_lock(&x->mutex);
    json_t *files = x->changed && x->file ? json_array() : NULL;
    for (size_t i = 0; files && i < x->count; i++)
        if (x->slots[i].entry.settled) json_array_append_new(files, entry_json(&x->slots[i]));
    x->changed = false;
    if (files) {
        json_t *all = json_pack("{s:s, s:o}", "version", CARAVAN_VERSION, "files", files);
        char *text = json_dumps(all, JSON_COMPACT);
        if (text) (void)file_replace(x->file, text, strlen(text), NULL);
        free(text);
        json_decref(all);
    }
    pthread_mutex_unlock(&x->mutex);
}

struct index *index_new(const char *file) {
    struct index *x = calloc(1, sizeof *x);
    if (x == NULL) return NULL;
    atomic_init(&x->references, 1);
    pthread_mutex_init(&x->mutex, NULL);
    x->slots = calloc(ENTRIES_MAX, sizeof *x->slots);
    x->file = file ? strdup(file) : NULL;
    if (x->slots == NULL || (file && x->file == NULL)) {
        index_release(x);
        return NULL;
    }
    load(x);
    return x;
}

struct index *index_hold(struct index *x) {
    atomic_fetch_add(&x->references, 1);
    return x;
}

void index_release(struct index *x) {
    if (x == NULL || atomic_fetch_sub(&x->references, 1) != 1) return;
    if (x->slots) forget_all(x);
    free(x->slots);
    free(x->file);
    pthread_mutex_destroy(&x->mutex);
    free(x);
}

/* ---- looking ---- */

static bool add_stamp(struct index_entry *e, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return false;
    int64_t changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    e->bytes += (uint64_t)st.st_size;
    if (changed_ns > e->changed_ns) e->changed_ns = changed_ns;
    return true;
}

static bool add_file(void *context, const struct dir_entry *entry) {
    (void)add_stamp(context, entry->path);
    return true;
}

static void add_other_parts(struct index_entry *e, const char *first) {
    struct gguf_dir dir;
    (void)gguf_dir_list(&dir, first, NULL);
    for (size_t i = 1; i < dir.count; i++) (void)add_stamp(e, dir.paths[i]);
    gguf_dir_deinit(&dir);
}

static bool read_stamp(const char *path, struct index_entry *out) {
    char place[SOURCE_PATH_BYTES];
    *out = (struct index_entry){0};
    if (!add_stamp(out, source_place(path, place))) return false;
    if (file_is_folder(place)) dir_list(place, add_file, out);
    if (gguf_dir_is_part(place)) add_other_parts(out, place);
    return true;
}

static void read_header(const char *path, struct index_entry *out) {
    struct model m;
    if (model_file_open(&m, path, NULL) != 0) return;
    out->readable = true;
    out->parameters = m.parameters;
    out->context = m.params.context;
    model_fingerprint(&m, out->fingerprint);
    snprintf(out->architecture, sizeof out->architecture, "%s", m.params.architecture);
    snprintf(out->quantization, sizeof out->quantization, "%s", file_type_name(&m.gguf));
    model_deinit(&m);
}

int index_know(struct index *x, const char *path, struct index_entry *out) {
    struct index_entry stamp;
    if (!read_stamp(path, &stamp)) return ERR_NOT_FOUND;
    int rc = index_recall(x, path, out);
    bool same = rc != ERR_NOT_FOUND && out->bytes == stamp.bytes && out->changed_ns == stamp.changed_ns;
    if (same && out->settled) return rc;
    *out = stamp;
    out->settled = time(NULL) - stamp.changed_ns / 1000000000 > SETTLED_S;
    read_header(path, out);
    pthread_mutex_lock(&x->mutex);
    put(x, path, out);
    pthread_mutex_unlock(&x->mutex);
    return out->readable ? 0 : ERR_INVALID;
}

int index_recall(struct index *x, const char *path, struct index_entry *out) {
    pthread_mutex_lock(&x->mutex);
    const struct slot *slot = find(x, path);
    if (slot) *out = slot->entry;
    pthread_mutex_unlock(&x->mutex);
    return slot == NULL ? ERR_NOT_FOUND : out->readable ? 0 : ERR_INVALID;
}

bool index_find(struct index *x, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], size_t *at,
                char path[INDEX_PATH_BYTES]) {
    bool found = false;
    pthread_mutex_lock(&x->mutex);
    for (; *at < x->count && !found; ++*at) {
        const struct slot *s = &x->slots[*at];
        found = s->entry.readable && memcmp(s->entry.fingerprint, fingerprint, MODEL_FINGERPRINT_BYTES) == 0;
        if (found) snprintf(path, INDEX_PATH_BYTES, "%s", s->path);
    }
    pthread_mutex_unlock(&x->mutex);
    return found;
}
