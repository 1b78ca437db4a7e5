/* Who watches the cluster: server-sent events with the nodes and the instances, at once and whenever they change, each
 * as `event: nodes` and `data: {"nodes": [...]}`, and each second with what this node does. Loop thread only. */
#pragma once
#include "net/http/http.h"

struct daemon;

/* Takes the exchange; it is ended when the client leaves, or by events_shut. */
void events_open(struct daemon *d, struct http_exchange *x);
/* Something that can be watched may have changed; it is looked at a moment later, once for many changes. */
void events_changed(struct daemon *d);
void events_shut(struct daemon *d);
