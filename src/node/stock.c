#include "node/stock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/source.h"
#include "net/fetch/fetch.h"
#include "node/census.h"
#include "node/hold.h"
#include "node/mates.h"
#include "node/pull.h"
#include "os/clock.h"
#include "os/thread.h"

enum { TURN_MS_MAX = 250, TELL_US = 200000, CENSUS_US = 20000 };

/* ---- orders: any thread -> the stock's ---- */

enum order_type { ORDER_PULL, ORDER_HOLD, ORDER_PAUSE, ORDER_CANCEL };

struct order {
    struct order *next;
    enum order_type type;
    char name[ORIGIN_NAME_BYTES];
    struct origin origin;
    bool whole, check, all;
    uint64_t report;
    struct wire_plan *plan; /* of ORDER_HOLD */
};

static struct pull *find_pull(struct stock *s, const struct origin *origin) {
    for (struct pull *p = s->pulls; p; p = p->next)
        if (!p->removed && origin_same(&p->origin, origin)) return p;
    return NULL;
}

static void obey(struct stock *s, struct order *o) {
    struct pull *p = o->plan ? hold_find(s, o->plan->fingerprint, o->name) : find_pull(s, &o->origin);
    if (p == NULL && o->type <= ORDER_HOLD) p = pull_new(s, &o->origin, o->name);
    if (o->check) {
        pull_check(p);
    } else if (o->type == ORDER_PULL) {
        pull_begin(p, o->name, o->whole);
    } else if (o->type == ORDER_HOLD) {
        pull_hold(p, o->plan, o->all, o->report);
        o->plan = NULL;
    } else if (p) {
        pull_halt(p, o->type == ORDER_CANCEL);
    }
}

static void free_orders(struct order *o) {
    while (o) {
        struct order *next = o->next;
        free(o->plan);
        free(o);
        o = next;
    }
}

static void tell(struct stock *s, uint64_t now_us) {
    bool changed = false;
    pthread_mutex_lock(&s->mutex);
    for (struct pull *p = s->pulls; p; p = p->next) {
        struct stock_view view;
        pull_view(p, &view);
        changed |= memcmp(&view, &p->told, sizeof view) != 0;
        p->told = view;
    }
    pthread_mutex_unlock(&s->mutex);
    s->tell_us = now_us + TELL_US;
    s->urgent = false;
    if (changed) s->options.changed(s->options.context);
}

/* Orders are seen by whoever asks until what came of them can be. */
static void obey_all(struct stock *s, uint64_t now_us) {
    pthread_mutex_lock(&s->mutex);
    s->taken = s->orders;
    s->orders = NULL;
    s->orders_end = &s->orders;
    pthread_mutex_unlock(&s->mutex);
    if (s->taken == NULL) return;
    for (struct order *o = s->taken; o; o = o->next) obey(s, o);
    tell(s, now_us);
    pthread_mutex_lock(&s->mutex);
    struct order *all = s->taken;
    s->taken = NULL;
    pthread_mutex_unlock(&s->mutex);
    free_orders(all);
}

static int give_order(struct stock *s, const struct order *order, const char *name, struct error *error) {
    struct order *o = calloc(1, sizeof *o);
    if (o == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    *o = *order;
    snprintf(o->name, sizeof o->name, "%s", name);
    pthread_mutex_lock(&s->mutex);
    *s->orders_end = o;
    s->orders_end = &o->next;
    pthread_mutex_unlock(&s->mutex);
    fetcher_wake(s->fetcher);
    return 0;
}

/* ---- views ---- */

/* What is about to begin, or to begin again, as if it had. */
static void add_ordered(const struct order *o, struct stock_view *out, size_t *count, size_t max) {
    for (; o; o = o->next) {
        struct origin other;
        size_t at = 0;
        if (o->type != ORDER_PULL) continue;
        while (at < *count && !(origin_parse(&other, out[at].name, NULL) == 0 && origin_same(&other, &o->origin))) at++;
        if (at == max) return;
        if (at == *count) {
            out[(*count)++] = (struct stock_view){0};
            snprintf(out[at].name, sizeof out[at].name, "%s", o->name);
        }
        out[at].state = STOCK_LISTING;
    }
}

size_t stock_views(struct stock *s, struct stock_view *out, size_t max) {
    size_t count = 0;
    pthread_mutex_lock(&s->mutex);
    for (struct pull *p = s->pulls; p && count < max; p = p->next)
        if (!p->removed && p->told.name[0]) out[count++] = p->told;
    add_ordered(s->taken, out, &count, max);
    add_ordered(s->orders, out, &count, max);
    pthread_mutex_unlock(&s->mutex);
    return count;
}

bool stock_find(struct stock *s, const char *name, struct stock_view *out) {
    struct origin origin;
    size_t count = 0;
    if (origin_parse(&origin, name, NULL) != 0) return false;
    pthread_mutex_lock(&s->mutex);
    for (struct pull *p = s->pulls; p && count == 0; p = p->next)
        if (!p->removed && p->told.name[0] && origin_same(&p->origin, &origin)) out[count++] = p->told;
    const struct order *const lists[] = {s->taken, s->orders};
    for (size_t i = 0; i < 2; i++)
        for (const struct order *o = lists[i]; o; o = o->next) {
            if (o->type != ORDER_PULL || !origin_same(&o->origin, &origin)) continue;
            if (count == 0) *out = (struct stock_view){0};
            if (count++ == 0) snprintf(out->name, sizeof out->name, "%s", o->name);
            out->state = STOCK_LISTING;
        }
    pthread_mutex_unlock(&s->mutex);
    return count > 0;
}

const char *stock_state_name(enum stock_state state) {
    static const char *const names[] = {"listing", "headers", "planning", "fetching", "done", "paused", "failed"};
    return names[state];
}

/* ---- the thread ---- */

static void take_hashes(struct stock *s) {
    struct hasher_job *job;
    while ((job = hasher_take(s->hasher)) != NULL) pull_checked(job);
}

/* Pulls that are nothing but their end make room when there are many. */
static void sweep(struct stock *s) {
    unsigned count = 0;
    for (struct pull *p = s->pulls; p; p = p->next) count++;
    pthread_mutex_lock(&s->mutex);
    for (struct pull **at = &s->pulls; *at;) {
        struct pull *p = *at;
        bool over = p->removed || (count > STOCK_PULLS_MAX && (p->state == STOCK_DONE || p->state == STOCK_FAILED));
        if (!over || !pull_at_rest(p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        for (struct pull *q = s->pulls; q; q = q->next)
            if (q->leader == p) pull_begin(q, q->name, q->whole);
        pull_free(p);
        count--;
    }
    pthread_mutex_unlock(&s->mutex);
}

static int wait_ms(struct stock *s, uint64_t now_us) {
    uint64_t deadline = UINT64_MAX;
    for (struct pull *p = s->pulls; p; p = p->next) {
        uint64_t due = pull_deadline(p);
        if (due < deadline) deadline = due;
    }
    if (census_waits(s) && deadline > now_us + CENSUS_US) deadline = now_us + CENSUS_US;
    if (deadline <= now_us) return 0;
    uint64_t ms = (deadline - now_us) / 1000 + 1;
    return ms < TURN_MS_MAX || s->pulls == NULL ? (int)(ms < 60000 ? ms : 60000) : TURN_MS_MAX;
}

static void run(void *context) {
    struct stock *s = context;
    while (!atomic_load(&s->ending)) {
        struct fetch_wait waits[FETCH_WAITS_MAX];
        size_t count = mates_waits(s, waits, FETCH_WAITS_MAX);
        fetcher_turn(s->fetcher, waits, count, wait_ms(s, clock_us()));
        uint64_t now_us = clock_us();
        asides_turn(s->asides);
        mates_turn(s, now_us);
        census_turn(s, now_us);
        obey_all(s, now_us);
        take_hashes(s);
        for (struct pull *p = s->pulls; p; p = p->next) pull_turn(p, now_us);
        if (s->urgent || now_us >= s->tell_us) tell(s, now_us);
        sweep(s);
    }
    census_turn(s, UINT64_MAX);
    for (struct pull *p = s->pulls; p; p = p->next) pull_halt(p, false);
    hasher_free(s->hasher);
    s->hasher = NULL;
    mates_free(s);
}

static void on_hashed(void *context) {
    struct stock *s = context;
    fetcher_wake(s->fetcher);
}

int stock_new(struct stock **out, const struct stock_options *options, struct error *error) {
    struct stock *s = calloc(1, sizeof *s);
    if (s == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    s->options = *options;
    s->orders_end = &s->orders;
    pthread_mutex_init(&s->mutex, NULL);
    int rc = fetcher_new(&s->fetcher, options->agent, error);
    if (rc == 0) rc = hasher_new(&s->hasher, on_hashed, s, error);
    if (rc == 0) rc = drain_new(&s->drain, error);
    if (rc == 0) rc = asides_new(&s->asides, s, error);
    if (rc == 0) rc = thread_start(&s->thread, "stock", run, s);
    if (rc == 0) {
        *out = s;
        return 0;
    }
    asides_free(s->asides);
    drain_free(s->drain);
    hasher_free(s->hasher);
    fetcher_free(s->fetcher);
    free(s);
    return error_set(error, rc, "the stock of models cannot be opened: %s", error_text(rc));
}

void stock_free(struct stock *s) {
    if (s == NULL) return;
    atomic_store(&s->ending, true);
    fetcher_wake(s->fetcher);
    thread_join(&s->thread);
    asides_free(s->asides);
    free_orders(s->orders);
    while (s->pulls) {
        struct pull *next = s->pulls->next;
        pull_free(s->pulls);
        s->pulls = next;
    }
    drain_free(s->drain);
    fetcher_free(s->fetcher);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* ---- orders, given ---- */

int stock_pull(struct stock *s, const char *name, bool whole, struct error *error) {
    struct order o = {.type = ORDER_PULL, .whole = whole};
    int rc = origin_parse(&o.origin, name, error);
    return rc < 0 ? rc : give_order(s, &o, name, error);
}

int stock_check(struct stock *s, const char *name, struct error *error) {
    struct order o = {.type = ORDER_PULL, .check = true};
    int rc = origin_parse(&o.origin, name, error);
    return rc < 0 ? rc : give_order(s, &o, name, error);
}

int stock__hold(struct stock *s, const struct wire_plan *plan, bool all, uint64_t report, struct error *error) {
    struct order o = {.type = ORDER_HOLD, .all = all, .report = report, .plan = malloc(sizeof *plan)};
    char name[SOURCE_PATH_BYTES];
    if (o.plan == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    *o.plan = *plan;
    source_place(plan->model, name);
    if (origin_parse(&o.origin, name, NULL) < 0) o.origin = (struct origin){0};
    int rc = give_order(s, &o, name, error);
    if (rc < 0) free(o.plan);
    return rc;
}

int stock_hold(struct stock *s, const struct wire_plan *plan, bool all, struct error *error) {
    return stock__hold(s, plan, all, 0, error);
}

bool stock_find_held(struct stock *s, const uint8_t *fingerprint, struct stock_view *out) {
    bool found = false;
    pthread_mutex_lock(&s->mutex);
    for (struct pull *p = s->pulls; p && !found; p = p->next) {
        found = !p->removed && p->plan && memcmp(p->plan->fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0;
        if (found) *out = p->told;
    }
    const struct order *const lists[] = {s->taken, s->orders};
    for (size_t i = 0; i < 2; i++)
        for (const struct order *o = lists[i]; o; o = o->next) {
            if (!o->plan || memcmp(o->plan->fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) != 0) continue;
            *out = (struct stock_view){.state = STOCK_LISTING};
            found = true;
        }
    pthread_mutex_unlock(&s->mutex);
    return found;
}

static int halt(struct stock *s, enum order_type type, const char *name, struct error *error) {
    struct origin origin;
    struct stock_view view;
    int rc = origin_parse(&origin, name, error);
    if (rc < 0) return rc;
    if (!stock_find(s, name, &view)) return error_set(error, ERR_NOT_FOUND, "%.200s is not being pulled", name);
    return give_order(s, &(struct order){.type = type, .origin = origin}, name, error);
}

int stock_pause_planning(struct stock *s, const char *name) {
    struct stock_view view;
    struct error error;
    bool waits = stock_find(s, name, &view) && view.state == STOCK_PLANNING;
    return waits ? stock_pause(s, name, &error) : ERR_NOT_FOUND;
}

int stock_pause(struct stock *s, const char *name, struct error *error) { return halt(s, ORDER_PAUSE, name, error); }
int stock_cancel(struct stock *s, const char *name, struct error *error) { return halt(s, ORDER_CANCEL, name, error); }
