/* What parts of a model cost on devices: memory and time, from measured facts. Private to placement.
 *
 * Integers only, so that every machine comes to the same numbers. Times are ns for one token unless said otherwise;
 * what was not measured counts as PLACEMENT_RTT_US_DEFAULT says, or as the slowest that was. Pure. */
#pragma once
#include "cluster/placement.h"

enum {
    COSTS_CANDIDATES_MAX = WIRE_MEMBERS_MAX, /* of more devices, the fastest and those with the most memory */
    COSTS_AMOUNT_ONE = 1 << 16,              /* parts of layers are counted in these */
    COSTS_SPEED_SHIFT = 50,
};

/* A device that may be used. */
struct candidate {
    const struct placement_device *device;
    uint64_t layer_ns;   /* to read one average layer; never 0 */
    uint64_t head_ns;    /* to read the head */
    uint64_t prefill_ns; /* to multiply one average layer for one of many tokens; 0: not measured */
    uint64_t speed;      /* 2^COSTS_SPEED_SHIFT / layer_ns */
    uint32_t weight;     /* of the shares asked for */
};

/* From one candidate to another. */
struct way {
    uint64_t lag_ns;    /* until the first byte is there, and what our own software takes */
    uint64_t hidden_ns; /* to pass one hidden row */
    uint64_t layer_ns;  /* to pass all that members of a stage exchange in a layer */
};

struct costs {
    const struct placement_model *model;
    uint32_t context, parallel;
    uint64_t layer_mean, layer_most; /* bytes of weights and KV cache */
    uint64_t layer_slack;            /* of those, that a member of a group holds beyond its share at most */
    uint64_t layer_kv, window_kv;    /* bytes of KV cache in a layer, in one with a window */
    uint64_t logits_ns_per_hidden;   /* logits are so many hidden rows long */
    bool one_host;                   /* some candidates share the memory of a host */
    bool links_vary;
    uint32_t count;
    struct candidate candidates[COSTS_CANDIDATES_MAX]; /* fastest first; among equals `near` leads */
    struct way ways[COSTS_CANDIDATES_MAX][COSTS_CANDIDATES_MAX];
};

void costs_init(struct costs *c, const struct placement_model *model, const struct placement_options *options,
                const struct placement_device *devices, uint32_t device_count, uint32_t context, uint32_t parallel);
/* The same with another context, or another number of requests at once. */
void costs_set_context(struct costs *c, uint32_t context);
void costs_set_requests(struct costs *c, uint32_t parallel);
/* The same without a candidate: those behind it move up. */
void costs_remove(struct costs *c, uint32_t candidate);

/* amount * part / whole; whole > 0. */
uint64_t costs_part(uint64_t amount, uint64_t part, uint64_t whole);
/* amount / rate in ns; 0 for an unknown rate. */
uint64_t costs_time_ns(uint64_t amount, uint64_t rate);
/* Bytes of KV cache that a layer keeps for all sessions. */
uint64_t costs_kv_bytes(const struct costs *c, uint32_t layer);
/* Tokens per 1,000 s at so many ns each; 0 for 0: unknown. */
uint64_t costs_per_ks(uint64_t ns);
/* What a member needs besides its layers; `first`: it also holds both ends of the model. */
uint64_t costs_fixed_bytes(const struct costs *c, bool first);
/* What candidate members[at] may use: its free memory, and with others of its host no more than the host has. */
uint64_t costs_usable_bytes(const struct costs *c, const uint32_t *members, uint32_t count, uint32_t at);
/* A hidden row from candidate `from` to each of `count` others, one after the other out of one wire. */
uint64_t costs_hop_ns(const struct costs *c, uint32_t from, const uint32_t *to, uint32_t count);
/* All exchanges of a layer: every one of a group tells every other its share, which is in proportion to its speed. */
uint64_t costs_exchange_ns(const struct costs *c, const uint32_t *members, uint32_t count);
/* The same without waiting for first bytes. */
uint64_t costs_passing_ns(const struct costs *c, const uint32_t *members, uint32_t count);
/* The members' parts of the logits to the first of them. */
uint64_t costs_gather_ns(const struct costs *c, const uint32_t *members, uint32_t count);
/* What work of `average_ns` (at the rate that a device keeps up) takes after a pause long enough for its CPU quota to
 * be whole again: less, since the first part of it runs unbraked. Without a quota the same. */
uint64_t costs_after_pause_ns(const struct placement_device *device, uint64_t average_ns);
