/* What a node knows of another, and the times that decide who is there. Private to this room; comes with internal.h. */
#pragma once
#include "cluster/node.h"
#include "cluster/paths.h"

enum { PEER_LINKS_MAX = 3 };

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    HEARTBEAT_US = 1 * SECOND,
    CLOSE_HEARTBEAT_US =
        200 * MS,                /* between nodes that wait for each other: members of one instance, a job's two ends */
    CLOSE_SILENCE_US = 800 * MS, /* then such a peer is lost */
    SILENCE_US = 2500 * MS,      /* then a peer is lost */
    REDIAL_GRACE_US = 1500 * MS, /* after a link broke, until the peer is lost */
    LATE_US = 50 * MS,           /* own delay that is not taken for another's silence */
    GAP_US = 2 * SECOND,         /* own sleep after which no link is trusted */
    LOST_LISTED_US = 60 * SECOND,
    LEASE_US = 10 * SECOND,
};

struct peer_link {
    uint64_t id;
    bool outbound; /* dialled from here */
    uint64_t up_us, heard_us;
};

struct peer {
    uint64_t id, boot;
    enum node_peer_state state;
    bool known;   /* had a link once or was refused: shown to people */
    bool leaving; /* it said so: nothing new is put there */
    bool arrived; /* it came and has not told its facts yet */
    char reason[WIRE_REASON_BYTES];
    struct wire_hello hello;
    uint64_t hello_us;                                 /* when it came */
    struct wire_address addresses[PEER_ADDRESSES_MAX]; /* the best first */
    uint32_t address_count, address_next;
    struct peer_link links[PEER_LINKS_MAX]; /* [0] is the one to send on */
    uint32_t link_count;
    uint64_t heard_us, seen_us;   /* last message; last sign of life of any kind */
    uint64_t beat_us;             /* next heartbeat */
    uint64_t beat_at_us;          /* its last heartbeat; 0: none on this link */
    uint32_t interval_us;         /* how often it promised to be heard */
    uint32_t late_us;             /* how much later it is at times */
    uint64_t down_us;             /* when the last link broke while up; 0: not waiting for another */
    uint64_t dial, dial_us;       /* under way (0: none); when to try next (0: not) */
    uint32_t dial_failures;       /* since the last link */
    uint64_t echo_us, echo_at_us; /* its last heartbeat: its clock; when it came */
    uint32_t rtt_us;
    struct path paths[PEER_ADDRESSES_MAX];
    uint32_t path_count;
    struct wire_facts facts; /* memory_total 0: not told yet */
    struct wire_readings readings;
    uint64_t version; /* of its last word on its instances */
};

struct static_peer {
    struct wire_address address;
    uint64_t peer, boot; /* who answered there; 0: nobody yet */
    bool self;
    uint64_t dial, dial_us;
    uint32_t failures;
};
