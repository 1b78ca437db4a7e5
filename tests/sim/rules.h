/* What must hold after every step of every node.
 *
 * Looks into the node (cluster/internal.h) and beside it at what the world knows: the two must agree on links, slices,
 * jobs and requests, so nothing leaks on either side. */
#pragma once
#include <stdint.h>

#include "wire/types.h"

struct world;

enum { REGISTRY_MAX = 4096, TWINS_MAX = 64 };

/* Every plan that a slice was loaded under or that a node told of. */
struct registry_plan {
    uint64_t instance, hash;
    struct wire_epoch epoch;
    uint32_t life;    /* of who drew the epoch */
    uint64_t speaker; /* who spoke for the instance under it; 0: nobody yet */
};

struct registry {
    struct registry_plan plans[REGISTRY_MAX];
    uint32_t count;
    uint64_t twins[TWINS_MAX]; /* ids that two nodes had at one time */
    uint32_t twin_count;
};

/* Two hosts have this id. */
void rules_twins(struct world *w, uint64_t id);
/* One plan per instance and epoch. */
void rules_plan(struct world *w, uint64_t instance, const struct wire_epoch *epoch, const struct wire_plan *plan);
void rules_after_step(struct world *w, uint32_t host);
/* A frame that the node sends: a message that can be read, and one that this node may say. */
void rules_frame(struct world *w, uint32_t host, uint64_t link, const uint8_t *bytes, uint32_t len);
