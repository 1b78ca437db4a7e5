/* What lies in a folder. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct dir_entry {
    const char *name; /* without the folder; valid during the call */
    const char *path; /* folder and name */
    bool folder;      /* else a regular file; links count as what they point to, anything else is not reported */
    uint64_t bytes;
};

/* Call `visit` for each file and folder in `path`, in no order, hidden ones left out. visit returns false to stop. 0,
 * or ERR_NOT_FOUND / ERR_DENIED / ERR_IO for the folder itself. */
int dir_list(const char *path, bool (*visit)(void *context, const struct dir_entry *entry), void *context);

/* Make the folder and those above it, mode 0700 for new ones. 0, or an error that names the path. */
int dir_make(const char *path, struct error *error);
