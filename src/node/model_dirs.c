#include "node/model_dirs.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/source.h"
#include "node/parcel.h"
#include "os/dir.h"

struct model_dirs {
    char *home, *given;
    struct index *index; /* NULL: none is kept */
    pthread_mutex_t mutex;
    struct scout *scouts[FOLDERS_MAX]; /* in the order of precedence */
    size_t count;
};

/* ---- the folders ---- */

/* Scouts whose folder is still one of them stay. */
static int renew(struct model_dirs *d) {
    struct scout *before[FOLDERS_MAX];
    struct scout_view view;
    struct folders folders;
    size_t had = d->count;
    memcpy(before, d->scouts, sizeof before);
    if (folders_find(&folders, d->home, d->given) != 0) return ERR_NOMEM;
    d->count = 0;
    for (size_t i = 0; i < folders.count; i++) {
        struct scout *kept = NULL;
        for (size_t k = 0; k < had && kept == NULL; k++) {
            scout_look(before[k], &view);
            if (view.where.kind == folders.list[i].kind && strcmp(view.where.path, folders.list[i].path) == 0)
                kept = scout_hold(before[k]);
        }
        if (kept == NULL) kept = scout_new(&folders.list[i], d->index);
        if (kept) d->scouts[d->count++] = kept;
    }
    for (size_t i = 0; i < had; i++) scout_release(before[i]);
    folders_deinit(&folders);
    return 0;
}

int model_dirs_new(struct model_dirs **out, const char *home, const char *given, struct index *index) {
    struct model_dirs *d = calloc(1, sizeof *d);
    if (d == NULL) return ERR_NOMEM;
    pthread_mutex_init(&d->mutex, NULL);
    d->home = strdup(home);
    d->given = strdup(given ? given : "");
    d->index = index ? index_hold(index) : NULL;
    if (d->home && d->given && renew(d) == 0) {
        *out = d;
        return 0;
    }
    model_dirs_free(d);
    return ERR_NOMEM;
}

void model_dirs_free(struct model_dirs *d) {
    if (d == NULL) return;
    for (size_t i = 0; i < d->count; i++) scout_release(d->scouts[i]);
    index_release(d->index);
    free(d->home);
    free(d->given);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

struct team {
    struct scout *scouts[FOLDERS_MAX];
    size_t count;
};

/* All of them, held, and on their way. */
static void send_all(struct model_dirs *d, struct team *team) {
    pthread_mutex_lock(&d->mutex);
    team->count = d->count;
    for (size_t i = 0; i < d->count; i++) team->scouts[i] = scout_hold(d->scouts[i]);
    pthread_mutex_unlock(&d->mutex);
    for (size_t i = 0; i < team->count; i++) scout_send(team->scouts[i]);
}

static void dismiss(struct team *team) {
    for (size_t i = 0; i < team->count; i++) scout_release(team->scouts[i]);
}

void model_dirs_look(struct model_dirs *d) {
    struct team team;
    send_all(d, &team);
    dismiss(&team);
}

int model_dirs_scan(struct model_dirs *d, struct models *out) {
    struct team team;
    int rc = 0;
    *out = (struct models){0};
    send_all(d, &team);
    for (size_t i = 0; i < team.count; i++) {
        (void)scout_wait(team.scouts[i]);
        if (rc == 0) rc = scout_report(team.scouts[i], out);
    }
    dismiss(&team);
    models_sort(out);
    return rc;
}

size_t model_dirs_folders(struct model_dirs *d, struct scout_view out[FOLDERS_MAX]) {
    struct team team;
    send_all(d, &team);
    for (size_t i = 0; i < team.count; i++) {
        (void)scout_wait(team.scouts[i]);
        scout_look(team.scouts[i], &out[i]);
    }
    dismiss(&team);
    return team.count;
}

bool model_dirs_answers(struct model_dirs *d, const char *path) {
    struct team team;
    struct scout_view view;
    bool answers = true;
    pthread_mutex_lock(&d->mutex);
    team.count = d->count;
    for (size_t i = 0; i < d->count; i++) team.scouts[i] = scout_hold(d->scouts[i]);
    pthread_mutex_unlock(&d->mutex);
    for (size_t i = 0; i < team.count; i++) {
        scout_look(team.scouts[i], &view);
        size_t len = strlen(view.where.path);
        if (strncmp(view.where.path, path, len) != 0 || path[len] != '/') continue;
        scout_send(team.scouts[i]);
        answers &= scout_wait(team.scouts[i]);
    }
    dismiss(&team);
    return answers;
}

/* What a scout finds there before it is one of the folders. */
static int check_folder(const char *path, struct error *error) {
    struct folder where = {.kind = FOLDER_ADDED};
    struct scout_view view;
    snprintf(where.path, sizeof where.path, "%s", path);
    struct scout *scout = scout_new(&where, NULL);
    if (scout == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    scout_send(scout);
    bool back = scout_wait(scout);
    scout_look(scout, &view);
    scout_release(scout);
    if (!back) return error_set(error, ERR_TIMEOUT, "%.300s does not answer", path);
    if (view.code == ERR_NOT_FOUND) return error_set(error, view.code, "there is no folder %.300s", path);
    return view.code ? error_set(error, view.code, "%.300s: %s", path, error_text(view.code)) : 0;
}

int model_dirs_add(struct model_dirs *d, const char *path, struct error *error) {
    struct scout_view view;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    if (path[0] != '/' || len >= FOLDER_PATH_BYTES)
        return error_set(error, ERR_INVALID, "'%.200s' is no absolute path of a folder", path);
    int rc = check_folder(path, error);
    pthread_mutex_lock(&d->mutex);
    for (size_t i = 0; rc == 0 && i < d->count; i++) {
        scout_look(d->scouts[i], &view);
        if (strlen(view.where.path) == len && strncmp(view.where.path, path, len) == 0)
            rc = error_set(error, ERR_EXISTS, "%.300s is one of the folders already", path);
    }
    if (rc == 0 && d->count == FOLDERS_MAX) rc = error_set(error, ERR_LIMIT, "there are too many folders");
    if (rc == 0) rc = folders_add(d->home, path, error);
    if (rc == 0) rc = renew(d);
    pthread_mutex_unlock(&d->mutex);
    return rc;
}

int model_dirs_drop(struct model_dirs *d, const char *path, struct error *error) {
    pthread_mutex_lock(&d->mutex);
    int rc = folders_drop(d->home, path, error);
    if (rc == 0) rc = renew(d);
    pthread_mutex_unlock(&d->mutex);
    return rc;
}

/* ---- models ---- */

/* What was pulled from there, under a name that is written in another way. */
static const struct models_entry *find_origin(const struct models *models, const struct origin *o) {
    struct origin named;
    for (size_t i = 0; i < models->count; i++)
        if (origin_parse(&named, models->entries[i].name, NULL) == 0 && origin_same(&named, o))
            return &models->entries[i];
    return NULL;
}

/* The model's own entry; `models` is the caller's to deinit in any case. */
static int find_entry(struct model_dirs *dirs, const char *name, struct models *models,
                      const struct models_entry **out, struct error *error) {
    struct origin o;
    if (model_dirs_scan(dirs, models) != 0) return error_set(error, ERR_NOMEM, "out of memory");
    int rc = models_find(models, name, out, error);
    if (rc == 0 || origin_parse(&o, name, NULL) != 0) return rc;
    *out = find_origin(models, &o);
    return *out ? 0 : rc;
}

static int does_not_answer(const struct models_entry *entry, struct error *error) {
    return error_set(error, ERR_TIMEOUT, "%.200s lies at %.250s, which does not answer", entry->name, entry->path);
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

static int find_path(struct model_dirs *dirs, const char *name, bool allow_paths, bool part,
                     char path[MODEL_DIRS_PATH_BYTES], struct error *error) {
    struct models models;
    const struct models_entry *entry;
    char plain[MODEL_DIRS_PATH_BYTES];
    if (allow_paths && strchr(name, '/') != NULL) {
        if (!scout_knock(source_place(name, plain)))
            return error_set(error, ERR_TIMEOUT, "%.300s does not answer", plain);
        int found = check_path(name, part, error);
        if (found == 0) memcpy(path, name, strlen(name) + 1);
        if (found != ERR_NOT_FOUND || !is_pullable(name)) return found;
    }
    int code = find_entry(dirs, source_place(name, plain), &models, &entry, error);
    if (code == 0 && entry->away) code = does_not_answer(entry, error);
    if (code == 0 && entry->partial && !part) code = not_whole(entry->name, error);
    if (code == 0 &&
        snprintf(path, MODEL_DIRS_PATH_BYTES, "%s%s", entry->path, recipe_suffix(name)) >= MODEL_DIRS_PATH_BYTES)
        code = error_set(error, ERR_LIMIT, "the model's path is too long");
    models_deinit(&models);
    return code;
}

int model_dirs_find(struct model_dirs *dirs, const char *name, bool allow_paths, char path[MODEL_DIRS_PATH_BYTES],
                    struct error *error) {
    return find_path(dirs, name, allow_paths, false, path, error);
}

int model_dirs_find_part(struct model_dirs *dirs, const char *name, bool allow_paths,
                         char path[MODEL_DIRS_PATH_BYTES], struct error *error) {
    return find_path(dirs, name, allow_paths, true, path, error);
}

bool model_dirs_has_elsewhere(struct model_dirs *dirs, const char *name, uint64_t *bytes) {
    struct models models;
    const struct models_entry *entry;
    bool found = find_entry(dirs, name, &models, &entry, NULL) == 0 && entry->read_only && !entry->away;
    if (found) *bytes = entry->bytes;
    models_deinit(&models);
    return found;
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

int model_dirs_remove(struct model_dirs *dirs, const char *name, struct error *error) {
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

int model_dirs_alias(struct model_dirs *dirs, const char *name, const char *alias, struct error *error) {
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
