/* A slice: layers [begin, end) of a model on this machine's CPU, or a member's share of them, with their KV cache; on
 * stage 0 also the embedding, the final norm and the head.
 *
 * Weights are read from the file (only the slice's byte ranges, several readers) and repacked into anonymous memory;
 * nothing is mapped. All calls from one thread, the device's worker; the compute pool is inside. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/exchange.h"
#include "engine/step.h"
#include "kern/kern.h"
#include "model/model.h"

struct slice;

struct slice_options {
    uint32_t layer_begin, layer_end;
    bool ends;                       /* embedding, final norm and head too */
    uint32_t member, members;        /* of those that share the layers (share.h); members 0 or 1: alone */
    const uint32_t *shares;          /* [members]: proportions; NULL when alone */
    const struct exchange *exchange; /* with the other members; must outlive the slice */
    unsigned threads;                /* 0: one per available core */
    enum kern_isa isa;
    enum kern_kv kv;
    uint32_t sessions;         /* slots in the page table */
    uint32_t context;          /* positions a session may have */
    uint32_t parallel;         /* sessions for whose whole contexts there are pages, which all share; 0: all of them */
    uint32_t pages;            /* in the pool; 0: as many as that takes */
    uint64_t memory_max;       /* refuse to reserve more; 0: what the host can give without swapping */
    atomic_bool *cancel;       /* loading stops with ERR_CANCELLED when it becomes true; may be NULL */
};

/* What the slice will hold, before anything is reserved: what the planner counts. */
struct slice_size {
    uint64_t weights_bytes, kv_bytes, scratch_bytes;
};
void slice_measure(const struct model *m, const struct slice_options *options, struct slice_size *out);

/* What sharing layers costs a member, whatever the shares. */
struct slice_cuts {
    uint32_t members_max;       /* that may share them */
    uint64_t layer_slack_bytes; /* weights of a layer beyond the member's share, at most */
    uint32_t kv_heads_slack;    /* and KV heads */
    uint64_t scratch_bytes;     /* at most, with a context as trained */
    uint32_t exchanges;         /* of a layer; all of them together tell so much of a row: */
    uint64_t exchange_bytes;    /* in an average layer */
};
void slice_measure_cuts(const struct model *m, struct slice_cuts *out);

/* Reserve, read and pack. `m` must outlive the slice; m->path is read. ERR_NOMEM and ERR_LIMIT say the numbers. */
int slice_open(struct slice **out, const struct model *m, const struct slice_options *options, struct error *error);
void slice_close(struct slice *s); /* NULL is fine */

/* Take the step's new pages into the page table. ERR_INVALID for a session, index or page out of range. */
int slice_map(struct slice *s, const struct step *step, struct error *error);
/* Embedding of the rows' tokens into hidden[row][embd]; the first member's. ERR_INVALID for a token outside the
 * vocabulary. */
int slice_embed(struct slice *s, const struct step *step, float *hidden, struct error *error);
/* Run the layers over hidden[row][embd], in place. ERR_INVALID for a position whose page is not mapped. With other
 * members: all run it; the first hands them the step. */
int slice_layers(struct slice *s, const struct step *step, float *hidden, struct error *error);
/* Final norm and head of `count` hidden rows into logits[row][vocab]; the first member's, which asks the others. */
int slice_head(struct slice *s, const float *hidden, uint32_t count, float *logits, struct error *error);
/* Any other member's part of it: what it was asked for as EXCHANGE_HEAD. */
int slice_answer_head(struct slice *s, const void *hidden, size_t len, struct error *error);

/* Final norm of `count` hidden rows into out[row][embd]: what an embedding is made of. */
void slice_norm(struct slice *s, const float *hidden, uint32_t count, float *out);
/* What becomes of their sum, pooled[embd], in place: nothing, unless the model has matrices for that. */
void slice_finish_pooled(struct slice *s, float *pooled);

unsigned slice_threads(const struct slice *s);
