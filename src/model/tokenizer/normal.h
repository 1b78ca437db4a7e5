/* What is done to a text before it is cut into words, as a tokenizer.json of Hugging Face says it: steps one after the
 * other, each a text of its own.
 *
 * "nfc", "nfd", "nfkc" and "nfkd" are Unicode's normal forms (UAX 15), "strip both|left|right" takes white space off
 * the ends, "prepend X" puts X in front of what is not empty, "replace N XY" puts Y for each X, which has N bytes,
 * "squeeze X" puts X for two or more spaces side by side, "words" leaves one space between words and none around them,
 * "charsmap" is SentencePiece's compiled form, "lowercase" and "unmark" (without marks) say what they do. Views into
 * the file's header, which must outlive it. Immutable once made: any thread. */
#pragma once
#include "base/error.h"
#include "base/text.h"
#include "model/gguf.h"
#include "model/tokenizer/charsmap.h"

struct normal {
    const struct gguf_value *steps; /* NULL: nothing is done */
    const struct charsmap *map;     /* NULL: there is none */
};

/* `steps`: an array of texts, or NULL. ERR_INVALID quotes a step that is none. */
int normal_init(struct normal *n, const struct gguf_value *steps, const struct charsmap *map, struct error *error);
/* Of well-formed UTF-8: *out is the text itself when nothing is to be done to it, else in `buffer`, which is the
 * caller's, as is what it held before. 0 or ERR_NOMEM. */
int normal_run(const struct normal *n, struct gguf_string text, struct text *buffer, struct gguf_string *out);
