#include "survival.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "story.h"
#include "world.h"

enum {
    MILLISECOND = 1000,
    SECOND = 1000 * MILLISECOND,
    LOOK_US = 10 * MILLISECOND,
    NOTICE_US = 4 * SECOND,
    END_US = 60 * (uint64_t)SECOND,
    GROWN_US = 30 * (uint64_t)SECOND,
    AWAY_US = 30 * (uint64_t)SECOND,
    TOKENS = 150,
};

enum strike { STRIKE_KILL, STRIKE_POWER, STRIKE_FREEZE, STRIKE_CUT, STRIKE_DEAF, STRIKE_MUTE, STRIKE_DRAIN, STRIKES };

struct drama {
    uint32_t gateway, victim, model;
    uint64_t instance;
    struct wire_epoch epoch;
    enum strike strike;
};

/* Everybody may talk to everybody: only then who is left can do whatever it has memory for. */
static bool whole(const struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!story_should_meet(w, i, k)) return false;
    return true;
}

static bool view_of(const struct world *w, uint32_t host, uint64_t instance, struct node_instance_view *out) {
    struct node_instance_view views[2 * NODE_INSTANCES_MAX];
    size_t count = w->hosts[host].up ? node_instances(w->hosts[host].node, views, ARRAY_LEN(views)) : 0;
    memset(out, 0, sizeof *out);
    for (size_t v = 0; v < count; v++)
        if (views[v].id == instance) *out = views[v];
    return out->id == instance;
}

/* A member to be struck, and a gateway that will not be. False: nobody is left for one of the two. */
static bool cast(struct world *w, struct drama *d) {
    struct node_instance_view view;
    if (!view_of(w, d->gateway, d->instance, &view) || view.plan == NULL) return false;
    int victim = host_of_node(w, view.plan->members[world_below(w, view.plan->member_count)].node);
    d->epoch = view.epoch;
    if (victim < 0) return false;
    d->victim = (uint32_t)victim;
    for (uint32_t tries = 0; tries < 8 && d->gateway == d->victim; tries++)
        d->gateway = (uint32_t)world_below(w, w->scenario.hosts);
    return d->gateway != d->victim && story_should_meet(w, d->gateway, d->victim);
}

static void cut(struct world *w, const struct drama *d, bool from, bool to) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        if (i == d->victim) continue;
        if (from) network_cut(w, d->victim, i);
        if (to) network_cut(w, i, d->victim);
    }
}

static void strike(struct world *w, const struct drama *d) {
    static const char *const words[] = {"kill", "power", "freeze", "cut", "deaf", "mute", "drain"};
    journal_line(w, (int)d->victim, "is struck: %s", words[d->strike]);
    switch (d->strike) {
    case STRIKE_KILL: host_end(w, d->victim, HOST_KILLED); break;
    case STRIKE_POWER: host_end(w, d->victim, HOST_LOSES_POWER); break;
    case STRIKE_FREEZE: host_freeze(w, d->victim, AWAY_US); break;
    case STRIKE_CUT: cut(w, d, true, true); break;
    case STRIKE_DEAF: cut(w, d, false, true); break;
    case STRIKE_MUTE: cut(w, d, true, false); break;
    case STRIKE_DRAIN: host_step(w, d->victim, &(struct node_event){.type = NODE_DRAIN}); break;
    case STRIKES: break;
    }
}

static bool noticed(const struct world *w, const struct drama *d) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        struct node_instance_view view;
        if (i == d->victim || !w->hosts[i].up) continue;
        if (!view_of(w, i, d->instance, &view)) return true; /* its replicas do without it */
        if (view.state == WIRE_RECOVERING || wire_epoch_compare(&view.epoch, &d->epoch) > 0) return true;
    }
    return false;
}

static void await_notice(struct world *w, const struct drama *d) {
    uint64_t begin_us = w->now_us;
    bool silent = d->strike != STRIKE_DRAIN; /* what is announced needs no noticing */
    while (!w->journal.broken && !noticed(w, d) && w->now_us < begin_us + NOTICE_US) world_run(w, w->now_us + LOOK_US);
    RULE(w, noticed(w, d) || !silent, "a lost member is noticed", "n%u is gone for %.1f s and nobody minds", d->victim,
         (double)NOTICE_US / SECOND);
    if (silent) w->noticed_us = w->now_us - begin_us;
}

static void find_running(const struct world *w, struct missing *m) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        if (w->hosts[i].up && w->hosts[i].client.job_count > 0) snprintf(m->text, sizeof m->text, "n%u waits", i);
}

/* Would the model fit on all but this host? */
static bool fits_without(struct world *w, const struct drama *d) {
    uint64_t memory = w->hosts[d->victim].memory;
    w->hosts[d->victim].memory = 0;
    bool fits = story_fits(w, d->gateway, d->model, true);
    w->hosts[d->victim].memory = memory;
    return fits;
}

static void check_end(struct world *w, const struct drama *d, uint64_t job) {
    const struct client *c = &w->hosts[d->gateway].client;
    bool possible = fits_without(w, d);
    if (w->journal.broken || !whole(w) || c->last_job != job) return;
    RULE(w, !possible || (c->last_reason == WIRE_JOB_LENGTH && c->last_tokens == TOKENS), "an answer outlives a member",
         "n%u: the job ends after %u tokens, reason %u, though the model fits without n%u", d->gateway, c->last_tokens,
         (uint32_t)c->last_reason, d->victim);
}

static void mend(struct world *w, const struct drama *d) {
    struct host *h = &w->hosts[d->victim];
    journal_line(w, (int)d->victim, "is mended");
    if (d->strike == STRIKE_DRAIN && h->up) host_end(w, d->victim, HOST_LEAVES);
    if (h->thaw_us > w->now_us) h->thaw_us = w->now_us + 1;
    network_heal(w);
    if (!h->up) host_start(w, d->victim);
}

/* Instances of the watched model that are ready, as its host sees it. `replicas`: as many as the newest tells. */
static uint32_t ready_instances(const struct world *w, uint32_t *replicas) {
    struct node_instance_view views[2 * NODE_INSTANCES_MAX];
    const uint8_t *fingerprint = w->scenario.models[w->watched_model].fingerprint;
    size_t count = node_instances(w->hosts[w->watched_host].node, views, ARRAY_LEN(views));
    struct wire_epoch newest = {0};
    uint32_t ready = 0;
    for (size_t v = 0; v < count; v++) {
        bool same = memcmp(views[v].plan->fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0;
        if (!same || views[v].state != WIRE_READY) continue;
        ready++;
        if (wire_epoch_compare(&views[v].epoch, &newest) < 0) continue;
        newest = views[v].epoch;
        *replicas = views[v].plan->replicas;
    }
    return ready;
}

/* What fits with everybody there is ready, by itself. */
static void find_not_ready(const struct world *w, struct missing *m) {
    uint32_t replicas = 0;
    if (ready_instances(w, &replicas) == 0)
        snprintf(m->text, sizeof m->text, "n%u: the model is not back", w->watched_host);
}

/* Where it was planned to run several times, it does. */
static void find_ungrown(const struct world *w, struct missing *m) {
    uint32_t replicas = 0, ready = ready_instances(w, &replicas);
    if (ready < replicas)
        snprintf(m->text, sizeof m->text, "n%u: %u of %u replicas are ready", w->watched_host, ready, replicas);
}

static void draw_wishes(struct world *w, struct placement_options *options) {
    *options = (struct placement_options){.split = (uint8_t)world_below(w, WIRE_SPLIT_TENSOR + 1)};
    if (world_chance(w, 500)) {
        options->aim = WIRE_FOR_THROUGHPUT;
        options->parallel = (uint32_t)world_between(w, 2, 9);
    } else {
        options->nodes = (uint32_t)world_between(w, 1, 4);
    }
}

void survival_demand(struct world *w, uint32_t asked) {
    struct drama d = {.gateway = asked, .model = (uint32_t)world_below(w, MODELS - 1)};
    struct placement_options options;
    draw_wishes(w, &options);
    d.strike = (enum strike)world_below(w, STRIKES);
    d.instance = story_load(w, asked, d.model, world_chance(w, 500) ? &options : NULL);
    if (w->journal.broken || !d.instance) return;
    w->watched_host = asked;
    w->watched_model = d.model;
    if (whole(w)) story_demand(w, "replicas are grown", GROWN_US, find_ungrown);
    if (w->journal.broken || !cast(w, &d)) return;
    uint64_t job = client_submit(w, d.gateway, d.instance, TOKENS);
    world_run(w, w->now_us + world_between(w, 100, 1500) * MILLISECOND);
    if (w->journal.broken) return;
    strike(w, &d);
    await_notice(w, &d);
    story_demand(w, "every job ends", END_US, find_running);
    check_end(w, &d, job);
    if (w->journal.broken) return;
    mend(w, &d);
    story_settle(w);
    w->watched_host = d.gateway;
    if (whole(w)) story_demand(w, "what fits comes back", END_US, find_not_ready);
}
