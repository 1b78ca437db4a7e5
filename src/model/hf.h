/* Models in Hugging Face's form, read as the GGUF file that a converter would make of them.
 *
 * A directory holds config.json, tokenizer.json and its companions, and weights in safetensors. From these comes a GGUF
 * header, and a list of parts that says where each run of rows of that file's data is to be had; nobody else has to
 * know that such a form exists. Everything is hostile input: sizes are checked by whoever uses the header, as with any
 * file. Pure, one thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/gguf_write.h"
#include "model/parts.h"
#include "model/recipe.h"
#include "model/safetensors.h"

/* A file's text; NULL: there is no such file. */
struct hf_text {
    const char *data;
    size_t len;
};

/* What was read; all but config may be missing. */
struct hf_files {
    struct hf_text config, tokenizer, tokenizer_config, generation_config, pooling; /* JSON */
    struct hf_text chat_template;
    const struct safetensors *shards;
    size_t shard_count;
};

struct hf_result {
    struct gguf_writer writer; /* keys and tensors, ready to be taken */
    struct parts parts;        /* offsets count from the start of all data */
    struct arena arena;        /* values that the parts point at */
};

/* The files that model.safetensors.index.json names, each once, sorted; names are in the arena. ERR_INVALID for names
 * that are no file of the directory. */
int hf_shard_names(struct hf_text index, struct arena *arena, const char ***names, size_t *count, struct error *error);

/* Convert by a recipe; NULL: matrices stay in the type they have. ERR_UNSUPPORTED names an unknown model_type, tensor
 * or option; ERR_INVALID a key or tensor that makes no sense. Deinit the result in any case. */
int hf_convert(const struct hf_files *files, const struct recipe *r, struct hf_result *out, struct error *error);
void hf_result_deinit(struct hf_result *r);
