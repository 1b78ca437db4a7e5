#include "node/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/gguf_dir.h"
#include "model/gguf_part.h"
#include "node/parcel.h"
#include "node/survey_private.h"
#include "os/file.h"

enum { TEXT_BYTES_MAX = 1 << 20 };

void survey__progress(const struct survey *s) {
    if (s->progress) s->progress(s->context);
}

/* ---- what lies there ---- */

bool survey__is_gguf(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".gguf") == 0 && strncasecmp(name, "mmproj", 6) != 0 && strstr(name, "-mmproj") == NULL &&
           strstr(name, "_mmproj") == NULL;
}

struct found {
    uint64_t tensors, parts; /* bytes of safetensors, of parts of GGUF files */
    bool config;
};

static bool look_at(void *context, const struct dir_entry *entry) {
    struct found *f = context;
    const char *dot = strrchr(entry->name, '.');
    unsigned part, count;
    if (entry->folder || dot == NULL) return true;
    if (strcmp(dot, ".safetensors") == 0) f->tensors += entry->bytes;
    if (survey__is_gguf(entry->name) && gguf_part(entry->name, &part, &count)) f->parts += entry->bytes;
    f->config |= strcmp(entry->name, "config.json") == 0;
    return true;
}

bool survey__tensors(const char *path, uint64_t *bytes) {
    struct found f = {0};
    dir_list(path, look_at, &f);
    *bytes = f.tensors;
    return f.config && f.tensors > 0;
}

bool survey__parts(const char *path, uint64_t *bytes, char name[ORIGIN_NAME_BYTES]) {
    struct found f = {0};
    struct gguf_dir dir = {0};
    unsigned part, count;
    dir_list(path, look_at, &f);
    *bytes = f.parts;
    bool good = f.parts > 0 && gguf_dir_list(&dir, path, NULL) == 0 && dir.count > 0 &&
                gguf_part(dir.paths[0], &part, &count) && part == 1 && count == dir.count;
    if (good) {
        const char *first = strrchr(dir.paths[0], '/') + 1;
        snprintf(name, ORIGIN_NAME_BYTES, "%.*s", (int)(strlen(first) - strlen("-00001-of-00001.gguf")), first);
    }
    gguf_dir_deinit(&dir);
    return good;
}

bool survey__inside(const struct survey *s, const char *path) {
    char *root = realpath(s->folder->path, NULL), *real = realpath(path, NULL);
    size_t len = root ? strlen(root) : 0;
    bool inside = root && real && strncmp(real, root, len) == 0 && real[len] == '/';
    free(root);
    free(real);
    return inside;
}

int survey__add(const struct survey *s, const char *name, const char *path, uint64_t bytes, bool folder, bool tensors) {
    struct models_entry entry = {
        .path = (char *)(uintptr_t)path, .bytes = bytes, .read_only = true, .folder = folder, .tensors = tensors};
    return models_add_pulled(s->models, name, &entry);
}

char *survey__text(const char *path, size_t *len) {
    struct file f;
    if (file_open(&f, path, NULL) != 0) return NULL;
    char *text = f.bytes <= TEXT_BYTES_MAX ? malloc(f.bytes + 1) : NULL;
    if (text && file_read_at(&f, 0, text, f.bytes, NULL) != 0) {
        free(text);
        text = NULL;
    }
    *len = f.bytes;
    file_close(&f);
    return text;
}

/* ---- the node's own folder ---- */

/* Where a pulled model is: its file, if it is one that is here whole, else its folder. */
static void pulled_path(const struct manifest *m, const char *folder, struct models_entry *entry,
                        char out[FOLDER_PATH_BYTES]) {
    const char *first = manifest_file_name(m, 0), *dot = strrchr(first, '.');
    entry->tensors = dot == NULL || strcasecmp(dot, ".gguf") != 0;
    entry->partial = !m->complete;
    entry->folder = entry->tensors || entry->partial || m->file_count > 1;
    snprintf(out, FOLDER_PATH_BYTES, entry->folder ? "%s" : "%s/%s", folder, first);
    entry->path = out;
}

static int take_pulled(const struct survey *s, const struct manifest *m, const char *folder) {
    struct models_entry entry = {.bytes = manifest_bytes(m)};
    char path[FOLDER_PATH_BYTES];
    int rc = 0;
    pulled_path(m, folder, &entry, path);
    for (size_t i = 0; rc == 0 && m->known && i < m->name_count; i++)
        rc = models_add_pulled(s->models, m->names[i], &entry);
    return rc;
}

/* ---- folders of people ---- */

struct walk {
    const struct survey *survey;
    unsigned depth; /* folders that may follow below */
    int code;
};

static int take_folder(const struct survey *s, const char *path, unsigned depth);

static bool take_file(void *context, const struct dir_entry *entry) {
    struct walk *w = context;
    const struct survey *s = w->survey;
    unsigned part, count;
    survey__progress(s);
    if (!entry->folder && survey__is_gguf(entry->name) && !gguf_part(entry->name, &part, &count))
        w->code = models_add(s->models, entry->path, entry->bytes, s->folder->kind != FOLDER_OWN);
    return w->code == 0;
}

static bool take_below(void *context, const struct dir_entry *entry) {
    struct walk *w = context;
    survey__progress(w->survey);
    if (entry->folder) w->code = take_folder(w->survey, entry->path, w->depth - 1);
    return w->code == 0;
}

/* Files first: a name that lies higher wins. */
static int walk(const struct survey *s, const char *path, unsigned depth) {
    struct walk w = {.survey = s, .depth = depth};
    int rc = dir_list(path, take_file, &w);
    if (rc == 0 && w.code == 0 && depth > 0) rc = dir_list(path, take_below, &w);
    return w.code ? w.code : rc;
}

static int take_folder(const struct survey *s, const char *path, unsigned depth) {
    bool own = s->folder->kind == FOLDER_OWN;
    char name[ORIGIN_NAME_BYTES];
    struct manifest m;
    uint64_t bytes;
    int rc = own ? parcel_manifest(path, &m, NULL) : ERR_NOT_FOUND;
    if (rc == 0) {
        rc = take_pulled(s, &m, path);
        manifest_deinit(&m);
        return rc;
    }
    if (rc != ERR_NOT_FOUND) return 0;
    if (survey__tensors(path, &bytes)) return models_add_folder(s->models, path, bytes, !own);
    if (survey__parts(path, &bytes, name)) {
        struct models_entry entry = {
            .path = (char *)(uintptr_t)path, .bytes = bytes, .read_only = !own, .folder = true};
        return models_add_pulled(s->models, name, &entry);
    }
    rc = own ? 0 : walk(s, path, depth);
    return rc == ERR_NOMEM ? rc : 0; /* one that cannot be read holds nothing */
}

static int survey_plain(const struct survey *s) {
    const char *path = s->folder->path;
    uint64_t bytes;
    char name[ORIGIN_NAME_BYTES];
    if (s->folder->kind == FOLDER_OWN) return walk(s, path, 1);
    if (survey__tensors(path, &bytes) || survey__parts(path, &bytes, name)) return take_folder(s, path, 0);
    return walk(s, path, SURVEY_DEPTH);
}

int survey_run(const struct survey *s) {
    switch (s->folder->kind) {
    case FOLDER_OLLAMA: return survey__ollama(s);
    case FOLDER_HUB: return survey__hub(s);
    case FOLDER_LMSTUDIO: return survey__lmstudio(s);
    case FOLDER_LLAMACPP: return survey__llamacpp(s);
    default: return survey_plain(s);
    }
}
