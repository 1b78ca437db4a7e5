/* A node of the cluster as a pure state machine: membership, links, placement, instances, jobs, failure.
 *
 * node_step() takes one event and gives effects; node_deadline() says when to call it again with NODE_TICK if nothing
 * else happens. No clock, no randomness of its own, no socket, no thread: time arrives in events, the generator's state
 * is one word set at the start, so a run can be replayed. The daemon and tests/sim drive the same code. One thread.
 *
 * Who does what for a load: the node that was asked (initiator) asks all who has the file, plans, reserves on the
 * members in node-id order, commits to the coordinator (node of stage 0). The coordinator tells every member to load,
 * hears when each is ready, and from then on is the only one that speaks for the instance, to all nodes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/effect.h"
#include "cluster/event.h"

enum {
    NODE_PEERS_MAX = 256,
    NODE_INSTANCES_MAX = 16,
    NODE_JOBS_MAX = 1024,
    NODE_REQUESTS_MAX = 32,
    NODE_REPLANS_MAX = 16, /* instances that are planned anew at the same time */
    NODE_STATIC_PEERS_MAX = 64,
};

struct node_options {
    uint64_t id;   /* kept over restarts; not 0 */
    uint64_t boot; /* drawn at each start; not 0 */
    uint64_t seed; /* of jitter and ids: from the system's random source */
    char name[WIRE_NAME_BYTES];
    char version[WIRE_ISA_BYTES];
    uint16_t port;       /* TCP port of the cluster */
    uint32_t arithmetic; /* revision of the engine's arithmetic */
    bool discovery;      /* send beacons */
};

struct node;

/* NULL when memory runs out. */
struct node *node_new(const struct node_options *options);
void node_free(struct node *n);

/* Take one event; effects are appended. Hostile bytes in it end a link, nothing else. Returns 0, or ERR_LIMIT when the
 * event was refused because a table is full (a REPLY or JOB_END effect says so too). */
int node_step(struct node *n, const struct node_event *event, struct node_effects *effects);
/* The time of the next NODE_TICK, in the clock of the events. Changes with every step. */
uint64_t node_deadline(const struct node *n);

/* After NODE_DRAIN: nothing that others could take over is left here. */
bool node_drained(const struct node *n);

/* The hello of this node for a new link, now. For a data link fill kind, instance, epoch, member_from and member_to. */
void node_hello(const struct node *n, uint64_t now_us, struct wire_hello *hello);
/* A data link with this hello came in: is it one between two stages of a plan that this node is in? It may come before
 * NODE_SLICE_LOAD; who refuses it then is asked again a little later. */
bool node_data_link_wanted(const struct node *n, const struct wire_hello *hello);

enum node_peer_state { NODE_PEER_UP, NODE_PEER_LOST, NODE_PEER_INCOMPATIBLE };

struct node_peer_view {
    uint64_t id;
    const char *name; /* "" before its hello */
    bool self;
    enum node_peer_state state;
    const char *reason;          /* why it is lost or incompatible; a note on an up peer; "" else */
    struct wire_address address; /* port 0: none known (self) */
    const struct wire_facts *facts;
    struct wire_readings readings;
    uint32_t rtt_us; /* from here; 0: unknown */
};

struct node_instance_view {
    uint64_t id;
    struct wire_epoch epoch;
    enum wire_state state;
    const char *reason;   /* of a failure */
    uint64_t coordinator; /* node id */
    uint64_t bytes_done, bytes_total;
    const struct wire_plan *plan;
};

/* Self first, then by id; returns how many were written. Pointers live until the next step. */
size_t node_peers(const struct node *n, struct node_peer_view *out, size_t max);
/* By id. */
size_t node_instances(const struct node *n, struct node_instance_view *out, size_t max);
uint64_t node_id(const struct node *n);
/* Bytes reserved on this node, by leases and by slices. */
uint64_t node_reserved_bytes(const struct node *n);
