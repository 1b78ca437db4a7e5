/* Growing: a model that was loaded for throughput gets replicas on nodes that it leaves free.
 *
 * The first instance was planned as one of several (replicas.h). The coordinator of the eldest begins the next one as
 * soon as the one before it is placed, so that all load at the same time, and looks again whenever nodes or memory have
 * come. Replicas know nothing of each other but whose nodes they are: each has its own coordinator, epochs, recovery.
 * One that is lost altogether or finds no place any more ends, since the model still answers, and is grown anew when
 * there is room. A request goes to the replica that has least to do (jobs.c). */
#include "cluster/internal.h"

enum { LOOK_US = 100 * MS };

static bool stands_beside(struct node *n, const struct instance *i, const struct instance *other) {
    return instances_side_by_side(i, other) && instances_alive(other) && other->orphan_us == 0 &&
           peers_linked(n, other->coordinator);
}

static bool has_a_plan(const struct instance *i) { return i->state == WIRE_READY || i->state == WIRE_LOADING; }

static bool wanted(const struct node *n, const struct instance *i) {
    bool free_choice = i->plan.nodes_wanted == 0 && i->plan.shares_asked == 0;
    return i->plan.aim == WIRE_FOR_THROUGHPUT && free_choice && has_a_plan(i) && !n->draining;
}

static uint32_t replicas_of(struct node *n, const struct instance *i) {
    uint32_t count = 1;
    for (uint32_t k = 0; k < n->instance_count; k++) count += stands_beside(n, i, &n->instances[k]);
    return count;
}

/* As many as one of those that stand tells of: those that came later may have been planned with more nodes. */
static uint32_t planned(struct node *n, const struct instance *i) {
    uint32_t most = i->plan.replicas;
    for (uint32_t k = 0; k < n->instance_count; k++) {
        const struct instance *other = &n->instances[k];
        if (stands_beside(n, i, other) && other->plan.replicas > most) most = other->plan.replicas;
    }
    return most;
}

static bool is_eldest(struct node *n, const struct instance *i) {
    for (uint32_t k = 0; k < n->instance_count; k++) {
        const struct instance *other = &n->instances[k];
        bool elder = has_a_plan(other) && wire_epoch_compare(&other->epoch, &i->epoch) < 0;
        if (elder && stands_beside(n, i, other)) return false;
    }
    return true;
}

static uint32_t most(const struct instance *i) {
    return i->plan.parallel < WIRE_REPLICAS_MAX ? i->plan.parallel : WIRE_REPLICAS_MAX;
}

void growing_look(struct node *n, struct instance *i, bool node_came) {
    if (node_came) i->grown = 0;
    if (wanted(n, i)) i->grow_us = n->now_us + LOOK_US;
}

void growing_timer(struct node *n, struct instance *i) {
    if (i->grow_us == 0 || !node__due(n, i->grow_us)) return;
    i->grow_us = 0;
    bool room = replicas_of(n, i) < most(i) && i->grown < WIRE_REPLICAS_MAX;
    if (!wanted(n, i) || !room || !is_eldest(n, i)) return;
    if (!recovery_grow(n, i)) i->grow_us = n->now_us + LOOK_US;
}

void growing_begun(struct node *n, struct instance *i) {
    i->grown++;
    growing_look(n, i, false);
}

/* All are planned anew, to see how many there would be. */
static bool counts(const struct request *r) { return r->reason == REPLAN_GROW && r->options.replicas == 0; }

bool growing_occupied(struct node *n, const struct request *r, const struct instance *i, uint64_t node) {
    bool occupied = r->reason == REPLAN_GROW && wire_plan_member(&i->plan, node) >= 0;
    for (uint32_t k = 0; k < n->instance_count && !occupied; k++) {
        const struct instance *other = &n->instances[k];
        occupied = stands_beside(n, i, other) && wire_plan_member(&other->plan, node) >= 0;
    }
    return occupied && !counts(r);
}

void growing_describe(struct node *n, const struct request *r, const struct instance *i, struct placement_device *d) {
    uint64_t bytes = wire_plan_bytes(&i->plan, d->node);
    if (!counts(r)) return;
    for (uint32_t k = 0; k < n->instance_count; k++)
        if (stands_beside(n, i, &n->instances[k])) bytes += wire_plan_bytes(&n->instances[k].plan, d->node);
    d->memory_free += bytes;
    if (d->host_free != 0) d->host_free += bytes;
}

static struct placement_result *place(struct node *n, struct request *r, const struct instance *i, uint32_t replicas,
                                      uint32_t to_come) {
    r->options = (struct placement_options){.context = i->plan.context,
                                            .parallel = i->plan.parallel,
                                            .split = i->plan.split,
                                            .aim = i->plan.aim,
                                            .replicas = replicas,
                                            .replicas_to_come = to_come};
    return requests_place(n, r);
}

/* As many as there were to be; more, if that is how many there would be if all were planned now. */
struct placement_result *growing_place(struct node *n, struct request *r, const struct instance *i) {
    uint32_t count = replicas_of(n, i), wanted = planned(n, i);
    struct placement_result *result = NULL;
    if (wanted <= count) {
        result = place(n, r, i, 0, 0);
        wanted = result->fits ? result->plan.replicas : 0;
    }
    if (wanted > count) return place(n, r, i, wanted, wanted - count - 1);
    result->fits = false;
    return result;
}
