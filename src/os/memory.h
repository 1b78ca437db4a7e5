/* Big memory: anonymous, zeroed, in huge pages where the system gives them, returned to the system when released.
 *
 * For weights, KV and scratch, which are reserved once and counted by the planner. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
    void *data; /* aligned to 2 MiB; NULL when bytes is 0 */
    size_t bytes;
};

/* Reserve `bytes`; with `populate` the pages are there when it returns, so that running out shows now and not in the
 * middle of a token. 0 (also for 0 bytes) or ERR_NOMEM. */
int memory_reserve(struct memory *m, size_t bytes, bool populate);
/* A zeroed struct is fine. */
void memory_release(struct memory *m);
