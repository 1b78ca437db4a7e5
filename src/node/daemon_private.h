/* What the parts of the daemon share. Everything here belongs to the loop thread.
 *
 *   daemon.c   opens and closes everything, in order; secret, identity, facts
 *   driver.c   events into the node's state machine, its effects out again, its deadline as a timer
 *   control.c  links: dialling, accepting, hellos, control frames; data links on their way to a worker
 *   slices.c   the slices that this node runs: one worker each
 *   library.c  models here, cards by fingerprint; model_dirs.c where they lie, index.c what their headers say
 *   stay.c     which models come when they are wanted, and go when they are not
 *   requests.c plans, loads and headers that wait for the node's reply
 *   gateway.c  requests of clients: text to tokens, jobs, tokens to text
 *   stock.c    models on their way here, downloads.c over HTTP
 *   shelf.c    models on this node; events.c who watches; metrics.c what was done
 *   web.c      HTTP paths to all of that */
#pragma once
#include <stdatomic.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/size.h"
#include "cluster/node.h"
#include "net/discovery.h"
#include "net/http/http.h"
#include "net/link.h"
#include "net/listen.h"
#include "net/secret.h"
#include "node/card.h"
#include "node/control.h"
#include "node/daemon.h"
#include "node/driver.h"
#include "node/gateway.h"
#include "node/home.h"
#include "node/keys.h"
#include "node/library.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "node/probes.h"
#include "node/requests.h"
#include "node/slices.h"
#include "node/stock.h"
#include "node/turns.h"
#include "node/web.h"
#include "node/worker.h"

struct control;
struct gateway_job;
struct request;
struct slice_run;
struct stay;
struct watcher;
struct wish;

struct daemon {
    struct daemon_options options;
    struct log log;
    struct home home;
    struct library *library;
    struct stock *stock; /* models on their way here */
    struct letter stock_news;
    struct wish *wishes;    /* pulls that wait for a plan */
    char hub[512];          /* its address, without a slash at the end */
    atomic_bool stock_told; /* stock_news is in the mailbox */
    uv_loop_t loop;
    struct mailbox mailbox;
    uv_async_t stop;
    uv_timer_t drain_timer;
    uint64_t drain_end_us, hand_over_end_us; /* of the node's own answers; of what others take over */
    uv_timer_t measure_timer, facts_timer, instruments_timer;
    uv_timer_t deadline_timer; /* of requests */
    int access_log;            /* descriptor; -1: none */
    bool draining; /* no new requests; those that run may end */
    bool stopping;

    struct node *node;
    uv_timer_t tick;
    bool stepping; /* effects are being carried out: an event now would be a bug */
    unsigned threads;
    enum kern_isa isa;
    struct wire_facts facts; /* as measured so far */
    uint32_t told_run_us;      /* the CPU quota when they were measured */

    struct secret secret;
    struct secret_keyring keyring;
    uv_timer_t key_timer; /* the old key's end */

    unsigned probes_served;    /* links that others measure by this node */
    struct listener *listener;
    uv_poll_t listener_poll;
    uv_timer_t listener_timer;
    struct discovery *discovery;
    uv_poll_t discovery_poll;
    uv_timer_t discovery_timer;
    uint64_t beacon_us; /* when one of another node was heard; 0: never */
    struct control *controls;
    bool peers_changed; /* the stock is to hear it after this step */
    uint64_t next_link;

    struct slice_run *slices;
    unsigned slices_ending; /* workers that are being joined */
    struct request *requests;
    uint64_t next_request;
    struct gateway_job *jobs;
    uv_timer_t beat_timer;     /* for those who wait for an answer */
    uint64_t next_job;
    struct stay *stay;
    struct turns turns;        /* responses that may be continued */
    struct ollama_pull *pulls; /* who waits for a model to come */

    struct http_server *http;
    char url[128];
    int64_t started_s;      /* wall clock */
    unsigned errands;       /* exchanges that the pool works for */
    struct metrics metrics; /* of the gateway */

    struct watcher *watchers; /* of events */
    uint64_t next_watcher;
    uv_timer_t events_timer, activity_timer;
    bool events_due;
    char *seen_nodes, *seen_instances, *seen_downloads; /* as the watchers were told last */
};

/* ---- daemon.c ---- */
/* The id has changed / the secret was rotated by another member: keep it. */
void daemon_keep_id(struct daemon *d, uint64_t id);
void daemon_keep_secret(struct daemon *d, const uint8_t secret[SECRET_BYTES]);
int daemon_rotate_secret(struct daemon *d, struct error *error);
/* Move to the cluster of a join code / to a new one of its own. */
int daemon_join(struct daemon *d, const char *code, struct error *error);
int daemon_leave(struct daemon *d, struct error *error);
/* Measure this machine again; then the node is told. */
void daemon_measure(struct daemon *d);
