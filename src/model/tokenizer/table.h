/* A hash map from 64-bit numbers to 64-bit numbers: pairs of symbols, edges of a trie.
 *
 * The first value of a key stays. The hash is mixed with a constant; what a hostile file can gain is a slow load. One
 * thread writes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t key, value;
};

struct table {
    struct table_slot *slots; /* owned; a power of two of them */
    size_t capacity, count;
};

#define TABLE_FREE UINT64_MAX /* no key */

/* A zeroed struct is an empty table. */
void table_deinit(struct table *t);
/* Room for `count` keys at once. 0 or ERR_NOMEM. */
int table_reserve(struct table *t, size_t count);
/* 0 or ERR_NOMEM. A key that is there keeps its value. */
int table_add(struct table *t, uint64_t key, uint64_t value);

static inline size_t table_place(const struct table *t, uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    return (size_t)(key ^ key >> 32) & (t->capacity - 1);
}

static inline bool table_get(const struct table *t, uint64_t key, uint64_t *value) {
    if (t->count == 0) return false;
    for (size_t i = table_place(t, key);; i = (i + 1) & (t->capacity - 1)) {
        if (t->slots[i].key == TABLE_FREE) return false;
        if (t->slots[i].key == key) return *value = t->slots[i].value, true;
    }
}
