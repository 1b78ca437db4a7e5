/* Recovery: an instance gets another plan, because a member was lost, or leaves, or a faster one is possible; or a
 * replica beside it gets its first (growing.c).
 *
 * Who plans: the coordinator. When it is lost itself, the next node of the plan; if none of those is left, a node that
 * has a job running there, then any other by id. Each waits a little longer than those before it, so that a successor
 * who is gone too, or who cannot plan, holds up nobody for long. A successor takes over under an epoch of its own with
 * the old plan, then reserves, commits and loads like any initiator. Members keep what they hold until they are told to
 * load their new part; a member that still sees the coordinator refuses its successor. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cluster/internal.h"

enum {
    SUCCESSOR_US = 1 * SECOND, /* each one's advantage over the next */
    ORPHAN_US = 20 * SECOND,   /* then nobody will take over */
    WAKE_US = 2 * SECOND,      /* after a sleep the others are heard first */
    UNABLE_US = 60 * SECOND,   /* who does not know the model does not try again so soon */
    STEP_BACK_US = 3 * SECOND, /* after a refusal by who sees the coordinator */
    SKEW_US = 700 * MS,        /* members notice a loss within that of each other */
    PATIENCE_US = 3 * SECOND,  /* what does not fit may fit in a moment */
    GROW_US = 12 * SECOND,     /* nobody waits for a replica: it can wait for a disk that sleeps */
    REFUSED_US = 20 * SECOND,  /* then a plan that members refuse again and again is given up */
    MEASURE_US = 5 * SECOND,
    KNOWN_US = 300 * MS,   /* slower answers about files are waited for only if nothing fits without them */
    CHANGED_US = 500 * MS, /* several changes, one look */
    PAUSE_US = 100 * MS,   /* before a second new plan, doubled before each further one */
    IDLE_US = 10 * SECOND, /* after a node came, until a better plan is looked for */
    GAIN_PERCENT = 115,    /* what a better plan must promise */
};

static const uint64_t OWN_REQUEST = 1ull << 63; /* no number of a request from outside */

static struct request *replan(struct node *n, uint64_t instance) {
    for (uint32_t k = 0; k < n->request_count; k++)
        if (n->requests[k].kind == REQUEST_REPLAN && n->requests[k].subject == instance) return &n->requests[k];
    return NULL;
}

/* What is planned anew: an instance of this node, or one that it may take over. NULL: that was settled meanwhile. */
static struct instance *subject_of(struct node *n, const struct request *r) {
    struct instance *own = instances_own(n, r->subject), *i = own ? own : instances_find(n, r->subject);
    return i && (own || i->orphan_us != 0) ? i : NULL;
}

void recovery_avoid(struct instance *i, uint64_t node) {
    for (uint32_t k = 0; k < i->avoid_count; k++)
        if (i->avoid[k] == node) return;
    if (i->avoid_count < AVOIDED_MAX) i->avoid[i->avoid_count++] = node;
}

static void start(struct node *n, const struct instance *i, enum replan_reason reason, uint64_t when_us) {
    struct request *r = replan(n, i->id);
    if (r && r->reason == REPLAN_BROKEN) return;
    if (r)
        reserving_release(n, r);
    else if (n->request_count == ARRAY_LEN(n->requests))
        return;
    else
        r = &n->requests[n->request_count++];
    memset(r, 0, sizeof *r);
    r->kind = REQUEST_REPLAN;
    r->reason = reason;
    r->instance = r->subject = i->id;
    r->race = prng_next(&n->random) << 8;
    r->phase = PHASE_WAITING;
    r->timer_us = when_us > n->now_us ? when_us : n->now_us;
    r->give_up_us = r->timer_us + (reason == REPLAN_GROW ? GROW_US : PATIENCE_US);
    memcpy(r->model.fingerprint, i->plan.fingerprint, sizeof r->model.fingerprint);
    snprintf(r->model.name, sizeof r->model.name, "%s", i->plan.model);
}

void recovery_cancel(struct node *n, uint64_t instance) {
    struct request *r = replan(n, instance);
    if (!r) return;
    if (r->phase != PHASE_COMMITTED) reserving_release(n, r);
    requests_remove(n, r);
}

void recovery_stop(struct node *n, uint64_t instance) {
    const struct request *r = replan(n, instance);
    struct wire_message m = {.type = WIRE_STOP, .stop = {r ? r->instance : 0}};
    bool elsewhere = r && r->phase == PHASE_COMMITTED && r->plan.members[0].node != n->id;
    if (elsewhere) node__tell(n, r->plan.members[0].node, &m);
}

bool recovery_made(struct node *n, uint64_t instance, const struct wire_epoch *epoch) {
    const struct request *r = replan(n, instance);
    return r && r->instance == instance && r->phase == PHASE_COMMITTED && wire_epoch_compare(&r->epoch, epoch) == 0;
}

/* ---- when ---- */

/* Nodes in reach that should take over before this one does. */
static uint32_t rank(struct node *n, const struct instance *i) {
    uint32_t before = 0;
    for (uint32_t k = 0; k < i->plan.member_count; k++) {
        uint64_t node = i->plan.members[k].node;
        if (node == n->id) return before;
        before += node != i->coordinator && wire_plan_member(&i->plan, node) == (int)k && peers_linked(n, node);
    }
    if (jobs_wait_for(n, i->id)) return before;
    before++;
    for (uint32_t k = 0; k < n->peer_count && n->peers[k].id < n->id; k++)
        before += n->peers[k].link_count > 0 && wire_plan_member(&i->plan, n->peers[k].id) < 0;
    return before;
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t awake_us(const struct node *n) { return n->woke_us ? n->woke_us + WAKE_US : 0; }

/* Somebody else answers for it, or for another instance of the model, by now. */
static bool settled(struct node *n, const struct instance *i) {
    const struct instance *other = instances_of_model(n, i->plan.fingerprint);
    return other && other != i && other->orphan_us == 0;
}

void recovery_orphan_timer(struct node *n, struct instance *i) {
    if (settled(n, i)) {
        instances_remove(n, i);
        return;
    }
    if (!instances_alive(i) || replan(n, i->id)) return;
    uint64_t turn_us = i->orphan_us + rank(n, i) * SUCCESSOR_US;
    turn_us = later(later(turn_us, i->claim_us), awake_us(n));
    bool mine = !n->draining && node__due(n, turn_us);
    if (mine) {
        i->claim_us = n->now_us + STEP_BACK_US; /* should there be no room for the request */
        start(n, i, REPLAN_BROKEN, n->now_us);
    } else if (node__due(n, i->orphan_us + ORPHAN_US)) {
        i->state = WIRE_FAILED;
        i->was_ready = false;
        i->changed_us = n->now_us;
        snprintf(i->text, sizeof i->text, "its coordinator was lost, and no other node took over");
        node__changed(n);
    }
}

/* A loss is answered at once. What fails again and again, as it does while links between others are missing, is given
 * more and more time. */
static uint64_t pause_us(const struct instance *i) { return i->tries > 1 ? (uint64_t)PAUSE_US << (i->tries - 2) : 0; }

void recovery_timer(struct node *n, struct instance *i) {
    if (i->planning) start(n, i, REPLAN_BROKEN, later(awake_us(n), i->changed_us + pause_us(i)));
    if (replan(n, i->id) || i->again_us == 0 || !node__due(n, i->again_us)) return;
    i->again_us = 0;
    if (i->state == WIRE_FAILED)
        start(n, i, REPLAN_BROKEN, n->now_us);
    else if (i->state == WIRE_READY && jobs_running(n, i->id))
        i->again_us = n->now_us + IDLE_US;
    else if (i->state == WIRE_READY)
        start(n, i, REPLAN_IMPROVE, n->now_us);
}

void recovery_cluster_changed(struct node *n, bool node_came) {
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        if (i->coordinator != n->id || !i->was_ready) continue;
        growing_look(n, i, node_came);
        if (i->state == WIRE_FAILED && i->again_us == 0)
            i->again_us = n->now_us + ((uint64_t)CHANGED_US << (i->tries < TRIES_MAX ? i->tries : TRIES_MAX));
        if (i->state == WIRE_READY && node_came) i->again_us = n->now_us + IDLE_US;
    }
}

bool recovery_grow(struct node *n, const struct instance *i) {
    if (replan(n, i->id)) return false;
    start(n, i, REPLAN_GROW, n->now_us);
    return replan(n, i->id) != NULL;
}

void recovery_hand_over(struct node *n, uint64_t leaving) {
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        bool runs = instances_alive(i) && !i->planning;
        if (i->coordinator == n->id && runs && wire_plan_member(&i->plan, leaving) >= 0)
            start(n, i, REPLAN_HANDOVER, n->now_us);
    }
}

/* ---- how ---- */

static void measure(struct node *n, struct request *r) {
    uint8_t *fingerprint = node__alloc(n, WIRE_FINGERPRINT_BYTES);
    memcpy(fingerprint, r->model.fingerprint, WIRE_FINGERPRINT_BYTES);
    struct node_effect *effect = node__emit(n, NODE_MEASURE_MODEL);
    r->id = effect->request = OWN_REQUEST | ++n->number;
    effect->fingerprint = fingerprint;
    effect->text = node__text(n, "%s", r->model.name);
    r->phase = PHASE_MEASURING;
    r->timer_us = n->now_us + MEASURE_US;
}

/* Members have read the file: they need not be asked for it. Nobody waits for a replica, so that it can wait itself. */
static void query(struct node *n, struct request *r, const struct instance *i) {
    requests_ask(n, r);
    if (r->reason != REPLAN_GROW) r->timer_us = n->now_us + KNOWN_US;
    for (uint32_t k = 0; k < r->answer_count; k++)
        if (wire_plan_member(&i->plan, r->answers[k].node) >= 0) r->answers[k].answered = r->answers[k].found = true;
}

void recovery_begin(struct node *n, struct request *r) {
    const struct instance *i = subject_of(n, r);
    if (!i)
        requests_remove(n, r);
    else if (!r->measured)
        measure(n, r);
    else
        query(n, r, i);
}

/* From now on this node speaks for the instance, under the old plan until there is another. */
static void take_over(struct node *n, struct instance *i) {
    node__log(n, LOG_INFO, "%s: %s -> this node takes over", i->plan.model, i->text);
    i->coordinator = n->id;
    i->epoch = (struct wire_epoch){++n->epoch_number, n->id};
    i->orphan_us = 0;
    i->planning = true;
    i->changed_us = n->now_us;
    instances_announce(n, i);
}

void recovery_measured(struct node *n, const struct node_event *e) {
    struct request *r = NULL;
    for (uint32_t k = 0; k < n->request_count; k++)
        if (n->requests[k].phase == PHASE_MEASURING && n->requests[k].id == e->request) r = &n->requests[k];
    struct instance *i = r ? subject_of(n, r) : NULL;
    if (!r) return;
    if (!e->model || !i) {
        if (i) i->claim_us = n->now_us + UNABLE_US;
        bool runs = r->reason != REPLAN_BROKEN;
        if (i && i->coordinator == n->id && !runs)
            instances_fail(n, i, "its coordinator does not know the model any more");
        requests_finish(n, r, 0, "", NULL);
        return;
    }
    if (i->orphan_us != 0) take_over(n, i);
    r->model = *e->model;
    memcpy(r->model.name, i->plan.model, sizeof r->model.name);
    r->measured = true;
    query(n, r, i);
}

static bool avoided(const struct instance *i, uint64_t node) {
    for (uint32_t k = 0; k < i->avoid_count; k++)
        if (i->avoid[k] == node) return true;
    return false;
}

/* What members hold for the old plan counts as free, for they give it up for the new one. */
static void give_back(struct node *n, const struct instance *i, struct placement_device *d, uint64_t total) {
    uint64_t bytes = d->node == n->id ? slices_bytes_of(n, i->id) : wire_plan_bytes(&i->plan, d->node);
    if (i->state == WIRE_FAILED || avoided(i, d->node)) return; /* it has given that up already */
    d->memory_free = bytes < total - d->memory_free ? d->memory_free + bytes : total;
    if (d->host_free != 0) d->host_free += bytes;
}

void recovery_describe(struct node *n, const struct request *r, struct placement_device *d, uint64_t total) {
    const struct instance *i = subject_of(n, r);
    const struct peer *p = peers_find(n, d->node);
    if (!i) return;
    if (r->reason == REPLAN_GROW)
        growing_describe(n, r, i, d);
    else if (d->memory_free <= total)
        give_back(n, i, d, total);
    if (d->excluded[0]) return;
    if (growing_occupied(n, r, i, d->node))
        snprintf(d->excluded, sizeof d->excluded, "a replica of the model is there");
    if (p ? p->leaving : n->draining) snprintf(d->excluded, sizeof d->excluded, "it is leaving");
    if (avoided(i, d->node) && !r->forgiven) snprintf(d->excluded, sizeof d->excluded, "it could not load its part");
}

/* As it was asked for; else as many nodes as are fastest; else in whatever way. What was asked stays written down. */
static struct placement_result *place(struct node *n, struct request *r, const struct instance *i) {
    const struct placement_options ways[] = {
        {.nodes = i->plan.nodes_wanted, .split = i->plan.split}, {.split = i->plan.split}, {.split = WIRE_SPLIT_AUTO}};
    struct placement_result *result = NULL;
    for (size_t k = 0; k < ARRAY_LEN(ways) && !(result && result->fits); k++) {
        if (k > 0 && ways[k].nodes == ways[k - 1].nodes && ways[k].split == ways[k - 1].split) continue;
        r->options = ways[k];
        r->options.aim = i->plan.aim;
        r->options.replicas = i->plan.replicas;
        r->options.context = i->plan.context;
        r->options.parallel = i->plan.parallel;
        result = requests_place(n, r);
    }
    result->plan.nodes_wanted = i->plan.nodes_wanted;
    result->plan.split = i->plan.split;
    result->plan.shares_asked = i->plan.shares_asked;
    return result;
}

static bool worth_it(const struct wire_plan *now, const struct wire_plan *then) {
    bool missing = now->nodes_wanted != 0 && now->member_count != now->nodes_wanted;
    if (missing && then->member_count == then->nodes_wanted) return true;
    return now->decode_tokens_per_ks > 0 && now->shares_asked == 0 && now->nodes_wanted == 0 &&
           then->decode_tokens_per_ks * 100 > now->decode_tokens_per_ks * GAIN_PERCENT;
}

static void does_not_fit(struct node *n, struct request *r, struct instance *i, const char *reason) {
    if (r->reason != REPLAN_BROKEN) {
        node__log(n, LOG_INFO, "%s: no other place for it: %s", i->plan.model, reason);
        requests_remove(n, r);
    } else if (i->avoid_count > 0 && !r->forgiven) {
        r->forgiven = true;
        requests_retry(n, r, reason);
    } else if (i->planning && n->now_us < r->give_up_us) {
        requests_retry(n, r, reason);
    } else {
        requests_remove(n, r);
        instances_fail(n, i, node__text(n, "%s, and it does not fit on who is left: %s", i->text, reason));
    }
}

void recovery_plan(struct node *n, struct request *r) {
    struct instance *i = subject_of(n, r);
    if (!i) {
        requests_remove(n, r);
        return;
    }
    struct placement_result *result = r->reason == REPLAN_GROW ? growing_place(n, r, i) : place(n, r, i);
    if (!result->fits && r->reason == REPLAN_GROW) {
        if (!requests_wait_for_answers(n, r)) requests_finish(n, r, 0, "", NULL);
    } else if (!result->fits) {
        does_not_fit(n, r, i, result->reason);
    } else if (r->reason == REPLAN_IMPROVE && !worth_it(&i->plan, &result->plan)) {
        requests_remove(n, r);
    } else {
        r->plan = result->plan;
        reserving_begin(n, r);
    }
}

bool recovery_may_commit(struct node *n, const struct request *r) {
    return r->kind != REQUEST_REPLAN || r->reason != REPLAN_IMPROVE || !jobs_running(n, r->instance);
}

/* Who still sees the coordinator does not follow a successor. Once, that is taken for an error of this node's own view;
 * then each side goes on with what it has. */
static void step_back(struct node *n, struct request *r, struct instance *i) {
    reserving_release(n, r);
    requests_remove(n, r);
    i->state = WIRE_GONE;
    instances_announce(n, i);
    if (instances_entry(n, i->id, i->plan.members[0].node)) { /* he has spoken meanwhile */
        instances_remove(n, i);
        return;
    }
    i->state = WIRE_RECOVERING;
    i->coordinator = i->plan.members[0].node;
    i->planning = false;
    i->orphan_us = n->now_us;
    i->claim_us = n->now_us + STEP_BACK_US;
    i->refusals++;
}

void recovery_refused(struct node *n, struct request *r, uint64_t from, const struct wire_reserve_refused *m) {
    struct instance *i = subject_of(n, r);
    if (r->reason == REPLAN_GROW) {
        requests_retry(n, r, m->text);
        return;
    }
    bool took_over = i && i->planning && i->plan.members[0].node != n->id;
    if (i && !m->retry && took_over && i->refusals == 0) {
        if (n->now_us < i->changed_us + SKEW_US)
            requests_retry(n, r, m->text);
        else
            step_back(n, r, i);
        return;
    }
    if (i && !m->retry) recovery_avoid(i, from);
    if (i && i->planning && n->now_us > r->give_up_us + REFUSED_US) {
        reserving_release(n, r);
        requests_remove(n, r);
        instances_fail(n, i, node__text(n, "%s, and no new plan was agreed on: %s", i->text, m->text));
    } else {
        requests_retry(n, r, m->text);
    }
}

void recovery_follow(struct node *n, struct request *r) {
    const struct instance *i = instances_find(n, r->instance);
    if (r->reason == REPLAN_GROW && !i && subject_of(n, r)) return; /* its coordinator has not spoken yet */
    if (i && wire_epoch_compare(&i->epoch, &r->epoch) < 0) return;
    struct instance *grows = r->reason == REPLAN_GROW ? instances_own(n, r->subject) : NULL;
    if (grows) growing_begun(n, grows);
    requests_remove(n, r);
}
