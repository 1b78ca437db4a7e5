/* The library: which models are on this machine, and the cards of models that this node speaks for.
 *
 * Names become files by looking into the model folders (model_dirs.h: each time, people copy files while the node
 * runs); what their headers say is in the index. Cards are kept by fingerprint, the ones used last. Any thread: one
 * lock inside, not held while a file is read. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "node/card.h"

struct library;

/* `folders`: colon-separated, read only; may be NULL. */
int library_new(struct library **out, const char *folders, const char *home, struct error *error);
void library_free(struct library *l);

#define LIBRARY_ANY_SIZE UINT64_MAX

/* The card of MODEL: a path (only if allow_path), a catalog name or a name in the folders. A Hugging Face folder
 * without a recipe gets the first by which it has at most bytes_max, as source_fit. ERR_NOT_FOUND suggests names. One
 * reference, the caller's. */
int library_open(struct library *l, const char *model, bool allow_path, uint64_t bytes_max, struct card **out,
                 struct error *error);
/* What `caravan show` tells of MODEL: show.h. Vocabulary and template are not made, so it is quick. */
int library_show(struct library *l, const char *model, bool allow_path, json_t **out, struct error *error);
/* Is there a model of this name here? ERR_NOT_FOUND suggests names. */
int library_find_name(struct library *l, const char *model, struct error *error);
/* As model_dirs_has_elsewhere. */
bool library_has_elsewhere(struct library *l, const char *model, uint64_t *bytes);
/* The card of a model whose file is on this machine, found by fingerprint. `name` is what others call it: its recipe
 * says what files here may have to become. ERR_NOT_FOUND. */
int library_find_here(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], const char *name,
                      struct card **out, struct error *error);
/* Is only a part of its model on this machine? */
bool library_is_partial(const struct card *card);
/* A card that is already open, wherever it came from; NULL: none. Quick. */
struct card *library_cached(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES]);
/* Keep a card that came over a link. */
void library_keep(struct library *l, struct card *card);

/* `list`: [{"name","path","size_bytes","format","architecture","parameters","context_length"}]. */
json_t *library_list(struct library *l);
/* The folders that are looked into: [{"path","kind","models","size_bytes","state","error"}], state "ok", "hangs" or
 * "failed". */
json_t *library_folders(struct library *l);
/* As model_dirs_add and model_dirs_drop. */
int library_add_folder(struct library *l, const char *path, struct error *error);
int library_drop_folder(struct library *l, const char *path, struct error *error);
/* One more name for a model that is here. ERR_NOT_FOUND, ERR_INVALID: no name for a model, ERR_EXISTS. */
int library_alias(struct library *l, const char *model, const char *alias, struct error *error);
/* How much of a model lies on this node, found by fingerprint (all zeroes: by name); remove: what lies in its own
 * folder is deleted, under all its names. *total is 0 when there is nothing. */
void library_share(struct library *l, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], const char *name, bool remove,
                   uint64_t *here, uint64_t *total, struct error *error);
/* The fingerprint of the file that MODEL means; false: it is not known here. */
bool library_fingerprint(struct library *l, const char *model, uint8_t out[MODEL_FINGERPRINT_BYTES]);
/* Delete the file of a model in the node's own folder. ERR_DENIED for a read-only folder. */
int library_remove(struct library *l, const char *model, struct error *error);
