/* What nodes tell each other, as plain structs: addresses, facts, plans.
 *
 * Bounded, without pointers, compared and stored by value. Texts are NUL-terminated UTF-8 in fixed arrays; unknown
 * numbers are 0. Pure data, any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_HEADER_BYTES = 8,
    WIRE_CONTROL_BYTES_MAX = 1 << 20, /* payload */
    WIRE_DATA_BYTES_MAX = 64 << 20,   /* payload */
    WIRE_PROTOCOL_MIN = 5,
    WIRE_PROTOCOL_MAX = 5,
    WIRE_NAME_BYTES = 64,
    WIRE_MODEL_NAME_BYTES = 256,
    WIRE_REASON_BYTES = 256,
    WIRE_ISA_BYTES = 16,
    WIRE_FINGERPRINT_BYTES = 32,
    WIRE_DEVICES_MAX = 8,
    WIRE_LINKS_MAX = 64,
    WIRE_STAGES_MAX = 64,
    WIRE_MEMBERS_MAX = 64, /* of one plan, all stages together */
    WIRE_REPLICAS_MAX = 8, /* of one model */
    WIRE_LAYERS_MAX = 1024,
    WIRE_SHARE_ONE = 65536, /* shares of a stage sum to this */
};

enum wire_device_kind { WIRE_CPU, WIRE_GPU };
enum wire_link_kind { WIRE_CONTROL, WIRE_DATA, WIRE_PROBE, WIRE_STORE };
enum wire_split { WIRE_SPLIT_AUTO, WIRE_SPLIT_PIPELINE, WIRE_SPLIT_TENSOR };
enum wire_aim { WIRE_FOR_LATENCY, WIRE_FOR_THROUGHPUT }; /* of one request; of all together */
enum wire_state { WIRE_LOADING, WIRE_READY, WIRE_RECOVERING, WIRE_FAILED, WIRE_GONE };

struct wire_address {
    uint8_t ip[16];    /* IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint16_t port;     /* TCP port of the cluster */
    uint32_t scope_id; /* interface of a link-local address on this machine; never crosses the wire */
};

struct wire_device {
    uint8_t kind; /* enum wire_device_kind */
    uint64_t memory_total, memory_free;
    uint64_t read_bandwidth; /* bytes/s */
    uint64_t matmul_rate;    /* int8 multiply-adds/s */
};

/* The fastest path to another node as its owner measured it. */
struct wire_link {
    uint64_t to; /* node id */
    uint32_t rtt_us;
    uint64_t bandwidth; /* bytes/s */
};

/* Asks a node to measure its links, or everything. */
struct wire_measure {
    uint64_t number; /* not 0: everything anew, and the facts are to name it once that is done */
    uint32_t count;
    uint64_t nodes[WIRE_LINKS_MAX]; /* the links to these */
};

struct wire_facts {
    uint64_t memory_total; /* what the node offers to models, slices already loaded included */
    uint64_t memory_free;  /* of that, not yet reserved: the node itself counts */
    uint64_t host;         /* hash of the host's boot id: nodes of one host share its memory; 0: unknown */
    uint64_t host_free;    /* bytes that the whole host can still give; 0: unknown */
    uint32_t threads;
    char isa[WIRE_ISA_BYTES];
    uint64_t read_bandwidth, matmul_rate; /* of the node: its devices together; kept up under its CPU quota */
    uint32_t run_us, period_us;           /* the quota: its threads run so long of each period; 0, 0: none */
    uint32_t device_count;
    struct wire_device devices[WIRE_DEVICES_MAX];
    uint32_t link_count;
    struct wire_link links[WIRE_LINKS_MAX]; /* the node fills it from its heartbeats and probes */
    uint64_t measured;                      /* the last MEASURE of everything that was done; the node fills it */
};

/* What a host's instruments show now. */
struct wire_readings {
    uint32_t temperature_mc; /* of the processor, thousandths of a degree Celsius */
    uint32_t power_mw;
};

struct wire_epoch {
    uint64_t number; /* 0: none */
    uint64_t node;   /* who drew it; breaks ties */
};

struct wire_stage {
    uint32_t layer_begin, layer_end;     /* half-open */
    uint32_t member_begin, member_count; /* in wire_plan.members */
};

struct wire_member {
    uint64_t node;
    uint32_t device;
    uint32_t share; /* of the stage, of WIRE_SHARE_ONE */
    uint64_t weights_bytes, kv_bytes, scratch_bytes;
};

/* Which node runs what. Stage 0 also holds embedding, final norm, head and sampler; the node of its first member is the
 * coordinator. Computed once, then only copied. */
struct wire_plan {
    char model[WIRE_MODEL_NAME_BYTES];
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint32_t context;  /* positions per session */
    uint32_t parallel; /* sessions, of all replicas together */
    uint32_t replicas; /* of the model, this one included, that were planned to answer side by side; 1: it is alone */
    uint32_t layer_count;
    uint32_t nodes_wanted;                                /* as asked; 0: the planner's choice */
    uint8_t split;                                        /* enum wire_split, as asked */
    uint8_t aim;                                          /* enum wire_aim, as asked */
    uint64_t shares_asked;                                /* a hash of them; 0: the planner's choice */
    uint64_t decode_tokens_per_ks, prefill_tokens_per_ks; /* predicted, per 1,000 s; 0: unknown */
    uint32_t stage_count, member_count;
    struct wire_stage stages[WIRE_STAGES_MAX];
    struct wire_member members[WIRE_MEMBERS_MAX];
};

struct wire_sampling {
    float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    uint32_t top_k;
    uint64_t seed;
};

/* -1, 0, 1: the order of epochs. */
int wire_epoch_compare(const struct wire_epoch *a, const struct wire_epoch *b);
/* 64 bits over everything in a plan; equal plans have equal hashes on every machine. Not against forgery: members
 * trust each other. */
uint64_t wire_plan_hash(const struct wire_plan *plan);
/* Everything a receiver relies on: ranges within bounds, layers complete and in order, shares that sum to one. */
bool wire_plan_valid(const struct wire_plan *plan);
/* Sessions for whose whole contexts there is memory in this replica. */
uint32_t wire_plan_sessions(const struct wire_plan *plan);
/* The first member that lies on `node`, or -1. */
int wire_plan_member(const struct wire_plan *plan, uint64_t node);
/* What its members on `node` take of the memory there, all together. */
uint64_t wire_plan_bytes(const struct wire_plan *plan, uint64_t node);
/* The stage of a member. */
uint32_t wire_plan_stage(const struct wire_plan *plan, uint32_t member);
/* Is there a data link from one member to the other? Hidden states go round the first members of the stages; members of
 * one stage tell each other what each has made, over links that are named from the lower to the higher. */
bool wire_plan_linked(const struct wire_plan *plan, uint32_t from, uint32_t to);
