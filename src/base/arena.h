/* Memory that is freed all at once: for what one request, one file or one event needs.
 *
 * Allocations are zeroed and aligned for any type. An arena with a limit refuses to pass it, which bounds what
 * hostile input can take. One thread at a time. */
#pragma once
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *last; /* newest block; NULL when empty */
    size_t used;              /* bytes handed out */
    size_t used_max;          /* 0: no limit */
};

/* A zeroed struct is an empty arena without limit. */
void arena_deinit(struct arena *a);
/* NULL when memory or the limit runs out. */
void *arena_alloc(struct arena *a, size_t size);
/* `count` items of `size` bytes; NULL also when the product overflows. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* A copy with a NUL behind it. */
char *arena_copy(struct arena *a, const char *data, size_t len);
