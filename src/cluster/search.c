#include "cluster/search.h"

#include <string.h>

enum {
    ALL_GROUPINGS_MAX = 6, /* devices of which every grouping is tried */
    ALL_SETS_MAX = 8,      /* devices of which every set is tried, one by one in a ring */
    FIRSTS_MAX = 6,        /* members that are tried as the one with the ends */
    FIRSTS_OF_MANY = 1,
    MANY = 8,          /* members or stages: not everything can be tried */
    FAST_STEPS = 4,    /* mixtures of fast and roomy members that are tried of many */
    SPARES_MAX = 2,    /* unused devices that a move may bring in */
    LAYOUTS_MAX = 120, /* that bettering looks at */
    WORSE_MAX = 2,     /* numbers of members in a row that bring nothing, until the search ends */
    UNUSED = -1,
};

struct search {
    const struct costs *costs;
    const struct search_wish *wish;
    uint64_t need_bytes; /* of all members together, at least */
    uint32_t looked_at;
    struct layout *best;
};

/* Which stage each candidate belongs to. */
struct grouping {
    int8_t stage[COSTS_CANDIDATES_MAX]; /* UNUSED, or 0 .. stages - 1 */
    uint32_t stages;
};

/* ---- order of the ring ---- */

/* From the first member of a stage to that of another. */
static uint64_t stage_hop_ns(const struct costs *c, const struct layout *l, uint32_t from, uint32_t to) {
    return costs_hop_ns(c, l->members[l->stages[from].begin], l->members + l->stages[to].begin, 1);
}

struct order {
    const struct costs *costs;
    const struct layout *layout;
    uint64_t best_ns;
    uint32_t now[WIRE_STAGES_MAX], best[WIRE_STAGES_MAX]; /* stages, the first stays */
};

static void try_orders(struct order *o, uint32_t at, uint64_t ns) {
    uint32_t count = o->layout->stage_count;
    if (at == count) {
        ns += stage_hop_ns(o->costs, o->layout, o->now[count - 1], 0);
        if (ns >= o->best_ns) return;
        o->best_ns = ns;
        memcpy(o->best, o->now, count * sizeof *o->now);
        return;
    }
    for (uint32_t i = at; i < count && ns < o->best_ns; i++) {
        uint32_t stage = o->now[i];
        o->now[i] = o->now[at];
        o->now[at] = stage;
        try_orders(o, at + 1, ns + stage_hop_ns(o->costs, o->layout, o->now[at - 1], stage));
        o->now[at] = o->now[i];
        o->now[i] = stage;
    }
}

static void follow_nearest(struct order *o) {
    uint32_t count = o->layout->stage_count;
    for (uint32_t at = 1; at < count; at++) {
        uint32_t nearest = at;
        uint64_t nearest_ns = UINT64_MAX;
        for (uint32_t i = at; i < count; i++) {
            uint64_t ns = stage_hop_ns(o->costs, o->layout, o->now[at - 1], o->now[i]);
            if (ns >= nearest_ns) continue;
            nearest = i;
            nearest_ns = ns;
        }
        uint32_t stage = o->now[nearest];
        o->now[nearest] = o->now[at];
        o->now[at] = stage;
    }
    memcpy(o->best, o->now, count * sizeof *o->now);
}

static void apply_order(struct layout *l, const uint32_t *order) {
    struct layout from = *l;
    for (uint32_t i = 0, at = 0; i < l->stage_count; at += l->stages[i++].count) {
        const struct layout_stage *s = &from.stages[order[i]];
        l->stages[i] = *s;
        l->stages[i].begin = at;
        memcpy(l->members + at, from.members + s->begin, s->count * sizeof *l->members);
    }
}

/* The member of stage `stage` for which it takes least to be the one that receives, tells the others and sends on. */
static void choose_first(const struct costs *c, struct layout *l, uint32_t stage) {
    const struct layout_stage *s = &l->stages[stage];
    uint32_t next = (stage + 1) % l->stage_count, best = s->begin;
    uint64_t best_ns = UINT64_MAX;
    for (uint32_t i = s->begin; i < s->begin + s->count && s->count > 1; i++) {
        uint64_t ns = costs_hop_ns(c, l->members[l->stages[stage - 1].begin], l->members + i, 1) +
                      costs_hop_ns(c, l->members[i], l->members + s->begin, s->count) +
                      costs_hop_ns(c, l->members[i], l->members + l->stages[next].begin, 1);
        if (ns >= best_ns) continue;
        best_ns = ns;
        best = i;
    }
    uint32_t member = l->members[best];
    l->members[best] = l->members[s->begin];
    l->members[s->begin] = member;
}

/* The stages behind the first in the order with the cheapest hops, of many each next one the nearest, and in each the
 * best member at its head. */
static void order_stages(const struct costs *c, struct layout *l) {
    struct order o = {.costs = c, .layout = l, .best_ns = UINT64_MAX};
    if (!c->links_vary || l->stage_count == 1) return;
    for (uint32_t i = 0; i < l->stage_count; i++) o.now[i] = i;
    if (l->stage_count < MANY)
        try_orders(&o, 1, 0);
    else
        follow_nearest(&o);
    apply_order(l, o.best);
    for (uint32_t i = 1; i < l->stage_count; i++) choose_first(c, l, i);
}

/* ---- one grouping ---- */

static void lay_out(const struct costs *c, const struct grouping *g, struct layout *l) {
    uint32_t begin[WIRE_STAGES_MAX + 1] = {0};
    l->stage_count = g->stages;
    for (uint32_t i = 0; i < c->count; i++)
        if (g->stage[i] != UNUSED) begin[g->stage[i] + 1]++;
    for (uint32_t i = 0; i < g->stages; i++) {
        l->stages[i] = (struct layout_stage){.begin = begin[i], .count = begin[i + 1]};
        begin[i + 1] += begin[i];
    }
    l->member_count = begin[g->stages];
    for (uint32_t i = 0; i < c->count; i++)
        if (g->stage[i] != UNUSED) l->members[begin[g->stage[i]]++] = i;
}

static struct grouping grouping_of(const struct layout *l) {
    struct grouping g = {.stages = l->stage_count};
    memset(g.stage, UNUSED, sizeof g.stage);
    for (uint32_t i = 0; i < l->stage_count; i++)
        for (uint32_t k = 0; k < l->stages[i].count; k++) g.stage[l->members[l->stages[i].begin + k]] = (int8_t)i;
    return g;
}

/* Member `at` to the front of its stage, and that to the front of the ring. */
static void put_first(struct layout *l, uint32_t at) {
    uint32_t stage = 0, order[WIRE_STAGES_MAX];
    while (l->stages[stage].begin + l->stages[stage].count <= at) stage++;
    uint32_t begin = l->stages[stage].begin, member = l->members[at];
    memmove(l->members + begin + 1, l->members + begin, (at - begin) * sizeof *l->members);
    l->members[begin] = member;
    order[0] = stage;
    for (uint32_t i = 0, k = 1; i < l->stage_count; i++)
        if (i != stage) order[k++] = i;
    apply_order(l, order);
}

static bool may_fit(const struct search *s, const struct layout *l) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < l->member_count; i++) sum += s->costs->candidates[l->members[i]].device->memory_free;
    return sum >= s->need_bytes + (l->member_count - 1) * s->costs->model->scratch_bytes;
}

static void look_at(struct search *s, const struct layout *grouped, uint32_t first) {
    struct layout l = *grouped;
    s->looked_at++;
    put_first(&l, first);
    order_stages(s->costs, &l);
    layout_deal(s->costs, &s->wish->layout, &l);
    if (l.cost_ns < s->best->cost_ns) *s->best = l;
}

static uint32_t rank_of(const struct layout *l, uint32_t at) {
    uint32_t rank = 0;
    for (uint32_t i = 0; i < l->member_count; i++) rank += l->members[i] < l->members[at];
    return rank;
}

static uint32_t most_memory(const struct costs *c, const struct layout *l) {
    uint32_t most = 0;
    for (uint32_t i = 1; i < l->member_count; i++) {
        const struct placement_device *d = c->candidates[l->members[i]].device;
        if (d->memory_free > c->candidates[l->members[most]].device->memory_free) most = i;
    }
    return most;
}

/* With each of the fastest as the one that holds the ends, and with the one that has the most memory: the ends may be
 * too big for a fast one, or take the room that its layers want. */
static void consider(struct search *s, const struct grouping *g) {
    struct layout l;
    lay_out(s->costs, g, &l);
    if (!may_fit(s, &l)) return;
    uint32_t most = most_memory(s->costs, &l), firsts = l.member_count > MANY ? FIRSTS_OF_MANY : FIRSTS_MAX;
    for (uint32_t i = 0; i < l.member_count; i++)
        if (i == most || rank_of(&l, i) < firsts) look_at(s, &l, i);
}

/* ---- a few devices: everything ---- */

static void try_groupings(struct search *s, struct grouping *g, uint32_t at, uint32_t members) {
    const struct search_wish *w = s->wish;
    uint32_t sizes[WIRE_STAGES_MAX] = {0};
    if (members + (s->costs->count - at) < w->members_min) return;
    if (at == s->costs->count) {
        if (members > 0) consider(s, g);
        return;
    }
    for (uint32_t i = 0; i < at; i++)
        if (g->stage[i] != UNUSED) sizes[g->stage[i]]++;
    for (int stage = (int)g->stages; stage >= UNUSED; stage--) { /* of equals, those with the fastest are found first */
        bool fresh = stage == (int)g->stages;
        if (stage != UNUSED && (members == w->members_max || sizes[stage] == w->group_max)) continue;
        if (fresh && g->stages == w->stages_max) continue;
        g->stage[at] = (int8_t)stage;
        g->stages += fresh;
        try_groupings(s, g, at + 1, members + (stage != UNUSED));
        g->stages -= fresh;
    }
    g->stage[at] = UNUSED;
}

/* ---- many devices: what is likely ---- */

/* `chosen` in groups of `size`: each is the fastest that is left with those nearest to it. */
static void consider_groups(struct search *s, const bool *chosen, uint32_t size) {
    const struct costs *c = s->costs;
    struct grouping g = {0};
    memset(g.stage, UNUSED, sizeof g.stage);
    for (uint32_t i = 0; i < c->count; i++) {
        if (!chosen[i] || g.stage[i] != UNUSED) continue;
        g.stage[i] = (int8_t)g.stages;
        for (uint32_t k = 1; k < size; k++) {
            uint32_t nearest = c->count;
            for (uint32_t j = i + 1; j < c->count; j++) {
                if (!chosen[j] || g.stage[j] != UNUSED) continue;
                if (nearest == c->count || c->ways[i][j].lag_ns < c->ways[i][nearest].lag_ns) nearest = j;
            }
            if (nearest < c->count) g.stage[nearest] = (int8_t)g.stages;
        }
        g.stages++;
    }
    if (g.stages <= s->wish->stages_max) consider(s, &g);
}

/* The `fast` fastest and, of the rest, those with the most memory. */
static void pick(const struct costs *c, bool *chosen, uint32_t count, uint32_t fast) {
    memset(chosen, 0, COSTS_CANDIDATES_MAX * sizeof *chosen);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t best = k < fast ? k : c->count;
        for (uint32_t i = 0; i < c->count && k >= fast; i++) {
            if (chosen[i]) continue;
            bool more =
                best == c->count || c->candidates[i].device->memory_free > c->candidates[best].device->memory_free;
            if (more) best = i;
        }
        chosen[best] = true;
    }
}

/* A device and those that it reaches soonest. */
static void pick_near(const struct costs *c, bool *chosen, uint32_t count, uint32_t seed) {
    memset(chosen, 0, COSTS_CANDIDATES_MAX * sizeof *chosen);
    chosen[seed] = true;
    for (uint32_t k = 1; k < count; k++) {
        uint32_t best = c->count;
        for (uint32_t i = 0; i < c->count; i++)
            if (!chosen[i] && (best == c->count || c->ways[seed][i].lag_ns < c->ways[seed][best].lag_ns)) best = i;
        chosen[best] = true;
    }
}

/* So many members in groups of a size: the fastest, the roomiest, mixtures, and the fastest with its neighbours. */
static void consider_count(struct search *s, uint32_t count, uint32_t size) {
    const struct costs *c = s->costs;
    bool chosen[COSTS_CANDIDATES_MAX], before[COSTS_CANDIDATES_MAX] = {0};
    uint32_t step = count > FAST_STEPS ? (count + FAST_STEPS - 1) / FAST_STEPS : 1;
    for (uint32_t slow = 0; slow <= count; slow += step) {
        pick(c, chosen, count, count - slow);
        if (memcmp(chosen, before, sizeof chosen) == 0) continue;
        memcpy(before, chosen, sizeof chosen);
        consider_groups(s, chosen, size);
    }
    if (!c->links_vary || count == 1) return;
    pick_near(c, chosen, count, 0);
    consider_groups(s, chosen, size);
}

/* More and more groups of a size, until more of them bring nothing: a further hop can only cost, unless memory made
 * slow members work. */
static void search_size(struct search *s, uint32_t size) {
    uint32_t worse = 0, least = s->wish->members_min > size ? s->wish->members_min : size;
    uint32_t step = size;
    for (uint32_t count = least; count <= s->wish->members_max && worse < WORSE_MAX; count += step) {
        uint64_t before = s->best->cost_ns;
        if ((count + size - 1) / size > s->wish->stages_max) break;
        consider_count(s, count, size);
        bool found = s->best->cost_ns < before, fits = s->best->cost_ns != LAYOUT_NEVER;
        worse = found || !fits ? 0 : worse + 1;
        step = size > count / MANY ? size : count / MANY;
    }
}

static void search_likely(struct search *s) {
    uint32_t most = s->wish->group_max < s->wish->members_max ? s->wish->group_max : s->wish->members_max;
    if (s->wish->stages_max == 1 && s->wish->members_min > 1) { /* one stage of so many */
        search_size(s, s->wish->members_min);
        return;
    }
    for (uint32_t size = 1; size <= most; size += size < MANY ? 1 : size / 2) search_size(s, size);
}

/* Every set of them, one by one in a ring. */
static void search_sets(struct search *s) {
    for (uint32_t set = 1; set < 1u << s->costs->count; set++) {
        struct grouping g = {0};
        for (uint32_t i = 0; i < s->costs->count; i++) g.stage[i] = set >> i & 1 ? (int8_t)g.stages++ : (int8_t)UNUSED;
        if (g.stages >= s->wish->members_min && g.stages <= s->wish->members_max && g.stages <= s->wish->stages_max)
            consider(s, &g);
    }
}

/* ---- bettering by single moves ---- */

/* Stages that lost their last member close up. */
static void close_up(const struct costs *c, struct grouping *g) {
    for (uint32_t stage = 0; stage < g->stages;) {
        bool used = false;
        for (uint32_t i = 0; i < c->count; i++) used |= g->stage[i] == (int8_t)stage;
        for (uint32_t i = 0; i < c->count && !used; i++) g->stage[i] -= g->stage[i] > (int8_t)stage;
        if (used)
            stage++;
        else
            g->stages--;
    }
}

static bool allowed(const struct search *s, const struct grouping *g) {
    uint32_t sizes[WIRE_STAGES_MAX] = {0}, members = 0;
    if (g->stages == 0 || g->stages > s->wish->stages_max) return false;
    for (uint32_t i = 0; i < s->costs->count; i++) {
        if (g->stage[i] == UNUSED) continue;
        members++;
        if (++sizes[g->stage[i]] > s->wish->group_max) return false;
    }
    return members >= s->wish->members_min && members <= s->wish->members_max;
}

static void try_move(struct search *s, struct grouping g) {
    close_up(s->costs, &g);
    if (allowed(s, &g)) consider(s, &g);
}

/* Candidate i out, or to another stage, or to one of its own, or changed for one that is not used. */
static void try_moves_of(struct search *s, const struct grouping *from, uint32_t i) {
    struct grouping g = *from;
    for (int stage = UNUSED; stage <= (int)from->stages; stage++) {
        if (stage == from->stage[i] || (s->wish->group_max == 1 && stage != UNUSED && stage < (int)from->stages))
            continue;
        if (stage == (int)from->stages && from->stages == WIRE_STAGES_MAX) continue;
        g.stage[i] = (int8_t)stage;
        g.stages = from->stages + (stage == (int)from->stages);
        try_move(s, g);
    }
    for (uint32_t k = 0, spares = 0; k < s->costs->count && spares < SPARES_MAX && from->stage[i] != UNUSED; k++) {
        if (from->stage[k] != UNUSED) continue;
        g = *from;
        g.stage[k] = from->stage[i];
        g.stage[i] = UNUSED;
        try_move(s, g);
        spares++;
    }
}

static void try_merges(struct search *s, const struct grouping *from, uint32_t most) {
    for (uint32_t a = 0; a < from->stages; a++)
        for (uint32_t b = a + 1; b < from->stages && s->looked_at < most; b++) {
            struct grouping g = *from;
            for (uint32_t i = 0; i < s->costs->count; i++)
                if (g.stage[i] == (int8_t)b) g.stage[i] = (int8_t)a;
            try_move(s, g);
        }
}

static void better(struct search *s) {
    uint64_t before = LAYOUT_NEVER;
    uint32_t most = LAYOUTS_MAX / s->best->member_count;
    s->looked_at = 0;
    while (s->best->cost_ns < before && s->looked_at < most) {
        struct grouping from = grouping_of(s->best);
        uint32_t spares = 0;
        before = s->best->cost_ns;
        for (uint32_t i = 0; i < s->costs->count && spares < SPARES_MAX; i++)
            if (from.stage[i] == UNUSED && ++spares) try_moves_of(s, &from, i);
        if (s->wish->group_max > 1) try_merges(s, &from, most / 2);
        for (uint32_t i = 0; i < s->costs->count && s->looked_at < most; i++)
            if (from.stage[i] != UNUSED) try_moves_of(s, &from, i);
    }
}

/* ---- all of it ---- */

static struct search begin(const struct costs *c, const struct search_wish *wish, struct layout *best) {
    struct search s = {.costs = c, .wish = wish, .best = best};
    s.need_bytes = costs_fixed_bytes(c, true);
    for (uint32_t i = 0; i < c->model->layer_count; i++)
        s.need_bytes += c->model->layer_bytes[i] + costs_kv_bytes(c, i);
    best->cost_ns = LAYOUT_NEVER;
    return s;
}

void search_best(const struct costs *c, const struct search_wish *wish, struct layout *best) {
    struct search s = begin(c, wish, best);
    struct grouping none = {0};
    memset(none.stage, UNUSED, sizeof none.stage);
    if (c->count <= ALL_GROUPINGS_MAX) {
        try_groupings(&s, &none, 0, 0);
    } else {
        if (c->count <= ALL_SETS_MAX) search_sets(&s);
        if (c->count > ALL_SETS_MAX || wish->group_max > 1) search_likely(&s);
        if (best->cost_ns != LAYOUT_NEVER) better(&s);
    }
    layout_even_out(c, &wish->layout, best);
}

/* A stage of its own, or a member of the smallest. */
void search_with(const struct costs *c, const struct search_wish *wish, const struct layout *from, uint32_t candidate,
                 struct layout *best) {
    struct search s = begin(c, wish, best);
    struct grouping g = grouping_of(from);
    uint32_t smallest = 0;
    for (uint32_t i = 1; i < from->stage_count; i++)
        if (from->stages[i].count < from->stages[smallest].count) smallest = i;
    g.stage[candidate] = (int8_t)smallest;
    try_move(&s, g);
    if (from->stage_count == WIRE_STAGES_MAX) return;
    g.stage[candidate] = (int8_t)g.stages++;
    try_move(&s, g);
}
