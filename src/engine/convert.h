/* A model in the type, and from the kind of file, that is wanted: a GGUF file that does not have to exist.
 *
 * A conversion is data: the header of the result, and for each run of rows of it where they come from. It can be
 * written
 * (`caravan quantize`) or read from as if it were a file (loading). Any thread may read. */
#pragma once
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/pool.h"
#include "model/parts.h"
#include "model/recipe.h"
#include "os/file.h"

struct conversion {
    uint8_t *header; /* of the result, padded to where its data begin */
    size_t header_len;
    uint64_t bytes; /* of the whole result */
    struct file *files;
    char **names; /* of these, as they were opened; owned */
    size_t file_count;
    struct parts parts; /* by place in the result */
    struct arena arena; /* of values that parts point at */
};

/* From a GGUF file or a directory in Hugging Face's form, by a recipe; NULL: matrices stay in the type they have.
 * Errors name the file, key or tensor; ERR_UNSUPPORTED for types that cannot be read. Nothing needs freeing on failure.
 */
int conversion_open(struct conversion *c, const char *path, const struct recipe *r, struct error *error);
/* Room for so many files: for those who fill a conversion. */
int conversion_make_files(struct conversion *c, size_t count, struct error *error);
void conversion_deinit(struct conversion *c); /* a zeroed struct is fine */

/* Bytes [offset, offset + len) of the result: whole rows of one tensor. */
int conversion_read(const struct conversion *c, uint64_t offset, void *out, size_t len, struct error *error);
/* Which bytes of which files the rows are made of that [offset, offset + len) of the result touches. */
void conversion_ranges(const struct conversion *c, uint64_t offset, uint64_t len,
                       void (*visit)(void *context, const char *name, uint64_t offset, uint64_t len), void *context);
/* Write the result. A file of that name is replaced when all is done; on failure it stays as it was. */
int conversion_write(const struct conversion *c, const char *path, struct pool *pool, struct error *error);
