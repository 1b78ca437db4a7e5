/* The course of a run: a time of faults and work (chaos.c), then everything heals and progress is demanded (story.c).
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/placement.h"

struct world;

/* Begin to draw faults and work; both go on by themselves until scenario.chaos_us is over. */
void chaos_begin(struct world *w);
/* End all faults: paths whole, everybody up and awake. */
void chaos_end(struct world *w);

void story_run(struct world *w);

/* What is still missing, as a text for people; "" when nothing is. */
struct missing {
    char text[400];
};

/* Wait until nothing is missing; a rule is broken when that takes too long. */
void story_demand(struct world *w, const char *rule, uint64_t within_us,
                  void (*find)(const struct world *, struct missing *));
bool story_should_meet(const struct world *w, uint32_t one, uint32_t other);
/* Would the model fit on all who can be reached from the host at once, with a little to spare, as they are or (`empty`)
 * with nothing loaded? */
bool story_fits(struct world *w, uint32_t host, uint32_t model, bool empty);
/* Load it, which must succeed if it fits; 0: it does not. */
uint64_t story_load(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options);
/* All see each other, everything ends, all agree. */
void story_settle(struct world *w);
