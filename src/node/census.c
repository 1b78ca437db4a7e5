#include "node/census.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

enum { WAIT_US = 5000000 };

struct census {
    struct census *next;
    uint64_t number;
    const struct stock_share *about; /* the model, and whether it is to go */
    struct stock_share *shares;      /* one for each other node; `node` is set, `told` once it has answered */
    bool asked[STOCK_PEERS_MAX];
    size_t count;
    uint64_t end_us;
    atomic_uint over;
};

/* ---- asking ---- */

static void ask(struct stock *s, struct census *c) {
    for (size_t i = 0; i < c->count; i++) {
        struct mate *m = c->asked[i] ? NULL : mates_find(s, c->shares[i].node);
        if (m == NULL) continue;
        struct wire_store question = {
            .type = WIRE_STORE_SHARE_GET, .request = c->number, .state = c->about->remove};
        memcpy(question.fingerprint, c->about->fingerprint, sizeof question.fingerprint);
        memcpy(question.name, c->about->name, sizeof question.name);
        c->asked[i] = mates_send(m, &question);
    }
}

static bool is_over(const struct census *c, uint64_t now_us) {
    size_t told = 0;
    for (size_t i = 0; i < c->count; i++) told += c->shares[i].told;
    return told == c->count || now_us >= c->end_us;
}

void census_turn(struct stock *s, uint64_t now_us) {
    pthread_mutex_lock(&s->mutex);
    struct census *list = s->censuses;
    pthread_mutex_unlock(&s->mutex);
    if (list) mates_dial(s, now_us);
    for (struct census *c = list; c; c = c->next) ask(s, c);
    pthread_mutex_lock(&s->mutex);
    for (struct census **at = &s->censuses; *at;) {
        struct census *c = *at;
        if (!is_over(c, now_us)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        atomic_store(&c->over, 1); /* it is whoever waits who owns it */
        thread_unpark_all(&c->over);
    }
    pthread_mutex_unlock(&s->mutex);
}

bool census_waits(const struct stock *s) { return s->censuses != NULL; }

void census_take(struct stock *s, const struct mate *from, const struct wire_store *m) {
    pthread_mutex_lock(&s->mutex);
    struct census *c = s->censuses;
    while (c && c->number != m->request) c = c->next;
    for (size_t i = 0; c && i < c->count; i++) {
        struct stock_share *share = &c->shares[i];
        if (share->node != from->node) continue;
        share->told = true;
        share->bytes_here = m->bytes_done;
        share->bytes_total = m->bytes_total;
        if (m->code) error_set(&share->error, m->code, "%s", m->text);
    }
    pthread_mutex_unlock(&s->mutex);
}

size_t stock_census(struct stock *s, const struct stock_share *about, struct stock_share *out) {
    struct census c = {.about = about, .shares = out, .end_us = clock_us() + WAIT_US};
    uint64_t nodes[STOCK_PEERS_MAX];
    c.count = mates_peers(s, nodes);
    for (size_t i = 0; i < c.count; i++) out[i] = (struct stock_share){.node = nodes[i]};
    atomic_init(&c.over, 0);
    pthread_mutex_lock(&s->mutex);
    c.number = ++s->census_number;
    c.next = s->censuses;
    s->censuses = &c;
    pthread_mutex_unlock(&s->mutex);
    fetcher_wake(s->fetcher);
    while (!atomic_load(&c.over)) thread_park(&c.over, 0, -1);
    pthread_mutex_lock(&s->mutex); /* who ended it has let go of it */
    pthread_mutex_unlock(&s->mutex);
    return c.count;
}

/* ---- answering ---- */

/* What is told of this node's disks. */
struct look {
    struct aside aside;
    const struct stock_options *options;
    struct stock_share share;
    uint64_t request;
    uint16_t mate;
};

static void look(struct aside *a) {
    struct look *l = (struct look *)a;
    l->options->share(l->options->context, &l->share);
}

static void tell(struct mate *to, const struct look *l) {
    const struct stock_share *share = &l->share;
    struct wire_store answer = {.type = WIRE_STORE_SHARE,
                                .request = l->request,
                                .state = share->bytes_total > 0 ? WIRE_STORE_HERE : WIRE_STORE_ABSENT,
                                .bytes_done = share->bytes_here,
                                .bytes_total = share->bytes_total,
                                .code = share->error.code};
    if (share->error.code) snprintf(answer.text, sizeof answer.text, "%.*s", WIRE_REASON_BYTES - 1, share->error.text);
    memcpy(answer.fingerprint, share->fingerprint, sizeof answer.fingerprint);
    mates_send(to, &answer);
}

static void end_look(struct stock *s, struct aside *a) {
    struct look *l = (struct look *)a;
    struct mate *to = s ? mates_number(s, l->mate) : NULL;
    if (to) tell(to, l);
    free(l);
}

void census_answer(struct stock *s, struct mate *from, const struct wire_store *m) {
    struct look *l = calloc(1, sizeof *l);
    assert(l != NULL);
    l->aside = (struct aside){.visits = true, .run = look, .finish = end_look};
    l->options = &s->options;
    l->share.remove = m->state > 0;
    memcpy(l->share.fingerprint, m->fingerprint, sizeof l->share.fingerprint);
    snprintf(l->share.name, sizeof l->share.name, "%s", m->name);
    l->request = m->request;
    l->mate = from->number;
    aside_go(s->asides, &l->aside);
}
