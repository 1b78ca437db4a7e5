#include "node/depot.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "node/pulled.h"
#include "os/clock.h"

enum { IDLE_US = 30000000, SEARCHES_MAX = 16 };

struct depot {
    struct depot *next;
    struct parcel parcel;
    bool foreign; /* not of this node's home */
    bool reading;
    uint64_t used_us;
};

/* For a model among all folders of this machine. */
struct search {
    struct aside aside;
    struct search *next; /* of the stock's */
    const struct stock_options *options;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    char name[WIRE_STORE_NAME_BYTES];
    bool found, over;
    struct parcel parcel;
};

bool depot_is_model(const struct parcel *p, const uint8_t *fingerprint) {
    return p->manifest.known && memcmp(p->manifest.fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0;
}

static struct depot *find_depot(const struct stock *s, const uint8_t *fingerprint) {
    struct depot *d = s->depots;
    while (d && !depot_is_model(&d->parcel, fingerprint)) d = d->next;
    return d;
}

struct parcel *depot_find_open(struct stock *s, const uint8_t *fingerprint) {
    for (struct pull *p = s->pulls; p; p = p->next)
        if (p->open && depot_is_model(&p->parcel, fingerprint)) return &p->parcel;
    struct depot *d = find_depot(s, fingerprint);
    if (d) d->used_us = clock_us();
    return d ? &d->parcel : NULL;
}

static struct parcel *add_depot(struct stock *s, const struct parcel *opened, bool foreign) {
    struct depot *d = malloc(sizeof *d);
    assert(d != NULL);
    *d = (struct depot){.next = s->depots, .parcel = *opened, .foreign = foreign, .used_us = clock_us()};
    s->depots = d;
    return &d->parcel;
}

/* ---- closing ---- */

struct closing {
    struct aside aside;
    struct parcel parcel;
};

static void close_aside(struct aside *a) { parcel_close(&((struct closing *)a)->parcel); }
static void end_closing(struct stock *s, struct aside *a) { free(a); }

/* A mount may hang here, too. */
static void close_foreign(struct asides *all, const struct parcel *parcel) {
    struct closing *c = calloc(1, sizeof *c);
    assert(c != NULL);
    *c = (struct closing){.aside = {.run = close_aside, .finish = end_closing}, .parcel = *parcel};
    aside_go(all, &c->aside);
}

static void remove_at(struct stock *s, struct depot **at) {
    struct depot *d = *at;
    *at = d->next;
    if (d->foreign)
        close_foreign(s->asides, &d->parcel);
    else
        parcel_close(&d->parcel);
    free(d);
}

void depot_close(struct stock *s, const char *path) {
    for (struct depot **at = &s->depots; *at;)
        if (strcmp((*at)->parcel.path, path) == 0)
            remove_at(s, at);
        else
            at = &(*at)->next;
}

void depot_close_idle(struct stock *s, uint64_t now_us) {
    for (struct depot **at = &s->depots; *at;)
        if (now_us >= (*at)->used_us + IDLE_US)
            remove_at(s, at);
        else
            at = &(*at)->next;
}

void depot_close_all(struct stock *s) {
    while (s->depots) remove_at(s, &s->depots);
}

/* ---- in the node's home ---- */

static struct parcel *open_pulled(struct stock *s, struct pulled_search here) {
    struct manifest m;
    struct parcel parcel, *open = NULL;
    if (!pulled_find(s->options.home, &here) || parcel_manifest(here.path, &m, NULL) < 0) return NULL;
    if (m.known) open = depot_find_open(s, m.fingerprint);
    if (m.known && open == NULL && parcel_open(&parcel, here.path, &m, 1, NULL) == 0)
        open = add_depot(s, &parcel, false);
    manifest_deinit(&m);
    return open;
}

struct parcel *depot_named(struct stock *s, const char *name) {
    struct origin origin;
    if (origin_parse(&origin, name, NULL) < 0) return NULL;
    return open_pulled(s, (struct pulled_search){.origin = &origin});
}

/* ---- in other folders ---- */

/* A file or folder that somebody put there: all of it is here, and nobody knows its hashes. */
static void look_around(struct aside *a) {
    struct search *x = (struct search *)a;
    char path[STOCK_PATH_BYTES], folder[PARCEL_PATH_BYTES];
    struct manifest m;
    if (x->options->locate(x->options->context, x->fingerprint, x->name, path) < 0) return;
    if (parcel_manifest_of(path, &m, folder) < 0) {
        x->found = parcel_open_plain(&x->parcel, path, x->name, x->fingerprint, NULL) == 0;
        return;
    }
    x->found = m.known && parcel_open(&x->parcel, folder, &m, 1, NULL) == 0;
    manifest_deinit(&m);
}

static void end_search(struct stock *s, struct aside *a) {
    struct search *x = (struct search *)a;
    bool keep = s && x->found && depot_find_open(s, x->parcel.manifest.fingerprint) == NULL;
    x->over = true;
    if (keep)
        add_depot(s, &x->parcel, true);
    else if (x->found)
        parcel_close(&x->parcel);
    if (s) {
        mates_sought(s, x->fingerprint);
        struct search **at = &s->searches;
        while (*at != x) at = &(*at)->next;
        *at = x->next;
    }
    free(x);
}

static void begin_search(struct stock *s, const uint8_t *fingerprint, const char *name) {
    struct search *x = calloc(1, sizeof *x);
    assert(x != NULL);
    x->aside = (struct aside){.visits = true, .run = look_around, .finish = end_search};
    x->options = &s->options;
    memcpy(x->fingerprint, fingerprint, sizeof x->fingerprint);
    snprintf(x->name, sizeof x->name, "%s", name);
    x->next = s->searches;
    s->searches = x;
    aside_go(s->asides, &x->aside);
}

/* Each takes a thread. */
static bool may_search(const struct stock *s) {
    size_t count = 0;
    for (const struct search *x = s->searches; x; x = x->next) count++;
    return count < SEARCHES_MAX;
}

struct parcel *depot_obtain(struct stock *s, const uint8_t *fingerprint, const char *name, bool *sought) {
    *sought = false;
    struct parcel *open = depot_find_open(s, fingerprint);
    if (open == NULL) open = open_pulled(s, (struct pulled_search){.fingerprint = fingerprint});
    if (open) return open;
    struct search *x = s->searches;
    while (x && memcmp(x->fingerprint, fingerprint, sizeof x->fingerprint) != 0) x = x->next;
    if (x == NULL && !may_search(s)) return NULL;
    if (x == NULL) begin_search(s, fingerprint, name);
    *sought = x == NULL || !x->over;
    return NULL;
}

/* ---- reading there ---- */

static void read_aside(struct aside *a) {
    struct depot_reading *r = (struct depot_reading *)a;
    r->code = r->bytes ? file_read_at(&r->from, r->offset, r->bytes, r->len, NULL) : ERR_NOMEM;
    file_close(&r->from);
}

static void end_reading(struct stock *s, struct aside *a) {
    struct depot_reading *r = (struct depot_reading *)a;
    struct depot *d = s ? find_depot(s, r->fingerprint) : NULL;
    if (d) d->reading = false;
    if (s) mates_take_reading(s, r);
    free(r->bytes);
    free(r);
}

static struct depot *depot_of(const struct stock *s, const struct parcel *p) {
    struct depot *d = s->depots;
    while (d && &d->parcel != p) d = d->next;
    return d;
}

bool depot_is_foreign(const struct stock *s, const struct parcel *p) {
    const struct depot *d = depot_of(s, p);
    return d && d->foreign;
}

bool depot_read(struct stock *s, const struct parcel *p, uint16_t mate, uint32_t file, uint32_t chunk) {
    struct depot *d = depot_of(s, p);
    const struct chunks *c = &p->transfer.files[file].chunks;
    if (d == NULL || d->reading) return false;
    struct depot_reading *r = calloc(1, sizeof *r);
    assert(r != NULL);
    *r = (struct depot_reading){.aside = {.run = read_aside, .finish = end_reading},
                                .mate = mate,
                                .file = file,
                                .chunk = chunk,
                                .from = {fcntl(p->files[file].data, F_DUPFD_CLOEXEC, 0), c->bytes},
                                .offset = (uint64_t)chunk * c->chunk_bytes,
                                .len = chunks_size(c, chunk)};
    memcpy(r->fingerprint, p->manifest.fingerprint, sizeof r->fingerprint);
    r->bytes = malloc(r->len);
    d->reading = true;
    aside_go(s->asides, &r->aside);
    return true;
}
