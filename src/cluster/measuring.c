#include "cluster/measuring.h"

#include "cluster/internal.h"

enum {
    LOOK_US = 50 * MS,
    LINKS_US = 1500 * MS,  /* that a plan waits for its links */
    NODE_US = 10 * SECOND, /* that measuring one node may take */
    ROUNDS_MAX = 3,        /* better known links may make for another plan, which joins others */
};

static bool knows_link(const struct wire_facts *facts, uint64_t to) {
    for (uint32_t i = 0; i < facts->link_count; i++)
        if (facts->links[i].to == to && facts->links[i].bandwidth > 0) return true;
    return false;
}

static const struct wire_facts *facts_of(struct node *n, uint64_t id) {
    struct wire_facts *own;
    struct peer *p = peers_find(n, id);
    if (id != n->id) return p && p->link_count > 0 ? &p->facts : NULL;
    own = node__alloc(n, sizeof *own);
    facts_fill(n, own);
    return own;
}

/* Members that exchange data by this plan, and of whose link nobody knows the bandwidth. */
static bool unknown_link(struct node *n, const struct wire_plan *plan, uint32_t a, uint32_t b) {
    uint64_t from = plan->members[a].node, to = plan->members[b].node;
    if (from == to || !(wire_plan_linked(plan, a, b) || wire_plan_linked(plan, b, a))) return false;
    const struct wire_facts *there = facts_of(n, from), *back = facts_of(n, to);
    return there && back && !knows_link(there, to) && !knows_link(back, from);
}

/* Ask the first of each such pair (nobody, if `ask` is false). Returns whether there was one. */
static bool ask_for_links(struct node *n, const struct wire_plan *plan, bool ask) {
    bool unknown = false;
    for (uint32_t a = 0; a < plan->member_count; a++) {
        struct wire_message m = {.type = WIRE_MEASURE};
        for (uint32_t b = a + 1; b < plan->member_count; b++)
            if (m.measure.count < WIRE_LINKS_MAX && unknown_link(n, plan, a, b))
                m.measure.nodes[m.measure.count++] = plan->members[b].node;
        unknown |= m.measure.count > 0;
        if (ask && m.measure.count > 0) node__tell(n, plan->members[a].node, &m);
    }
    return unknown;
}

bool measuring_wants_links(struct node *n, struct request *r, const struct wire_plan *plan) {
    if (r->link_rounds >= ROUNDS_MAX || !ask_for_links(n, plan, true)) return false;
    r->link_rounds++;
    r->plan = *plan;
    r->phase = PHASE_LINKS;
    r->timer_us = n->now_us + LOOK_US;
    r->links_until_us = n->now_us + LINKS_US;
    return true;
}

bool measuring_knows_links(struct node *n, struct request *r) {
    if (n->now_us >= r->links_until_us) r->link_rounds = ROUNDS_MAX;
    if (n->now_us >= r->links_until_us || !ask_for_links(n, &r->plan, false)) return true;
    r->timer_us = n->now_us + LOOK_US;
    return false;
}

/* ---- everything anew ---- */

/* Nodes of one host would disturb each other: one at a time. */
static bool host_is_busy(struct node *n, const struct request *r, uint64_t host) {
    for (uint32_t i = 0; i < r->answer_count; i++) {
        const struct answer *a = &r->answers[i];
        const struct wire_facts *facts = facts_of(n, a->node);
        if (a->found && !a->answered && facts && facts->host == host && host != 0) return true;
    }
    return false;
}

/* `found`: it was asked; `answered`: it has measured, or is gone. */
static void ask_those_who_can(struct node *n, struct request *r) {
    for (uint32_t i = 0; i < r->answer_count; i++) {
        struct answer *a = &r->answers[i];
        const struct wire_facts *facts = facts_of(n, a->node);
        struct wire_message m = {.type = WIRE_MEASURE, .measure = {.number = r->race}};
        if (!facts || facts->measured == r->race) a->answered = true;
        if (a->found || a->answered || host_is_busy(n, r, facts->host)) continue;
        a->found = true;
        r->give_up_us = n->now_us + NODE_US;
        node__tell(n, a->node, &m);
    }
}

void measuring_go_on(struct node *n, struct request *r) {
    bool done = true;
    ask_those_who_can(n, r);
    for (uint32_t i = 0; i < r->answer_count; i++) done &= r->answers[i].answered;
    if (done || n->now_us >= r->give_up_us)
        requests_finish(n, r, 0, "", NULL);
    else
        r->timer_us = n->now_us + LOOK_US;
}

void measuring_begin(struct node *n, struct request *r) {
    r->phase = PHASE_NODES;
    r->answers[r->answer_count++] = (struct answer){.node = n->id};
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (n->peers[i].link_count > 0) r->answers[r->answer_count++] = (struct answer){.node = n->peers[i].id};
    measuring_go_on(n, r);
}
