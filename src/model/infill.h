/* Filling in the middle: the prompt for what stands between two texts, with the tokens that code models are trained
 * with (Bavarian et al.: "Efficient Training of Language Models to Fill in the Middle", 2022). Pure. */
#pragma once
#include "base/error.h"
#include "model/tokenizer.h"

/* Appended to `ids`: prefix mark, prefix, suffix mark, suffix, middle mark. ERR_UNSUPPORTED: the vocabulary has no such
 * marks. */
int infill_prompt(const struct tokenizer *t, const char *prefix, const char *suffix, struct token_list *ids,
                  struct error *error);
