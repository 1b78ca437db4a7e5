#include "cluster/costs.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum {
    BANDWIDTH_DEFAULT = 1000000000, /* of links, bytes/s: gigabit and better are alike for 16 KiB */
    PASSING_NS = 30000,             /* of our own: to pack, encrypt, wake who waits for it, unpack */
    READ_SIXTEENTHS = 15,           /* of a plain read loop's bandwidth, that decoding reaches */
    MULTIPLY_SIXTEENTHS = 8,        /* of a register loop's multiply-adds, that prefill reaches */
};

static const uint64_t read_default = 10000000000u; /* bytes/s of a device when nothing is measured anywhere */
static const uint64_t ns_per_s = 1000000000u;
static const uint64_t bytes_limit = UINT64_MAX >> 12; /* so large that nothing fits */

/* Most products are small enough for one division. */
uint64_t costs_part(uint64_t amount, uint64_t part, uint64_t whole) {
    uint64_t product;
    if (size_mul(amount, part, &product)) return product / whole;
    return (uint64_t)((unsigned __int128)amount * part / whole);
}

uint64_t costs_time_ns(uint64_t amount, uint64_t rate) {
    if (rate == 0) return 0;
    unsigned __int128 ns = (unsigned __int128)amount * ns_per_s / rate;
    return ns < UINT64_MAX >> 16 ? (uint64_t)ns : UINT64_MAX >> 16;
}

uint64_t costs_per_ks(uint64_t ns) { return ns == 0 ? 0 : 1000 * ns_per_s / ns; }

/* ---- memory ---- */

uint64_t costs_kv_bytes(const struct costs *c, uint32_t layer) {
    return c->model->has_window[layer] ? c->window_kv : c->layer_kv;
}

uint64_t costs_fixed_bytes(const struct costs *c, bool first) {
    const struct placement_model *m = c->model;
    return m->scratch_bytes + (first ? m->ends_bytes + m->ends_scratch_bytes : 0);
}

uint64_t costs_usable_bytes(const struct costs *c, const uint32_t *members, uint32_t count, uint32_t at) {
    const struct placement_device *d = c->candidates[members[at]].device;
    unsigned __int128 together = 0;
    if (!c->one_host || d->host == 0 || d->host_free == 0) return d->memory_free;
    for (uint32_t i = 0; i < count; i++) {
        const struct placement_device *other = c->candidates[members[i]].device;
        if (other->host == d->host) together += other->memory_free;
    }
    if (together <= d->host_free) return d->memory_free;
    return (uint64_t)((unsigned __int128)d->host_free * d->memory_free / together);
}

/* Of so many positions a session, in whole pages, of so many bytes each. */
static uint64_t positions_bytes(const struct costs *c, uint64_t positions, uint64_t each) {
    uint64_t page = c->model->kv_page ? c->model->kv_page : 1, bytes;
    positions = (positions + page - 1) / page * page;
    bool fits = size_mul(each, positions * c->parallel, &bytes);
    return fits && bytes < bytes_limit ? bytes : bytes_limit;
}

void costs_set_context(struct costs *c, uint32_t context) {
    const struct placement_model *m = c->model;
    uint64_t sum = 0;
    c->context = context;
    c->layer_kv = positions_bytes(c, context, m->kv_bytes);
    uint64_t shown = context < m->window_positions ? context : m->window_positions;
    c->window_kv = positions_bytes(c, shown, m->window_kv_bytes);
    c->layer_most = 0;
    for (uint32_t i = 0; i < m->layer_count; i++) {
        uint64_t bytes = m->layer_bytes[i] + costs_kv_bytes(c, i);
        sum += bytes;
        if (bytes > c->layer_most) c->layer_most = bytes;
    }
    c->layer_slack = m->cut_slack_bytes + (m->kv_bytes ? costs_part(c->layer_kv, m->cut_kv_bytes, m->kv_bytes) : 0);
    c->layer_mean = m->layer_count ? (sum + m->layer_count - 1) / m->layer_count : 0;
}

void costs_set_requests(struct costs *c, uint32_t parallel) {
    c->parallel = parallel;
    costs_set_context(c, c->context);
}

void costs_remove(struct costs *c, uint32_t candidate) {
    uint32_t behind = --c->count - candidate;
    memmove(c->candidates + candidate, c->candidates + candidate + 1, behind * sizeof *c->candidates);
    memmove(c->ways + candidate, c->ways + candidate + 1, behind * sizeof *c->ways);
    for (uint32_t i = 0; i < c->count; i++)
        memmove(c->ways[i] + candidate, c->ways[i] + candidate + 1, behind * sizeof **c->ways);
}

/* ---- links ---- */

uint64_t costs_hop_ns(const struct costs *c, uint32_t from, const uint32_t *to, uint32_t count) {
    uint64_t lag = 0, passing = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (to[i] == from) continue;
        const struct way *w = &c->ways[from][to[i]];
        if (w->lag_ns > lag) lag = w->lag_ns;
        passing += w->hidden_ns;
    }
    return lag + passing;
}

/* One tells all others its share. */
static uint64_t telling_ns(const struct costs *c, const uint32_t *members, uint32_t count, uint32_t at) {
    uint64_t passing = 0, speed = 0;
    for (uint32_t i = 0; i < count; i++) {
        speed += c->candidates[members[i]].speed;
        if (i != at) passing += c->ways[members[at]][members[i]].layer_ns;
    }
    return costs_part(passing, c->candidates[members[at]].speed, speed ? speed : 1);
}

uint64_t costs_passing_ns(const struct costs *c, const uint32_t *members, uint32_t count) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ns = telling_ns(c, members, count, i);
        if (ns > most) most = ns;
    }
    return most;
}

uint64_t costs_exchange_ns(const struct costs *c, const uint32_t *members, uint32_t count) {
    uint64_t lag = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < count; k++)
            if (i != k && c->ways[members[i]][members[k]].lag_ns > lag) lag = c->ways[members[i]][members[k]].lag_ns;
    return c->model->cut_exchanges * lag + costs_passing_ns(c, members, count);
}

uint64_t costs_gather_ns(const struct costs *c, const uint32_t *members, uint32_t count) {
    uint64_t lag = 0, passing = 0;
    for (uint32_t i = 1; i < count; i++) {
        const struct way *w = &c->ways[members[i]][members[0]];
        if (w->lag_ns > lag) lag = w->lag_ns;
        passing += w->hidden_ns * c->logits_ns_per_hidden / count;
    }
    return lag + passing;
}

/* A link that only one side has measured is as good for the other. */
static uint64_t either(uint64_t a, uint64_t b, uint64_t unknown) { return a ? a : b ? b : unknown; }

static struct wire_link measured(const struct placement_device *from, uint64_t to) {
    for (uint32_t i = 0; i < from->link_count; i++)
        if (from->links[i].to == to) return from->links[i];
    return (struct wire_link){0};
}

static void fill_way(struct costs *c, uint32_t from, uint32_t to) {
    const struct placement_device *a = c->candidates[from].device, *b = c->candidates[to].device;
    struct wire_link there = measured(a, b->node), back = measured(b, a->node);
    uint64_t rtt_us = either(there.rtt_us, back.rtt_us, PLACEMENT_RTT_US_DEFAULT);
    uint64_t bandwidth = either(there.bandwidth, back.bandwidth, BANDWIDTH_DEFAULT);
    struct way way = {.lag_ns = rtt_us * 500 + PASSING_NS,
                      .hidden_ns = costs_time_ns(c->model->hidden_bytes, bandwidth),
                      .layer_ns = costs_time_ns(c->model->cut_exchange_bytes, bandwidth)};
    const struct way *some = &c->ways[0][1];
    c->ways[from][to] = way;
    c->links_vary |= way.lag_ns != some->lag_ns || way.hidden_ns != some->hidden_ns;
}

/* ---- devices ---- */

/* With t the time it may run of each period p and w the work, both of full speed: in a period that begins at any moment
 * within the work, on the average (p-t)/p of the starts find the whole of t before them, the rest find two periods'
 * parts end to end. */
uint64_t costs_after_pause_ns(const struct placement_device *d, uint64_t average_ns) {
    uint64_t period = d->period_us * 1000ull, run = d->run_us * 1000ull;
    if (run == 0 || run >= period) return average_ns;
    uint64_t work = (uint64_t)((unsigned __int128)average_ns * run / period);
    if (work <= run) return work;
    uint64_t whole = (work + run - 1) / run, brake = period - run;
    unsigned __int128 apart = (unsigned __int128)brake * brake / period * (2 * whole - 3) / 2;
    unsigned __int128 joined = (unsigned __int128)brake * (work - run) / period;
    return (uint64_t)(work + apart + joined);
}

/* What nobody measured counts as the slowest that somebody did. */
static uint64_t assumed_bandwidth(const struct placement_device *devices, uint32_t count) {
    uint64_t least = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bandwidth = devices[i].read_bandwidth;
        if (bandwidth > 0 && (least == 0 || bandwidth < least)) least = bandwidth;
    }
    return least ? least : read_default;
}

static uint64_t mean_weights(const struct placement_model *m) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->layer_count; i++) sum += m->layer_bytes[i];
    return m->layer_count ? (sum + m->layer_count - 1) / m->layer_count : 0;
}

static struct candidate describe(const struct placement_model *m, const struct placement_device *d, uint64_t assumed,
                                 uint32_t weight) {
    uint64_t read = m->layer_read_bytes ? m->layer_read_bytes : mean_weights(m);
    uint64_t bandwidth = (d->read_bandwidth ? d->read_bandwidth : assumed) / 16 * READ_SIXTEENTHS;
    struct candidate c = {.device = d,
                          .layer_ns = costs_time_ns(read, bandwidth),
                          .head_ns = costs_time_ns(m->head_bytes, bandwidth),
                          .prefill_ns = costs_time_ns(m->layer_weights, d->matmul_rate / 16 * MULTIPLY_SIXTEENTHS),
                          .weight = weight};
    if (c.layer_ns == 0) c.layer_ns = 1;
    c.speed = (1ull << COSTS_SPEED_SHIFT) / c.layer_ns;
    return c;
}

static int by_speed(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->layer_ns != y->layer_ns) return x->layer_ns < y->layer_ns ? -1 : 1;
    if (x->device->memory_free != y->device->memory_free)
        return x->device->memory_free > y->device->memory_free ? -1 : 1;
    if (x->device->node != y->device->node) return x->device->node < y->device->node ? -1 : 1;
    return (x->device->device > y->device->device) - (x->device->device < y->device->device);
}

static int by_memory(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->device->memory_free != y->device->memory_free)
        return x->device->memory_free > y->device->memory_free ? -1 : 1;
    return by_speed(a, b);
}

/* More than a plan can have: half of them for their speed, the rest for their memory. */
static uint32_t narrow(struct candidate *all, uint32_t count) {
    qsort(all, count, sizeof *all, by_speed);
    if (count <= COSTS_CANDIDATES_MAX) return count;
    uint32_t fast = COSTS_CANDIDATES_MAX / 2;
    qsort(all + fast, count - fast, sizeof *all, by_memory);
    qsort(all, COSTS_CANDIDATES_MAX, sizeof *all, by_speed);
    return COSTS_CANDIDATES_MAX;
}

/* The node that asked goes before others that are as fast. */
static void prefer_near(struct costs *c, uint64_t near) {
    for (uint32_t i = 1; i < c->count; i++) {
        struct candidate here = c->candidates[i];
        if (here.device->node != near) continue;
        uint32_t at = i;
        for (; at > 0 && c->candidates[at - 1].layer_ns == here.layer_ns; at--)
            c->candidates[at] = c->candidates[at - 1];
        c->candidates[at] = here;
    }
}

static bool share_a_host(const struct costs *c) {
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (c->candidates[i].device->host == c->candidates[k].device->host && c->candidates[i].device->host)
                return true;
    return false;
}

void costs_init(struct costs *c, const struct placement_model *model, const struct placement_options *options,
                const struct placement_device *devices, uint32_t device_count, uint32_t context, uint32_t parallel) {
    struct candidate all[PLACEMENT_DEVICES_MAX];
    uint64_t assumed = assumed_bandwidth(devices, device_count);
    uint32_t count = 0;
    memset(c, 0, sizeof *c);
    c->model = model;
    c->parallel = parallel;
    costs_set_context(c, context);
    for (uint32_t i = 0; i < device_count; i++) {
        uint32_t weight = shares_weight(&options->shares, devices[i].name);
        if (devices[i].excluded[0] || (options->shares.count > 0 && weight == 0)) continue;
        all[count++] = describe(model, &devices[i], assumed, weight);
    }
    c->count = narrow(all, count);
    memcpy(c->candidates, all, c->count * sizeof *all);
    prefer_near(c, options->near);
    c->one_host = share_a_host(c);
    c->logits_ns_per_hidden = model->hidden_bytes ? model->logits_bytes / model->hidden_bytes : 0;
    for (uint32_t from = 0; from < c->count; from++)
        for (uint32_t to = 0; to < c->count; to++)
            if (from != to) fill_way(c, from, to);
}
