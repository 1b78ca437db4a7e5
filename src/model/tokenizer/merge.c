#include "model/tokenizer/merge.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"

void merge_deinit(struct merge *m) {
    free(m->symbols);
    free(m->heap);
    *m = (struct merge){0};
}

int merge_begin(struct merge *m, size_t count) {
    m->count = m->heap_count = 0;
    if (count <= m->capacity) return 0;
    size_t capacity = count < 64 ? 64 : count;
    /* Each of n symbols starts one pair at first, and each of n - 1 joins at most two more. */
    struct merge_symbol *symbols = realloc(m->symbols, capacity * sizeof *symbols);
    if (symbols) m->symbols = symbols;
    uint64_t *heap = realloc(m->heap, 3 * capacity * sizeof *heap);
    if (heap) m->heap = heap;
    if (symbols == NULL || heap == NULL) return ERR_NOMEM;
    m->capacity = capacity;
    return 0;
}

void merge_add(struct merge *m, uint32_t id, uint32_t len) {
    assert(m->count < m->capacity);
    struct merge_symbol *s = &m->symbols[m->count];
    *s = (struct merge_symbol){.id = id, .len = len, .prev = MERGE_NONE, .next = MERGE_NONE, .cost = MERGE_NONE};
    if (m->count > 0) {
        s->prev = (uint32_t)m->count - 1;
        s->begin = s[-1].begin + s[-1].len;
        s[-1].next = (uint32_t)m->count;
    }
    m->count++;
}

static void push(struct merge *m, uint64_t key) {
    size_t i = m->heap_count++;
    for (; i > 0 && m->heap[(i - 1) / 2] > key; i = (i - 1) / 2) m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = key;
}

static uint64_t pop(struct merge *m) {
    uint64_t top = m->heap[0], last = m->heap[--m->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->heap_count; i = child) {
        if (child + 1 < m->heap_count && m->heap[child + 1] < m->heap[child]) child++;
        if (m->heap[child] >= last) break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return top;
}

static void consider(struct merge *m, uint32_t left, merge_pair *pair, const void *context) {
    struct merge_symbol *s = &m->symbols[left];
    uint32_t cost, joined;
    s->cost = MERGE_NONE;
    if (s->next == MERGE_NONE || !pair(context, s, &m->symbols[s->next], &cost, &joined)) return;
    s->cost = cost;
    s->joined = joined;
    push(m, (uint64_t)cost << 32 | left);
}

static void join(struct merge *m, uint32_t left, merge_pair *pair, const void *context) {
    struct merge_symbol *s = &m->symbols[left], *gone = &m->symbols[s->next];
    s->id = s->joined;
    s->len += gone->len;
    s->next = gone->next;
    gone->cost = MERGE_NONE;
    if (s->next != MERGE_NONE) m->symbols[s->next].prev = left;
    if (s->prev != MERGE_NONE) consider(m, s->prev, pair, context);
    consider(m, left, pair, context);
}

void merge_run(struct merge *m, merge_pair *pair, const void *context) {
    for (uint32_t i = 0; i + 1 < m->count; i++) consider(m, i, pair, context);
    while (m->heap_count > 0) {
        uint64_t top = pop(m);
        uint32_t left = (uint32_t)top;
        if (m->symbols[left].cost == top >> 32 && m->symbols[left].cost != MERGE_NONE) join(m, left, pair, context);
    }
}
