#include "engine/hf_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/hf.h"

enum { PATH_BYTES = 4096, TEXT_BYTES_MAX = 256 << 20 };

static int path_of(const char *folder, const char *name, char out[PATH_BYTES], struct error *error) {
    int len = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    return len < PATH_BYTES ? 0 : error_set(error, ERR_LIMIT, "the path of the model is too long");
}

/* A whole file in the arena; *out stays as it is where there is none. */
static int read_text(const char *folder, const char *name, struct arena *arena, struct hf_text *out,
                     struct error *error) {
    char path[PATH_BYTES];
    struct file f;
    int rc = path_of(folder, name, path, error);
    if (rc < 0) return rc;
    rc = file_open(&f, path, error);
    if (rc == ERR_NOT_FOUND) return 0;
    if (rc < 0) return rc;
    char *text = f.bytes <= TEXT_BYTES_MAX ? arena_alloc(arena, (size_t)f.bytes + 1) : NULL;
    rc = text ? file_read_at(&f, 0, text, (size_t)f.bytes, error) : error_set(error, ERR_LIMIT, "%s is too big", path);
    if (rc == 0) *out = (struct hf_text){text, (size_t)f.bytes};
    file_close(&f);
    return rc;
}

static int open_shard(struct conversion *c, struct safetensors *shard, const char *folder, const char *name,
                      struct error *error) {
    char path[PATH_BYTES];
    uint8_t front[SAFETENSORS_FRONT_BYTES] = {0};
    size_t len = 0;
    struct file *f = &c->files[c->file_count];
    int rc = path_of(folder, name, path, error);
    if (rc == 0) rc = file_open(f, path, error);
    if (rc < 0) return rc;
    c->names[c->file_count++] = strdup(name);
    if (f->bytes >= sizeof front) rc = file_read_at(f, 0, front, sizeof front, error);
    if (rc == 0) rc = safetensors_header_bytes(front, f->bytes, &len, error);
    char *json = rc == 0 ? malloc(len + 1) : NULL;
    if (rc == 0)
        rc = json ? file_read_at(f, sizeof front, json, len, error) : error_set(error, ERR_NOMEM, "out of memory");
    if (rc == 0) rc = safetensors_parse(shard, json, len, f->bytes, error);
    free(json);
    return rc < 0 ? error_prefix(error, "%s: ", name) : 0;
}

static int open_shards(struct conversion *c, const char *folder, struct arena *arena, struct safetensors **shards,
                       struct error *error) {
    const char *single[] = {"model.safetensors"}, **names = single;
    struct hf_text index = {0};
    size_t count = 1;
    int rc = read_text(folder, "model.safetensors.index.json", arena, &index, error);
    if (rc == 0 && index.data) rc = hf_shard_names(index, arena, &names, &count, error);
    if (rc < 0) return rc;
    *shards = calloc(count, sizeof **shards);
    rc = *shards ? conversion_make_files(c, count, error) : error_set(error, ERR_NOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < count; i++) rc = open_shard(c, &(*shards)[i], folder, names[i], error);
    return rc;
}

static int read_texts(const char *folder, struct arena *arena, struct hf_files *out, struct error *error) {
    const struct {
        const char *name;
        struct hf_text *text;
    } texts[] = {{"config.json", &out->config},
                 {"tokenizer.json", &out->tokenizer},
                 {"tokenizer_config.json", &out->tokenizer_config},
                 {"generation_config.json", &out->generation_config},
                 {"1_Pooling/config.json", &out->pooling},
                 {"chat_template.jinja", &out->chat_template}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(texts); i++)
        rc = read_text(folder, texts[i].name, arena, texts[i].text, error);
    if (rc == 0 && !out->pooling.data) /* as a pull calls it */
        rc = read_text(folder, "1_Pooling.json", arena, &out->pooling, error);
    if (rc == 0 && !out->config.data)
        rc = error_set(error, ERR_NOT_FOUND, "there is no config.json: this is no model's folder");
    return rc;
}

static int convert(struct conversion *c, const struct hf_files *files, const struct recipe *r, struct gguf_writer *w,
                   struct error *error) {
    struct hf_result result;
    int rc = hf_convert(files, r, &result, error);
    if (rc == 0) { /* taken over */
        c->parts = result.parts;
        c->arena = result.arena;
        *w = result.writer;
        result = (struct hf_result){0};
    }
    hf_result_deinit(&result);
    return rc;
}

int hf_dir_open(struct conversion *c, const char *path, const struct recipe *r, struct gguf_writer *w,
                struct error *error) {
    struct arena arena = {0};
    struct hf_files files = {0};
    struct safetensors *shards = NULL;
    int rc = read_texts(path, &arena, &files, error);
    if (rc == 0) rc = open_shards(c, path, &arena, &shards, error);
    files.shards = shards;
    files.shard_count = c->file_count;
    if (rc == 0) rc = convert(c, &files, r, w, error);
    for (size_t i = 0; i < c->file_count; i++) safetensors_deinit(&shards[i]);
    free(shards);
    arena_deinit(&arena);
    return rc < 0 ? error_prefix(error, "%s: ", path) : 0;
}
