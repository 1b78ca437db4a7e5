/* A hash map from byte strings to numbers: vocabularies, metadata keys, variable names.
 *
 * Keys are views: the caller keeps their bytes alive and unchanged while the map lives. The hash is seeded, so
 * a hostile file cannot aim for collisions if the seed is random; order is never exposed. One thread writes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    const char *key; /* NULL: free */
    size_t len;
    uint64_t value;
};

struct map {
    struct map_slot *slots; /* owned; a power of two of them */
    size_t capacity, count;
    uint64_t seed;
};

/* A zeroed struct is an empty map. */
void map_deinit(struct map *m);
/* Set key to value, replacing an older value. 0 or ERR_NOMEM. */
int map_set(struct map *m, const char *key, size_t len, uint64_t value);
/* True and *value filled (if not NULL) when the key is there. */
bool map_get(const struct map *m, const char *key, size_t len, uint64_t *value);
