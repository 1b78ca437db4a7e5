/* A layout: which devices make up which stage, and with which shares of which layers. Private to placement.
 *
 * A stage of several devices is a tensor group: its members compute parts of the same layers, in proportion to their
 * speed as far as their memory goes, and exchange what they computed some times a layer. Given the devices and their
 * order, the layers are dealt out here: every stage's time is a convex function of its number of layers (the members
 * that are full drop out of those that share what is left), so always giving the next layer to the stage where it costs
 * least is the optimum. Pure. */
#pragma once
#include "cluster/costs.h"

enum { LAYOUT_NONE = -1 };
#define LAYOUT_NEVER UINT64_MAX

struct layout_stage {
    uint32_t begin, count; /* in members */
    uint32_t layers, layers_max;
};

struct layout {
    uint32_t stage_count, member_count;
    struct layout_stage stages[WIRE_STAGES_MAX];
    uint32_t members[WIRE_MEMBERS_MAX];       /* candidates, stage by stage; [0] holds the ends of the model */
    uint32_t shares[WIRE_MEMBERS_MAX];        /* of their stage, of WIRE_SHARE_ONE */
    uint64_t compute_ns, exchange_ns, hop_ns; /* of one token */
    uint64_t token_ns;                        /* of one request alone */
    uint64_t cost_ns;                         /* what the planner minimises; LAYOUT_NEVER: it does not fit */
};

struct layout_wish {
    bool throughput; /* of all requests together, else the time per token of one */
    bool spread;     /* deal layers out by speed even where fewer stages would be faster */
    bool weights;    /* in the proportions of the candidates' weights */
};

/* Deal out layers and shares for the stages and members that are set, and fill in the rest. */
void layout_deal(const struct costs *c, const struct layout_wish *wish, struct layout *l);
/* Where it costs a single request next to nothing, spread the layers by speed: several requests then keep all busy. */
void layout_even_out(const struct costs *c, const struct layout_wish *wish, struct layout *l);
/* Time of one token round the ring, without computing: from the first member of a stage to that of the next, and in
 * each stage to the others. */
uint64_t layout_hops_ns(const struct costs *c, const struct layout *l);
/* Time per token when all of the costs' requests run at once. */
uint64_t layout_together_ns(const struct costs *c, const struct layout *l);
/* Tokens per 1,000 s of a prompt; 0 when a member's rate is not known. */
uint64_t layout_prefill_per_ks(const struct costs *c, const struct layout *l);
/* Where candidate `candidate` is among the members, or LAYOUT_NONE. */
int layout_find(const struct layout *l, uint32_t candidate);
/* Bytes of member `member` in its stage's layers `begin` to `begin` + layers. */
uint64_t layout_weights_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member,
                              uint32_t begin);
uint64_t layout_kv_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member,
                         uint32_t begin);
uint64_t layout_scratch_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member);
