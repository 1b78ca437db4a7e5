/* The tiny model of gguf_maker.h as a file and opened: what engine tests run. */
#pragma once
#include <stdlib.h>
#include <unistd.h>

#include "engine/model_file.h"
#include "gguf_maker.h"

static inline void tiny_open(struct model *m, const struct tiny *t) {
    char path[] = "/tmp/caravan-test-XXXXXX";
    struct maker file = tiny_model(t);
    int fd = mkstemp(path);
    assert(fd >= 0 && write(fd, file.data, file.len) == (ssize_t)file.len);
    close(fd);
    maker_free(&file);
    struct error error = {0};
    int rc = model_file_open(m, path, &error);
    if (rc < 0) fprintf(stderr, "%s\n", error.text);
    assert(rc == 0);
}

static inline void tiny_close(struct model *m) {
    unlink(m->path);
    model_deinit(m);
}
