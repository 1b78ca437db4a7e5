/* What is done to a text before it is cut into words, as a tokenizer.json of Hugging Face says it: steps one after the
 * other, each a text of its own.
 *
 * "nfc", "nfd", "nfkc" and "nfkd" are Unicode's normal forms (UAX 15), "strip both|left|right" takes white space off
 * the ends, "prepend X" puts X in front of what is not empty, "replace N XY" puts Y for each X, which has N bytes.
 * Views into the file's header, which must outlive it. Immutable once made: any thread. */
#pragma once
#include "base/error.h"
#include "base/text.h"
#include "model/gguf.h"

struct normal {
    const struct gguf_value *steps; /* NULL: nothing is done */
};

/* `steps`: an array of texts, or NULL. ERR_INVALID quotes a step that is none. */
int normal_init(struct normal *n, const struct gguf_value *steps, struct error *error);
/* Of well-formed UTF-8: *out is the text itself when nothing is to be done to it, else in `buffer`, which is the
 * caller's, as is what it held before. 0 or ERR_NOMEM. */
int normal_run(const struct normal *n, struct gguf_string text, struct text *buffer, struct gguf_string *out);
