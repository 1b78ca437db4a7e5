#include "model/tokenizer/table.h"

#include <stdlib.h>

#include "base/error.h"

void table_deinit(struct table *t) {
    free(t->slots);
    *t = (struct table){0};
}

static bool put(struct table *t, uint64_t key, uint64_t value) {
    size_t i = table_place(t, key);
    while (t->slots[i].key != TABLE_FREE && t->slots[i].key != key) i = (i + 1) & (t->capacity - 1);
    if (t->slots[i].key == key) return false;
    t->slots[i] = (struct table_slot){key, value};
    return true;
}

static int resize(struct table *t, size_t capacity) {
    struct table bigger = {.capacity = capacity, .count = t->count};
    bigger.slots = calloc(capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) return ERR_NOMEM;
    for (size_t i = 0; i < capacity; i++) bigger.slots[i].key = TABLE_FREE;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].key != TABLE_FREE) put(&bigger, t->slots[i].key, t->slots[i].value);
    free(t->slots);
    *t = bigger;
    return 0;
}

int table_reserve(struct table *t, size_t count) {
    size_t capacity = t->capacity ? t->capacity : 16;
    while (count > capacity / 4 * 3) capacity *= 2;
    return capacity == t->capacity ? 0 : resize(t, capacity);
}

int table_add(struct table *t, uint64_t key, uint64_t value) {
    int rc = table_reserve(t, t->count + 1);
    if (rc == 0 && put(t, key, value)) t->count++;
    return rc;
}
