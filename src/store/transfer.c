#include "store/transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/size.h"

enum {
    MS = 1000,
    SECOND = 1000 * MS,
    STREAMS_FIRST = 2,
    RUN_BYTES_MIN = 4 << 20,
    RUN_BYTES_MAX = 256 << 20,
    FAILURES_MAX = 8,
    PAUSE_US = 500 * MS,
    PAUSE_DOUBLINGS_MAX = 6,
    MEASURE_US = 1 * SECOND,
    GROW_AGAIN_US = 20 * SECOND,
    AGAIN_MAX = 1,
    MENDED_MAX = 3,
};

/* Whatever a list says, its chunks take no more than 100 MB of memory. */
static const uint64_t model_bytes_max = 4 * CHUNKS_FILE_BYTES_MAX;

int transfer_init(struct transfer *t, const struct manifest *m, uint64_t seed, struct error *error) {
    *t = (struct transfer){.stopped = true, .target = STREAMS_FIRST, .growing = true, .random = seed};
    t->files = calloc(m->file_count + 1, sizeof *t->files);
    if (t->files == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    t->file_count = m->file_count;
    uint64_t sum = 0;
    for (size_t i = 0; i < m->file_count; i++)
        if (!size_add(sum, m->files[i].bytes, &sum)) sum = UINT64_MAX;
    for (size_t i = 0; i < m->file_count; i++) {
        struct transfer_file *f = &t->files[i];
        f->hashed = m->files[i].hashed;
        memcpy(f->sha256, m->files[i].sha256, sizeof f->sha256);
        int rc = sum > model_bytes_max ? ERR_LIMIT : chunks_init(&f->chunks, m->files[i].bytes, chunks_bytes_for(sum));
        f->chain_end = f->chunks.count;
        if (rc == 0) continue;
        transfer_deinit(t);
        return error_set(error, rc, "%.200s, of %llu bytes: %s", m->files[i].path,
                         (unsigned long long)m->files[i].bytes, error_text(rc));
    }
    return 0;
}

void transfer_deinit(struct transfer *t) {
    for (size_t i = 0; i < t->file_count; i++) chunks_deinit(&t->files[i].chunks);
    free(t->files);
    *t = (struct transfer){0};
}

void transfer_effects_deinit(struct transfer_effects *e) {
    free(e->items);
    *e = (struct transfer_effects){0};
}

static void emit(struct transfer_effects *e, struct transfer_effect effect) {
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? 2 * e->capacity : 64;
        e->items = realloc(e->items, e->capacity * sizeof *e->items);
        assert(e->items != NULL);
    }
    e->items[e->count++] = effect;
}

/* ---- what is wanted ---- */

void transfer_want(struct transfer *t, uint32_t file, uint64_t offset, uint64_t len) {
    chunks_want(&t->files[file].chunks, offset, len);
}

void transfer_want_all(struct transfer *t) {
    for (size_t i = 0; i < t->file_count; i++) {
        struct transfer_file *f = &t->files[i];
        chunks_want(&f->chunks, 0, f->chunks.bytes);
        f->proof = f->chain = f->hashed && !f->verified;
        f->chain_awaited = false;
        f->chain_begin = f->chain_next = f->chain_kept = 0;
        f->chain_end = f->chunks.count;
    }
}

bool transfer_done(const struct transfer *t) {
    for (size_t i = 0; i < t->file_count; i++) {
        const struct transfer_file *f = &t->files[i];
        bool proven = !f->proof || f->verified || chunks_verified(&f->chunks);
        if (!chunks_satisfied(&f->chunks) || !proven) return false;
    }
    return true;
}

uint64_t transfer_wanted_bytes(const struct transfer *t) {
    uint64_t sum = 0;
    for (size_t i = 0; i < t->file_count; i++) sum += chunks_wanted_bytes(&t->files[i].chunks);
    return sum;
}

uint64_t transfer_missing_bytes(const struct transfer *t) {
    uint64_t sum = 0;
    for (size_t i = 0; i < t->file_count; i++) sum += chunks_missing_bytes(&t->files[i].chunks);
    return sum;
}

/* ---- hashing ---- */

static void record(struct transfer_effects *e, uint32_t file, uint32_t chunk, uint32_t count) {
    emit(e, (struct transfer_effect){.type = TRANSFER_RECORD, .file = file, .chunk = chunk, .count = count});
}

static void emit_check(struct transfer *t, struct transfer_effect check, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[check.file];
    f->chunks.items[check.chunk].checking++;
    check.type = TRANSFER_CHECK;
    check.drops = f->chunks.items[check.chunk].drops;
    check.round = f->chain_round;
    emit(e, check);
}

/* By itself, with the kind of hash that is known of it. */
static void check(struct transfer *t, uint32_t file, uint32_t chunk, struct transfer_effects *e) {
    bool chained = t->files[file].chunks.items[chunk].chained;
    emit_check(t, (struct transfer_effect){.file = file, .chunk = chunk, .hash = !chained, .state = chained}, e);
}

static bool is_proven(const struct chunk *k) { return k->state == CHUNK_VERIFIED || k->expected; }

/* This node alone hashes the file, from its first to its last byte. */
static bool chain_is_whole(const struct transfer_file *f) {
    return f->chain && !f->verified && f->chain_begin == 0 && f->chain_end == f->chunks.count;
}

/* Where somebody has told the hashes of all chunks, the whole file's says nothing more. */
static bool chain_has_purpose(const struct transfer_file *f) {
    return f->chain && !f->verified && (f->chain_awaited || f->chunks.sums.unproven > 0);
}

/* The chain's next chunk: the state behind it is kept, or else what comes of it says nothing of this chunk alone. */
static void chain_chunk(struct transfer *t, uint32_t file, bool all, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    uint32_t chunk = f->chain_next++;
    const struct chunk *k = &f->chunks.items[chunk];
    bool kept = chain_is_whole(f) && f->chain_kept == chunk && (k->chained || !is_proven(k));
    f->chain_kept += kept;
    bool hash = !k->chained && (k->state == CHUNK_OPEN ? !kept : all);
    struct transfer_effect next = {.file = file, .chunk = chunk, .hash = hash, .chain = true, .state = kept};
    emit_check(t, next, e);
    if (k->chained && !kept && k->state == CHUNK_OPEN) check(t, file, chunk, e);
}

/* The chain goes on over what is here. */
static void lengthen_chain(struct transfer *t, uint32_t file, bool all, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    while (f->chain_next < f->chain_end && chunks_full(&f->chunks, f->chain_next) && chain_has_purpose(f))
        chain_chunk(t, file, all, e);
}

/* Will the chain hash it, and nothing need do so before? */
static bool awaits_chain(const struct transfer_file *f, uint32_t chunk) {
    return chain_is_whole(f) && chunk >= f->chain_next && !is_proven(&f->chunks.items[chunk]);
}

static void chunk_is_full(struct transfer *t, uint32_t file, uint32_t chunk, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    bool next = f->chain && !f->verified && f->chain_next == chunk && chunk < f->chain_end;
    if (!awaits_chain(f, chunk) && !(next && chain_has_purpose(f))) check(t, file, chunk, e);
    lengthen_chain(t, file, false, e);
}

static void restart_chain(struct transfer_file *f) {
    f->chain_next = f->chain_begin;
    f->chain_kept = 0;
    f->chain_round++;
}

/* ---- streams ---- */

/* Runs are short enough that the streams end together, and long enough that asking for them costs nothing. */
static uint64_t run_bytes(const struct transfer *t) {
    uint64_t share = transfer_missing_bytes(t) / t->target, second = t->rate / (t->active + 1);
    uint64_t bytes = second > RUN_BYTES_MIN ? second : RUN_BYTES_MIN;
    if (bytes > share) bytes = share;
    return bytes < RUN_BYTES_MAX ? bytes : RUN_BYTES_MAX;
}

static bool begin_stream(struct transfer *t, struct transfer_effects *e) {
    unsigned number = 0;
    uint64_t bytes = run_bytes(t);
    while (number < TRANSFER_STREAMS_MAX && t->streams[number].active) number++;
    if (number == TRANSFER_STREAMS_MAX) return false;
    for (uint32_t i = 0; i < t->file_count; i++) {
        uint64_t offset, len;
        if (!chunks_next_run(&t->files[i].chunks, bytes, &offset, &len)) continue;
        t->streams[number] = (struct transfer_stream){.active = true, .file = i, .at = offset, .end = offset + len};
        t->active++;
        emit(e, (struct transfer_effect){
                    .type = TRANSFER_FETCH, .stream = number, .file = i, .offset = offset, .len = len});
        return true;
    }
    return false;
}

static void begin_streams(struct transfer *t, uint64_t now_us, struct transfer_effects *e) {
    if (t->stopped || now_us < t->resume_us) return;
    t->resume_us = 0;
    while (t->active < t->target && begin_stream(t, e)) continue;
}

static void release(struct transfer *t, unsigned number) {
    struct transfer_stream *s = &t->streams[number];
    /* The chunk that it stopped in is the first of what is left. */
    struct chunks *c = &t->files[s->file].chunks;
    chunks_release(c, s->at / c->chunk_bytes * c->chunk_bytes, s->end - s->at / c->chunk_bytes * c->chunk_bytes);
    s->active = false;
    t->active--;
}

void transfer_start(struct transfer *t, uint64_t now_us, struct transfer_effects *e) {
    bool was_stopped = t->stopped;
    t->stopped = false;
    t->error = (struct error){0};
    t->failures = 0;
    t->resume_us = 0;
    t->measure_us = now_us;
    t->measure_bytes = t->fetched_bytes;
    for (uint32_t i = 0; was_stopped && i < t->file_count; i++) {
        struct transfer_file *f = &t->files[i];
        restart_chain(f);
        lengthen_chain(t, i, true, e);
        for (uint32_t k = 0; k < f->chunks.count; k++)
            if (chunks_full(&f->chunks, k) && !f->chunks.items[k].checking && !awaits_chain(f, k) &&
                f->chunks.items[k].state != CHUNK_VERIFIED)
                check(t, i, k, e);
    }
    begin_streams(t, now_us, e);
}

void transfer_stop(struct transfer *t, const struct error *why, struct transfer_effects *e) {
    t->stopped = true;
    if (why) t->error = *why;
    for (unsigned i = 0; i < TRANSFER_STREAMS_MAX; i++) {
        if (!t->streams[i].active) continue;
        release(t, i);
        emit(e, (struct transfer_effect){.type = TRANSFER_STOP, .stream = i});
    }
}

/* ---- what streams bring ---- */

void transfer_bytes(struct transfer *t, unsigned number, uint64_t len, uint64_t now_us, struct transfer_effects *e) {
    struct transfer_stream *s = &t->streams[number];
    struct chunks *c = &t->files[s->file].chunks;
    assert(s->active && len <= s->end - s->at);
    if (len == 0) return;
    uint32_t first = (uint32_t)(s->at / c->chunk_bytes), last = (uint32_t)((s->at + len - 1) / c->chunk_bytes);
    chunks_fill(c, s->at, len);
    s->at += len;
    s->progress += len;
    t->fetched_bytes += len;
    t->failures = 0;
    record(e, s->file, first, last - first + 1);
    for (uint32_t k = first; k <= last; k++)
        if (chunks_full(c, k)) {
            chunks_set_busy(c, k, false);
            chunk_is_full(t, s->file, k, e);
        }
}

static bool is_final(const struct transfer_outcome *o) {
    return o->code == ERR_DENIED || o->code == ERR_NOT_FOUND || o->code == ERR_UNSUPPORTED || o->code == ERR_LIMIT ||
           o->code == ERR_INVALID || o->code == ERR_IO || o->code == ERR_STALE;
}

static void pause(struct transfer *t, const struct transfer_outcome *o, uint64_t now_us) {
    uint32_t asked = o->retry_after_s < TRANSFER_RETRY_AFTER_S_MAX ? o->retry_after_s : TRANSFER_RETRY_AFTER_S_MAX;
    unsigned doublings = t->failures < PAUSE_DOUBLINGS_MAX ? t->failures : PAUSE_DOUBLINGS_MAX;
    uint64_t pause_us = (uint64_t)PAUSE_US << doublings;
    pause_us += prng_below(&t->random, pause_us / 2);
    if (asked > 0) pause_us = (uint64_t)asked * SECOND + prng_below(&t->random, SECOND / 4);
    if (now_us + pause_us > t->resume_us) t->resume_us = now_us + pause_us;
    if (t->target > 1) t->target--; /* who is asked less fails less */
    t->growing = false;
    t->grow_us = now_us + GROW_AGAIN_US;
}

void transfer_ended(struct transfer *t, unsigned number, const struct transfer_outcome *o, uint64_t now_us,
                    struct transfer_effects *e) {
    struct transfer_stream *s = &t->streams[number];
    assert(s->active);
    bool complete = s->at == s->end, moved = s->progress >= t->files[s->file].chunks.chunk_bytes;
    release(t, number);
    if (!complete) {
        struct error why;
        error_set(&why, o->code ? o->code : ERR_CLOSED, "%s", o->text ? o->text : "the hub sent less than it said");
        if (is_final(o) || (++t->failures > FAILURES_MAX && o->retry_after_s == 0)) {
            transfer_stop(t, &why, e);
            return;
        }
        if (!moved || o->retry_after_s > 0) pause(t, o, now_us);
    }
    begin_streams(t, now_us, e);
}

void transfer_given(struct transfer *t, uint32_t file, uint32_t chunk, uint16_t giver, uint64_t now_us,
                    struct transfer_effects *e) {
    struct chunks *c = &t->files[file].chunks;
    struct chunk *k = &c->items[chunk];
    chunks_set_have(c, chunk, chunks_size(c, chunk));
    chunks_set_busy(c, chunk, false);
    k->giver = giver;
    record(e, file, chunk, 1);
    chunk_is_full(t, file, chunk, e);
}

/* ---- what hashing finds ---- */

static void fetch_again(struct transfer *t, uint32_t file, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    for (uint32_t i = 0; i < f->chunks.count; i++) {
        struct chunk *k = &f->chunks.items[i];
        chunks_drop(&f->chunks, i);
        chunks_set_expected(&f->chunks, i, k->expected && !k->chained);
        k->chained = false;
    }
    restart_chain(f);
    record(e, file, 0, f->chunks.count);
}

void transfer_verified(struct transfer *t, uint32_t file, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    f->verified = true;
    for (uint32_t i = 0; i < f->chunks.count; i++)
        if (f->chunks.items[i].state == CHUNK_HASHED) chunks_set_state(&f->chunks, i, CHUNK_VERIFIED);
    record(e, file, 0, f->chunks.count);
    for (uint32_t i = 0; i < f->chunks.count; i++) { /* what the chain would have come to */
        const struct chunk *k = &f->chunks.items[i];
        if (chunks_full(&f->chunks, i) && k->state == CHUNK_OPEN && !k->checking) check(t, file, i, e);
    }
}

void transfer_recheck_chunk(struct transfer *t, uint32_t file, uint32_t chunk, struct transfer_effects *e) {
    if (chunks_full(&t->files[file].chunks, chunk)) check(t, file, chunk, e);
}

void transfer_recheck(struct transfer *t, uint32_t file, struct transfer_effects *e) {
    for (uint32_t i = 0; i < t->files[file].chunks.count; i++) transfer_recheck_chunk(t, file, i, e);
}

void transfer_take_chain(struct transfer *t, uint32_t file, uint32_t begin, uint32_t end, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    f->chain = f->chain_awaited = true;
    f->chain_begin = begin;
    f->chain_end = end;
    restart_chain(f);
    lengthen_chain(t, file, false, e);
}

/* A state that somebody knows, and the ones before it: what was here before is compared with it once more. */
static bool learn_state(struct transfer *t, uint32_t file, uint32_t chunk, const struct chunk *theirs,
                        struct transfer_effects *e) {
    struct chunks *c = &t->files[file].chunks;
    struct chunk *k = &c->items[chunk];
    if (k->chained) return memcmp(k->hash, theirs->hash, sizeof k->hash) == 0;
    if (theirs->state == CHUNK_HASHED) return false;
    memcpy(k->hash, theirs->hash, sizeof k->hash);
    k->chained = true;
    if (k->state == CHUNK_VERIFIED) return true;
    chunks_set_state(c, chunk, CHUNK_OPEN);
    chunks_set_expected(c, chunk, true);
    if (chunks_full(c, chunk)) check(t, file, chunk, e);
    return true;
}

static void learn_hash(struct chunks *c, uint32_t chunk, const struct chunk *theirs) {
    struct chunk *k = &c->items[chunk];
    if (theirs->state != CHUNK_VERIFIED || k->state != CHUNK_OPEN || k->expected) return;
    memcpy(k->hash, theirs->hash, sizeof k->hash);
    chunks_set_expected(c, chunk, true);
}

void transfer_learn(struct transfer *t, uint32_t file, const struct chunks *theirs, struct transfer_effects *e) {
    struct chunks *mine = &t->files[file].chunks;
    bool chained = true;
    for (uint32_t i = 0; i < mine->count; i++) {
        const struct chunk *other = &theirs->items[i];
        chained = chained && other->chained && learn_state(t, file, i, other, e);
        if (!other->chained) learn_hash(mine, i, other);
    }
    if (mine->count > 0 && mine->items[0].chained) record(e, file, 0, mine->count);
}

static void whole_is_known(struct transfer *t, uint32_t file, const uint8_t *whole, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    if (memcmp(whole, f->sha256, sizeof f->sha256) == 0) {
        transfer_verified(t, file, e);
        return;
    }
    fetch_again(t, file, e);
    if (f->again++ < AGAIN_MAX) return;
    struct error why;
    error_set(&why, ERR_STALE,
              "the bytes that came do not have the SHA-256 that the hub tells for the file: none of "
              "them were kept");
    transfer_stop(t, &why, e);
}

/* A chunk is not what it was, and stays so: the states from there on are no measure any more. */
static void forget_states(struct transfer *t, uint32_t file, uint32_t from, struct transfer_effects *e) {
    struct chunks *c = &t->files[file].chunks;
    for (uint32_t i = from; i < c->count && c->items[i].chained; i++) {
        c->items[i].chained = false;
        chunks_set_expected(c, i, false);
        chunks_set_state(c, i, CHUNK_OPEN);
        record(e, file, i, 1);
        if (chunks_full(c, i)) check(t, file, i, e);
    }
}

/* What was read back is not what was written, or cannot be read: this chunk comes again, and must be what it was. If
 * it never is, the whole file's hash is left to say who is right. */
static void mend(struct transfer *t, uint32_t file, uint32_t chunk, struct transfer_effects *e) {
    struct transfer_file *f = &t->files[file];
    struct chunk *k = &f->chunks.items[chunk];
    if (k->giver)
        emit(e, (struct transfer_effect){.type = TRANSFER_WRONG, .file = file, .chunk = chunk, .giver = k->giver});
    k->giver = 0;
    bool known = k->expected || k->state == CHUNK_VERIFIED || k->chained;
    chunks_set_expected(&f->chunks, chunk, known && k->mended < MENDED_MAX);
    if (k->mended < MENDED_MAX) k->mended++;
    chunks_drop(&f->chunks, chunk);
    if (!k->expected) forget_states(t, file, chunk, e);
    t->mended++;
    record(e, file, chunk, 1);
    if (chunk < f->chain_next) restart_chain(f);
}

/* Nothing is known of it yet that what was found could differ from, or it does not. */
static bool is_right(const struct chunk *k, bool hashed, const uint8_t *hash, bool followed, const uint8_t *state) {
    if (k->state == CHUNK_OPEN && !k->expected) return true;
    if (k->chained) return !followed || memcmp(state, k->hash, CHUNKS_HASH_BYTES) == 0;
    return !hashed || memcmp(hash, k->hash, CHUNKS_HASH_BYTES) == 0;
}

/* The state takes the place of the chunk's own hash. */
static void keep_hash(struct transfer *t, uint32_t file, uint32_t chunk, bool chained, const uint8_t *hash,
                      struct transfer_effects *e) {
    struct chunks *c = &t->files[file].chunks;
    struct chunk *k = &c->items[chunk];
    bool fresh = k->state == CHUNK_OPEN;
    memcpy(k->hash, hash, CHUNKS_HASH_BYTES);
    k->chained = chained;
    if (fresh) chunks_set_state(c, chunk, k->expected ? CHUNK_VERIFIED : CHUNK_HASHED);
    record(e, file, chunk, 1);
    if (fresh) emit(e, (struct transfer_effect){.type = TRANSFER_READY, .file = file, .chunk = chunk});
}

void transfer_checked(struct transfer *t, const struct transfer_effect *check_of, int code,
                      const uint8_t hash[CHUNKS_HASH_BYTES], const uint8_t state[CHUNKS_HASH_BYTES], uint64_t now_us,
                      struct transfer_effects *e) {
    uint32_t file = check_of->file, chunk = check_of->chunk;
    struct transfer_file *f = &t->files[file];
    struct chunk *k = &f->chunks.items[chunk];
    bool current = !check_of->chain || check_of->round == f->chain_round;
    bool followed = check_of->state && current; /* an earlier chain may have lost its way */
    k->checking--;
    if (!chunks_full(&f->chunks, chunk) || check_of->drops != k->drops) {
        /* dropped meanwhile */
    } else if (code < 0 || !is_right(k, check_of->hash, hash, followed, state)) {
        mend(t, file, chunk, e);
    } else if (followed && (!k->chained || k->state == CHUNK_OPEN)) {
        keep_hash(t, file, chunk, true, state, e);
    } else if (k->state == CHUNK_OPEN && check_of->hash && !k->chained) {
        keep_hash(t, file, chunk, false, hash, e);
    }
    bool last = check_of->chain && chunk + 1 == f->chunks.count;
    if (last && current && chunks_full(&f->chunks, chunk)) whole_is_known(t, file, state, e);
    lengthen_chain(t, file, false, e);
    begin_streams(t, now_us, e);
}

/* ---- time ---- */

/* One stream more as long as that makes it faster, one less when it did not. */
static void adapt(struct transfer *t, uint64_t now_us) {
    t->rate = (t->fetched_bytes - t->measure_bytes) * SECOND / (now_us - t->measure_us);
    t->measure_us = now_us;
    t->measure_bytes = t->fetched_bytes;
    if (t->growing && t->active == t->target) {
        bool faster = t->rate > t->rate_before + t->rate_before / 12;
        if (faster && t->target < TRANSFER_STREAMS_MAX) t->target++;
        if (!faster && t->target > 1) t->target--;
        t->growing = faster;
        t->grow_us = now_us + GROW_AGAIN_US;
        t->rate_before = t->rate;
    } else if (!t->growing && now_us >= t->grow_us && t->target < TRANSFER_STREAMS_MAX) {
        t->growing = true;
        t->target++;
        t->rate_before = t->rate;
    }
}

void transfer_tick(struct transfer *t, uint64_t now_us, struct transfer_effects *e) {
    if (t->stopped) return;
    if (now_us >= t->measure_us + MEASURE_US) adapt(t, now_us);
    for (uint32_t i = 0; i < t->file_count; i++) lengthen_chain(t, i, false, e);
    begin_streams(t, now_us, e);
}

uint64_t transfer_deadline(const struct transfer *t) {
    if (t->stopped || transfer_done(t)) return UINT64_MAX;
    uint64_t measure_us = t->measure_us + MEASURE_US;
    return t->resume_us > 0 && t->resume_us < measure_us ? t->resume_us : measure_us;
}
