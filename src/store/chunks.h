/* The chunks of a file that is on its way: which bytes are here, what their hashes are, which are wanted.
 *
 * The files of a model are cut into chunks of one size, a power of two that follows from the model's, so every node
 * cuts them alike: as small as can be, for a node keeps whole chunks, and its share of a matrix ends within one. A
 * chunk fills from its beginning; when it is full it is read back and hashed. What is kept is its own SHA-256 or, where
 * one node hashes the whole file anyway, the state of the file's SHA-256 behind it: then every byte is hashed once,
 * and a chunk is right if hashing goes on from the state before it to the one behind it.
 * Chunks of the second kind are the first ones of a file, without a gap. The map lives beside the file on disk, one
 * record per chunk, written as bytes come in, so that whoever is killed loses what was in the air and nothing else.
 * Pure, one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    CHUNKS_HASH_BYTES = 32,
    CHUNKS_HEADER_BYTES = 64,
    CHUNKS_RECORD_BYTES = 40,
    CHUNKS_BYTES_MIN = 64 << 10,
    CHUNKS_BYTES_MAX = 4 << 20,
};
#define CHUNKS_FILE_BYTES_MAX (400000ull * CHUNKS_BYTES_MAX) /* 1.7 TB */

enum chunk_state {
    CHUNK_OPEN,     /* `have` bytes of it are here */
    CHUNK_HASHED,   /* all of it, and its hash is known */
    CHUNK_VERIFIED, /* and the hash is right: the whole file's was, or somebody who knew it said so */
};

/* What is counted (chunks_sums) is set by the functions below. */
struct chunk {
    uint32_t have;
    uint8_t state;     /* enum chunk_state */
    bool wanted, busy; /* busy: somebody fetches it */
    bool reserved;     /* comes from another node, not from where the model comes from */
    bool expected;     /* `hash` is what somebody who knows said; it is not compared yet */
    bool chained;      /* `hash` is the state of the file's hash behind the chunk (of the last one: the file's hash) */
    uint8_t mended;    /* how often it was found wrong */
    uint16_t checking; /* how often it is being hashed */
    uint16_t drops;    /* how often what was here was given up: hashes of it say nothing of what came since */
    uint16_t giver;    /* who was asked for it: the driver's number */
    uint8_t hash[CHUNKS_HASH_BYTES];
};

/* Kept as chunks change: a file has a hundred thousand of them, and every one asks how far it is. */
struct chunks_sums {
    uint64_t have_bytes, wanted_bytes, missing_bytes;
    uint32_t open, unverified; /* wanted ones */
    uint32_t unproven;         /* of all: neither verified nor expected */
};

struct chunks {
    uint64_t bytes; /* of the file */
    uint32_t chunk_bytes, count;
    struct chunk *items;
    struct chunks_sums sums;
    uint32_t next, next_given; /* no chunk before it is for chunks_next_run, chunks_next_given */
};

/* Of a model whose files have so many bytes together. */
uint32_t chunks_bytes_for(uint64_t model_bytes);
/* A file of so many bytes, in chunks of so many. 0 or ERR_NOMEM; ERR_LIMIT for files of more than
 * CHUNKS_FILE_BYTES_MAX: their map would not fit into a message. */
int chunks_init(struct chunks *c, uint64_t bytes, uint32_t chunk_bytes);
void chunks_deinit(struct chunks *c);                         /* a zeroed struct is fine */
uint32_t chunks_size(const struct chunks *c, uint32_t index); /* bytes of a chunk: the last one may be short */

/* ---- what changes ---- */
void chunks_set_have(struct chunks *c, uint32_t index, uint32_t bytes);
void chunks_set_state(struct chunks *c, uint32_t index, enum chunk_state state);
void chunks_set_expected(struct chunks *c, uint32_t index, bool expected);
void chunks_set_wanted(struct chunks *c, uint32_t index);
void chunks_set_busy(struct chunks *c, uint32_t index, bool busy);
void chunks_set_reserved(struct chunks *c, uint32_t index, bool reserved);

/* ---- on disk ---- */
/* Bytes of the whole map. */
size_t chunks_map_bytes(const struct chunks *c);
void chunks_write_header(const struct chunks *c, uint8_t out[CHUNKS_HEADER_BYTES]);
void chunks_write_record(const struct chunks *c, uint32_t index, uint8_t out[CHUNKS_RECORD_BYTES]);
size_t chunks_record_offset(uint32_t index);
/* Take what a map says of a file of c->bytes. ERR_INVALID for another file's or a broken one; c is as after init. */
int chunks_read(struct chunks *c, const uint8_t *map, size_t len, struct error *error);
/* The same of a map with chunks of another size, as an earlier version made: which bytes are here, not their hashes.
 * False: it is none. */
bool chunks_adopt(struct chunks *c, const uint8_t *map, size_t len);

/* ---- what is here ---- */
bool chunks_full(const struct chunks *c, uint32_t index);
uint64_t chunks_have_bytes(const struct chunks *c);
/* The state of the file's hash before a chunk that is chained; NULL: where every hash begins. */
const uint8_t *chunks_state_before(const struct chunks *c, uint32_t index);
/* Bytes from the start of the file that are here without a gap. */
uint64_t chunks_prefix(const struct chunks *c);
/* Bytes came in at `offset`, which is where their chunks' bytes end. */
void chunks_fill(struct chunks *c, uint64_t offset, uint64_t len);
/* Nothing of the chunk is here after all. */
void chunks_drop(struct chunks *c, uint32_t index);

/* ---- what is wanted ---- */
void chunks_want(struct chunks *c, uint64_t offset, uint64_t len);
uint64_t chunks_wanted_bytes(const struct chunks *c);
uint64_t chunks_missing_bytes(const struct chunks *c); /* wanted, not here */
/* Are all wanted chunks hashed? */
bool chunks_satisfied(const struct chunks *c);
/* Are all wanted chunks known to be right? */
bool chunks_verified(const struct chunks *c);
/* The first run of bytes that is wanted, not here and not busy, of about bytes_max (whole chunks at its end); its
 * chunks become busy. False: there is none. */
bool chunks_next_run(struct chunks *c, uint64_t bytes_max, uint64_t *offset, uint64_t *len);
/* The first chunk from *index on that is wanted, not here, not busy, and reserved. False: there is none. */
bool chunks_next_given(struct chunks *c, uint32_t *index);
/* The chunks of the range are not busy any more. */
void chunks_release(struct chunks *c, uint64_t offset, uint64_t len);
