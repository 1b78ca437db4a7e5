#include "rules.h"

#include "cluster/internal.h"
#include "world.h"

static unsigned long long hex(uint64_t id) { return (unsigned long long)id; }

static bool is_twin(const struct registry *r, uint64_t id) {
    for (uint32_t i = 0; i < r->twin_count; i++)
        if (r->twins[i] == id) return true;
    return false;
}

void rules_twins(struct world *w, uint64_t id) {
    struct registry *r = &w->registry;
    if (!is_twin(r, id) && r->twin_count < TWINS_MAX) r->twins[r->twin_count++] = id;
}

/* A node that starts again has forgotten which epochs it drew, and may draw the same once more. */
static uint32_t life_of(const struct world *w, uint64_t node) {
    int host = host_of_node(w, node);
    return host < 0 ? 0 : w->hosts[host].life;
}

void rules_plan(struct world *w, uint64_t instance, const struct wire_epoch *epoch, const struct wire_plan *plan) {
    struct registry *r = &w->registry;
    uint64_t hash = wire_plan_hash(plan);
    uint32_t life = life_of(w, epoch->node);
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->plans[i].instance != instance || wire_epoch_compare(&r->plans[i].epoch, epoch) != 0) continue;
        if (is_twin(r, epoch->node)) return;  /* until one of the two has another id, both draw epochs in its name */
        if (r->plans[i].life != life) return; /* forgotten; members of both refuse the second */
        RULE(w, r->plans[i].hash == hash, "one plan per epoch", "instance %016llx has two plans in epoch %llu",
             hex(instance), hex(epoch->number));
        return;
    }
    if (r->count == REGISTRY_MAX) return;
    r->plans[r->count].instance = instance;
    r->plans[r->count].epoch = *epoch;
    r->plans[r->count].life = life;
    r->plans[r->count++].hash = hash;
}

/* The first member speaks for an instance that runs, and nobody else under its epoch; who takes over has an epoch of
 * its own. */
static void rules_speaker(struct world *w, uint32_t host, const struct wire_instance *m) {
    uint64_t self = node_id(w->hosts[host].node), first = m->plan.members[0].node;
    bool runs = m->state == WIRE_LOADING || m->state == WIRE_READY;
    RULE(w, first == self || (!runs && m->epoch.node == self), "one coordinator per epoch",
         "node %s speaks for epoch %llu of node %016llx, state %d, an instance of %016llx", w->hosts[host].name,
         hex(m->epoch.number), hex(m->epoch.node), (int)m->state, hex(first));
    struct registry *r = &w->registry;
    for (uint32_t i = 0; i < r->count; i++) {
        struct registry_plan *p = &r->plans[i];
        if (p->instance != m->instance || wire_epoch_compare(&p->epoch, &m->epoch) != 0) continue;
        if (p->life != life_of(w, p->epoch.node)) continue;
        if (p->speaker == 0) p->speaker = self;
        RULE(w, p->speaker == self || is_twin(r, m->epoch.node) || is_twin(r, p->speaker), "one coordinator per epoch",
             "node %s speaks for epoch %llu of %016llx, as %016llx did", w->hosts[host].name, hex(m->epoch.number),
             hex(m->instance), hex(p->speaker));
    }
}

/* ---- frames ---- */

static const char *type_name(enum wire_type type) {
    switch (type) {
    case WIRE_HELLO: return "hello";
    case WIRE_HEARTBEAT: return "heartbeat";
    case WIRE_FACTS: return "facts";
    case WIRE_PEERS: return "peers";
    case WIRE_GOODBYE: return "goodbye";
    case WIRE_NEW_SECRET: return "new secret";
    case WIRE_MEASURE: return "measure";
    case WIRE_MODEL_QUERY: return "model query";
    case WIRE_MODEL_ANSWER: return "model answer";
    case WIRE_HEADER_GET: return "header get";
    case WIRE_HEADER_DATA: return "header data";
    case WIRE_RESERVE: return "reserve";
    case WIRE_RESERVE_OK: return "reserve ok";
    case WIRE_RESERVE_REFUSED: return "reserve refused";
    case WIRE_RELEASE: return "release";
    case WIRE_COMMIT: return "commit";
    case WIRE_LOAD: return "load";
    case WIRE_LOAD_PROGRESS: return "load progress";
    case WIRE_LOADED: return "loaded";
    case WIRE_LOAD_FAILED: return "load failed";
    case WIRE_UNLOAD: return "unload";
    case WIRE_STOP: return "stop";
    case WIRE_INSTANCE: return "instance";
    case WIRE_JOB_SUBMIT: return "job submit";
    case WIRE_JOB_TOKENS: return "job tokens";
    case WIRE_JOB_END: return "job end";
    case WIRE_JOB_CANCEL: return "job cancel";
    default: return "?";
    }
}

static bool worth_a_line(const struct journal *j, enum wire_type type) {
    return j->frames && j->mode != JOURNAL_SILENT && type != WIRE_HEARTBEAT && type != WIRE_FACTS;
}

void rules_frame(struct world *w, uint32_t host, uint64_t link, const uint8_t *bytes, uint32_t len) {
    struct arena arena = {0};
    struct error error = {0};
    struct wire_message m;
    int rc = wire_decode(&m, bytes, len, &arena, &error);
    RULE(w, rc == 0 && m.type != WIRE_HELLO, "frames can be read", "node %s sends what nobody reads: %s",
         w->hosts[host].name, error.text);
    if (rc == 0 && m.type == WIRE_INSTANCE) {
        rules_plan(w, m.instance.instance, &m.instance.epoch, &m.instance.plan);
        rules_speaker(w, host, &m.instance);
    }
    if (rc == 0 && m.type == WIRE_RESERVE) rules_plan(w, m.reserve.instance, &m.reserve.epoch, &m.reserve.plan);
    journal_mix(w, m.type);
    if (worth_a_line(&w->journal, m.type))
        journal_line(w, (int)host, "  link %llu: %s, %u bytes", hex(link), type_name(m.type), len);
    arena_deinit(&arena);
}

/* ---- inside ---- */

static void check_peer(struct world *w, const struct host *h, const struct peer *p) {
    for (uint32_t i = 0; i < p->link_count; i++)
        RULE(w, network_link_open(w, (uint32_t)(h - w->hosts), p->links[i].id), "links are known on both sides",
             "node %s believes in link %llu", h->name, hex(p->links[i].id));
    RULE(w, p->link_count == 0 || (p->known && p->state == NODE_PEER_UP), "a peer with a link is up",
         "node %s has a link to %016llx in state %d", h->name, hex(p->id), (int)p->state);
    bool fading = p->link_count > 0 || p->down_us != 0 || !p->known || p->state != NODE_PEER_UP;
    RULE(w, fading, "a peer with a link is up", "node %s holds %016llx up without a link", h->name, hex(p->id));
}

static void check_peers(struct world *w, const struct host *h) {
    const struct node *n = h->node;
    uint32_t links = 0;
    for (uint32_t i = 0; i < n->peer_count; i++) {
        const struct peer *p = &n->peers[i];
        RULE(w, p->id != n->id && (i == 0 || n->peers[i - 1].id < p->id), "every peer is listed once",
             "node %s lists %016llx out of order", h->name, hex(p->id));
        check_peer(w, h, p);
        links += p->link_count;
    }
    RULE(w, links == h->control_links, "links are known on both sides", "node %s counts %u links, %u are open", h->name,
         links, h->control_links);
}

/* A lease for an instance of which an older part is here will take that part's place. */
static uint64_t bytes_taken(const struct node *n, const struct slice *s) {
    uint64_t older = 0;
    if (s->state != SLICE_LEASED) return s->bytes;
    for (uint32_t i = 0; i < n->slice_count; i++) {
        const struct slice *other = &n->slices[i];
        if (other->instance == s->instance && wire_epoch_compare(&other->epoch, &s->epoch) < 0) older += other->bytes;
    }
    return s->bytes > older ? s->bytes - older : 0;
}

static void check_slices(struct world *w, const struct host *h) {
    const struct node *n = h->node;
    uint64_t bytes = 0;
    uint32_t begun = 0;
    for (uint32_t i = 0; i < n->slice_count; i++) {
        const struct slice *s = &n->slices[i];
        bytes += bytes_taken(n, s);
        begun += s->state != SLICE_LEASED;
        if (s->state != SLICE_LEASED) continue;
        RULE(w, s->lease_us > w->now_us && s->lease_us <= w->now_us + LEASE_US, "leases end",
             "node %s: a lease ends at %llu", h->name, hex(s->lease_us));
    }
    RULE(w, bytes == node_reserved_bytes(n) && bytes <= h->memory, "no memory is promised twice",
         "node %s promised %llu bytes of %llu", h->name, hex(bytes), hex(h->memory));
    RULE(w, begun == h->engine.slice_count, "slices are known on both sides", "node %s has %u slices, its engine %u",
         h->name, begun, h->engine.slice_count);
}

static void check_instances(struct world *w, const struct host *h) {
    const struct node *n = h->node;
    for (uint32_t i = 0; i < n->instance_count; i++) {
        const struct instance *in = &n->instances[i];
        for (uint32_t k = 0; k < i; k++)
            RULE(w,
                 n->instances[k].id < in->id ||
                     (n->instances[k].id == in->id && n->instances[k].coordinator != in->coordinator),
                 "every instance is listed once", "node %s lists %016llx twice", h->name, hex(in->id));
        RULE(w, wire_plan_hash(&in->plan) == in->hash, "one plan per epoch",
             "node %s keeps a plan that is not its hash", h->name);
        rules_plan(w, in->id, &in->epoch, &in->plan);
    }
}

static void check_clients(struct world *w, const struct host *h) {
    const struct node *n = h->node;
    uint32_t requests = 0;
    for (uint32_t i = 0; i < n->request_count; i++) requests += n->requests[i].kind != REQUEST_REPLAN;
    RULE(w, requests == h->client.request_count, "every request ends exactly once",
         "node %s works on %u requests, %u are open", h->name, requests, h->client.request_count);
    RULE(w, n->gateway_job_count == h->client.job_count, "every job ends exactly once",
         "node %s knows %u jobs of its clients, %u are open", h->name, n->gateway_job_count, h->client.job_count);
}

void rules_after_step(struct world *w, uint32_t host) {
    const struct host *h = &w->hosts[host];
    check_peers(w, h);
    check_slices(w, h);
    check_instances(w, h);
    check_clients(w, h);
}
