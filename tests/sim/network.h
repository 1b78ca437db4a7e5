/* The network between hosts: datagrams that may be lost, doubled, late; links that are ordered pipes.
 *
 * A path (from one host to another) is open or cut, each direction by itself. What is sent over a cut path on a link
 * waits and arrives some time after the path is whole again; a datagram is gone. A link that breaks delivers an unknown
 * prefix of what was under way; each end learns of it, later or never: then its sends go nowhere.
 *
 * The rule checked here: a node sends only on links that are open as far as it can know. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "wire/wire.h"

struct world;

enum { HOSTS_MAX = 8, CROWD_MAX = 200 }; /* of a seed; of crowd.h */
enum side { DIALLER, ACCEPTOR };
enum end_state { END_OPENING, END_OPEN, END_CLOSED };
enum parcel_type { PARCEL_HELLO, PARCEL_FRAME, PARCEL_END };

struct parcel {
    struct parcel *next;
    enum parcel_type type;
    uint32_t len;
    struct wire_hello hello;
    uint8_t bytes[];
};

/* What one end sent and the other has not taken yet. */
struct pipe {
    struct parcel *first, *last;
    uint64_t due_us;    /* of the last parcel: none overtakes */
    uint32_t held_back; /* arrivals that wait for the path */
};

struct sim_link {
    uint32_t hosts[2], lives[2];
    enum end_state ends[2];
    struct pipe pipes[2]; /* by who sends */
    struct wire_address address;
    uint64_t dial;           /* the dialler's number of a control link */
    struct wire_hello about; /* a data link's particulars; kind tells which it is */
    bool broken;             /* nothing that is sent now arrives */
    bool answers;            /* broken: whoever sends hears of it */
};

struct network {
    struct sim_link *links; /* owned; a link's number at one end is 2 * index + side + 1 */
    uint32_t count, capacity;
    uint32_t first_open; /* all links before are over */
    uint64_t ending;     /* the link whose end a node is being told */
    bool cut[CROWD_MAX][CROWD_MAX];
    uint64_t cut_us[CROWD_MAX][CROWD_MAX]; /* since when */
    uint64_t latency_us[CROWD_MAX][CROWD_MAX];
};

void network_deinit(struct network *n);

void network_send_beacon(struct world *w, uint32_t host, const struct wire_beacon *beacon);
/* Ends in NODE_LINK_UP or NODE_DIAL_FAILED. */
void network_dial(struct world *w, uint32_t host, uint64_t dial, const struct wire_address *to);
/* A data link with these particulars; ends in engine_link_up or engine_dial_failed. Returns its number here. */
uint64_t network_dial_data(struct world *w, uint32_t host, const struct wire_address *to,
                           const struct wire_hello *about);
void network_send(struct world *w, uint32_t host, uint64_t link, const uint8_t *bytes, uint32_t len);
/* After what was sent. */
void network_close(struct world *w, uint32_t host, uint64_t link);
/* The process of a host ended. `power`: the machine too, so that its peers are told nothing. */
void network_host_gone(struct world *w, uint32_t host, bool power);

void network_cut(struct world *w, uint32_t from, uint32_t to);
void network_join(struct world *w, uint32_t from, uint32_t to);
void network_heal(struct world *w);
bool network_open(const struct world *w, uint32_t one, uint32_t other); /* both directions */
/* Some open link, control or data; NULL: none. */
struct sim_link *network_some_link(struct world *w);
void network_break(struct world *w, struct sim_link *link);
void network_stall(struct world *w, struct sim_link *link, uint64_t us);
/* Bytes that are no message arrive on the link. */
void network_garbage(struct world *w, struct sim_link *link);

bool network_link_open(const struct world *w, uint32_t host, uint64_t link);

struct wire_address network_address(const struct world *w, uint32_t host);
