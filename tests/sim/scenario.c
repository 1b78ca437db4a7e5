#include "scenario.h"

#include <stdio.h>
#include <string.h>

#include "base/prng.h"
#include "world.h"

enum { MILLISECOND = 1000, SECOND = 1000 * MILLISECOND, HOST_LAYERS_MAX = 32 };

static const uint64_t gigabyte = 1000000000, megabyte = 1000000;

/* Its layers can be shared by several members of a stage. */
static void draw_cuts(struct world *w, struct placement_model *m) {
    m->cuts_max = (uint32_t)world_between(w, 2, 9);
    m->cut_exchanges = 4;
    m->cut_exchange_bytes = 5 * m->hidden_bytes;
    m->cut_slack_bytes = megabyte;
    m->cut_scratch_bytes = megabyte;
}

static void draw_model(struct world *w, uint32_t index, uint64_t weights, uint32_t layers) {
    static const char *const names[MODELS] = {"small", "middle", "large", "huge"};
    struct placement_model *m = &w->scenario.models[index];
    *m = (struct placement_model){.layer_count = layers,
                                  .context = 2048,
                                  .ends_bytes = weights / 16,
                                  .head_bytes = weights / 20,
                                  .kv_bytes = 256,
                                  .scratch_bytes = 10 * megabyte,
                                  .ends_scratch_bytes = 5 * megabyte,
                                  .hidden_bytes = 8192,
                                  .layer_weights = weights / layers};
    if (world_chance(w, 500)) draw_cuts(w, m);
    snprintf(m->name, sizeof m->name, "%s", names[index]);
    for (uint32_t i = 0; i < WIRE_FINGERPRINT_BYTES; i++) m->fingerprint[i] = (uint8_t)prng_mix(index * 100 + i);
    for (uint32_t i = 0; i < layers; i++)
        m->layer_bytes[i] = weights / layers - (i % 3 == 0 ? weights / layers / 10 : 0);
}

static void draw_models(struct world *w) {
    uint64_t together = 0;
    for (uint32_t i = 0; i < w->scenario.hosts; i++) together += w->hosts[i].memory;
    draw_model(w, 0, world_between(w, 300, 900) * megabyte, 6);
    draw_model(w, 1, world_between(w, 2, 6) * gigabyte, 12);
    draw_model(w, 2, together / 100 * world_between(w, 40, 80), 24);
    draw_model(w, 3, together * 3, 48);
}

static void draw_host(struct world *w, uint32_t i) {
    static const uint64_t memory[] = {2, 3, 4, 6, 8, 16};
    struct host *h = &w->hosts[i];
    snprintf(h->name, sizeof h->name, "n%u", i);
    h->id = prng_next(&w->random) | 1;
    h->port = (uint16_t)world_between(w, 1024, 30000);
    h->memory = memory[world_below(w, 6)] * gigabyte;
    h->read_bandwidth = world_between(w, 2, 40) * gigabyte;
    h->matmul_rate = world_between(w, 10, 400) * gigabyte;
    h->protocol = 1;
    h->arithmetic = world_chance(w, 50) ? 2 : 1;
    h->inbound = true;
    h->discovery = w->scenario.kind != NETWORK_PEERS_ONLY;
    h->segment = w->scenario.kind == NETWORK_SEGMENTS ? i % 2 : 0;
    h->powered = true;
    for (uint32_t m = 0; m < MODELS; m++) h->files |= (uint32_t)world_chance(w, 850) << m;
}

/* Where multicast does not reach everybody, --peer joins the parts: a star or a chain. */
static void draw_static_peers(struct world *w) {
    bool star = world_chance(w, 500);
    if (w->scenario.kind == NETWORK_LAN) return;
    if (w->scenario.kind == NETWORK_SEGMENTS) {
        w->hosts[1].static_peers = 1u << 0;
        return;
    }
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        w->hosts[i].segment = i;
        if (i > 0) w->hosts[i].static_peers = star ? 1u << 0 : 1u << (i - 1);
    }
}

/* One of them is behind NAT, speaks another protocol, or is the copy of another's disk. */
static void draw_oddities(struct world *w) {
    uint32_t odd = (uint32_t)world_below(w, w->scenario.hosts);
    if (world_chance(w, 150) && w->scenario.kind == NETWORK_LAN) w->hosts[odd].inbound = false;
    if (world_chance(w, 80) && w->scenario.hosts > 2 && w->scenario.kind == NETWORK_LAN)
        w->hosts[(odd + 1) % w->scenario.hosts].protocol = 2;
    if (world_chance(w, 80)) w->hosts[odd].id = w->hosts[(odd + 1) % w->scenario.hosts].id;
}

static void draw_paths(struct world *w) {
    uint64_t usual_us = world_chance(w, 700) ? world_between(w, 50, 1000) : world_between(w, 1, 60) * MILLISECOND;
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        for (uint32_t k = 0; k < w->scenario.hosts; k++)
            w->network.latency_us[i][k] = i == k ? 20 : world_between(w, usual_us / 2, usual_us * 2);
}

void scenario_draw(struct world *w) {
    struct scenario *s = &w->scenario;
    s->hosts = (uint32_t)world_between(w, 2, HOSTS_MAX + 1);
    s->kind = world_chance(w, 700) ? NETWORK_LAN : world_chance(w, 400) ? NETWORK_SEGMENTS : NETWORK_PEERS_ONLY;
    s->chaos_us = world_chance(w, 30) ? 100 * (uint64_t)SECOND : world_between(w, 3, 25) * SECOND;
    s->lost = world_chance(w, 500) ? 0 : (uint32_t)world_below(w, 400);
    s->doubled = (uint32_t)world_below(w, 100);
    s->jitter_us = world_below(w, 3 * MILLISECOND);
    s->fault_us = world_between(w, 300, 5000) * MILLISECOND;
    s->work_us = world_between(w, 100, 2000) * MILLISECOND;
    for (uint32_t i = 0; i < s->hosts; i++) draw_host(w, i);
    draw_static_peers(w);
    draw_oddities(w);
    draw_paths(w);
    draw_models(w);
}

void scenario_crowd(struct world *w, uint32_t hosts) {
    struct scenario *s = &w->scenario;
    *s = (struct scenario){.hosts = hosts, .kind = NETWORK_LAN, .lost = 20, .jitter_us = 200};
    for (uint32_t i = 0; i < hosts; i++) {
        w->hosts[i] = (struct host){0};
        draw_host(w, i);
        for (uint32_t k = 0; k < hosts; k++) w->network.latency_us[i][k] = i == k ? 20 : world_between(w, 80, 300);
    }
}

void scenario_tell(struct world *w) {
    static const char *const kinds[] = {"one multicast network", "two networks joined by --peer", "--peer only"};
    const struct scenario *s = &w->scenario;
    journal_line(w, JOURNAL_NOBODY, "%u hosts, %s, %u of 1000 datagrams lost, %.0f s of faults", s->hosts,
                 kinds[s->kind], s->lost, (double)s->chaos_us / SECOND);
    for (uint32_t i = 0; i < s->hosts; i++) {
        const struct host *h = &w->hosts[i];
        journal_line(w, (int)i, "%016llx: %llu GB, %llu GB/s, files %x%s%s", (unsigned long long)h->id,
                     (unsigned long long)(h->memory / gigabyte), (unsigned long long)(h->read_bandwidth / gigabyte),
                     h->files, h->inbound ? "" : ", cannot be dialled", h->protocol == 1 ? "" : ", another protocol");
    }
    for (uint32_t i = 0; i < MODELS; i++)
        journal_line(w, JOURNAL_NOBODY, "model %s: %u layers of %llu MB", s->models[i].name, s->models[i].layer_count,
                     (unsigned long long)(s->models[i].layer_bytes[0] / megabyte));
}
