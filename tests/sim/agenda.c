#include "agenda.h"

#include <assert.h>
#include <stdlib.h>

void agenda_deinit(struct agenda *a) {
    free(a->heap);
    *a = (struct agenda){0};
}

static bool before(const struct happening *x, const struct happening *y) {
    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

void agenda_add(struct agenda *a, const struct happening *h) {
    if (a->count == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 256;
        a->heap = realloc(a->heap, a->capacity * sizeof *a->heap);
        assert(a->heap);
    }
    struct happening fresh = *h;
    fresh.order = ++a->order;
    size_t at = a->count++;
    for (; at > 0 && before(&fresh, &a->heap[(at - 1) / 2]); at = (at - 1) / 2) a->heap[at] = a->heap[(at - 1) / 2];
    a->heap[at] = fresh;
}

uint64_t agenda_time(const struct agenda *a) { return a->count ? a->heap[0].at_us : UINT64_MAX; }

struct happening agenda_take(struct agenda *a) {
    assert(a->count > 0);
    struct happening first = a->heap[0], last = a->heap[--a->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < a->count; at = child) {
        if (child + 1 < a->count && before(&a->heap[child + 1], &a->heap[child])) child++;
        if (!before(&a->heap[child], &last)) break;
        a->heap[at] = a->heap[child];
    }
    a->heap[at] = last;
    return first;
}
