#include "engine/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/gguf_dir.h"
#include "engine/model_file.h"

const char *source_place(const char *path, char out[SOURCE_PATH_BYTES]) {
    snprintf(out, SOURCE_PATH_BYTES, "%.*s", (int)(recipe_suffix(path) - path), path);
    return out;
}

/* A folder with one GGUF file in it means that file. */
static int only_file(char place[SOURCE_PATH_BYTES], struct error *error) {
    struct gguf_dir dir;
    if (!file_is_folder(place)) return 0;
    int rc = gguf_dir_list(&dir, place, error);
    if (rc == 0 && dir.count == 1 && strlen(dir.paths[0]) < SOURCE_PATH_BYTES)
        memcpy(place, dir.paths[0], strlen(dir.paths[0]) + 1);
    gguf_dir_deinit(&dir);
    return rc;
}

int source_open(struct source *s, const char *path, struct error *error) {
    char place[SOURCE_PATH_BYTES];
    const char *suffix = recipe_suffix(path);
    const struct recipe *recipe = *suffix ? recipe_find(suffix + 1) : NULL;
    *s = (struct source){.file.fd = -1};
    if (strlen(path) >= SOURCE_PATH_BYTES) return error_set(error, ERR_LIMIT, "the path of the model is too long");
    source_place(path, place);
    int rc = only_file(place, error);
    if (rc < 0) return rc;
    if (recipe || file_is_folder(place) || gguf_dir_is_part(place))
        return conversion_open(&s->conversion, place, recipe, error);
    return file_open(&s->file, place, error);
}

void source_close(struct source *s) {
    file_close(&s->file);
    conversion_deinit(&s->conversion);
}

int source_header(struct source *s, uint8_t **header, size_t *len, uint64_t *file_bytes, struct error *error) {
    *file_bytes = s->file.fd >= 0 ? s->file.bytes : s->conversion.bytes;
    if (s->file.fd >= 0) return model_file_header(&s->file, header, len, error);
    *header = malloc(s->conversion.header_len);
    if (!*header) return error_set(error, ERR_NOMEM, "out of memory");
    *len = s->conversion.header_len;
    memcpy(*header, s->conversion.header, *len);
    return 0;
}

int source_read_at(const struct source *s, uint64_t offset, void *out, size_t len, struct error *error) {
    if (s->file.fd < 0) return conversion_read(&s->conversion, offset, out, len, error);
    return file_read_at(&s->file, offset, out, len, error);
}

void source_ranges(const struct source *s, uint64_t offset, uint64_t len,
                   void (*visit)(void *context, const char *name, uint64_t offset, uint64_t len), void *context) {
    if (s->file.fd >= 0)
        visit(context, NULL, offset, len);
    else
        conversion_ranges(&s->conversion, offset, len, visit, context);
}

void source_will_need(const struct source *s, uint64_t offset, uint64_t len) {
    if (s->file.fd >= 0) file_will_need(&s->file, offset, len);
}

void source_forget(const struct source *s, uint64_t offset, uint64_t len) {
    if (s->file.fd >= 0) file_forget(&s->file, offset, len);
}

/* Does the conversion succeed, and how many bytes are they? */
static int measure(const char *path, const char *recipe, uint64_t *bytes, struct error *error) {
    struct conversion c;
    int rc = conversion_open(&c, path, *recipe ? recipe_find(recipe + 1) : NULL, error);
    *bytes = rc == 0 ? c.bytes : 0;
    if (rc == 0) conversion_deinit(&c);
    return rc;
}

static bool has_gguf(const char *folder) {
    struct gguf_dir dir;
    int rc = gguf_dir_list(&dir, folder, NULL);
    bool found = rc < 0 || dir.count > 0;
    gguf_dir_deinit(&dir);
    return found;
}

int source_fit(const char *path, uint64_t bytes_max, char out[SOURCE_PATH_BYTES], struct error *error) {
    static const char *const recipes[] = {"", "@q8_0", "@q6_k", "@q5_k_m", "@q4_k_m", "@q3_k_m", "@q2_k"};
    uint64_t bytes;
    if ((size_t)snprintf(out, SOURCE_PATH_BYTES, "%s", path) >= SOURCE_PATH_BYTES - sizeof "@q5_k_m")
        return error_set(error, ERR_LIMIT, "the path of the model is too long");
    if (!file_is_folder(path) || has_gguf(path)) return 0;
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) {
        int rc = measure(path, recipes[i], &bytes, error);
        if (rc < 0) return rc;
        if (bytes > bytes_max) continue;
        snprintf(out, SOURCE_PATH_BYTES, "%s%s", path, recipes[i]);
        return 0;
    }
    return 0;
}
