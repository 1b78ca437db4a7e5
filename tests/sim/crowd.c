#include "crowd.h"

#include <stdio.h>

#include "cluster/internal.h"
#include "world.h"

enum {
    STARTS_US = 3 * SECOND, /* all start within that time */
    LOOK_US = 50 * MS,
    TOGETHER_US = 15 * SECOND, /* then all must see all */
    REST_US = 20 * SECOND,
};

static void start(struct world *w, const struct happening *h) { host_start(w, (uint32_t)h->a); }

static uint32_t seen_by(const struct node *n) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->peer_count; i++) count += n->peers[i].link_count > 0;
    return count;
}

static bool all_see_all(const struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        if (!w->hosts[i].up || seen_by(w->hosts[i].node) + 1 < w->scenario.hosts) return false;
    return true;
}

static void print_traffic(const struct world *w, const char *when, const struct traffic *before, double seconds) {
    double nodes = w->scenario.hosts;
    printf("%s: each node sends %.0f messages (%.1f KB) and hears %.0f beacons a second\n", when,
           (double)(w->traffic.frames - before->frames) / nodes / seconds,
           (double)(w->traffic.bytes - before->bytes) / nodes / seconds / 1000,
           (double)(w->traffic.beacons - before->beacons) / nodes / seconds);
}

void crowd_run(struct world *w, uint32_t hosts) {
    scenario_crowd(w, hosts);
    uint64_t begin_us = w->now_us;
    for (uint32_t i = 0; i < hosts; i++) world_later(w, world_below(w, STARTS_US), start, JOURNAL_NOBODY, i, 0, 0);
    world_run(w, begin_us + STARTS_US);
    while (!w->journal.broken && !all_see_all(w) && w->now_us < begin_us + STARTS_US + TOGETHER_US)
        world_run(w, w->now_us + LOOK_US);
    RULE(w, all_see_all(w), "all live nodes see each other", "%u nodes, after %d s", hosts, TOGETHER_US / SECOND);
    printf("%u nodes that start within 3 s: all see all %.2f s after the last one's start\n", hosts,
           (double)(w->now_us - begin_us - STARTS_US) / SECOND);
    print_traffic(w, "until then", &(struct traffic){0}, (double)(w->now_us - begin_us) / SECOND);
    world_run(w, w->now_us + 5 * SECOND);
    struct traffic before = w->traffic;
    world_run(w, w->now_us + REST_US);
    print_traffic(w, "at rest", &before, REST_US / SECOND);
}
