/* What a repository of the hub holds, read from the hub's JSON as hostile input, and which of its files make the model
 * that was asked for.
 *
 * The hub answers a listing (`/api/models/REPO/tree/REVISION`: an array of {"type", "path", "size", "lfs": {"oid",
 * "size"}}) or, in its older form, a description (`/api/models/REPO`: {"siblings": [{"rfilename", "size",
 * "lfs": {"sha256", "size"}}]}); either is read. Pure. API: https://huggingface.co/docs/hub/api */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/origin.h"

enum { LISTING_FILES_MAX = 20000, LISTING_SHA256_BYTES = 32 };

struct listing_file {
    char path[ORIGIN_NAME_BYTES];         /* in the repository */
    uint64_t bytes;                       /* 0: not told */
    bool hashed;                          /* sha256 is known */
    uint8_t sha256[LISTING_SHA256_BYTES]; /* of the whole file */
    char etag[80];                        /* of a file outside the hub: what says that it changed; "": nothing does */
};

struct listing {
    struct listing_file *files; /* owned */
    size_t count;
};

void listing_deinit(struct listing *l); /* a zeroed struct is fine */
/* Append what a page says. Files with names that cannot be are left out. ERR_INVALID: it is no such page. */
int listing_read(struct listing *l, const char *json, size_t len, struct error *error);
/* Keep the files of the model that the origin means, in the order of its parts: a GGUF file, the parts of one, or the
 * texts and tensors of a folder. ERR_NOT_FOUND says what there is instead. */
int listing_choose(struct listing *l, const struct origin *o, struct error *error);
/* 64 hexadecimal digits. */
bool listing_sha256(const char *text, uint8_t out[LISTING_SHA256_BYTES]);
