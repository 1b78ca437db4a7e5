/* The search for the layout that costs least. Private to placement.
 *
 * A few devices: every way to make stages of some of them. Many: for every number of members those that are fastest,
 * have most memory or lie close together, alone and in groups of one size; then the best of these is bettered by single
 * moves. A bounded number of layouts is looked at, always the same ones for the same facts. Pure. */
#pragma once
#include "cluster/layout.h"

struct search_wish {
    struct layout_wish layout;
    uint32_t members_min, members_max;
    uint32_t group_max; /* members of one stage */
    uint32_t stages_max;
};

/* The best layout; best->cost_ns is LAYOUT_NEVER when none fits. */
void search_best(const struct costs *c, const struct search_wish *wish, struct layout *best);
/* The best layout that differs from `from` by the use of one more candidate: what leaving it out is measured by. */
void search_with(const struct costs *c, const struct search_wish *wish, const struct layout *from, uint32_t candidate,
                 struct layout *best);
