/* This node as a member: memory promised, slices loading and running.
 *
 * A reservation is a lease bound to (instance, epoch, plan hash). What counts against memory is what stands in this
 * table, nothing else, so no byte is promised twice. */
#include <stdio.h>
#include <string.h>

#include "cluster/internal.h"

enum { PROGRESS_PERCENT = 2, ORPHAN_US = 30 * SECOND, UNKNOWN_US = 4 * SECOND, CONNECT_US = 3 * SECOND };

/* What this node holds of an instance, for one plan or another; a lease only promises. */
uint64_t slices_bytes_of(const struct node *n, uint64_t instance) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->slice_count; i++)
        if (n->slices[i].instance == instance && n->slices[i].state != SLICE_LEASED) bytes += n->slices[i].bytes;
    return bytes;
}

/* A lease for an instance of which a part is here already takes what that part will give up first. */
static uint64_t bytes_more(const struct node *n, const struct slice *s) {
    uint64_t held = s->state == SLICE_LEASED ? slices_bytes_of(n, s->instance) : 0;
    return s->bytes > held ? s->bytes - held : 0;
}

uint64_t slices_bytes(const struct node *n) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->slice_count; i++) bytes += bytes_more(n, &n->slices[i]);
    return bytes;
}

bool slices_shared_with(const struct node *n, uint64_t peer) {
    for (uint32_t i = 0; i < n->slice_count; i++)
        if (n->slices[i].state != SLICE_LEASED && wire_plan_member(&n->slices[i].plan, peer) >= 0) return true;
    return false;
}

struct slice *slices_find(struct node *n, uint64_t instance, const struct wire_epoch *epoch) {
    for (uint32_t i = 0; i < n->slice_count; i++) {
        struct slice *s = &n->slices[i];
        if (s->instance == instance && wire_epoch_compare(&s->epoch, epoch) == 0) return s;
    }
    return NULL;
}

static struct wire_subject subject(const struct slice *s) {
    return (struct wire_subject){s->instance, s->epoch, s->hash};
}

/* Give the memory back; a slice that was begun is taken down first. */
static void drop(struct node *n, struct slice *s) {
    if (s->state != SLICE_LEASED) {
        struct node_effect *effect = node__emit(n, NODE_SLICE_UNLOAD);
        effect->instance = s->instance;
        effect->epoch = s->epoch;
    }
    uint32_t at = (uint32_t)(s - n->slices);
    memmove(s, s + 1, (--n->slice_count - at) * sizeof *s);
    facts_touch(n);
}

static void refuse(struct node *n, uint64_t to, uint64_t request, bool retry, const char *text) {
    struct wire_message m = {.type = WIRE_RESERVE_REFUSED, .reserve_refused = {.request = request, .retry = retry}};
    snprintf(m.reserve_refused.text, sizeof m.reserve_refused.text, "%s", text);
    node__tell(n, to, &m);
}

static uint64_t member_bytes(const struct wire_member *member) {
    return member->weights_bytes + member->kv_bytes + member->scratch_bytes;
}

/* The node that speaks for what runs here of the instance still does: nobody else may place it anew. NULL: nothing
 * runs, or it was the speaker who asked, or he is gone. */
static const char *loyalty(struct node *n, uint64_t from, const struct wire_reserve *r) {
    for (uint32_t i = 0; i < n->slice_count; i++) {
        const struct slice *s = &n->slices[i];
        uint64_t coordinator = s->plan.members[0].node;
        if (s->instance != r->instance) continue;
        if (wire_epoch_compare(&s->epoch, &r->epoch) >= 0) return "a newer plan of this instance is here";
        if (s->state == SLICE_LEASED || coordinator == from) continue;
        if (instances_spoken_for(n, s))
            return node__text(n, "node %s, its coordinator, is here", peers_name(n, coordinator));
    }
    return NULL;
}

/* A lease that stands in the way of `r` and has the higher request id loses the race. */
static void give_way(struct node *n, const struct wire_reserve *r, uint64_t bytes) {
    for (uint32_t i = n->slice_count; i-- > 0;) {
        struct slice *s = &n->slices[i];
        bool same_model = memcmp(s->plan.fingerprint, r->plan.fingerprint, sizeof r->plan.fingerprint) == 0;
        bool in_the_way = same_model || slices_bytes(n) + bytes > n->facts.memory_total;
        if (s->state != SLICE_LEASED || s->request <= r->request || !in_the_way) continue;
        node__log(n, LOG_INFO, "request %llx needs what %llx reserved -> the lower goes first",
                  (unsigned long long)r->request, (unsigned long long)s->request);
        refuse(n, s->initiator, s->request, true, "another load got there first");
        drop(n, s);
    }
}

/* Why this cannot be reserved, or NULL. *retry: it may be otherwise soon. */
static const char *objection(struct node *n, const struct wire_reserve *r, uint64_t bytes, bool *retry) {
    uint64_t used = slices_bytes(n), leased = 0, held = slices_bytes_of(n, r->instance);
    *retry = true;
    for (uint32_t i = 0; i < n->slice_count; i++) {
        const struct slice *s = &n->slices[i];
        if (s->instance == r->instance && s->state != SLICE_LEASED) continue;
        if (memcmp(s->plan.fingerprint, r->plan.fingerprint, sizeof r->plan.fingerprint) == 0)
            return "this model is being loaded already";
        leased += s->state == SLICE_LEASED ? s->bytes : 0;
    }
    bytes = bytes > held ? bytes - held : 0;
    uint64_t total = n->facts.memory_total, unused = used < total ? total - used : 0;
    if (bytes <= unused && n->slice_count < NODE_INSTANCES_MAX) return NULL;
    *retry = bytes <= unused + leased && n->slice_count < NODE_INSTANCES_MAX;
    if (n->slice_count == NODE_INSTANCES_MAX) return "this node runs as many models as it can";
    return node__text(n, "node %s has %llu MiB free, its part needs %llu MiB", peers_name(n, n->id),
                      (unsigned long long)(unused >> 20), (unsigned long long)((bytes + (1 << 20) - 1) >> 20));
}

static void take_reserve(struct node *n, uint64_t from, const struct wire_reserve *r) {
    int member = wire_plan_member(&r->plan, n->id);
    if (member < 0 || wire_plan_hash(&r->plan) != r->hash) {
        refuse(n, from, r->request, false, "the plan does not match its hash or this node");
        return;
    }
    uint64_t bytes = member_bytes(&r->plan.members[member]);
    bool retry = false;
    const char *why = loyalty(n, from, r);
    if (!why) {
        give_way(n, r, bytes);
        why = objection(n, r, bytes, &retry);
    }
    if (r->epoch.number > n->epoch_number) n->epoch_number = r->epoch.number;
    if (why) {
        refuse(n, from, r->request, retry, why);
        return;
    }
    struct slice *s = &n->slices[n->slice_count++];
    *s = (struct slice){.state = SLICE_LEASED,
                        .request = r->request,
                        .initiator = from,
                        .instance = r->instance,
                        .hash = r->hash,
                        .epoch = r->epoch,
                        .lease_us = n->now_us + LEASE_US,
                        .bytes = bytes,
                        .plan = r->plan};
    struct wire_message m = {.type = WIRE_RESERVE_OK, .reserve_ok = {r->request, r->hash}};
    node__tell(n, from, &m);
    facts_touch(n);
}

static struct slice *leased(struct node *n, uint64_t request) {
    for (uint32_t i = 0; i < n->slice_count; i++)
        if (n->slices[i].state == SLICE_LEASED && n->slices[i].request == request) return &n->slices[i];
    return NULL;
}

static void take_release(struct node *n, uint64_t from, uint64_t request) {
    struct slice *s = leased(n, request);
    if (s && s->initiator == from) drop(n, s);
}

/* All members hold their leases: this node, which has stage 0, takes over. */
static void take_commit(struct node *n, uint64_t from, const struct wire_commit *c) {
    struct slice *s = leased(n, c->request);
    bool mine = s && s->hash == c->hash && s->plan.members[0].node == n->id;
    struct slice *copy = node__alloc(n, sizeof *copy);
    if (s) *copy = *s; /* slices move as others are dropped */
    if (!mine || !instances_begin(n, copy)) refuse(n, from, c->request, true, "the reservation has run out");
}

static void connect_members(struct node *n, const struct slice *s, uint32_t from, uint32_t to, uint32_t other) {
    if (!wire_plan_linked(&s->plan, from, to)) return;
    struct peer *p = peers_find(n, s->plan.members[other].node);
    if (!p || p->link_count == 0 || !p->links[0].outbound || p->address_count == 0) return; /* the other one dials */
    struct node_effect *effect = node__emit(n, NODE_RING_CONNECT);
    effect->instance = s->instance;
    effect->epoch = s->epoch;
    effect->member_from = from;
    effect->member_to = to;
    effect->peer = p->id;
    effect->address = s->connects % 2 == 1 ? paths_address(p) : p->addresses[0];
}

/* The data link between two members is dialled by whoever dialled the control link: that way is open. By the fastest
 * path first; what does not come up is tried where the control link goes, in turn, for an address may be out of date.
 */
static void connect_neighbours(struct node *n, struct slice *s) {
    s->connects++;
    s->connect_us = n->now_us + CONNECT_US;
    uint32_t mine = (uint32_t)wire_plan_member(&s->plan, n->id);
    for (uint32_t other = 0; other < s->plan.member_count; other++) {
        connect_members(n, s, mine, other, other);
        connect_members(n, s, other, mine, other);
    }
}

/* The part of an older plan makes room. Returns where `s` is by then. */
static struct slice *drop_older(struct node *n, struct slice *s) {
    uint64_t instance = s->instance;
    struct wire_epoch epoch = s->epoch;
    for (uint32_t i = n->slice_count; i-- > 0;)
        if (n->slices[i].instance == instance && wire_epoch_compare(&n->slices[i].epoch, &epoch) < 0)
            drop(n, &n->slices[i]);
    return slices_find(n, instance, &epoch);
}

static void begin_loading(struct node *n, struct slice *s) {
    s = drop_older(n, s);
    s->state = SLICE_LOADING;
    struct wire_plan *plan = node__alloc(n, sizeof *plan);
    *plan = s->plan;
    struct node_effect *effect = node__emit(n, NODE_SLICE_LOAD);
    effect->instance = s->instance;
    effect->epoch = s->epoch;
    effect->plan = plan;
    effect->member = (uint32_t)wire_plan_member(plan, n->id);
    effect->stage = wire_plan_stage(plan, effect->member);
    connect_neighbours(n, s);
}

static void tell_failed(struct node *n, uint64_t coordinator, struct wire_subject about, const char *text) {
    struct wire_message m = {.type = WIRE_LOAD_FAILED, .load_failed = {.subject = about}};
    snprintf(m.load_failed.text, sizeof m.load_failed.text, "%s", text);
    node__tell(n, coordinator, &m);
}

static void tell_state(struct node *n, const struct slice *s) {
    struct wire_message m = {.type = WIRE_LOAD_PROGRESS};
    m.load_progress = (struct wire_load_progress){subject(s), s->bytes_done, s->bytes_total};
    if (s->broken) {
        tell_failed(n, s->plan.members[0].node, subject(s),
                    node__text(n, "node %s: its data links broke", peers_name(n, n->id)));
        return;
    }
    if (s->state == SLICE_READY) m = (struct wire_message){.type = WIRE_LOADED, .subject = subject(s)};
    node__tell(n, s->plan.members[0].node, &m);
}

static bool neighbours_linked(struct node *n, const struct slice *s) {
    uint32_t mine = (uint32_t)wire_plan_member(&s->plan, n->id);
    for (uint32_t other = 0; other < s->plan.member_count; other++) {
        bool neighbour = wire_plan_linked(&s->plan, mine, other) || wire_plan_linked(&s->plan, other, mine);
        if (neighbour && !peers_linked(n, s->plan.members[other].node)) return false;
    }
    return true;
}

static void take_load(struct node *n, uint64_t from, const struct wire_subject *about) {
    struct slice *s = slices_find(n, about->instance, &about->epoch);
    if (!s || s->hash != about->hash || s->plan.members[0].node != from) {
        tell_failed(n, from, *about,
                    node__text(n, "the reservation on node %s " SLICES_NO_LEASE, peers_name(n, n->id)));
    } else if (s->state != SLICE_LEASED) {
        tell_state(n, s);
    } else if (!neighbours_linked(n, s)) {
        tell_failed(n, from, *about, node__text(n, "node %s has no link to its neighbour", peers_name(n, n->id)));
        drop(n, s);
    } else {
        begin_loading(n, s);
    }
}

static void take_unload(struct node *n, uint64_t from, const struct wire_subject *about) {
    struct slice *s = slices_find(n, about->instance, &about->epoch);
    if (s && s->plan.members[0].node == from) drop(n, s);
}

void slices_message(struct node *n, uint64_t from, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_RESERVE: take_reserve(n, from, &m->reserve); break;
    case WIRE_RELEASE: take_release(n, from, m->release.request); break;
    case WIRE_COMMIT: take_commit(n, from, &m->commit); break;
    case WIRE_LOAD: take_load(n, from, &m->subject); break;
    case WIRE_UNLOAD: take_unload(n, from, &m->subject); break;
    default: break;
    }
}

static void take_progress(struct node *n, struct slice *s, uint64_t done, uint64_t total) {
    bool far = done - s->bytes_done >= total / 100 * PROGRESS_PERCENT;
    s->bytes_total = total;
    if (!far) return;
    s->bytes_done = done;
    tell_state(n, s);
}

static void report_failure(struct node *n, struct slice *s, const char *text) {
    tell_failed(n, s->plan.members[0].node, subject(s), node__text(n, "node %s: %s", peers_name(n, n->id), text));
    drop(n, s);
}

/* A broken ring is the coordinator's to judge: who is lost will tell why, so the slice stays until its word comes. */
static void report_break(struct node *n, struct slice *s, const char *text) {
    uint64_t coordinator = s->plan.members[0].node;
    s->broken = true;
    struct instance *i = coordinator == n->id ? instances_own(n, s->instance) : NULL;
    if (i && wire_epoch_compare(&i->epoch, &s->epoch) == 0)
        instances_break(n, i, text);
    else
        tell_failed(n, coordinator, subject(s), node__text(n, "node %s: %s", peers_name(n, n->id), text));
}

void slices_event(struct node *n, const struct node_event *e) {
    struct slice *s = slices_find(n, e->instance, &e->epoch);
    if (!s || s->state == SLICE_LEASED) return; /* unloaded meanwhile */
    switch (e->type) {
    case NODE_SLICE_PROGRESS: take_progress(n, s, e->bytes_done, e->bytes_total); break;
    case NODE_SLICE_READY:
        s->state = SLICE_READY;
        tell_state(n, s);
        break;
    case NODE_SLICE_FAILED: report_failure(n, s, e->text); break;
    case NODE_RING_BROKEN: report_break(n, s, e->text); break;
    default: break;
    }
}

/* Tell a coordinator that is back in reach what runs here for it; it answers UNLOAD if it knows nothing of it. */
void slices_link_up(struct node *n, uint64_t peer) {
    for (uint32_t i = 0; i < n->slice_count; i++) {
        struct slice *s = &n->slices[i];
        if (s->state == SLICE_LEASED) continue;
        if (s->plan.members[0].node == peer) tell_state(n, s);
        if (s->state == SLICE_LOADING && wire_plan_member(&s->plan, peer) >= 0) connect_neighbours(n, s);
    }
}

/* Without its initiator a lease will not be used. Without its coordinator a slice waits for a successor; a member that
 * loses another tells the coordinator, who may see both. */
void slices_peer_lost(struct node *n, uint64_t peer) {
    for (uint32_t i = n->slice_count; i-- > 0;) {
        struct slice *s = &n->slices[i];
        uint64_t coordinator = s->plan.members[0].node;
        if (s->state == SLICE_LEASED && (s->initiator == peer || coordinator == peer))
            drop(n, s);
        else if (coordinator != n->id && s->state != SLICE_LEASED && wire_plan_member(&s->plan, peer) >= 0)
            tell_failed(n, coordinator, subject(s),
                        node__text(n, "node %s lost node %s", peers_name(n, n->id), peers_name(n, peer)));
    }
}

void slices_drop_all(struct node *n) {
    while (n->slice_count > 0) drop(n, &n->slices[n->slice_count - 1]);
}

/* A newer plan does without this node, or there is none any more. */
static bool superseded(struct node *n, const struct slice *s) {
    const struct instance *i = instances_find(n, s->instance);
    if (!i || wire_epoch_compare(&s->epoch, &i->epoch) >= 0) return false;
    return i->state == WIRE_FAILED || wire_plan_member(&i->plan, n->id) < 0;
}

static void loaded_timer(struct node *n, struct slice *s) {
    if (s->state == SLICE_LOADING && node__due(n, s->connect_us)) connect_neighbours(n, s);
    if (instances_spoken_for(n, s)) {
        s->orphan_us = 0;
        return;
    }
    if (s->orphan_us == 0) s->orphan_us = n->now_us;
    bool late = node__due(n, s->orphan_us + (instances_find(n, s->instance) ? ORPHAN_US : UNKNOWN_US));
    if (late) node__log(n, LOG_INFO, "%s: nobody speaks for it -> its part is unloaded", s->plan.model);
    if (late || superseded(n, s)) drop(n, s);
}

static void lease_timer(struct node *n, struct slice *s) {
    if (!node__due(n, s->lease_us)) return;
    node__log(n, LOG_INFO, "reservation of request %llx ran out -> released", (unsigned long long)s->request);
    drop(n, s);
}

void slices_timers(struct node *n) {
    for (uint32_t i = n->slice_count; i-- > 0;) {
        struct slice *s = &n->slices[i];
        if (s->state == SLICE_LEASED)
            lease_timer(n, s);
        else
            loaded_timer(n, s);
    }
}
