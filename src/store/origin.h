/* Where a model comes from that is not here: what the name that a person gives says of it.
 *
 *   org/repo[:QUANT]                     a repository of the hub
 *   hf.co/org/repo[/file|:QUANT]         the same, or one of its files; also with https:// and huggingface.co
 *   https://host/path/file.gguf          a file anywhere
 *   a catalog name                       what its line says
 *
 * Names are hostile: components are plain file names, so nothing that is made of them leaves the store. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

enum { ORIGIN_NAME_BYTES = 512, ORIGIN_FOLDER_BYTES = 240 };

struct origin {
    char repo[ORIGIN_NAME_BYTES];     /* "org/repo"; "" : `address` instead */
    char revision[ORIGIN_NAME_BYTES]; /* "main" */
    char file[ORIGIN_NAME_BYTES];     /* path in the repository; "" : chosen by `quant` */
    char quant[64];                   /* "Q4_K_M"; "": the usual one */
    char address[ORIGIN_NAME_BYTES];  /* of a file outside the hub */
};

/* ERR_NOT_FOUND when the name has none of these forms, ERR_INVALID when it has one with a part that cannot be. */
int origin_parse(struct origin *o, const char *name, struct error *error);
bool origin_same(const struct origin *a, const struct origin *b);

/* One name for the folder of what is pulled from there, the same for every way to write the origin. */
void origin_folder(const struct origin *o, char out[ORIGIN_FOLDER_BYTES]);

/* Where the hub (its address without a slash at the end) lists the repository, and describes it in an older form. */
void origin_tree_url(const struct origin *o, const char *hub, struct text *out);
void origin_info_url(const struct origin *o, const char *hub, struct text *out);
/* Where the bytes of one of its files are. */
void origin_file_url(const struct origin *o, const char *hub, const char *path, struct text *out);

/* The name of the file that an address ends in. */
void origin_address_file(const char *address, char out[ORIGIN_NAME_BYTES]);
/* A plain file name: not empty, not hidden, without separators and control characters. */
bool origin_plain_name(const char *name);
