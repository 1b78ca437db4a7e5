#include "node/pull.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/model_file.h"
#include "model/gguf.h"
#include "model/safetensors.h"
#include "node/chain.h"
#include "node/depot.h"
#include "node/hold.h"
#include "node/hub.h"
#include "node/mates.h"
#include "node/pulled.h"
#include "os/clock.h"
#include "os/file.h"

enum { HEADER_BYTES_FIRST = 1 << 18 };

static void set_state(struct pull *p, enum stock_state state) {
    p->state = state;
    p->stock->urgent = true;
}

void pull_fail(struct pull *p, const struct error *why) {
    hub_cancel(p);
    if (p->open) transfer_stop(&p->parcel.transfer, why, &p->effects);
    p->check = false;
    p->error = *why;
    set_state(p, STOCK_FAILED);
    log_warn(p->stock->options.log, "pull of %s: %s", p->name, why->text);
}

/* A folder with nothing in it is not kept. */
static void fail_open(struct pull *p, const struct error *why) {
    uint64_t here = 0;
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++)
        here += chunks_have_bytes(&p->parcel.transfer.files[i].chunks);
    pull_fail(p, why);
    if (here == 0) parcel_remove(p->parcel.path, NULL);
}

static void fail_code(struct pull *p, int code, const char *text) {
    struct error why;
    error_set(&why, code, "%s", text);
    pull_fail(p, &why);
}

/* Another node may know already; who holds by a plan got that from one that does. */
static void begin_listing(struct pull *p) {
    set_state(p, STOCK_LISTING);
    p->asking = p->plan || (hold_has_peers(p->stock) && !p->alone);
    p->asked_us = 0;
    if (!p->asking) hub_ask(p);
}

/* ---- what comes into the folder ---- */

static bool has_suffix(const char *name, const char *suffix) {
    size_t len = strlen(name), tail = strlen(suffix);
    return len > tail && strcasecmp(name + len - tail, suffix) == 0;
}

static int check_room(const struct pull *p, struct error *error) {
    char models[PARCEL_PATH_BYTES];
    pulled_home(p->stock->options.home, models);
    uint64_t missing = transfer_missing_bytes(&p->parcel.transfer), room = parcel_room(models);
    if (missing == 0) return 0;
    uint64_t max = p->stock->options.disk_max, used = max ? parcel_used(models) : 0;
    if (missing > room)
        return error_set(error, ERR_LIMIT,
                         "%.200s needs %llu MiB more on the disk and %llu MiB are free there: make "
                         "room, or give Caravan another home",
                         p->name, (unsigned long long)(missing >> 20) + 1, (unsigned long long)(room >> 20));
    if (max && used + missing > max)
        return error_set(error, ERR_LIMIT,
                         "%.200s needs %llu MiB more, models take %llu MiB already, and --disk allows "
                         "%llu MiB: remove a model (`caravan rm`) or allow more",
                         p->name, (unsigned long long)(missing >> 20) + 1, (unsigned long long)(used >> 20),
                         (unsigned long long)(max >> 20));
    return 0;
}

static void want_headers(struct pull *p);

static bool all_here(const struct pull *p) {
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++) {
        const struct chunks *c = &p->parcel.transfer.files[i].chunks;
        if (chunks_have_bytes(c) != c->bytes) return false;
    }
    return true;
}

/* Once it is known which model it is, nothing is asked of the hub before it is known what other nodes have of it. */
static void turn_to_peers(struct pull *p) {
    p->from_peers = p->plan || hold_has_peers(p->stock);
    p->feed_us = p->mapped_us = p->starved_us = 0;
    if (!p->from_peers) return;
    for (size_t file = 0; file < p->parcel.manifest.file_count; file++) {
        struct chunks *c = &p->parcel.transfer.files[file].chunks;
        for (uint32_t i = 0; i < c->count; i++) chunks_set_reserved(c, i, true);
    }
}

static void open_parcel(struct pull *p, struct manifest *m, const char *path) {
    struct error why = {0};
    if (!p->plan || m->name_count == 0) manifest_add_name(m, p->name);
    if (p->alias[0]) manifest_add_name(m, p->alias);
    m->whole = p->whole |= p->check && m->whole;
    if (parcel_open(&p->parcel, path, m, clock_us(), &why) < 0) {
        pull_fail(p, &why);
        return;
    }
    p->open = true;
    p->rechecked = false;
    p->header_file = 0;
    p->header_bytes = 0;
    p->chains = calloc(p->parcel.manifest.file_count, sizeof *p->chains);
    p->chain_states = calloc(p->parcel.manifest.file_count + 1, sizeof *p->chain_states);
    p->maps = calloc(p->parcel.manifest.file_count + 1, sizeof *p->maps);
    p->from_peers = false;
    depot_close(p->stock, path); /* what is open there to be given away is not all any more */
    if (p->chains == NULL || p->chain_states == NULL || p->maps == NULL) {
        fail_code(p, ERR_NOMEM, "out of memory");
        return;
    }
    set_state(p, STOCK_HEADERS);
    if (p->whole) transfer_want_all(&p->parcel.transfer);
    if (p->parcel.manifest.known) turn_to_peers(p);
    p->parcel.manifest.complete &= all_here(p);
    if (check_room(p, &why) < 0) {
        fail_open(p, &why);
        return;
    }
    transfer_start(&p->parcel.transfer, clock_us(), &p->effects);
    want_headers(p);
}

/* Another pull that brings the same files, under another name. */
static struct pull *find_leader(const struct pull *p, const char *path) {
    for (struct pull *other = p->stock->pulls; other; other = other->next)
        if (other != p && other->open && strcmp(other->parcel.path, path) == 0) return other;
    return NULL;
}

/* However it was asked for, a model is kept under the file that it is. */
static void open_listed(struct pull *p, struct manifest *m) {
    char path[PARCEL_PATH_BYTES];
    struct manifest there;
    const struct listing_file *first = &m->files[0];
    if (p->origin.repo[0]) {
        bool gguf = has_suffix(first->path, ".gguf");
        snprintf(m->origin.file, sizeof m->origin.file, "%s", gguf ? first->path : "");
        m->origin.quant[0] = '\0';
    }
    pulled_place(p->stock->options.home, m, path);
    p->leader = find_leader(p, path);
    if (p->leader) {
        manifest_add_name(&p->leader->parcel.manifest, p->name);
        return;
    }
    if (parcel_manifest(path, &there, NULL) == 0) {
        for (size_t i = 0; i < there.name_count; i++) manifest_add_name(m, there.names[i]);
        manifest_deinit(&there);
    }
    pulled_adopt(p->stock->options.home, m, path);
    open_parcel(p, m, path);
}

void pull_listed(struct pull *p) {
    struct manifest m = {.origin = p->origin};
    struct error why = {0};
    if (manifest_take_files(&m, &p->listing, &why) < 0)
        pull_fail(p, &why);
    else
        open_listed(p, &m);
    manifest_deinit(&m);
}

/* ---- headers ---- */

/* Bytes from the start of the file that are here; what is being compared with its hash does not count yet. */
static uint64_t checked_prefix(const struct chunks *c) {
    uint64_t here = chunks_prefix(c);
    for (uint32_t i = 0; i < c->count && (uint64_t)i * c->chunk_bytes < here; i++)
        if (c->items[i].checking) return (uint64_t)i * c->chunk_bytes;
    return here;
}

/* Is the file's header among the bytes that are here? ERR_AGAIN: not yet. */
static int gguf_header_here(struct pull *p, uint32_t file, struct error *error) {
    const struct chunks *c = &p->parcel.transfer.files[file].chunks;
    uint64_t have = checked_prefix(c);
    size_t len = have < GGUF_HEADER_BYTES_MAX ? (size_t)have : GGUF_HEADER_BYTES_MAX;
    struct file f = {.fd = p->parcel.files[file].data, .bytes = c->bytes};
    struct gguf g;
    if (p->header_bytes < HEADER_BYTES_FIRST) p->header_bytes = HEADER_BYTES_FIRST;
    if (have < p->header_bytes && have < c->bytes) return ERR_AGAIN;
    uint8_t *header = malloc(len + 1);
    if (header == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    int rc = file_read_at(&f, 0, header, len, error);
    if (rc == 0) rc = gguf_parse(&g, header, len, c->bytes, error);
    if (rc == 0) gguf_deinit(&g);
    free(header);
    p->header_bytes = rc == ERR_AGAIN ? 2 * have : 0; /* not with every byte that comes */
    return rc == ERR_AGAIN && len == c->bytes ? ERR_INVALID : rc;
}

static int tensors_header_here(struct pull *p, uint32_t file, struct error *error) {
    const struct chunks *c = &p->parcel.transfer.files[file].chunks;
    uint8_t front[SAFETENSORS_FRONT_BYTES];
    size_t len = 0;
    struct file f = {.fd = p->parcel.files[file].data, .bytes = c->bytes};
    p->header_bytes = sizeof front;
    if (checked_prefix(c) < sizeof front) return ERR_AGAIN;
    int rc = file_read_at(&f, 0, front, sizeof front, error);
    if (rc == 0) rc = safetensors_header_bytes(front, c->bytes, &len, error);
    if (rc == 0 && checked_prefix(c) >= sizeof front + len) return 0;
    p->header_bytes = sizeof front + len;
    return rc == 0 ? ERR_AGAIN : rc;
}

static int header_here(struct pull *p, uint32_t file, struct error *error) {
    const char *name = manifest_file_name(&p->parcel.manifest, file);
    const struct chunks *c = &p->parcel.transfer.files[file].chunks;
    if (has_suffix(name, ".gguf")) return gguf_header_here(p, file, error);
    if (has_suffix(name, ".safetensors")) return tensors_header_here(p, file, error);
    p->header_bytes = c->bytes;
    return checked_prefix(c) == c->bytes ? 0 : ERR_AGAIN;
}

/* What calls itself a model and is none is not kept. */
static void refuse_content(struct pull *p, struct error *why) {
    if (p->parcel.manifest.known && !p->rechecked) { /* it was one: the disk has changed it */
        p->rechecked = true;
        transfer_recheck(&p->parcel.transfer, p->header_file < p->parcel.manifest.file_count ? p->header_file : 0,
                         &p->effects);
        return;
    }
    if (why->code == 0) error_set(why, ERR_INVALID, "not a model");
    error_prefix(why, "%.200s is no model that can be run: ", p->name);
    pull_fail(p, why);
    pull_carry_out(p);
    if (!p->parcel.manifest.known) parcel_remove(p->parcel.path, NULL);
}

static void recheck_all(struct pull *p) {
    struct transfer *t = &p->parcel.transfer;
    for (uint32_t file = 0; file < t->file_count; file++) {
        struct chunks *c = &t->files[file].chunks;
        for (uint32_t i = 0; i < c->count; i++)
            if (chunks_full(c, i)) chunks_set_wanted(c, i);
        transfer_recheck(t, file, &p->effects);
    }
}

/* All of it, or what the plan says, or nothing until somebody says. */
static void begin_fetching(struct pull *p) {
    struct error why = {0};
    if (p->whole) transfer_want_all(&p->parcel.transfer);
    if (p->check) recheck_all(p);
    if (p->plan && hold_begin(p, &why) < 0) {
        pull_fail(p, &why);
        return;
    }
    if (check_room(p, &why) < 0) {
        pull_fail(p, &why);
        return;
    }
    p->feed_us = 0;
    set_state(p, p->whole || p->plan || p->check ? STOCK_FETCHING : STOCK_PLANNING);
}

static void all_headers_here(struct pull *p) {
    struct model m;
    struct error why = {0};
    struct manifest *manifest = &p->parcel.manifest;
    if (model_file_open(&m, p->parcel.path, &why) < 0) {
        refuse_content(p, &why);
        return;
    }
    manifest->known = true;
    model_fingerprint(&m, manifest->fingerprint);
    model_deinit(&m);
    if (!p->from_peers) turn_to_peers(p);
    if (parcel_save(&p->parcel, &why) < 0) {
        pull_fail(p, &why);
        return;
    }
    memcpy(p->told_fingerprint, manifest->fingerprint, sizeof p->told_fingerprint);
    begin_fetching(p);
}

static void want_headers(struct pull *p) {
    struct error why = {0};
    for (; p->header_file < p->parcel.manifest.file_count; p->header_file++) {
        uint64_t wanted = p->header_bytes;
        int rc = header_here(p, p->header_file, &why);
        if (rc == ERR_AGAIN) {
            if (p->header_bytes > wanted) p->feed_us = 0; /* other nodes are asked at once */
            transfer_want(&p->parcel.transfer, p->header_file, 0, p->header_bytes);
            return;
        }
        if (rc < 0) {
            refuse_content(p, &why);
            return;
        }
    }
    all_headers_here(p);
}

/* ---- the bytes ---- */

static int on_stream_data(void *context, const struct fetch_reply *reply, const void *bytes, size_t len) {
    struct pull_slot *slot = context;
    struct pull *p = slot->pull;
    const struct listing_file *f = &p->parcel.manifest.files[slot->file];
    uint8_t hash[LISTING_SHA256_BYTES];
    if (!p->parcel.transfer.streams[slot->number].active) return ERR_CANCELLED; /* stopped, and not cut yet */
    bool other = f->hashed && listing_sha256(reply->hash, hash) && memcmp(hash, f->sha256, sizeof hash) != 0;
    other |= f->etag[0] && reply->etag[0] && strcmp(f->etag, reply->etag) != 0;
    if (reply->total > 0 && reply->total != f->bytes)
        return error_set(&p->error, ERR_STALE,
                         "%.200s has %llu bytes where it comes from, and was to have %llu: it has changed since the "
                         "pull began (cancel the pull and begin again), or the hub's list is wrong",
                         f->path, (unsigned long long)reply->total, (unsigned long long)f->bytes);
    if (other)
        return error_set(&p->error, ERR_STALE,
                         "%.200s: the file has changed where it comes from since the pull began: cancel "
                         "the pull and begin again",
                         f->path);
    int rc = parcel_write(&p->parcel, slot->file, slot->at, bytes, len, &p->error);
    if (rc < 0) return rc;
    drain_give(p->stock->drain, p->parcel.files[slot->file].data, slot->at, len);
    slot->at += len;
    transfer_bytes(&p->parcel.transfer, slot->number, len, clock_us(), &p->effects);
    return 0;
}

static void on_stream_done(void *context, const struct fetch_reply *reply, const struct error *error) {
    struct pull_slot *slot = context;
    struct pull *p = slot->pull;
    struct error why = *error;
    slot->fetch = NULL;
    if (!p->parcel.transfer.streams[slot->number].active) return;
    bool own = why.code == ERR_LIMIT || why.code == ERR_STALE || why.code == ERR_IO || why.code == ERR_DENIED;
    if (own && p->error.code == why.code)
        why = p->error;
    else if (why.code)
        hub_explain(p, reply, &why);
    struct transfer_outcome outcome = {
        .code = why.code, .status = reply->status, .retry_after_s = reply->retry_after_s, .text = why.text};
    transfer_ended(&p->parcel.transfer, slot->number, &outcome, clock_us(), &p->effects);
}

static void start_stream(struct pull *p, const struct transfer_effect *e) {
    struct pull_slot *slot = &p->slots[e->stream];
    struct text url = {0};
    struct error why = {0};
    *slot = (struct pull_slot){.pull = p, .number = e->stream, .file = e->file, .at = e->offset};
    origin_file_url(&p->origin, p->stock->options.hub, p->parcel.manifest.files[e->file].path, &url);
    struct fetch_request request = {.url = text_str(&url),
                                    .token = hub_token(p),
                                    .offset = e->offset,
                                    .len = e->len,
                                    .data = on_stream_data,
                                    .done = on_stream_done,
                                    .context = slot};
    if (fetcher_start(p->stock->fetcher, &slot->fetch, &request, &why) < 0) {
        struct transfer_outcome outcome = {.code = why.code, .text = why.text};
        transfer_ended(&p->parcel.transfer, e->stream, &outcome, clock_us(), &p->effects);
    }
    text_deinit(&url);
}

static void prepare_chain(const struct pull *p, struct hasher_job *job) {
    const struct transfer_file *f = &p->parcel.transfer.files[job->check.file];
    job->chain = p->chains[job->check.file];
    job->first = job->check.chunk == f->chain_begin;
    job->seed_bytes = (uint64_t)f->chain_begin * f->chunks.chunk_bytes;
    job->handed_on = job->check.chunk + 1 == f->chain_end && !job->last;
    memcpy(job->seed, p->chain_states[job->check.file].seed, sizeof job->seed);
}

/* From the state before the chunk. */
static void prepare_state(const struct chunks *c, struct hasher_job *job) {
    const uint8_t *before = chunks_state_before(c, job->check.chunk);
    job->first = true;
    job->seed_bytes = job->offset;
    if (before) memcpy(job->seed, before, sizeof job->seed);
}

static void give_check(struct pull *p, const struct transfer_effect *e) {
    const struct chunks *c = &p->parcel.transfer.files[e->file].chunks;
    struct hasher_job *job = calloc(1, sizeof *job);
    assert(job != NULL);
    if (e->chain && p->chains[e->file] == NULL) p->chains[e->file] = hasher_chain_new();
    *job = (struct hasher_job){.owner = p,
                               .check = *e,
                               .fd = p->parcel.files[e->file].data,
                               .offset = (uint64_t)e->chunk * c->chunk_bytes,
                               .len = chunks_size(c, e->chunk),
                               .last = e->chunk + 1 == c->count};
    if (e->chain)
        prepare_chain(p, job);
    else if (e->state)
        prepare_state(c, job);
    p->jobs++;
    hasher_give(p->stock->hasher, job);
}

static void keep_records(struct pull *p, const struct transfer_effect *e) {
    struct error why = {0};
    if (e->count == 0) return; /* before the files are known there are none */
    if (parcel_record(&p->parcel, e->file, e->chunk, e->count, &why) < 0 && p->state != STOCK_FAILED)
        pull_fail(p, &why);
}

/* Of what comes in pieces the map is written once: a record is what is known when it is written. */
static void join_records(struct pull *p, struct transfer_effect *run, const struct transfer_effect *e) {
    uint32_t end = e->chunk + e->count, run_end = run->chunk + run->count;
    if (e->file != run->file || e->chunk < run->chunk || e->chunk > run_end) {
        keep_records(p, run);
        *run = *e;
    } else if (end > run_end) {
        run->count = end - run->chunk;
    }
}

/* Effects may cause more of them. */
void pull_carry_out(struct pull *p) {
    struct transfer_effect records = {0};
    for (size_t i = 0; i < p->effects.count; i++) {
        struct transfer_effect e = p->effects.items[i];
        switch (e.type) {
        case TRANSFER_FETCH: start_stream(p, &e); break;
        case TRANSFER_STOP:
            if (p->slots[e.stream].fetch) fetch_cancel(p->slots[e.stream].fetch);
            p->slots[e.stream].fetch = NULL;
            break;
        case TRANSFER_RECORD: join_records(p, &records, &e); break;
        case TRANSFER_CHECK: give_check(p, &e); break;
        case TRANSFER_WRONG: hold_wrong(p, e.file, e.chunk, e.giver); break;
        case TRANSFER_READY: hold_chunk_ready(p, e.file, e.chunk); break;
        }
    }
    p->effects.count = 0;
    keep_records(p, &records);
}

void pull_recheck(struct pull *p, uint32_t file, uint32_t chunk) {
    transfer_recheck_chunk(&p->parcel.transfer, file, chunk, &p->effects);
}

/* What was whole, and is not since the disk has changed it. */
static void keep_loss(struct pull *p) {
    struct manifest *m = &p->parcel.manifest;
    if (!m->complete || all_here(p)) return;
    m->complete = false;
    parcel_save(&p->parcel, NULL);
}

void pull_checked(struct hasher_job *job) {
    struct pull *p = job->owner;
    uint64_t mended = p->parcel.transfer.mended;
    p->jobs--;
    transfer_checked(&p->parcel.transfer, &job->check, job->code, job->hash, job->state, clock_us(), &p->effects);
    if (p->parcel.transfer.mended > mended) keep_loss(p);
    if (job->chain && (job->handed_on || job->last)) chain_ended(p, job);
    free(job);
}

static void finish(struct pull *p) {
    struct error why = {0};
    p->parcel.manifest.complete = all_here(p);
    p->check = false;
    transfer_stop(&p->parcel.transfer, NULL, &p->effects);
    if (parcel_sync(&p->parcel, &why) < 0 || parcel_save(&p->parcel, &why) < 0) {
        pull_fail(p, &why);
        return;
    }
    set_state(p, STOCK_DONE);
    log_info(p->stock->options.log, "pull of %s is done: %llu MiB, %llu chunks were wrong and came again", p->name,
             (unsigned long long)(manifest_bytes(&p->parcel.manifest) >> 20),
             (unsigned long long)p->parcel.transfer.mended);
}

/* ---- life ---- */

struct pull *pull_new(struct stock *s, const struct origin *origin, const char *name) {
    struct pull *p = calloc(1, sizeof *p);
    assert(p != NULL);
    *p = (struct pull){.stock = s, .origin = *origin, .state = STOCK_PAUSED, .parcel.folder = -1};
    snprintf(p->name, sizeof p->name, "%s", name);
    pthread_mutex_lock(&s->mutex);
    struct pull **at = &s->pulls;
    while (*at) at = &(*at)->next;
    *at = p;
    pthread_mutex_unlock(&s->mutex);
    return p;
}

static void close_parcel(struct pull *p) {
    if (!p->open) return;
    hold_end(p);
    free(p->chain_states);
    p->chain_states = NULL;
    for (size_t i = 0; p->chains && i < p->parcel.manifest.file_count; i++) hasher_chain_free(p->chains[i]);
    free(p->chains);
    p->chains = NULL;
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++) drain_forget(p->stock->drain, p->parcel.files[i].data);
    parcel_close(&p->parcel);
    p->open = false;
}

void pull_free(struct pull *p) {
    close_parcel(p);
    hold_forget_inquiries(p);
    listing_deinit(&p->listing);
    text_deinit(&p->body);
    free(p->plan);
    transfer_effects_deinit(&p->effects);
    free(p);
}

bool pull_at_rest(const struct pull *p) {
    for (unsigned i = 0; i < TRANSFER_STREAMS_MAX; i++)
        if (p->slots[i].fetch) return false;
    return p->jobs == 0 && p->page == NULL;
}

bool pull_under_way(const struct pull *p) {
    return p->state == STOCK_LISTING || p->state == STOCK_HEADERS || p->state == STOCK_PLANNING ||
           p->state == STOCK_FETCHING;
}

/* What lies there already, of this or an earlier run; else ask the hub. */
static void begin_anew(struct pull *p) {
    struct manifest m = {0};
    struct pulled_search here = {.origin = &p->origin};
    close_parcel(p);
    p->error = (struct error){0};
    p->last = (struct stock_view){0};
    p->leader = NULL;
    p->asking = p->alone = false;
    p->followed = 0;
    p->number = ++p->stock->pull_number;
    hold_forget_inquiries(p);
    p->given_bytes = 0;
    p->banned_count = 0;
    if (p->plan || p->check) here.fingerprint = p->plan ? p->plan->fingerprint : p->told_fingerprint;
    bool found = pulled_find(p->stock->options.home, &here) && !find_leader(p, here.path);
    if (found && parcel_manifest(here.path, &m, NULL) == 0)
        open_parcel(p, &m, here.path);
    else if (p->check)
        fail_code(p, ERR_NOT_FOUND, "nothing of it was pulled to this node: there is nothing to compare");
    else
        begin_listing(p);
    manifest_deinit(&m);
}

static void begin_or_wait(struct pull *p) {
    if (!pull_at_rest(p)) {
        p->again = true;
        return;
    }
    begin_anew(p);
    pull_carry_out(p);
}

void pull_begin(struct pull *p, const char *name, bool whole) {
    snprintf(p->alias, sizeof p->alias, "%s", name);
    if (p->open && pull_under_way(p)) manifest_add_name(&p->parcel.manifest, name);
    bool more = whole && !p->whole;
    p->whole |= whole;
    if (!pull_under_way(p)) {
        begin_or_wait(p);
    } else if (more && (p->state == STOCK_PLANNING || p->state == STOCK_FETCHING)) {
        begin_fetching(p);
        pull_carry_out(p);
    }
}

void pull_check(struct pull *p) {
    p->check = true;
    if (!pull_under_way(p)) {
        p->all = false;
        begin_or_wait(p);
    } else if (p->state == STOCK_PLANNING || p->state == STOCK_FETCHING) {
        begin_fetching(p);
        pull_carry_out(p);
    }
}

void pull_hold(struct pull *p, struct wire_plan *plan, bool all, uint64_t report) {
    bool same = p->plan && wire_plan_hash(p->plan) == wire_plan_hash(plan);
    free(p->plan);
    p->plan = plan;
    p->all |= all;
    if (report) hold_report_to(p, report);
    if (!pull_under_way(p)) {
        begin_or_wait(p);
    } else if (p->state == STOCK_PLANNING || (p->state == STOCK_FETCHING && !same)) {
        hold_forget_plan(p);
        begin_fetching(p);
        pull_carry_out(p);
    }
}

void pull_take_manifest(struct pull *p, struct manifest *m) {
    char path[PARCEL_PATH_BYTES];
    m->complete = false;
    pulled_place(p->stock->options.home, m, path);
    p->leader = find_leader(p, path);
    if (p->leader == NULL) open_parcel(p, m, path);
}

/* What is here as a whole, or was only to be compared, is not lost with the pull. */
static void remove_begun(const struct pull *p) {
    struct pulled_search here = {.origin = &p->origin};
    struct manifest m;
    bool complete = false;
    if (p->check || p->state == STOCK_DONE || !pulled_find(p->stock->options.home, &here)) return;
    if (parcel_manifest(here.path, &m, NULL) == 0) {
        complete = m.complete;
        manifest_deinit(&m);
    }
    if (!complete) parcel_remove(here.path, NULL);
}

void pull_halt(struct pull *p, bool remove) {
    p->again = p->asking = false;
    hub_cancel(p);
    if (p->open) transfer_stop(&p->parcel.transfer, NULL, &p->effects);
    pull_carry_out(p);
    if (remove) remove_begun(p);
    if (pull_under_way(p)) set_state(p, STOCK_PAUSED);
    if (!remove) return;
    p->removed = true;
    p->stock->urgent = true;
}

static bool all_is_right(struct pull *p, uint64_t now_us) {
    if (p->check && p->jobs > 0) return false; /* it is being looked at */
    return p->plan ? hold_done(p, now_us) : transfer_done(&p->parcel.transfer);
}

void pull_turn(struct pull *p, uint64_t now_us) {
    hub_turn(p, now_us);
    if (p->open && pull_under_way(p)) {
        struct transfer *t = &p->parcel.transfer;
        transfer_tick(t, now_us, &p->effects);
        if (t->error.code)
            fail_open(p, &t->error);
        else if (p->state == STOCK_HEADERS)
            want_headers(p);
        else if (p->state == STOCK_FETCHING && all_is_right(p, now_us))
            finish(p);
    }
    hold_turn(p, now_us);
    pull_carry_out(p);
    if (p->state == STOCK_DONE && p->open && pull_at_rest(p)) {
        pull_view(p, &p->last);
        close_parcel(p);
    }
    if (p->leader && !pull_under_way(p->leader)) {
        p->leader = NULL;
        begin_anew(p); /* all is there, or it is this one's turn */
    }
    if (p->again && pull_at_rest(p)) {
        p->again = false;
        begin_anew(p);
        pull_carry_out(p);
    }
}

uint64_t pull_deadline(const struct pull *p) {
    if (p->page_retry_us) return p->page_retry_us;
    return p->open && pull_under_way(p) ? transfer_deadline(&p->parcel.transfer) : UINT64_MAX;
}

/* What each member of the plan has of its part; all of it is the sum of them. `out` tells of this node's until then. */
static void view_parts(const struct pull *p, struct stock_view *out) {
    const struct stock_part own = {mates_self(p->stock), out->bytes_done, out->bytes_total};
    out->part_count = p->plan->member_count;
    for (uint32_t i = 0; i < out->part_count; i++) {
        const struct pull_member *m = &p->members[i];
        uint64_t node = p->plan->members[i].node;
        out->parts[i] = node == own.node ? own : (struct stock_part){node, m->bytes_done, m->bytes_total};
        out->bytes_total += m->bytes_total;
        out->bytes_done += m->bytes_done;
    }
}

void pull_view(const struct pull *p, struct stock_view *out) {
    if (p->leader) {
        pull_view(p->leader, out);
        snprintf(out->name, sizeof out->name, "%s", p->name);
        return;
    }
    *out = p->last;
    snprintf(out->name, sizeof out->name, "%s", p->name);
    out->state = p->again ? STOCK_LISTING : p->state;
    out->error = out->state == STOCK_FAILED ? p->error : (struct error){0};
    if (!p->open) return;
    const struct transfer *t = &p->parcel.transfer;
    out->bytes_total = transfer_wanted_bytes(t);
    out->bytes_done = out->bytes_total - transfer_missing_bytes(t);
    out->fetched_bytes = t->fetched_bytes;
    out->rate = pull_under_way(p) ? t->rate : 0;
    out->streams = t->active;
    out->headers = p->parcel.manifest.known;
    out->held = p->plan != NULL;
    out->follows = p->followed != 0;
    out->ready = p->plan && p->state == STOCK_FETCHING && hold_bytes_here(p);
    out->given_bytes = p->given_bytes;
    if (p->plan && p->all) view_parts(p, out);
}
