/* One probe at a time; the daemon sends it (a few pings, then a burst of at most a megabyte), this decides when. In a
 * small cluster every path is measured once it has been up for a moment, in a big one those that plans ask for; again
 * when the round trips of heartbeats say that something has changed, or when everything is to be measured anew. */
#include "cluster/paths.h"

#include "cluster/internal.h"

enum {
    LOOK_US = 1 * SECOND,
    SETTLED_US = 1 * SECOND,   /* a link younger than that is left alone */
    PROBE_US = 4 * SECOND,     /* then it has failed */
    AGAIN_US = 60 * SECOND,    /* after a failure, or when something has changed */
    SMALL_CLUSTER = 16,        /* peers, all paths to which are measured unasked */
    TYPICAL_BYTES = 64 * 1024, /* what the fastest path is fastest for */
    NOISE_US = 500,            /* of round trips */
};

static struct path *find_path(struct peer *p, const struct wire_address *address) {
    for (uint32_t i = 0; i < p->path_count; i++)
        if (dialling_same_address(&p->paths[i].address, address)) return &p->paths[i];
    return NULL;
}

static bool has_address(const struct peer *p, const struct wire_address *address) {
    for (uint32_t i = 0; i < p->address_count; i++)
        if (dialling_same_address(&p->addresses[i], address)) return true;
    return false;
}

/* A path for every address, none for others. */
static void follow_addresses(struct peer *p) {
    for (uint32_t i = p->path_count; i-- > 0;)
        if (!has_address(p, &p->paths[i].address)) p->paths[i] = p->paths[--p->path_count];
    for (uint32_t i = 0; i < p->address_count; i++)
        if (!find_path(p, &p->addresses[i])) p->paths[p->path_count++] = (struct path){.address = p->addresses[i]};
}

static uint64_t typical_us(const struct path *path) {
    return path->rtt_us / 2 + (uint64_t)TYPICAL_BYTES * SECOND / path->bandwidth;
}

const struct path *paths_best(const struct peer *p) {
    const struct path *best = NULL;
    for (uint32_t i = 0; i < p->path_count; i++) {
        const struct path *path = &p->paths[i];
        if (path->bandwidth == 0 || !has_address(p, &path->address)) continue;
        if (!best || typical_us(path) < typical_us(best)) best = path;
    }
    return best;
}

struct wire_address paths_address(const struct peer *p) {
    const struct path *best = paths_best(p);
    return best ? best->address : p->addresses[0];
}

/* ---- what is to be measured ---- */

/* Twice or half the round trip that heartbeats had when the path was measured. */
static bool has_changed(const struct peer *p, const struct path *path) {
    uint64_t now = p->rtt_us, then = path->beat_rtt_us;
    return then > 0 && (now > 2 * then + NOISE_US || 2 * now + NOISE_US < then);
}

/* Unasked: nothing is known of it, or it is not what it was. */
static bool worth_measuring(const struct node *n, const struct peer *p, const struct path *path) {
    bool settled = n->now_us - p->links[0].up_us >= SETTLED_US;
    bool busy = n->gateway_job_count > 0 || n->worker_job_count > 0;
    bool rested = path->tried_us == 0 || n->now_us - path->tried_us >= AGAIN_US;
    if (!settled || busy || !rested || n->peer_count > SMALL_CLUSTER) return false;
    return path->bandwidth == 0 || has_changed(p, path);
}

static void begin_probe(struct node *n, struct peer *p, struct path *path) {
    path->wanted = false;
    path->tried_us = n->now_us;
    n->paths.probe = ++n->number;
    n->paths.peer = p->id;
    n->paths.address = path->address;
    n->paths.give_up_us = n->now_us + PROBE_US;
    struct node_effect *effect = node__emit(n, NODE_PROBE);
    effect->dial = n->paths.probe;
    effect->peer = p->id;
    effect->address = path->address;
}

/* What was asked for goes first. */
static bool begin_next(struct node *n, bool asked) {
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct peer *p = &n->peers[i];
        if (p->link_count == 0) continue;
        follow_addresses(p);
        for (uint32_t k = 0; k < p->path_count; k++) {
            struct path *path = &p->paths[k];
            if (!(asked ? path->wanted : worth_measuring(n, p, path))) continue;
            begin_probe(n, p, path);
            return true;
        }
    }
    return false;
}

/* Everything that was to be measured anew has been: tell it with the facts. */
static void check_all_measured(struct node *n) {
    if (n->paths.measuring == 0 || n->paths.measuring_machine || n->paths.probe) return;
    for (uint32_t i = 0; i < n->peer_count; i++)
        for (uint32_t k = 0; k < n->peers[i].path_count; k++)
            if (n->peers[i].link_count > 0 && n->peers[i].paths[k].wanted) return;
    n->paths.measured = n->paths.measuring;
    n->paths.measuring = 0;
    facts_touch(n);
}

static void go_on(struct node *n) {
    if (n->paths.probe == 0 && !begin_next(n, true)) begin_next(n, false);
    check_all_measured(n);
}

static void end_probe(struct node *n, uint32_t rtt_us, uint64_t bandwidth) {
    struct peer *p = peers_find(n, n->paths.peer);
    struct path *path = p ? find_path(p, &n->paths.address) : NULL;
    n->paths.probe = 0;
    if (path) {
        path->rtt_us = rtt_us;
        path->bandwidth = bandwidth;
        path->beat_rtt_us = p->rtt_us;
        facts_touch(n);
    }
    go_on(n);
}

void paths_event(struct node *n, const struct node_event *e) {
    if (e->type == NODE_MEASURED) {
        n->paths.measuring_machine = false;
        check_all_measured(n);
    } else if (e->dial == n->paths.probe && e->dial != 0) {
        end_probe(n, e->rtt_us, e->bandwidth);
    }
}

/* A new link may run over other wires than the one before. */
void paths_link_up(struct peer *p) { p->path_count = 0; }

static void want(struct peer *p) {
    follow_addresses(p);
    for (uint32_t i = 0; i < p->path_count; i++) p->paths[i].wanted = true;
}

static void want_everything(struct node *n, uint64_t number) {
    n->paths.measuring = number;
    n->paths.measuring_machine = true;
    node__emit(n, NODE_MEASURE);
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].link_count > 0) want(&n->peers[i]);
}

void paths_message(struct node *n, const struct wire_message *m) {
    if (m->type != WIRE_MEASURE) return;
    if (m->measure.number) want_everything(n, m->measure.number);
    for (uint32_t i = 0; i < m->measure.count; i++) {
        struct peer *p = peers_find(n, m->measure.nodes[i]);
        if (p && p->link_count > 0) want(p);
    }
    go_on(n);
}

void paths_timers(struct node *n) {
    if (n->paths.probe && node__due(n, n->paths.give_up_us)) end_probe(n, 0, 0);
    if (n->paths.look_us == 0) n->paths.look_us = n->now_us + LOOK_US;
    if (!node__due(n, n->paths.look_us)) return;
    n->paths.look_us = n->now_us + LOOK_US;
    go_on(n);
}
