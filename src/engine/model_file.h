/* Opening a model's file: its header is read, its weights stay where they are until a slice wants them. Any thread. */
#pragma once
#include "base/error.h"
#include "model/model.h"
#include "os/file.h"

/* Read the header of the file or folder at `path` (see source.h) into a model with that path. Errors begin with the
 * path. On failure nothing needs freeing; on success model_deinit() does it. */
int model_file_open(struct model *m, const char *path, struct error *error);
/* The first *len bytes of an open GGUF file, on the heap, the caller's: enough of them for gguf_parse(). */
int model_file_header(const struct file *f, uint8_t **header, size_t *len, struct error *error);
