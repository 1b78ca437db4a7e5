/* Membership: who is there, over which link, and when somebody is gone.
 *
 * A node is (id, boot). Between two nodes one control link is used. If both dialled, the node with the lower id
 * decides: it keeps the newest and closes the others; the other node sends on the newest link on which it heard the
 * lower one. So the two never close both links, and a link that only one side knows to be dead does not keep the pair
 * apart. */
#include <stdio.h>
#include <string.h>

#include "cluster/internal.h"

enum {
    BEACON_US = 1 * SECOND,
    HIGHER_WAITS_US = 400 * MS,    /* the node with the higher id dials that much later */
    SPARE_LINK_US = 4 * SECOND,    /* an unused second link is closed after that silence */
    FOLLOW_AFTER_US = 1500 * MS,   /* a newer link is left for an older one after that silence */
    TWIN_LINK_US = 1200 * MS,      /* an old link heard within this time is alive: the id exists twice */
    TWIN_PATIENCE_US = 4 * SECOND, /* told so for this long, a node draws a new id */
    TWIN_FORGET_US = 10 * SECOND,
    LATENESS_MAX_US = 800 * MS,
    SHORT_LIFE_US = 1 * SECOND, /* a link that broke so soon is not dialled again at once */
};

static uint32_t position(const struct node *n, uint64_t id) {
    uint32_t low = 0, high = n->peer_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (n->peers[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct peer *peers_find(struct node *n, uint64_t id) {
    uint32_t at = position(n, id);
    return at < n->peer_count && n->peers[at].id == id ? &n->peers[at] : NULL;
}

bool peers_linked(struct node *n, uint64_t id) {
    struct peer *p = peers_find(n, id);
    return id == n->id || (p && p->link_count > 0);
}

bool peers_lost(struct node *n, uint64_t id) {
    struct peer *p = peers_find(n, id);
    return p && p->known && p->state == NODE_PEER_LOST;
}

const char *peers_name(struct node *n, uint64_t id) {
    struct peer *p = peers_find(n, id);
    const char *name = id == n->id ? n->options.name : p ? p->hello.name : "";
    return node__text(n, "%s%s%016llx%s", name, name[0] ? " (" : "", (unsigned long long)id, name[0] ? ")" : "");
}

static void remove_peer(struct node *n, uint32_t at) {
    memmove(&n->peers[at], &n->peers[at + 1], (--n->peer_count - at) * sizeof *n->peers);
}

/* Room for one more: the one that has been gone longest gives way. */
static bool make_room(struct node *n) {
    if (n->peer_count < NODE_PEERS_MAX) return true;
    uint32_t oldest = n->peer_count;
    for (uint32_t i = 0; i < n->peer_count; i++) {
        const struct peer *p = &n->peers[i];
        bool idle = p->link_count == 0 && p->dial == 0 && !(p->known && p->state == NODE_PEER_UP);
        if (idle && (oldest == n->peer_count || p->seen_us < n->peers[oldest].seen_us)) oldest = i;
    }
    if (oldest == n->peer_count) return false;
    remove_peer(n, oldest);
    return true;
}

/* The peer with this id, a new one if need be; NULL when the table is full of live ones. */
static struct peer *obtain(struct node *n, uint64_t id, uint64_t boot) {
    struct peer *p = peers_find(n, id);
    if (!p) {
        if (!make_room(n)) return NULL;
        uint32_t at = position(n, id);
        memmove(&n->peers[at + 1], &n->peers[at], (n->peer_count++ - at) * sizeof *n->peers);
        p = &n->peers[at];
        memset(p, 0, sizeof *p);
        p->id = id;
        p->boot = boot;
    }
    p->seen_us = n->now_us;
    return p;
}

static void close_link(struct node *n, uint64_t link) { node__emit(n, NODE_CLOSE)->link = link; }

static void close_links(struct node *n, struct peer *p) {
    for (uint32_t i = 0; i < p->link_count; i++) close_link(n, p->links[i].id);
    p->link_count = 0;
}

/* Does this node wait for the peer, or the peer for it? */
static bool is_close(const struct node *n, const struct peer *p) {
    return slices_shared_with(n, p->id) || jobs_shared_with(n, p->id);
}

static void send_heartbeat(struct node *n, struct peer *p) {
    struct wire_message m = {.type = WIRE_HEARTBEAT};
    uint32_t interval_us = is_close(n, p) ? CLOSE_HEARTBEAT_US : HEARTBEAT_US;
    m.heartbeat = (struct wire_heartbeat){n->now_us, p->echo_us, p->echo_us ? n->now_us - p->echo_at_us : 0,
                                          interval_us, n->readings};
    node__tell(n, p->id, &m);
    p->beat_us = n->now_us + interval_us;
}

static void lose(struct node *n, struct peer *p, const char *why) {
    bool was_up = p->known && p->state == NODE_PEER_UP;
    uint64_t id = p->id;
    close_links(n, p);
    p->down_us = 0;
    p->leaving = false;
    if (p->state == NODE_PEER_INCOMPATIBLE) return;
    p->state = p->known ? NODE_PEER_LOST : NODE_PEER_UP;
    snprintf(p->reason, sizeof p->reason, "%s", why);
    dialling_schedule(n, p, n->now_us + node__jitter(n, 500 * MS, SECOND));
    if (!was_up) return;
    node__log(n, LOG_WARN, "node %s: %s -> lost", peers_name(n, id), why);
    n->unsettled_us = n->now_us + 3 * SECOND;
    node__changed(n);
    jobs_link_broken(n, id);
    slices_peer_lost(n, id);
    instances_peer_lost(n, id);
    requests_peer_lost(n, id);
}

static bool loopback(const struct wire_address *a) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, one[16] = {[15] = 1};
    return (memcmp(a->ip, mapped, 12) == 0 && a->ip[12] == 127) || memcmp(a->ip, one, 16) == 0;
}

static bool link_local(const struct wire_address *a) { return a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80; }

/* May the address of one peer be of use to another? */
static bool worth_telling(const struct peer *p, const struct peer *to) {
    if (p->link_count == 0 || p->address_count == 0 || link_local(&p->addresses[0])) return false;
    return !loopback(&p->addresses[0]) || (to->address_count > 0 && loopback(&to->addresses[0]));
}

static struct wire_peer entry(const struct peer *p) { return (struct wire_peer){p->id, p->boot, p->addresses[0]}; }

/* Where multicast does not reach, those who came earlier and those who come now meet through this node. */
static void introduce(struct node *n, struct peer *fresh) {
    struct wire_peer *list = node__alloc(n, NODE_PEERS_MAX * sizeof *list);
    struct wire_message to_fresh = {.type = WIRE_PEERS, .peers = {0, list}};
    struct wire_peer one = entry(fresh);
    struct wire_message to_others = {.type = WIRE_PEERS, .peers = {1, &one}};
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct peer *p = &n->peers[i];
        if (p == fresh || p->link_count == 0) continue;
        if (worth_telling(p, fresh)) list[to_fresh.peers.count++] = entry(p);
        if (worth_telling(fresh, p)) node__tell(n, p->id, &to_others);
    }
    if (to_fresh.peers.count > 0) node__tell(n, fresh->id, &to_fresh);
}

/* Everything a peer must know when a link to it begins: nothing sent on another link can be relied on. */
static void greet(struct node *n, struct peer *p) {
    struct wire_message facts = {.type = WIRE_FACTS};
    facts_fill(n, &facts.facts);
    p->echo_us = p->beat_at_us = 0;
    send_heartbeat(n, p);
    node__tell(n, p->id, &facts);
    instances_link_up(n, p->id);
    slices_link_up(n, p->id);
}

/* `p` has no link. */
static void refuse(struct node *n, struct peer *p, uint64_t link, const struct wire_hello *h) {
    if (p->known && p->state == NODE_PEER_UP) lose(n, p, "its link broke and another protocol is spoken in its name");
    snprintf(p->reason, sizeof p->reason, "speaks protocol %u to %u, this node %u to %u: update the older one",
             h->protocol_min, h->protocol_max, WIRE_PROTOCOL_MIN, WIRE_PROTOCOL_MAX);
    if (link) close_link(n, link);
    p->state = NODE_PEER_INCOMPATIBLE;
    p->known = true;
    p->hello = *h;
    p->hello_us = n->now_us;
    p->boot = h->boot;
    node__log(n, LOG_WARN, "node %s %s -> incompatible", peers_name(n, p->id), p->reason);
    node__changed(n);
}

static bool protocol_overlaps(uint16_t min, uint16_t max) {
    return min <= WIRE_PROTOCOL_MAX && max >= WIRE_PROTOCOL_MIN;
}

/* The younger of two nodes with one id; clocks that are too close leave it to the boot nonce. */
static bool younger(uint64_t uptime_us, uint64_t boot, uint64_t other_uptime_us, uint64_t other_boot) {
    uint64_t apart = uptime_us > other_uptime_us ? uptime_us - other_uptime_us : other_uptime_us - uptime_us;
    return apart < 2 * SECOND ? boot > other_boot : uptime_us < other_uptime_us;
}

static void draw_new_id(struct node *n) {
    uint64_t old = n->id;
    jobs_own_ended(n, "this node has a new id");
    node__drop_all(n);
    do n->id = prng_next(&n->random);
    while (n->id == 0 || peers_find(n, n->id));
    n->twin_first_us = 0;
    n->renamed = n->number;
    node__log(n, LOG_WARN, "another live node has id %016llx -> this one is now %016llx", (unsigned long long)old,
              (unsigned long long)n->id);
    node__emit(n, NODE_ID_CHANGED)->id = n->id;
    node__rejoin(n, "a new id");
}

/* Must this node give way to its twin? The two see each other's age a little late: where age and nonce might be mixed
 * up, both count, so that it is rather both that give way than none. */
static bool gives_way(const struct node *n, const struct wire_hello *twin) {
    uint64_t age_us = n->now_us - n->start_us;
    bool later = n->options.boot > twin->boot, is_younger = age_us < twin->uptime_us;
    uint64_t apart = is_younger ? twin->uptime_us - age_us : age_us - twin->uptime_us;
    if (apart < 1 * SECOND) return later;
    return apart > 3 * SECOND ? is_younger : later || is_younger;
}

static void meet_own_id(struct node *n, const struct node_event *e) {
    close_link(n, e->link);
    if (e->hello->boot == n->options.boot) return; /* this node itself */
    if (gives_way(n, e->hello)) draw_new_id(n);
}

static void say_duplicate(struct node *n, uint64_t link) {
    struct wire_message m = {.type = WIRE_GOODBYE, .goodbye = {.reason = WIRE_DUPLICATE_ID}};
    snprintf(m.goodbye.text, sizeof m.goodbye.text, "this id belongs to another live node");
    size_t len = wire_size(&m);
    uint8_t *frame = node__alloc(n, len);
    wire_encode(&m, frame, len);
    struct node_effect *effect = node__emit(n, NODE_SEND);
    effect->link = link;
    effect->bytes = frame;
    effect->len = (uint32_t)len;
    close_link(n, link);
}

/* A hello with the id of a peer but of another start. Returns true when the new one takes its place. */
static bool replace(struct node *n, struct peer *p, const struct node_event *e) {
    bool alive = p->link_count > 0 && n->now_us - p->heard_us < TWIN_LINK_US;
    if (alive) {
        uint64_t uptime_us = p->hello.uptime_us + (n->now_us - p->hello_us);
        if (younger(e->hello->uptime_us, e->hello->boot, uptime_us, p->boot)) {
            say_duplicate(n, e->link);
            return false;
        }
        for (uint32_t i = 0; i < p->link_count; i++) say_duplicate(n, p->links[i].id);
        p->link_count = 0;
    }
    lose(n, p, "it was started again");
    return true;
}

static void note_hello(struct node *n, struct peer *p, const struct node_event *e) {
    if (p->boot != e->hello->boot) p->version = 0;
    p->hello = *e->hello;
    p->hello_us = n->now_us;
    p->boot = e->hello->boot;
    p->state = NODE_PEER_UP;
    p->reason[0] = '\0';
    if (p->hello.arithmetic != n->options.arithmetic)
        snprintf(p->reason, sizeof p->reason, "arithmetic revision %u, this node has %u: tokens may differ",
                 p->hello.arithmetic, n->options.arithmetic);
    struct wire_address address = e->address;
    if (e->dial == 0) address.port = e->hello->port;
    dialling_add_address(p, &address);
}

static void add_link(struct node *n, struct peer *p, const struct node_event *e) {
    bool decides = n->id < p->id;
    if (decides) close_links(n, p);
    if (p->link_count == PEER_LINKS_MAX) close_link(n, p->links[--p->link_count].id);
    p->links[p->link_count++] = (struct peer_link){e->link, e->dial != 0, n->now_us, n->now_us};
    p->heard_us = n->now_us;
    p->dial_us = 0;
    p->dial_failures = 0;
    p->down_us = 0;
}

static struct wire_message new_secret(const uint8_t *secret) {
    struct wire_message m = {.type = WIRE_NEW_SECRET};
    memcpy(m.new_secret.secret, secret, WIRE_SECRET_BYTES);
    return m;
}

void peers_spread_secret(struct node *n, const uint8_t *secret) {
    struct wire_message m = new_secret(secret);
    node__tell_all(n, &m);
}

/* Only a member that was out of reach while the secret changed may still come with the old one. */
static bool was_here(struct node *n, const struct wire_hello *h) {
    const struct peer *p = peers_find(n, h->id);
    return p && p->known && p->boot == h->boot;
}

void peers_link_up(struct node *n, const struct node_event *e) {
    const struct wire_hello *h = e->hello;
    dialling_over(n, e->dial, e);
    if (e->dial != 0 && e->dial <= n->renamed) { /* the other side may know this node by the id that it had */
        close_link(n, e->link);
        return;
    }
    if (h->id == n->id) {
        meet_own_id(n, e);
        return;
    }
    bool welcome = h->id != 0 && h->boot != 0 && (!e->secret || was_here(n, h));
    struct peer *p = welcome ? obtain(n, h->id, h->boot) : NULL;
    if (!p) {
        close_link(n, e->link);
        return;
    }
    if (!protocol_overlaps(h->protocol_min, h->protocol_max)) {
        if (p->link_count > 0) /* somebody else in its name; or it is another start, and the link is about to break */
            close_link(n, e->link);
        else
            refuse(n, p, e->link, h);
        return;
    }
    if (p->known && p->boot != h->boot && p->state == NODE_PEER_UP && !replace(n, p, e)) return;
    bool had_link = p->link_count > 0, is_new = !p->known || p->state != NODE_PEER_UP;
    if (had_link && n->id < p->id) jobs_link_broken(n, p->id);
    note_hello(n, p, e);
    if (!had_link) paths_link_up(p);
    add_link(n, p, e);
    p->known = true;
    if (e->secret) {
        struct wire_message m = new_secret(e->secret);
        node__tell(n, p->id, &m);
    }
    if (p->links[0].id == e->link) { /* else it waits until the lower node speaks on it */
        greet(n, p);
        introduce(n, p);
    }
    if (is_new) node__log(n, LOG_INFO, "node %s is here -> up", peers_name(n, p->id));
    p->arrived |= is_new;
    node__changed(n);
}

/* Who was refused is not dialled for being seen, unless it was started again since: it may have been updated. */
static void see(struct node *n, const struct wire_peer *w, uint64_t extra_us) {
    if (w->id == 0 || w->boot == 0) return;
    struct peer *p = obtain(n, w->id, w->boot);
    if (!p) return;
    if (p->link_count > 0) {
        dialling_note_address(p, &w->address);
    } else {
        dialling_add_address(p, &w->address);
        if (p->state == NODE_PEER_INCOMPATIBLE && p->boot == w->boot) return;
        dialling_schedule(n, p, n->now_us + extra_us + (n->id < p->id ? 0 : HIGHER_WAITS_US));
    }
}

/* Somebody announces this node's own id from another start: meet him, his hello will tell who is younger. */
static void see_twin(struct node *n, const struct wire_address *address) {
    if (n->now_us < n->twin_dial_us) return;
    n->twin_dial_us = n->now_us + node__jitter(n, SECOND, SECOND);
    struct node_effect *effect = node__emit(n, NODE_DIAL);
    effect->dial = ++n->number;
    effect->address = *address;
}

void peers_beacon(struct node *n, const struct node_event *e) {
    const struct wire_beacon *b = e->beacon;
    if (b->id == n->id) {
        if (b->boot != n->options.boot) see_twin(n, &e->address);
        return;
    }
    struct wire_peer w = {b->id, b->boot, e->address};
    if (protocol_overlaps(b->protocol_min, b->protocol_max)) {
        see(n, &w, 0);
        return;
    }
    struct peer *p = obtain(n, b->id, b->boot);
    if (!p || p->state == NODE_PEER_INCOMPATIBLE || p->link_count > 0) return;
    dialling_add_address(p, &e->address);
    struct wire_hello h = {
        .protocol_min = b->protocol_min, .protocol_max = b->protocol_max, .id = b->id, .boot = b->boot};
    refuse(n, p, 0, &h);
}

void peers_add_static(struct node *n, const struct wire_address *address) {
    for (uint32_t i = 0; i < n->static_count; i++)
        if (dialling_same_address(&n->statics[i].address, address)) return;
    if (n->static_count == NODE_STATIC_PEERS_MAX) {
        node__log(n, LOG_WARN, "more than %d --peer addresses -> the rest is ignored", NODE_STATIC_PEERS_MAX);
        return;
    }
    n->statics[n->static_count++] = (struct static_peer){.address = *address, .dial_us = n->now_us};
}

/* Nobody answers any more where the peer was: it is gone, unless it can only dial us and has time left to do so. */
void peers_dial_failed(struct node *n, uint64_t dial) {
    struct peer *p = dialling_over(n, dial, NULL);
    if (p && p->down_us != 0 && p->dial_failures >= p->address_count)
        lose(n, p, "its link broke and it does not answer");
}

static void drop_link(struct node *n, struct peer *p, uint32_t at) {
    bool active = at == 0, short_lived = n->now_us - p->links[at].up_us < SHORT_LIFE_US;
    memmove(&p->links[at], &p->links[at + 1], (--p->link_count - at) * sizeof *p->links);
    if (!active) return;
    jobs_link_broken(n, p->id);
    if (p->link_count > 0) {
        greet(n, p);
        return;
    }
    node__log(n, LOG_INFO, "link to node %s broke -> dialling", peers_name(n, p->id));
    p->down_us = n->now_us;
    p->dial_failures = 0;
    dialling_schedule(n, p, short_lived ? n->now_us + node__jitter(n, 200 * MS, 300 * MS) : n->now_us);
}

void peers_link_down(struct node *n, uint64_t link) {
    for (uint32_t i = 0; i < n->peer_count; i++)
        for (uint32_t k = 0; k < n->peers[i].link_count; k++)
            if (n->peers[i].links[k].id == link) {
                drop_link(n, &n->peers[i], k);
                return;
            }
}

/* The node with the lower id speaks on another link than before. Is it the one that it keeps, or is this just a late
 * word on one that it gave up? */
static bool worth_following(const struct node *n, const struct peer *p, uint32_t at) {
    const struct peer_link *used = &p->links[0];
    return p->links[at].up_us >= used->up_us || n->now_us - used->heard_us > FOLLOW_AFTER_US;
}

static void follow(struct node *n, struct peer *p, uint32_t at) {
    struct peer_link link = p->links[at];
    p->links[at] = p->links[0];
    p->links[0] = link;
    jobs_link_broken(n, p->id);
    greet(n, p);
}

struct peer *peers_heard(struct node *n, uint64_t link) {
    for (uint32_t i = 0; i < n->peer_count; i++)
        for (uint32_t k = 0; k < n->peers[i].link_count; k++) {
            struct peer *p = &n->peers[i];
            if (p->links[k].id != link) continue;
            p->links[k].heard_us = p->heard_us = p->seen_us = n->now_us;
            if (k > 0 && worth_following(n, p, k)) follow(n, p, k);
            return p;
        }
    return NULL;
}

void peers_violation(struct node *n, struct peer *p, uint64_t link, const char *what) {
    node__log(n, LOG_WARN, "node %s sent %s -> link closed", peers_name(n, p->id), what);
    close_link(n, link);
    peers_link_down(n, link);
}

/* How much later than promised it is heard at times, on a busy machine or network; forgotten by and by. */
static void note_lateness(struct peer *p, uint32_t interval_us, uint64_t now_us) {
    uint64_t since_us = p->beat_at_us ? now_us - p->beat_at_us : 0;
    uint64_t late_us = p->interval_us && since_us > p->interval_us ? since_us - p->interval_us : 0;
    uint32_t faded_us = p->late_us - p->late_us / 16;
    p->late_us = late_us < faded_us ? faded_us : late_us < LATENESS_MAX_US ? (uint32_t)late_us : LATENESS_MAX_US;
    p->beat_at_us = now_us;
    p->interval_us = interval_us;
}

static void take_heartbeat(struct node *n, struct peer *p, const struct wire_heartbeat *h) {
    p->echo_us = h->sent_us;
    p->echo_at_us = n->now_us;
    p->readings = h->readings;
    note_lateness(p, h->interval_us, n->now_us);
    uint64_t since = n->now_us - h->echo_us;
    if (h->echo_us == 0 || h->echo_us > n->now_us || h->held_us > since || since - h->held_us > SILENCE_US) return;
    uint64_t rtt = since - h->held_us;
    bool first = p->rtt_us == 0;
    p->rtt_us = first ? (uint32_t)rtt + 1 : (uint32_t)((7 * (uint64_t)p->rtt_us + rtt + 7) / 8);
    if (first) facts_touch(n);
}

static void take_facts(struct node *n, struct peer *p, const struct wire_facts *facts) {
    p->facts = *facts;
    recovery_cluster_changed(n, p->arrived);
    p->arrived = false;
    node__changed(n);
}

static void take_goodbye(struct node *n, struct peer *p, const struct wire_goodbye *g) {
    if (g->reason == WIRE_DRAINING) {
        node__log(n, LOG_INFO, "node %s is about to leave -> its parts are placed anew", peers_name(n, p->id));
        p->leaving = true;
        recovery_hand_over(n, p->id);
        return;
    }
    if (g->reason != WIRE_DUPLICATE_ID) {
        lose(n, p, g->reason == WIRE_LEAVING ? "it left" : g->text);
        return;
    }
    if (n->twin_first_us == 0 || n->now_us - n->twin_last_us > TWIN_FORGET_US) n->twin_first_us = n->now_us;
    n->twin_last_us = n->now_us;
    if (n->now_us - n->twin_first_us >= TWIN_PATIENCE_US) draw_new_id(n);
}

void peers_message(struct node *n, struct peer *p, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_HEARTBEAT: take_heartbeat(n, p, &m->heartbeat); break;
    case WIRE_FACTS: take_facts(n, p, &m->facts); break;
    case WIRE_PEERS:
        for (uint32_t i = 0; i < m->peers.count; i++)
            if (m->peers.peers[i].id != n->id) see(n, &m->peers.peers[i], node__jitter(n, 100 * MS, 200 * MS));
        break;
    case WIRE_GOODBYE: take_goodbye(n, p, &m->goodbye); break;
    case WIRE_NEW_SECRET: {
        uint8_t *secret = node__alloc(n, WIRE_SECRET_BYTES);
        memcpy(secret, m->new_secret.secret, WIRE_SECRET_BYTES);
        node__emit(n, NODE_SECRET_CHANGED)->secret = secret;
        break;
    }
    default: break;
    }
}

static void beacon_timer(struct node *n) {
    static const uint32_t quick_us[] = {200 * MS, 300 * MS, 500 * MS};
    if (!n->options.discovery || !node__due(n, n->beacon_us)) return;
    n->beacon_us = n->now_us + (n->beacons_sent < 3 ? quick_us[n->beacons_sent] : BEACON_US);
    n->beacons_sent++;
    node__emit(n, NODE_SEND_BEACON)->beacon = (struct wire_beacon){.protocol_min = WIRE_PROTOCOL_MIN,
                                                                   .protocol_max = WIRE_PROTOCOL_MAX,
                                                                   .id = n->id,
                                                                   .boot = n->options.boot,
                                                                   .port = n->options.port};
}

/* Links that the lower id does not use any more, though it never closed them. */
static void spare_link_timer(struct node *n, struct peer *p) {
    while (p->link_count > 1 && node__due(n, p->links[p->link_count - 1].heard_us + SPARE_LINK_US))
        close_link(n, p->links[--p->link_count].id);
}

/* It promised to be heard so often that a short silence says enough. */
static bool hasty(const struct peer *p) { return p->interval_us > 0 && p->interval_us <= CLOSE_HEARTBEAT_US; }

static uint64_t silence_us(const struct peer *p) { return hasty(p) ? CLOSE_SILENCE_US + 2 * p->late_us : SILENCE_US; }

void peers_excuse(struct node *n, uint64_t us) {
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct peer *p = &n->peers[i];
        p->heard_us = p->heard_us + us < n->now_us ? p->heard_us + us : n->now_us;
    }
}

static void peer_timer(struct node *n, struct peer *p) {
    spare_link_timer(n, p);
    if (p->link_count > 0) {
        uint64_t close_beat_us = n->now_us + CLOSE_HEARTBEAT_US;
        if (p->beat_us > close_beat_us && is_close(n, p)) p->beat_us = close_beat_us;
        if (node__due(n, p->heard_us + silence_us(p)))
            lose(n, p, node__text(n, "silent for %llu ms", (unsigned long long)(silence_us(p) / MS)));
        else if (node__due(n, p->beat_us))
            send_heartbeat(n, p);
    } else if (p->down_us != 0 && node__due(n, p->down_us + (hasty(p) ? CLOSE_SILENCE_US : REDIAL_GRACE_US))) {
        lose(n, p, "its link broke and did not come back");
    }
}

void peers_timers(struct node *n) {
    beacon_timer(n);
    for (uint32_t i = 0; i < n->peer_count; i++) peer_timer(n, &n->peers[i]);
    for (uint32_t i = n->peer_count; i-- > 0;) {
        const struct peer *p = &n->peers[i];
        bool idle = p->link_count == 0 && p->down_us == 0 && p->dial == 0;
        if (!idle || !node__due(n, p->seen_us + LOST_LISTED_US)) continue;
        remove_peer(n, i);
        node__changed(n);
    }
}

void peers_forget_links(struct node *n) {
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct peer *p = &n->peers[i];
        bool was_up = p->state == NODE_PEER_UP;
        lose(n, p, "this node gave up its links");
        p->dial_failures = 0;
        if (!was_up) continue;
        dialling_schedule(n, p, n->now_us + node__jitter(n, 0, 200 * MS));
    }
}

void peers_goodbye(struct node *n, enum wire_goodbye_reason reason) {
    struct wire_message m = {.type = WIRE_GOODBYE, .goodbye = {.reason = reason}};
    node__tell_all(n, &m);
}
