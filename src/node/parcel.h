/* A model's folder in the store, open for what is still to come: its manifest, its files (sparse until they are whole)
 * and, beside each, the map of its chunks.
 *
 *   HOME/models/org--repo=Q4_K_M/manifest.json, model.gguf, .model.gguf.map
 *
 * Nothing is followed out of the folder: links in the place of files are refused. One thread. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "store/manifest.h"
#include "store/transfer.h"

enum { PARCEL_PATH_BYTES = 4096 };

struct parcel_file {
    int data, map; /* descriptors */
};

struct parcel {
    char path[PARCEL_PATH_BYTES]; /* of the folder */
    int folder;                   /* descriptor */
    struct manifest manifest;
    struct transfer transfer;
    struct parcel_file *files;
};

/* Make or open the folder of a manifest (taken on success) whose files have known sizes, with what is here already. */
int parcel_open(struct parcel *p, const char *path, struct manifest *m, uint64_t seed, struct error *error);
void parcel_close(struct parcel *p);
/* Bring everything to the disk. */
int parcel_sync(struct parcel *p, struct error *error);
/* Keep what the manifest says now. */
int parcel_save(struct parcel *p, struct error *error);

/* ERR_LIMIT: the disk is full. */
int parcel_write(struct parcel *p, uint32_t file, uint64_t offset, const void *data, size_t len, struct error *error);
int parcel_record(struct parcel *p, uint32_t file, uint32_t chunk, uint32_t count, struct error *error);

/* The manifest in a folder. ERR_NOT_FOUND when there is none. */
int parcel_manifest(const char *path, struct manifest *out, struct error *error);
/* The manifest of a model at `path`, the folder or the file in it; its folder into `folder`. */
int parcel_manifest_of(const char *path, struct manifest *out, char folder[PARCEL_PATH_BYTES]);
/* A file or folder that is no parcel as if it were one, to read from: all of it is here, its hashes are not known. */
int parcel_open_plain(struct parcel *p, const char *path, const char *name, const uint8_t *fingerprint,
                      struct error *error);
/* Make a file that is whole in another folder, with its map, a file of this one too (a hard link). Where that cannot
 * be, nothing happens. */
void parcel_link(const char *path, const char *name, const char *other_path, const char *other_name);
/* Delete the folder with the files that a parcel has; others in it are left, and then it is. */
int parcel_remove(const char *path, struct error *error);
/* Bytes that may still be written where `path` is, a reserve for everything else left aside. */
uint64_t parcel_room(const char *path);
/* Bytes that the files of all folders below `path` take on the disk. */
uint64_t parcel_used(const char *path);
