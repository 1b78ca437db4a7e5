/* The folders that models lie in: HOME/models, which is the node's own, and the read-only ones of CARAVAN_MODELS.
 *
 * Folders are looked into each time: files come and go while a node runs. Nothing is kept, any thread. */
#pragma once
#include <stdbool.h>

#include "base/error.h"
#include "store/models.h"

enum { MODEL_DIRS_PATH_BYTES = 4096 };

struct model_dirs {
    const char *home;  /* the node's home */
    const char *extra; /* colon-separated folders; NULL: none */
};

/* Everything that has a name, sorted. Folders that cannot be read hold nothing. `out` is the caller's to deinit, also
 * after ERR_NOMEM. */
int model_dirs_scan(const struct model_dirs *dirs, struct models *out);

/* The file or folder that MODEL means: an existing path (only if allow_paths), else a name; either may end in a recipe
 * (engine/source.h), and *path then does too. ERR_NOT_FOUND suggests others, ERR_AGAIN: only a part of it
 * is here. */
int model_dirs_find(const struct model_dirs *dirs, const char *name, bool allow_paths, char path[MODEL_DIRS_PATH_BYTES],
                    struct error *error);

/* The same for who can do with a part: the folder of a pulled model that is not all here. */
int model_dirs_find_part(const struct model_dirs *dirs, const char *name, bool allow_paths,
                         char path[MODEL_DIRS_PATH_BYTES], struct error *error);

/* Another name for a model: a link in the node's own folder. ERR_NOT_FOUND, ERR_INVALID: `alias` is no name,
 * ERR_EXISTS: there is a file of that name. */
int model_dirs_alias(const struct model_dirs *dirs, const char *name, const char *alias, struct error *error);

/* Delete a model of the node's own folder. ERR_NOT_FOUND, or ERR_DENIED for one in a read-only folder. */
int model_dirs_remove(const struct model_dirs *dirs, const char *name, struct error *error);
