#include "store/manifest.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"

enum { FORMAT = 1 };

void manifest_deinit(struct manifest *m) {
    free(m->files);
    *m = (struct manifest){0};
}

bool manifest_has_name(const struct manifest *m, const char *name) {
    for (size_t i = 0; i < m->name_count; i++)
        if (strcmp(m->names[i], name) == 0) return true;
    return false;
}

void manifest_add_name(struct manifest *m, const char *name) {
    if (manifest_has_name(m, name) || m->name_count == MANIFEST_NAMES_MAX || strlen(name) >= ORIGIN_NAME_BYTES) return;
    snprintf(m->names[m->name_count++], ORIGIN_NAME_BYTES, "%s", name);
}

void manifest_remove_name(struct manifest *m, const char *name) {
    for (size_t i = 0; i < m->name_count; i++)
        if (strcmp(m->names[i], name) == 0) memcpy(m->names[i--], m->names[--m->name_count], ORIGIN_NAME_BYTES);
}

/* An encoder's folder has two files called config.json. */
const char *manifest_file_name(const struct manifest *m, size_t file) {
    if (strcmp(m->files[file].path, "1_Pooling/config.json") == 0) return "1_Pooling.json";
    const char *slash = strrchr(m->files[file].path, '/');
    return slash ? slash + 1 : m->files[file].path;
}

uint64_t manifest_bytes(const struct manifest *m) {
    uint64_t sum = 0;
    for (size_t i = 0; i < m->file_count; i++) sum += m->files[i].bytes;
    return sum;
}

void manifest_folder(const struct manifest *m, char out[ORIGIN_FOLDER_BYTES]) {
    size_t at = 0;
    if (m->origin.repo[0] || m->origin.address[0]) {
        origin_folder(&m->origin, out);
        return;
    }
    for (const char *c = m->names[0]; *c && at < 120; c++, at++)
        out[at] = isalnum((unsigned char)*c) || (strchr("._-", *c) && at > 0) ? *c : '-';
    for (size_t i = 0; i < 8; i++) at += (size_t)snprintf(out + at, 4, "%s%02x", i ? "" : "-", m->fingerprint[i]);
}

static int check_files(const struct manifest *m, struct error *error) {
    if (m->file_count > MANIFEST_FILES_MAX) return error_set(error, ERR_LIMIT, "the model has too many files");
    for (size_t i = 0; i < m->file_count; i++) {
        const char *name = manifest_file_name(m, i);
        bool taken = strcasecmp(name, MANIFEST_NAME) == 0; /* lies beside them */
        for (size_t j = 0; j < i; j++) taken |= strcmp(name, manifest_file_name(m, j)) == 0;
        if (taken) return error_set(error, ERR_INVALID, "two of the model's files are called %.200s", name);
    }
    return 0;
}

int manifest_take_files(struct manifest *m, struct listing *l, struct error *error) {
    free(m->files);
    m->files = l->files;
    m->file_count = l->count;
    *l = (struct listing){0};
    return check_files(m, error);
}

/* ---- JSON ---- */

static json_t *hex(const uint8_t *bytes, size_t len) {
    char text[2 * MANIFEST_FINGERPRINT_BYTES + 1];
    return json_string(hex_write(bytes, len, text));
}

static json_t *file_json(const struct listing_file *f) {
    json_t *item = json_pack("{s:s, s:I}", "path", f->path, "size", (json_int_t)f->bytes);
    if (f->etag[0]) json_object_set_new(item, "etag", json_string(f->etag));
    if (f->hashed) json_object_set_new(item, "lfs", json_pack("{s:o}", "oid", hex(f->sha256, sizeof f->sha256)));
    return item;
}

void manifest_write(const struct manifest *m, struct text *out) {
    json_t *names = json_array(), *files = json_array();
    for (size_t i = 0; i < m->name_count; i++) json_array_append_new(names, json_string(m->names[i]));
    for (size_t i = 0; i < m->file_count; i++) json_array_append_new(files, file_json(&m->files[i]));
    const struct origin *o = &m->origin;
    json_t *all = json_pack("{s:i, s:o, s:{s:s, s:s, s:s, s:s, s:s}, s:b, s:b, s:o}", "format", FORMAT, "names", names,
                            "origin", "repo", o->repo, "revision", o->revision, "file", o->file, "quant", o->quant,
                            "address", o->address, "whole", m->whole, "complete", m->complete, "files", files);
    if (m->known) json_object_set_new(all, "fingerprint", hex(m->fingerprint, sizeof m->fingerprint));
    char *text = json_dumps(all, JSON_INDENT(1));
    if (text)
        text_add_str(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(all);
}

static bool read_text(const json_t *object, const char *key, char *out, size_t bytes) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || json_string_length(value) >= bytes) return false;
    snprintf(out, bytes, "%s", json_string_value(value));
    return strlen(out) == json_string_length(value);
}

/* Whatever stands there must be what a name could have said. */
static bool read_origin(struct origin *out, const json_t *o) {
    struct origin again;
    struct text name = {0};
    bool good = read_text(o, "repo", out->repo, sizeof out->repo) &&
                read_text(o, "revision", out->revision, sizeof out->revision) &&
                read_text(o, "file", out->file, sizeof out->file) &&
                read_text(o, "quant", out->quant, sizeof out->quant) &&
                read_text(o, "address", out->address, sizeof out->address);
    if (good && !out->address[0] && !out->repo[0]) return !out->file[0] && !out->quant[0];
    if (out->address[0])
        text_add_str(&name, out->address);
    else if (out->file[0])
        text_printf(&name, "hf.co/%s/resolve/%s/%s", out->repo, out->revision, out->file);
    else
        text_printf(&name, "hf.co/%s%s%s", out->repo, *out->quant ? ":" : "", out->quant);
    good = good && origin_parse(&again, text_str(&name), NULL) == 0 && origin_same(&again, out);
    text_deinit(&name);
    return good;
}

static bool read_names(struct manifest *m, const json_t *names) {
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name) {
        if (!json_is_string(name)) return false;
        manifest_add_name(m, json_string_value(name));
    }
    return m->name_count > 0;
}

static int read_files(struct manifest *m, const json_t *files, struct error *error) {
    struct listing l = {0};
    char *text = json_is_array(files) ? json_dumps(files, 0) : NULL;
    int rc = text ? listing_read(&l, text, strlen(text), error) : error_set(error, ERR_INVALID, "it lists no files");
    free(text);
    if (rc == 0 && (l.count == 0 || l.count != json_array_size(files)))
        rc = error_set(error, ERR_INVALID, "one of its files has a name that cannot be");
    if (rc == 0) rc = manifest_take_files(m, &l, error);
    listing_deinit(&l);
    return rc;
}

static int read_all(struct manifest *m, const json_t *all, struct error *error) {
    if (json_integer_value(json_object_get(all, "format")) != FORMAT)
        return error_set(error, ERR_UNSUPPORTED, "it is of another version of Caravan");
    if (!read_origin(&m->origin, json_object_get(all, "origin")) || !read_names(m, json_object_get(all, "names")))
        return error_set(error, ERR_INVALID, "it does not say where the model comes from");
    m->known = listing_sha256(json_string_value(json_object_get(all, "fingerprint")), m->fingerprint);
    if (!m->known && !m->origin.repo[0] && !m->origin.address[0])
        return error_set(error, ERR_INVALID, "it does not say where the model comes from");
    m->whole = json_is_true(json_object_get(all, "whole"));
    m->complete = json_is_true(json_object_get(all, "complete"));
    return read_files(m, json_object_get(all, "files"), error);
}

int manifest_read(struct manifest *m, const char *json, size_t len, struct error *error) {
    *m = (struct manifest){0};
    json_t *all = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    int rc = all ? read_all(m, all, error) : error_set(error, ERR_INVALID, "it is not JSON");
    json_decref(all);
    if (rc == 0) return 0;
    manifest_deinit(m);
    return error_prefix(error, "a model's manifest cannot be used: ");
}
