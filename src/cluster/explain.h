/* Why a plan is as it is, or why there is none: in words and numbers for people. Private to placement. Pure. */
#pragma once
#include "cluster/replicas.h"

void explain_choice(struct placement_result *result, const struct replicas *r);
/* Of a plan that fits: everybody that is not in it; else those that could not be used at all. */
void explain_left_out(struct placement_result *result, const struct costs *c, const struct replicas *r,
                      const struct placement_options *options, const struct placement_device *devices,
                      uint32_t count);
void explain_refusal(struct placement_result *result, struct costs *c, const struct search_wish *wish);
