/* What this node offers, told to all whenever it changes. */
#include "cluster/internal.h"

enum {
    TELL_AFTER_US = 20 * MS, /* several changes in one message */
    CHECK_LINKS_US = 5 * SECOND,
};

static uint64_t free_bytes(const struct node *n) {
    uint64_t used = slices_bytes(n);
    return used < n->facts.memory_total ? n->facts.memory_total - used : 0;
}

/* Heartbeats wait for the loop; a probe does not. */
static struct wire_link measured_link(const struct peer *p) {
    const struct path *path = paths_best(p);
    struct wire_link link = {.to = p->id, .rtt_us = p->rtt_us};
    if (!path) return link;
    link.bandwidth = path->bandwidth;
    if (path->rtt_us > 0 && path->rtt_us < link.rtt_us) link.rtt_us = path->rtt_us;
    return link;
}

static uint32_t measured_links(const struct node *n, struct wire_link *links) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->peer_count && count < WIRE_LINKS_MAX; i++)
        if (n->peers[i].link_count > 0 && n->peers[i].rtt_us > 0) links[count++] = measured_link(&n->peers[i]);
    return count;
}

void facts_touch(struct node *n) {
    n->facts.memory_free = free_bytes(n);
    n->facts.link_count = measured_links(n, n->facts.links);
    if (n->facts_us == 0) n->facts_us = n->now_us + TELL_AFTER_US;
    node__changed(n);
}

void facts_changed(struct node *n, const struct wire_facts *facts) {
    n->facts = *facts;
    recovery_cluster_changed(n, false);
    facts_touch(n);
}

void facts_fill(const struct node *n, struct wire_facts *out) {
    *out = n->facts;
    out->memory_free = free_bytes(n);
    out->link_count = measured_links(n, out->links);
    out->measured = n->paths.measured;
}

/* A round trip that nobody knows yet, or that moved by a quarter and more than noise. */
static bool links_moved(struct node *n) {
    struct wire_link now[WIRE_LINKS_MAX];
    uint32_t count = measured_links(n, now);
    if (count != n->facts.link_count) return true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = n->facts.links[i].rtt_us, rtt = now[i].rtt_us;
        uint32_t moved = rtt > before ? rtt - before : before - rtt;
        if (n->facts.links[i].to != now[i].to || (moved > before / 4 && moved > 200)) return true;
    }
    return false;
}

void facts_timers(struct node *n) {
    if (n->facts_check_us == 0) n->facts_check_us = n->now_us + CHECK_LINKS_US;
    if (node__due(n, n->facts_check_us)) {
        n->facts_check_us = n->peer_count > 0 ? n->now_us + CHECK_LINKS_US : n->now_us + 12 * CHECK_LINKS_US;
        if (links_moved(n)) facts_touch(n);
    }
    if (!node__due(n, n->facts_us)) return;
    n->facts_us = 0;
    struct wire_message m = {.type = WIRE_FACTS};
    facts_fill(n, &m.facts);
    node__tell_all(n, &m);
}
