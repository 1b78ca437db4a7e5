/* How fast the ways to other nodes are. Private to this room.
 *
 * An address under which a peer is known stands for a pair of network interfaces: each is a path, measured by itself.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/event.h"

enum { PEER_ADDRESSES_MAX = 4 };

struct node;
struct peer;

struct path {
    struct wire_address address;
    bool wanted;       /* to be measured, whatever is known */
    uint64_t tried_us; /* when it was measured last; 0: never */
    uint32_t rtt_us;
    uint64_t bandwidth;   /* 0: not known */
    uint32_t beat_rtt_us; /* of heartbeats at that time */
};

/* What is being measured. */
struct paths {
    uint64_t probe; /* its number; 0: none is under way */
    uint64_t peer, give_up_us;
    struct wire_address address;
    uint64_t look_us;             /* when to look for something to measure */
    uint64_t measuring, measured; /* everything anew: under way (0: no); done last */
    bool measuring_machine;       /* of that, this machine's own rates */
};

/* The fastest that was measured, or NULL. */
const struct path *paths_best(const struct peer *p);
/* Its address, or the one that the peer is known by best. */
struct wire_address paths_address(const struct peer *p);
/* A link that is the first to the peer: it may run over other wires than the one before. */
void paths_link_up(struct peer *p);
void paths_event(struct node *n, const struct node_event *e);
void paths_message(struct node *n, const struct wire_message *m);
void paths_timers(struct node *n);
