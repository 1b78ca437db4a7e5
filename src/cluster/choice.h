/* The choice between stages of one node and stages of several. Private to placement. Pure. */
#pragma once
#include "cluster/search.h"

/* What a plan was chosen from. */
struct choice {
    struct layout best;
    uint64_t pipeline_ns, groups_ns; /* the least that each kind costs; 0: none is better, LAYOUT_NEVER: does not fit */
};

/* Nodes that a plan must have, as asked; 0: as many as are best. */
uint32_t choice_members(const struct placement_options *o);
/* The best layout of `members_max` candidates at most (or of as many as were asked for), and the wish that led to it;
 * choice->best.cost_ns is LAYOUT_NEVER when none fits. */
struct search_wish choice_make(const struct costs *c, const struct placement_options *o, uint32_t members_max,
                               struct choice *choice);
