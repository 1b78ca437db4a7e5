/* What this host's instruments show, for the other nodes: read each second, told with the node's heartbeats.
 *
 * In the pool, since a sensor may take its time; while one reading is on its way no other begins. Loop thread. */
#pragma once
struct daemon;

void instruments_start(struct daemon *d);
void instruments_stop(struct daemon *d);
