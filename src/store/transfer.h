/* A model on its way to this disk, as a pure state machine: what to fetch next over how many streams, what to do
 * when a stream breaks, which chunks to hash, when all is here and right.
 *
 * Whoever drives it carries out the effects and tells what came of them; time arrives as an argument. Several
 * streams fetch runs of missing chunks in file order, as many as make it faster. What fails with some progress is
 * taken up where it stopped, without any it is tried again after a pause that doubles; a hub that asks for patience
 * gets it. Chunks are hashed as they fill; where the hub told the hash of a whole file, as one chain in their
 * order. A chain over all of the file by this node is all the hashing there is (chunks.h); where it goes from node
 * to node, chunks have hashes of their own besides. A wrong hash of a chunk that was read back means this chunk
 * alone comes again, a wrong hash of the whole the file, once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/chunks.h"
#include "store/manifest.h"

enum { TRANSFER_STREAMS_MAX = 8, TRANSFER_RETRY_AFTER_S_MAX = 600 };

struct transfer_file {
    struct chunks chunks;
    bool hashed; /* the whole file's hash is known */
    uint8_t sha256[CHUNKS_HASH_BYTES];
    bool proof; /* and is to be compared with what comes */
    bool chain; /* by this node, over chunks [chain_begin, chain_end): all of them, or its turn */
    bool chain_awaited; /* other nodes wait for what comes of it */
    uint32_t chain_begin, chain_end;
    uint32_t chain_next;  /* chunk that the chain takes next */
    uint32_t chain_kept;  /* chunks from the first on of which this chain's states are kept */
    uint32_t chain_round; /* chains begun: answers of an earlier one are nobody's */
    bool verified;
    unsigned again; /* times it was fetched again because its hash was wrong */
};

struct transfer_stream {
    bool active;
    uint32_t file;
    uint64_t at, end;  /* next byte, end of its run */
    uint64_t progress; /* bytes that came */
};

enum transfer_effect_type {
    TRANSFER_FETCH,  /* stream, file, offset, len: ends in transfer_ended */
    TRANSFER_STOP,   /* stream: its end is not told any more */
    TRANSFER_RECORD, /* file, chunk, count: keep what the map says of these chunks */
    TRANSFER_CHECK,  /* file, chunk, hash, chain, round, state: read it back; ends in transfer_checked */
    TRANSFER_WRONG,  /* file, chunk, giver: what that one gave does not have the hash that was expected */
    TRANSFER_READY,  /* file, chunk: its hash is known now: it can be given to others */
};

struct transfer_effect {
    enum transfer_effect_type type;
    unsigned stream;
    uint32_t file, chunk, count, round;
    uint64_t offset, len;
    uint16_t giver, drops;
    bool hash;  /* the chunk's own hash is wanted */
    bool chain; /* it is the next one of the chain */
    bool state; /* the state of the file's hash behind it is wanted: of the chain, or from the state before it */
};

/* Grows as needed, is emptied by its owner. */
struct transfer_effects {
    struct transfer_effect *items;
    size_t count, capacity;
};

struct transfer {
    struct transfer_file *files;
    size_t file_count;
    struct transfer_stream streams[TRANSFER_STREAMS_MAX];
    unsigned active, target;                  /* streams: now, at most */
    uint64_t resume_us;                       /* no new stream before; 0: now */
    unsigned failures;                        /* in a row, without any progress */
    bool stopped;                             /* paused, failed or out of room */
    struct error error;                       /* why it failed; code 0: it did not */
    uint64_t fetched_bytes;                   /* that came over streams */
    uint64_t mended;                          /* chunks that were found wrong and fetched again */
    uint64_t measure_us, measure_bytes, rate; /* bytes/s lately */
    uint64_t rate_before, grow_us;
    bool growing;
    uint64_t random; /* state of the generator of jitter */
};

struct transfer_outcome {
    int code;               /* 0: the stream's range is here; else an ERR_ code */
    int status;             /* of HTTP; 0: none came */
    uint32_t retry_after_s; /* what the hub asked for; 0: nothing */
    const char *text;       /* why, for people */
};

/* Files as the manifest lists them, none of their bytes wanted yet. ERR_NOMEM, ERR_LIMIT. */
int transfer_init(struct transfer *t, const struct manifest *m, uint64_t seed, struct error *error);
void transfer_deinit(struct transfer *t); /* a zeroed struct is fine */
void transfer_effects_deinit(struct transfer_effects *e);

/* Want a range of a file, or all of all files: then their hashes are checked as well. In parts the hash is waited for,
 * if it is known. */
void transfer_want(struct transfer *t, uint32_t file, uint64_t offset, uint64_t len);
void transfer_want_all(struct transfer *t);
/* Begin, or go on after a stop: what is here already is checked again, what is missing fetched. */
void transfer_start(struct transfer *t, uint64_t now_us, struct transfer_effects *e);
/* Begin no more; streams end. */
void transfer_stop(struct transfer *t, const struct error *why, struct transfer_effects *e);

void transfer_bytes(struct transfer *t, unsigned stream, uint64_t len, uint64_t now_us, struct transfer_effects *e);
void transfer_ended(struct transfer *t, unsigned stream, const struct transfer_outcome *outcome, uint64_t now_us,
                    struct transfer_effects *e);
/* A whole chunk came from another node (its number `giver`) and was written. */
void transfer_given(struct transfer *t, uint32_t file, uint32_t chunk, uint16_t giver, uint64_t now_us,
                    struct transfer_effects *e);
/* What another node knows of the hashes is what they must be, wherever the bytes come from. */
void transfer_learn(struct transfer *t, uint32_t file, const struct chunks *theirs, struct transfer_effects *e);
/* The chain is this node's to lengthen over chunks [begin, end); transfer_checked is told no whole file's hash then. */
void transfer_take_chain(struct transfer *t, uint32_t file, uint32_t begin, uint32_t end, struct transfer_effects *e);
/* A chunk that is here, or everything of the file that is, is to be compared with its hash again. */
void transfer_recheck_chunk(struct transfer *t, uint32_t file, uint32_t chunk, struct transfer_effects *e);
void transfer_recheck(struct transfer *t, uint32_t file, struct transfer_effects *e);
/* The whole file's hash turned out right: everything here of it is. */
void transfer_verified(struct transfer *t, uint32_t file, struct transfer_effects *e);
/* A chunk was read back: its own hash, and the state of the file's behind it, of the last one the file's hash; each if
 * it was asked for. code: it could not be read. */
void transfer_checked(struct transfer *t, const struct transfer_effect *check, int code,
                      const uint8_t hash[CHUNKS_HASH_BYTES], const uint8_t state[CHUNKS_HASH_BYTES], uint64_t now_us,
                      struct transfer_effects *e);
void transfer_tick(struct transfer *t, uint64_t now_us, struct transfer_effects *e);
/* When to tick; UINT64_MAX: never. */
uint64_t transfer_deadline(const struct transfer *t);

/* All that is wanted is here and, where that can be known, right. */
bool transfer_done(const struct transfer *t);
uint64_t transfer_wanted_bytes(const struct transfer *t);
uint64_t transfer_missing_bytes(const struct transfer *t);
