/* A directory in Hugging Face's form: config.json and its companions, and safetensors in one or many shards. */
#pragma once
#include "base/error.h"
#include "engine/convert.h"
#include "model/gguf_write.h"

/* Read all but the weights: keys and tensors go to `w`, files, parts and their values to the conversion, with offsets
 * from the start of the data. What was put there is the caller's to free, also after an error. */
int hf_dir_open(struct conversion *c, const char *path, const struct recipe *r, struct gguf_writer *w,
                struct error *error);
