/* A model held in parts: what of it this node keeps, who fetches what for all, what other nodes can give.
 *
 * Everything follows from the plan and the headers, which are the same on every node: the ranges of each member, and
 * for each chunk the first member that needs it (or the one before, where nobody does). That member fetches it from
 * where the model comes from, once for all; whoever needs it too gets it from there. What is on any node already comes
 * from it. The hash of the whole file goes from owner to owner in the order of the file. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/model_file.h"
#include "engine/share.h"
#include "engine/source.h"
#include "engine/weights.h"
#include "node/chain.h"
#include "node/hold.h"
#include "node/hub.h"
#include "node/mates.h"
#include "os/clock.h"

enum {
    NOBODY = UINT16_MAX,
    ASKED_BYTES = 2 << 20,
    SECOND = 1000000,
    FEED_US = 250000,
    FEED_REST = 20, /* times as long as it took */
    REPORT_US = 300000,
    MANIFEST_US = 10 * SECOND, /* for anybody to give the manifest */
    SILENT_US = 20 * SECOND,   /* a node that gives nothing of what it was asked for is not waited for */
    FOLLOW_US = 200000,
    NAME_US = 8 * SECOND,    /* before the hub is asked */
    SETTLE_US = 10 * SECOND, /* for everybody to say what they have */
    STARVED_US = 30 * SECOND,
    PATIENCE_US = 10 * SECOND, /* with a member that does not fetch its part: it may not know the plan yet */
    MEMBER_LOST_US = 15 * SECOND,
    PROOF_US = 60 * SECOND, /* for the hash to come round, once everything is here */
};

/* ---- ranges and owners ---- */

struct marking {
    struct pull *pull;
    const struct source *source;
    uint16_t member;
    bool wanted; /* by this node */
};

static uint32_t file_of(const struct pull *p, const char *name) {
    const struct manifest *m = &p->parcel.manifest;
    const char *slash = name ? strrchr(name, '/') : NULL;
    for (uint32_t i = 0; name && i < m->file_count; i++)
        if (strcmp(manifest_file_name(m, i), slash ? slash + 1 : name) == 0) return i;
    return 0;
}

static void mark_file(void *context, const char *name, uint64_t offset, uint64_t len) {
    struct marking *mark = context;
    uint32_t file = file_of(mark->pull, name);
    struct chunks *c = &mark->pull->parcel.transfer.files[file].chunks;
    uint16_t *owners = mark->pull->owners[file];
    if (len == 0 || offset >= c->bytes) return;
    if (len > c->bytes - offset) len = c->bytes - offset;
    for (uint64_t i = offset / c->chunk_bytes; i <= (offset + len - 1) / c->chunk_bytes; i++) {
        if (owners[i] == NOBODY) owners[i] = mark->member;
        if (mark->wanted) chunks_set_wanted(c, (uint32_t)i);
    }
}

static void mark_range(void *context, uint64_t offset, uint64_t len) {
    struct marking *mark = context;
    source_ranges(mark->source, offset, len, mark_file, mark);
}

static void mark_members(struct pull *p, const struct model *m, const struct source *source) {
    const struct wire_plan *plan = p->plan;
    uint64_t self = mates_self(p->stock);
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct wire_stage *stage = &plan->stages[s];
        uint32_t shares[WIRE_MEMBERS_MAX];
        for (uint32_t i = 0; i < stage->member_count; i++) shares[i] = plan->members[stage->member_begin + i].share;
        for (uint32_t i = 0; i < stage->member_count; i++) {
            uint16_t member = (uint16_t)(stage->member_begin + i);
            struct share share;
            share_init(&share, m, i, stage->member_count, shares);
            struct weights_part part = {stage->layer_begin, stage->layer_end, s == 0, &share};
            struct marking mark = {p, source, member, plan->members[member].node == self};
            weights_ranges(m, part, mark_range, &mark);
        }
    }
}

/* What nobody needs belongs to whom the bytes before it belong: the hash of the whole is over all of it. */
static void fill_owners(struct pull *p) {
    uint64_t self = mates_self(p->stock);
    for (size_t file = 0; file < p->parcel.manifest.file_count; file++) {
        struct chunks *c = &p->parcel.transfer.files[file].chunks;
        uint16_t before = 0;
        for (uint32_t i = 0; i < c->count; i++) {
            if (p->owners[file][i] == NOBODY) p->owners[file][i] = before;
            before = p->owners[file][i];
            if (p->plan->members[before].node == self) chunks_set_wanted(c, i);
            chunks_set_reserved(c, i, p->from_peers); /* until it is known who has it */
        }
    }
}

static int make_owners(struct pull *p, struct error *error) {
    size_t files = p->parcel.manifest.file_count;
    p->owners = calloc(files + 1, sizeof *p->owners);
    for (size_t i = 0; p->owners && i < files; i++) {
        uint32_t count = p->parcel.transfer.files[i].chunks.count;
        p->owners[i] = malloc((count + 1) * sizeof *p->owners[i]);
        if (p->owners[i] == NULL) return error_set(error, ERR_NOMEM, "out of memory");
        memset(p->owners[i], 0xff, (count + 1) * sizeof *p->owners[i]);
    }
    return p->owners ? 0 : error_set(error, ERR_NOMEM, "out of memory");
}

static void ask_members(struct pull *p);

int hold_begin(struct pull *p, struct error *error) {
    char path[PARCEL_PATH_BYTES + 32];
    struct model m;
    struct source source;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    snprintf(path, sizeof path, "%s%s", p->parcel.path, recipe_suffix(p->plan->model));
    int rc = model_file_open(&m, path, error);
    if (rc < 0) return rc;
    model_fingerprint(&m, fingerprint);
    if (p->plan->layer_count != m.params.layers ||
        memcmp(fingerprint, p->plan->fingerprint, sizeof fingerprint) != 0)
        rc = error_set(error, ERR_STALE, "%s: the header is not the one that was planned with", p->plan->model);
    if (rc == 0) rc = source_open(&source, path, error);
    if (rc == 0) {
        rc = make_owners(p, error);
        if (rc == 0) {
            mark_members(p, &m, &source);
            fill_owners(p);
        }
        source_close(&source);
    }
    model_deinit(&m);
    if (rc == 0) chain_forget(p);
    p->asked_us = 0;
    p->planned_us = clock_us();
    p->proof_us = 0;
    if (rc == 0 && p->all) ask_members(p);
    return rc;
}

void hold_forget_plan(struct pull *p) {
    for (size_t i = 0; p->owners && i < p->parcel.manifest.file_count; i++) free(p->owners[i]);
    free(p->owners);
    p->owners = NULL;
}

static void drop_map(struct mate_map **at) {
    struct mate_map *map = *at;
    *at = map->next;
    chunks_deinit(&map->chunks);
    free(map);
}

void hold_end(struct pull *p) {
    hold_forget_plan(p);
    for (size_t file = 0; p->maps && file < p->parcel.manifest.file_count; file++)
        while (p->maps[file]) drop_map(&p->maps[file]);
    free(p->maps);
    p->maps = NULL;
}

struct pull *hold_find(struct stock *s, const uint8_t *fingerprint, const char *name) {
    struct origin origin;
    char plain[SOURCE_PATH_BYTES];
    bool named = name[0] && origin_parse(&origin, source_place(name, plain), NULL) == 0;
    for (struct pull *p = s->pulls; p; p = p->next) {
        if (p->removed) continue;
        const struct manifest *m = &p->parcel.manifest;
        bool same = fingerprint && p->open && m->known && memcmp(m->fingerprint, fingerprint, 32) == 0;
        same |= fingerprint && p->plan && memcmp(p->plan->fingerprint, fingerprint, 32) == 0;
        if (same || (named && !p->leader && origin_same(&p->origin, &origin))) return p;
    }
    return NULL;
}

/* ---- the other members ---- */

static void ask_members(struct pull *p) {
    memset(p->members, 0, sizeof p->members);
    for (uint32_t i = 0; i < p->plan->member_count; i++)
        if (p->plan->members[i].node == mates_self(p->stock)) p->members[i].done = p->members[i].asked = true;
}

/* As soon as there is a link. */
static void send_holds(struct pull *p) {
    struct wire_store m = {.type = WIRE_STORE_HOLD, .request = p->number, .plan = *p->plan};
    memcpy(m.fingerprint, p->parcel.manifest.fingerprint, sizeof m.fingerprint);
    for (uint32_t i = 0; i < p->plan->member_count; i++) {
        struct mate *to = mates_find(p->stock, p->plan->members[i].node);
        if (to && !p->members[i].asked) p->members[i].asked = mates_send(to, &m);
    }
}

/* What begins again begins with another plan. */
static void lose_member(struct pull *p, uint64_t node) {
    struct error why;
    error_set(&why, ERR_LOST,
              "node %016llx, which was to keep a part of it, is lost: pull again, what came is still here",
              (unsigned long long)node);
    pull_fail(p, &why);
    hold_forget_plan(p);
    free(p->plan);
    p->plan = NULL;
    p->all = false;
}

/* Who is out of reach for long does not fetch its part. */
static void watch_members(struct pull *p, uint64_t now_us) {
    for (uint32_t i = 0; i < p->plan->member_count; i++) {
        struct pull_member *m = &p->members[i];
        uint64_t node = p->plan->members[i].node;
        if (m->done || m->seen_us == 0 || mates_find(p->stock, node)) m->seen_us = now_us;
        if (now_us < m->seen_us + MEMBER_LOST_US) continue;
        lose_member(p, node);
        return;
    }
}

static void take_progress(struct pull *p, const struct mate *from, const struct wire_store *m) {
    bool same = p->open && memcmp(p->parcel.manifest.fingerprint, m->fingerprint, sizeof m->fingerprint) == 0;
    for (uint32_t i = 0; same && p->plan && p->all && i < p->plan->member_count; i++) {
        if (p->plan->members[i].node != from->node) continue;
        p->members[i] = (struct pull_member){
            .bytes_done = m->bytes_done, .bytes_total = m->bytes_total, .asked = true, .code = m->code};
        p->members[i].done = m->state == WIRE_STORE_HERE;
        if (m->code == 0) continue;
        struct error why;
        error_set(&why, m->code, "node %016llx: %s", (unsigned long long)from->node, m->text);
        pull_fail(p, &why);
    }
}

void hold_report_to(struct pull *p, uint64_t node) {
    for (unsigned i = 0; i < p->report_count; i++)
        if (p->reports[i] == node) return;
    if (p->report_count < sizeof p->reports / sizeof *p->reports) p->reports[p->report_count++] = node;
}

static void report(struct pull *p, uint64_t now_us) {
    struct stock_view view;
    if (p->report_count == 0 || now_us < p->report_us) return;
    pull_view(p, &view);
    struct wire_store m = {.type = WIRE_STORE_PROGRESS,
                           .state = view.state == STOCK_DONE ? WIRE_STORE_HERE : WIRE_STORE_COMING,
                           .bytes_done = view.bytes_done,
                           .bytes_total = view.bytes_total,
                           .code = view.state == STOCK_FAILED ? view.error.code : 0};
    if (view.state == STOCK_FAILED) snprintf(m.text, sizeof m.text, "%.250s", view.error.text);
    memcpy(m.fingerprint, p->told_fingerprint, sizeof m.fingerprint);
    for (unsigned i = 0; i < p->report_count; i++) {
        struct mate *to = mates_find(p->stock, p->reports[i]);
        if (to) mates_send(to, &m);
    }
    p->report_us = now_us + REPORT_US;
    if (!pull_under_way(p)) p->report_count = 0;
}

/* ---- what others have ---- */

static struct inquiry *find_inquiry(const struct pull *p, uint64_t node) {
    for (struct inquiry *q = p->inquiries; q; q = q->next)
        if (q->node == node) return q;
    return NULL;
}

static struct inquiry *inquiry_of(struct pull *p, uint64_t node) {
    struct inquiry *q = find_inquiry(p, node);
    if (q) return q;
    q = calloc(1, sizeof *q);
    assert(q != NULL);
    *q = (struct inquiry){.next = p->inquiries, .node = node};
    p->inquiries = q;
    return q;
}

void hold_forget_inquiries(struct pull *p) {
    while (p->inquiries) {
        struct inquiry *next = p->inquiries->next;
        free(p->inquiries);
        p->inquiries = next;
    }
}

bool hold_was_absent(const struct pull *p, uint64_t node) {
    const struct inquiry *q = find_inquiry(p, node);
    return q && q->model_absent;
}

/* Has every node said it that is there, or that has a part by the plan? */
static bool everybody(const struct pull *p, bool (*has_said)(const struct pull *p, uint64_t node)) {
    uint64_t nodes[STOCK_PEERS_MAX];
    size_t count = mates_peers(p->stock, nodes);
    bool all = true;
    for (size_t i = 0; i < count; i++) all = all && has_said(p, nodes[i]);
    for (uint32_t i = 0; p->plan && i < p->plan->member_count; i++) {
        uint64_t node = p->plan->members[i].node;
        all = all && (node == mates_self(p->stock) || has_said(p, node));
    }
    return all;
}

static struct mate_map *find_map(const struct pull *p, const struct mate *m, uint32_t file) {
    struct mate_map *map = p->maps[file];
    while (map && map->mate != m->number) map = map->next;
    return map;
}

static bool ask_maps(struct pull *p, struct mate *to) {
    bool sent = true;
    struct wire_store m = {.type = WIRE_STORE_MAP_GET, .request = p->number};
    memcpy(m.fingerprint, p->parcel.manifest.fingerprint, sizeof m.fingerprint);
    for (m.file = 0; m.file < p->parcel.manifest.file_count; m.file++) sent &= mates_send(to, &m);
    return sent;
}

static bool ask_models(struct pull *p, struct mate *to) {
    struct wire_store m = {.type = WIRE_STORE_MODEL_GET, .request = p->number};
    if (p->plan) memcpy(m.fingerprint, p->plan->fingerprint, sizeof m.fingerprint);
    snprintf(m.name, sizeof m.name, "%s", p->plan ? p->plan->model : p->name);
    return mates_send(to, &m);
}

static void take_map(struct pull *p, struct mate *from, const struct wire_store *m) {
    if (m->len == 0) inquiry_of(p, from->node)->mapless = true;
    if (!p->open || m->file >= p->parcel.manifest.file_count || m->len == 0) return;
    struct chunks *mine = &p->parcel.transfer.files[m->file].chunks;
    struct mate_map *map = find_map(p, from, m->file);
    if (map == NULL) {
        map = calloc(1, sizeof *map);
        assert(map != NULL);
        *map = (struct mate_map){.next = p->maps[m->file], .mate = from->number};
        p->maps[m->file] = map;
        if (chunks_init(&map->chunks, mine->bytes, mine->chunk_bytes) < 0) {
            drop_map(&p->maps[m->file]);
            return;
        }
    }
    if (chunks_read(&map->chunks, m->bytes, m->len, NULL) < 0) return;
    transfer_learn(&p->parcel.transfer, m->file, &map->chunks, &p->effects);
    for (uint32_t i = 0; i < mine->count; i++)
        if (map->chunks.items[i].state != CHUNK_OPEN && !mine->items[i].busy) chunks_set_reserved(mine, i, true);
    p->feed_us = 0;
}

static bool is_banned(const struct pull *p, uint64_t node) {
    for (unsigned i = 0; i < p->banned_count; i++)
        if (p->banned[i] == node) return true;
    return false;
}

void hold_wrong(struct pull *p, uint32_t file, uint32_t chunk, uint16_t giver) {
    struct mate *m = mates_number(p->stock, giver);
    struct wire_store wrong = {.type = WIRE_STORE_WRONG, .file = file, .chunk = chunk};
    memcpy(wrong.fingerprint, p->parcel.manifest.fingerprint, sizeof wrong.fingerprint);
    if (m) mates_send(m, &wrong);
    if (m == NULL || is_banned(p, m->node) || p->banned_count == sizeof p->banned / sizeof *p->banned) return;
    p->banned[p->banned_count++] = m->node;
    p->feed_us = 0;
    log_warn(p->stock->options.log,
             "node %016llx gave bytes of %s that do not have their hash -> nothing more of it is taken from there",
             (unsigned long long)m->node, p->name);
}

/* ---- asking for chunks ---- */

/* Small chunks are asked for by the dozen: as many bytes are on their way. */
static bool may_give(const struct pull *p, const struct mate *m) {
    uint32_t size = p->parcel.transfer.files[0].chunks.chunk_bytes;
    unsigned most = ASKED_BYTES / size > MATE_ASKED_MIN ? ASKED_BYTES / size : MATE_ASKED_MIN;
    return m->asked < most && !is_banned(p, m->node);
}

/* Who has it, the one that is asked least; *somebody: there is one, perhaps busy. */
static struct mate *who_has(struct pull *p, uint32_t file, uint32_t chunk, bool *somebody) {
    struct mate *best = NULL;
    *somebody = false;
    for (const struct mate_map *map = p->maps[file]; map; map = map->next) {
        if (map->chunks.count <= chunk || map->chunks.items[chunk].state == CHUNK_OPEN) continue;
        struct mate *m = mates_number(p->stock, map->mate);
        if (m == NULL || is_banned(p, m->node)) continue;
        *somebody = true;
        if (may_give(p, m) && (best == NULL || m->asked < best->asked)) best = m;
    }
    return best;
}

/* The member that fetches it for all. */
static struct mate *who_fetches(struct pull *p, uint32_t file, uint32_t chunk, bool *somebody) {
    uint64_t node = p->owners ? p->plan->members[p->owners[file][chunk]].node : 0;
    struct mate *m = node && node != mates_self(p->stock) ? mates_find(p->stock, node) : NULL;
    *somebody = node && node != mates_self(p->stock) && mates_is_peer(p->stock, node) && !is_banned(p, node);
    return m && may_give(p, m) ? m : NULL;
}

/* False: it does not take it now. */
static bool ask_chunk(struct pull *p, struct mate *to, uint32_t file, uint32_t chunk) {
    struct wire_store m = {.type = WIRE_STORE_CHUNK_GET, .request = p->number, .file = file, .chunk = chunk};
    struct chunks *c = &p->parcel.transfer.files[file].chunks;
    memcpy(m.fingerprint, p->parcel.manifest.fingerprint, sizeof m.fingerprint);
    if (!mates_send(to, &m)) return false;
    if (to->asked++ == 0) to->heard_us = clock_us();
    c->items[chunk].giver = to->number;
    chunks_set_busy(c, chunk, true);
    chunks_set_have(c, chunk, 0);
    return true;
}

static bool from_hub(const struct pull *p) {
    const struct origin *o = &p->parcel.manifest.origin;
    return o->repo[0] || o->address[0];
}

/* Who can give it now; *hope: somebody may, sooner or later. */
static struct mate *find_giver(struct pull *p, uint32_t file, uint32_t chunk, bool *hope) {
    struct mate *to = who_has(p, file, chunk, hope);
    return *hope ? to : who_fetches(p, file, chunk, hope);
}

/* How many chunks are left to the hub. */
static unsigned feed_file(struct pull *p, uint32_t file, bool settled) {
    struct chunks *c = &p->parcel.transfer.files[file].chunks;
    unsigned left = 0;
    for (uint32_t i = 0; chunks_next_given(c, &i); i++) {
        bool hope;
        struct mate *to = find_giver(p, file, i, &hope);
        bool to_hub = !hope && from_hub(p) && settled;
        if (to) ask_chunk(p, to, file, i);
        if (to_hub) chunks_set_reserved(c, i, false);
        left += to_hub;
        p->starving |= !hope && !from_hub(p);
    }
    return left;
}

/* Who has given a chunk is asked for more, from where the last search ended: all are looked at again with news only. */
static void feed_mate(struct pull *p, const struct mate *m) {
    struct inquiry *q = inquiry_of(p, m->node);
    while (may_give(p, m) && q->feed_file < p->parcel.manifest.file_count) {
        bool hope;
        struct chunks *c = &p->parcel.transfer.files[q->feed_file].chunks;
        if (!chunks_next_given(c, &q->feed_chunk)) {
            q->feed_file++;
            q->feed_chunk = 0;
            continue;
        }
        struct mate *to = find_giver(p, q->feed_file, q->feed_chunk, &hope);
        if (to && !ask_chunk(p, to, q->feed_file, q->feed_chunk)) return;
        q->feed_chunk++;
    }
}

/* Who said that it has the chunk has it no more: others may. Who is to fetch it for all may not know the plan yet, and
 * is asked again for a while. */
static void take_refusal(struct pull *p, const struct mate *from, const struct wire_store *m) {
    struct mate_map *map = find_map(p, from, m->file);
    struct chunk *theirs = map && map->chunks.count > m->chunk ? &map->chunks.items[m->chunk] : NULL;
    if (theirs && theirs->state != CHUNK_OPEN)
        theirs->state = CHUNK_OPEN;
    else if (from_hub(p) && clock_us() >= p->planned_us + PATIENCE_US)
        chunks_set_reserved(&p->parcel.transfer.files[m->file].chunks, m->chunk, false);
    else
        return;
    p->feed_us = 0;
}

static void take_chunk(struct pull *p, struct mate *from, const struct wire_store *m) {
    if (from->asked > 0) from->asked--;
    if (!p->open || m->file >= p->parcel.manifest.file_count) return;
    struct chunks *c = &p->parcel.transfer.files[m->file].chunks;
    if (m->chunk >= c->count) return;
    struct chunk *k = &c->items[m->chunk];
    struct error why = {0};
    if (!k->busy || k->giver != from->number) return;
    chunks_set_busy(c, m->chunk, false);
    if (m->state != WIRE_STORE_HERE) {
        take_refusal(p, from, m);
        return;
    }
    if (m->len != chunks_size(c, m->chunk)) {
        p->feed_us = 0;
        hold_wrong(p, m->file, m->chunk, from->number);
    } else if (parcel_write(&p->parcel, m->file, (uint64_t)m->chunk * c->chunk_bytes, m->bytes, m->len, &why) < 0) {
        pull_fail(p, &why);
    } else {
        drain_give(p->stock->drain, p->parcel.files[m->file].data, (uint64_t)m->chunk * c->chunk_bytes, m->len);
        p->given_bytes += m->len;
        transfer_given(&p->parcel.transfer, m->file, m->chunk, from->number, clock_us(), &p->effects);
        if (pull_under_way(p)) feed_mate(p, from);
    }
}

static void forget_inquiry(struct pull *p, uint64_t node) {
    for (struct inquiry **at = &p->inquiries; *at; at = &(*at)->next) {
        struct inquiry *q = *at;
        if (q->node != node) continue;
        *at = q->next;
        free(q);
        return;
    }
}

/* Who comes back may have been killed, and know no plan. */
static void forget_asking(struct pull *p, uint64_t node) {
    for (uint32_t i = 0; p->plan && p->all && i < p->plan->member_count; i++)
        if (p->plan->members[i].node == node && !p->members[i].done) p->members[i].asked = false;
}

void hold_mate_lost(struct pull *p, const struct mate *lost) {
    for (size_t file = 0; p->open && file < p->parcel.manifest.file_count; file++) {
        struct chunks *c = &p->parcel.transfer.files[file].chunks;
        for (uint32_t i = 0; i < c->count; i++)
            if (c->items[i].busy && c->items[i].giver == lost->number) chunks_set_busy(c, i, false);
    }
    forget_inquiry(p, lost->node);
    forget_asking(p, lost->node);
    p->mapped_us = clock_us(); /* it may come back and say what it has */
    for (size_t file = 0; p->maps && file < p->parcel.manifest.file_count; file++)
        for (struct mate_map **at = &p->maps[file]; *at;)
            if ((*at)->mate == lost->number)
                drop_map(at);
            else
                at = &(*at)->next;
    p->feed_us = 0;
}

/* Who was asked and gives nothing for long is as good as gone. */
static void drop_silent(struct pull *p, uint64_t now_us) {
    for (struct mate *m = p->stock->mates; m; m = m->next) {
        if (m->asked == 0 || now_us < m->heard_us + SILENT_US) continue;
        log_warn(p->stock->options.log, "node %016llx gave nothing of %s for %d s -> not waited for any longer",
                 (unsigned long long)m->node, p->name, SILENT_US / SECOND);
        hold_mate_lost(p, m);
        m->asked = 0;
        for (size_t file = 0; file < p->parcel.manifest.file_count && from_hub(p); file++)
            for (uint32_t i = 0; i < p->parcel.transfer.files[file].chunks.count; i++)
                if (p->owners && p->plan->members[p->owners[file][i]].node == m->node)
                    chunks_set_reserved(&p->parcel.transfer.files[file].chunks, i, false);
    }
}

/* ---- manifests ---- */

/* Somebody else pulls it: what is held is what that one plans. */
static void follow(struct pull *p, const struct mate *from, const struct wire_store *m, uint64_t now_us) {
    p->followed = from->node;
    p->follow_us = now_us + FOLLOW_US;
    if (!m->planned || p->plan || !p->open) return;
    struct wire_plan *plan = malloc(sizeof *plan);
    assert(plan != NULL);
    *plan = m->plan;
    pull_hold(p, plan, true, 0);
}

/* Is it of where the name says? By a plan the header is compared with the plan's. */
static bool is_asked_for(const struct pull *p, const struct manifest *m) {
    const struct origin *o = &m->origin;
    if (p->plan) return true;
    return strcasecmp(o->repo, p->origin.repo) == 0 && strcmp(o->revision, p->origin.revision) == 0 &&
           strcmp(o->address, p->origin.address) == 0;
}

static void take_model(struct pull *p, struct mate *from, const struct wire_store *m) {
    struct manifest manifest;
    struct error why = {0};
    bool coming = m->state == WIRE_STORE_COMING && !p->whole && !p->plan;
    if (p->state == STOCK_PLANNING && from->node == p->followed) {
        if (coming)
            follow(p, from, m, clock_us());
        else
            p->followed = 0;
        return;
    }
    if (p->open || p->state != STOCK_LISTING || !p->asking) return;
    if (m->len == 0 && m->state == WIRE_STORE_COMING) {
        inquiry_of(p, from->node)->model_asked = false;
        p->again_us = clock_us() + FOLLOW_US;
        return;
    }
    if (m->len == 0) {
        inquiry_of(p, from->node)->model_absent = true;
        return;
    }
    if (manifest_read(&manifest, (const char *)m->bytes, m->len, &why) < 0) {
        log_warn(p->stock->options.log, "node %016llx: %s", (unsigned long long)from->node, why.text);
        return;
    }
    if (!is_asked_for(p, &manifest)) {
        log_warn(p->stock->options.log, "node %016llx gave another model's manifest for %s -> not taken",
                 (unsigned long long)from->node, p->name);
        inquiry_of(p, from->node)->model_absent = true;
        manifest_deinit(&manifest);
        return;
    }
    p->asking = false;
    pull_take_manifest(p, &manifest);
    manifest_deinit(&manifest);
    if (coming) follow(p, from, m, clock_us());
}

/* Until it has a plan. */
static void ask_followed(struct pull *p, uint64_t now_us) {
    struct mate *m = mates_find(p->stock, p->followed);
    if (m == NULL) p->followed = 0;
    if (m == NULL || now_us < p->follow_us) return;
    p->follow_us = now_us + FOLLOW_US;
    ask_models(p, m);
}

void hold_answer(struct pull *p, struct mate *from, const struct wire_store *m) {
    switch (m->type) {
    case WIRE_STORE_MODEL: take_model(p, from, m); break;
    case WIRE_STORE_MAP: take_map(p, from, m); break;
    case WIRE_STORE_CHUNK: take_chunk(p, from, m); break;
    case WIRE_STORE_PROGRESS: take_progress(p, from, m); break;
    default: break;
    }
}

/* ---- turns ---- */

bool hold_has_peers(struct stock *s) {
    uint64_t nodes[STOCK_PEERS_MAX];
    return mates_peers(s, nodes) > 0;
}

static void ask_for_manifest(struct pull *p, uint64_t now_us) {
    struct error why;
    mates_dial(p->stock, now_us);
    if (p->asked_us == 0) {
        p->asked_us = now_us;
        p->again_us = 0;
    }
    for (struct mate *m = p->stock->mates; m && now_us >= p->again_us; m = m->next) {
        struct inquiry *q = inquiry_of(p, m->node);
        if (!q->model_asked) q->model_asked = ask_models(p, m);
    }
    bool all = everybody(p, hold_was_absent);
    bool promised = p->again_us > 0 && now_us < p->again_us + NAME_US;
    if (!all && now_us < p->asked_us + (p->plan || promised ? MANIFEST_US : NAME_US)) return;
    p->asking = false;
    p->alone = true;
    if (p->origin.repo[0] || p->origin.address[0]) {
        hub_ask(p);
        return;
    }
    error_set(&why, ERR_NOT_FOUND, "no node that can be reached has the model's files");
    pull_fail(p, &why);
}

static bool has_told_maps(const struct pull *p, uint64_t node) {
    const struct inquiry *q = find_inquiry(p, node);
    bool told = q && q->mapless;
    for (const struct mate *m = p->stock->mates; m && !told; m = m->next) told = m->node == node && find_map(p, m, 0);
    return told;
}

/* Is it known what everybody has? */
static bool is_settled(const struct pull *p, uint64_t now_us) {
    return everybody(p, has_told_maps) || now_us >= p->mapped_us + SETTLE_US;
}

/* All chunks are looked at: the more there are, the more seldom. */
static void feed(struct pull *p, uint64_t now_us) {
    p->feed_us = now_us + FEED_US;
    if (p->mapped_us == 0) p->mapped_us = now_us;
    mates_dial(p->stock, now_us);
    for (struct mate *m = p->stock->mates; m; m = m->next) {
        struct inquiry *q = inquiry_of(p, m->node);
        if (!q->maps_asked) q->maps_asked = ask_maps(p, m);
        q->feed_file = q->feed_chunk = 0;
    }
    drop_silent(p, now_us);
    p->starving = false;
    bool settled = is_settled(p, now_us);
    unsigned left = 0;
    for (uint32_t i = 0; i < p->parcel.manifest.file_count; i++) left += feed_file(p, i, settled);
    if (left > 0)
        log_info(p->stock->options.log, "pull of %s: %u chunks that no other node has -> from the hub", p->name, left);
    if (!p->starving || !settled) p->starved_us = now_us;
    struct error why;
    error_set(&why, ERR_NOT_FOUND, "%.200s: no node that can be reached has all of its bytes", p->name);
    if (now_us > p->starved_us + STARVED_US) pull_fail(p, &why);
    if (p->feed_us > 0) p->feed_us += FEED_REST * (clock_us() - now_us);
}

void hold_turn(struct pull *p, uint64_t now_us) {
    if (p->asking) {
        ask_for_manifest(p, now_us);
        return;
    }
    report(p, now_us);
    if (!p->open || !pull_under_way(p)) return;
    if (p->state == STOCK_PLANNING && p->followed) ask_followed(p, now_us);
    if (p->owners) {
        if (p->all) send_holds(p);
        chain_turn(p);
    }
    if (p->from_peers && now_us >= p->feed_us) feed(p, now_us);
    if (p->owners && p->all) watch_members(p, now_us);
}

static bool members_done(const struct pull *p) {
    for (uint32_t i = 0; p->all && i < p->plan->member_count; i++)
        if (!p->members[i].done) return false;
    return true;
}

bool hold_bytes_here(const struct pull *p) {
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++)
        if (!chunks_satisfied(&p->parcel.transfer.files[i].chunks)) return false;
    return true;
}

bool hold_done(struct pull *p, uint64_t now_us) {
    bool proven = transfer_done(&p->parcel.transfer);
    if (p->owners && chain_is_awaited(p)) return false;
    if (!proven && hold_bytes_here(p)) {
        if (p->proof_us == 0) p->proof_us = now_us + PROOF_US;
        if (now_us >= p->proof_us) {
            log_warn(p->stock->options.log, "%s: the hash of the whole file did not come round -> not verified",
                     p->name);
            proven = true;
        }
    }
    return proven && members_done(p);
}

void hold_chunk_ready(struct pull *p, uint32_t file, uint32_t chunk) { mates_chunk_ready(p->stock, p, file, chunk); }
