#include "node/show.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/write.h"
#include "base/size.h"
#include "engine/gguf_dir.h"
#include "engine/pages.h"
#include "engine/source.h"
#include "model/file_type.h"
#include "node/parcel.h"
#include "node/views.h"
#include "os/dir.h"
#include "store/catalog.h"

enum { KV_VALUE_BYTES = 2 };

/* ---- what the header says ---- */

static json_t *header_text(const struct model *m, const char *key) {
    struct gguf_string s;
    json_t *text = gguf_str(&m->gguf, key, &s) && s.len > 0 ? json_stringn(s.data, s.len) : NULL;
    return text ? text : json_null();
}

/* The file's own word, else the catalog's. */
static json_t *licence(const struct model *m, const char *name) {
    const struct catalog_entry *known = catalog_find(name);
    json_t *said = header_text(m, "general.license");
    if (!json_is_null(said) || known == NULL) return said;
    json_decref(said);
    return json_string(known->licence);
}

/* Weights, and the cache of one session: layers with a window keep no more than that. */
static uint64_t needs(const struct model *m, uint32_t context) {
    uint64_t bytes = model_layers_bytes(m, 0, m->params.layers) + model_ends_bytes(m);
    for (uint32_t i = 0; i < m->params.layers; i++) {
        uint32_t window = m->layers[i].window, kept = window > 0 && window < context ? window : context;
        if (m->layers[i].recurs) kept = KERN_PAGE;
        bytes += kept * (window > 0 ? pages_window_bytes(m, KV_VALUE_BYTES) : model_kv_bytes(m, KV_VALUE_BYTES));
    }
    return bytes;
}

static json_t *needs_json(const struct model *m) {
    const uint32_t contexts[] = {2048, 8192, 32768, 131072, m->params.context};
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(contexts); i++)
        if (contexts[i] < m->params.context || i + 1 == ARRAY_LEN(contexts))
            json_array_append_new(list, json_pack("{s:i, s:I}", "context", (int)contexts[i], "bytes",
                                                  (json_int_t)needs(m, contexts[i])));
    return list;
}

/* ---- where it lies ---- */

static void add_file(json_t *files, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return;
    uint64_t bytes = (uint64_t)st.st_size, here = (uint64_t)st.st_blocks * 512;
    json_array_append_new(files, json_pack("{s:o, s:I, s:I}", "path", write_string(path), "size_bytes",
                                           (json_int_t)bytes, "bytes_here",
                                           (json_int_t)(here < bytes ? here : bytes)));
}

static bool add_plain(void *context, const struct dir_entry *entry) {
    if (!entry->folder) add_file(context, entry->path);
    return true;
}

static void add_parts(json_t *files, const char *path) {
    struct gguf_dir dir;
    if (gguf_dir_list(&dir, path, NULL) < 0)
        add_file(files, path);
    else
        for (size_t i = 0; i < dir.count; i++) add_file(files, dir.paths[i]);
    gguf_dir_deinit(&dir);
}

/* Of what was pulled, the model's own files; of anything else, what is there. */
static json_t *files_json(const char *place, bool *whole) {
    char folder[PARCEL_PATH_BYTES], path[PARCEL_PATH_BYTES + ORIGIN_NAME_BYTES];
    struct manifest m;
    json_t *files = json_array();
    *whole = true;
    if (parcel_manifest_of(place, &m, folder) == 0) {
        *whole = m.complete;
        for (size_t i = 0; i < m.file_count; i++) {
            snprintf(path, sizeof path, "%s/%s", folder, manifest_file_name(&m, i));
            add_file(files, path);
        }
        manifest_deinit(&m);
    } else if (dir_list(place, add_plain, files) != 0) {
        add_parts(files, place);
    }
    return files;
}

void show_bytes(const char *path, uint64_t *here, uint64_t *total) {
    char place[SOURCE_PATH_BYTES];
    bool whole;
    size_t i;
    const json_t *file;
    json_t *files = files_json(source_place(path, place), &whole);
    *here = *total = 0;
    json_array_foreach(files, i, file) {
        *here += (uint64_t)json_integer_value(json_object_get(file, "bytes_here"));
        *total += (uint64_t)json_integer_value(json_object_get(file, "size_bytes"));
    }
    json_decref(files);
}

json_t *show_json(const struct model *m, const char *name) {
    const struct model_params *p = &m->params;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    char hex[VIEW_FINGERPRINT_BYTES], place[SOURCE_PATH_BYTES];
    bool whole;
    json_t *files = files_json(source_place(m->path, place), &whole);
    model_fingerprint(m, fingerprint);
    json_t *said = json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i}", "architecture", p->architecture,
                             "quantization", file_type_name(&m->gguf), "parameters", (json_int_t)m->parameters,
                             "size_bytes", (json_int_t)m->gguf.file_bytes, "context_length", (int)p->context, "layers",
                             (int)p->layers, "embedding_length", (int)p->embd, "heads", (int)p->heads, "kv_heads",
                             (int)p->kv_heads, "vocabulary", (int)p->vocab);
    json_t *all = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:b, s:o}", "name", write_string(name), "path",
                            write_string(m->path), "format", "gguf", "fingerprint",
                            view_fingerprint(fingerprint, hex), "licence", licence(m, name), "template",
                            header_text(m, "tokenizer.chat_template"), "needs", needs_json(m), "whole", whole,
                            "files", files);
    json_object_update(all, said);
    json_decref(said);
    return all;
}
