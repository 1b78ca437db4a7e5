/* Depots: models of this node that other nodes ask for, open to be given away. Those that were pulled lie in the node's
 * home and are opened and read where they are asked for; all others are looked for, opened, read and closed aside
 * (aside.h). The stock's thread. */
#pragma once
#include "node/mates.h"
#include "os/file.h"

bool depot_is_model(const struct parcel *p, const uint8_t *fingerprint);
/* Being pulled or held here, or opened before. NULL: neither. */
struct parcel *depot_find_open(struct stock *s, const uint8_t *fingerprint);
/* The same, or opened now; `name` is what others call it. NULL: it is not here, or *sought: that is not known yet, and
 * mates_sought() will be called. */
struct parcel *depot_obtain(struct stock *s, const uint8_t *fingerprint, const char *name, bool *sought);
struct parcel *depot_named(struct stock *s, const char *name); /* of those that were pulled */

/* A chunk that was read aside, and for whom. */
struct depot_reading {
    struct aside aside;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint16_t mate;
    uint32_t file, chunk;
    struct file from; /* the reading's own */
    uint64_t offset;
    uint32_t len;
    int code;
    uint8_t *bytes;
};

/* Is the parcel one that is read aside? */
bool depot_is_foreign(const struct stock *s, const struct parcel *p);
/* Read a chunk of it for a mate: mates_take_reading() is called, once. One at a time: false, nothing was begun. */
bool depot_read(struct stock *s, const struct parcel *p, uint16_t mate, uint32_t file, uint32_t chunk);

void depot_close(struct stock *s, const char *path); /* the one of this folder */
void depot_close_idle(struct stock *s, uint64_t now_us);
void depot_close_all(struct stock *s);
