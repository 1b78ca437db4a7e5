/* A machine: a disk that stays, a process with a node that comes and goes, and the driver between the node and the
 * world.
 *
 * The driver does what src/node/driver.c does: one event at a time, effects carried out in order, a timer of whole
 * milliseconds. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "clients.h"
#include "cluster/node.h"
#include "engine.h"

struct world;

struct host {
    char name[12];
    /* what it is */
    uint32_t segment;      /* multicast reaches those of the same one */
    bool discovery;        /* sends beacons */
    bool inbound;          /* can be dialled */
    uint16_t protocol;     /* 1, or the version of a stranger */
    uint32_t static_peers; /* --peer: one bit per host */
    uint32_t arithmetic;
    uint64_t memory, read_bandwidth, matmul_rate;
    uint32_t files; /* one bit per model on its disk */
    uint64_t id;    /* kept on the disk */
    uint16_t port;
    /* what goes on */
    bool up, powered;
    uint32_t life; /* counts starts, from 1 */
    uint64_t started_us, thaw_us, tick_us;
    uint32_t cards; /* models whose header it knows without having the file, since its clients use them */
    struct node *node;
    uint32_t control_links; /* open ends, as the driver sees them */
    bool stepping;
    struct engine engine;
    struct client client;
    /* how busy it was in the second that began at busy_us */
    uint64_t busy_us;
    uint32_t steps, frames;
};

void host_start(struct world *w, uint32_t host);
enum host_end { HOST_LEAVES, HOST_KILLED, HOST_LOSES_POWER };
void host_end(struct world *w, uint32_t host, enum host_end how);
/* Nothing runs on it for so long. */
void host_freeze(struct world *w, uint32_t host, uint64_t us);
void host_tell_facts(struct world *w, uint32_t host, bool measured);
/* One step of its node; now_us is filled in. Not from within a step. */
void host_step(struct world *w, uint32_t host, struct node_event *event);
bool host_runs(const struct world *w, uint32_t host); /* up and not frozen */
/* The host with a node of this id that is up, or -1. */
int host_of_node(const struct world *w, uint64_t id);
