/* The inside of the stock, for those who work on its thread: stock.c, pull.h, hub.h, hold.h, mates.h. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "net/fetch/fetch.h"
#include "node/aside.h"
#include "node/drain.h"
#include "node/hasher.h"
#include "node/stock.h"
#include "os/thread.h"

struct arrival;
struct census;
struct order;
struct pull;
struct depot;
struct mate;
struct parked;
struct handed;
struct search;
struct mate_map;

struct stock {
    struct stock_options options;
    struct thread thread;
    struct fetcher *fetcher;
    struct hasher *hasher;
    struct drain *drain;
    struct pull *pulls; /* the thread's; the list and `told` of its members change under the mutex only */
    pthread_mutex_t mutex;
    struct order *orders, **orders_end; /* likewise, and those that are being obeyed: */
    struct order *taken;
    atomic_bool ending;
    uint64_t peers[STOCK_PEERS_MAX]; /* under the mutex; this node first */
    size_t peer_count;
    struct arrival *arrivals; /* links that came; under the mutex */
    struct mate *mates;
    uint16_t mate_number;
    uint64_t pull_number, census_number;
    struct census *censuses; /* under the mutex */
    uint64_t dialled_us;  /* when peers were dialled last */
    uint8_t *lent;        /* a chunk that is given away; `lent_bytes` are reserved */
    size_t lent_bytes;
    struct asides *asides;
    struct depot *depots;    /* models that are here whole, open to be given away */
    struct search *searches; /* for others */
    struct parked *parked;   /* messages about those, oldest first */
    struct handed *handed;   /* hashes to go on with, of models that are not open yet */
    uint64_t tell_us;     /* when to look at what changed */
    bool urgent;          /* now: a state changed */
};

/* As stock_hold; report: the node that wants to hear how far it is (0: nobody). */
int stock__hold(struct stock *s, const struct wire_plan *plan, bool all, uint64_t report, struct error *error);
