/* A card: what a node must know of a model to speak for it - header, tokenizer, chat template - without its weights.
 *
 * Made from a file here or from a header that came over a link, found by fingerprint, shared by reference count: the
 * gateway, the workers and running requests each hold one. Immutable once made, so any thread may read it; the counter
 * is atomic. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "model/chat.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "wire/wire.h"

struct card {
    atomic_uint references;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    struct model model;
    struct tokenizer *tokenizer;    /* NULL: a model without text */
    struct chat *chat;              /* NULL: likewise */
    uint32_t stops[WIRE_STOPS_MAX]; /* tokens that end a generation */
    uint32_t stop_count;
};

/* Read the header of the file at `path`. One reference, the caller's. */
int card_open(struct card **out, const char *path, struct error *error);
/* From header bytes (taken, malloc'ed) of a file of file_bytes that is not here. */
int card_from_header(struct card **out, uint8_t *header, size_t len, uint64_t file_bytes, struct error *error);
struct card *card_hold(struct card *c);
void card_release(struct card *c); /* NULL is fine */
