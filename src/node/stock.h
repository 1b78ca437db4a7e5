/* The stock: models on their way into this node's home. A thread of its own fetches, writes and hashes; the loop asks
 * and looks.
 *
 * A pull goes through stages: the hub's list of files, the headers (then the model can be planned), the rest. It may be
 * paused, goes on where it stopped, also after a crash, and is told in plain values that any thread may ask for. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "net/link.h"
#include "store/manifest.h"
#include "wire/types.h"

struct stock;

enum { STOCK_PATH_BYTES = 4096, STOCK_PEERS_MAX = 64 };

enum stock_state {
    STOCK_LISTING,
    STOCK_HEADERS,
    STOCK_PLANNING,
    STOCK_FETCHING,
    STOCK_DONE,
    STOCK_PAUSED,
    STOCK_FAILED
};

/* What a node has of a model on its disk. */
struct stock_share {
    uint64_t node;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES]; /* all zeroes: by name */
    char name[ORIGIN_NAME_BYTES];
    bool remove;                      /* and it is to be deleted */
    bool told;                        /* what follows is known */
    uint64_t bytes_here, bytes_total; /* total 0: nothing; of what was deleted, what was here */
    struct error error;               /* why it could not be deleted */
};

struct stock_options {
    const char *home;  /* of the node; its models/ is written to */
    const char *hub;   /* address of the hub, without a slash at the end */
    const char *token; /* for it alone; NULL: none */
    const char *agent;
    uint64_t disk_max; /* bytes that models may take; 0: what the disk has */
    const struct log *log;
    /* Something that stock_views() tells has changed. Any thread. */
    void (*changed)(void *context);
    /* A link to another node's stock is wanted: it comes by stock_take_link, or nothing does. Any thread. */
    void (*dial)(void *context, uint64_t node);
    /* The path of a model that lies on this node but was not pulled; `name` is what others call it. Any thread. */
    int (*locate)(void *context, const uint8_t *fingerprint, const char *name, char path[STOCK_PATH_BYTES]);
    /* What this node has of a model, as `share` names it; or that it is deleted. Fills the rest. Any thread. */
    void (*share)(void *context, struct stock_share *share);
    void *context;
};

/* How far a member of the plan is with its part. */
struct stock_part {
    uint64_t node, bytes_done, bytes_total; /* total 0: it has not told yet */
};

struct stock_view {
    char name[ORIGIN_NAME_BYTES]; /* as it was asked for */
    enum stock_state state;
    uint64_t bytes_total, bytes_done; /* total 0: not known yet */
    uint64_t fetched_bytes;           /* that came from the hub since the pull began */
    uint64_t given_bytes;             /* and from other nodes */
    uint64_t rate;                    /* bytes/s lately */
    unsigned streams;
    bool headers; /* are here: the model can be opened */
    bool follows; /* another node plans it */
    bool held;    /* a part of it, by a plan */
    bool ready;   /* the bytes of that are here, if not all are proven */
    struct error error;
    struct stock_part parts[WIRE_MEMBERS_MAX]; /* of a pull that fetches for all members, this node's too */
    uint32_t part_count;                       /* 0: this node fetches for itself alone */
};

enum { STOCK_PULLS_MAX = 64 };

int stock_new(struct stock **out, const struct stock_options *options, struct error *error);
void stock_free(struct stock *s); /* what is under way is kept for the next time; NULL is fine */

/* Who is there, this node first. Any thread. */
void stock_set_peers(struct stock *s, const uint64_t *nodes, size_t count);
/* A link to or from the stock of a node (taken), its hellos exchanged. */
void stock_take_link(struct stock *s, uint64_t node, struct link *link);

/* Begin to pull, or go on. whole: all of it, at once; else the headers first, and then STOCK_PLANNING until it is told
 * what to hold. ERR_NOT_FOUND: no name of a model that can be pulled; ERR_BUSY: too many pulls. */
int stock_pull(struct stock *s, const char *name, bool whole, struct error *error);
/* Hold this node's part of a plan: from other nodes what they have, from where the model comes from what is this
 * node's to fetch for all. all: tell the other members too, and be done when they are. */
int stock_hold(struct stock *s, const struct wire_plan *plan, bool all, struct error *error);
/* What came of that. False: nobody asked for it. */
bool stock_find_held(struct stock *s, const uint8_t *fingerprint, struct stock_view *out);
/* Compare what is here of a pulled model with its hashes, fetch again what is wrong. */
int stock_check(struct stock *s, const char *name, struct error *error);
/* Stop and keep what is here / and delete it. ERR_NOT_FOUND: nothing of that name is under way. */
int stock_pause(struct stock *s, const char *name, struct error *error);
int stock_cancel(struct stock *s, const char *name, struct error *error);

/* Ask all other nodes what they have of a model, or to delete it, and wait for the answers, five seconds at most.
 * Writes one share for each (STOCK_PEERS_MAX at most) and returns how many. Not on the stock's thread. */
size_t stock_census(struct stock *s, const struct stock_share *about, struct stock_share *out);

/* Nobody will say what to hold of it: its headers stay, and it waits no more. */
int stock_pause_planning(struct stock *s, const char *name);

/* What is under way or ended lately, oldest first; how many were written. */
size_t stock_views(struct stock *s, struct stock_view *out, size_t max);
/* The pull of that name, however it is written. */
bool stock_find(struct stock *s, const char *name, struct stock_view *out);
const char *stock_state_name(enum stock_state state);
