/* Keeping house in the node's own folder of models: what nobody needs goes, what lies there twice lies there once. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "wire/types.h"

struct stock;

struct prune {
    const char *home;
    struct stock *stock; /* what it fetches is left alone */
    bool dry;            /* only tell */
    bool parts;          /* also parts of models, held for the cluster, that no loaded model uses */
    const uint8_t (*used)[WIRE_FINGERPRINT_BYTES]; /* models that are loaded */
    size_t used_count;
};

/* Pulls that were left unfinished, folders with nothing in them and links that lead nowhere are removed; of files with
 * the same bytes one is kept, under each of their names. {"removed": [{"path", "bytes", "why"}], "linked": [{"path",
 * "to", "bytes"}], "freed_bytes", "errors": [text]}. Any thread; files that may be the same are read: it may take
 * long. */
json_t *prune_run(const struct prune *p);
