/* Chunks of files read back and hashed, on a thread of their own: a SHA-256 of the chunk, one over a whole file
 * whose chunks come in their order, or what that one makes of a chunk from the state before it. Jobs are done in the
 * order in which they are given; results go back through a queue that the giver empties. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/transfer.h"

struct hasher;

/* A file's chain: its hash so far. Belongs to whoever gives the jobs, is touched by the thread alone while there are
 * any. */
struct hasher_chain;
struct hasher_chain *hasher_chain_new(void); /* NULL: no memory */
void hasher_chain_free(struct hasher_chain *c);

struct hasher_job {
    struct hasher_job *next;
    void *owner;
    struct transfer_effect check;
    int fd; /* stays open until the job is back */
    uint64_t offset;
    uint32_t len;
    bool last;                  /* of the file: the state behind it is the file's hash */
    struct hasher_chain *chain; /* NULL: none */
    bool first;                 /* of the chain: it begins at `seed` after `seed_bytes` (0: at the file's beginning) */
    uint64_t seed_bytes;
    uint8_t seed[CHUNKS_HASH_BYTES];
    bool handed_on; /* the chain's state is for whoever goes on */
    /* the results */
    int code;
    uint8_t hash[CHUNKS_HASH_BYTES], state[CHUNKS_HASH_BYTES]; /* of the chunk; of the file behind it */
};

/* `ready(context)` is called on the thread when results wait. */
int hasher_new(struct hasher **out, void (*ready)(void *context), void *context, struct error *error);
void hasher_free(struct hasher *h); /* what waits is done first; NULL is fine */
void hasher_give(struct hasher *h, struct hasher_job *job);
/* The oldest job that is done, the caller's again; NULL: none. */
struct hasher_job *hasher_take(struct hasher *h);
