/* The planner against every way to do it: all sets of nodes, cut into stages of one or several in every order, with
 * every number of layers; random machines on random links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/size.h"
#include "cluster/placement.h"

enum { NODES_MAX = 6, CLUSTERS = 10000, MIB = 1 << 20 };

static const double decode_efficiency = 15.0 / 16; /* of a plain read loop */
static const double passing_s = 30e-6;             /* of our own, for each message */
static const double clearly = 0.9;                 /* of the time of stages of one: then stages of several are wanted */

static struct placement_result result; /* large */

struct sample {
    struct placement_model model;
    struct placement_device devices[NODES_MAX];
    struct wire_link links[NODES_MAX][NODES_MAX];
    uint32_t count;
    double hop_s[NODES_MAX][NODES_MAX], lag_s[NODES_MAX][NODES_MAX]; /* a hidden row; its first byte */
};

/* ---- every way ---- */

struct way {
    uint32_t stages, size[NODES_MAX + 1], member[NODES_MAX + 1][NODES_MAX + 1]; /* [0][0] holds the ends */
};

struct brute {
    const struct sample *s;
    bool alone;  /* stages of one only */
    double best; /* seconds a token; 0: none fits */
    uint32_t layers[NODES_MAX + 1];
};

static uint64_t layer_bytes(const struct sample *s) { return s->model.layer_bytes[0] + s->model.kv_bytes * 512; }

static double layer_s(const struct sample *s, uint32_t node) {
    return (double)s->model.layer_bytes[0] / (double)s->devices[node].read_bandwidth / decode_efficiency;
}

/* Layers that a member can hold, in parts, with so much of the head beside each; less than 0: not even what comes
 * besides them. Shares are whole 65536ths, so that the last thousandth of the memory may not be of use. */
static double room(const struct sample *s, uint32_t node, bool first, double head_bytes) {
    uint64_t fixed = s->model.scratch_bytes + (first ? s->model.ends_bytes + s->model.ends_scratch_bytes : 0);
    uint64_t memory = s->devices[node].memory_free;
    return memory > fixed ? 0.999 * (double)(memory - fixed) / ((double)layer_bytes(s) + head_bytes) : -1;
}

/* The members end together, but for those that have no room for that; 0: no room. */
static double stage_s(const struct sample *s, const struct way *w, uint32_t stage, uint32_t layers) {
    double left = layers, speed = 0;
    bool full[NODES_MAX] = {0};
    if (w->size[stage] == 1) {
        uint32_t only = w->member[stage][0];
        return layers <= room(s, only, stage == 0, 0) ? layers * layer_s(s, only) : 0;
    }
    for (uint32_t i = 0; i < w->size[stage]; i++) speed += 1 / layer_s(s, w->member[stage][i]);
    for (uint32_t round = 0; round < w->size[stage]; round++) {
        bool changed = false;
        double level = left / speed;
        for (uint32_t i = 0; i < w->size[stage]; i++) {
            uint32_t node = w->member[stage][i];
            double head = stage == 0 && i > 0 ? (double)s->model.head_bytes / layers : 0;
            double has = room(s, node, stage == 0 && i == 0, head);
            if (has < 0) return 0;
            if (full[i] || level / layer_s(s, node) <= has) continue;
            full[i] = changed = true;
            left -= has;
            speed -= 1 / layer_s(s, node);
        }
        if (!changed) return level;
        if (speed < 1e-9) return 0;
    }
    return 0;
}

/* In each layer everyone tells all others its share of what they exchange, which follows its speed. */
static double exchange_s(const struct sample *s, const struct way *w, uint32_t stage) {
    double most = 0, lag = 0, speed = 0;
    for (uint32_t i = 0; i < w->size[stage]; i++) speed += 1 / layer_s(s, w->member[stage][i]);
    for (uint32_t i = 0; i < w->size[stage]; i++) {
        double passing = 0, share = 1 / layer_s(s, w->member[stage][i]) / speed;
        for (uint32_t k = 0; k < w->size[stage]; k++) {
            uint32_t a = w->member[stage][i], b = w->member[stage][k];
            if (k == i) continue;
            lag = s->lag_s[a][b] > lag ? s->lag_s[a][b] : lag;
            passing += (s->hop_s[a][b] - s->lag_s[a][b]) * share * (double)s->model.cut_exchange_bytes /
                       (double)s->model.hidden_bytes;
        }
        if (passing > most) most = passing;
    }
    return s->model.cut_exchanges * lag + most;
}

/* From the first member of a stage to its others, and to the first of the next stage. */
static double hop_s(const struct sample *s, const struct way *w, uint32_t stage) {
    uint32_t from = w->member[stage][0], to = w->member[(stage + 1) % w->stages][0];
    double lag = 0, passing = 0;
    for (uint32_t i = 1; i < w->size[stage]; i++) {
        uint32_t other = w->member[stage][i];
        lag = s->lag_s[from][other] > lag ? s->lag_s[from][other] : lag;
        passing += s->hop_s[from][other] - s->lag_s[from][other];
    }
    return lag + passing + (w->stages > 1 ? s->hop_s[from][to] : 0);
}

static double head_s(const struct sample *s, const struct way *w) {
    double speed = 0, lag = 0, passing = 0, head = (double)s->model.head_bytes / decode_efficiency;
    for (uint32_t i = 0; i < w->size[0]; i++) speed += (double)s->devices[w->member[0][i]].read_bandwidth;
    for (uint32_t i = 1; i < w->size[0]; i++) {
        uint32_t from = w->member[0][i], to = w->member[0][0];
        lag = s->lag_s[from][to] > lag ? s->lag_s[from][to] : lag;
        double hidden = s->hop_s[from][to] - s->lag_s[from][to];
        passing += hidden * (double)s->model.logits_bytes / (double)s->model.hidden_bytes / w->size[0];
    }
    return head / speed + lag + passing;
}

static void try_layers(struct brute *b, const struct way *w, uint32_t stage, uint32_t left, double spent) {
    if (b->best > 0 && spent >= b->best) return;
    if (stage == w->stages) {
        if (left == 0) b->best = spent;
        return;
    }
    double fixed = exchange_s(b->s, w, stage), after = w->stages - stage - 1;
    for (uint32_t layers = stage + 1 == w->stages ? left : 1; layers + after <= left; layers++) {
        double compute = stage_s(b->s, w, stage, layers);
        if (compute > 0) try_layers(b, w, stage + 1, left - layers, spent + compute + layers * fixed);
    }
}

static void try_way(struct brute *b, const struct way *w) {
    double hops = 0;
    if (w->stages > b->s->model.layer_count) return;
    for (uint32_t i = 0; i < w->stages; i++) hops += hop_s(b->s, w, i);
    try_layers(b, w, 0, b->s->model.layer_count, hops + head_s(b->s, w));
}

/* Every member of every stage from `stage` on as its first; that of stage 0 holds the ends. */
static void try_firsts(struct brute *b, const struct way *from, uint32_t stage) {
    if (stage == from->stages) {
        try_way(b, from);
        return;
    }
    for (uint32_t i = 0; i < from->size[stage]; i++) {
        struct way w = *from;
        w.member[stage][0] = from->member[stage][i];
        w.member[stage][i] = from->member[stage][0];
        try_firsts(b, &w, stage + 1);
    }
}

/* Node `at` is left out, joins each stage, or becomes a stage of its own before or behind any other. */
static void try_nodes(struct brute *b, const struct way *from, uint32_t at) {
    if (at == b->s->count) {
        if (from->stages > 0) try_firsts(b, from, 0);
        return;
    }
    try_nodes(b, from, at + 1);
    for (uint32_t i = 0; i < from->stages && !b->alone; i++) {
        struct way w = *from;
        w.member[i][w.size[i]++] = at;
        try_nodes(b, &w, at + 1);
    }
    for (uint32_t i = 0; i <= from->stages; i++) {
        struct way w = *from;
        memmove(w.size + i + 1, w.size + i, (w.stages - i) * sizeof *w.size);
        memmove(w.member + i + 1, w.member + i, (w.stages - i) * sizeof *w.member);
        w.stages++;
        w.size[i] = 1;
        w.member[i][0] = at;
        try_nodes(b, &w, at + 1);
    }
}

/* ---- samples ---- */

static void draw_links(struct sample *s, uint64_t *random) {
    for (uint32_t a = 0; a < s->count; a++)
        for (uint32_t b = 0; b < a; b++) {
            uint32_t rtt_us = 10 + (uint32_t)prng_below(random, prng_below(random, 2) ? 100 : 3000);
            uint64_t bandwidth = (10 + prng_below(random, 2000)) * 1000000;
            s->links[a][b] = (struct wire_link){s->devices[b].node, rtt_us, bandwidth};
            s->links[b][a] = (struct wire_link){s->devices[a].node, rtt_us, bandwidth};
            s->lag_s[a][b] = s->lag_s[b][a] = rtt_us * 0.5e-6 + passing_s;
            s->hop_s[a][b] = s->hop_s[b][a] = s->lag_s[a][b] + (double)s->model.hidden_bytes / (double)bandwidth;
        }
}

static void draw(struct sample *s, uint64_t *random) {
    uint64_t kind = prng_below(random, 100);
    memset(s, 0, sizeof *s);
    s->count = kind < 6 ? 6 : kind < 26 ? 5 : 1 + (uint32_t)(kind % 4);
    s->model = (struct placement_model){.name = "sample",
                                        .layer_count = 2 + (uint32_t)prng_below(random, 6),
                                        .context = 4096,
                                        .ends_bytes = 200 * MIB,
                                        .head_bytes = 100 * MIB,
                                        .kv_bytes = 1024,
                                        .scratch_bytes = 10 * MIB,
                                        .ends_scratch_bytes = 5 * MIB,
                                        .hidden_bytes = 8192,
                                        .logits_bytes = 128 << 10,
                                        .cuts_max = 64,
                                        .cut_exchanges = 4,
                                        .cut_exchange_bytes = 20 << 10,
                                        .layer_weights = 100 * MIB};
    for (uint32_t i = 0; i < s->model.layer_count; i++) s->model.layer_bytes[i] = 100 * MIB;
    for (uint32_t i = 0; i < s->count; i++) {
        s->devices[i] = (struct placement_device){.node = i + 1,
                                                  .memory_free = (150 + prng_below(random, 900)) * MIB,
                                                  .read_bandwidth = (1 + prng_below(random, 40)) * 1000000000,
                                                  .links = s->links[i],
                                                  .link_count = NODES_MAX};
        snprintf(s->devices[i].name, sizeof s->devices[i].name, "n%u", i + 1);
    }
    draw_links(s, random);
}

/* No plan is better than it looks: memory is kept. */
static void check_plan(const struct sample *s) {
    const struct wire_plan *p = &result.plan;
    assert_true(wire_plan_valid(p));
    for (uint32_t i = 0; i < p->member_count; i++) {
        const struct wire_member *m = &p->members[i];
        assert_true(m->weights_bytes + m->kv_bytes + m->scratch_bytes <= s->devices[m->node - 1].memory_free);
    }
}

static void within_two_percent_of_the_best_way(void **state) {
    static struct sample s;
    uint64_t random = 11;
    uint32_t grouped = 0, fitting = 0;
    for (int round = 0; round < CLUSTERS; round++) {
        draw(&s, &random);
        struct brute b = {.s = &s}, ring = {.s = &s, .alone = true};
        try_nodes(&b, &(struct way){0}, 0);
        try_nodes(&ring, &(struct way){0}, 0);
        struct placement_options options = {.context = 512, .parallel = 1};
        placement_plan(&result, &s.model, &options, s.devices, s.count);
        if (!result.fits && b.best > 0) fail_msg("cluster %d: no plan, %f s a token are possible", round, b.best);
        if (!result.fits) continue;
        check_plan(&s);
        if (b.best == 0) continue;
        fitting++;
        grouped += result.plan.member_count > result.plan.stage_count;
        double predicted = 1000.0 / (double)result.plan.decode_tokens_per_ks;
        double best = ring.best == 0 || b.best < ring.best * (clearly - 0.01) ? b.best : ring.best;
        if (predicted > best * 1.02)
            fail_msg("cluster %d: %f s a token are planned, %f are possible", round, predicted, best);
    }
    assert_true(fitting > CLUSTERS / 4 && grouped > CLUSTERS / 100); /* the samples are not all alike */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(within_two_percent_of_the_best_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
