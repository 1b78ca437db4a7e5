#include "node/chain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/mates.h"
#include "os/clock.h"

enum { HANDED_MAX = 1024, HANDED_US = 60000000 };

/* The hash of a file so far, given to this node to go on with before the model is open here. */
struct handed {
    struct handed *next;
    uint64_t until_us; /* then nobody waits for it any more */
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES], hash[WIRE_STORE_STATE_BYTES];
    uint32_t file, chunk;
};

/* ---- of an open pull ---- */

/* Runs of another plan began and ended elsewhere. A hash that was handed to this node is true under any plan. */
void chain_forget(struct pull *p) {
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++) {
        struct transfer_file *f = &p->parcel.transfer.files[i];
        struct pull_chain *chain = &p->chain_states[i];
        f->proof = f->hashed && !f->verified;
        if (p->whole) continue;
        f->chain = f->chain_awaited = chain->waits = false;
        f->chain_round++;
        chain->early = chain->taken && p->plan->members[p->owners[i][chain->taken_chunk]].node == mates_self(p->stock);
    }
}

static uint32_t end_of_run(const struct pull *p, uint32_t file, uint32_t begin) {
    uint32_t end = begin, count = p->parcel.transfer.files[file].chunks.count;
    while (end < count && p->owners[file][end] == p->owners[file][begin]) end++;
    return end;
}

static void begin_chains(struct pull *p) {
    for (uint32_t file = 0; file < p->parcel.manifest.file_count; file++) {
        struct transfer_file *f = &p->parcel.transfer.files[file];
        bool mine = f->chunks.count > 0 && p->plan->members[p->owners[file][0]].node == mates_self(p->stock);
        if (f->proof && !f->chain && mine)
            transfer_take_chain(&p->parcel.transfer, file, 0, end_of_run(p, file, 0), &p->effects);
    }
}

void chain_ended(struct pull *p, const struct hasher_job *job) {
    uint32_t file = job->check.file, next = job->check.chunk + 1;
    struct transfer_file *f = &p->parcel.transfer.files[file];
    if (p->owners == NULL || job->check.round != f->chain_round || job->code < 0) return;
    if (next == f->chunks.count) {
        mates_tell_verified(p->stock, p->parcel.manifest.fingerprint, file, f->verified);
        return;
    }
    struct pull_chain *chain = &p->chain_states[file];
    chain->waits = true;
    chain->next = next;
    memcpy(chain->state, job->state, sizeof chain->state);
}

/* Handed on as soon as there is a link. */
static void hand_on_chains(struct pull *p) {
    for (uint32_t file = 0; file < p->parcel.manifest.file_count; file++) {
        struct pull_chain *chain = &p->chain_states[file];
        if (!chain->waits) continue;
        struct wire_store m = {.type = WIRE_STORE_CHAIN, .file = file, .chunk = chain->next};
        memcpy(m.fingerprint, p->parcel.manifest.fingerprint, sizeof m.fingerprint);
        memcpy(m.hash, chain->state, sizeof m.hash);
        struct mate *to = mates_find(p->stock, p->plan->members[p->owners[file][chain->next]].node);
        if (to && mates_send(to, &m)) chain->waits = false;
    }
}

static void take_state(struct pull *p, uint32_t file, uint32_t chunk) {
    struct transfer_file *f = &p->parcel.transfer.files[file];
    if (chunk >= f->chunks.count || f->verified) return;
    transfer_take_chain(&p->parcel.transfer, file, chunk, end_of_run(p, file, chunk), &p->effects);
}

void chain_take(struct pull *p, const struct wire_store *m) {
    struct error why;
    if (m->file >= p->parcel.manifest.file_count) return;
    struct pull_chain *chain = &p->chain_states[m->file];
    if (m->type == WIRE_STORE_VERIFIED && m->state) {
        transfer_verified(&p->parcel.transfer, m->file, &p->effects);
    } else if (m->type == WIRE_STORE_VERIFIED) {
        error_set(&why, ERR_STALE, "the bytes that came do not have the SHA-256 that the hub tells for the file");
        pull_fail(p, &why);
    } else {
        memcpy(chain->seed, m->hash, sizeof chain->seed);
        chain->early = p->owners == NULL; /* the plan is not read yet */
        chain->taken = m->chunk < p->parcel.transfer.files[m->file].chunks.count;
        chain->taken_chunk = m->chunk;
        if (p->owners) take_state(p, m->file, m->chunk);
    }
}

static void take_early_chains(struct pull *p) {
    for (uint32_t file = 0; file < p->parcel.manifest.file_count; file++) {
        struct pull_chain *chain = &p->chain_states[file];
        if (chain->early) take_state(p, file, chain->taken_chunk);
        chain->early = false;
    }
}

/* ---- before it is open ---- */

static bool is_handed(const struct handed *h, const uint8_t *fingerprint) {
    return memcmp(h->fingerprint, fingerprint, sizeof h->fingerprint) == 0;
}

/* The plan or the model's manifest may still be on its way here. */
void chain_keep(struct stock *s, const struct wire_store *m) {
    struct handed **at = &s->handed;
    size_t count = 0;
    for (; *at && !(is_handed(*at, m->fingerprint) && (*at)->file == m->file); at = &(*at)->next) count++;
    struct handed *h = *at;
    if (h == NULL && count >= HANDED_MAX) return;
    if (h == NULL) h = *at = calloc(1, sizeof *h);
    assert(h != NULL);
    *h = (struct handed){
        .next = h->next, .until_us = clock_us() + HANDED_US, .file = m->file, .chunk = m->chunk};
    memcpy(h->fingerprint, m->fingerprint, sizeof h->fingerprint);
    memcpy(h->hash, m->hash, sizeof h->hash);
}

static void take_kept(struct pull *p) {
    for (struct handed **at = &p->stock->handed; *at;) {
        struct handed *h = *at;
        if (!is_handed(h, p->parcel.manifest.fingerprint)) {
            at = &h->next;
            continue;
        }
        struct wire_store m = {.type = WIRE_STORE_CHAIN, .file = h->file, .chunk = h->chunk};
        memcpy(m.hash, h->hash, sizeof m.hash);
        *at = h->next;
        free(h);
        chain_take(p, &m);
    }
}

void chain_forget_kept(struct stock *s, uint64_t now_us) {
    for (struct handed **at = &s->handed; *at;) {
        struct handed *h = *at;
        if (now_us < h->until_us) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        free(h);
    }
}

/* ---- turns ---- */

void chain_turn(struct pull *p) {
    take_kept(p);
    take_early_chains(p);
    begin_chains(p);
    hand_on_chains(p);
}

bool chain_is_awaited(const struct pull *p) {
    for (size_t i = 0; i < p->parcel.manifest.file_count; i++)
        if (p->chain_states[i].waits) return true;
    return false;
}
