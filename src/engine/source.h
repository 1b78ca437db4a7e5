/* Where a model's bytes come from: its GGUF file, or the parts of one (their folder, or the first of them), or a folder
 * in Hugging Face's form, read as the file it would become.
 *
 * A path may end in "@RECIPE" ("/models/Qwen3-8B@q8_0"): matrices are then quantised as they are read. That path is the
 * model's path wherever one is kept, so the same header and the same bits come of it every time. Any thread may read.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/convert.h"
#include "os/file.h"

enum { SOURCE_PATH_BYTES = 4096 };

struct source {
    struct file file;             /* read as it is; fd -1: it is not */
    struct conversion conversion; /* else */
};

/* Errors as file_open's and conversion_open's. */
int source_open(struct source *s, const char *path, struct error *error);
void source_close(struct source *s);
/* The first bytes of the (real or would-be) file, on the heap, the caller's: enough for gguf_parse(). */
int source_header(struct source *s, uint8_t **header, size_t *len, uint64_t *file_bytes, struct error *error);
/* Bytes of that file; if it is not a real one: whole rows of one tensor. */
int source_read_at(const struct source *s, uint64_t offset, void *out, size_t len, struct error *error);
/* Which bytes of which files a range is made of. name: as it was opened; NULL: the file itself. */
void source_ranges(const struct source *s, uint64_t offset, uint64_t len,
                   void (*visit)(void *context, const char *name, uint64_t offset, uint64_t len), void *context);
/* Hints for files, as file_will_need and file_forget. */
void source_will_need(const struct source *s, uint64_t offset, uint64_t len);
void source_forget(const struct source *s, uint64_t offset, uint64_t len);

/* The path without its recipe. Returns out. */
const char *source_place(const char *path, char out[SOURCE_PATH_BYTES]);
/* A path with the first recipe by which a folder's model has at most bytes_max: as it is, then ever smaller ones. What
 * is no folder, has a recipe, or does not fit by any stays as it is. */
int source_fit(const char *path, uint64_t bytes_max, char out[SOURCE_PATH_BYTES], struct error *error);
