#include "node/stay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon_private.h"
#include "os/clock.h"

enum { US_PER_S = 1000000, MS_PER_S = 1000 };

/* An instance that this node coordinates. */
struct guest {
    uint64_t instance; /* 0: a free row */
    uint32_t keep_alive_s;
    uint64_t used_us; /* when it came, or its last job began or ended */
};

/* A model on its way because requests wait for it. */
struct arrival {
    struct arrival *next;
    struct daemon *daemon;
    uint64_t number;
    uint64_t request; /* under way in requests.c; 0: none, it waits for somebody to be idle */
    bool local;
    uint32_t context;  /* 0: as usual */
    uint32_t parallel; /* 0: as usual; 1: as little memory as it takes */
    struct text model;
};

struct stay {
    uv_timer_t timer;
    struct guest guests[NODE_INSTANCES_MAX];
    struct arrival *arrivals;
    uint64_t last_number;
    unsigned leaving; /* instances that were asked to go and have not gone yet */
};

static void on_timer(uv_timer_t *timer);

static void look_soon(struct daemon *d) { uv_timer_start(&d->stay->timer, on_timer, 0, 0); }

/* ---- guests ---- */

static struct guest *find(const struct daemon *d, uint64_t instance) {
    for (size_t i = 0; d->stay && i < NODE_INSTANCES_MAX; i++)
        if (d->stay->guests[i].instance == instance) return &d->stay->guests[i];
    return NULL;
}

/* There are no more instances than rows, so rows of those that are gone are enough for who is new. */
static struct guest *find_or_add(struct daemon *d, uint64_t instance) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(d->node, views, NODE_INSTANCES_MAX);
    struct guest *found = find(d, instance);
    for (size_t i = 0; !found && i < NODE_INSTANCES_MAX; i++) {
        bool listed = false;
        for (size_t k = 0; k < count; k++) listed |= views[k].id == d->stay->guests[i].instance;
        if (listed) continue;
        found = &d->stay->guests[i];
        *found = (struct guest){.instance = instance, .keep_alive_s = WIRE_KEEP_FOREVER};
    }
    assert(found != NULL);
    return found;
}

void stay_arrived(struct daemon *d, uint64_t instance) { find_or_add(d, instance)->used_us = clock_us(); }

void stay_keep(struct daemon *d, uint64_t instance, uint32_t keep_alive_s) {
    struct guest *g = find(d, instance);
    if (g == NULL || keep_alive_s == WIRE_KEEP_AS_IT_IS) return;
    g->keep_alive_s = keep_alive_s;
    look_soon(d);
}

void stay_begin(struct daemon *d, uint64_t instance, uint32_t keep_alive_s) {
    stay_arrived(d, instance);
    stay_keep(d, instance, keep_alive_s);
}

void stay_end(struct daemon *d, uint64_t instance) {
    struct guest *g = find(d, instance);
    if (g == NULL) return;
    g->used_us = clock_us();
    look_soon(d);
}

static uint64_t leaves_us(const struct guest *g) {
    return g->keep_alive_s == WIRE_KEEP_FOREVER ? UINT64_MAX : g->used_us + (uint64_t)g->keep_alive_s * US_PER_S;
}

bool stay_leaves_in(const struct daemon *d, uint64_t instance, uint64_t *seconds) {
    const struct guest *g = find(d, instance);
    if (g == NULL || leaves_us(g) == UINT64_MAX) return false;
    uint64_t now = clock_us();
    *seconds = leaves_us(g) > now ? (leaves_us(g) - now) / US_PER_S : 0;
    return true;
}

/* ---- leaving ---- */

/* Ready, and nobody works with it. */
static bool is_idle(struct daemon *d, const struct guest *g) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(d->node, views, NODE_INSTANCES_MAX);
    for (size_t i = 0; i < count; i++)
        if (views[i].id == g->instance) return views[i].state == WIRE_READY && !slices_busy(d, g->instance);
    return false;
}

static void retry(struct daemon *d);

static void on_gone(struct daemon *d, uint64_t request, int code, uint64_t instance, const char *text) {
    if (d->stay == NULL) return;
    if (d->stay->leaving > 0) d->stay->leaving--;
    retry(d);
}

static void send_away(struct daemon *d, struct guest *g, const char *why) {
    log_info(&d->log, "%s -> a model that nobody uses leaves", why);
    d->stay->leaving++;
    requests_stop_instance(d, g->instance, on_gone);
    *g = (struct guest){0};
}

/* Ask who has been idle for longest. False: all work. */
static bool send_one_away(struct daemon *d) {
    struct guest *longest = NULL;
    for (size_t i = 0; i < NODE_INSTANCES_MAX; i++) {
        struct guest *g = &d->stay->guests[i];
        if (g->instance && is_idle(d, g) && (!longest || g->used_us < longest->used_us)) longest = g;
    }
    if (longest == NULL) return false;
    send_away(d, longest, "memory is short");
    return true;
}

static bool any_guest(const struct daemon *d) {
    for (size_t i = 0; i < NODE_INSTANCES_MAX; i++)
        if (d->stay->guests[i].instance) return true;
    return false;
}

/* Those whose time is over; when is the next one's? */
static uint64_t send_away_late_ones(struct daemon *d, uint64_t now_us) {
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < NODE_INSTANCES_MAX; i++) {
        struct guest *g = &d->stay->guests[i];
        if (g->instance == 0 || !is_idle(d, g)) continue;
        if (leaves_us(g) <= now_us) {
            send_away(d, g, "its time is over");
        } else if (leaves_us(g) < next) {
            next = leaves_us(g);
        }
    }
    return next;
}

/* ---- arriving ---- */

static void drop(struct arrival *a) {
    for (struct arrival **at = &a->daemon->stay->arrivals; *at; at = &(*at)->next)
        if (*at == a) {
            *at = a->next;
            break;
        }
    text_deinit(&a->model);
    free(a);
}

static struct arrival *of_request(struct daemon *d, uint64_t request) {
    for (struct arrival *a = d->stay->arrivals; a; a = a->next)
        if (a->request == request) return a;
    return NULL;
}

static void on_loaded(struct daemon *d, uint64_t request, int code, uint64_t instance, const char *text) {
    struct arrival *a = of_request(d, request);
    if (a == NULL) return;
    a->request = 0;
    if (code == ERR_LIMIT && (any_guest(d) || a->parallel == 0 || a->context > 0)) {
        look_soon(d);
        return;
    }
    uint64_t number = a->number;
    drop(a);
    if (code == 0) stay_keep(d, instance, d->options.keep_alive_s);
    gateway_loaded(d, number, code, text);
}

static void begin(struct arrival *a) {
    a->request = requests_load_model(a->daemon, text_str(&a->model), a->local, a->context, a->parallel,
                                     on_loaded);
}

uint64_t stay_load(struct daemon *d, const char *model, bool local, uint32_t context) {
    for (struct arrival *a = d->stay->arrivals; a; a = a->next)
        if (a->local == local && strcmp(text_str(&a->model), model) == 0) return a->number;
    struct arrival *a = calloc(1, sizeof *a);
    assert(a != NULL);
    *a = (struct arrival){
        .next = d->stay->arrivals, .daemon = d, .number = ++d->stay->last_number, .local = local, .context = context};
    text_add_str(&a->model, model);
    d->stay->arrivals = a;
    begin(a);
    return a->number;
}

static void retry(struct daemon *d) {
    for (struct arrival *a = d->stay->arrivals; a; a = a->next)
        if (a->request == 0) begin(a);
}

/* For who did not fit: one after the other leaves, as soon as it is idle; with nobody left, less will have to do. */
static void make_room(struct daemon *d) {
    struct arrival *a = of_request(d, 0);
    if (a == NULL || d->stay->leaving > 0 || send_one_away(d) || any_guest(d)) return;
    if (a->parallel == 1) a->context = 0;
    a->parallel = a->parallel == 0;
    begin(a);
}

static void on_timer(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    if (d->stopping || d->node == NULL) return;
    make_room(d);
    uint64_t now = clock_us(), next = send_away_late_ones(d, now);
    if (next != UINT64_MAX) uv_timer_start(timer, on_timer, (next - now) * MS_PER_S / US_PER_S + 1, 0);
}

/* ---- life ---- */

int stay_open(struct daemon *d) {
    d->stay = calloc(1, sizeof *d->stay);
    if (d->stay == NULL) return ERR_NOMEM;
    uv_timer_init(&d->loop, &d->stay->timer);
    d->stay->timer.data = d;
    return 0;
}

void stay_shut(struct daemon *d) {
    if (d->stay == NULL) return;
    while (d->stay->arrivals) drop(d->stay->arrivals);
    memset(d->stay->guests, 0, sizeof d->stay->guests);
    d->stay->leaving = 0;
}

static void on_closed(uv_handle_t *handle) {
    struct daemon *d = handle->data;
    free(d->stay);
    d->stay = NULL;
}

void stay_close(struct daemon *d) {
    if (d->stay) uv_close((uv_handle_t *)&d->stay->timer, on_closed);
}
