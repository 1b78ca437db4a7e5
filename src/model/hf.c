#include "model/hf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/hf_private.h"

enum { SHARDS_MAX = 4096 };

static const char index_name[] = "model.safetensors.index.json";

/* *out stays NULL where there is no such file. */
static int parse(struct hf_text text, const char *name, json_t **out, struct error *error) {
    json_error_t why;
    if (!text.data) return 0;
    *out = json_loadb(text.data, text.len, JSON_ALLOW_NUL, &why);
    return *out ? 0 : error_set(error, ERR_INVALID, "%s: line %d: %s", name, why.line, why.text);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int list_shards(const json_t *map, struct arena *arena, const char **names, size_t *count, struct error *error) {
    const char *tensor;
    json_t *file;
    size_t found = 0;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, file) {
        const char *name = json_string_value(file);
        if (!name || *name == '\0' || *name == '.' || strchr(name, '/'))
            return error_set(error, ERR_INVALID, "%s: the file of %.80s is not a file's name", index_name, tensor);
        names[found] = arena_copy(arena, name, strlen(name));
        if (!names[found++]) return error_set(error, ERR_NOMEM, "out of memory");
    }
    qsort(names, found, sizeof *names, by_text);
    *count = 0;
    for (size_t i = 0; i < found; i++)
        if (*count == 0 || strcmp(names[i], names[*count - 1]) != 0) names[(*count)++] = names[i];
    return 0;
}

int hf_shard_names(struct hf_text index, struct arena *arena, const char ***names, size_t *count, struct error *error) {
    json_t *json = NULL;
    int rc = parse(index, index_name, &json, error);
    const json_t *map = json_object_get(json, "weight_map");
    *names = arena_array(arena, json_object_size(map) + 1, sizeof **names);
    if (rc == 0 && !*names) rc = error_set(error, ERR_NOMEM, "out of memory");
    if (rc == 0) rc = list_shards(map, arena, *names, count, error);
    if (rc == 0 && (*count == 0 || *count > SHARDS_MAX))
        rc = error_set(error, ERR_INVALID, "%s names %zu files", index_name, *count);
    json_decref(json);
    return rc;
}

static void write_general(const struct recipe *r, struct hf_result *out) {
    if (r) gguf_write_u32(&out->writer, "general.file_type", recipe_file_type(r));
    gguf_write_u32(&out->writer, "general.quantization_version", 2); /* ggml's number for today's blocks */
}

static int convert(const struct hf_files *files, const struct hf_json *json, const struct recipe *r,
                   struct hf_result *out, struct error *error) {
    struct hf_model m;
    int rc = hf_read_config(json->config, &m, error);
    if (rc == 0) rc = hf_write_config(&m, out, error);
    if (rc == 0) rc = hf_write_pooling(&m, json->pooling, out, error);
    if (rc < 0) return rc;
    write_general(r, out);
    rc = hf_write_vocab(&m, json, files->chat_template, out, error);
    return rc ? rc : hf_write_tensors(&m, files, r, out, error);
}

int hf_convert(const struct hf_files *files, const struct recipe *r, struct hf_result *out, struct error *error) {
    struct hf_json json = {0};
    *out = (struct hf_result){0};
    int rc = parse(files->config, "config.json", &json.config, error);
    if (rc == 0) rc = parse(files->tokenizer, "tokenizer.json", &json.tokenizer, error);
    if (rc == 0) rc = parse(files->tokenizer_config, "tokenizer_config.json", &json.tokenizer_config, error);
    if (rc == 0) rc = parse(files->generation_config, "generation_config.json", &json.generation_config, error);
    if (rc == 0) rc = parse(files->pooling, "1_Pooling/config.json", &json.pooling, error);
    if (rc == 0) rc = convert(files, &json, r, out, error);
    json_decref(json.config);
    json_decref(json.tokenizer);
    json_decref(json.tokenizer_config);
    json_decref(json.generation_config);
    json_decref(json.pooling);
    return rc;
}

void hf_result_deinit(struct hf_result *r) {
    gguf_writer_deinit(&r->writer);
    arena_deinit(&r->arena);
    free(r->parts.items);
    *r = (struct hf_result){0};
}
