#include "host.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/prng.h"
#include "world.h"

enum {
    MILLISECOND = 1000,
    SECOND = 1000 * MILLISECOND,
    STEPS_MAX = 4000, /* of one node in one second; more is a loop that keeps a core busy */
    FRAMES_MAX = 6000,
    HEADER_CHUNK = 1000,
};

bool host_runs(const struct world *w, uint32_t host) {
    return w->hosts[host].up && w->hosts[host].thaw_us <= w->now_us;
}

int host_of_node(const struct world *w, uint64_t id) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        if (w->hosts[i].up && node_id(w->hosts[i].node) == id) return (int)i;
    return -1;
}

/* ---- what other nodes want to know of the disk ---- */

static int model_of(const struct world *w, const uint8_t *fingerprint) {
    for (int i = 0; i < MODELS; i++)
        if (memcmp(w->scenario.models[i].fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0) return i;
    return -1;
}

/* a: peer, b: request, c: model or MODELS */
static void answer_lookup(struct world *w, const struct happening *h) {
    bool found = h->c < MODELS && (w->hosts[h->host].files >> h->c & 1);
    host_step(w, h->host,
              &(struct node_event){.type = NODE_MODEL_ANSWER, .peer = h->a, .request = h->b, .found = found});
}

/* a: peer, b: request, c: offset and model */
static void answer_header(struct world *w, const struct happening *h) {
    uint32_t model = (uint32_t)(h->c % (MODELS + 1));
    struct node_event event = {.type = NODE_HEADER_READ, .peer = h->a, .request = h->b, .offset = h->c / (MODELS + 1)};
    uint8_t chunk[HEADER_CHUNK];
    if (model < MODELS && (w->hosts[h->host].files >> model & 1)) event.total = client_header_bytes(model);
    for (; event.len < HEADER_CHUNK && event.offset + event.len < event.total; event.len++)
        chunk[event.len] = client_header_byte(model, event.offset + event.len);
    event.bytes = chunk;
    host_step(w, h->host, &event);
}

static void read_disk(struct world *w, uint32_t host, const struct node_effect *e) {
    int model = model_of(w, e->fingerprint);
    uint64_t known = model < 0 ? MODELS : (uint64_t)model;
    uint64_t delay_us = world_chance(w, 30) ? world_below(w, 2 * SECOND) : world_below(w, 3 * MILLISECOND);
    if (e->type == NODE_LOOKUP_MODEL)
        world_later(w, delay_us, answer_lookup, (int)host, e->peer, e->request, known);
    else
        world_later(w, delay_us, answer_header, (int)host, e->peer, e->request, e->offset * (MODELS + 1) + known);
}

/* a: request, b: model or MODELS */
static void answer_measure(struct world *w, const struct happening *h) {
    const struct host *host = &w->hosts[h->host];
    bool known = h->b < MODELS && ((host->files | host->cards) >> h->b & 1);
    host_step(w, h->host,
              &(struct node_event){
                  .type = NODE_MODEL_MEASURED, .request = h->a, .model = known ? &w->scenario.models[h->b] : NULL});
}

static void measure_model(struct world *w, uint32_t host, const struct node_effect *e) {
    int model = model_of(w, e->fingerprint);
    uint64_t delay_us = world_chance(w, 30) ? world_below(w, 2 * SECOND) : world_below(w, 3 * MILLISECOND);
    world_later(w, delay_us, answer_measure, (int)host, e->request, model < 0 ? MODELS : (uint64_t)model, 0);
}

/* ---- measuring ---- */

static void measured_anew(struct world *w, const struct happening *h) {
    host_tell_facts(w, h->host, true);
    host_step(w, h->host, &(struct node_event){.type = NODE_MEASURED});
}

static void probed(struct world *w, const struct happening *h) {
    uint32_t rtt_us = (uint32_t)h->b;
    uint64_t bandwidth = rtt_us ? 1000000000000 / (1000 + rtt_us) : 0; /* far is slow, too */
    host_step(w, h->host,
              &(struct node_event){.type = NODE_PROBE_DONE, .dial = h->a, .rtt_us = rtt_us, .bandwidth = bandwidth});
}

/* Some never come back, as over a path that is cut. */
static void probe(struct world *w, uint32_t host, const struct node_effect *e) {
    int other = host_of_node(w, e->peer);
    RULE(w, e->address.port != 0 && e->dial != 0, "effects are well-formed", "node %s probes nothing",
         w->hosts[host].name);
    if (other < 0 || !network_open(w, host, (uint32_t)other)) return;
    struct wire_address there = network_address(w, (uint32_t)other);
    if (!w->hosts[other].inbound || memcmp(&there, &e->address, sizeof there) != 0) return;
    uint64_t rtt_us = 2 * w->network.latency_us[host][other];
    world_later(w, 10 * rtt_us + 1, probed, (int)host, e->dial, world_chance(w, 100) ? 0 : rtt_us, 0);
}

/* ---- effects ---- */

static void check_dial(struct world *w, uint32_t host, const struct node_effect *e) {
    RULE(w, e->address.port != 0 && e->dial != 0, "effects are well-formed", "node %s dials without address or number",
         w->hosts[host].name);
}

static void log_line(struct world *w, uint32_t host, const struct node_effect *e) {
    journal_mix_text(w, e->text);
    journal_line(w, (int)host, "%s", e->text);
}

static void send_frame(struct world *w, uint32_t host, const struct node_effect *e) {
    w->hosts[host].frames++;
    w->traffic.frames++;
    w->traffic.bytes += e->len;
    rules_frame(w, host, e->link, e->bytes, e->len);
    network_send(w, host, e->link, e->bytes, e->len);
}

static void keep_id(struct world *w, uint32_t host, const struct node_effect *e) {
    RULE(w, e->id == node_id(w->hosts[host].node) && e->id != 0, "effects are well-formed",
         "node %s is told to keep an id that it does not have", w->hosts[host].name);
    w->hosts[host].id = e->id;
}

/* With `frames`: what becomes of links. */
static void tell_links(struct world *w, uint32_t host, const struct node_event *e) {
    if (!w->journal.frames) return;
    if (e->type == NODE_LINK_UP)
        journal_line(w, (int)host, "  link %llu up with %016llx, dial %llu", (unsigned long long)e->link,
                     (unsigned long long)e->hello->id, (unsigned long long)e->dial);
    else if (e->type == NODE_LINK_DOWN)
        journal_line(w, (int)host, "  link %llu down", (unsigned long long)e->link);
    else if (e->type == NODE_DIAL_FAILED)
        journal_line(w, (int)host, "  dial %llu failed", (unsigned long long)e->dial);
}

static void carry_out(struct world *w, uint32_t host, const struct node_effect *e) {
    journal_mix(w, e->type ^ e->link << 8 ^ e->request << 16 ^ e->job << 24 ^ (uint64_t)e->len << 32);
    switch (e->type) {
    case NODE_SEND_BEACON: network_send_beacon(w, host, &e->beacon); break;
    case NODE_DIAL:
        check_dial(w, host, e);
        if (w->journal.frames)
            journal_line(w, (int)host, "  dial %llu: n%d", (unsigned long long)e->dial, (int)e->address.ip[15] - 1);
        network_dial(w, host, e->dial, &e->address);
        break;
    case NODE_CLOSE:
        if (w->journal.frames) journal_line(w, (int)host, "  link %llu closed", (unsigned long long)e->link);
        network_close(w, host, e->link);
        break;
    case NODE_SEND: send_frame(w, host, e); break;
    case NODE_PROBE: probe(w, host, e); break;
    case NODE_MEASURE: world_later(w, SECOND / 2, measured_anew, (int)host, 0, 0, 0); break;
    case NODE_LOOKUP_MODEL:
    case NODE_READ_HEADER: read_disk(w, host, e); break;
    case NODE_MEASURE_MODEL: measure_model(w, host, e); break;
    case NODE_HEADER_PIECE: client_header_piece(w, host, e); break;
    case NODE_SLICE_LOAD: engine_load(w, host, e); break;
    case NODE_SLICE_UNLOAD: engine_unload(w, host, e); break;
    case NODE_RING_CONNECT: engine_connect(w, host, e); break;
    case NODE_REPLY: client_reply(w, host, e); break;
    case NODE_JOB_START: engine_start_job(w, host, e); break;
    case NODE_JOB_AGAIN: client_again(w, host, e); break;
    case NODE_JOB_ABORT: engine_abort_job(w, host, e); break;
    case NODE_JOB_TOKENS: client_tokens(w, host, e); break;
    case NODE_JOB_END: client_end(w, host, e); break;
    case NODE_ID_CHANGED: keep_id(w, host, e); break;
    case NODE_LOG: log_line(w, host, e); break;
    case NODE_JOB_ROWS: /* no job here asks for logits */
    case NODE_SECRET_CHANGED:
    case NODE_CHANGED: break;
    }
}

/* ---- steps ---- */

static void count_step(struct world *w, struct host *h) {
    if (w->now_us - h->busy_us >= SECOND) {
        h->busy_us = w->now_us;
        h->steps = h->frames = 0;
    }
    uint64_t crowd = w->scenario.hosts > HOSTS_MAX ? w->scenario.hosts / HOSTS_MAX : 1; /* that many come at once */
    RULE(w, ++h->steps < STEPS_MAX * crowd && h->frames < FRAMES_MAX * crowd, "no busy loop",
         "node %s: %u steps, %u frames in a second", h->name, h->steps, h->frames);
}

static void set_timer(struct world *w, struct host *h) {
    uint64_t deadline_us = node_deadline(h->node);
    RULE(w, deadline_us > w->now_us, "time goes on", "node %s wants to be woken in the past", h->name);
    if (deadline_us > UINT64_MAX - SECOND)
        h->tick_us = deadline_us;
    else
        h->tick_us = w->now_us + (deadline_us - w->now_us + MILLISECOND - 1) / MILLISECOND * MILLISECOND;
}

void host_step(struct world *w, uint32_t host, struct node_event *event) {
    struct host *h = &w->hosts[host];
    if (!h->up || w->journal.broken) return;
    assert(!h->stepping);
    h->stepping = true;
    event->now_us = w->now_us;
    journal_mix(w, w->now_us ^ (uint64_t)host << 48 ^ (uint64_t)event->type << 56);
    tell_links(w, host, event);
    struct node_effects effects = {0};
    node_step(h->node, event, &effects);
    for (const struct node_effect *e = effects.first; e && !w->journal.broken; e = e->next) carry_out(w, host, e);
    node_effects_clear(&effects);
    h->stepping = false;
    count_step(w, h);
    set_timer(w, h);
    if (event->type != NODE_LEAVE && !w->journal.broken) rules_after_step(w, host);
}

/* ---- lives ---- */

void host_tell_facts(struct world *w, uint32_t host, bool measured) {
    const struct host *h = &w->hosts[host];
    struct wire_facts facts = {.memory_total = h->memory, .threads = 2, .isa = "avx2", .device_count = 1};
    if (measured) {
        facts.read_bandwidth = h->read_bandwidth;
        facts.matmul_rate = h->matmul_rate;
    }
    facts.devices[0] = (struct wire_device){.kind = WIRE_CPU, .memory_total = h->memory};
    host_step(w, host, &(struct node_event){.type = NODE_FACTS_CHANGED, .facts = &facts});
}

static void measured(struct world *w, const struct happening *h) { host_tell_facts(w, h->host, true); }

static void add_peers(struct world *w, uint32_t host) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++)
        if (w->hosts[host].static_peers >> i & 1)
            host_step(w, host, &(struct node_event){.type = NODE_PEER_ADD, .address = network_address(w, i)});
}

void host_start(struct world *w, uint32_t host) {
    struct host *h = &w->hosts[host];
    assert(!h->up && h->node == NULL);
    struct node_options options = {.id = h->id,
                                   .boot = prng_next(&w->random) | 1,
                                   .seed = prng_next(&w->random),
                                   .version = "0.1.0",
                                   .port = h->port,
                                   .arithmetic = h->arithmetic,
                                   .discovery = h->discovery};
    snprintf(options.name, sizeof options.name, "%s", h->name);
    if (host_of_node(w, h->id) >= 0) rules_twins(w, h->id);
    h->node = node_new(&options);
    assert(h->node);
    h->up = h->powered = true;
    h->life++;
    h->started_us = h->busy_us = w->now_us;
    h->cards = 0;
    h->thaw_us = h->steps = h->frames = h->control_links = 0;
    h->client = (struct client){.number = prng_next(&w->random) >> 8};
    journal_line(w, (int)host, "starts, id %016llx", (unsigned long long)h->id);
    host_step(w, host, &(struct node_event){.type = NODE_START});
    host_tell_facts(w, host, false);
    add_peers(w, host);
    world_later(w, world_between(w, 200, 1500) * MILLISECOND, measured, (int)host, 0, 0, 0);
}

void host_end(struct world *w, uint32_t host, enum host_end how) {
    static const char *const words[] = {"leaves", "is killed", "loses power"};
    struct host *h = &w->hosts[host];
    journal_line(w, (int)host, "%s", words[how]);
    if (how == HOST_LEAVES) host_step(w, host, &(struct node_event){.type = NODE_LEAVE});
    network_host_gone(w, host, how == HOST_LOSES_POWER);
    engine_deinit(&h->engine);
    node_free(h->node);
    h->node = NULL;
    h->up = false;
    h->powered = how != HOST_LOSES_POWER;
}

void host_freeze(struct world *w, uint32_t host, uint64_t us) {
    journal_line(w, (int)host, "is frozen for %.3f s", (double)us / SECOND);
    w->hosts[host].thaw_us = w->now_us + us;
}
