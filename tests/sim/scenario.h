/* What a seed stands for: how many machines of what kind, which network, which models, how bad it gets. */
#pragma once
#include <stdint.h>

#include "cluster/placement.h"
#include "network.h"

struct world;

enum { MODELS = 4, MODEL_SMALL = 0, MODEL_HUGE = MODELS - 1 }; /* small: fits anywhere; huge: nowhere */
enum network_kind { NETWORK_LAN, NETWORK_SEGMENTS, NETWORK_PEERS_ONLY };

struct scenario {
    uint32_t hosts;
    enum network_kind kind;
    uint64_t chaos_us;      /* how long faults happen */
    uint32_t lost, doubled; /* datagrams, per mille */
    uint64_t jitter_us;
    uint64_t fault_us, work_us; /* mean time between two */
    struct placement_model models[MODELS];
};

/* Fill the world's scenario, hosts and paths from its seed. */
void scenario_draw(struct world *w);
/* So many machines of one kind on one good network, with nothing to run. */
void scenario_crowd(struct world *w, uint32_t hosts);
void scenario_tell(struct world *w);
