/* Many nodes on one network: how soon all see all, and what knowing each other costs. */
#pragma once
#include <stdint.h>

struct world;

/* A world of its own, just made by world_init(). Prints what was seen; a rule is broken when it takes too long. */
void crowd_run(struct world *w, uint32_t hosts);
