/* The initiator's way from a plan to a loading instance: reserve on every member in node-id order, then commit. */
#include <stdio.h>
#include <string.h>

#include "cluster/internal.h"

enum { ANSWER_US = 2 * SECOND, COORDINATOR_US = 3 * SECOND };

static void order_members(struct request *r) {
    for (uint32_t i = 0; i < r->plan.member_count; i++) {
        uint64_t node = r->plan.members[i].node;
        uint32_t at = i;
        for (; at > 0 && r->order[at - 1] > node; at--) r->order[at] = r->order[at - 1];
        r->order[at] = node;
    }
}

void reserving_release(struct node *n, struct request *r) {
    struct wire_message m = {.type = WIRE_RELEASE, .release = {r->race}};
    for (uint32_t i = 0; i <= r->reserved && i < r->plan.member_count; i++) node__tell(n, r->order[i], &m);
    r->reserved = 0;
}

/* The link to a member is gone: begin again, with facts that know it. */
static void reserve_next(struct node *n, struct request *r) {
    struct wire_message m = {.type = WIRE_RESERVE};
    m.reserve = (struct wire_reserve){r->race, r->instance, r->epoch, r->hash, r->plan};
    r->timer_us = n->now_us + ANSWER_US;
    if (!node__tell(n, r->order[r->reserved], &m)) requests_retry(n, r, "a member was lost while reserving");
}

static void commit(struct node *n, struct request *r) {
    if (!recovery_may_commit(n, r)) {
        reserving_release(n, r);
        requests_remove(n, r);
        return;
    }
    struct wire_message m = {.type = WIRE_COMMIT, .commit = {r->race, r->hash}};
    r->phase = PHASE_COMMITTED;
    r->timer_us = n->now_us + COORDINATOR_US;
    if (!node__tell(n, r->plan.members[0].node, &m)) requests_retry(n, r, "the coordinator was lost while reserving");
}

void reserving_begin(struct node *n, struct request *r) {
    r->phase = PHASE_RESERVING;
    r->reserved = 0;
    r->race++;
    if (r->kind != REQUEST_REPLAN || r->reason == REPLAN_GROW) do
            r->instance = prng_next(&n->random);
        while (r->instance == 0);
    r->epoch = (struct wire_epoch){++n->epoch_number, n->id};
    r->hash = wire_plan_hash(&r->plan);
    order_members(r);
    reserve_next(n, r);
}

static struct request *reserving(struct node *n, uint64_t race) {
    for (uint32_t i = 0; i < n->request_count; i++) {
        struct request *r = &n->requests[i];
        if (r->race == race && (r->phase == PHASE_RESERVING || r->phase == PHASE_COMMITTED)) return r;
    }
    return NULL;
}

void reserving_message(struct node *n, uint64_t from, const struct wire_message *m) {
    if (m->type == WIRE_RESERVE_OK) {
        struct request *r = reserving(n, m->reserve_ok.request);
        if (!r || r->phase != PHASE_RESERVING || r->order[r->reserved] != from) return;
        if (++r->reserved == r->plan.member_count)
            commit(n, r);
        else
            reserve_next(n, r);
    } else if (m->type == WIRE_RESERVE_REFUSED) {
        struct request *r = reserving(n, m->reserve_refused.request);
        if (r && r->kind == REQUEST_REPLAN)
            recovery_refused(n, r, from, &m->reserve_refused);
        else if (r)
            requests_retry(n, r, m->reserve_refused.text);
    }
}
