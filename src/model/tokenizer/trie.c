#include "model/tokenizer/trie.h"

#include "base/error.h"

void trie_deinit(struct trie *t) {
    table_deinit(&t->edges);
    table_deinit(&t->values);
    t->node_count = 0;
}

static int step_or_grow(struct trie *t, uint32_t *node, char byte) {
    if (trie_step(t, node, byte)) return 0;
    if (t->node_count == UINT32_MAX) return ERR_NOMEM;
    int rc = table_add(&t->edges, (uint64_t)*node << 8 | (unsigned char)byte, ++t->node_count);
    *node = t->node_count;
    return rc;
}

int trie_add(struct trie *t, const char *key, size_t len, uint64_t value) {
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        int rc = step_or_grow(t, &node, key[i]);
        if (rc) return rc;
    }
    return table_add(&t->values, node, value);
}
