/* Frames of store links: how nodes give each other models - manifests, maps of chunks, chunks - and agree on who holds
 * which part.
 *
 * Whoever dialled, either side asks and answers. A chunk's bytes lie behind the fixed part of their frame, so they are
 * sent from and read into where they are. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "wire/types.h"

enum {
    WIRE_STORE_NAME_BYTES = 512,
    WIRE_STORE_MANIFEST_BYTES_MAX = 4 << 20,
    WIRE_STORE_MAP_BYTES_MAX = 16 << 20,
    WIRE_STORE_CHUNK_BYTES_MAX = 4 << 20,
    WIRE_STORE_STATE_BYTES = 32,
    WIRE_STORE_FRAME_BYTES_MAX = WIRE_STORE_MAP_BYTES_MAX + 1024,
};

enum wire_store_type {
    WIRE_STORE_MODEL_GET = 160, /* by fingerprint, or (all zeroes) by name */
    WIRE_STORE_MODEL,
    WIRE_STORE_MAP_GET,
    WIRE_STORE_MAP,
    WIRE_STORE_CHUNK_GET,
    WIRE_STORE_CHUNK,
    WIRE_STORE_HOLD, /* fetch and keep your part of this plan */
    WIRE_STORE_PROGRESS,
    WIRE_STORE_CHAIN, /* the hash of a file up to a chunk: go on */
    WIRE_STORE_VERIFIED,
    WIRE_STORE_SHARE_GET, /* what of this model is on your disk? state 1: delete it */
    WIRE_STORE_SHARE,
    WIRE_STORE_WRONG, /* a chunk that you gave does not have its hash: look at it again */
};

enum wire_store_state { WIRE_STORE_ABSENT, WIRE_STORE_HERE, WIRE_STORE_COMING };

/* Not every message has every field: docs/protocol.md. */
struct wire_store {
    enum wire_store_type type;
    uint64_t request;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES]; /* of the model as its files are */
    char name[WIRE_STORE_NAME_BYTES];
    uint32_t file, chunk;
    uint8_t state;                        /* enum wire_store_state; VERIFIED: 1 the hash was right */
    uint8_t hash[WIRE_STORE_STATE_BYTES]; /* CHAIN: the state of SHA-256 (FIPS 180-4: H0 to H7, each big-endian) */
    uint64_t bytes_done, bytes_total;
    int32_t code; /* of a failure */
    char text[WIRE_REASON_BYTES];
    uint8_t planned; /* MODEL: plan is there */
    struct wire_plan plan;
    const uint8_t
        *bytes; /* a manifest (JSON), a map (store/chunks.h), a chunk: the caller's, or a view into the frame */
    uint32_t len;
};

/* The fixed part of the frame, header included, as far as `bytes`, which follow. `capacity` >=
 * WIRE_STORE_HEAD_BYTES_MAX. Returns its length. */
enum { WIRE_STORE_HEAD_BYTES_MAX = 16 << 10 };
size_t wire_store_encode(struct wire_store *m, uint8_t *head, size_t capacity);
/* Read a whole frame. ERR_INVALID says what is wrong with it. */
int wire_store_decode(struct wire_store *m, const uint8_t *frame, size_t len, struct error *error);
