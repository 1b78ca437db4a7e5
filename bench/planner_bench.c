/* What the planner does with real shapes on real machines, and how long it takes for many.
 *
 * planner_bench [WORD]: the scenarios whose name contains WORD, or the times ("time"); without one, all. Weights
 * count 4.85 bits each (Q4_K_M), the context is 8192, for 1 session. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/size.h"
#include "cluster/placement.h"
#include "os/clock.h"
#include "scenarios.h"

enum { MANY_NODES = 64, TIMED_ROUNDS = 20 };

static const double weight_bytes = 4.85 / 8, int8_column_bytes = 1.375;

struct cluster {
    uint32_t count;
    struct placement_device devices[MANY_NODES];
    struct wire_link links[MANY_NODES][MANY_NODES];
};

static struct placement_result result; /* large */

static struct placement_model shape(const struct scenario_model *m) {
    uint64_t attention = 2ull * m->width * m->heads * m->head_size + 2ull * m->width * m->kv_heads * m->head_size;
    uint64_t layer = attention + 3ull * m->width * m->inside, ends = (uint64_t)m->vocab * m->width;
    struct placement_model p = {
        .layer_count = m->layers,
        .context = 131072,
        .ends_bytes = (uint64_t)((double)ends * weight_bytes) * (m->tied ? 1 : 2),
        .head_bytes = (uint64_t)((double)ends * weight_bytes),
        .kv_bytes = 2ull * m->kv_heads * m->head_size * 2,
        .kv_page = 64,
        .scratch_bytes = 64ull * m->width * sizeof(float) * 8,
        .hidden_bytes = m->width * sizeof(float),
        .logits_bytes = m->vocab * sizeof(float),
        .cuts_max = m->heads,
        .cut_exchanges = 4,
        .layer_weights = layer,
        .head_weights = ends,
    };
    p.cut_exchange_bytes = (uint64_t)((m->heads * m->head_size + m->inside) * int8_column_bytes) + 2 * p.hidden_bytes;
    p.cut_slack_bytes = (uint64_t)((double)layer * weight_bytes / m->heads);
    snprintf(p.name, sizeof p.name, "%s", m->name);
    for (uint32_t i = 0; i < m->layers; i++) p.layer_bytes[i] = (uint64_t)((double)layer * weight_bytes);
    return p;
}

static void add(struct cluster *c, const char *name, double memory_gb, double read_gb_s, double multiply_g_s) {
    struct placement_device *d = &c->devices[c->count];
    *d = (struct placement_device){.node = c->count + 1,
                                   .memory_free = (uint64_t)(memory_gb * 1e9),
                                   .read_bandwidth = (uint64_t)(read_gb_s * 1e9),
                                   .matmul_rate = (uint64_t)(multiply_g_s * 1e9),
                                   .links = c->links[c->count]};
    snprintf(d->name, sizeof d->name, "%u, %s", ++c->count, name);
}

static void join(struct cluster *c, uint32_t a, uint32_t b, uint32_t rtt_us, double bandwidth_gb_s) {
    uint64_t bandwidth = (uint64_t)(bandwidth_gb_s * 1e9);
    c->links[a][c->devices[a].link_count++] = (struct wire_link){c->devices[b].node, rtt_us, bandwidth};
    c->links[b][c->devices[b].link_count++] = (struct wire_link){c->devices[a].node, rtt_us, bandwidth};
}

static const char *name_of(const struct cluster *c, uint64_t node) { return c->devices[node - 1].name; }

/* ---- scenarios ---- */

static void print_stages(const struct cluster *c) {
    const struct wire_plan *plan = &result.plan;
    for (uint32_t i = 0; i < plan->stage_count; i++) {
        const struct wire_stage *s = &plan->stages[i];
        printf("  layers %u to %u:", s->layer_begin, s->layer_end - 1);
        for (uint32_t k = 0; k < s->member_count; k++) {
            const struct wire_member *m = &plan->members[s->member_begin + k];
            printf(" %s%s (%.0f %%)", k ? "with " : "", name_of(c, m->node), 100.0 * m->share / WIRE_SHARE_ONE);
        }
        printf("\n");
    }
}

static void print_plan(const struct cluster *c, const struct placement_model *m) {
    printf("%s: ", m->name);
    if (!result.fits) {
        printf("does not fit: %s\n", result.reason);
        return;
    }
    printf("%.1f tokens/s, %.0f of a prompt\n  %s\n", (double)result.plan.decode_tokens_per_ks / 1000,
           (double)result.plan.prefill_tokens_per_ks / 1000, result.choice);
    print_stages(c);
    for (uint32_t i = 0; i < result.left_out_count; i++)
        printf("  idle: %s: %s\n", name_of(c, result.left_out[i].node), result.left_out[i].reason);
}

static void run(const struct scenario *s) {
    static struct cluster c;
    c.count = 0;
    for (uint32_t i = 0; i < SCENARIO_MACHINES_MAX && s->machines[i]; i++) {
        const struct scenario_machine *m = s->machines[i];
        add(&c, m->name, m->memory_gb, m->read_gb_s, m->multiply_g_s);
    }
    for (uint32_t a = 0; a < c.count; a++)
        for (uint32_t b = 0; b < a; b++) join(&c, a, b, s->network->rtt_us, s->network->bandwidth_gb_s);
    printf("\n%s (%s, round trip %u us, %.2f GB/s)\n", s->name, s->network->name, s->network->rtt_us,
           s->network->bandwidth_gb_s);
    for (uint32_t i = 0; i < SCENARIO_MODELS_MAX && s->models[i]; i++) {
        struct placement_model m = shape(s->models[i]);
        placement_plan(&result, &m, &(struct placement_options){.parallel = 1}, c.devices, c.count);
        print_plan(&c, &m);
    }
}

/* ---- how long it takes ---- */

static double between(uint64_t *random, double low, double high) {
    return low + (high - low) * (double)(prng_next(random) >> 11) / (double)(1ull << 53);
}

static void draw(struct cluster *c, bool alike, uint64_t *random) {
    c->count = 0;
    for (uint32_t i = 0; i < MANY_NODES; i++)
        add(c, "", alike ? 8 : between(random, 4, 16), alike ? 50 : between(random, 10, 200), 1000);
    for (uint32_t a = 0; a < c->count; a++)
        for (uint32_t b = 0; b < a; b++)
            join(c, a, b, alike ? 200 : (uint32_t)between(random, 50, 1000), alike ? 1 : between(random, 0.1, 2));
}

static void time_planning(const char *what, bool alike, uint32_t cuts_max) {
    static struct cluster c;
    struct placement_model m = shape(&llama_405b);
    uint64_t random = 1, most_ns = 0, sum_ns = 0;
    m.cuts_max = cuts_max;
    for (int i = 0; i < TIMED_ROUNDS; i++) {
        draw(&c, alike, &random);
        uint64_t begin_ns = clock_ns();
        placement_plan(&result, &m, &(struct placement_options){.parallel = 1}, c.devices, c.count);
        uint64_t took_ns = clock_ns() - begin_ns;
        sum_ns += took_ns;
        if (took_ns > most_ns) most_ns = took_ns;
    }
    printf(
        "%u nodes x %u layers, %s: %.2f ms on the average, %.2f ms at most; the last plan has %u stages, %u members\n",
        MANY_NODES, m.layer_count, what, (double)sum_ns / TIMED_ROUNDS / 1e6, (double)most_ns / 1e6,
        result.plan.stage_count, result.plan.member_count);
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++)
        if (argc < 2 || strstr(scenarios[i].name, argv[1])) run(&scenarios[i]);
    if (argc > 1 && strcmp(argv[1], "time")) return 0;
    printf("\n");
    time_planning("alike, in a ring", true, 1);
    time_planning("alike, with groups", true, MANY_NODES);
    time_planning("all different, in a ring", false, 1);
    time_planning("all different, with groups", false, MANY_NODES);
    return 0;
}
