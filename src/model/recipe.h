/* Recipes for quantised files: which tensor becomes which type.
 *
 * A recipe has a type for most matrices and better ones for those that suffer most: the head, the values and outputs of
 * attention, the way down of the feed-forward network, and more so in the first and last layers. The names, and what
 * they stand for, are llama-quantize's, so that a file of a name is about as large and as good wherever it was made.
 * Pure, static storage. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "model/gguf.h"

struct recipe;

/* What of the model the choice depends on. */
struct recipe_model {
    uint32_t layers, experts;
    uint32_t heads_per_kv; /* queries that share a key */
    bool tied;             /* the embedding is the head */
};

/* By name, in upper or lower case; "q4_k" means "q4_k_m". NULL: there is none. */
const struct recipe *recipe_find(const char *name);
/* A model's name or path may end in "@RECIPE": it is quantised as it is read. Where that end begins; the end of the
 * name where it has none. */
const char *recipe_suffix(const char *name);
/* "f32, f16, ...", for messages. */
void recipe_list(struct text *out);
const char *recipe_name(const struct recipe *r);
uint32_t recipe_file_type(const struct recipe *r); /* the number for general.file_type */

/* Is it one of the matrices that a recipe is about? */
bool recipe_changes(const struct gguf_tensor *t);
/* The type for a tensor. Norms, biases and other small ones stay as they are; what does not come in whole blocks of any
 * quantised type becomes F16. */
uint32_t recipe_type(const struct recipe *r, const struct recipe_model *m, const struct gguf_tensor *t);
