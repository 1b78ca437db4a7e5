/* The index: what the headers of model files here said when they were read last. It is kept in the node's home, so that
 * neither a list nor a start reads them all again; a file that changed since is read anew.
 *
 * Counted references: a thread that hangs in a file system may hold one for as long as it likes. Any thread: one lock
 * inside, not held while a file is read. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"

struct index;

enum { INDEX_PATH_BYTES = 4096 };

struct index_entry {
    uint64_t bytes;     /* of the file, or of all its parts; of a folder: of all files in it */
    int64_t changed_ns; /* the last change of any of them */
    bool settled;       /* it had not changed just before it was read, so the next change shows */
    bool readable;      /* else what follows is empty */
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    char architecture[32];
    char quantization[16];
    uint64_t parameters;
    uint32_t context;
};

/* `file` is where it is kept; NULL: nowhere. NULL: out of memory. */
struct index *index_new(const char *file);
struct index *index_hold(struct index *x);
void index_release(struct index *x); /* NULL is fine */

/* What the file or folder at `path` (engine/source.h) is. It is looked at, and read if it has changed. ERR_NOT_FOUND:
 * there is none; ERR_INVALID: it cannot be read as a model. */
int index_know(struct index *x, const char *path, struct index_entry *out);
/* The same as far as it is known: no disk is touched. ERR_NOT_FOUND when it is not. */
int index_recall(struct index *x, const char *path, struct index_entry *out);
/* The paths of models with that fingerprint, in turn: `at` is 0 at first. False: no more. */
bool index_find(struct index *x, const uint8_t fingerprint[MODEL_FINGERPRINT_BYTES], size_t *at,
                char path[INDEX_PATH_BYTES]);
/* Keep it, if something has changed. Where that cannot be, headers are read again another day. */
void index_save(struct index *x);
