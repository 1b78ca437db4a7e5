#include "store/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/catalog.h"

enum { NAME_BYTES_MAX = 200, SUGGESTIONS_MAX = 3, DISTANCE_MAX = 3 };

static const char suffix[] = ".gguf";

void models_deinit(struct models *m) {
    for (size_t i = 0; i < m->count; i++) {
        free(m->entries[i].name);
        free(m->entries[i].path);
    }
    free(m->entries);
    *m = (struct models){0};
}

static const struct models_entry *find_name(const struct models *m, const char *name) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->entries[i].name, name) == 0) return &m->entries[i];
    return NULL;
}

static const char *file_name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* People see names, on terminals too. */
static bool is_plain(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f) return false;
    return true;
}

static int append(struct models *m, const char *name, struct models_entry entry) {
    if (!is_plain(name)) return 0;
    if (m->count == m->capacity) {
        size_t capacity = m->capacity == 0 ? 16 : 2 * m->capacity;
        struct models_entry *grown = realloc(m->entries, capacity * sizeof *grown);
        if (grown == NULL) return ERR_NOMEM;
        m->entries = grown;
        m->capacity = capacity;
    }
    entry.path = strdup(entry.path);
    entry.name = strdup(name);
    if (entry.name == NULL || entry.path == NULL) {
        free(entry.name);
        free(entry.path);
        return ERR_NOMEM;
    }
    m->entries[m->count++] = entry;
    return 0;
}

int models_add(struct models *m, const char *path, uint64_t bytes, bool read_only) {
    const char *file = file_name_of(path);
    size_t len = strlen(file), suffix_len = sizeof suffix - 1;
    if (len <= suffix_len || len > NAME_BYTES_MAX || strcmp(file + len - suffix_len, suffix) != 0) return 0;
    char name[NAME_BYTES_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)(len - suffix_len), file);
    const struct catalog_entry *known = read_only ? NULL : catalog_of_file(file, bytes);
    if (known != NULL) snprintf(name, sizeof name, "%s", known->name);
    if (find_name(m, name) != NULL) return 0;
    struct models_entry entry = {.path = (char *)(uintptr_t)path, .bytes = bytes, .read_only = read_only};
    return append(m, name, entry);
}

int models_add_folder(struct models *m, const char *path, uint64_t bytes, bool read_only) {
    const char *name = file_name_of(path);
    struct models_entry entry = {
        .path = (char *)(uintptr_t)path, .bytes = bytes, .read_only = read_only, .folder = true, .tensors = true};
    if (strlen(name) > NAME_BYTES_MAX || find_name(m, name) != NULL) return 0;
    return append(m, name, entry);
}

int models_add_pulled(struct models *m, const char *name, const struct models_entry *entry) {
    return find_name(m, name) == NULL ? append(m, name, *entry) : 0;
}

static int by_name(const void *a, const void *b) {
    const struct models_entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

void models_sort(struct models *m) {
    if (m->count > 0) qsort(m->entries, m->count, sizeof *m->entries, by_name);
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* Insertions, deletions and replacements between two short names (Wagner, Fischer: "The string-to-string correction
 * problem", 1974), one row of the table at a time. */
static unsigned edit_distance(const char *a, const char *b) {
    unsigned row[NAME_BYTES_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_BYTES_MAX || b_len > NAME_BYTES_MAX) return NAME_BYTES_MAX;
    for (size_t j = 0; j <= b_len; j++) row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

struct suggestions {
    const char *names[SUGGESTIONS_MAX]; /* nearest first */
    unsigned distances[SUGGESTIONS_MAX];
    size_t count;
};

static void suggest(struct suggestions *s, const char *wanted, const char *name) {
    unsigned distance = strstr(name, wanted) != NULL ? 1 : edit_distance(wanted, name);
    if (distance > DISTANCE_MAX) return;
    size_t at = s->count;
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0) return;
    while (at > 0 && s->distances[at - 1] > distance) at--;
    if (at == SUGGESTIONS_MAX) return;
    if (s->count < SUGGESTIONS_MAX) s->count++;
    for (size_t i = s->count - 1; i > at; i--) {
        s->names[i] = s->names[i - 1];
        s->distances[i] = s->distances[i - 1];
    }
    s->names[at] = name;
    s->distances[at] = distance;
}

static int not_found(const struct models *m, const char *name, struct error *error) {
    struct suggestions near = {0};
    for (size_t i = 0; i < m->count; i++) suggest(&near, name, m->entries[i].name);
    for (const struct catalog_entry *e = catalog_table; e->name; e++) suggest(&near, name, e->name);
    if (near.count == 0)
        return error_set(error, ERR_NOT_FOUND,
                         "there is no model \"%.*s\" (`caravan list` shows those that are here; a file NAME.gguf in a "
                         "folder of CARAVAN_MODELS is model NAME)",
                         NAME_BYTES_MAX, name);
    return error_set(error, ERR_NOT_FOUND, "there is no model \"%.*s\"; did you mean %s%s%s%s%s?", NAME_BYTES_MAX, name,
                     near.names[0], near.count > 1 ? " or " : "", near.count > 1 ? near.names[1] : "",
                     near.count > 2 ? " or " : "", near.count > 2 ? near.names[2] : "");
}

int models_find(const struct models *m, const char *name, const struct models_entry **out, struct error *error) {
    *out = find_name(m, name);
    if (*out != NULL) return 0;
    const struct catalog_entry *known = catalog_find(name);
    if (known == NULL) return not_found(m, name, error);
    for (size_t i = 0; i < m->count; i++) {
        const struct models_entry *entry = &m->entries[i];
        if (catalog_of_file(file_name_of(entry->path), entry->bytes) != known) continue;
        *out = entry;
        return 0;
    }
    return error_set(error, ERR_NOT_FOUND, "%s is not on this machine: `caravan pull %s` gets it", name, name);
}
