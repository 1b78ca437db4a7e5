#include "cluster/layout.h"

enum { STEPS = 24 }; /* in which about so many layers are dealt out once members are full */

/* While layers are dealt out. */
struct deal {
    const struct costs *costs;
    struct layout *layout;
    uint64_t layer_bytes;                  /* that every layer counts as */
    uint64_t memory[WIRE_MEMBERS_MAX];     /* bytes that each member may use */
    uint64_t spare[WIRE_MEMBERS_MAX];      /* of that, for layers */
    uint64_t exchange_ns[WIRE_STAGES_MAX]; /* of a layer */
};

int layout_find(const struct layout *l, uint32_t candidate) {
    for (uint32_t i = 0; i < l->member_count; i++)
        if (l->members[i] == candidate) return (int)i;
    return LAYOUT_NONE;
}

static const struct candidate *candidate_of(const struct deal *d, uint32_t member) {
    return &d->costs->candidates[d->layout->members[member]];
}

/* ---- how long a stage takes ---- */

/* Parts of layers (in COSTS_AMOUNT_ONE) that a member has room for in a stage of `layers`. The others of a group that
 * is stage 0 hold rows of the head besides, in proportion. Shares are whole 65536ths, so a member may get that much of
 * each layer more than its due. */
static uint64_t room_of(const struct deal *d, const struct layout_stage *s, uint32_t member, uint32_t layers) {
    uint64_t layer_count = d->costs->model->layer_count, bytes = d->layer_bytes, spare = d->spare[member];
    uint64_t slack = s->count > 1 ? layers * d->costs->layer_slack : 0, rounding = s->count > 1 ? layer_count : 0;
    if (s->begin == 0 && member > 0) bytes += d->costs->model->head_bytes / layers;
    if (spare <= slack) return 0;
    if (bytes == 0 || (spare - slack) / bytes >= layer_count) return layer_count * COSTS_AMOUNT_ONE;
    uint64_t room = costs_part(spare - slack, COSTS_AMOUNT_ONE, bytes);
    return room > rounding ? room - rounding : 0;
}

/* When a member that is given all that it has room for is done with it. */
static uint64_t full_ns(const struct deal *d, uint32_t member, uint64_t room) {
    uint64_t layer_ns = candidate_of(d, member)->layer_ns;
    return room / COSTS_AMOUNT_ONE * layer_ns + room % COSTS_AMOUNT_ONE * layer_ns / COSTS_AMOUNT_ONE;
}

/* When the members of a stage are done with `layers` layers, if those that are full leave the rest to the others. */
static uint64_t level_ns(const struct deal *d, const struct layout_stage *s, uint32_t layers) {
    uint64_t room[WIRE_MEMBERS_MAX], full[WIRE_MEMBERS_MAX], left = (uint64_t)layers * COSTS_AMOUNT_ONE, speed = 0;
    if (s->count == 1) return layers * candidate_of(d, s->begin)->layer_ns;
    for (uint32_t i = 0; i < s->count; i++) {
        room[i] = room_of(d, s, s->begin + i, layers);
        full[i] = full_ns(d, s->begin + i, room[i]);
        speed += candidate_of(d, s->begin + i)->speed;
    }
    for (bool changed = true; changed && speed > 0;) {
        uint64_t ns = (left << (COSTS_SPEED_SHIFT - 16)) / speed; /* of 1024 layers at most: 60 bits */
        changed = false;
        for (uint32_t i = 0; i < s->count; i++) {
            if (full[i] >= ns) continue;
            left -= room[i] < left ? room[i] : left;
            speed -= candidate_of(d, s->begin + i)->speed;
            full[i] = LAYOUT_NEVER;
            changed = true;
        }
        if (!changed) return ns;
    }
    return LAYOUT_NEVER / 2;
}

static uint64_t stage_ns(const struct deal *d, uint32_t stage, uint32_t layers) {
    const struct layout_stage *s = &d->layout->stages[stage];
    return level_ns(d, s, layers) + layers * d->exchange_ns[stage];
}

static uint64_t next_ns(const struct deal *d, uint32_t stage) {
    uint32_t layers = d->layout->stages[stage].layers;
    return stage_ns(d, stage, layers + 1) - stage_ns(d, stage, layers);
}

/* The head lies with stage 0; a group shares its rows and gathers the logits. */
static uint64_t head_ns(const struct costs *c, const struct layout *l) {
    const struct layout_stage *s = &l->stages[0];
    uint64_t speed = 0, alone = c->candidates[l->members[0]].head_ns;
    if (s->count == 1) return alone;
    for (uint32_t i = 0; i < s->count; i++) speed += c->candidates[l->members[i]].speed;
    return costs_part(alone, c->candidates[l->members[0]].speed, speed) + costs_gather_ns(c, l->members, s->count);
}

/* ---- room ---- */

static bool has_room(const struct deal *d, const struct layout_stage *s, uint32_t layers) {
    uint64_t room = 0;
    for (uint32_t i = 0; i < s->count; i++) room += room_of(d, s, s->begin + i, layers);
    return room / COSTS_AMOUNT_ONE >= layers;
}

/* The most layers that the members of a stage have room for together. */
static uint32_t most_layers(const struct deal *d, const struct layout_stage *s) {
    uint32_t low = 0, high = d->costs->model->layer_count;
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        if (has_room(d, s, middle))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* False: a stage has no room for a single layer. */
static bool measure_stages(struct deal *d) {
    struct layout *l = d->layout;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        l->stages[i].layers_max = most_layers(d, &l->stages[i]);
        if (l->stages[i].layers_max == 0) return false;
    }
    return true;
}

/* ---- dealing out ---- */

/* So many layers a stage takes before the first of its members is full: each costs the same. */
static uint32_t free_layers(const struct deal *d, const struct layout_stage *s) {
    uint64_t least_ns = LAYOUT_NEVER, speed = 0;
    if (s->count == 1) return s->layers_max;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t of_one = room_of(d, s, s->begin + i, 1), of_all = room_of(d, s, s->begin + i, s->layers_max);
        uint64_t ns = full_ns(d, s->begin + i, of_one < of_all ? of_one : of_all);
        if (ns < least_ns) least_ns = ns;
        speed += candidate_of(d, s->begin + i)->speed;
    }
    unsigned __int128 layers = (unsigned __int128)least_ns * speed >> COSTS_SPEED_SHIFT;
    return layers < s->layers_max ? (uint32_t)layers : s->layers_max;
}

/* So many more layers cost about as much each as the next one. Beyond what is free, and of many, some at once. */
static uint32_t alike(const struct layout_stage *s, uint32_t free, uint32_t left) {
    uint32_t room = s->layers_max - s->layers, some = left / STEPS > 0 ? left / STEPS : 1;
    if (s->layers < free) some = free - s->layers;
    if (some > left) some = left;
    return some < room ? some : room;
}

static bool begin_with_one(struct layout *l, uint32_t layer_count) {
    for (uint32_t i = 0; i < l->stage_count; i++) l->stages[i].layers = 1;
    return l->stage_count <= layer_count;
}

/* The stage with the least price that has room; stage_count: none has. */
static uint32_t cheapest(const struct layout *l, const uint64_t *price_ns) {
    uint32_t best = l->stage_count;
    for (uint32_t i = 0; i < l->stage_count; i++)
        if (l->stages[i].layers < l->stages[i].layers_max && (best == l->stage_count || price_ns[i] < price_ns[best]))
            best = i;
    return best;
}

static bool take_all(struct deal *d) {
    d->layout->stages[0].layers = d->costs->model->layer_count;
    return d->layout->stages[0].layers_max == d->costs->model->layer_count;
}

/* One layer each, then always to the stage where the next layer costs least. */
static bool fill_fastest(struct deal *d) {
    struct layout *l = d->layout;
    uint64_t price_ns[WIRE_STAGES_MAX];
    uint32_t free[WIRE_STAGES_MAX];
    if (!begin_with_one(l, d->costs->model->layer_count)) return false;
    if (l->stage_count == 1) return take_all(d);
    for (uint32_t i = 0; i < l->stage_count; i++) {
        price_ns[i] = next_ns(d, i);
        free[i] = free_layers(d, &l->stages[i]);
    }
    for (uint32_t left = d->costs->model->layer_count - l->stage_count; left > 0;) {
        uint32_t best = cheapest(l, price_ns);
        if (best == l->stage_count) return false;
        uint32_t take = alike(&l->stages[best], free[best], left);
        l->stages[best].layers += take;
        left -= take;
        price_ns[best] = next_ns(d, best);
    }
    return true;
}

/* One layer each, then always to the stage that would be done first. */
static bool fill_evenly(struct deal *d) {
    struct layout *l = d->layout;
    uint64_t done_ns[WIRE_STAGES_MAX], head = head_ns(d->costs, l);
    if (!begin_with_one(l, d->costs->model->layer_count)) return false;
    for (uint32_t i = 0; i < l->stage_count; i++) done_ns[i] = stage_ns(d, i, 2) + (i == 0 ? head : 0);
    for (uint32_t left = d->costs->model->layer_count - l->stage_count; left > 0; left--) {
        uint32_t best = cheapest(l, done_ns);
        if (best == l->stage_count) return false;
        l->stages[best].layers++;
        done_ns[best] = stage_ns(d, best, l->stages[best].layers + 1) + (best == 0 ? head : 0);
    }
    return true;
}

static uint32_t stage_weight(const struct deal *d, const struct layout_stage *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++) sum += candidate_of(d, s->begin + i)->weight;
    return sum < SHARES_WEIGHT_MAX ? (uint32_t)sum : SHARES_WEIGHT_MAX;
}

/* In the proportions that were asked for. */
static bool fill_by_weight(struct deal *d) {
    struct layout *l = d->layout;
    uint32_t weights[WIRE_STAGES_MAX], layers[WIRE_STAGES_MAX];
    for (uint32_t i = 0; i < l->stage_count; i++) weights[i] = stage_weight(d, &l->stages[i]);
    if (!shares_cut(weights, l->stage_count, d->costs->model->layer_count, layers)) return false;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        if (layers[i] > l->stages[i].layers_max) return false;
        l->stages[i].layers = layers[i];
    }
    return true;
}

/* ---- shares ---- */

/* Parts of a whole, rounded down, at least one each; what is left over goes to who has most room for it. */
static void share_out(const uint64_t *parts, const uint64_t *room, uint32_t count, uint32_t *shares) {
    uint64_t sum = 0;
    uint32_t given = 0, roomiest = 0;
    for (uint32_t i = 0; i < count; i++) sum += parts[i];
    for (uint32_t i = 0; i < count; i++) {
        shares[i] = sum ? (uint32_t)((unsigned __int128)parts[i] * WIRE_SHARE_ONE / sum) : WIRE_SHARE_ONE / count;
        if (shares[i] == 0) shares[i] = 1;
        given += shares[i];
        if (room[i] - parts[i] > room[roomiest] - parts[roomiest]) roomiest = i;
    }
    shares[roomiest] += WIRE_SHARE_ONE - given;
}

/* As their speed wants and their room allows, or as was asked. */
static void set_shares(struct deal *d, const struct layout_stage *s, bool asked) {
    uint64_t parts[WIRE_MEMBERS_MAX], room[WIRE_MEMBERS_MAX];
    uint64_t level = s->count > 1 && !asked ? level_ns(d, s, s->layers) : 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct candidate *here = candidate_of(d, s->begin + i);
        unsigned __int128 amount = (unsigned __int128)level * here->speed >> (COSTS_SPEED_SHIFT - 16);
        room[i] = asked ? 2ull * here->weight : room_of(d, s, s->begin + i, s->layers);
        parts[i] = asked ? here->weight : amount < room[i] ? (uint64_t)amount : room[i];
    }
    share_out(parts, room, s->count, d->layout->shares + s->begin);
}

/* ---- does it fit? ---- */

static uint64_t share_of(const struct layout *l, uint32_t member, uint64_t bytes) {
    uint64_t share = l->shares[member];
    return share == WIRE_SHARE_ONE
               ? bytes
               : (uint64_t)(((unsigned __int128)bytes * share + WIRE_SHARE_ONE - 1) / WIRE_SHARE_ONE);
}

uint64_t layout_weights_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member,
                              uint32_t begin) {
    const struct placement_model *m = c->model;
    uint32_t layers = l->stages[stage].layers;
    bool grouped = l->stages[stage].count > 1;
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < layers; k++) bytes += m->layer_bytes[begin + k];
    bytes = share_of(l, member, bytes) + (grouped ? layers * m->cut_slack_bytes : 0);
    if (member == 0) return bytes + m->ends_bytes;
    return bytes + (stage == 0 && grouped ? share_of(l, member, m->head_bytes) : 0);
}

uint64_t layout_kv_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member,
                         uint32_t begin) {
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < l->stages[stage].layers; k++) bytes += costs_kv_bytes(c, begin + k);
    uint64_t own = share_of(l, member, bytes);
    if (l->stages[stage].count > 1 && c->model->kv_bytes)
        own += costs_part(bytes, c->model->cut_kv_bytes, c->model->kv_bytes);
    return own < bytes ? own : bytes;
}

uint64_t layout_scratch_bytes(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member) {
    const struct placement_model *m = c->model;
    return m->scratch_bytes + (member == 0 ? m->ends_scratch_bytes : 0) +
           (l->stages[stage].count > 1 ? m->cut_scratch_bytes : 0);
}

/* Layers differ a little in size: does every member hold just those that it was given? */
static bool members_fit(const struct deal *d) {
    const struct costs *c = d->costs;
    const struct layout *l = d->layout;
    uint32_t layer = 0;
    for (uint32_t i = 0; i < l->stage_count; layer += l->stages[i++].layers)
        for (uint32_t k = 0; k < l->stages[i].count; k++) {
            uint32_t member = l->stages[i].begin + k;
            uint64_t bytes = layout_scratch_bytes(c, l, i, member);
            bytes += layout_weights_bytes(c, l, i, member, layer) + layout_kv_bytes(c, l, i, member, layer);
            if (bytes > d->memory[member]) return false;
        }
    return true;
}

/* ---- what it costs ---- */

uint64_t layout_hops_ns(const struct costs *c, const struct layout *l) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        const struct layout_stage *here = &l->stages[i], *next = &l->stages[(i + 1) % l->stage_count];
        const uint32_t *members = l->members + here->begin;
        if (here->count > 1) sum += costs_hop_ns(c, members[0], members, here->count);
        if (l->stage_count > 1) sum += costs_hop_ns(c, members[0], l->members + next->begin, 1);
    }
    return sum;
}

/* The slowest member's time for its part of a stage, without exchanges. */
static uint64_t shared_ns(const struct deal *d, const struct layout_stage *s) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t ns = s->layers * candidate_of(d, s->begin + i)->layer_ns;
        if (s->count > 1) ns = costs_part(ns, d->layout->shares[s->begin + i], WIRE_SHARE_ONE);
        if (ns > most) most = ns;
    }
    return most;
}

/* A stage that waits for others between its turns begins each with its whole CPU quota; none is faster than its quota
 * over the whole round. */
static void sum_up(struct deal *d) {
    struct layout *l = d->layout;
    uint64_t slowest = 0;
    l->compute_ns = l->exchange_ns = 0;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        const struct layout_stage *s = &l->stages[i];
        uint64_t ns = shared_ns(d, s) + (i == 0 ? head_ns(d->costs, l) : 0);
        if (ns > slowest) slowest = ns;
        l->compute_ns +=
            l->stage_count > 1 && s->count == 1 ? costs_after_pause_ns(candidate_of(d, s->begin)->device, ns) : ns;
        l->exchange_ns += s->layers * d->exchange_ns[i];
    }
    l->hop_ns = layout_hops_ns(d->costs, l);
    l->token_ns = l->compute_ns + l->exchange_ns + l->hop_ns;
    if (l->token_ns < slowest) l->token_ns = slowest;
}

/* Of a step with `rows` requests' tokens: weights are read once, but multiplied for each. */
static uint64_t step_ns(const struct deal *d, uint32_t stage, uint32_t rows) {
    const struct layout_stage *s = &d->layout->stages[stage];
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct candidate *here = candidate_of(d, s->begin + i);
        uint64_t multiply = rows * here->prefill_ns, ns = multiply > here->layer_ns ? multiply : here->layer_ns;
        ns = costs_part(ns * s->layers, d->layout->shares[s->begin + i], WIRE_SHARE_ONE);
        if (ns > most) most = ns;
    }
    return most + s->layers * d->exchange_ns[stage] + (stage == 0 ? head_ns(d->costs, d->layout) : 0);
}

/* Time per token of all requests together, in the best number of micro-batches: they fill the ring, but each reads the
 * weights anew. */
static uint64_t together_ns(const struct deal *d) {
    const struct layout *l = d->layout;
    uint32_t requests = d->costs->parallel;
    uint64_t best = LAYOUT_NEVER;
    for (uint32_t batches = 1; batches <= l->stage_count && batches <= requests; batches++) {
        uint64_t sum = l->hop_ns, most = 0;
        for (uint32_t i = 0; i < l->stage_count; i++) {
            uint64_t ns = step_ns(d, i, (requests + batches - 1) / batches);
            sum += ns;
            if (ns > most) most = ns;
        }
        uint64_t round = batches * most > sum ? batches * most : sum;
        if (round / requests < best) best = round / requests;
    }
    return best;
}

static bool fill(struct deal *d, const struct layout_wish *wish, bool evenly) {
    if (wish->weights) return fill_by_weight(d);
    return evenly ? fill_evenly(d) : fill_fastest(d);
}

static bool try_to_deal(struct deal *d, const struct layout_wish *wish, bool evenly, uint64_t layer_bytes) {
    struct layout *l = d->layout;
    d->layer_bytes = layer_bytes;
    if (!measure_stages(d) || !fill(d, wish, evenly)) return false;
    for (uint32_t i = 0; i < l->stage_count; i++) set_shares(d, &l->stages[i], wish->weights && l->stages[i].count > 1);
    if (!members_fit(d)) return false;
    sum_up(d);
    l->cost_ns = wish->throughput ? together_ns(d) : l->token_ns;
    return true;
}

/* By the layers' mean size first; where that does not fit exactly, by the greatest. */
static void deal(struct deal *d, const struct layout_wish *wish, bool evenly) {
    if (try_to_deal(d, wish, evenly, d->costs->layer_mean)) return;
    if (!try_to_deal(d, wish, evenly, d->costs->layer_most)) d->layout->cost_ns = LAYOUT_NEVER;
}

static struct deal begin(const struct costs *c, struct layout *l) {
    struct deal d = {.costs = c, .layout = l};
    for (uint32_t i = 0; i < l->stage_count; i++) {
        const struct layout_stage *s = &l->stages[i];
        d.exchange_ns[i] = costs_exchange_ns(c, l->members + s->begin, s->count);
        for (uint32_t member = s->begin; member < s->begin + s->count; member++) {
            uint64_t memory = costs_usable_bytes(c, l->members, l->member_count, member);
            uint64_t fixed = costs_fixed_bytes(c, member == 0) + (s->count > 1 ? c->model->cut_scratch_bytes : 0);
            d.memory[member] = memory;
            d.spare[member] = memory > fixed ? memory - fixed : 0;
        }
    }
    return d;
}

void layout_deal(const struct costs *c, const struct layout_wish *wish, struct layout *l) {
    struct deal d = begin(c, l);
    deal(&d, wish, wish->spread);
    if (wish->throughput && !wish->spread) layout_even_out(c, wish, l);
}

void layout_even_out(const struct costs *c, const struct layout_wish *wish, struct layout *l) {
    if (l->cost_ns == LAYOUT_NEVER || wish->spread || wish->weights || l->stage_count == 1) return;
    struct layout even = *l;
    struct deal d = begin(c, &even);
    deal(&d, wish, true);
    if (even.cost_ns != LAYOUT_NEVER && even.cost_ns - even.cost_ns / 128 <= l->cost_ns) *l = even;
}

uint64_t layout_together_ns(const struct costs *c, const struct layout *l) {
    struct layout copy = *l;
    struct deal d = begin(c, &copy);
    return together_ns(&d);
}

/* Bytes of the exchanges alone: in a long prompt other rows are computed while they wait. */
uint64_t layout_prefill_per_ks(const struct costs *c, const struct layout *l) {
    uint64_t slowest = 0;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        const struct layout_stage *s = &l->stages[i];
        uint64_t passing = s->layers * costs_passing_ns(c, l->members + s->begin, s->count);
        for (uint32_t k = 0; k < s->count; k++) {
            uint64_t ns = s->layers * c->candidates[l->members[s->begin + k]].prefill_ns;
            if (ns == 0) return 0;
            ns = costs_part(ns, l->shares[s->begin + k], WIRE_SHARE_ONE) + passing;
            if (ns > slowest) slowest = ns;
        }
    }
    return costs_per_ks(slowest);
}
