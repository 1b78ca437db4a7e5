/* Where models may lie on this machine: the node's own folder, those that a person named, and the caches of other
 * programs. Which there are, in the order of their precedence; nothing is looked into. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { FOLDER_PATH_BYTES = 4096, FOLDERS_MAX = 64 };

enum folder_kind {
    FOLDER_OWN,      /* HOME/models */
    FOLDER_GIVEN,    /* CARAVAN_MODELS */
    FOLDER_ADDED,    /* `caravan models add`: a line of HOME/folders */
    FOLDER_OLLAMA,   /* OLLAMA_MODELS, or where Ollama keeps them */
    FOLDER_HUB,      /* Hugging Face's cache: HF_HUB_CACHE, HF_HOME */
    FOLDER_LMSTUDIO, /* ORG/REPO/FILE */
    FOLDER_LLAMACPP, /* LLAMA_CACHE */
};

struct folder {
    enum folder_kind kind;
    char path[FOLDER_PATH_BYTES]; /* absolute, if the environment is */
};

struct folders {
    struct folder *list; /* owned */
    size_t count;
};

/* `home`: of the node; `given`: colon-separated, may be NULL. No more than FOLDERS_MAX are taken. ERR_NOMEM. */
int folders_find(struct folders *out, const char *home, const char *given);
void folders_deinit(struct folders *f);
const char *folder_kind_name(enum folder_kind kind); /* "own", "ollama" */

/* Keep another one in HOME/folders / keep it no more. ERR_INVALID: no absolute path; ERR_EXISTS, ERR_LIMIT;
 * ERR_NOT_FOUND: it was not added. */
int folders_add(const char *home, const char *path, struct error *error);
int folders_drop(const char *home, const char *path, struct error *error);
