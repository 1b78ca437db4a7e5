/* Placement: which node runs which layers of a model.
 *
 * A pure function from a snapshot of facts to a plan, in integers only, so that every machine computes the same plan
 * from the same facts. It counts weights, embedding and head, KV cache and scratch, never plans beyond free memory,
 * prefers the plan with the least predicted time per token (or the most tokens of all requests together), leaves nodes
 * out when that is faster, and explains every choice and refusal in numbers. A stage is one node, or several that share
 * its layers by tensor parallelism in unequal shares where that is clearly faster: by a tenth. Where throughput is
 * asked for, the plan may be one of several replicas of the model, each on nodes of its own. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/shares.h"
#include "wire/types.h"

enum {
    PLACEMENT_DEVICES_MAX = 257,
    PLACEMENT_CONTEXT_DEFAULT = 8192, /* or the model's, if that is less */
    PLACEMENT_PARALLEL_DEFAULT = 4,
    PLACEMENT_RTT_US_DEFAULT = 400, /* of a link that nobody measured */
};

struct placement_device {
    uint64_t node;
    uint32_t device;
    char name[WIRE_NAME_BYTES];           /* of the node, for people */
    uint64_t memory_free;                 /* bytes */
    uint64_t host, host_free;             /* as in wire_facts */
    uint64_t read_bandwidth, matmul_rate; /* kept up under its CPU quota; 0: not measured */
    uint32_t run_us, period_us;           /* the quota: runs so long of each period; 0: none */
    const struct wire_link *links;        /* what the node measured; may be NULL */
    uint32_t link_count;
    char excluded[WIRE_REASON_BYTES]; /* not "": must not be used, and why (no such file, incompatible ...) */
};

/* A model as the planner needs it; `layer_bytes` are in memory, packed. */
struct placement_model {
    char name[WIRE_MODEL_NAME_BYTES];
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint32_t layer_count;
    uint32_t context; /* as trained */
    uint64_t layer_bytes[WIRE_LAYERS_MAX];
    uint64_t ends_bytes;                  /* embedding, final norm, head: on stage 0 */
    uint64_t head_bytes;                  /* of those, read for each token */
    uint64_t kv_bytes;                    /* K and V of one position in one layer */
    uint32_t kv_page;                     /* positions are kept in pages of so many; 0: one by one */
    uint64_t window_kv_bytes;             /* the same in a layer with a window */
    uint64_t window_positions;            /* what a session keeps at most in layers with a window */
    bool has_window[WIRE_LAYERS_MAX];     /* by layer */
    uint64_t scratch_bytes;               /* on every member */
    uint64_t ends_scratch_bytes;          /* on stage 0 besides */
    uint64_t hidden_bytes;                /* one row between stages */
    uint64_t logits_bytes;                /* one row */
    uint32_t cuts_max;                    /* members that a stage may have; 0: one */
    uint32_t cut_exchanges;               /* of a layer, between those: each tells all others its share of ... */
    uint64_t cut_exchange_bytes;          /* ... so much for one row, of all exchanges of a layer together */
    uint64_t cut_slack_bytes;             /* of a layer, that a member of several holds beyond its share at most */
    uint64_t cut_kv_bytes;                /* the same of kv_bytes */
    uint64_t cut_scratch_bytes;           /* on such a member besides */
    uint64_t layer_weights, head_weights; /* multiply-adds per token: of an average layer, of the head */
    uint64_t layer_read_bytes; /* per token, of an average layer: a mixture uses some experts only; 0: all of it */
};

struct placement_options {
    uint32_t nodes;            /* exactly so many; 0: as many as are fastest */
    uint32_t context;          /* 0: default */
    uint32_t parallel;         /* 0: default */
    uint8_t split;             /* enum wire_split */
    uint8_t aim;               /* enum wire_aim */
    uint32_t replicas;         /* it is one of so many; 0: the planner's choice */
    uint32_t replicas_to_come; /* of those, for which it is to leave some of the devices; fewer, if those do not do */
    struct shares shares;      /* only these nodes, in these proportions */
    uint64_t near;             /* node that asked: taken where others are as good; the cluster fills it */
};

struct placement_left_out {
    uint64_t node;
    char reason[WIRE_REASON_BYTES];
};

struct placement_result {
    bool fits;
    char reason[2 * WIRE_REASON_BYTES]; /* why not, in numbers, and what would help */
    uint32_t context_fits;              /* if it does not fit: a shorter context that would; 0: none does */
    struct wire_plan plan;              /* context and parallel are set also when it does not fit */
    char choice[2 * WIRE_REASON_BYTES]; /* of a plan that fits: what its time is made of, what the other way costs */
    uint64_t compute_ns, exchange_ns, hop_ns; /* predicted, of one token */
    uint64_t together_tokens_per_ks;          /* of all `parallel` requests at once; 0: unknown */
    uint32_t left_out_count;
    struct placement_left_out left_out[PLACEMENT_DEVICES_MAX];
};

/* Plan `model` on `devices` (any order; ids unique). The result depends on nothing else. */
void placement_plan(struct placement_result *result, const struct placement_model *model,
                    const struct placement_options *options, const struct placement_device *devices,
                    uint32_t device_count);
/* The options of a load, with defaults filled in, are those that `plan` was made with. */
bool placement_same_options(const struct wire_plan *plan, const struct placement_options *options,
                            const struct placement_model *model);
