#include "store/listing.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/size.h"
#include "base/text.h"
#include "model/gguf_part.h"

enum { QUANTS_SHOWN = 24 };

static const char gguf_suffix[] = ".gguf", tensors_suffix[] = ".safetensors";

/* Looked for in this order where nobody says which. */
static const char *const usual_quants[] = {"Q4_K_M", "Q4_K_S", "Q4_0",   "Q4_1", "Q5_K_M", "Q5_K_S", "Q6_K",
                                           "Q8_0",   "MXFP4",  "Q3_K_M", "BF16", "F16",    "F32"};

void listing_deinit(struct listing *l) {
    free(l->files);
    *l = (struct listing){0};
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends(const char *path, const char *with) {
    size_t len = strlen(path), tail = strlen(with);
    return len > tail && strcasecmp(path + len - tail, with) == 0;
}

/* ---- reading ---- */

bool listing_sha256(const char *text, uint8_t out[LISTING_SHA256_BYTES]) {
    return text && strnlen(text, 65) == 2 * LISTING_SHA256_BYTES && hex_read(text, out, LISTING_SHA256_BYTES);
}

static bool good_path(const char *path) {
    size_t len = path ? strlen(path) : 0;
    if (len == 0 || len >= ORIGIN_NAME_BYTES || path[0] == '/' || strstr(path, "..") != NULL) return false;
    return origin_plain_name(file_name(path));
}

static bool read_file(const json_t *item, struct listing_file *out) {
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *path = json_string_value(json_object_get(item, "path"));
    if (path == NULL) path = json_string_value(json_object_get(item, "rfilename"));
    if ((type && strcmp(type, "file") != 0) || !good_path(path)) return false;
    const json_t *lfs = json_object_get(item, "lfs");
    const json_t *size = json_object_get(lfs, "size") ? json_object_get(lfs, "size") : json_object_get(item, "size");
    const char *hash = json_string_value(json_object_get(lfs, "oid"));
    if (hash == NULL) hash = json_string_value(json_object_get(lfs, "sha256"));
    if (hash && strncmp(hash, "sha256:", 7) == 0) hash += 7;
    *out = (struct listing_file){.bytes = json_integer_value(size) > 0 ? (uint64_t)json_integer_value(size) : 0};
    snprintf(out->path, sizeof out->path, "%s", path);
    out->hashed = listing_sha256(hash, out->sha256);
    const char *etag = json_string_value(json_object_get(item, "etag"));
    snprintf(out->etag, sizeof out->etag, "%s", etag ? etag : "");
    return true;
}

static int append(struct listing *l, const json_t *list, struct error *error) {
    size_t i, more = json_array_size(list);
    const json_t *item;
    if (l->count + more > LISTING_FILES_MAX) return error_set(error, ERR_LIMIT, "the repository has too many files");
    struct listing_file *grown = realloc(l->files, (l->count + more + 1) * sizeof *grown);
    if (grown == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    l->files = grown;
    json_array_foreach(list, i, item) if (read_file(item, &l->files[l->count])) l->count++;
    return 0;
}

int listing_read(struct listing *l, const char *json, size_t len, struct error *error) {
    json_t *page = json_loadb(json, len, 0, NULL);
    const json_t *list = json_is_object(page) ? json_object_get(page, "siblings") : page;
    int rc = json_is_array(list) ? append(l, list, error)
                                 : error_set(error, ERR_INVALID, "the hub's answer is no list of files");
    json_decref(page);
    return rc;
}

/* ---- choosing ---- */

/* Stands the word in the text, with no letter or digit (and no more of a format's name) at its sides? */
static bool has_word(const char *text, const char *word) {
    size_t len = strlen(word);
    for (const char *at = text; *at; at++) {
        if (strncasecmp(at, word, len) != 0) continue;
        bool begins = at == text || !isalnum((unsigned char)at[-1]);
        bool stops = !isalnum((unsigned char)at[len]) && at[len] != '_';
        if (begins && stops) return true;
    }
    return false;
}

/* A GGUF file with a model in it, not a projector of pictures or a matrix of importance. */
static bool is_model_file(const char *path) {
    const char *name = file_name(path);
    return ends(path, gguf_suffix) && strncasecmp(name, "mmproj", 6) != 0 && strstr(name, "imatrix") == NULL;
}

static int by_path(const void *a, const void *b) {
    const struct listing_file *left = a, *right = b;
    return strcmp(left->path, right->path);
}

/* The first file of the best candidate: whole ones before split ones, short paths before long ones. */
static const struct listing_file *find_gguf(const struct listing *l, const char *quant) {
    const struct listing_file *best = NULL;
    for (size_t i = 0; i < l->count; i++) {
        const struct listing_file *f = &l->files[i];
        unsigned part = 1, count = 1;
        if (!is_model_file(f->path) || (quant && !has_word(f->path, quant))) continue;
        if (gguf_part(f->path, &part, &count) && part != 1) continue;
        if (best == NULL || strlen(f->path) < strlen(best->path)) best = f;
    }
    return best;
}

static bool keep(struct listing *l, const struct listing_file *kept, size_t count, struct error *error) {
    struct listing_file *copy = calloc(count, sizeof *copy);
    if (copy == NULL) return error_set(error, ERR_NOMEM, "out of memory") == 0;
    memcpy(copy, kept, count * sizeof *copy);
    free(l->files);
    l->files = copy;
    l->count = count;
    return true;
}

/* All parts of what `first` begins, which is a whole file more often than not. */
static int choose_parts(struct listing *l, const struct listing_file *first, struct error *error) {
    unsigned part = 1, count = 1, of = 1, missing = 0;
    bool split = gguf_part(first->path, &part, &count);
    size_t stem = strlen(first->path) - strlen("-00001-of-00001.gguf"), found = 0;
    struct listing_file *parts = calloc(count, sizeof *parts);
    if (parts == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->count; i++) {
        const struct listing_file *f = &l->files[i];
        bool same = split ? gguf_part(f->path, &part, &of) && of == count && strncmp(f->path, first->path, stem) == 0
                          : f == first;
        if (!same || parts[part - 1].path[0]) continue;
        parts[part - 1] = *f;
        found++;
    }
    while (missing < count && parts[missing].path[0]) missing++;
    int rc = 0;
    if (found < count)
        rc = error_set(error, ERR_NOT_FOUND, "%.300s: only %zu of its %u parts are there, part %u is missing",
                       first->path, found, count, missing + 1);
    else if (!keep(l, parts, count, error))
        rc = ERR_NOMEM;
    free(parts);
    return rc;
}

static bool wanted_of_folder(const char *path) {
    static const char *const texts[] = {"config.json",           "tokenizer.json",
                                        "tokenizer_config.json", "generation_config.json",
                                        "chat_template.jinja",   "model.safetensors.index.json",
                                        "1_Pooling/config.json"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strcmp(path, texts[i]) == 0) return true;
    if (strchr(path, '/') != NULL) return false;
    return strncmp(path, "model", 5) == 0 && ends(path, tensors_suffix);
}

static int choose_folder(struct listing *l, struct error *error) {
    bool config = false, tensors = false;
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!wanted_of_folder(l->files[i].path)) continue;
        config |= strcmp(l->files[i].path, "config.json") == 0;
        tensors |= ends(l->files[i].path, tensors_suffix);
        l->files[kept++] = l->files[i];
    }
    l->count = kept;
    if (config && tensors) return 0;
    return error_set(error, ERR_NOT_FOUND, "the repository holds neither a GGUF file nor config.json and safetensors");
}

static int nothing_fits(const struct listing *l, const char *quant, struct error *error) {
    struct text there = {0};
    size_t shown = 0;
    for (size_t i = 0; i < l->count && shown < QUANTS_SHOWN; i++) {
        unsigned part = 1, count = 1;
        if (!is_model_file(l->files[i].path)) continue;
        if (gguf_part(l->files[i].path, &part, &count) && part != 1) continue;
        text_printf(&there, "%s%s", shown++ ? ", " : "", file_name(l->files[i].path));
    }
    int rc = error_set(error, ERR_NOT_FOUND, "the repository has no GGUF file of type %s%s%.300s", quant,
                       shown ? "; there are " : " (and no other)", text_str(&there));
    text_deinit(&there);
    return rc;
}

static int choose_file(struct listing *l, const char *path, struct error *error) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->files[i].path, path) == 0) return choose_parts(l, &l->files[i], error);
    return error_set(error, ERR_NOT_FOUND, "the repository has no file %.300s", path);
}

int listing_choose(struct listing *l, const struct origin *o, struct error *error) {
    if (l->count > 0) qsort(l->files, l->count, sizeof *l->files, by_path);
    if (o->file[0]) return choose_file(l, o->file, error);
    const struct listing_file *found = o->quant[0] ? find_gguf(l, o->quant) : NULL;
    for (size_t i = 0; !o->quant[0] && found == NULL && i < ARRAY_LEN(usual_quants); i++)
        found = find_gguf(l, usual_quants[i]);
    if (!o->quant[0] && found == NULL) found = find_gguf(l, NULL);
    if (found) return choose_parts(l, found, error);
    return o->quant[0] ? nothing_fits(l, o->quant, error) : choose_folder(l, error);
}
