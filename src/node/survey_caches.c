/* The caches of other programs: where in its folders each keeps what. Hugging Face's:
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache; the others': store/caches.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/survey_private.h"
#include "os/file.h"
#include "store/caches.h"
#include "model/gguf_part.h"

/* ---- Ollama ---- */

struct ollama {
    const struct survey *survey;
    const char *parts[4]; /* HOST, NAMESPACE, MODEL of the folders above */
    unsigned depth;
    int code;
};

static void ollama_name(const struct ollama *o, const char *tag, char out[ORIGIN_NAME_BYTES]) {
    bool own = strcmp(o->parts[0], "registry.ollama.ai") == 0, library = own && strcmp(o->parts[1], "library") == 0;
    snprintf(out, ORIGIN_NAME_BYTES, "%s%s%s%s%s:%s", own ? "" : o->parts[0], own ? "" : "/",
             library ? "" : o->parts[1], library ? "" : "/", o->parts[2], tag);
}

static int take_tag(const struct ollama *o, const struct dir_entry *tag) {
    const struct survey *s = o->survey;
    char digest[CACHES_DIGEST_BYTES], name[ORIGIN_NAME_BYTES], path[FOLDER_PATH_BYTES + 80];
    struct file f;
    size_t len;
    char *manifest = survey__text(tag->path, &len);
    bool good = manifest && caches_ollama_digest(manifest, len, digest);
    free(manifest);
    if (!good) return 0;
    snprintf(path, sizeof path, "%s/blobs/sha256-%s", s->folder->path, digest);
    if (!survey__inside(s, path) || file_open(&f, path, NULL) != 0) return 0;
    ollama_name(o, tag->name, name);
    int rc = survey__add(s, name, path, f.bytes, false, false);
    file_close(&f);
    return rc;
}

static bool take_level(void *context, const struct dir_entry *entry) {
    struct ollama *o = context, below = *o;
    survey__progress(o->survey);
    if (!entry->folder && o->depth == 3) o->code = take_tag(o, entry);
    if (entry->folder && o->depth < 3) {
        below.parts[below.depth++] = entry->name;
        dir_list(entry->path, take_level, &below);
        o->code = below.code;
    }
    return o->code == 0;
}

int survey__ollama(const struct survey *s) {
    char path[FOLDER_PATH_BYTES + 16];
    struct ollama o = {.survey = s};
    snprintf(path, sizeof path, "%s/manifests", s->folder->path);
    int rc = dir_list(path, take_level, &o);
    return o.code ? o.code : rc;
}

/* ---- repositories of a hub ---- */

struct repository {
    const struct survey *survey;
    char name[ORIGIN_NAME_BYTES]; /* "ORG/REPO" */
    const char *path;             /* of its files */
    unsigned depth;               /* folders below that may hold files */
    int code;
};

/* ORG/REPO:QUANT, as it would be pulled; where the file tells none, its own name. */
static int add_gguf(const struct repository *r, const char *stem, const char *path, uint64_t bytes, bool folder) {
    char quant[CACHES_QUANT_BYTES], name[ORIGIN_NAME_BYTES * 2];
    caches_quant(stem, quant);
    if (quant[0])
        snprintf(name, sizeof name, "%s:%s", r->name, quant);
    else
        snprintf(name, sizeof name, "hf.co/%s%s%s", r->name, path + strlen(r->path), folder ? ".gguf" : "");
    return survey__add(r->survey, name, path, bytes, folder, false);
}

/* In the hub's cache files are links to blobs; a link that leads elsewhere is not its own. */
static bool is_own(const struct survey *s, const char *path) {
    return s->folder->kind != FOLDER_HUB || survey__inside(s, path);
}

struct enclosure {
    const struct survey *survey;
    bool broken;
};

static bool check_own(void *context, const struct dir_entry *entry) {
    struct enclosure *e = context;
    e->broken |= !entry->folder && !is_own(e->survey, entry->path);
    return !e->broken;
}

static bool all_own(const struct survey *s, const char *path) {
    struct enclosure e = {.survey = s};
    dir_list(path, check_own, &e);
    return !e.broken;
}

static bool take_item(void *context, const struct dir_entry *entry);

/* A folder with the parts of one file is that file; in any other, files count one by one. */
static int take_folder(const struct repository *r, const char *path) {
    char stem[ORIGIN_NAME_BYTES];
    uint64_t bytes;
    struct repository below = *r;
    if (survey__tensors(path, &bytes))
        return all_own(r->survey, path) ? survey__add(r->survey, r->name, path, bytes, true, true) : 0;
    if (survey__parts(path, &bytes, stem)) return all_own(r->survey, path) ? add_gguf(r, stem, path, bytes, true) : 0;
    if (r->depth == 0) return 0;
    below.depth--;
    dir_list(path, take_item, &below);
    return below.code;
}

static bool take_item(void *context, const struct dir_entry *entry) {
    struct repository *r = context;
    unsigned part, count;
    char stem[ORIGIN_NAME_BYTES];
    survey__progress(r->survey);
    if (entry->folder) {
        r->code = take_folder(r, entry->path);
    } else if (survey__is_gguf(entry->name) && !gguf_part(entry->name, &part, &count) &&
               is_own(r->survey, entry->path)) {
        snprintf(stem, sizeof stem, "%.*s", (int)(strlen(entry->name) - strlen(".gguf")), entry->name);
        r->code = add_gguf(r, stem, entry->path, entry->bytes, false);
    }
    return r->code == 0;
}

static int take_repository(const struct survey *s, const char *name, const char *path) {
    struct repository r = {.survey = s, .path = path, .depth = SURVEY_DEPTH};
    struct origin o;
    if (origin_parse(&o, name, NULL) != 0 || strlen(name) >= sizeof r.name) return 0;
    snprintf(r.name, sizeof r.name, "%s", name);
    return take_folder(&r, path);
}

/* ---- Hugging Face ---- */

struct hub {
    const struct survey *survey;
    const char *repo; /* "ORG/REPO" */
    int code;
};

static bool take_snapshot(void *context, const struct dir_entry *entry) {
    struct hub *h = context;
    if (entry->folder) h->code = take_repository(h->survey, h->repo, entry->path);
    return h->code == 0;
}

/* The revision that "main" is; "" when nobody says. */
static void main_revision(const char *repo, char out[128]) {
    char path[FOLDER_PATH_BYTES + 16];
    struct file f;
    out[0] = '\0';
    snprintf(path, sizeof path, "%s/refs/main", repo);
    if (file_open(&f, path, NULL) != 0) return;
    if (f.bytes < 128 && file_read_at(&f, 0, out, f.bytes, NULL) == 0)
        out[f.bytes] = '\0';
    else
        out[0] = '\0';
    out[strcspn(out, " \t\r\n")] = '\0';
    if (!origin_plain_name(out)) out[0] = '\0';
    file_close(&f);
}

static bool take_models(void *context, const struct dir_entry *entry) {
    struct hub *h = context;
    char repo[ORIGIN_NAME_BYTES], path[FOLDER_PATH_BYTES + 160], revision[128];
    const char *org = entry->name + strlen("models--");
    survey__progress(h->survey);
    if (!entry->folder || strncmp(entry->name, "models--", strlen("models--")) != 0) return true;
    const char *name = strstr(org, "--");
    if (name == NULL || strlen(org) >= sizeof repo) return true;
    snprintf(repo, sizeof repo, "%.*s/%s", (int)(name - org), org, name + 2);
    main_revision(entry->path, revision);
    struct hub below = {.survey = h->survey, .repo = repo};
    snprintf(path, sizeof path, "%s/snapshots/%s", entry->path, revision);
    if (revision[0] && file_is_folder(path))
        below.code = take_repository(h->survey, repo, path);
    else if (snprintf(path, sizeof path, "%s/snapshots", entry->path) > 0)
        dir_list(path, take_snapshot, &below);
    h->code = below.code;
    return h->code == 0;
}

int survey__hub(const struct survey *s) {
    struct hub h = {.survey = s};
    int rc = dir_list(s->folder->path, take_models, &h);
    return h.code ? h.code : rc;
}

/* ---- LM Studio ---- */

static bool take_lmstudio_repo(void *context, const struct dir_entry *entry) {
    struct hub *h = context;
    char repo[ORIGIN_NAME_BYTES];
    survey__progress(h->survey);
    if (entry->folder && snprintf(repo, sizeof repo, "%s/%s", h->repo, entry->name) < (int)sizeof repo)
        h->code = take_repository(h->survey, repo, entry->path);
    return h->code == 0;
}

static bool take_lmstudio_org(void *context, const struct dir_entry *entry) {
    struct hub *h = context, below = {.survey = h->survey, .repo = entry->name};
    if (entry->folder) dir_list(entry->path, take_lmstudio_repo, &below);
    h->code = below.code;
    return h->code == 0;
}

int survey__lmstudio(const struct survey *s) {
    struct hub h = {.survey = s};
    int rc = dir_list(s->folder->path, take_lmstudio_org, &h);
    return h.code ? h.code : rc;
}

/* ---- llama.cpp ---- */

static bool take_manifest(void *context, const struct dir_entry *entry) {
    struct hub *h = context;
    const struct survey *s = h->survey;
    char repo[ORIGIN_NAME_BYTES], name[ORIGIN_NAME_BYTES], flat[2 * ORIGIN_NAME_BYTES], path[FOLDER_PATH_BYTES * 2];
    struct file f;
    size_t len;
    survey__progress(s);
    if (entry->folder || !caches_llamacpp_name(entry->name, repo, name)) return true;
    char *manifest = survey__text(entry->path, &len);
    bool good = manifest && caches_llamacpp_file(manifest, len, repo, flat) && survey__is_gguf(flat);
    free(manifest);
    if (!good) return true;
    snprintf(path, sizeof path, "%s/%s", s->folder->path, flat);
    if (file_open(&f, path, NULL) != 0) return true;
    h->code = survey__add(s, name, path, f.bytes, false, false);
    file_close(&f);
    return h->code == 0;
}

static bool is_taken(const struct models *m, const char *path) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->entries[i].path, path) == 0) return true;
    return false;
}

static bool take_other(void *context, const struct dir_entry *entry) {
    struct hub *h = context;
    unsigned part, count;
    if (!entry->folder && survey__is_gguf(entry->name) && !gguf_part(entry->name, &part, &count) &&
        !is_taken(h->survey->models, entry->path))
        h->code = models_add(h->survey->models, entry->path, entry->bytes, true);
    return h->code == 0;
}

int survey__llamacpp(const struct survey *s) {
    struct hub h = {.survey = s};
    int rc = dir_list(s->folder->path, take_manifest, &h);
    if (rc == 0 && h.code == 0) rc = dir_list(s->folder->path, take_other, &h);
    return h.code ? h.code : rc;
}
