/* The folders that models lie in, and the models by name: HOME/models, which is the node's own, and read-only ones - of
 * CARAVAN_MODELS, those that were added, the caches of other programs.
 *
 * Folders are looked into each time, each by its own scout: files come and go while a node runs, and a mount that hangs
 * holds up nobody. Any thread. */
#pragma once
#include <stdbool.h>

#include "base/error.h"
#include "node/folders.h"
#include "node/index.h"
#include "node/scout.h"
#include "store/models.h"

enum { MODEL_DIRS_PATH_BYTES = 4096 };

struct model_dirs;

/* `given`: colon-separated folders, may be NULL. index: what learns the headers of all that is found; NULL: nobody.
 * ERR_NOMEM. */
int model_dirs_new(struct model_dirs **out, const char *home, const char *given, struct index *index);
void model_dirs_free(struct model_dirs *d); /* NULL is fine */

/* Everything that has a name, sorted. Folders that cannot be read hold nothing, those that hang what they held. `out`
 * is the caller's to deinit, also after ERR_NOMEM. */
int model_dirs_scan(struct model_dirs *dirs, struct models *out);
/* Begin to look, for whoever asks soon. */
void model_dirs_look(struct model_dirs *dirs);

/* The folders and what is in them, in the order of precedence; returns how many. */
size_t model_dirs_folders(struct model_dirs *dirs, struct scout_view out[FOLDERS_MAX]);
/* Another folder from now on, also after the next start. ERR_INVALID: no absolute path; ERR_EXISTS; ERR_NOT_FOUND,
 * ERR_DENIED, ERR_TIMEOUT: what is wrong with it. */
int model_dirs_add(struct model_dirs *dirs, const char *path, struct error *error);
/* ERR_NOT_FOUND: it was not added. */
int model_dirs_drop(struct model_dirs *dirs, const char *path, struct error *error);
/* Does the folder answer that the path lies in, if it is one of these? */
bool model_dirs_answers(struct model_dirs *dirs, const char *path);

/* The file or folder that MODEL means: an existing path (only if allow_paths), else a name; either may end in a recipe
 * (engine/source.h), and *path then does too. ERR_NOT_FOUND suggests others, ERR_AGAIN: only a part of it
 * is here, ERR_TIMEOUT: it lies where nothing answers. */
int model_dirs_find(struct model_dirs *dirs, const char *name, bool allow_paths, char path[MODEL_DIRS_PATH_BYTES],
                    struct error *error);

/* The same for who can do with a part: the folder of a pulled model that is not all here. */
int model_dirs_find_part(struct model_dirs *dirs, const char *name, bool allow_paths, char path[MODEL_DIRS_PATH_BYTES],
                         struct error *error);

/* Does a model of this name, however it is written, lie whole in a folder that is not the node's own? Its bytes. */
bool model_dirs_has_elsewhere(struct model_dirs *dirs, const char *name, uint64_t *bytes);

/* Another name for a model: a link in the node's own folder. ERR_NOT_FOUND, ERR_INVALID: `alias` is no name,
 * ERR_EXISTS: there is a file of that name. */
int model_dirs_alias(struct model_dirs *dirs, const char *name, const char *alias, struct error *error);

/* Delete a model of the node's own folder. ERR_NOT_FOUND, or ERR_DENIED for one in a read-only folder. */
int model_dirs_remove(struct model_dirs *dirs, const char *name, struct error *error);
