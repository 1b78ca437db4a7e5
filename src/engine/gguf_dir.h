/* A directory with a model in GGUF files: one, or the parts of one that was split ("name-00001-of-00003.gguf"). */
#pragma once
#include <stddef.h>

#include "base/error.h"

struct gguf_dir {
    char **paths; /* owned, in the order of the parts */
    size_t count; /* 0: there is no such file */
};

/* ERR_INVALID when it holds more than one model, or not all the parts. `d` is to be freed in any case. */
int gguf_dir_list(struct gguf_dir *d, const char *path, struct error *error);
void gguf_dir_deinit(struct gguf_dir *d);
