/* The models on this machine by name, and how a name finds its file.
 *
 * Whoever has looked into the folders adds what lies there; `NAME.gguf` is model NAME, and a file that the catalog
 * knows answers to its catalog name as well. Names never hold paths: what resolves paths is the caller's affair. Pure,
 * one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct models_entry {
    char *name; /* owned, as all strings here */
    char *path;
    uint64_t bytes;
    bool read_only; /* in a folder that is not this node's own */
    bool folder;    /* else a file */
    bool tensors;   /* safetensors, else GGUF */
    bool partial;   /* not all of it is here yet */
    bool away;      /* the folder that it lies in does not answer */
};

struct models {
    struct models_entry *entries; /* sorted by name once models_sort was called */
    size_t count, capacity;
};

/* A zeroed struct is empty. */
void models_deinit(struct models *m);
/* Add a file of a model folder. Files that are no models are ignored, and so is a name that is already taken: folders
 * are added in the order of their precedence; or one with control characters. 0 or ERR_NOMEM. */
int models_add(struct models *m, const char *path, uint64_t bytes, bool read_only);
/* Add a folder in Hugging Face's form: model NAME. */
int models_add_folder(struct models *m, const char *path, uint64_t bytes, bool read_only);
/* Add what was pulled, under the name by which it was. `entry` is copied, its path too. */
int models_add_pulled(struct models *m, const char *name, const struct models_entry *entry);
void models_sort(struct models *m);

/* The entry that a name means: its own name or its catalog name. ERR_NOT_FOUND suggests the nearest names, or says how
 * to get a catalog model that is not here. */
int models_find(const struct models *m, const char *name, const struct models_entry **out, struct error *error);
