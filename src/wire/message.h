/* The messages of control links, one struct each (instances and jobs: instance.h), and the union of them.
 * Fields are in the order of the wire. Pointers are arrays of the caller, or of its arena when decoding. Pure data. */
#pragma once
#include <stdint.h>

#include "wire/instance.h"
#include "wire/types.h"

enum {
    WIRE_BEACON_BYTES_MAX = 512,
    WIRE_CHUNK_BYTES_MAX = 256 << 10,
    WIRE_PEERS_MAX = 256,
    WIRE_SECRET_BYTES = 16,
};

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_HEARTBEAT,
    WIRE_FACTS,
    WIRE_PEERS,
    WIRE_GOODBYE,
    WIRE_NEW_SECRET,
    WIRE_MEASURE,
    WIRE_MODEL_QUERY = 16,
    WIRE_MODEL_ANSWER,
    WIRE_HEADER_GET,
    WIRE_HEADER_DATA,
    WIRE_RESERVE = 32,
    WIRE_RESERVE_OK,
    WIRE_RESERVE_REFUSED,
    WIRE_RELEASE,
    WIRE_COMMIT,
    WIRE_LOAD,
    WIRE_LOAD_PROGRESS,
    WIRE_LOADED,
    WIRE_LOAD_FAILED,
    WIRE_UNLOAD,
    WIRE_STOP,
    WIRE_INSTANCE,
    WIRE_INSTANCES,
    WIRE_JOB_SUBMIT = 64,
    WIRE_JOB_TOKENS,
    WIRE_JOB_END,
    WIRE_JOB_CANCEL,
    WIRE_JOB_ROWS,
    WIRE_STEP = 128, WIRE_STEP_RESULT, WIRE_STEP_FAILED, /* data links only: step.h */
    WIRE_PING, WIRE_PONG, /* data links only: a payload that comes back on the same link */
    WIRE_COLUMNS, WIRE_HEAD, WIRE_LOGITS, /* data links between members of a stage only: step.h */
};

enum wire_goodbye_reason { WIRE_LEAVING, WIRE_DUPLICATE_ID, WIRE_INCOMPATIBLE, WIRE_DRAINING };
struct wire_header {
    uint32_t length; /* of the payload */
    uint16_t type;   /* enum wire_type */
    uint16_t flags;  /* 0 in this version */
};
/* The datagram of discovery. net/ appends and checks the MAC; a peer's address is the packet's source. */
struct wire_beacon {
    uint16_t protocol_min, protocol_max;
    uint64_t id, boot, key_id; /* key_id: which cluster secret made the MAC */
    uint16_t port;             /* TCP port of the cluster */
};
/* The first frame in both directions on every link. */
struct wire_hello {
    uint16_t protocol_min, protocol_max;
    uint64_t id, boot;     /* who and which start of it */
    uint64_t uptime_us;    /* since that start: the younger of two clones gives way */
    uint16_t port;         /* TCP port of the cluster */
    uint8_t kind;          /* enum wire_link_kind */
    uint32_t arithmetic;   /* revision: equal numbers give equal bits */
    uint32_t device_kinds; /* bit set of enum wire_device_kind */
    char name[WIRE_NAME_BYTES], version[WIRE_ISA_BYTES], isa[WIRE_ISA_BYTES];
    uint64_t instance; /* data links only, 0 else, like the next three */
    struct wire_epoch epoch;
    uint32_t member_from, member_to; /* of the plan: see wire_plan_linked; whoever dialled */
};
struct wire_heartbeat {
    uint64_t sent_us;     /* the sender's clock */
    uint64_t echo_us;     /* sent_us of the last heartbeat from the receiver; 0: none yet */
    uint64_t held_us;     /* how long ago that one arrived */
    uint32_t interval_us; /* the next one comes within this time */
    struct wire_readings readings;
};
struct wire_peer {
    uint64_t id, boot;
    struct wire_address address;
};
struct wire_peers {
    uint32_t count;
    struct wire_peer *peers;
};
struct wire_goodbye {
    uint8_t reason;
    char text[WIRE_REASON_BYTES];
};
struct wire_new_secret {
    uint8_t secret[WIRE_SECRET_BYTES];
};
struct wire_model_query {
    uint64_t request;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    char name[WIRE_MODEL_NAME_BYTES]; /* its end may say what files have to become first */
};
struct wire_model_answer {
    uint64_t request;
    uint8_t found;
};
struct wire_header_get {
    uint64_t request;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint64_t offset;
};
struct wire_header_data {
    uint64_t request, total, offset; /* total 0: not here */
    uint32_t len;
    uint8_t *bytes;
};
struct wire_message {
    enum wire_type type;
    union {
        struct wire_hello hello;
        struct wire_heartbeat heartbeat;
        struct wire_facts facts;
        struct wire_peers peers;
        struct wire_goodbye goodbye;
        struct wire_new_secret new_secret;
        struct wire_measure measure;
        struct wire_model_query model_query;
        struct wire_model_answer model_answer;
        struct wire_header_get header_get;
        struct wire_header_data header_data;
        struct wire_reserve reserve;
        struct wire_reserve_ok reserve_ok;
        struct wire_reserve_refused reserve_refused;
        struct wire_release release;
        struct wire_commit commit;
        struct wire_subject subject; /* LOAD, LOADED, UNLOAD */
        struct wire_load_progress load_progress;
        struct wire_load_failed load_failed;
        struct wire_stop stop;
        struct wire_instance instance;
        struct wire_instances instances;
        struct wire_job_submit job_submit;
        struct wire_job_tokens job_tokens;
        struct wire_job_end job_end;
        struct wire_job_cancel job_cancel;
        struct wire_job_rows job_rows;
    };
};
