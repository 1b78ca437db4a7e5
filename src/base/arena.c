#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

struct arena_block {
    struct arena_block *previous;
    size_t used, capacity;
    alignas(max_align_t) unsigned char data[];
};

void arena_deinit(struct arena *a) {
    for (struct arena_block *b = a->last; b;) {
        struct arena_block *previous = b->previous;
        free(b);
        b = previous;
    }
    *a = (struct arena){.used_max = a->used_max};
}

static struct arena_block *add_block(struct arena *a, size_t size) {
    size_t capacity = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct arena_block *b = malloc(sizeof *b + capacity);
    if (b == NULL) return NULL;
    *b = (struct arena_block){.previous = a->last, .capacity = capacity};
    return a->last = b;
}

void *arena_alloc(struct arena *a, size_t size) {
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 4) return NULL;
    size = (size + align - 1) / align * align;
    if (a->used_max != 0 && size > a->used_max - a->used) return NULL;
    struct arena_block *b = a->last;
    if (b == NULL || size > b->capacity - b->used) b = add_block(a, size);
    if (b == NULL) return NULL;
    void *memory = b->data + b->used;
    b->used += size;
    a->used += size;
    return memset(memory, 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

char *arena_copy(struct arena *a, const char *data, size_t len) {
    char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;
    if (copy && len > 0) memcpy(copy, data, len);
    return copy;
}
