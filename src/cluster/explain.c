#include "cluster/explain.h"

#include <stdio.h>
#include <string.h>

struct amount {
    char text[32];
};

static struct amount amount(uint64_t bytes) {
    struct amount a;
    if (bytes < 10ull << 30)
        snprintf(a.text, sizeof a.text, "%llu MiB", (unsigned long long)((bytes + 524288) >> 20));
    else
        snprintf(a.text, sizeof a.text, "%llu GiB", (unsigned long long)((bytes + (1ull << 29)) >> 30));
    return a;
}

/* "12.3" tokens a second for what takes ns a token, "0" for what does not fit. */
static struct amount rate(uint64_t ns) {
    struct amount a;
    uint64_t tenths = ns && ns != LAYOUT_NEVER ? (10000000000u + ns / 2) / ns : 0;
    snprintf(a.text, sizeof a.text, tenths ? "%llu.%llu" : "0", (unsigned long long)(tenths / 10),
             (unsigned long long)(tenths % 10));
    return a;
}

static struct amount milliseconds(uint64_t ns) {
    struct amount a;
    uint64_t hundredths = (ns + 5000) / 10000;
    snprintf(a.text, sizeof a.text, "%llu.%02llu ms", (unsigned long long)(hundredths / 100),
             (unsigned long long)(hundredths % 100));
    return a;
}

/* "3 requests". */
static struct amount requests(uint32_t count) {
    struct amount a;
    snprintf(a.text, sizeof a.text, count == 1 ? "%u request" : "%u requests", count);
    return a;
}

/* ---- a plan ---- */

static const char *limit_of(const struct layout *l) {
    if (l->compute_ns >= l->exchange_ns && l->compute_ns >= l->hop_ns) return "reading weights";
    return l->exchange_ns >= l->hop_ns ? "exchanges within stages" : "hops between stages";
}

static size_t explain_time(char *text, size_t capacity, const struct layout *l) {
    size_t len = (size_t)snprintf(text, capacity, "a token takes %s: %s reading weights",
                                  milliseconds(l->token_ns).text, milliseconds(l->compute_ns).text);
    if (l->exchange_ns > 0 && len < capacity)
        len += (size_t)snprintf(text + len, capacity - len, ", %s exchanges", milliseconds(l->exchange_ns).text);
    if (l->hop_ns > 0 && len < capacity)
        len += (size_t)snprintf(text + len, capacity - len, ", %s hops", milliseconds(l->hop_ns).text);
    if (len < capacity) len += (size_t)snprintf(text + len, capacity - len, "; %s limit it", limit_of(l));
    return len < capacity ? len : capacity;
}

static size_t explain_replicas(char *text, size_t capacity, const struct replicas *r) {
    if (r->count == 1) return 0;
    size_t len = (size_t)snprintf(text, capacity, "%u replicas, %s at once on each; in this one ", r->count,
                                  requests(r->requests).text);
    return len < capacity ? len : capacity;
}

void explain_choice(struct placement_result *result, const struct replicas *r) {
    const struct choice *choice = &r->first;
    const struct layout *l = &choice->best;
    bool grouped = l->member_count > l->stage_count;
    uint64_t other_ns = grouped ? choice->pipeline_ns : choice->groups_ns;
    size_t len = explain_replicas(result->choice, sizeof result->choice, r);
    len += explain_time(result->choice + len, sizeof result->choice - len, l);
    result->compute_ns = l->compute_ns;
    result->exchange_ns = l->exchange_ns;
    result->hop_ns = l->hop_ns;
    if (other_ns == 0) return;
    const char *other = grouped ? "stages of one node" : "a stage of several nodes";
    if (other_ns == LAYOUT_NEVER)
        snprintf(result->choice + len, sizeof result->choice - len, "; %s do not fit", other);
    else
        snprintf(result->choice + len, sizeof result->choice - len, "; with %s: %s tokens/s instead of %s", other,
                 rate(other_ns).text, rate(l->cost_ns).text);
}

/* ---- who is left out ---- */

static int candidate_of(const struct costs *c, const struct placement_device *d) {
    for (uint32_t i = 0; i < c->count; i++)
        if (c->candidates[i].device == d) return (int)i;
    return LAYOUT_NONE;
}

static void explain_slower(const struct costs *c, const struct search_wish *wish, const struct layout *best,
                           int candidate, char *reason, size_t capacity) {
    struct layout with = {.cost_ns = LAYOUT_NEVER};
    if (candidate != LAYOUT_NONE) search_with(c, wish, best, (uint32_t)candidate, &with);
    if (with.cost_ns == LAYOUT_NEVER)
        snprintf(reason, capacity, "faster without it: about %s tokens/s; with it the plan does not fit",
                 rate(best->cost_ns).text);
    else
        snprintf(reason, capacity, "faster without it: about %s tokens/s, with it %s (%s limit it)",
                 rate(best->cost_ns).text, rate(with.cost_ns).text, limit_of(&with));
}

static void explain_one(const struct costs *c, const struct search_wish *wish, const struct choice *choice,
                        const struct placement_options *options, const struct placement_device *d, char *reason,
                        size_t capacity) {
    uint64_t least = costs_fixed_bytes(c, false) + c->layer_most;
    if (d->excluded[0])
        snprintf(reason, capacity, "%s", d->excluded);
    else if (options->shares.count > 0)
        snprintf(reason, capacity, "--shares does not name it");
    else if (d->memory_free < least && wish->group_max == 1)
        snprintf(reason, capacity, "%s free, the smallest part needs %s", amount(d->memory_free).text,
                 amount(least).text);
    else if (options->nodes)
        snprintf(reason, capacity, "%u nodes were asked for and others are faster or have more memory", options->nodes);
    else
        explain_slower(c, wish, &choice->best, candidate_of(c, d), reason, capacity);
}

static bool is_for_another(const struct replicas *r, const struct placement_device *d) {
    for (uint32_t i = 0; i < r->other_count; i++)
        if (r->others[i] == d) return true;
    return false;
}

void explain_left_out(struct placement_result *result, const struct costs *c, const struct replicas *r,
                      const struct placement_options *options, const struct placement_device *devices,
                      uint32_t count) {
    const struct choice *choice = &r->first;
    for (uint32_t i = 0; i < count; i++) {
        int candidate = candidate_of(c, &devices[i]);
        bool used =
            result->fits && candidate != LAYOUT_NONE && layout_find(&choice->best, (uint32_t)candidate) != LAYOUT_NONE;
        if (used || (!result->fits && !devices[i].excluded[0])) continue;
        struct placement_left_out *out = &result->left_out[result->left_out_count++];
        out->node = devices[i].node;
        if (is_for_another(r, &devices[i]))
            snprintf(out->reason, sizeof out->reason, "it is for another replica of the model");
        else
            explain_one(c, &r->wish, choice, options, &devices[i], out->reason, sizeof out->reason);
    }
}

/* ---- no plan ---- */

/* The longest context, by halves, with which it would fit: 0, if none does. */
static uint32_t context_that_fits(struct costs *c, const struct search_wish *wish) {
    uint32_t asked = c->context, found = 0;
    for (uint32_t context = asked / 2; context >= 256 && !found; context /= 2) {
        struct layout l;
        costs_set_context(c, context);
        search_best(c, wish, &l);
        if (l.cost_ns != LAYOUT_NEVER) found = context;
    }
    costs_set_context(c, asked);
    return found;
}

static uint64_t weights_bytes(const struct placement_model *m) {
    uint64_t sum = m->ends_bytes;
    for (uint32_t i = 0; i < m->layer_count; i++) sum += m->layer_bytes[i];
    return sum;
}

/* What each could use if all took part; returns the sum. */
static uint64_t list_free(const struct costs *c, char *text, size_t capacity) {
    uint32_t all[COSTS_CANDIDATES_MAX];
    uint64_t sum = 0;
    size_t len = 0;
    bool shared = false;
    text[0] = '\0';
    for (uint32_t i = 0; i < c->count; i++) all[i] = i;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct placement_device *d = c->candidates[i].device;
        uint64_t bytes = costs_usable_bytes(c, all, c->count, i);
        sum += bytes;
        shared |= bytes < d->memory_free;
        if (len + 100 < capacity)
            len +=
                (size_t)snprintf(text + len, capacity - len, "%s%.24s %s", i ? ", " : "", d->name, amount(bytes).text);
    }
    if (shared) snprintf(text + len, capacity - len, " (nodes of one host share its memory)");
    return sum;
}

void explain_refusal(struct placement_result *result, struct costs *c, const struct search_wish *wish) {
    uint64_t weights = weights_bytes(c->model), kv = 0;
    uint64_t scratch = costs_fixed_bytes(c, true) - c->model->ends_bytes;
    char list[240], remedy[120];
    uint64_t free = list_free(c, list, sizeof list);
    for (uint32_t i = 0; i < c->model->layer_count; i++) kv += costs_kv_bytes(c, i);
    uint32_t context = result->context_fits = context_that_fits(c, wish);
    uint64_t need = weights + kv + scratch;
    if (context)
        snprintf(remedy, sizeof remedy, "--context %u would fit", context);
    else if (need > free)
        snprintf(remedy, sizeof remedy, "a node with %s more would make it fit", amount(need - free).text);
    else
        snprintf(remedy, sizeof remedy, "no split fits, each node needs its own scratch: free memory on one");
    snprintf(result->reason, sizeof result->reason,
             "needs %s (weights %s, KV cache %s for %u x %u positions, scratch %s); free: %s; %s", amount(need).text,
             amount(weights).text, amount(kv).text, c->parallel, c->context, amount(scratch).text,
             c->count ? list : "no node can be used", remedy);
}
