/* What is asked of this node: plan, load, stop, fetch a header. Each request gets exactly one reply.
 *
 * A load that loses a race, or meets facts that were out of date, begins again after a random pause until its time is
 * up: by then it finds the other's instance and joins it, or reserves what is free now. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cluster/internal.h"
#include "cluster/measuring.h"

enum {
    QUERY_US = 1500 * MS,
    LOAD_GIVE_UP_US = 12 * SECOND, /* of trying to reserve; loading itself may take as long as it takes */
    STOP_GIVE_UP_US = 10 * SECOND,
    CHUNK_US = 5 * SECOND,
};

void requests_remove(struct node *n, struct request *r) {
    uint32_t at = (uint32_t)(r - n->requests);
    memmove(r, r + 1, (--n->request_count - at) * sizeof *r);
}

void requests_finish(struct node *n, struct request *r, int code, const char *text,
                     const struct placement_result *result) {
    if (r->kind == REQUEST_REPLAN) { /* nobody outside has asked; its instance will try again, or has no need to */
        requests_remove(n, r);
        return;
    }
    node__reply(n, r->id, code, r->instance, node__text(n, "%s", text), result);
    requests_remove(n, r);
}

void requests_retry(struct node *n, struct request *r, const char *why) {
    reserving_release(n, r);
    if (n->now_us >= r->give_up_us && (r->kind != REQUEST_REPLAN || r->reason != REPLAN_BROKEN)) {
        requests_finish(n, r, ERR_BUSY, why, NULL);
        return;
    }
    node__log(n, LOG_INFO, "loading %s: %s -> trying again", r->model.name, why);
    r->phase = PHASE_WAITING;
    r->timer_us = n->now_us + node__jitter(n, 50 * MS, 250 * MS);
}

static struct answer *answer_of(struct request *r, uint64_t node) {
    for (uint32_t i = 0; i < r->answer_count; i++)
        if (r->answers[i].node == node) return &r->answers[i];
    return NULL;
}

void requests_ask(struct node *n, struct request *r) {
    struct wire_message m = {.type = WIRE_MODEL_QUERY, .model_query = {.request = r->id}};
    memcpy(m.model_query.fingerprint, r->model.fingerprint, WIRE_FINGERPRINT_BYTES);
    snprintf(m.model_query.name, sizeof m.model_query.name, "%s", r->model.name);
    r->phase = PHASE_QUERYING;
    r->timer_us = n->now_us + QUERY_US;
    r->answer_count = 0;
    r->answers[r->answer_count++] = (struct answer){.node = n->id};
    node__tell(n, n->id, &m);
    for (uint32_t i = 0; i < n->peer_count; i++) {
        const struct peer *p = &n->peers[i];
        if (p->link_count > 0) r->answers[r->answer_count++] = (struct answer){.node = p->id};
        node__tell(n, p->id, &m);
    }
}

static void describe(struct node *n, struct request *r, struct placement_device *d, const struct answer *a) {
    struct peer *p = peers_find(n, a->node);
    struct wire_facts *facts = node__alloc(n, sizeof *facts);
    if (p)
        *facts = p->facts;
    else
        facts_fill(n, facts);
    *d = (struct placement_device){.node = a->node,
                                   .memory_free = facts->memory_free,
                                   .host = facts->host,
                                   .host_free = facts->host_free,
                                   .read_bandwidth = facts->read_bandwidth,
                                   .matmul_rate = facts->matmul_rate,
                                   .run_us = facts->run_us,
                                   .period_us = facts->period_us,
                                   .links = facts->links,
                                   .link_count = facts->link_count};
    snprintf(d->name, sizeof d->name, "%s", p ? p->hello.name : n->options.name);
    const char *why = !peers_linked(n, a->node)  ? "it was just lost"
                      : facts->memory_total == 0 ? "it has not said yet what it offers"
                      : !a->answered             ? "it did not say whether it has the model's file"
                      : !a->found                ? "it does not have the model's file"
                                                 : "";
    snprintf(d->excluded, sizeof d->excluded, "%s", why);
    if (r->kind == REQUEST_REPLAN)
        recovery_describe(n, r, d, facts->memory_total);
    else if (!why[0] && (p ? p->leaving : n->draining))
        snprintf(d->excluded, sizeof d->excluded, "it is leaving");
}

static void note_arithmetic(struct node *n, struct placement_result *result) {
    for (uint32_t i = 0; result->fits && i < result->plan.member_count; i++) {
        struct peer *p = peers_find(n, result->plan.members[i].node);
        if (p && p->hello.arithmetic != n->options.arithmetic)
            snprintf(result->reason, sizeof result->reason,
                     "node %s has another arithmetic revision: tokens may differ", p->hello.name);
    }
}

struct placement_result *requests_place(struct node *n, struct request *r) {
    struct placement_device *devices = node__alloc(n, r->answer_count * sizeof *devices);
    struct placement_result *result = node__alloc(n, sizeof *result);
    for (uint32_t i = 0; i < r->answer_count; i++) describe(n, r, &devices[i], &r->answers[i]);
    r->options.near = n->id;
    placement_plan(result, &r->model, &r->options, devices, r->answer_count);
    note_arithmetic(n, result);
    return result;
}

/* Is somebody here who may have the file, and has not said so yet? */
static bool awaits_answers(struct node *n, const struct request *r) {
    for (uint32_t i = 0; i < r->answer_count; i++)
        if (!r->answers[i].answered && peers_linked(n, r->answers[i].node)) return true;
    return false;
}

bool requests_wait_for_answers(struct node *n, struct request *r) {
    if (!awaits_answers(n, r) || n->now_us >= r->give_up_us) return false;
    r->timer_us = n->now_us + QUERY_US;
    return true;
}

/* Slow answers are waited for only if nothing fits without them. */
static void plan_and_go_on(struct node *n, struct request *r) {
    if (r->kind == REQUEST_REPLAN) {
        recovery_plan(n, r);
        return;
    }
    struct placement_result *result = requests_place(n, r);
    if (!result->fits && requests_wait_for_answers(n, r)) return;
    if (result->fits && measuring_wants_links(n, r, &result->plan)) return;
    if (r->kind == REQUEST_PLAN) {
        requests_finish(n, r, 0, result->reason, result);
    } else if (result->fits) {
        r->plan = result->plan;
        reserving_begin(n, r);
    } else if (n->now_us < n->unsettled_us && n->now_us < r->give_up_us) {
        requests_retry(n, r, "memory may still come free after a loss");
    } else {
        requests_finish(n, r, ERR_LIMIT, result->reason, result);
    }
}

static struct placement_result *result_of(struct node *n, const struct instance *i) {
    struct placement_result *result = node__alloc(n, sizeof *result);
    result->fits = true;
    result->plan = i->plan;
    return result;
}

/* Follow an instance that is there already; it ends in a reply when the instance is ready or fails. */
static void attach(struct node *n, struct request *r, const struct instance *i) {
    if (!r->any_options && !placement_same_options(&i->plan, &r->options, &r->model)) {
        requests_finish(n, r, ERR_EXISTS, "the model is loaded with other flags: stop it first", result_of(n, i));
        return;
    }
    r->phase = PHASE_ATTACHED;
    r->instance = i->id;
    r->timer_us = 0;
}

static bool no_member_lost(struct node *n, const struct instance *i) {
    if (i->state == WIRE_RECOVERING) return true; /* that is being seen to */
    if (!peers_linked(n, i->coordinator)) return false;
    for (uint32_t k = 0; k < i->plan.member_count; k++)
        if (peers_lost(n, i->plan.members[k].node)) return false;
    return true;
}

static bool loading_here(const struct node *n, const struct request *r) {
    for (uint32_t i = 0; i < n->request_count; i++) {
        const struct request *other = &n->requests[i];
        bool under_way = other->phase == PHASE_QUERYING || other->phase == PHASE_LINKS ||
                         other->phase == PHASE_RESERVING || other->phase == PHASE_COMMITTED;
        if (other != r && other->kind == REQUEST_LOAD && under_way &&
            memcmp(other->model.fingerprint, r->model.fingerprint, WIRE_FINGERPRINT_BYTES) == 0)
            return true;
    }
    return false;
}

static void begin_load(struct node *n, struct request *r) {
    struct instance *i = instances_of_model(n, r->model.fingerprint);
    if (i && (no_member_lost(n, i) || n->now_us >= r->give_up_us))
        attach(n, r, i);
    else if (i)
        requests_retry(n, r, "a member of the running instance seems lost");
    else if (loading_here(n, r))
        r->timer_us = n->now_us + 100 * MS;
    else
        requests_ask(n, r);
}

static void follow_instance(struct node *n, struct request *r) {
    struct instance *i = instances_find(n, r->instance);
    if (r->kind == REQUEST_REPLAN) {
        recovery_follow(n, r);
        return;
    }
    if (!i && r->phase == PHASE_COMMITTED) return; /* the coordinator has not spoken yet */
    if (i && r->phase == PHASE_COMMITTED) r->phase = PHASE_ATTACHED;
    if (i && i->state == WIRE_READY) {
        requests_finish(n, r, 0, "", result_of(n, i));
    } else if (i && i->state == WIRE_FAILED && strstr(i->text, SLICES_NO_LEASE) && n->now_us < r->give_up_us) {
        requests_retry(n, r, i->text); /* another load took a lease between the last yes and the first LOAD */
    } else if (i && i->state == WIRE_FAILED) {
        requests_finish(n, r, ERR_LOST, i->text, NULL);
    } else if (!i) {
        struct instance *other = instances_of_model(n, r->model.fingerprint);
        if (other)
            r->instance = other->id;
        else
            requests_finish(n, r, ERR_CANCELLED, "it was stopped while loading, or its coordinator is gone", NULL);
    }
}

static bool is_to_stop(const struct request *r, const struct instance *named, const struct instance *i) {
    return i->id == r->instance || (r->replicas && instances_side_by_side(named, i));
}

/* Everybody who speaks for it, or for a replica beside it that is to stop too. */
static bool tell_coordinators(struct node *n, const struct request *r, const struct instance *named) {
    bool told = false;
    for (uint32_t k = 0; k < n->instance_count; k++) {
        struct wire_message m = {.type = WIRE_STOP, .stop = {n->instances[k].id}};
        if (is_to_stop(r, named, &n->instances[k])) told |= node__tell(n, n->instances[k].coordinator, &m);
    }
    return told;
}

/* Neither the instance is left nor, where they are to stop too, a replica that was beside it. */
static bool stopped(struct node *n, const struct request *r) {
    const struct instance *other = r->replicas ? instances_of_model(n, r->model.fingerprint) : NULL;
    return !instances_find(n, r->instance) && !(other && other->plan.aim == WIRE_FOR_THROUGHPUT);
}

static void begin_stop(struct node *n, struct request *r) {
    struct instance *i = instances_find(n, r->instance);
    if (i) memcpy(r->model.fingerprint, i->plan.fingerprint, sizeof r->model.fingerprint);
    r->replicas = r->replicas && i && i->plan.aim == WIRE_FOR_THROUGHPUT;
    r->phase = PHASE_STOPPING;
    r->timer_us = n->now_us + STOP_GIVE_UP_US;
    if (!i)
        requests_finish(n, r, ERR_NOT_FOUND, "no such instance", NULL);
    else if (!tell_coordinators(n, r, i))
        requests_finish(n, r, ERR_LOST, "the instance's coordinator cannot be reached", NULL);
}

static void begin_fetch(struct node *n, struct request *r) {
    struct instance *i = instances_of_model(n, r->model.fingerprint);
    struct wire_message m = {.type = WIRE_HEADER_GET, .header_get = {.request = r->id, .offset = r->offset}};
    memcpy(m.header_get.fingerprint, r->model.fingerprint, WIRE_FINGERPRINT_BYTES);
    if (i && r->holder == 0) r->holder = i->coordinator;
    r->phase = PHASE_FETCHING;
    r->timer_us = n->now_us + CHUNK_US;
    if (r->holder == 0)
        requests_finish(n, r, ERR_NOT_FOUND, "no node runs this model", NULL);
    else if (!node__tell(n, r->holder, &m))
        requests_finish(n, r, ERR_LOST, "the node that has the model's header was lost", NULL);
}

static void begin(struct node *n, struct request *r) {
    switch (r->kind) {
    case REQUEST_PLAN: requests_ask(n, r); break;
    case REQUEST_LOAD: begin_load(n, r); break;
    case REQUEST_STOP: begin_stop(n, r); break;
    case REQUEST_HEADER: begin_fetch(n, r); break;
    case REQUEST_MEASURE: measuring_begin(n, r); break;
    case REQUEST_REPLAN: recovery_begin(n, r); break;
    }
}

static uint32_t asked_from_outside(const struct node *n) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->request_count; i++) count += n->requests[i].kind != REQUEST_REPLAN;
    return count;
}

static void add_request(struct node *n, const struct node_event *e, enum request_kind kind) {
    if (asked_from_outside(n) == NODE_REQUESTS_MAX || n->request_count == ARRAY_LEN(n->requests)) {
        node__reply(n, e->request, ERR_BUSY, 0, "too many requests are under way", NULL);
        return;
    }
    struct request *r = &n->requests[n->request_count++];
    memset(r, 0, sizeof *r);
    r->id = e->request;
    r->kind = kind;
    r->options = e->options;
    r->any_options = e->any_options;
    r->replicas = e->replicas;
    r->instance = e->instance;
    r->race = prng_next(&n->random) << 8;
    r->give_up_us = n->now_us + LOAD_GIVE_UP_US;
    if (e->model)
        r->model = *e->model;
    else if (e->fingerprint)
        memcpy(r->model.fingerprint, e->fingerprint, WIRE_FINGERPRINT_BYTES);
    begin(n, r);
}

/* What the daemon found out, for whoever asked. */
static void pass_on_answer(struct node *n, const struct node_event *e) {
    struct wire_message m = {.type = WIRE_MODEL_ANSWER, .model_answer = {e->request, e->found}};
    node__tell(n, e->peer, &m);
}

static void pass_on_header(struct node *n, const struct node_event *e) {
    struct wire_message m = {.type = WIRE_HEADER_DATA};
    uint8_t *bytes = node__alloc(n, e->len);
    if (e->len > 0) memcpy(bytes, e->bytes, e->len);
    m.header_data = (struct wire_header_data){e->request, e->total, e->offset, e->len, bytes};
    node__tell(n, e->peer, &m);
}

void requests_event(struct node *n, const struct node_event *e) {
    switch (e->type) {
    case NODE_REQUEST_PLAN: add_request(n, e, REQUEST_PLAN); break;
    case NODE_REQUEST_LOAD: add_request(n, e, REQUEST_LOAD); break;
    case NODE_REQUEST_STOP: add_request(n, e, REQUEST_STOP); break;
    case NODE_REQUEST_HEADER: add_request(n, e, REQUEST_HEADER); break;
    case NODE_REQUEST_NODES: add_request(n, e, REQUEST_MEASURE); break;
    case NODE_MODEL_ANSWER: pass_on_answer(n, e); break;
    case NODE_HEADER_READ: pass_on_header(n, e); break;
    case NODE_MODEL_MEASURED: recovery_measured(n, e); break;
    default: break;
    }
}

static struct request *find(struct node *n, uint64_t id, enum request_phase phase) {
    for (uint32_t i = 0; i < n->request_count; i++)
        if (n->requests[i].id == id && n->requests[i].phase == phase) return &n->requests[i];
    return NULL;
}

static void take_answer(struct node *n, uint64_t from, const struct wire_model_answer *m) {
    struct request *r = find(n, m->request, PHASE_QUERYING);
    struct answer *a = r ? answer_of(r, from) : NULL;
    if (!a) return;
    a->answered = true;
    a->found = m->found;
    if (!awaits_answers(n, r)) plan_and_go_on(n, r);
}

static void take_header(struct node *n, uint64_t from, const struct wire_header_data *m) {
    struct request *r = find(n, m->request, PHASE_FETCHING);
    if (!r || r->holder != from || m->offset != r->offset) return;
    bool wrong = m->total == 0 || m->len == 0 || m->len > m->total - m->offset || (r->total && r->total != m->total);
    if (m->offset >= m->total || wrong) {
        requests_finish(n, r, ERR_NOT_FOUND, "the node does not give the model's header", NULL);
        return;
    }
    struct node_effect *effect = node__emit(n, NODE_HEADER_PIECE);
    effect->request = r->id;
    effect->total = r->total = m->total;
    effect->offset = m->offset;
    effect->bytes = m->bytes;
    effect->len = m->len;
    r->offset += m->len;
    if (r->offset == r->total)
        requests_finish(n, r, 0, "", NULL);
    else
        begin_fetch(n, r);
}

static void look_up(struct node *n, uint64_t from, const struct wire_message *m) {
    bool header = m->type == WIRE_HEADER_GET;
    uint8_t *fingerprint = node__alloc(n, WIRE_FINGERPRINT_BYTES);
    memcpy(fingerprint, header ? m->header_get.fingerprint : m->model_query.fingerprint, WIRE_FINGERPRINT_BYTES);
    struct node_effect *effect = node__emit(n, header ? NODE_READ_HEADER : NODE_LOOKUP_MODEL);
    effect->peer = from;
    effect->request = header ? m->header_get.request : m->model_query.request;
    effect->offset = header ? m->header_get.offset : 0;
    effect->fingerprint = fingerprint;
    effect->text = header ? "" : node__text(n, "%s", m->model_query.name);
}

void requests_message(struct node *n, uint64_t from, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_MODEL_QUERY:
    case WIRE_HEADER_GET: look_up(n, from, m); break;
    case WIRE_MODEL_ANSWER: take_answer(n, from, &m->model_answer); break;
    case WIRE_HEADER_DATA: take_header(n, from, &m->header_data); break;
    default: break;
    }
}

/* A reservation is not waited for any longer. */
void requests_peer_lost(struct node *n, uint64_t peer) {
    for (uint32_t i = n->request_count; i-- > 0;) {
        struct request *r = &n->requests[i];
        if (r->phase == PHASE_RESERVING && wire_plan_member(&r->plan, peer) >= 0)
            requests_retry(n, r, "a member was lost while reserving");
    }
}

static void time_is_up(struct node *n, struct request *r) {
    switch (r->phase) {
    case PHASE_WAITING: begin(n, r); break;
    case PHASE_MEASURING: requests_retry(n, r, "the model's file is slow"); break;
    case PHASE_QUERYING: plan_and_go_on(n, r); break;
    case PHASE_LINKS:
        if (measuring_knows_links(n, r)) plan_and_go_on(n, r);
        break;
    case PHASE_NODES: measuring_go_on(n, r); break;
    case PHASE_RESERVING: requests_retry(n, r, "a member did not answer while reserving"); break;
    case PHASE_COMMITTED: requests_retry(n, r, "the coordinator did not begin to load"); break;
    case PHASE_STOPPING: requests_finish(n, r, ERR_TIMEOUT, "the coordinator did not stop the instance", NULL); break;
    case PHASE_FETCHING: requests_finish(n, r, ERR_TIMEOUT, "the model's header did not come", NULL); break;
    case PHASE_ATTACHED: break;
    }
}

void requests_timers(struct node *n) {
    for (uint32_t i = n->request_count; i-- > 0;) {
        struct request *r = &n->requests[i];
        if (r->phase == PHASE_STOPPING && stopped(n, r)) {
            requests_finish(n, r, 0, "", NULL);
            continue;
        }
        if (r->phase == PHASE_ATTACHED || r->phase == PHASE_COMMITTED) {
            uint32_t before = n->request_count;
            follow_instance(n, r);
            if (n->request_count != before) continue;
        }
        if (r->phase != PHASE_ATTACHED && node__due(n, r->timer_us)) time_is_up(n, r);
    }
}
