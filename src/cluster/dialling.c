/* When to dial whom: peers that were seen, and the addresses given by --peer.
 *
 * Of two nodes that see each other the one with the lower id dials at once, the other a little later if nothing came:
 * so most pairs get one link, and a node that cannot be dialled (NAT) still gets its own. */
#include <string.h>

#include "cluster/internal.h"

enum {
    RETRY_US = 1 * SECOND,
    RETRY_LATE_US = 4 * SECOND, /* after some failures */
    RETRY_REFUSED_US = 30 * SECOND,
    STATIC_RETRY_MAX_US = 8 * SECOND,
};

bool dialling_same_address(const struct wire_address *a, const struct wire_address *b) {
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->port == b->port && a->scope_id == b->scope_id;
}

/* The newest proof of an address goes to the front. */
void dialling_add_address(struct peer *p, const struct wire_address *address) {
    if (address->port == 0) return;
    uint32_t at = 0;
    while (at < p->address_count && !dialling_same_address(&p->addresses[at], address)) at++;
    if (at == p->address_count && p->address_count < PEER_ADDRESSES_MAX) p->address_count++;
    if (at == PEER_ADDRESSES_MAX) at--;
    memmove(p->addresses + 1, p->addresses, at * sizeof *p->addresses);
    p->addresses[0] = *address;
}

void dialling_note_address(struct peer *p, const struct wire_address *address) {
    if (address->port == 0 || p->address_count == PEER_ADDRESSES_MAX) return;
    for (uint32_t i = 0; i < p->address_count; i++)
        if (dialling_same_address(&p->addresses[i], address)) return;
    p->addresses[p->address_count++] = *address;
}

void dialling_schedule(struct node *n, struct peer *p, uint64_t when_us) {
    if (p->link_count > 0 || p->dial != 0) return;
    if (p->dial_us == 0 || when_us < p->dial_us) p->dial_us = when_us;
}

static uint64_t dial(struct node *n, const struct wire_address *address) {
    struct node_effect *effect = node__emit(n, NODE_DIAL);
    effect->dial = ++n->number;
    effect->address = *address;
    return effect->dial;
}

static uint64_t retry_after(struct node *n, const struct peer *p) {
    if (p->state == NODE_PEER_INCOMPATIBLE) return node__jitter(n, RETRY_REFUSED_US, RETRY_US);
    if (p->state == NODE_PEER_UP && p->known) return node__jitter(n, 100 * MS, 100 * MS);
    return p->dial_failures < 5 ? node__jitter(n, RETRY_US / 2, RETRY_US) : node__jitter(n, RETRY_LATE_US, RETRY_US);
}

/* Somebody else answers there now: dialling on would only disturb him. */
static void forget_address(struct peer *p, const struct wire_address *address) {
    for (uint32_t i = 0; i < p->address_count; i++) {
        if (!dialling_same_address(&p->addresses[i], address)) continue;
        memmove(&p->addresses[i], &p->addresses[i + 1], (--p->address_count - i) * sizeof *p->addresses);
        return;
    }
}

static struct peer *peer_over(struct node *n, uint64_t number, const struct node_event *up) {
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct peer *p = &n->peers[i];
        if (p->dial != number) continue;
        p->dial = 0;
        p->dial_failures += !up;
        if (up && up->hello->id != p->id) forget_address(p, &up->address);
        if (p->link_count == 0 && p->address_count > 0) dialling_schedule(n, p, n->now_us + retry_after(n, p));
        return p;
    }
    return NULL;
}

static void static_over(struct node *n, uint64_t number, const struct node_event *up) {
    for (uint32_t i = 0; i < n->static_count; i++) {
        struct static_peer *s = &n->statics[i];
        if (s->dial != number) continue;
        s->dial = 0;
        s->failures = up ? 0 : s->failures + 1;
        if (up) s->peer = up->hello->id;
        if (up) s->boot = up->hello->boot;
        s->self = up && s->peer == n->id && s->boot == n->options.boot;
        uint64_t base_us = (uint64_t)RETRY_US << (s->failures < 3 ? s->failures : 3);
        s->dial_us =
            n->now_us + node__jitter(n, base_us < STATIC_RETRY_MAX_US ? base_us : STATIC_RETRY_MAX_US, RETRY_US);
    }
}

struct peer *dialling_over(struct node *n, uint64_t number, const struct node_event *up) {
    if (number == 0) return NULL;
    static_over(n, number, up);
    return peer_over(n, number, up);
}

/* Not if only a twin of it is: the two must meet, so that one draws another id. */
static bool linked(struct node *n, const struct static_peer *s) {
    const struct peer *p = peers_find(n, s->peer);
    return p && p->link_count > 0 && p->boot == s->boot;
}

static void static_timer(struct node *n, struct static_peer *s) {
    if (s->self || s->dial != 0 || !node__due(n, s->dial_us)) return;
    if (linked(n, s))
        s->dial_us = n->now_us + RETRY_US;
    else
        s->dial = dial(n, &s->address);
}

static void peer_timer(struct node *n, struct peer *p) {
    if (p->dial != 0 || !node__due(n, p->dial_us)) return;
    p->dial_us = 0;
    if (p->link_count > 0 || p->address_count == 0) return;
    p->dial = dial(n, &p->addresses[p->address_next++ % p->address_count]);
}

void dialling_timers(struct node *n) {
    for (uint32_t i = 0; i < n->static_count; i++) static_timer(n, &n->statics[i]);
    for (uint32_t i = 0; i < n->peer_count; i++) peer_timer(n, &n->peers[i]);
}
