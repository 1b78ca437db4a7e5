/* Faults and work, drawn again and again. */
#include "base/prng.h"
#include "base/size.h"
#include "story.h"
#include "world.h"

enum { MILLISECOND = 1000, SECOND = 1000 * MILLISECOND, TOKENS_MAX = 40 };

static uint32_t some_host(struct world *w) { return (uint32_t)world_below(w, w->scenario.hosts); }

/* Mostly short, sometimes long, rarely longer than anything is remembered. */
static uint64_t some_time(struct world *w) {
    if (world_chance(w, 20)) return 70 * (uint64_t)SECOND;
    return world_chance(w, 600) ? world_between(w, 20, 1500) * MILLISECOND : world_between(w, 1, 10) * SECOND;
}

/* ---- faults ---- */

static void bring_back(struct world *w, const struct happening *h) {
    uint32_t host = (uint32_t)h->a;
    if (!w->hosts[host].up && !w->journal.broken) host_start(w, host);
}

static void end_host(struct world *w, enum host_end how) {
    uint32_t host = some_host(w);
    if (!host_runs(w, host)) return;
    host_end(w, host, how);
    uint64_t away_us = world_chance(w, 300) ? world_between(w, 1, 200) * MILLISECOND : some_time(w);
    world_later(w, away_us, bring_back, JOURNAL_NOBODY, host, 0, 0);
}

static void fault_leave(struct world *w) { end_host(w, HOST_LEAVES); }

static void leave_at_last(struct world *w, const struct happening *h) {
    if (host_runs(w, h->host)) host_end(w, h->host, HOST_LEAVES);
    world_later(w, w->calm ? MILLISECOND : some_time(w), bring_back, JOURNAL_NOBODY, h->host, 0, 0);
}

/* SIGTERM: what runs there is handed over before it leaves. */
static void fault_drain(struct world *w) {
    uint32_t host = some_host(w);
    if (!host_runs(w, host)) return;
    journal_line(w, (int)host, "is asked to leave");
    host_step(w, host, &(struct node_event){.type = NODE_DRAIN});
    world_later(w, world_between(w, 1, 3000) * MILLISECOND, leave_at_last, (int)host, 0, 0, 0);
}

static void fault_kill(struct world *w) { end_host(w, HOST_KILLED); }
static void fault_power(struct world *w) { end_host(w, HOST_LOSES_POWER); }

static void fault_freeze(struct world *w) {
    uint32_t host = some_host(w);
    if (host_runs(w, host)) host_freeze(w, host, some_time(w) % (20 * (uint64_t)SECOND));
}

static void rejoin_path(struct world *w, const struct happening *h) {
    journal_line(w, JOURNAL_NOBODY, "the path from n%u to n%u is whole", (uint32_t)h->a, (uint32_t)h->b);
    network_join(w, (uint32_t)h->a, (uint32_t)h->b);
}

static void cut_for(struct world *w, uint32_t from, uint32_t to, uint64_t us) {
    network_cut(w, from, to);
    world_later(w, us, rejoin_path, JOURNAL_NOBODY, from, to, 0);
}

static void fault_cut(struct world *w) {
    uint32_t from = some_host(w), to = some_host(w);
    bool both = world_chance(w, 500);
    uint64_t us = some_time(w);
    if (from == to) return;
    journal_line(w, JOURNAL_NOBODY, "n%u %s n%u for %.1f s", from, both ? "and" : "no longer reaches", to,
                 (double)us / SECOND);
    cut_for(w, from, to, us);
    if (both) cut_for(w, to, from, us);
}

static void fault_partition(struct world *w) {
    uint64_t us = some_time(w), sides = prng_next(&w->random);
    journal_line(w, JOURNAL_NOBODY, "the network falls apart for %.1f s: %llx", (double)us / SECOND,
                 (unsigned long long)sides & ((1u << w->scenario.hosts) - 1));
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        for (uint32_t k = 0; k < w->scenario.hosts; k++)
            if ((sides >> i & 1) != (sides >> k & 1)) cut_for(w, i, k, us);
}

static void fault_break(struct world *w) {
    struct sim_link *l = network_some_link(w);
    if (!l) return;
    journal_line(w, JOURNAL_NOBODY, "a link between n%u and n%u breaks", l->hosts[0], l->hosts[1]);
    network_break(w, l);
}

static void fault_stall(struct world *w) {
    struct sim_link *l = network_some_link(w);
    if (l) network_stall(w, l, some_time(w) % (5 * SECOND));
}

static void fault_garbage(struct world *w) {
    struct sim_link *l = network_some_link(w);
    if (!l) return;
    journal_line(w, JOURNAL_NOBODY, "garbage on a link between n%u and n%u", l->hosts[0], l->hosts[1]);
    network_garbage(w, l);
}

static void fault_facts(struct world *w) {
    uint32_t host = some_host(w);
    if (!host_runs(w, host)) return;
    w->hosts[host].read_bandwidth += w->hosts[host].read_bandwidth / 3;
    host_tell_facts(w, host, true);
}

static void fault_secret(struct world *w) {
    static const uint8_t secret[WIRE_SECRET_BYTES] = {1, 2, 3};
    uint32_t host = some_host(w);
    if (host_runs(w, host)) host_step(w, host, &(struct node_event){.type = NODE_NEW_SECRET, .secret = secret});
}

/* Somebody copied a disk and starts the copy. */
static void fault_clone(struct world *w) {
    uint32_t host = some_host(w), model = some_host(w);
    if (host == model || !host_runs(w, host)) return;
    host_end(w, host, HOST_KILLED);
    w->hosts[host].id = w->hosts[model].id;
    journal_line(w, (int)host, "gets the disk of n%u", model);
    world_later(w, world_below(w, SECOND), bring_back, JOURNAL_NOBODY, host, 0, 0);
}

static const struct {
    void (*strike)(struct world *w);
    uint32_t weight;
} faults[] = {
    {fault_leave, 2}, {fault_drain, 4},     {fault_kill, 10},  {fault_power, 8},  {fault_freeze, 12},
    {fault_cut, 15},  {fault_partition, 6}, {fault_break, 20}, {fault_stall, 10}, {fault_garbage, 3},
    {fault_facts, 5}, {fault_secret, 2},    {fault_clone, 4},
};

/* ---- work ---- */

static bool draw_options(struct world *w, struct placement_options *options) {
    *options = (struct placement_options){0};
    if (world_chance(w, 500)) return false;
    if (world_chance(w, 500)) options->nodes = (uint32_t)world_between(w, 1, 4);
    if (world_chance(w, 200)) options->context = 1024;
    options->split = (uint8_t)world_below(w, WIRE_SPLIT_TENSOR + 1);
    if (world_chance(w, 300)) options->aim = WIRE_FOR_THROUGHPUT;
    return true;
}

static uint32_t some_model(struct world *w) { return world_chance(w, 50) ? MODEL_HUGE : (uint32_t)world_below(w, 3); }

static void work_load(struct world *w, uint32_t host) {
    struct placement_options options;
    uint32_t model = some_model(w);
    bool any = !draw_options(w, &options);
    client_load(w, host, model, any ? NULL : &options);
    if (!world_chance(w, 250)) return; /* two at once, of the same or another model */
    uint32_t other = some_host(w), second = world_chance(w, 600) ? model : some_model(w);
    if (host_runs(w, other)) client_load(w, other, second, any ? NULL : &options);
}

static void work_plan(struct world *w, uint32_t host) {
    struct placement_options options;
    draw_options(w, &options);
    client_plan(w, host, some_model(w), &options);
}

/* An instance that the host knows of; 0: none. */
static uint64_t some_instance(struct world *w, uint32_t host) {
    struct node_instance_view views[2 * NODE_INSTANCES_MAX];
    size_t count = node_instances(w->hosts[host].node, views, ARRAY_LEN(views));
    return count == 0 ? 0 : views[world_below(w, count)].id;
}

static void work_stop(struct world *w, uint32_t host) {
    uint64_t instance = some_instance(w, host);
    client_stop(w, host, instance ? instance : 7);
}

static void work_header(struct world *w, uint32_t host) { client_header(w, host, some_model(w)); }

static void work_job(struct world *w, uint32_t host) {
    uint64_t instance = some_instance(w, host);
    uint32_t jobs = (uint32_t)world_between(w, 1, 4);
    while (instance && jobs-- > 0) client_submit(w, host, instance, (uint32_t)world_between(w, 1, TOKENS_MAX));
}

static void work_cancel(struct world *w, uint32_t host) {
    struct client *c = &w->hosts[host].client;
    if (c->job_count > 0) client_cancel(w, host, &c->jobs[world_below(w, c->job_count)]);
}

static const struct {
    void (*begin)(struct world *w, uint32_t host);
    uint32_t weight;
} works[] = {{work_load, 6}, {work_plan, 2}, {work_stop, 2}, {work_header, 2}, {work_job, 16}, {work_cancel, 4}};

/* ---- again and again ---- */

static uint64_t some_pause(struct world *w, uint64_t mean_us) { return world_between(w, mean_us / 4, 2 * mean_us); }

static void next_fault(struct world *w, const struct happening *h) {
    if (w->calm) return;
    uint32_t sum = 0, at = 0;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) sum += faults[i].weight;
    for (uint32_t left = (uint32_t)world_below(w, sum); left >= faults[at].weight; at++) left -= faults[at].weight;
    faults[at].strike(w);
    world_later(w, some_pause(w, w->scenario.fault_us), next_fault, JOURNAL_NOBODY, 0, 0, 0);
}

static void next_work(struct world *w, const struct happening *h) {
    if (w->calm) return;
    uint32_t sum = 0, at = 0, host = some_host(w);
    for (size_t i = 0; i < ARRAY_LEN(works); i++) sum += works[i].weight;
    for (uint32_t left = (uint32_t)world_below(w, sum); left >= works[at].weight; at++) left -= works[at].weight;
    if (host_runs(w, host)) works[at].begin(w, host);
    world_later(w, some_pause(w, w->scenario.work_us), next_work, JOURNAL_NOBODY, 0, 0, 0);
}

void chaos_begin(struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        world_later(w, world_below(w, 3 * SECOND), bring_back, JOURNAL_NOBODY, i, 0, 0);
    world_later(w, world_below(w, 4 * SECOND), next_fault, JOURNAL_NOBODY, 0, 0, 0);
    world_later(w, 3 * SECOND, next_work, JOURNAL_NOBODY, 0, 0, 0);
}

void chaos_end(struct world *w) {
    journal_line(w, JOURNAL_NOBODY, "everything heals");
    w->calm = true;
    w->scenario.lost = w->scenario.doubled = 0;
    network_heal(w);
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        struct host *h = &w->hosts[i];
        if (h->thaw_us > w->now_us) h->thaw_us = w->now_us + 1;
        if (!h->up && !w->journal.broken) host_start(w, i);
    }
}
