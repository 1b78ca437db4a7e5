#include "story.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "survival.h"
#include "world.h"

enum {
    SECOND = 1000000,
    POLL_US = SECOND / 4,
    QUIET_US = 8 * SECOND, /* until what was under way has arrived and dead links are noticed */
    SETTLE_US = 20 * SECOND,
    WORK_US = 40 * SECOND,
    LEASE_OVER_US = 12 * SECOND,
};

/* ---- who should see whom ---- */

bool story_should_meet(const struct world *w, uint32_t i, uint32_t k) {
    const struct host *a = &w->hosts[i], *b = &w->hosts[k];
    return a->protocol == b->protocol && (a->inbound || b->inbound);
}

static bool sees(const struct world *w, uint32_t i, uint32_t k) {
    struct node_peer_view views[NODE_PEERS_MAX + 1];
    size_t count = node_peers(w->hosts[i].node, views, ARRAY_LEN(views));
    if (node_id(w->hosts[i].node) == node_id(w->hosts[k].node)) return false; /* one of the two takes another */
    for (size_t v = 0; v < count; v++)
        if (views[v].id == node_id(w->hosts[k].node)) return views[v].state == NODE_PEER_UP;
    return false;
}

static void find_unseen(const struct world *w, struct missing *m) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        for (uint32_t k = 0; k < w->scenario.hosts; k++) {
            if (i == k || sees(w, i, k) == story_should_meet(w, i, k)) continue;
            snprintf(m->text, sizeof m->text, "n%u %s n%u", i, story_should_meet(w, i, k) ? "does not see" : "sees", k);
            return;
        }
}

/* ---- what must come to an end ---- */

static void find_unfinished(const struct world *w, struct missing *m) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        const struct host *h = &w->hosts[i];
        if (h->client.request_count > 0)
            snprintf(m->text, sizeof m->text, "n%u has not replied to a request of %.1f s ago", i,
                     (double)(w->now_us - h->client.requests[0].since_us) / SECOND);
        else if (h->client.job_count > 0)
            snprintf(m->text, sizeof m->text, "n%u: a job of %.1f s ago, last token %.1f s ago, has not ended", i,
                     (double)(w->now_us - h->client.jobs[0].since_us) / SECOND,
                     (double)(w->now_us - h->client.jobs[0].heard_us) / SECOND);
        else if (h->engine.job_count > 0)
            snprintf(m->text, sizeof m->text, "n%u still runs a job of nobody", i);
        else
            continue;
        return;
    }
}

/* For throughput a model may run twice, on nodes of its own each time. */
static bool side_by_side(const struct wire_plan *a, const struct wire_plan *b) {
    bool apart = a->aim == WIRE_FOR_THROUGHPUT && b->aim == WIRE_FOR_THROUGHPUT;
    for (uint32_t i = 0; i < a->member_count; i++) apart &= wire_plan_member(b, a->members[i].node) < 0;
    return apart;
}

/* Everybody knows the same instances, none is in between, and no model runs twice where it must not. */
static void find_disagreement(const struct world *w, struct missing *m) {
    struct node_instance_view mine[2 * NODE_INSTANCES_MAX], other[2 * NODE_INSTANCES_MAX];
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        size_t count = node_instances(w->hosts[i].node, mine, ARRAY_LEN(mine));
        for (size_t v = 0; v < count; v++) {
            if (mine[v].state == WIRE_FAILED) continue;
            if (mine[v].state != WIRE_READY)
                snprintf(m->text, sizeof m->text, "n%u: %s is in state %d", i, mine[v].plan->model, (int)mine[v].state);
            for (size_t u = 0; u < v; u++)
                if (mine[u].state == WIRE_READY && !side_by_side(mine[u].plan, mine[v].plan) &&
                    memcmp(mine[u].plan->fingerprint, mine[v].plan->fingerprint, WIRE_FINGERPRINT_BYTES) == 0)
                    snprintf(m->text, sizeof m->text, "n%u: %s runs twice", i, mine[v].plan->model);
            for (uint32_t k = 0; k < w->scenario.hosts; k++) {
                if (k == i || !story_should_meet(w, i, k)) continue;
                size_t others = node_instances(w->hosts[k].node, other, ARRAY_LEN(other)), u = 0;
                while (u < others && (other[u].id != mine[v].id || other[u].state != WIRE_READY)) u++;
                if (u == others)
                    snprintf(m->text, sizeof m->text, "n%u has %s (%016llx), n%u does not", i, mine[v].plan->model,
                             (unsigned long long)mine[v].id, k);
            }
        }
    }
}

static void find_leaks(const struct world *w, struct missing *m) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        if (node_reserved_bytes(w->hosts[i].node) > 0)
            snprintf(m->text, sizeof m->text, "n%u keeps %llu bytes reserved for nothing", i,
                     (unsigned long long)node_reserved_bytes(w->hosts[i].node));
}

void story_demand(struct world *w, const char *rule, uint64_t within_us,
                  void (*find)(const struct world *, struct missing *)) {
    uint64_t end_us = w->now_us + within_us;
    while (!w->journal.broken) {
        struct missing m = {""};
        find(w, &m);
        if (m.text[0] == '\0') return;
        if (w->now_us >= end_us) journal_broken(w, rule, "after %.0f s: %s", (double)within_us / SECOND, m.text);
        world_run(w, w->now_us + POLL_US);
    }
}

/* ---- a cluster that works ---- */

static void stop_everything(struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts && !w->journal.broken; i++) {
        struct node_instance_view views[2 * NODE_INSTANCES_MAX];
        size_t count = node_instances(w->hosts[i].node, views, ARRAY_LEN(views));
        for (size_t v = 0; v < count; v++) {
            if (views[v].coordinator != node_id(w->hosts[i].node)) continue;
            uint32_t asked = (uint32_t)world_below(w, w->scenario.hosts);
            client_stop(w, story_should_meet(w, i, asked) ? asked : i, views[v].id);
            break; /* the views are stale now */
        }
    }
    story_demand(w, "every request ends", 12 * SECOND, find_unfinished);
}

/* Also what failed and is wanted: it would come back as soon as there is room; and what is just being handed over. */
static bool anything_coordinated(const struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        struct node_instance_view views[2 * NODE_INSTANCES_MAX];
        size_t count = node_instances(w->hosts[i].node, views, ARRAY_LEN(views));
        for (size_t v = 0; v < count; v++)
            if (views[v].coordinator == node_id(w->hosts[i].node) || views[v].state != WIRE_FAILED) return true;
    }
    return false;
}

static void demand_nothing_left(struct world *w) {
    for (int round = 0; !w->journal.broken && round < 4 * MODELS && anything_coordinated(w); round++) {
        stop_everything(w);
        world_run(w, w->now_us + SECOND);
    }
    story_demand(w, "no reservation leaks", LEASE_OVER_US, find_leaks);
}

bool story_fits(struct world *w, uint32_t host, uint32_t model, bool empty) {
    static struct placement_device devices[HOSTS_MAX];
    static struct placement_result result;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        const struct host *h = &w->hosts[i];
        if ((i != host && !story_should_meet(w, host, i)) || !(h->files >> model & 1)) continue;
        if (h->node == NULL) continue;
        devices[count++] = (struct placement_device){
            .node = node_id(h->node),
            .memory_free = (h->memory - (empty ? 0 : node_reserved_bytes(h->node))) / 100 * 95,
            .read_bandwidth = h->read_bandwidth,
            .matmul_rate = h->matmul_rate};
    }
    struct placement_options options = {.near = node_id(w->hosts[host].node)};
    placement_plan(&result, &w->scenario.models[model], &options, devices, count);
    return result.fits;
}

uint64_t story_load(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options) {
    bool possible = story_fits(w, host, model, false);
    uint64_t request = client_load(w, host, model, options);
    story_demand(w, "every load ends", WORK_US, find_unfinished);
    const struct client *c = &w->hosts[host].client;
    RULE(w, c->last_request == request && (options || c->last_code == 0 || (!possible && c->last_code == ERR_LIMIT)),
         "loads succeed or are refused for a true reason", "n%u: %s %s, the reply is %d", host,
         w->scenario.models[model].name, possible ? "fits" : "does not fit", c->last_code);
    uint64_t instance = c->last_code == 0 ? c->last_instance : 0;
    bool grows = options && options->aim == WIRE_FOR_THROUGHPUT; /* replicas that are not ready yet */
    story_demand(w, "all agree on what runs", grows ? WORK_US : SECOND, find_disagreement);
    return instance;
}

static void demand_answers(struct world *w, uint64_t instance, uint32_t near) {
    for (uint32_t i = 0; i < w->scenario.hosts && instance && !w->journal.broken; i++) {
        if (i != near && !story_should_meet(w, i, near)) continue;
        uint64_t job = client_submit(w, i, instance, 10);
        story_demand(w, "every job ends", 10 * SECOND, find_unfinished);
        const struct client *c = &w->hosts[i].client;
        RULE(w, c->last_job == job && c->last_tokens == 10 && c->last_reason == WIRE_JOB_LENGTH,
             "a healthy cluster answers", "n%u: a job ends after %u tokens, reason %u", i, c->last_tokens,
             (uint32_t)c->last_reason);
    }
}

static void demand_cancelling(struct world *w, uint64_t instance, uint32_t host) {
    if (!instance || w->journal.broken) return;
    client_submit(w, host, instance, 100000);
    world_run(w, w->now_us + SECOND / 2);
    if (w->hosts[host].client.job_count > 0) client_cancel(w, host, &w->hosts[host].client.jobs[0]);
    story_demand(w, "every job ends", 2 * SECOND, find_unfinished);
    RULE(w, w->hosts[host].client.last_reason == WIRE_JOB_CANCELLED, "a healthy cluster answers",
         "n%u: a cancelled job ends with reason %u", host, (uint32_t)w->hosts[host].client.last_reason);
}

void story_settle(struct world *w) {
    world_run(w, w->now_us + QUIET_US);
    story_demand(w, "all live nodes see each other", SETTLE_US, find_unseen);
    story_demand(w, "every request and every job ends", WORK_US, find_unfinished);
    story_demand(w, "all agree on what runs", SETTLE_US, find_disagreement);
}

/* A chain of --peer that runs through a node of nobody's cluster, or NAT on both sides, parts the rest; those seeds
 * only show that it is borne. */
static void demand_progress(struct world *w) {
    story_settle(w);
    demand_nothing_left(w);
    uint32_t host = (uint32_t)world_below(w, w->scenario.hosts), other = (uint32_t)world_below(w, w->scenario.hosts);
    if (w->journal.broken) return;
    uint64_t instance = story_load(w, host, MODEL_SMALL, NULL);
    demand_answers(w, instance, host);
    demand_cancelling(w, instance, host);
    if (w->journal.broken) return;
    instance = story_load(w, other, 1 + (uint32_t)world_below(w, MODELS - 1), NULL);
    demand_answers(w, instance, other);
    demand_nothing_left(w);
    if (!w->journal.broken) survival_demand(w, (uint32_t)world_below(w, w->scenario.hosts));
    demand_nothing_left(w);
}

void story_run(struct world *w) {
    scenario_tell(w);
    chaos_begin(w);
    world_run(w, w->now_us + 3 * SECOND + w->scenario.chaos_us);
    if (!w->journal.broken) chaos_end(w);
    if (!w->journal.broken) demand_progress(w);
    journal_line(w, JOURNAL_NOBODY, "the end");
}
