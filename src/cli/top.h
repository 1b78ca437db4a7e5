/* The live view of a node's cluster, until a key ends it. */
#pragma once
#include <stdbool.h>

#include "base/error.h"
#include "cli/panes.h"

struct client;

/* What ended it. */
enum top_end { TOP_QUIT, TOP_DETACH };

/* Shows it on the screen that the caller has opened, with what a newcomer wants to know (NULL: nothing). detachable:
 * 'd' leaves it as well. ERR_CLOSED when the node goes. */
int top_follow(struct client *client, const struct top_hints *hints, bool detachable, enum top_end *how,
               struct error *error);
