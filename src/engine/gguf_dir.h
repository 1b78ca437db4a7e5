/* A model in GGUF files: the only one of a directory, or the parts of one that was split ("name-00001-of-00003.gguf"),
 * which its directory or the path of the first one names. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct gguf_dir {
    char **paths; /* owned, in the order of the parts */
    size_t count; /* 0: there is no such file */
};

/* A file that is no part is itself. ERR_INVALID when a directory holds more than one model, or not all the parts, or
 * when a file is a part and not the first one; ERR_NOT_FOUND: a part is missing beside the first one. `d` is to be
 * freed in any case. */
int gguf_dir_list(struct gguf_dir *d, const char *path, struct error *error);
void gguf_dir_deinit(struct gguf_dir *d);
/* Does its name say that the file is one of several? */
bool gguf_dir_is_part(const char *path);
