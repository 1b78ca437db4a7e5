#include "node/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/write.h"
#include "node/parcel.h"
#include "node/stock.h"
#include "os/dir.h"
#include "os/file.h"

enum { TWINS_BYTES_MIN = 1 << 20, BLOCK_BYTES = 4 << 20, FILES_MAX = 4096 };

/* A file that may have a twin. */
struct twin {
    char path[PARCEL_PATH_BYTES];
    struct stat st;
};

struct pruning {
    const struct prune *how;
    json_t *removed, *linked, *errors;
    uint64_t freed;
    struct twin *files;
    size_t file_count;
};

static void note(json_t *errors, const char *path, const char *why) {
    char text[PARCEL_PATH_BYTES + ERROR_TEXT_BYTES];
    snprintf(text, sizeof text, "%.4000s: %s", path, why);
    json_array_append_new(errors, write_string(text));
}

static void tell_removed(struct pruning *p, const char *path, uint64_t bytes, const char *why) {
    json_array_append_new(p->removed, json_pack("{s:o, s:I, s:s}", "path", write_string(path), "bytes",
                                                (json_int_t)bytes, "why", why));
    p->freed += bytes;
}

/* ---- what nobody needs ---- */

static bool is_used(const struct prune *how, const struct manifest *m) {
    for (size_t i = 0; m->known && i < how->used_count; i++)
        if (memcmp(how->used[i], m->fingerprint, WIRE_FINGERPRINT_BYTES) == 0) return true;
    return false;
}

/* Is it being fetched? One that rests is the stock's to forget. */
static bool is_under_way(const struct prune *how, const struct manifest *m, const char **resting) {
    struct stock_view view;
    for (size_t i = 0; i < m->name_count; i++) {
        if (!stock_find(how->stock, m->names[i], &view) || view.state == STOCK_DONE) continue;
        if (view.state != STOCK_PAUSED && view.state != STOCK_FAILED) return true;
        *resting = m->names[i];
    }
    return false;
}

static void prune_parcel(struct pruning *p, const char *path, const struct manifest *m) {
    const struct prune *how = p->how;
    const char *resting = NULL;
    struct error error = {0};
    if (m->complete || is_used(how, m) || (!m->whole && !how->parts) || is_under_way(how, m, &resting)) return;
    uint64_t bytes = parcel_used(path);
    int rc = how->dry ? 0 : resting ? stock_cancel(how->stock, resting, &error) : parcel_remove(path, &error);
    if (rc < 0)
        note(p->errors, path, error.text);
    else
        tell_removed(p, path, bytes, m->whole ? "a pull that was left unfinished" : "a part of a model");
}

static bool is_empty(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *found = NULL;
    while (dir && (found = readdir(dir)) != NULL)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0) break;
    if (dir) closedir(dir);
    return dir && found == NULL;
}

static void prune_folder(struct pruning *p, const char *path) {
    struct manifest m;
    if (parcel_manifest(path, &m, NULL) == 0) {
        prune_parcel(p, path, &m);
        manifest_deinit(&m);
    } else if (is_empty(path)) {
        if (p->how->dry || rmdir(path) == 0) tell_removed(p, path, 0, "an empty folder");
    }
}

static void prune_link(struct pruning *p, const char *path) {
    struct stat st;
    if (stat(path, &st) == 0 || errno != ENOENT) return;
    if (p->how->dry || unlink(path) == 0)
        tell_removed(p, path, 0, "a link that leads nowhere");
    else
        note(p->errors, path, strerror(errno));
}

static void prune_models(struct pruning *p, const char *models) {
    DIR *dir = opendir(models);
    const struct dirent *found;
    while (dir && (found = readdir(dir)) != NULL) {
        char path[PARCEL_PATH_BYTES];
        struct stat st;
        int len = snprintf(path, sizeof path, "%s/%s", models, found->d_name);
        if (found->d_name[0] == '.' || len >= PARCEL_PATH_BYTES || lstat(path, &st) != 0) continue;
        if (S_ISLNK(st.st_mode)) prune_link(p, path);
        if (S_ISDIR(st.st_mode)) prune_folder(p, path);
    }
    if (dir) closedir(dir);
}

/* ---- what lies there twice ---- */

static void add_twin(struct pruning *p, const char *path) {
    struct twin *t = &p->files[p->file_count];
    if (p->file_count == FILES_MAX || lstat(path, &t->st) != 0 || !S_ISREG(t->st.st_mode) ||
        t->st.st_size < TWINS_BYTES_MIN)
        return;
    snprintf(t->path, sizeof t->path, "%s", path);
    p->file_count++;
}

static bool take_file(void *context, const struct dir_entry *entry) {
    if (!entry->folder) add_twin(context, entry->path);
    return true;
}

/* Files of people, and of pulls that are complete: nobody writes to those. */
static bool take_entry(void *context, const struct dir_entry *entry) {
    struct pruning *p = context;
    struct manifest m;
    if (!entry->folder) add_twin(p, entry->path);
    if (entry->folder && parcel_manifest(entry->path, &m, NULL) == 0) {
        if (m.complete) dir_list(entry->path, take_file, p);
        manifest_deinit(&m);
    }
    return true;
}

static bool same_blocks(const struct file *a, const struct file *b, uint8_t *left, uint8_t *right) {
    for (uint64_t at = 0; at < a->bytes; at += BLOCK_BYTES) {
        size_t len = a->bytes - at < BLOCK_BYTES ? (size_t)(a->bytes - at) : BLOCK_BYTES;
        if (file_read_at(a, at, left, len, NULL) != 0 || file_read_at(b, at, right, len, NULL) != 0 ||
            memcmp(left, right, len) != 0)
            return false;
    }
    return true;
}

static bool same_bytes(const char *first, const char *second) {
    struct file a, b;
    if (file_open(&a, first, NULL) != 0) return false;
    bool same = file_open(&b, second, NULL) == 0;
    if (same) {
        uint8_t *blocks = malloc(2 * (size_t)BLOCK_BYTES);
        same = blocks && a.bytes == b.bytes && same_blocks(&a, &b, blocks, blocks + BLOCK_BYTES);
        free(blocks);
        file_close(&b);
    }
    file_close(&a);
    return same;
}

/* `path` becomes another name of `to` in one step. */
static int link_over(const char *path, const char *to) {
    char temporary[PARCEL_PATH_BYTES + 8];
    snprintf(temporary, sizeof temporary, "%s.twin", path);
    unlink(temporary);
    if (link(to, temporary) != 0) return -1;
    if (rename(temporary, path) == 0) return 0;
    unlink(temporary);
    return -1;
}

static bool may_be_twins(const struct stat *a, const struct stat *b) {
    return a->st_size == b->st_size && a->st_dev == b->st_dev && a->st_ino != b->st_ino;
}

static void join_twins(struct pruning *p, struct twin *t, const struct twin *to) {
    if (!may_be_twins(&t->st, &to->st) || !same_bytes(t->path, to->path)) return;
    if (!p->how->dry && link_over(t->path, to->path) != 0) {
        note(p->errors, t->path, strerror(errno));
        return;
    }
    uint64_t bytes = t->st.st_nlink == 1 ? (uint64_t)t->st.st_blocks * 512 : 0;
    json_array_append_new(p->linked, json_pack("{s:o, s:o, s:I}", "path", write_string(t->path), "to",
                                               write_string(to->path), "bytes", (json_int_t)bytes));
    p->freed += bytes;
    t->st = to->st;
}

static void join_all(struct pruning *p, const char *models) {
    p->files = calloc(FILES_MAX + 1, sizeof *p->files);
    if (p->files) dir_list(models, take_entry, p);
    for (size_t i = 1; i < p->file_count; i++)
        for (size_t k = 0; k < i; k++) join_twins(p, &p->files[i], &p->files[k]);
    free(p->files);
}

json_t *prune_run(const struct prune *how) {
    char models[PARCEL_PATH_BYTES];
    struct pruning p = {.how = how, .removed = json_array(), .linked = json_array(), .errors = json_array()};
    if (snprintf(models, sizeof models, "%s/models", how->home) < PARCEL_PATH_BYTES) {
        prune_models(&p, models);
        join_all(&p, models);
    }
    return json_pack("{s:o, s:o, s:I, s:o}", "removed", p.removed, "linked", p.linked, "freed_bytes",
                     (json_int_t)p.freed, "errors", p.errors);
}
