/* Why a plan is as it is, or why there is none: in words and numbers for people. Private to placement. Pure. */
#pragma once
#include "cluster/search.h"

/* What a plan was chosen from. */
struct choice {
    struct layout best;
    uint64_t pipeline_ns, groups_ns; /* the least that each kind costs; 0: none is better, LAYOUT_NEVER: does not fit */
};

void explain_choice(struct placement_result *result, const struct costs *c, const struct choice *choice);
/* Of a plan that fits: everybody that is not in it; else those that could not be used at all. */
void explain_left_out(struct placement_result *result, const struct costs *c, const struct search_wish *wish,
                      const struct choice *choice, const struct placement_options *options,
                      const struct placement_device *devices, uint32_t count);
void explain_refusal(struct placement_result *result, struct costs *c, const struct search_wish *wish);
