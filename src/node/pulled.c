#include "node/pulled.h"

#include <stdio.h>
#include <string.h>

#include "os/dir.h"

void pulled_home(const char *home, char out[PARCEL_PATH_BYTES]) {
    snprintf(out, PARCEL_PATH_BYTES, "%.3800s/models", home);
}

void pulled_place(const char *home, const struct manifest *m, char out[PARCEL_PATH_BYTES]) {
    char name[ORIGIN_FOLDER_BYTES];
    manifest_folder(m, name);
    snprintf(out, PARCEL_PATH_BYTES, "%.3800s/models/%s", home, name);
}

static bool goes_by(const struct manifest *m, const struct origin *origin) {
    struct origin named;
    bool found = false;
    for (size_t i = 0; i < m->name_count && !found; i++)
        found = origin_parse(&named, m->names[i], NULL) == 0 && origin_same(&named, origin);
    return found;
}

static bool holds(struct pulled_search *s, const struct manifest *m) {
    for (size_t i = 0; m->complete && i < m->file_count; i++) {
        const struct listing_file *f = &m->files[i];
        if (!f->hashed || f->bytes != s->file->bytes || memcmp(f->sha256, s->file->sha256, sizeof f->sha256) != 0)
            continue;
        snprintf(s->name, sizeof s->name, "%s", manifest_file_name(m, i));
        return true;
    }
    return false;
}

static bool look_into(void *context, const struct dir_entry *entry) {
    struct pulled_search *s = context;
    struct manifest m;
    if (!entry->folder || parcel_manifest(entry->path, &m, NULL) < 0) return true;
    s->found = s->origin && goes_by(&m, s->origin);
    s->found |= s->file && holds(s, &m);
    s->found |= s->fingerprint && m.known && memcmp(s->fingerprint, m.fingerprint, sizeof m.fingerprint) == 0;
    if (s->found) snprintf(s->path, sizeof s->path, "%s", entry->path);
    manifest_deinit(&m);
    return !s->found;
}

bool pulled_find(const char *home, struct pulled_search *s) {
    char models[PARCEL_PATH_BYTES];
    pulled_home(home, models);
    s->found = false;
    dir_list(models, look_into, s);
    return s->found;
}

void pulled_adopt(const char *home, const struct manifest *m, const char *path) {
    for (size_t i = 0; i < m->file_count; i++) {
        struct pulled_search s = {.file = &m->files[i]};
        if (m->files[i].hashed && pulled_find(home, &s) && strcmp(s.path, path) != 0)
            parcel_link(path, manifest_file_name(m, i), s.path, s.name);
    }
}
