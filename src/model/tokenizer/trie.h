/* Byte strings by their prefixes: which of them begin at a place of a text. Built once, then immutable. */
#pragma once
#include "model/tokenizer/table.h"

struct trie {
    struct table edges;  /* node << 8 | byte -> node */
    struct table values; /* node -> value of the string that ends there */
    uint32_t node_count; /* without the root, which is 0 */
};

void trie_deinit(struct trie *t);
/* A string that is there already keeps its value. len > 0. 0 or ERR_NOMEM. */
int trie_add(struct trie *t, const char *key, size_t len, uint64_t value);

static inline bool trie_step(const struct trie *t, uint32_t *node, char byte) {
    uint64_t next;
    if (!table_get(&t->edges, (uint64_t)*node << 8 | (unsigned char)byte, &next)) return false;
    *node = (uint32_t)next;
    return true;
}

static inline bool trie_value(const struct trie *t, uint32_t node, uint64_t *value) {
    return table_get(&t->values, node, value);
}
