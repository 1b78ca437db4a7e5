#include "cluster/shares.h"

#include <string.h>

#include "base/prng.h"

uint32_t shares_weight(const struct shares *s, const char *name) {
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, name) == 0) return s->items[i].weight;
    return 0;
}

static uint64_t share_hash(const struct share *share) {
    uint64_t hash = prng_mix(share->weight);
    for (const char *at = share->name; *at; at++) hash = prng_mix(hash ^ (uint8_t)*at);
    return hash;
}

uint64_t shares_hash(const struct shares *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++) sum += share_hash(&s->items[i]);
    return s->count > 0 && sum == 0 ? 1 : sum;
}

bool shares_cut(const uint32_t *weights, uint32_t count, uint32_t layers, uint32_t *out) {
    int64_t total = 0;
    if (count > layers) return false;
    for (uint32_t i = 0; i < count; i++) {
        total += weights[i];
        out[i] = 1;
    }
    for (uint32_t left = layers - count; left > 0; left--) {
        uint32_t neediest = 0;
        int64_t most = INT64_MIN;
        for (uint32_t i = 0; i < count; i++) {
            int64_t missing = (int64_t)weights[i] * layers - out[i] * total;
            if (missing > most) {
                most = missing;
                neediest = i;
            }
        }
        out[neediest]++;
    }
    return true;
}
