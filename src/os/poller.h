/* One descriptor that stands for many: readable while any of those inside is ready, so that a module with sockets of
 * its own shows the event loop a single one. Level-triggered. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct poller {
    int fd; /* what to watch from outside, for reading */
};

/* ERR_LIMIT when the process has no more descriptors. */
int poller_open(struct poller *p, struct error *error);
void poller_close(struct poller *p);
/* Watch `fd` for what is true, or change what it is watched for. `tag` names it in poller_next. ERR_LIMIT / ERR_NOMEM.
 */
int poller_watch(struct poller *p, int fd, bool reading, bool writing, uint64_t tag);
void poller_forget(struct poller *p, int fd);
/* The tag of one that is ready (or broken); they take turns. False when there is none; never waits. */
bool poller_next(struct poller *p, uint64_t *tag);
