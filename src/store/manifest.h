/* The manifest of a pulled model: its names, where it came from, its files. Lies in the model's folder, is read as
 * hostile input, and is what one node gives another that is to hold a part of the model. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/listing.h"
#include "store/origin.h"

#define MANIFEST_NAME "manifest.json"

enum { MANIFEST_FILES_MAX = 512, MANIFEST_NAMES_MAX = 16, MANIFEST_FINGERPRINT_BYTES = 32 };

struct manifest {
    struct origin origin;                              /* all empty: no hub has it, another node does */
    char names[MANIFEST_NAMES_MAX][ORIGIN_NAME_BYTES]; /* as it was pulled */
    size_t name_count;
    struct listing_file *files; /* owned */
    size_t file_count;
    bool known; /* the fingerprint is: the headers were here once */
    uint8_t fingerprint[MANIFEST_FINGERPRINT_BYTES];
    bool whole;    /* all of it is wanted on this node, not a part */
    bool complete; /* all of it is here */
};

void manifest_deinit(struct manifest *m); /* a zeroed struct is fine */
/* Add a name unless it is there or there is no room. */
void manifest_add_name(struct manifest *m, const char *name);
void manifest_remove_name(struct manifest *m, const char *name);
bool manifest_has_name(const struct manifest *m, const char *name);
/* Take the listing's files (the listing is empty then). ERR_LIMIT, ERR_INVALID: two files of one name. */
int manifest_take_files(struct manifest *m, struct listing *l, struct error *error);
uint64_t manifest_bytes(const struct manifest *m);
/* How the file is called in the model's folder: without the repository's folders (1_Pooling/config.json
 * is 1_Pooling.json). The manifest's own. */
const char *manifest_file_name(const struct manifest *m, size_t file);

/* The model's folder in the store. */
void manifest_folder(const struct manifest *m, char out[ORIGIN_FOLDER_BYTES]);

/* As JSON. */
void manifest_write(const struct manifest *m, struct text *out);
/* ERR_INVALID says what is wrong. Nothing needs freeing on failure. */
int manifest_read(struct manifest *m, const char *json, size_t len, struct error *error);
