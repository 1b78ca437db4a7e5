/* A model runs, a job of it is under way, a member goes: the answer goes on if it can, and the model comes back. */
#pragma once
#include <stdint.h>

struct world;

/* In a healthy cluster where nothing is loaded; `asked`: who is asked to load. Leaves something loaded. */
void survival_demand(struct world *w, uint32_t asked);
