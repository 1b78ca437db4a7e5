/* Probes of paths: links that are dialled to be measured, here and by others. On the pool; all calls from the loop. */
#pragma once
#include <stdbool.h>

#include "cluster/effect.h"
#include "net/link.h"

struct daemon;

/* Measure the path of the effect; NODE_PROBE_DONE follows in any case. */
void probes_begin(struct daemon *d, const struct node_effect *e);
/* May one more be measured by others? */
bool probes_welcome(const struct daemon *d);
/* Answer on a link on which the hellos are exchanged; it is taken. */
void probes_serve(struct daemon *d, struct link *link);
