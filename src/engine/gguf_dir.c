#include "engine/gguf_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf_part.h"
#include "os/dir.h"
#include "os/file.h"

enum { PARTS_MAX = 1000 };

static const char suffix[] = ".gguf", tail[] = "-00001-of-00001.gguf";

void gguf_dir_deinit(struct gguf_dir *d) {
    for (size_t i = 0; i < d->count; i++) free(d->paths[i]);
    free(d->paths);
    *d = (struct gguf_dir){0};
}

static bool take(void *context, const struct dir_entry *entry) {
    struct gguf_dir *d = context;
    size_t len = strlen(entry->name);
    if (entry->folder || len < sizeof suffix || strcmp(entry->name + len - strlen(suffix), suffix) != 0) return true;
    if (d->count < PARTS_MAX && (d->paths[d->count] = strdup(entry->path)) != NULL) d->count++;
    return true;
}

static int by_name(const void *a, const void *b) {
    char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

/* What comes before the part's number. */
static size_t stem_len(const char *path) {
    size_t len = strlen(path);
    return len < strlen(tail) ? 0 : len - strlen(tail);
}

/* Is it part `number` of as many as there are, of the same file as the first? */
static bool is_part(const struct gguf_dir *d, size_t number) {
    char expected[sizeof tail + 32];
    const char *path = d->paths[number];
    size_t stem = stem_len(path);
    snprintf(expected, sizeof expected, "-%05zu-of-%05zu.gguf", number + 1, d->count);
    return strcmp(path + stem, expected) == 0 && strncmp(path, d->paths[0], stem) == 0;
}

static int list_folder(struct gguf_dir *d, const char *path, struct error *error) {
    int rc = dir_list(path, take, d);
    if (rc < 0) return error_set(error, rc, "%s: %s", path, error_text(rc));
    if (d->count > 0) qsort(d->paths, d->count, sizeof *d->paths, by_name);
    for (size_t i = 0; d->count > 1 && i < d->count; i++)
        if (!is_part(d, i))
            return error_set(error, ERR_INVALID, "%s: %s is not part %zu of %zu", path, d->paths[i], i + 1, d->count);
    return 0;
}

static int add_part(struct gguf_dir *d, const char *first, unsigned number, unsigned count, struct error *error) {
    size_t bytes = strlen(first) + 1;
    struct file f;
    char *path = malloc(bytes);
    if (path == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    snprintf(path, bytes, "%.*s-%05u-of-%05u.gguf", (int)stem_len(first), first, number, count);
    d->paths[d->count++] = path;
    int rc = file_open(&f, path, error);
    if (rc < 0) return error_prefix(error, "part %u of %u is missing: ", number, count);
    file_close(&f);
    return 0;
}

static int list_parts(struct gguf_dir *d, const char *path, struct error *error) {
    unsigned number = 1, count = 1;
    bool part = gguf_part(path, &number, &count);
    if (!part) return (d->paths[d->count++] = strdup(path)) ? 0 : error_set(error, ERR_NOMEM, "out of memory");
    if (count > PARTS_MAX) return error_set(error, ERR_LIMIT, "%s: the model has too many parts", path);
    if (number != 1)
        return error_set(error, ERR_INVALID, "%s is part %u of %u: name the first one", path, number, count);
    int rc = 0;
    for (number = 1; rc == 0 && number <= count; number++) rc = add_part(d, path, number, count, error);
    return rc;
}

int gguf_dir_list(struct gguf_dir *d, const char *path, struct error *error) {
    *d = (struct gguf_dir){.paths = calloc(PARTS_MAX, sizeof *d->paths)};
    if (d->paths == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    return file_is_folder(path) ? list_folder(d, path, error) : list_parts(d, path, error);
}

bool gguf_dir_is_part(const char *path) {
    unsigned number, count;
    return gguf_part(path, &number, &count) && count > 1;
}
