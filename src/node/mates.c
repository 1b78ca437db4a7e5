/* Links with the stocks of other nodes: who asks for a model, a map or a chunk gets it; answers go to the pull that
 * asked.
 *
 * A node that is slow to read is served when it reads again. What it asks for that is on its way here is kept until it
 * has come. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/census.h"
#include "node/chain.h"
#include "node/depot.h"
#include "node/hold.h"
#include "node/mates.h"
#include "os/clock.h"
#include "os/file.h"

enum { DIAL_US = 1000000, STRANGER_US = 5000000, FAVOURS_MAX = 64, PARKED_MAX = 1024 };

struct arrival {
    struct arrival *next;
    uint64_t node;
    struct link *link;
};

/* A chunk that another node asked for. */
struct favour {
    struct favour *next;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint64_t request;
    uint32_t file, chunk;
};

/* A message about a model that is looked for. */
struct parked {
    struct parked *next;
    uint16_t mate;
    struct wire_store message;
};

/* ---- sending ---- */

bool mates_send(struct mate *m, struct wire_store *message) {
    uint8_t head[WIRE_STORE_HEAD_BYTES_MAX];
    size_t len = wire_store_encode(message, head, sizeof head);
    struct iovec parts[] = {{head, len}, {(void *)(uintptr_t)message->bytes, message->len}};
    return link_send(m->link, parts, message->len > 0 ? 2 : 1) == 0;
}

/* ---- answering ---- */

/* Who has begun before the other did asks the hub; of two that begin together the one with the lower id. */
static bool leads(struct stock *s, const struct pull *p, uint64_t other) {
    return !p->asking || mates_self(s) < other || hold_was_absent(p, other);
}

static void give_model(struct stock *s, struct mate *to, const struct wire_store *m) {
    static const uint8_t none[WIRE_FINGERPRINT_BYTES];
    struct text json = {0};
    struct wire_store answer = {.type = WIRE_STORE_MODEL, .request = m->request};
    bool by_name = memcmp(m->fingerprint, none, sizeof none) == 0;
    struct pull *pull = hold_find(s, by_name ? NULL : m->fingerprint, m->name);
    struct parcel *p = pull && pull->open ? &pull->parcel : NULL;
    if (p == NULL && !by_name) p = depot_find_open(s, m->fingerprint);
    bool coming = pull && pull_under_way(pull);
    if (p == NULL && by_name && !coming) p = depot_named(s, m->name);
    if (p && p->manifest.known) {
        manifest_write(&p->manifest, &json);
        answer.state = coming ? WIRE_STORE_COMING : WIRE_STORE_HERE;
        answer.planned = coming && pull->plan;
        if (answer.planned) answer.plan = *pull->plan;
        answer.bytes = (const uint8_t *)text_str(&json);
        answer.len = (uint32_t)json.len;
    }
    if (coming && by_name && !answer.len && leads(s, pull, to->node)) answer.state = WIRE_STORE_COMING;
    mates_send(to, &answer);
    text_deinit(&json);
}

_Static_assert(CHUNKS_HEADER_BYTES + CHUNKS_FILE_BYTES_MAX / CHUNKS_BYTES_MAX * CHUNKS_RECORD_BYTES <=
                   WIRE_STORE_MAP_BYTES_MAX,
               "every map fits into a message");

static void give_map(struct stock *s, struct mate *to, const struct wire_store *m) {
    struct parcel *p = depot_find_open(s, m->fingerprint);
    struct wire_store answer = {.type = WIRE_STORE_MAP, .request = m->request, .file = m->file};
    memcpy(answer.fingerprint, m->fingerprint, sizeof answer.fingerprint);
    uint8_t *map = NULL;
    if (p && m->file < p->manifest.file_count) {
        const struct chunks *c = &p->transfer.files[m->file].chunks;
        answer.len = (uint32_t)chunks_map_bytes(c);
        answer.bytes = map = malloc(answer.len);
        assert(map != NULL);
        chunks_write_header(c, map);
        for (uint32_t i = 0; i < c->count; i++) chunks_write_record(c, i, map + chunks_record_offset(i));
    }
    mates_send(to, &answer);
    free(map);
}

static bool reserve_lent(struct stock *s, size_t bytes) {
    if (bytes <= s->lent_bytes) return true;
    free(s->lent);
    s->lent = malloc(bytes);
    s->lent_bytes = s->lent ? bytes : 0;
    return s->lent != NULL;
}

static bool send_chunk(struct mate *to, const struct favour *f, const uint8_t *bytes, uint32_t len) {
    struct wire_store answer = {.type = WIRE_STORE_CHUNK,
                                .request = f->request,
                                .file = f->file,
                                .chunk = f->chunk,
                                .state = bytes ? WIRE_STORE_HERE : WIRE_STORE_ABSENT,
                                .bytes = bytes,
                                .len = len};
    memcpy(answer.fingerprint, f->fingerprint, sizeof answer.fingerprint);
    return mates_send(to, &answer);
}

/* ERR_NOT_FOUND: it is not here and will not be; ERR_AGAIN: it is on its way, or looked for, or the link is full. */
static int give_chunk(struct stock *s, struct mate *to, const struct favour *f) {
    bool sought;
    struct parcel *p = depot_obtain(s, f->fingerprint, "", &sought);
    if (p == NULL) return sought ? ERR_AGAIN : ERR_NOT_FOUND;
    if (f->file >= p->manifest.file_count) return ERR_NOT_FOUND;
    const struct chunks *c = &p->transfer.files[f->file].chunks;
    if (f->chunk >= c->count) return ERR_NOT_FOUND;
    const struct chunk *k = &c->items[f->chunk];
    if (k->state == CHUNK_OPEN) return k->wanted && !p->transfer.stopped ? ERR_AGAIN : ERR_NOT_FOUND;
    if (!link_can_send(to->link)) return ERR_AGAIN;
    if (depot_is_foreign(s, p)) {
        (void)depot_read(s, p, to->number, f->file, f->chunk);
        return ERR_AGAIN;
    }
    uint32_t len = chunks_size(c, f->chunk);
    struct file file = {.fd = p->files[f->file].data, .bytes = c->bytes};
    if (!reserve_lent(s, len) || file_read_at(&file, (uint64_t)f->chunk * c->chunk_bytes, s->lent, len, NULL) < 0)
        return ERR_NOT_FOUND;
    send_chunk(to, f, s->lent, len);
    return 0;
}

/* True when the favour is done with. */
static bool try_favour(struct stock *s, struct mate *m, const struct favour *f) {
    int rc = give_chunk(s, m, f);
    if (rc == ERR_NOT_FOUND) send_chunk(m, f, NULL, 0);
    return rc != ERR_AGAIN;
}

static void do_favours(struct stock *s, struct mate *m) {
    for (struct favour **at = &m->favours; *at;) {
        struct favour *f = *at;
        if (!link_can_send(m->link)) return;
        if (!try_favour(s, m, f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f);
    }
}

static void take_favour(struct stock *s, struct mate *m, const struct wire_store *message) {
    struct favour f = {.request = message->request, .file = message->file, .chunk = message->chunk};
    struct favour **at = &m->favours;
    size_t count = 0;
    memcpy(f.fingerprint, message->fingerprint, sizeof f.fingerprint);
    for (; *at; at = &(*at)->next) count++;
    if (count >= FAVOURS_MAX) {
        send_chunk(m, &f, NULL, 0);
        return;
    }
    if (count == 0 && try_favour(s, m, &f)) return;
    *at = malloc(sizeof f);
    assert(*at != NULL);
    **at = f;
}

void mates_chunk_ready(struct stock *s, const struct pull *p, uint32_t file, uint32_t chunk) {
    for (struct mate *m = s->mates; m; m = m->next)
        for (struct favour **at = &m->favours; *at;) {
            struct favour *f = *at;
            bool this_one = f->file == file && f->chunk == chunk && depot_is_model(&p->parcel, f->fingerprint);
            if (!this_one || !try_favour(s, m, f)) {
                at = &f->next;
                continue;
            }
            *at = f->next;
            free(f);
        }
}

static bool is_of(const struct favour *f, const struct depot_reading *r) {
    return f->file == r->file && f->chunk == r->chunk &&
           memcmp(f->fingerprint, r->fingerprint, sizeof f->fingerprint) == 0;
}

void mates_take_reading(struct stock *s, const struct depot_reading *r) {
    struct mate *m = mates_number(s, r->mate);
    struct favour **at = m ? &m->favours : NULL;
    while (at && *at && !is_of(*at, r)) at = &(*at)->next;
    if (at == NULL || *at == NULL || !send_chunk(m, *at, r->code == 0 ? r->bytes : NULL, r->code == 0 ? r->len : 0))
        return; /* nobody wants it any more, or it is read again */
    struct favour *f = *at;
    *at = f->next;
    free(f);
}

/* A disk that has changed one chunk may have changed others. */
static void check_all(struct stock *s, const struct parcel *parcel) {
    const struct manifest *m = &parcel->manifest;
    struct pull *p = hold_find(s, m->fingerprint, m->names[0]);
    if (p == NULL) p = pull_new(s, &m->origin, m->names[0]);
    memcpy(p->told_fingerprint, m->fingerprint, sizeof p->told_fingerprint);
    if (!p->check) pull_check(p);
}

/* Another node says that what this one gave is wrong. */
static void take_wrong(struct stock *s, const struct mate *from, const struct wire_store *m) {
    const struct parcel *parcel = depot_find_open(s, m->fingerprint);
    if (parcel == NULL || m->file >= parcel->manifest.file_count || parcel->files[m->file].map < 0) return;
    const struct chunks *c = &parcel->transfer.files[m->file].chunks;
    if (m->chunk >= c->count || c->items[m->chunk].state == CHUNK_OPEN) return;
    log_warn(s->options.log, "node %016llx got bytes of %.200s from here that do not have their hash -> compared again",
             (unsigned long long)from->node, manifest_file_name(&parcel->manifest, m->file));
    struct pull *p = s->pulls;
    while (p && &p->parcel != parcel) p = p->next;
    if (p)
        pull_recheck(p, m->file, m->chunk);
    else
        check_all(s, parcel);
}

void mates_tell_verified(struct stock *s, const uint8_t *fingerprint, uint32_t file, bool right) {
    struct wire_store m = {.type = WIRE_STORE_VERIFIED, .file = file, .state = right};
    memcpy(m.fingerprint, fingerprint, sizeof m.fingerprint);
    for (struct mate *to = s->mates; to; to = to->next) mates_send(to, &m);
}

/* Where the file is known to be right, its hash need not come round any further. */
static void take_chain(struct stock *s, const struct wire_store *m) {
    const struct parcel *parcel = depot_find_open(s, m->fingerprint);
    struct pull *p = hold_find(s, m->fingerprint, "");
    bool known = parcel && m->file < parcel->manifest.file_count && parcel->transfer.files[m->file].verified;
    if (m->type == WIRE_STORE_CHAIN && known)
        mates_tell_verified(s, m->fingerprint, m->file, true);
    else if (p && p->open)
        chain_take(p, m);
    else if (m->type == WIRE_STORE_CHAIN)
        chain_keep(s, m);
}

/* ---- messages ---- */

static struct pull *asker(struct stock *s, uint64_t number) {
    for (struct pull *p = s->pulls; p; p = p->next)
        if (p->number == number) return p;
    return NULL;
}

static void take_hold(struct stock *s, const struct mate *from, const struct wire_store *m) {
    struct error error = {0};
    stock__hold(s, &m->plan, false, from->node, &error); /* an order to itself */
}

static bool is_about_a_model_here(const struct wire_store *m) {
    static const uint8_t none[WIRE_FINGERPRINT_BYTES];
    bool asks = m->type == WIRE_STORE_MODEL_GET || m->type == WIRE_STORE_MAP_GET || m->type == WIRE_STORE_WRONG ||
                m->type == WIRE_STORE_CHAIN;
    return asks && memcmp(m->fingerprint, none, sizeof none) != 0;
}

/* Until it is known whether the model is here. */
static bool park(struct stock *s, const struct mate *from, const struct wire_store *m) {
    bool sought = false;
    struct parked **at = &s->parked;
    size_t count = 0;
    if (is_about_a_model_here(m)) (void)depot_obtain(s, m->fingerprint, m->name, &sought);
    for (; sought && *at; at = &(*at)->next) count++;
    if (!sought || count >= PARKED_MAX) return sought;
    *at = malloc(sizeof **at);
    assert(*at != NULL);
    **at = (struct parked){NULL, from->number, *m};
    return true;
}

static void take_message(struct stock *s, struct mate *from, const struct wire_store *m) {
    struct pull *p;
    from->heard_us = clock_us();
    if (park(s, from, m)) return;
    switch (m->type) {
    case WIRE_STORE_MODEL_GET: give_model(s, from, m); break;
    case WIRE_STORE_MAP_GET: give_map(s, from, m); break;
    case WIRE_STORE_CHUNK_GET: take_favour(s, from, m); break;
    case WIRE_STORE_SHARE_GET: census_answer(s, from, m); break;
    case WIRE_STORE_SHARE: census_take(s, from, m); break;
    case WIRE_STORE_HOLD: take_hold(s, from, m); break;
    case WIRE_STORE_WRONG: take_wrong(s, from, m); break;
    case WIRE_STORE_MODEL:
    case WIRE_STORE_MAP:
    case WIRE_STORE_CHUNK:
        if ((p = asker(s, m->request)) != NULL) hold_answer(p, from, m);
        break;
    case WIRE_STORE_PROGRESS:
        for (p = s->pulls; p; p = p->next) hold_answer(p, from, m);
        break;
    case WIRE_STORE_CHAIN:
    case WIRE_STORE_VERIFIED: take_chain(s, m); break;
    }
}

void mates_sought(struct stock *s, const uint8_t *fingerprint) {
    for (struct parked **at = &s->parked; *at;) {
        struct parked *q = *at;
        struct mate *from = mates_number(s, q->mate);
        bool about = memcmp(q->message.fingerprint, fingerprint, WIRE_FINGERPRINT_BYTES) == 0;
        if (from && !about) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        if (from) take_message(s, from, &q->message);
        free(q);
    }
    for (struct mate *m = s->mates; m; m = m->next) do_favours(s, m);
}

static int take_frames(struct stock *s, struct mate *m, struct error *error) {
    size_t len;
    const uint8_t *frame;
    struct wire_store *message = malloc(sizeof *message);
    int rc = message ? 0 : error_set(error, ERR_NOMEM, "out of memory");
    while (rc == 0 && (frame = link_next_frame(m->link, &len)) != NULL) {
        rc = wire_store_decode(message, frame, len, error);
        if (rc == 0) take_message(s, m, message);
        link_frame_done(m->link);
    }
    free(message);
    return rc;
}

/* ---- links ---- */

uint64_t mates_self(struct stock *s) { return s->peer_count > 0 ? s->peers[0] : 0; }

size_t mates_peers(struct stock *s, uint64_t out[STOCK_PEERS_MAX]) {
    pthread_mutex_lock(&s->mutex);
    size_t count = s->peer_count > 0 ? s->peer_count - 1 : 0;
    memcpy(out, s->peers + 1, count * sizeof *out);
    pthread_mutex_unlock(&s->mutex);
    return count;
}

bool mates_is_peer(struct stock *s, uint64_t node) {
    uint64_t peers[STOCK_PEERS_MAX];
    size_t count = mates_peers(s, peers);
    bool found = false;
    for (size_t i = 0; i < count; i++) found |= peers[i] == node;
    return found;
}

struct mate *mates_find(struct stock *s, uint64_t node) {
    for (struct mate *m = s->mates; m; m = m->next)
        if (m->node == node) return m;
    return NULL;
}

struct mate *mates_number(struct stock *s, uint16_t number) {
    for (struct mate *m = s->mates; m; m = m->next)
        if (m->number == number) return m;
    return NULL;
}

void mates_dial(struct stock *s, uint64_t now_us) {
    uint64_t peers[STOCK_PEERS_MAX];
    if (now_us < s->dialled_us + DIAL_US) return;
    s->dialled_us = now_us;
    size_t count = mates_peers(s, peers);
    for (size_t i = 0; i < count; i++)
        if (mates_find(s, peers[i]) == NULL) s->options.dial(s->options.context, peers[i]);
}

static void free_mate(struct mate *m) {
    while (m->favours) {
        struct favour *next = m->favours->next;
        free(m->favours);
        m->favours = next;
    }
    link_free(m->link);
    free(m);
}

static void take_arrivals(struct stock *s, uint64_t now_us) {
    pthread_mutex_lock(&s->mutex);
    struct arrival *a = s->arrivals;
    s->arrivals = NULL;
    pthread_mutex_unlock(&s->mutex);
    while (a) {
        struct arrival *next = a->next;
        struct mate *m = calloc(1, sizeof *m);
        assert(m != NULL);
        do s->mate_number++;
        while (s->mate_number == 0 || mates_number(s, s->mate_number) != NULL);
        *m = (struct mate){.next = s->mates,
                           .number = s->mate_number,
                           .node = a->node,
                           .link = a->link,
                           .heard_us = now_us,
                           .member_us = now_us};
        s->mates = m;
        for (struct pull *p = s->pulls; p; p = p->next) p->feed_us = 0;
        free(a);
        a = next;
    }
}

void stock_take_link(struct stock *s, uint64_t node, struct link *link) {
    struct arrival *a = malloc(sizeof *a);
    assert(a != NULL);
    pthread_mutex_lock(&s->mutex);
    *a = (struct arrival){s->arrivals, node, link};
    s->arrivals = a;
    pthread_mutex_unlock(&s->mutex);
    fetcher_wake(s->fetcher);
}

void stock_set_peers(struct stock *s, const uint64_t *nodes, size_t count) {
    pthread_mutex_lock(&s->mutex);
    s->peer_count = count < STOCK_PEERS_MAX ? count : STOCK_PEERS_MAX;
    memcpy(s->peers, nodes, s->peer_count * sizeof *nodes);
    pthread_mutex_unlock(&s->mutex);
}

size_t mates_waits(struct stock *s, struct fetch_wait *out, size_t max) {
    size_t count = 0;
    for (struct mate *m = s->mates; m && count < max; m = m->next)
        out[count++] = (struct fetch_wait){link_fd(m->link), link_wants_read(m->link), link_wants_write(m->link)};
    return count;
}

/* Who is no member any more, or not one yet after a while, has nothing to ask here. */
static bool is_stranger(struct stock *s, struct mate *m, uint64_t now_us) {
    if (mates_is_peer(s, m->node)) m->member_us = now_us;
    return now_us > m->member_us + STRANGER_US;
}

static void lose(struct stock *s, struct mate *m) {
    for (struct pull *p = s->pulls; p; p = p->next) hold_mate_lost(p, m);
    free_mate(m);
}

void mates_turn(struct stock *s, uint64_t now_us) {
    take_arrivals(s, now_us);
    for (struct mate **at = &s->mates; *at;) {
        struct mate *m = *at;
        struct error error = {0};
        enum link_state state = is_stranger(s, m, now_us) ? LINK_CLOSED : link_pump(m->link);
        int rc = state == LINK_CLOSED ? 0 : take_frames(s, m, &error);
        if (rc == 0 && state != LINK_CLOSED) do_favours(s, m);
        if (rc < 0)
            log_warn(s->options.log, "store link with node %016llx: %s -> closed", (unsigned long long)m->node,
                     error.text);
        if (rc == 0 && state != LINK_CLOSED) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        lose(s, m);
    }
    chain_forget_kept(s, now_us);
    depot_close_idle(s, now_us);
}

void mates_free(struct stock *s) {
    take_arrivals(s, 0);
    free(s->lent);
    while (s->mates) {
        struct mate *next = s->mates->next;
        free_mate(s->mates);
        s->mates = next;
    }
    while (s->parked) {
        struct parked *next = s->parked->next;
        free(s->parked);
        s->parked = next;
    }
    chain_forget_kept(s, UINT64_MAX);
    depot_close_all(s);
}
