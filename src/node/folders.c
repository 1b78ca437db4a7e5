#include "node/folders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "os/file.h"

enum { LIST_BYTES_MAX = 1 << 20 };

const char *folder_kind_name(enum folder_kind kind) {
    static const char *const names[] = {"own", "given", "added", "ollama", "hub", "lmstudio", "llamacpp"};
    return names[kind];
}

static int without_slashes(const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    return (int)len;
}

/* One that is there already keeps its place. */
static void append(struct folders *f, enum folder_kind kind, const char *base, const char *rest) {
    struct folder *out = &f->list[f->count];
    if (f->count == FOLDERS_MAX || base == NULL || base[0] == '\0') return;
    if (snprintf(out->path, FOLDER_PATH_BYTES, "%s%s", base, rest) >= FOLDER_PATH_BYTES) return;
    out->path[without_slashes(out->path)] = '\0';
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->list[i].path, out->path) == 0) return;
    out->kind = kind;
    f->count++;
}

static void append_given(struct folders *f, const char *given) {
    char path[FOLDER_PATH_BYTES];
    for (const char *at = given; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ":");
        if (len > 0 && len < sizeof path) {
            snprintf(path, sizeof path, "%.*s", (int)len, at);
            append(f, FOLDER_GIVEN, path, "");
        }
        at += len + (at[len] == ':');
    }
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* Each program's own rules: docs of Ollama (OLLAMA_MODELS), huggingface_hub (HF_HUB_CACHE), llama.cpp (LLAMA_CACHE). */
static void append_caches(struct folders *f) {
    const char *home = variable("HOME"), *ollama = variable("OLLAMA_MODELS"), *hub = variable("HF_HUB_CACHE");
    const char *hf = variable("HF_HOME"), *llama = variable("LLAMA_CACHE"), *xdg = variable("XDG_CACHE_HOME");
    append(f, FOLDER_OLLAMA, ollama ? ollama : home, ollama ? "" : "/.ollama/models");
    if (ollama == NULL) append(f, FOLDER_OLLAMA, "/usr/share/ollama/.ollama/models", "");
    append(f, FOLDER_HUB, hub ? hub : hf ? hf : xdg ? xdg : home,
           hub   ? ""
           : hf  ? "/hub"
           : xdg ? "/huggingface/hub"
                 : "/.cache/huggingface/hub");
    append(f, FOLDER_LMSTUDIO, home, "/.lmstudio/models");
    append(f, FOLDER_LMSTUDIO, home, "/.cache/lm-studio/models");
    append(f, FOLDER_LLAMACPP, llama ? llama : xdg ? xdg : home, llama ? "" : xdg ? "/llama.cpp" : "/.cache/llama.cpp");
}

/* ---- HOME/folders ---- */

static bool list_path(const char *home, char out[FOLDER_PATH_BYTES]) {
    return snprintf(out, FOLDER_PATH_BYTES, "%s/folders", home) < FOLDER_PATH_BYTES;
}

/* What it holds; nothing when there is none. */
static int read_list(const char *home, struct text *out, struct error *error) {
    char path[FOLDER_PATH_BYTES];
    struct file f;
    if (!list_path(home, path)) return error_set(error, ERR_LIMIT, "the path of the node's home is too long");
    int rc = file_open(&f, path, error);
    if (rc < 0) return rc == ERR_NOT_FOUND ? 0 : rc;
    char *bytes = f.bytes <= LIST_BYTES_MAX ? malloc(f.bytes + 1) : NULL;
    rc = bytes ? file_read_at(&f, 0, bytes, f.bytes, error) : error_set(error, ERR_LIMIT, "%s is too big", path);
    if (rc == 0) text_add(out, bytes, f.bytes);
    free(bytes);
    file_close(&f);
    return rc;
}

static int write_list(const char *home, const struct text *lines, struct error *error) {
    char path[FOLDER_PATH_BYTES];
    if (!list_path(home, path)) return error_set(error, ERR_LIMIT, "the path of the node's home is too long");
    return file_replace(path, text_str(lines), lines->len, error);
}

static void each_line(const struct text *lines, void (*take)(void *context, const char *line, size_t len),
                      void *context) {
    for (const char *at = text_str(lines); *at;) {
        size_t len = strcspn(at, "\n");
        if (len > 0) take(context, at, len);
        at += len + (at[len] == '\n');
    }
}

static void take_added(void *context, const char *line, size_t len) {
    char path[FOLDER_PATH_BYTES];
    if (snprintf(path, sizeof path, "%.*s", (int)len, line) < (int)sizeof path) append(context, FOLDER_ADDED, path, "");
}

int folders_find(struct folders *out, const char *home, const char *given) {
    struct text added = {0};
    *out = (struct folders){.list = calloc(FOLDERS_MAX + 1, sizeof *out->list)};
    if (out->list == NULL) return ERR_NOMEM;
    append(out, FOLDER_OWN, home, "/models");
    append_given(out, given);
    (void)read_list(home, &added, NULL);
    each_line(&added, take_added, out);
    text_deinit(&added);
    append_caches(out);
    return 0;
}

void folders_deinit(struct folders *f) {
    free(f->list);
    *f = (struct folders){0};
}

int folders_add(const char *home, const char *path, struct error *error) {
    struct text lines = {0};
    if (path[0] != '/' || strpbrk(path, "\n\r") || strlen(path) >= FOLDER_PATH_BYTES)
        return error_set(error, ERR_INVALID, "'%.200s' is no absolute path of a folder", path);
    int rc = read_list(home, &lines, error);
    text_printf(&lines, "%s%.*s\n", lines.len > 0 && lines.data[lines.len - 1] != '\n' ? "\n" : "",
                without_slashes(path), path);
    if (rc == 0) rc = lines.failed ? error_set(error, ERR_NOMEM, "out of memory") : write_list(home, &lines, error);
    text_deinit(&lines);
    return rc;
}

struct dropping {
    const char *path;
    struct text kept;
    bool found;
};

static void keep_others(void *context, const char *line, size_t len) {
    struct dropping *d = context;
    if ((size_t)without_slashes(d->path) == len && memcmp(line, d->path, len) == 0)
        d->found = true;
    else
        text_printf(&d->kept, "%.*s\n", (int)len, line);
}

int folders_drop(const char *home, const char *path, struct error *error) {
    struct text lines = {0};
    struct dropping d = {.path = path};
    int rc = read_list(home, &lines, error);
    if (rc == 0) each_line(&lines, keep_others, &d);
    if (rc == 0 && !d.found) rc = error_set(error, ERR_NOT_FOUND, "%.300s was not added here", path);
    if (rc == 0) rc = d.kept.failed ? error_set(error, ERR_NOMEM, "out of memory") : write_list(home, &d.kept, error);
    text_deinit(&lines);
    text_deinit(&d.kept);
    return rc;
}
