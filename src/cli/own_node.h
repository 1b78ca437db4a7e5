/* A node in this process, for a verb that finds none: it runs on a thread of its own until it is closed. */
#pragma once
#include "base/error.h"
#include "node/daemon.h"

struct own_node;

/* ERR_BUSY: another process runs a node on this home, or is about to. The strings in options are the caller's while it
 * is open. */
int own_node_open(struct own_node **out, const struct daemon_options *options, struct error *error);
/* What it is answering may end first. NULL is fine. */
void own_node_close(struct own_node *n);
