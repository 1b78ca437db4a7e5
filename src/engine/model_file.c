#include "engine/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/source.h"

enum { HEADER_BYTES_FIRST = 1 << 20 };

/* Read more and more bytes until the header is whole. */
int model_file_header(const struct file *f, uint8_t **header, size_t *len, struct error *error) {
    uint8_t *data = NULL;
    uint64_t bytes = HEADER_BYTES_FIRST, have = 0;
    int rc;
    do {
        bytes = bytes < f->bytes ? bytes : f->bytes;
        uint8_t *bigger = realloc(data, bytes + 1);
        if (!bigger) {
            free(data);
            return error_set(error, ERR_NOMEM, "out of memory");
        }
        data = bigger;
        rc = file_read_at(f, have, data + have, bytes - have, error);
        if (rc < 0) break;
        have = bytes;
        struct gguf g;
        rc = gguf_parse(&g, data, have, f->bytes, error);
        if (rc == 0) gguf_deinit(&g);
        bytes *= 4;
    } while (rc == ERR_AGAIN && have < f->bytes);
    if (rc < 0) {
        free(data);
        return rc;
    }
    *header = data;
    *len = have;
    return 0;
}

int model_file_open(struct model *m, const char *path, struct error *error) {
    struct source s;
    uint8_t *header = NULL;
    size_t len = 0;
    uint64_t file_bytes = 0;
    int rc = source_open(&s, path, error);
    if (rc < 0) return rc;
    rc = source_header(&s, &header, &len, &file_bytes, error);
    if (rc == 0) rc = model_init(m, header, len, file_bytes, error);
    source_close(&s);
    if (rc < 0) {
        error_prefix(error, "%s: ", path);
        return rc;
    }
    if (strlen(path) >= sizeof m->path) {
        model_deinit(m);
        return error_set(error, ERR_LIMIT, "the path of the model is too long");
    }
    snprintf(m->path, sizeof m->path, "%s", path);
    return 0;
}
