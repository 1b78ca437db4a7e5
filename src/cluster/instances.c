/* Instances: this node as coordinator of some, and what others say of theirs.
 *
 * Only the coordinator speaks for an instance. Everyone else keeps its last word. When it is lost, the entry is an
 * orphan until a successor speaks (recovery.c); when two nodes speak for one instance after a partition, there are two
 * entries, and the lower epoch ends as soon as nothing runs under it. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cluster/internal.h"

enum {
    TELL_PROGRESS_US = 250 * MS,
    BREAK_PATIENCE_US = 400 * MS, /* the links of a node that dies break within that of each other */
    FAILED_LISTED_US = 60 * SECOND,
};

struct instance *instances_entry(struct node *n, uint64_t id, uint64_t coordinator) {
    for (uint32_t k = 0; k < n->instance_count; k++)
        if (n->instances[k].id == id && n->instances[k].coordinator == coordinator) return &n->instances[k];
    return NULL;
}

struct instance *instances_own(struct node *n, uint64_t id) {
    return instances_entry(n, id, n->id);
}

bool instances_alive(const struct instance *i) {
    return i->state == WIRE_LOADING || i->state == WIRE_READY || i->state == WIRE_RECOVERING;
}

bool instances_spoken_for(struct node *n, const struct slice *s) {
    uint64_t coordinator = s->plan.members[0].node;
    const struct instance *i = instances_entry(n, s->instance, coordinator);
    bool runs = i && instances_alive(i) && !i->planning && i->orphan_us == 0;
    return runs && wire_epoch_compare(&i->epoch, &s->epoch) == 0 && peers_linked(n, coordinator) &&
           !(coordinator == n->id && n->draining);
}

/* Epochs order the instances of one model too; the id only breaks the tie of a planner that was restarted. */
static bool older(const struct instance *a, const struct instance *b) {
    int order = wire_epoch_compare(&a->epoch, &b->epoch);
    return order != 0 ? order < 0 : a->id < b->id;
}

/* Ready before recovering or loading before failed; then the higher epoch. */
static bool better(const struct instance *a, const struct instance *b) {
    if (instances_alive(a) != instances_alive(b)) return instances_alive(a);
    if ((a->state == WIRE_READY) != (b->state == WIRE_READY)) return a->state == WIRE_READY;
    return older(b, a);
}

bool instances_shown(const struct node *n, const struct instance *i) {
    for (uint32_t k = 0; k < n->instance_count; k++)
        if (n->instances[k].id == i->id && &n->instances[k] != i && better(&n->instances[k], i)) return false;
    return true;
}

struct instance *instances_find(struct node *n, uint64_t id) {
    for (uint32_t k = 0; k < n->instance_count; k++)
        if (n->instances[k].id == id && instances_shown(n, &n->instances[k])) return &n->instances[k];
    return NULL;
}

static bool same_model(const struct instance *i, const uint8_t *fingerprint) {
    return memcmp(i->plan.fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0;
}

bool instances_side_by_side(const struct instance *a, const struct instance *b) {
    bool for_throughput = a->plan.aim == WIRE_FOR_THROUGHPUT && b->plan.aim == WIRE_FOR_THROUGHPUT;
    if (a->id == b->id || !same_model(a, b->plan.fingerprint) || !for_throughput) return false;
    for (uint32_t k = 0; k < a->plan.member_count; k++)
        if (wire_plan_member(&b->plan, a->plan.members[k].node) >= 0) return false;
    return true;
}

struct instance *instances_of_model(struct node *n, const uint8_t *fingerprint) {
    struct instance *best = NULL;
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        if (instances_alive(i) && same_model(i, fingerprint) && (!best || better(i, best))) best = i;
    }
    return best;
}

void instances_remove(struct node *n, struct instance *i) {
    uint32_t at = (uint32_t)(i - n->instances);
    memmove(i, i + 1, (--n->instance_count - at) * sizeof *i);
    node__changed(n);
}

/* A free place in order of ids; what failed longest ago gives way. NULL: all are alive. */
static struct instance *add_instance(struct node *n, uint64_t id, uint64_t coordinator) {
    if (n->instance_count == ARRAY_LEN(n->instances)) {
        struct instance *oldest = NULL;
        for (uint32_t k = 0; k < n->instance_count; k++) {
            struct instance *i = &n->instances[k];
            if (!instances_alive(i) && (!oldest || i->changed_us < oldest->changed_us)) oldest = i;
        }
        if (!oldest) return NULL;
        instances_remove(n, oldest);
    }
    uint32_t at = 0;
    while (at < n->instance_count && n->instances[at].id < id) at++;
    memmove(&n->instances[at + 1], &n->instances[at], (n->instance_count++ - at) * sizeof *n->instances);
    memset(&n->instances[at], 0, sizeof n->instances[at]);
    n->instances[at].id = id;
    n->instances[at].coordinator = coordinator;
    return &n->instances[at];
}

/* ---- the coordinator's word ---- */

static struct wire_message announcement(struct node *n, const struct instance *i) {
    struct wire_message m = {.type = WIRE_INSTANCE};
    m.instance = (struct wire_instance){.version = ++n->version,
                                        .instance = i->id,
                                        .epoch = i->epoch,
                                        .state = (uint8_t)i->state,
                                        .bytes_done = i->bytes_done,
                                        .bytes_total = i->bytes_total,
                                        .plan = i->plan};
    snprintf(m.instance.text, sizeof m.instance.text, "%s", i->text);
    return m;
}

void instances_announce(struct node *n, struct instance *i) {
    struct wire_message m = announcement(n, i);
    i->announce_us = 0;
    node__tell_all(n, &m);
    node__changed(n);
}

static struct wire_subject subject(const struct instance *i) { return (struct wire_subject){i->id, i->epoch, i->hash}; }

/* To all members that are not in `except` (NULL: to all). */
static void tell_members(struct node *n, const struct instance *i, enum wire_type type,
                         const struct wire_plan *except) {
    struct wire_message m = {.type = type, .subject = subject(i)};
    for (uint32_t k = 0; k < i->plan.member_count; k++)
        if (!except || wire_plan_member(except, i->plan.members[k].node) < 0)
            node__tell(n, i->plan.members[k].node, &m);
}

static bool coordinated_here(const struct node *n, const struct instance *i) { return i->coordinator == n->id; }

/* What runs under the present epoch ends; members that the next plan (NULL: none) needs again keep what they have until
 * they load their new part. */
static void end_epoch(struct node *n, struct instance *i, const struct wire_plan *next, const char *why) {
    jobs_instance_ended(n, i->id, why);
    tell_members(n, i, WIRE_UNLOAD, next);
}

/* text NULL: as it is. */
static void enter(struct node *n, struct instance *i, enum wire_state state, const char *text) {
    i->state = state;
    i->changed_us = n->now_us;
    if (state != WIRE_READY) i->break_us = 0; /* what broke while others still loaded stays broken */
    if (text) snprintf(i->text, sizeof i->text, "%s", text);
    node__changed(n);
}

static void begin_epoch(struct node *n, struct instance *i, const struct slice *slice) {
    i->hash = slice->hash;
    i->epoch = slice->epoch;
    i->plan = slice->plan;
    i->planning = false;
    i->ready_members = i->bytes_done = i->bytes_total = 0;
    memset(i->member_done, 0, sizeof i->member_done);
    for (uint32_t k = 0; k < i->plan.member_count; k++) i->bytes_total += i->plan.members[k].weights_bytes;
    node__log(n, LOG_INFO, "all members of %s reserved -> loading on %u nodes in %u stages, epoch %llu",
              i->plan.model, i->plan.member_count, i->plan.stage_count, (unsigned long long)i->epoch.number);
    instances_announce(n, i);
    tell_members(n, i, WIRE_LOAD, NULL);
    growing_look(n, i, false);
}

bool instances_begin(struct node *n, const struct slice *slice) {
    bool known = instances_find(n, slice->instance) != NULL; /* then this is another plan for one that is wanted */
    struct instance *i = instances_own(n, slice->instance);
    if (i)
        end_epoch(n, i, &slice->plan, "the model is placed anew");
    else
        i = add_instance(n, slice->instance, n->id);
    if (!i) return false;
    i->was_ready |= known;
    enter(n, i, known ? WIRE_RECOVERING : WIRE_LOADING, NULL);
    begin_epoch(n, i, slice);
    return true;
}

void instances_fail(struct node *n, struct instance *i, const char *text) {
    if (!instances_alive(i)) return;
    node__log(n, LOG_WARN, "%s: %s -> failed", i->plan.model, text);
    enter(n, i, WIRE_FAILED, text);
    i->planning = false;
    n->unsettled_us = n->now_us + 3 * SECOND;
    instances_announce(n, i);
    end_epoch(n, i, NULL, i->text);
}

void instances_recover(struct node *n, struct instance *i, const char *text) {
    if (++i->tries > TRIES_MAX) {
        instances_fail(n, i, text);
        return;
    }
    node__log(n, LOG_WARN, "%s: %s -> a new plan is sought", i->plan.model, text);
    enter(n, i, WIRE_RECOVERING, text);
    i->planning = true;
    n->unsettled_us = n->now_us + 3 * SECOND;
    jobs_instance_ended(n, i->id, i->text);
    instances_announce(n, i);
}

void instances_break(struct node *n, struct instance *i, const char *text) {
    if (!instances_alive(i) || i->planning || i->break_us != 0) return;
    i->break_us = n->now_us + BREAK_PATIENCE_US;
    snprintf(i->break_text, sizeof i->break_text, "%s", text);
}

/* Nobody was lost: links may break by themselves. What breaks before it ever worked would break again. */
static void break_timer(struct node *n, struct instance *i) {
    if (i->break_us == 0 || !node__due(n, i->break_us)) return;
    if (i->was_ready)
        instances_recover(n, i, i->break_text);
    else
        instances_fail(n, i, i->break_text);
}

static void say_gone(struct node *n, struct instance *i, const struct wire_plan *next, const char *why) {
    recovery_cancel(n, i->id);
    i->state = WIRE_GONE;
    instances_announce(n, i);
    end_epoch(n, i, next, why);
    instances_remove(n, i);
}

static void unload(struct node *n, struct instance *i, const char *why) {
    node__log(n, LOG_INFO, "%s: %s -> unloaded", i->plan.model, why);
    say_gone(n, i, NULL, why);
}

/* ---- two that speak for one model ---- */

/* Somebody in reach whose instance of the model stands above this one; `state`: and is in it. NULL: nobody. */
static const struct instance *rival(struct node *n, const struct instance *mine, bool ready) {
    for (uint32_t k = 0; k < n->instance_count; k++) {
        const struct instance *i = &n->instances[k];
        bool stands = instances_alive(i) && i->orphan_us == 0 && (!ready || i->state == WIRE_READY);
        stands = stands && peers_linked(n, i->coordinator);
        bool in_the_way = same_model(i, mine->plan.fingerprint) && !instances_side_by_side(i, mine);
        if (i != mine && stands && in_the_way && older(mine, i)) return i;
    }
    return NULL;
}

/* This node took over from a coordinator who is there after all, and whose instance runs. */
static bool taken_for_lost(struct node *n, const struct instance *i) {
    const struct instance *before = i->planning ? instances_entry(n, i->id, i->plan.members[0].node) : NULL;
    return before && before != i && before->orphan_us == 0 &&
           (before->state == WIRE_READY || before->state == WIRE_LOADING);
}

/* An instance that does not run gives way at once to a higher one; one that runs ends with its last job, as soon as the
 * higher one is ready, or when it was this node that made the higher one. */
static bool give_way(struct node *n, struct instance *i) {
    if (taken_for_lost(n, i)) {
        say_gone(n, i, NULL, "its coordinator is back");
        return true;
    }
    bool runs = instances_alive(i) && !i->planning;
    const struct instance *higher = rival(n, i, false);
    if (!higher) return false;
    bool handed_over = higher->id == i->id && recovery_made(n, i->id, &higher->epoch);
    if (runs && !handed_over) {
        if (i->state != WIRE_READY || jobs_running(n, i->id) || !rival(n, i, true)) return false;
        unload(n, i, "a newer instance of the model is ready");
        return true;
    }
    node__log(n, LOG_INFO, "%s: node %s speaks for it in epoch %llu -> left to it", i->plan.model,
              peers_name(n, higher->coordinator), (unsigned long long)higher->epoch.number);
    struct wire_plan *next = node__alloc(n, sizeof *next);
    *next = higher->plan;
    say_gone(n, i, next, "the model is placed anew");
    return true;
}

/* ---- what others say ---- */

/* Is this the peer's newest word on its instances? */
static bool newest(struct node *n, uint64_t from, uint64_t version) {
    struct peer *p = peers_find(n, from);
    if (!p || version <= p->version) return false;
    p->version = version;
    return true;
}

/* What a coordinator does not list any more is gone; what it left behind as it was lost waits for a successor. */
static void take_list(struct node *n, uint64_t from, const struct wire_instances *w) {
    if (!newest(n, from, w->version)) return;
    for (uint32_t k = n->instance_count; k-- > 0;) {
        struct instance *i = &n->instances[k];
        uint32_t at = 0;
        while (at < w->count && w->ids[at] != i->id) at++;
        if (at == w->count && i->coordinator == from && (i->orphan_us == 0 || !instances_alive(i)))
            instances_remove(n, i);
    }
}

/* The first member speaks for an instance; who takes over from a lost one, under an epoch of its own, until there is
 * another plan. */
static bool may_speak(uint64_t from, const struct wire_instance *w) {
    bool taking_over = w->state == WIRE_RECOVERING || w->state == WIRE_FAILED || w->state == WIRE_GONE;
    return w->plan.members[0].node == from || (taking_over && w->epoch.node == from);
}

static void take_announcement(struct node *n, uint64_t from, const struct wire_instance *w) {
    if (from == n->id || !may_speak(from, w) || !newest(n, from, w->version)) return;
    struct instance *i = instances_entry(n, w->instance, from);
    if (i && i->orphan_us == 0 && wire_epoch_compare(&w->epoch, &i->epoch) < 0) return;
    if (w->epoch.number > n->epoch_number) n->epoch_number = w->epoch.number;
    if (w->state == WIRE_GONE) {
        if (i) instances_remove(n, i);
        return;
    }
    if (!i) i = add_instance(n, w->instance, from);
    if (!i) return;
    if (i->state != w->state || i->changed_us == 0) i->changed_us = n->now_us;
    i->epoch = w->epoch;
    i->state = w->state;
    i->plan = w->plan;
    i->hash = wire_plan_hash(&w->plan);
    i->bytes_done = w->bytes_done;
    i->bytes_total = w->bytes_total;
    i->was_ready |= w->state == WIRE_READY || w->state == WIRE_RECOVERING;
    i->orphan_us = i->claim_us = i->refusals = 0;
    snprintf(i->text, sizeof i->text, "%s", w->text);
    if (i->state == WIRE_FAILED) n->unsettled_us = n->now_us + 3 * SECOND;
    node__changed(n);
}

/* The instance that a member's report is about, if it runs under this very plan; else the member must unload, unless a
 * new plan may need what it has. */
static struct instance *reported(struct node *n, uint64_t from, const struct wire_subject *about, int *member) {
    struct instance *i = instances_own(n, about->instance);
    if (i && i->planning) return NULL;
    bool known = i && instances_alive(i) && i->hash == about->hash && wire_epoch_compare(&i->epoch, &about->epoch) == 0;
    *member = known ? wire_plan_member(&i->plan, from) : -1;
    if (*member >= 0) return i;
    struct wire_message m = {.type = WIRE_UNLOAD, .subject = *about};
    node__tell(n, from, &m);
    return NULL;
}

static void note_progress(struct node *n, struct instance *i, int member, uint64_t done, uint64_t total) {
    i->member_done[member] = done;
    i->member_total[member] = total;
    i->bytes_done = 0;
    for (uint32_t k = 0; k < i->plan.member_count; k++) i->bytes_done += i->member_done[k];
    if (i->announce_us == 0) i->announce_us = n->now_us + TELL_PROGRESS_US;
}

static void note_loaded(struct node *n, struct instance *i, int member) {
    i->ready_members |= 1ull << member;
    uint32_t count = i->plan.member_count;
    uint64_t all = count == 64 ? UINT64_MAX : (1ull << count) - 1;
    if (i->state == WIRE_READY || i->ready_members != all) return;
    enter(n, i, WIRE_READY, "");
    i->was_ready = true;
    i->avoid_count = i->refusals = i->tries = 0;
    i->bytes_done = i->bytes_total;
    node__log(n, LOG_INFO, "%s: all %u members have loaded -> ready", i->plan.model, count);
    growing_look(n, i, false);
    instances_announce(n, i);
}

/* A member that cannot load its part is left out of the next plan. */
static void note_failure(struct node *n, struct instance *i, uint64_t from, const char *text) {
    if (i->state == WIRE_RECOVERING && i->was_ready) {
        recovery_avoid(i, from);
        instances_recover(n, i, text);
    } else {
        instances_break(n, i, text);
    }
}

static void take_report(struct node *n, uint64_t from, const struct wire_message *m) {
    int member;
    const struct wire_subject *about = m->type == WIRE_LOADED          ? &m->subject
                                       : m->type == WIRE_LOAD_PROGRESS ? &m->load_progress.subject
                                                                       : &m->load_failed.subject;
    struct instance *i = reported(n, from, about, &member);
    if (!i) return;
    if (m->type == WIRE_LOADED)
        note_loaded(n, i, member);
    else if (m->type == WIRE_LOAD_PROGRESS)
        note_progress(n, i, member, m->load_progress.bytes_done, m->load_progress.bytes_total);
    else
        note_failure(n, i, from, m->load_failed.text);
}

static void take_stop(struct node *n, uint64_t id) {
    struct instance *i = instances_own(n, id);
    if (!i) return;
    recovery_stop(n, id);
    unload(n, i, "it was stopped");
}

void instances_message(struct node *n, uint64_t from, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_INSTANCE: take_announcement(n, from, &m->instance); break;
    case WIRE_INSTANCES: take_list(n, from, &m->instances); break;
    case WIRE_LOADED:
    case WIRE_LOAD_PROGRESS:
    case WIRE_LOAD_FAILED: take_report(n, from, m); break;
    case WIRE_STOP: take_stop(n, m->stop.instance); break;
    default: break;
    }
}

/* ---- peers come and go ---- */

static void tell_list(struct node *n, uint64_t peer) {
    struct wire_message m = {.type = WIRE_INSTANCES, .instances = {.version = ++n->version}};
    for (uint32_t k = 0; k < n->instance_count; k++)
        if (coordinated_here(n, &n->instances[k])) m.instances.ids[m.instances.count++] = n->instances[k].id;
    node__tell(n, peer, &m);
}

void instances_link_up(struct node *n, uint64_t peer) {
    tell_list(n, peer);
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        if (!coordinated_here(n, i)) continue;
        struct wire_message m = announcement(n, i);
        node__tell(n, peer, &m);
        struct wire_message load = {.type = WIRE_LOAD, .subject = subject(i)};
        bool runs = instances_alive(i) && !i->planning;
        if (runs && wire_plan_member(&i->plan, peer) >= 0) node__tell(n, peer, &load);
    }
}

void instances_peer_lost(struct node *n, uint64_t peer) {
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        bool member = wire_plan_member(&i->plan, peer) >= 0;
        if (!instances_alive(i)) continue;
        if (coordinated_here(n, i) && member && !i->planning) {
            instances_recover(n, i, node__text(n, "node %s was lost", peers_name(n, peer)));
        } else if (i->coordinator == peer && i->orphan_us == 0) {
            enter(n, i, WIRE_RECOVERING, node__text(n, "node %s, its coordinator, was lost", peers_name(n, peer)));
            i->orphan_us = n->now_us;
            n->unsettled_us = n->now_us + 3 * SECOND;
        }
    }
}

void instances_drop_all(struct node *n) {
    while (n->instance_count > 0) {
        struct instance *i = &n->instances[n->instance_count - 1];
        if (coordinated_here(n, i)) jobs_instance_ended(n, i->id, "its coordinator left the cluster");
        instances_remove(n, i);
    }
}

/* A failed one that is wanted is kept by its coordinator until it comes back or is stopped. */
static bool outlived(struct node *n, const struct instance *i) {
    bool kept = coordinated_here(n, i) && i->was_ready;
    bool told = i->coordinator != n->id && i->was_ready && peers_linked(n, i->coordinator);
    return i->state == WIRE_FAILED && !kept && !told && node__due(n, i->changed_us + FAILED_LISTED_US);
}

static bool replaced(struct node *n, const struct instance *i) {
    struct instance *other = instances_of_model(n, i->plan.fingerprint);
    return other && other != i && other->id != i->id;
}

static void own_timer(struct node *n, struct instance *i) {
    if (give_way(n, i)) return;
    if (i->state == WIRE_FAILED && replaced(n, i)) {
        unload(n, i, "another instance of the model answers");
        return;
    }
    break_timer(n, i);
    if (i->announce_us != 0 && node__due(n, i->announce_us)) instances_announce(n, i);
    recovery_timer(n, i);
    growing_timer(n, i);
}

static void instance_timer(struct node *n, struct instance *i) {
    if (outlived(n, i))
        instances_remove(n, i);
    else if (coordinated_here(n, i))
        own_timer(n, i);
    else if (i->orphan_us != 0)
        recovery_orphan_timer(n, i);
}

void instances_timers(struct node *n) {
    for (uint32_t k = n->instance_count; k-- > 0;)
        if (k < n->instance_count) instance_timer(n, &n->instances[k]);
}
