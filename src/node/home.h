/* The node's home directory: everything it keeps, and the lock that makes it the only node there.
 *
 * Layout: secret, id, keys, models/, run/lock, run/socket. Directories are 0700. Loop thread only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { HOME_PATH_BYTES = 4096 };

struct home {
    char path[HOME_PATH_BYTES]; /* absolute or as given, no trailing slash */
    int lock;                   /* descriptor that holds the lock; -1: none */
};

/* Make the directories and take the lock. ERR_BUSY: another node runs here (its pid is in the text). */
int home_open(struct home *h, const char *path, struct error *error);
/* Gives the lock back. */
void home_close(struct home *h);

/* "HOME/name" into out; ERR_LIMIT when it does not fit. */
int home_file(const struct home *h, const char *name, char *out, size_t out_bytes, struct error *error);

/* The node's id, drawn at random on first use and kept. */
int home_node_id(const struct home *h, uint64_t *id, struct error *error);
/* Keep another one (a cloned home draws a new id). */
int home_set_node_id(const struct home *h, uint64_t id, struct error *error);
