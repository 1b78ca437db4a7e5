#include "store/catalog.h"

#include <string.h>

const struct catalog_entry *catalog_find(const char *name) {
    for (const struct catalog_entry *e = catalog_table; e->name; e++)
        if (strcmp(e->name, name) == 0) return e;
    return NULL;
}

const struct catalog_entry *catalog_of_file(const char *file_name, uint64_t bytes) {
    for (const struct catalog_entry *e = catalog_table; e->name; e++)
        if (e->file_name && e->bytes == bytes && strcmp(e->file_name, file_name) == 0) return e;
    return NULL;
}

uint64_t catalog_needs(const struct catalog_entry *e, uint32_t context, uint32_t sessions) {
    return e->bytes + e->token_bytes * (context < e->context ? context : e->context) * sessions;
}
