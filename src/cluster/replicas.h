/* Replicas: a model may be planned several times over, each time on nodes of its own, and its requests be dealt out.
 *
 * For throughput that is as good as one plan over all nodes where reading weights limits both, better where links are
 * slow, and a node that is lost takes down only what it was part of. The candidates are dealt out in even parts, one
 * replica after the other, each taking the best layout of so many as it can get; a replica for which its part is too
 * little takes more. Of one plan over all and 2, 4, 8 replicas, what gives the most tokens of all requests together is
 * taken, and of equals the most replicas. Private to placement. Pure. */
#pragma once
#include "cluster/choice.h"

struct replicas {
    uint32_t count;         /* of the model, with those that are there already; 0: not even one fits */
    uint32_t requests;      /* that each must have memory for */
    uint64_t tokens_per_ks; /* of all requests together */
    struct choice first;
    struct search_wish wish;                                     /* that led to the first */
    const struct placement_device *others[COSTS_CANDIDATES_MAX]; /* devices of those behind the first */
    uint32_t other_count;
};

/* The best number of replicas, or, where the options say how many there are to be, the next of as many of those as the
 * devices are enough for. `c` comes with all requests, and is left with those of one replica. */
void replicas_plan(struct replicas *r, struct costs *c, const struct placement_options *options);
