/* Joins neighbouring symbols of a word, the cheapest pair first and the leftmost of equals, until no pair is left: the
 * heart of byte-pair encoding and of SentencePiece's BPE (Sennrich et al., arXiv:1508.07909; Kudo, arXiv:1808.06226).
 * Time n log n. One thread per struct. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct merge_symbol {
    uint32_t id;         /* the caller's */
    uint32_t begin, len; /* bytes of the word */
    uint32_t prev, next; /* MERGE_NONE: none */
    uint32_t cost;       /* of joining it with the next; MERGE_NONE: cannot be */
    uint32_t joined;     /* what they become */
};

#define MERGE_NONE UINT32_MAX

struct merge {
    struct merge_symbol *symbols; /* owned */
    uint64_t *heap;               /* owned; cost << 32 | index of the left symbol */
    size_t count, capacity, heap_count;
};

/* The cost of joining two neighbours and what they become; false: they stay apart. */
typedef bool merge_pair(const void *context, const struct merge_symbol *left, const struct merge_symbol *right,
                        uint32_t *cost, uint32_t *joined);

void merge_deinit(struct merge *m);
/* Forget the last word and make room for one of `count` symbols. 0 or ERR_NOMEM. */
int merge_begin(struct merge *m, size_t count);
void merge_add(struct merge *m, uint32_t id, uint32_t len);
/* Afterwards the symbols that are left are found from symbols[0] by `next`. */
void merge_run(struct merge *m, merge_pair *pair, const void *context);
