#include "model/parts.h"

#include <stdlib.h>

#include "base/error.h"

int parts_add(struct parts *p, struct part part) {
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 64;
        struct part *items = realloc(p->items, capacity * sizeof *items);
        if (!items) return ERR_NOMEM;
        p->items = items;
        p->capacity = capacity;
    }
    p->items[p->count++] = part;
    return 0;
}
