#include "node/model_dirs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <strings.h>
#include <unistd.h>

#include "engine/source.h"
#include "node/parcel.h"
#include "os/dir.h"

struct scan {
    struct models *models;
    bool read_only;
    int code;
};

/* What a model's folder shows of itself: weights, and a config. */
struct folder {
    uint64_t bytes;
    bool config;
};

static bool look_at(void *context, const struct dir_entry *entry) {
    struct folder *f = context;
    const char *dot = strrchr(entry->name, '.');
    if (dot != NULL && strcmp(dot, ".safetensors") == 0) f->bytes += entry->bytes;
    f->config |= strcmp(entry->name, "config.json") == 0;
    return true;
}

/* Where a pulled model is: its file, if it is one that is here whole, else its folder. */
static void pulled_path(const struct manifest *m, const char *folder, struct models_entry *entry,
                        char out[MODEL_DIRS_PATH_BYTES]) {
    const char *first = manifest_file_name(m, 0), *dot = strrchr(first, '.');
    entry->tensors = dot == NULL || strcasecmp(dot, ".gguf") != 0;
    entry->partial = !m->complete;
    entry->folder = entry->tensors || entry->partial || m->file_count > 1;
    snprintf(out, MODEL_DIRS_PATH_BYTES, entry->folder ? "%s" : "%s/%s", folder, first);
    entry->path = out;
}

static int take_pulled(struct scan *scan, const struct manifest *m, const char *folder) {
    struct models_entry entry = {.bytes = manifest_bytes(m), .read_only = scan->read_only};
    char path[MODEL_DIRS_PATH_BYTES];
    int rc = 0;
    pulled_path(m, folder, &entry, path);
    for (size_t i = 0; rc == 0 && m->known && i < m->name_count; i++)
        rc = models_add_pulled(scan->models, m->names[i], &entry);
    return rc;
}

static int take_folder(struct scan *scan, const char *path) {
    struct folder f = {0};
    struct manifest m;
    int rc = parcel_manifest(path, &m, NULL);
    if (rc == 0) {
        rc = take_pulled(scan, &m, path);
        manifest_deinit(&m);
        return rc;
    }
    if (rc != ERR_NOT_FOUND) return 0;
    dir_list(path, look_at, &f);
    return f.config && f.bytes > 0 ? models_add_folder(scan->models, path, f.bytes, scan->read_only) : 0;
}

static bool take_entry(void *context, const struct dir_entry *entry) {
    struct scan *scan = context;
    scan->code = entry->folder ? take_folder(scan, entry->path)
                               : models_add(scan->models, entry->path, entry->bytes, scan->read_only);
    return scan->code == 0;
}

static int scan_folder(struct models *models, const char *path, bool read_only) {
    struct scan scan = {models, read_only, 0};
    dir_list(path, take_entry, &scan);
    return scan.code;
}

int model_dirs_scan(const struct model_dirs *dirs, struct models *out) {
    char path[MODEL_DIRS_PATH_BYTES];
    *out = (struct models){0};
    int n = snprintf(path, sizeof path, "%s/models", dirs->home);
    int code = n < (int)sizeof path ? scan_folder(out, path, false) : 0;
    for (const char *at = dirs->extra; at != NULL && *at != '\0' && code == 0;) {
        size_t len = strcspn(at, ":");
        if (len > 0 && len < sizeof path) {
            snprintf(path, sizeof path, "%.*s", (int)len, at);
            code = scan_folder(out, path, true);
        }
        at += len + (at[len] == ':');
    }
    models_sort(out);
    return code;
}

/* What was pulled from there, under a name that is written in another way. */
static const struct models_entry *find_origin(const struct models *models, const struct origin *o) {
    struct origin named;
    for (size_t i = 0; i < models->count; i++)
        if (origin_parse(&named, models->entries[i].name, NULL) == 0 && origin_same(&named, o))
            return &models->entries[i];
    return NULL;
}

/* The model's own entry; `models` is the caller's to deinit in any case. */
static int find_entry(const struct model_dirs *dirs, const char *name, struct models *models,
                      const struct models_entry **out, struct error *error) {
    struct origin o;
    if (model_dirs_scan(dirs, models) != 0) return error_set(error, ERR_NOMEM, "out of memory");
    int rc = models_find(models, name, out, error);
    if (rc == 0 || origin_parse(&o, name, NULL) != 0) return rc;
    *out = find_origin(models, &o);
    return *out ? 0 : rc;
}

static int not_whole(const char *name, struct error *error) {
    return error_set(error, ERR_AGAIN, "only a part of %.200s is here: `caravan pull %.200s` gets the rest", name,
                     name);
}

/* A file or folder is there, whatever it is to become, and whole. */
static int check_path(const char *path, bool part, struct error *error) {
    char place[SOURCE_PATH_BYTES];
    struct manifest m;
    if (strlen(path) >= MODEL_DIRS_PATH_BYTES) return error_set(error, ERR_LIMIT, "the model's path is too long");
    if (parcel_manifest(source_place(path, place), &m, NULL) == 0) {
        int rc = m.complete || part ? 0 : not_whole(m.names[0], error);
        manifest_deinit(&m);
        return rc;
    }
    if (access(place, F_OK) == 0) return 0;
    return error_set(error, ERR_NOT_FOUND, "%.400s: %s", place, strerror(errno));
}

static bool is_pullable(const char *name) {
    char plain[SOURCE_PATH_BYTES];
    struct origin o;
    return origin_parse(&o, source_place(name, plain), NULL) == 0;
}

static int find_path(const struct model_dirs *dirs, const char *name, bool allow_paths, bool part,
                     char path[MODEL_DIRS_PATH_BYTES], struct error *error) {
    struct models models;
    const struct models_entry *entry;
    char plain[MODEL_DIRS_PATH_BYTES];
    if (allow_paths && strchr(name, '/') != NULL) {
        int found = check_path(name, part, error);
        if (found == 0) memcpy(path, name, strlen(name) + 1);
        if (found != ERR_NOT_FOUND || !is_pullable(name)) return found;
    }
    int code = find_entry(dirs, source_place(name, plain), &models, &entry, error);
    if (code == 0 && entry->partial && !part) code = not_whole(entry->name, error);
    if (code == 0 &&
        snprintf(path, MODEL_DIRS_PATH_BYTES, "%s%s", entry->path, recipe_suffix(name)) >= MODEL_DIRS_PATH_BYTES)
        code = error_set(error, ERR_LIMIT, "the model's path is too long");
    models_deinit(&models);
    return code;
}

int model_dirs_find(const struct model_dirs *dirs, const char *name, bool allow_paths, char path[MODEL_DIRS_PATH_BYTES],
                    struct error *error) {
    return find_path(dirs, name, allow_paths, false, path, error);
}

int model_dirs_find_part(const struct model_dirs *dirs, const char *name, bool allow_paths,
                         char path[MODEL_DIRS_PATH_BYTES], struct error *error) {
    return find_path(dirs, name, allow_paths, true, path, error);
}

/* One of the names of what was pulled; with the last one its files. ERR_NOT_FOUND: it was not pulled. */
static int remove_pulled(const struct models_entry *entry, struct error *error) {
    struct parcel p = {0};
    size_t len = strlen(entry->path);
    if (!entry->folder)
        while (len > 0 && entry->path[len - 1] != '/') len--;
    snprintf(p.path, sizeof p.path, "%.*s", (int)len, entry->path);
    int rc = parcel_manifest(p.path, &p.manifest, error);
    if (rc < 0) return rc;
    if (p.manifest.name_count > 1) {
        manifest_remove_name(&p.manifest, entry->name);
        rc = parcel_save(&p, error);
    } else {
        rc = parcel_remove(p.path, error);
    }
    manifest_deinit(&p.manifest);
    return rc;
}

int model_dirs_remove(const struct model_dirs *dirs, const char *name, struct error *error) {
    struct models models;
    const struct models_entry *entry;
    int code = find_entry(dirs, name, &models, &entry, error), pulled;
    if (code != 0) goto out;
    if (entry->read_only)
        code = error_set(error, ERR_DENIED, "%s lies in a read-only folder: %.300s", name, entry->path);
    else if ((pulled = remove_pulled(entry, error)) != ERR_NOT_FOUND)
        code = pulled;
    else if (entry->folder)
        code = error_set(error, ERR_UNSUPPORTED, "%s is a folder; remove it yourself: %.300s", name, entry->path);
    else if (unlink(entry->path) != 0)
        code = error_set(error, ERR_IO, "%.300s: %s", entry->path, strerror(errno));
out:
    models_deinit(&models);
    return code;
}

/* A link may be replaced, a file may not. */
static int place_link(const char *target, const char *path, struct error *error) {
    struct stat st;
    if (lstat(path, &st) == 0) {
        if (!S_ISLNK(st.st_mode)) return error_set(error, ERR_EXISTS, "there is a model of that name");
        unlink(path);
    }
    if (symlink(target, path) == 0) return 0;
    return error_set(error, ERR_IO, "%.300s: %s", path, strerror(errno));
}

int model_dirs_alias(const struct model_dirs *dirs, const char *name, const char *alias, struct error *error) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:";
    char from[MODEL_DIRS_PATH_BYTES], real[MODEL_DIRS_PATH_BYTES], path[MODEL_DIRS_PATH_BYTES];
    size_t len = strlen(alias);
    if (len == 0 || len > 200 || alias[0] == '.' || strspn(alias, letters) != len)
        return error_set(error, ERR_INVALID, "'%.200s' is no name for a model: letters, digits and ._-: make one",
                         alias);
    int rc = model_dirs_find(dirs, name, false, from, error);
    if (rc) return rc;
    struct stat st;
    if (realpath(from, real) == NULL || stat(real, &st) != 0)
        return error_set(error, ERR_UNSUPPORTED, "'%.200s' is not a file that could have another name", name);
    snprintf(path, sizeof path, S_ISDIR(st.st_mode) ? "%s/models/%s" : "%s/models/%s.gguf", dirs->home, alias);
    return place_link(real, path, error);
}
