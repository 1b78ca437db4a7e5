/* The step: one event, then the mail to itself, then whatever time has made due. */
#include "cluster/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/internal.h"

struct node *node_new(const struct node_options *options) {
    struct node *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    assert(options->id != 0 && options->boot != 0);
    n->options = *options;
    n->id = options->id;
    n->random = options->seed ^ prng_mix(options->boot);
    n->deadline_us = UINT64_MAX;
    return n;
}

void node_free(struct node *n) { free(n); }

uint64_t node_id(const struct node *n) { return n->id; }

uint64_t node_deadline(const struct node *n) { return n->deadline_us; }

bool node__due(struct node *n, uint64_t when_us) {
    if (when_us == 0) return false;
    if (when_us > n->now_us) {
        if (when_us < n->deadline_us) n->deadline_us = when_us;
        return false;
    }
    n->fired = true;
    return true;
}

uint64_t node__jitter(struct node *n, uint64_t base_us, uint64_t spread_us) {
    return base_us + prng_below(&n->random, spread_us);
}

void node_hello(const struct node *n, uint64_t now_us, struct wire_hello *hello) {
    memset(hello, 0, sizeof *hello);
    hello->protocol_min = WIRE_PROTOCOL_MIN;
    hello->protocol_max = WIRE_PROTOCOL_MAX;
    hello->id = n->id;
    hello->boot = n->options.boot;
    hello->uptime_us = n->start_us ? now_us - n->start_us : 0;
    hello->port = n->options.port;
    hello->kind = WIRE_CONTROL;
    memcpy(hello->name, n->options.name, sizeof hello->name);
    memcpy(hello->version, n->options.version, sizeof hello->version);
    memcpy(hello->isa, n->facts.isa, sizeof hello->isa);
    hello->arithmetic = n->options.arithmetic;
    for (uint32_t i = 0; i < n->facts.device_count; i++) hello->device_kinds |= 1u << n->facts.devices[i].kind;
}

/* What runs here goes on if it needs nobody else, and waits a little for what others have done meanwhile. */
void node__rejoin(struct node *n, const char *why) {
    node__log(n, LOG_WARN, "%s -> all links are given up, joining again", why);
    n->woke_us = n->now_us;
    peers_forget_links(n);
    n->beacons_sent = 0;
    n->beacon_us = n->now_us;
    node__changed(n);
}

void node__drop_all(struct node *n) {
    slices_drop_all(n);
    instances_drop_all(n);
    peers_forget_links(n);
}

/* Others see to what runs here, as far as they can; this node only has to say that it will be gone. */
static void drain(struct node *n) {
    n->draining = true;
    peers_goodbye(n, WIRE_DRAINING);
    recovery_hand_over(n, n->id);
}

static bool alone(const struct node *n) {
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].link_count > 0) return false;
    return true;
}

bool node_drained(const struct node *n) { return n->left || n->slice_count == 0 || alone(n); }

static void handle_message(struct node *n, struct peer *p, const struct wire_message *m) {
    uint64_t from = p ? p->id : n->id;
    if (m->type < WIRE_MODEL_QUERY) {
        if (p) peers_message(n, p, m);
        paths_message(n, m);
    } else if (m->type >= WIRE_JOB_SUBMIT) {
        jobs_message(n, from, m);
    } else {
        requests_message(n, from, m);
        reserving_message(n, from, m);
        slices_message(n, from, m);
        instances_message(n, from, m);
    }
}

static void handle_frame(struct node *n, const struct node_event *e) {
    struct peer *p = peers_heard(n, e->link);
    if (!p) return; /* a link that is closed already */
    struct wire_message *m = node__alloc(n, sizeof *m);
    struct error error = {0};
    if (wire_decode(m, e->bytes, e->len, &n->effects->arena, &error) != 0)
        peers_violation(n, p, e->link, error.text);
    else if (m->type == WIRE_HELLO)
        peers_violation(n, p, e->link, "a second hello");
    else
        handle_message(n, p, m);
}

static void leave(struct node *n) {
    peers_goodbye(n, WIRE_LEAVING);
    node__log(n, LOG_INFO, "leaving the cluster -> all links are closed");
    node__drop_all(n);
    n->left = true;
}

static int handle_event(struct node *n, const struct node_event *e) {
    switch (e->type) {
    case NODE_START:
        n->start_us = n->now_us;
        n->beacon_us = n->now_us;
        break;
    case NODE_TICK: break;
    case NODE_BEACON_SEEN: peers_beacon(n, e); break;
    case NODE_PEER_ADD: peers_add_static(n, &e->address); break;
    case NODE_LINK_UP: peers_link_up(n, e); break;
    case NODE_DIAL_FAILED: peers_dial_failed(n, e->dial); break;
    case NODE_LINK_DOWN: peers_link_down(n, e->link); break;
    case NODE_MESSAGE: handle_frame(n, e); break;
    case NODE_FACTS_CHANGED: facts_changed(n, e->facts); break;
    case NODE_READINGS: n->readings = *e->readings; break;
    case NODE_PROBE_DONE:
    case NODE_MEASURED: paths_event(n, e); break;
    case NODE_REQUEST_PLAN:
    case NODE_REQUEST_NODES:
    case NODE_REQUEST_LOAD:
    case NODE_REQUEST_STOP:
    case NODE_REQUEST_HEADER:
    case NODE_MODEL_ANSWER:
    case NODE_MODEL_MEASURED:
    case NODE_HEADER_READ: requests_event(n, e); break;
    case NODE_SLICE_PROGRESS:
    case NODE_SLICE_READY:
    case NODE_SLICE_FAILED:
    case NODE_RING_BROKEN: slices_event(n, e); break;
    case NODE_JOB_SUBMIT: return jobs_submit(n, e->submit);
    case NODE_JOB_CANCEL:
    case NODE_JOB_OUTPUT:
    case NODE_JOB_ROWS_OUT:
    case NODE_JOB_DONE: jobs_event(n, e); break;
    case NODE_NEW_SECRET: peers_spread_secret(n, e->secret); break;
    case NODE_DRAIN: drain(n); break;
    case NODE_LEAVE: leave(n); break;
    }
    return 0;
}

static void empty_mailbox(struct node *n) {
    for (struct wire_message *m = node__mail(n); m; m = node__mail(n)) handle_message(n, NULL, m);
}

/* Rounds until nothing is due; the last round has noted the earliest time of all that is to come. */
static void run_timers(struct node *n) {
    int rounds = 0;
    do {
        n->fired = false;
        n->deadline_us = UINT64_MAX;
        peers_timers(n);
        dialling_timers(n);
        paths_timers(n);
        facts_timers(n);
        slices_timers(n);
        instances_timers(n);
        requests_timers(n);
        jobs_timers(n);
        empty_mailbox(n);
        assert(++rounds < 10000); /* a timer that does not move on */
    } while (n->fired);
}

int node_step(struct node *n, const struct node_event *event, struct node_effects *effects) {
    assert(event->now_us > 0 && event->now_us >= n->now_us);
    if (n->left) return 0;
    n->now_us = event->now_us;
    n->effects = effects;
    bool slept = n->deadline_us != UINT64_MAX && n->now_us > n->deadline_us + GAP_US;
    if (slept)
        node__rejoin(n, "this node did not run for more than 2 s");
    else if (n->deadline_us != UINT64_MAX && n->now_us > n->deadline_us + LATE_US)
        peers_excuse(n, n->now_us - n->deadline_us);
    int status = handle_event(n, event);
    empty_mailbox(n);
    if (n->left)
        n->deadline_us = UINT64_MAX;
    else
        run_timers(n);
    n->effects = NULL;
    return status;
}
