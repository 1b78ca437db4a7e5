/* What will happen when: a queue ordered by time, and by order of entry where times are equal.
 *
 * A happening of a host belongs to one life of it: world.c drops it if the host has been started again since. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

struct happening {
    uint64_t at_us, order; /* order: set by agenda_add */
    void (*happen)(struct world *w, const struct happening *h);
    uint32_t host, life; /* life 0: not of one host */
    uint64_t a, b, c;
};

struct agenda {
    struct happening *heap; /* owned */
    size_t count, capacity;
    uint64_t order;
};

/* A zeroed struct is empty. */
void agenda_deinit(struct agenda *a);
void agenda_add(struct agenda *a, const struct happening *h);
/* The time of the next one; UINT64_MAX: none. */
uint64_t agenda_time(const struct agenda *a);
/* Take the next one out; there must be one. */
struct happening agenda_take(struct agenda *a);
