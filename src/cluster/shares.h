/* Shares of a model that a person asks for: so much for this node, so much for that one. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "wire/types.h"

enum { SHARES_MAX = WIRE_STAGES_MAX, SHARES_WEIGHT_MAX = 1000000000 };

struct shares {
    uint32_t count; /* 0: nothing was asked */
    struct share {
        char name[WIRE_NAME_BYTES]; /* of a node */
        uint32_t weight;            /* 1 .. SHARES_WEIGHT_MAX; only their proportions count */
    } items[SHARES_MAX];
};

/* 0: the node is not named. */
uint32_t shares_weight(const struct shares *s, const char *name);
/* 0 when nothing was asked, else a number that stands for these names and weights, in any order. */
uint64_t shares_hash(const struct shares *s);
/* Cut `layers` in proportion, at least one each, the rest to those furthest below their share. False: too few layers.
 */
bool shares_cut(const uint32_t *weights, uint32_t count, uint32_t layers, uint32_t *out);
