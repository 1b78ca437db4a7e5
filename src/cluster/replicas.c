#include "cluster/replicas.h"

#include <string.h>

enum { NEARLY_PERCENT = 99 }; /* of one plan's throughput, for which replicas are preferred */

static void take_out(struct costs *c, struct replicas *r, const struct layout *l) {
    bool taken[COSTS_CANDIDATES_MAX] = {0};
    for (uint32_t i = 0; i < l->member_count; i++) taken[l->members[i]] = true;
    for (uint32_t i = c->count; i-- > 0;) {
        if (!taken[i]) continue;
        if (r->count > 1) r->others[r->other_count++] = c->candidates[i].device;
        costs_remove(c, i);
    }
}

/* One of `count` that are still to be found: of its part of the candidates, or of as many as it takes. */
static struct search_wish find_one(const struct costs *c, const struct placement_options *o, uint32_t count,
                                   struct choice *choice) {
    uint32_t part = c->count > count ? c->count / count : 1;
    struct search_wish wish = choice_make(c, o, part, choice);
    return choice->best.cost_ns != LAYOUT_NEVER || part >= c->count ? wish : choice_make(c, o, c->count, choice);
}

static uint32_t requests_of_each(const struct costs *c, uint32_t count) { return (c->parallel + count - 1) / count; }

/* Up to `count` of them. */
static void deal_out(struct replicas *r, const struct costs *all, const struct placement_options *o, uint32_t count,
                     uint32_t requests) {
    struct costs left = *all;
    *r = (struct replicas){.requests = requests};
    costs_set_requests(&left, requests);
    while (r->count < count && (left.count > 0 || r->count == 0)) {
        struct choice choice;
        struct search_wish wish = find_one(&left, o, count - r->count, &choice);
        if (r->count == 0) r->first = choice;
        if (r->count == 0) r->wish = wish;
        if (choice.best.cost_ns == LAYOUT_NEVER) break;
        r->tokens_per_ks += costs_per_ks(layout_together_ns(&left, &choice.best));
        r->count++;
        take_out(&left, r, &choice.best);
    }
}

static uint32_t most_replicas(const struct costs *c, const struct placement_options *o) {
    bool asked = o->nodes > 0 || o->shares.count > 0;
    if (o->aim != WIRE_FOR_THROUGHPUT || asked) return 1;
    uint32_t most = c->count < c->parallel ? c->count : c->parallel;
    return most < WIRE_REPLICAS_MAX ? most : WIRE_REPLICAS_MAX;
}

/* Twice as many as before, but all that there may be. */
static uint32_t next_count(uint32_t count, uint32_t most) {
    return count < most && 2 * count > most ? most : 2 * count;
}

/* The better of *r and `count` of them, or of as many as there can be. False: there cannot be more. */
static bool try_count(struct replicas *r, const struct costs *c, const struct placement_options *o, uint32_t count) {
    struct replicas other;
    uint32_t found = count;
    deal_out(&other, c, o, count, requests_of_each(c, count));
    if (other.count < count) {
        found = other.count ? other.count : 1;
        deal_out(&other, c, o, found, requests_of_each(c, found));
    }
    bool as_good = other.tokens_per_ks >= r->tokens_per_ks / 100 * NEARLY_PERCENT;
    if (other.count == found && as_good) *r = other;
    return found == count;
}

static void plan_best(struct replicas *r, const struct costs *c, const struct placement_options *o) {
    uint32_t most = most_replicas(c, o), count = 2;
    deal_out(r, c, o, 1, c->parallel);
    while (count <= most && try_count(r, c, o, count)) count = next_count(count, most);
}

/* Where the devices are too few for all that are to come, there will be fewer, each with a larger part of the requests.
 */
static void plan_next(struct replicas *r, const struct costs *c, const struct placement_options *o) {
    uint32_t to_come = o->replicas_to_come + 1, there = o->replicas - to_come;
    deal_out(r, c, o, to_come, requests_of_each(c, there + to_come));
    while (r->count > 0 && r->count < to_come) {
        to_come = r->count;
        deal_out(r, c, o, to_come, requests_of_each(c, there + to_come));
    }
    if (r->count > 0) r->count += there;
}

void replicas_plan(struct replicas *r, struct costs *c, const struct placement_options *o) {
    if (o->replicas)
        plan_next(r, c, o);
    else
        plan_best(r, c, o);
    costs_set_requests(c, r->requests);
}
