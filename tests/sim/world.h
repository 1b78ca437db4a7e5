/* A made-up world for real nodes: machines, a network, clients, time, all from one seed.
 *
 * The nodes are those of src/cluster, unchanged. Everything else is played: the same seed gives the same run, event by
 * event, on every machine. */
#pragma once
#include "agenda.h"
#include "host.h"
#include "journal.h"
#include "network.h"
#include "rules.h"
#include "scenario.h"

struct world {
    uint64_t seed, random, now_us;
    struct scenario scenario;
    struct agenda agenda;
    struct network network;
    struct host hosts[CROWD_MAX];
    struct registry registry;
    struct journal journal;
    bool calm; /* faults are over */
    uint64_t events;
    struct traffic {
        uint64_t frames, bytes, beacons; /* beacons: as often as they were heard */
    } traffic;
    uint64_t noticed_us; /* survival.c: how long a loss took to be noticed; 0: none was silent */
    uint32_t watched_host;
    uint32_t watched_model;
};

void world_init(struct world *w, uint64_t seed, enum journal_mode mode);
void world_deinit(struct world *w);
uint64_t world_below(struct world *w, uint64_t bound);
uint64_t world_between(struct world *w, uint64_t low, uint64_t high); /* low <= result < high */
bool world_chance(struct world *w, uint32_t per_mille);
/* Later, unless the host (if it is one's) has been started again by then. */
void world_later(struct world *w, uint64_t delay_us, void (*happen)(struct world *, const struct happening *), int host,
                 uint64_t a, uint64_t b, uint64_t c);
/* Let things happen until then, or until a rule is broken. */
void world_run(struct world *w, uint64_t until_us);
