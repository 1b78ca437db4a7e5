#include "network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum {
    DIAL_PATIENCE_US = 2000000,
    DIAL_ROUNDS = 3,          /* TCP and TLS before the first hello */
    BEACON_LATE_US = 4000000, /* the latest of all beacons */
    FOREIGN_PROTOCOL = 99,
    EPHEMERAL_PORT = 40000,
    RESUME_US_MAX = 5000000,
    UNACKNOWLEDGED_US = 3000000,
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct wire_address network_address(const struct world *w, uint32_t host) {
    struct wire_address a = {.port = w->hosts[host].port};
    memcpy(a.ip, mapped, sizeof mapped);
    a.ip[12] = 10;
    a.ip[15] = (uint8_t)(host + 1);
    return a;
}

static int host_of_address(const struct world *w, const struct wire_address *a) {
    uint32_t number = a->ip[15];
    bool ours = memcmp(a->ip, mapped, sizeof mapped) == 0 && a->ip[12] == 10;
    return ours && number > 0 && number <= w->scenario.hosts ? (int)number - 1 : -1;
}

bool network_open(const struct world *w, uint32_t one, uint32_t other) {
    return !w->network.cut[one][other] && !w->network.cut[other][one];
}

static uint64_t latency(struct world *w, uint32_t from, uint32_t to) {
    return w->network.latency_us[from][to] + world_below(w, w->scenario.jitter_us + 1);
}

/* Strangers are played by the same code: the versions that cross the border to them are made foreign. */
static void translate(const struct world *w, uint32_t from, uint32_t to, uint16_t *min, uint16_t *max) {
    if (w->hosts[from].protocol != w->hosts[to].protocol) *min = *max = FOREIGN_PROTOCOL;
}

/* ---- datagrams ---- */

static void hear_beacon(struct world *w, const struct happening *h) {
    uint32_t from = (uint32_t)h->c >> 16;
    struct wire_beacon b = {.protocol_min = WIRE_PROTOCOL_MIN,
                            .protocol_max = WIRE_PROTOCOL_MAX,
                            .id = h->a,
                            .boot = h->b,
                            .port = (uint16_t)h->c};
    struct wire_address address = network_address(w, from);
    address.port = b.port;
    translate(w, from, h->host, &b.protocol_min, &b.protocol_max);
    host_step(w, h->host, &(struct node_event){.type = NODE_BEACON_SEEN, .beacon = &b, .address = address});
}

void network_send_beacon(struct world *w, uint32_t host, const struct wire_beacon *beacon) {
    for (uint32_t to = 0; to < w->scenario.hosts; to++) {
        if (w->hosts[to].segment != w->hosts[host].segment || w->network.cut[host][to]) continue;
        uint32_t copies = world_chance(w, w->scenario.lost) ? 0 : world_chance(w, w->scenario.doubled) ? 2 : 1;
        w->traffic.beacons += copies;
        for (; copies > 0; copies--) {
            uint64_t late_us = w->calm || !world_chance(w, 20) ? 0 : world_below(w, BEACON_LATE_US);
            world_later(w, latency(w, host, to) + late_us, hear_beacon, (int)to, beacon->id, beacon->boot,
                        (uint64_t)host << 16 | beacon->port);
        }
    }
}

/* ---- pipes ---- */

static uint64_t number_of(uint32_t index, enum side side) { return 2 * (uint64_t)index + side + 1; }

static struct sim_link *link_of(struct world *w, uint64_t number, enum side *side) {
    assert(number > 0 && number <= 2 * (uint64_t)w->network.count);
    *side = (number - 1) % 2;
    return &w->network.links[(number - 1) / 2];
}

static uint32_t index_of(const struct world *w, const struct sim_link *l) { return (uint32_t)(l - w->network.links); }

static void arrive(struct world *w, const struct happening *h);

static void announce_arrival(struct world *w, struct sim_link *l, enum side from) {
    enum side to = !from;
    struct happening h = {.at_us = l->pipes[from].due_us,
                          .happen = arrive,
                          .host = l->hosts[to],
                          .life = l->lives[to],
                          .a = index_of(w, l),
                          .b = from};
    agenda_add(&w->agenda, &h);
}

static struct parcel *push(struct world *w, struct sim_link *l, enum side from, enum parcel_type type,
                           const void *bytes, uint32_t len) {
    struct parcel *p = malloc(sizeof *p + len);
    assert(p);
    *p = (struct parcel){.type = type, .len = len};
    if (len > 0) memcpy(p->bytes, bytes, len);
    struct pipe *pipe = &l->pipes[from];
    if (pipe->last)
        pipe->last->next = p;
    else
        pipe->first = p;
    pipe->last = p;
    uint64_t due_us = w->now_us + latency(w, l->hosts[from], l->hosts[!from]);
    if (due_us > pipe->due_us) pipe->due_us = due_us;
    announce_arrival(w, l, from);
    return p;
}

static struct parcel *pop(struct pipe *pipe) {
    struct parcel *p = pipe->first;
    if (!p) return NULL;
    pipe->first = p->next;
    if (!pipe->first) pipe->last = NULL;
    return p;
}

/* Only so many of what is under way will arrive. */
static void truncate_pipe(struct pipe *pipe, uint32_t keep) {
    struct parcel **at = &pipe->first, *last = NULL;
    for (; *at && keep > 0; keep--, at = &(*at)->next) last = *at;
    for (struct parcel *p = *at, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    *at = NULL;
    pipe->last = last;
}

static uint32_t pipe_len(const struct pipe *pipe) {
    uint32_t count = 0;
    for (const struct parcel *p = pipe->first; p; p = p->next) count++;
    return count;
}

/* ---- what arrives ---- */

static void push_hello(struct world *w, struct sim_link *l, enum side from) {
    struct wire_hello hello;
    node_hello(w->hosts[l->hosts[from]].node, w->now_us, &hello);
    translate(w, l->hosts[from], l->hosts[!from], &hello.protocol_min, &hello.protocol_max);
    if (l->about.kind == WIRE_DATA) {
        hello.kind = WIRE_DATA;
        hello.instance = l->about.instance;
        hello.epoch = l->about.epoch;
        hello.member_from = l->about.member_from;
        hello.member_to = l->about.member_to;
    }
    push(w, l, from, PARCEL_HELLO, NULL, 0)->hello = hello;
}

static void set_end(struct world *w, struct sim_link *l, enum side side, enum end_state state) {
    struct host *host = &w->hosts[l->hosts[side]];
    if (l->about.kind == WIRE_CONTROL && l->lives[side] == host->life) {
        host->control_links += state == END_OPEN;
        host->control_links -= l->ends[side] == END_OPEN;
    }
    l->ends[side] = state;
}

static void close_end(struct world *w, struct sim_link *l, enum side side) {
    set_end(w, l, side, END_CLOSED);
    if (!l->broken) push(w, l, side, PARCEL_END, NULL, 0);
    l->broken = true;
    l->answers = true;
}

static void take_data_hello(struct world *w, uint32_t index, enum side to, const struct wire_hello *hello) {
    struct sim_link *l = &w->network.links[index];
    uint32_t host = l->hosts[to];
    if (to == ACCEPTOR && !node_data_link_wanted(w->hosts[host].node, hello)) {
        close_end(w, l, to);
        return;
    }
    set_end(w, l, to, END_OPEN);
    if (to == ACCEPTOR) push_hello(w, l, to);
    engine_link_up(w, host, number_of(index, to), hello, to == DIALLER);
}

static void take_hello(struct world *w, uint32_t index, enum side to, const struct wire_hello *hello) {
    struct sim_link *l = &w->network.links[index];
    if (l->about.kind == WIRE_DATA) {
        take_data_hello(w, index, to, hello);
        return;
    }
    struct wire_address address = l->address;
    if (to == ACCEPTOR) {
        address = network_address(w, l->hosts[DIALLER]);
        address.port = (uint16_t)(EPHEMERAL_PORT + index % 20000);
        push_hello(w, l, to);
    }
    set_end(w, l, to, END_OPEN);
    host_step(w, l->hosts[to],
              &(struct node_event){.type = NODE_LINK_UP,
                                   .link = number_of(index, to),
                                   .dial = to == DIALLER ? l->dial : 0,
                                   .address = address,
                                   .hello = hello});
}

static void dial_failed(struct world *w, uint32_t index) {
    struct sim_link *l = &w->network.links[index];
    set_end(w, l, DIALLER, END_CLOSED);
    if (l->lives[ACCEPTOR] != 0) close_end(w, l, DIALLER);
    if (l->about.kind == WIRE_DATA)
        engine_dial_failed(w, l->hosts[DIALLER], number_of(index, DIALLER));
    else
        host_step(w, l->hosts[DIALLER], &(struct node_event){.type = NODE_DIAL_FAILED, .dial = l->dial});
}

static void take_end(struct world *w, uint32_t index, enum side to) {
    struct sim_link *l = &w->network.links[index];
    if (l->ends[to] == END_OPENING && to == DIALLER) {
        dial_failed(w, index);
        return;
    }
    bool was_open = l->ends[to] == END_OPEN;
    set_end(w, l, to, END_CLOSED);
    l->broken = true;
    if (!was_open) return;
    if (l->about.kind == WIRE_DATA) {
        engine_link_down(w, l->hosts[to], number_of(index, to));
        return;
    }
    struct node_event event = {.type = NODE_LINK_DOWN, .link = number_of(index, to), .text = "closed"};
    w->network.ending = event.link;
    host_step(w, l->hosts[to], &event);
    w->network.ending = 0;
}

static void take_frame(struct world *w, uint32_t index, enum side to, const struct parcel *p) {
    const struct sim_link *l = &w->network.links[index];
    if (l->ends[to] != END_OPEN || l->about.kind == WIRE_DATA) return;
    host_step(
        w, l->hosts[to],
        &(struct node_event){.type = NODE_MESSAGE, .link = number_of(index, to), .bytes = p->bytes, .len = p->len});
}

static void arrive(struct world *w, const struct happening *h) {
    uint32_t index = (uint32_t)h->a;
    enum side from = (enum side)h->b, to = !from;
    struct sim_link *l = &w->network.links[index];
    if (w->network.cut[l->hosts[from]][l->hosts[to]]) {
        l->pipes[from].held_back++;
        return;
    }
    struct parcel *p = pop(&l->pipes[from]);
    if (!p) return; /* it was lost in a break */
    if (l->ends[to] == END_CLOSED) {
        free(p);
        return;
    }
    switch (p->type) {
    case PARCEL_HELLO: take_hello(w, index, to, &p->hello); break;
    case PARCEL_FRAME: take_frame(w, index, to, p); break;
    case PARCEL_END: take_end(w, index, to); break;
    }
    free(p);
}

/* ---- dialling ---- */

static void reach(struct world *w, const struct happening *h) {
    uint32_t index = (uint32_t)h->a;
    struct sim_link *l = &w->network.links[index];
    int to = host_of_address(w, &l->address);
    if (to < 0 || !network_open(w, h->host, (uint32_t)to) || !w->hosts[to].powered) return; /* no answer at all */
    const struct host *target = &w->hosts[to];
    bool listens = target->up && target->port == l->address.port && (target->inbound || (uint32_t)to == h->host);
    if (!listens) {
        dial_failed(w, index);
        return;
    }
    l->hosts[ACCEPTOR] = (uint32_t)to;
    l->lives[ACCEPTOR] = target->life;
    push_hello(w, l, DIALLER);
}

static void give_up_dialling(struct world *w, const struct happening *h) {
    if (w->network.links[h->a].ends[DIALLER] == END_OPENING) dial_failed(w, (uint32_t)h->a);
}

static uint32_t add_link(struct world *w, uint32_t host, const struct wire_address *to) {
    struct network *n = &w->network;
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? 2 * n->capacity : 64;
        n->links = realloc(n->links, n->capacity * sizeof *n->links);
        assert(n->links);
    }
    n->links[n->count] = (struct sim_link){.hosts = {host, host}, .lives = {w->hosts[host].life}, .address = *to};
    int target = host_of_address(w, to);
    uint64_t trip_us = target < 0 ? 1000 : latency(w, host, (uint32_t)target);
    world_later(w, DIAL_ROUNDS * trip_us, reach, (int)host, n->count, 0, 0);
    world_later(w, DIAL_PATIENCE_US, give_up_dialling, (int)host, n->count, 0, 0);
    return n->count++;
}

void network_dial(struct world *w, uint32_t host, uint64_t dial, const struct wire_address *to) {
    uint32_t index = add_link(w, host, to);
    w->network.links[index].dial = dial;
    w->network.links[index].about.kind = WIRE_CONTROL;
}

uint64_t network_dial_data(struct world *w, uint32_t host, const struct wire_address *to,
                           const struct wire_hello *about) {
    uint32_t index = add_link(w, host, to);
    w->network.links[index].about = *about;
    return number_of(index, DIALLER);
}

/* ---- what nodes do with links ----
 *
 * A node that wakes up to a link's end gives up all links one by one, before it has looked at that one. */

void network_send(struct world *w, uint32_t host, uint64_t link, const uint8_t *bytes, uint32_t len) {
    RULE(w, link > 0 && link <= 2 * (uint64_t)w->network.count, "sends on open links", "link %llu was never there",
         (unsigned long long)link);
    if (w->journal.broken || link == w->network.ending) return;
    enum side side;
    struct sim_link *l = link_of(w, link, &side);
    RULE(w, l->ends[side] == END_OPEN && l->hosts[side] == host && l->lives[side] == w->hosts[host].life,
         "sends on open links", "node %s sends on link %llu, which is closed", w->hosts[host].name,
         (unsigned long long)link);
    if (!l->broken)
        push(w, l, side, PARCEL_FRAME, bytes, len);
    else if (l->answers && w->hosts[l->hosts[!side]].powered)
        push(w, l, !side, PARCEL_END, NULL, 0);
}

void network_close(struct world *w, uint32_t host, uint64_t link) {
    if (link == w->network.ending) return;
    RULE(w, network_link_open(w, host, link), "closes open links once", "node %s closes link %llu, which is not open",
         w->hosts[host].name, (unsigned long long)link);
    if (w->journal.broken) return;
    enum side side;
    struct sim_link *l = link_of(w, link, &side);
    close_end(w, l, side);
}

static bool lives_here(const struct world *w, const struct sim_link *l, enum side side, uint32_t host) {
    return l->hosts[side] == host && l->lives[side] == w->hosts[host].life && l->ends[side] != END_CLOSED;
}

bool network_link_open(const struct world *w, uint32_t host, uint64_t link) {
    if (link == 0 || link > 2 * (uint64_t)w->network.count) return false;
    const struct sim_link *l = &w->network.links[(link - 1) / 2];
    enum side side = (link - 1) % 2;
    return lives_here(w, l, side, host) && l->ends[side] == END_OPEN;
}

void network_host_gone(struct world *w, uint32_t host, bool power) {
    for (uint32_t i = 0; i < w->network.count; i++) {
        struct sim_link *l = &w->network.links[i];
        for (enum side side = DIALLER; side <= ACCEPTOR; side++) {
            if (!lives_here(w, l, side, host)) continue;
            set_end(w, l, side, END_CLOSED);
            struct pipe *pipe = &l->pipes[side];
            truncate_pipe(pipe, (uint32_t)world_below(w, pipe_len(pipe) + 1));
            bool reached = side == ACCEPTOR || l->lives[ACCEPTOR] != 0;
            if (!power && !l->broken && reached) push(w, l, side, PARCEL_END, NULL, 0);
            l->broken = l->answers = true;
        }
    }
}

/* ---- faults ---- */

void network_cut(struct world *w, uint32_t from, uint32_t to) {
    if (w->network.cut[from][to]) return;
    w->network.cut[from][to] = true;
    w->network.cut_us[from][to] = w->now_us;
}

/* What waited goes on after a while: TCP tries again less and less often. */
void network_join(struct world *w, uint32_t from, uint32_t to) {
    if (!w->network.cut[from][to]) return;
    w->network.cut[from][to] = false;
    uint64_t waited_us = w->now_us - w->network.cut_us[from][to];
    if (waited_us > RESUME_US_MAX) waited_us = RESUME_US_MAX;
    for (uint32_t i = 0; i < w->network.count; i++) {
        struct sim_link *l = &w->network.links[i];
        for (enum side side = DIALLER; side <= ACCEPTOR; side++) {
            struct pipe *pipe = &l->pipes[side];
            if (l->hosts[side] != from || l->hosts[!side] != to || pipe->held_back == 0) continue;
            uint64_t resume_us = w->now_us + world_below(w, waited_us + 1);
            if (resume_us > pipe->due_us) pipe->due_us = resume_us;
            for (; pipe->held_back > 0; pipe->held_back--) announce_arrival(w, l, side);
        }
    }
}

void network_heal(struct world *w) {
    for (uint32_t from = 0; from < w->scenario.hosts; from++)
        for (uint32_t to = 0; to < w->scenario.hosts; to++) network_join(w, from, to);
}

static bool over(const struct sim_link *l) {
    return l->ends[DIALLER] == END_CLOSED && (l->ends[ACCEPTOR] == END_CLOSED || l->lives[ACCEPTOR] == 0);
}

struct sim_link *network_some_link(struct world *w) {
    struct network *n = &w->network;
    while (n->first_open < n->count && over(&n->links[n->first_open])) n->first_open++;
    for (int tries = 0; tries < 20 && n->count > n->first_open; tries++) {
        struct sim_link *l = &n->links[world_between(w, n->first_open, n->count)];
        if (!l->broken && l->ends[DIALLER] == END_OPEN && l->ends[ACCEPTOR] == END_OPEN) return l;
    }
    return NULL;
}

void network_break(struct world *w, struct sim_link *l) {
    bool told = false;
    l->answers = world_chance(w, 500);
    for (enum side side = DIALLER; side <= ACCEPTOR; side++) {
        struct pipe *pipe = &l->pipes[side];
        truncate_pipe(pipe, (uint32_t)world_below(w, pipe_len(pipe) + 1));
        if (!world_chance(w, 700)) continue;
        push(w, l, side, PARCEL_END, NULL, 0);
        told = true;
    }
    /* what a sender hears of nobody, it hears of its own system when nothing is acknowledged */
    if (l->about.kind == WIRE_DATA && !told) {
        l->pipes[ACCEPTOR].due_us = w->now_us + UNACKNOWLEDGED_US;
        push(w, l, ACCEPTOR, PARCEL_END, NULL, 0);
    }
    l->broken = true;
}

void network_stall(struct world *w, struct sim_link *l, uint64_t us) {
    for (enum side side = DIALLER; side <= ACCEPTOR; side++)
        if (l->pipes[side].due_us < w->now_us + us) l->pipes[side].due_us = w->now_us + us;
}

void network_garbage(struct world *w, struct sim_link *l) {
    uint8_t bytes[64];
    uint32_t len = (uint32_t)world_below(w, sizeof bytes + 1);
    for (uint32_t i = 0; i < len; i++) bytes[i] = (uint8_t)world_below(w, 256);
    push(w, l, world_chance(w, 500) ? DIALLER : ACCEPTOR, PARCEL_FRAME, bytes, len);
}

void network_deinit(struct network *n) {
    for (uint32_t i = 0; i < n->count; i++)
        for (enum side side = DIALLER; side <= ACCEPTOR; side++) truncate_pipe(&n->links[i].pipes[side], 0);
    free(n->links);
    *n = (struct network){0};
}
