/* Cuts text into words as a tokenizer.json of Hugging Face says it, whatever that is: steps of regular expressions,
 * each applied to the pieces that the one before it left.
 *
 * A step is a text: what becomes of a match, "not-" in front where it is what lies between matches that counts as one,
 * a space, an expression in PCRE2's syntax. A match is "isolated" (a piece of its own), "removed", joined with the
 * "previous" piece or the "next" one, or "contiguous" (matches and what lies between them are long pieces). Behind the
 * step "bytes" a text is the characters that stand for its bytes in byte-level BPE. The expressions are a file's: they
 * may be wrong, which is an error, or take too long, which ends the search in a piece. For the program's own there is
 * splitter.h, which is faster. Immutable once made: any thread. */
#pragma once
#include "base/error.h"
#include "model/gguf.h"
#include "model/tokenizer/splitter.h"

struct steps;

/* Of an array of texts. ERR_INVALID quotes a step that is none. */
int steps_new(struct steps **out, const struct gguf_value *list, struct error *error);
void steps_free(struct steps *s); /* NULL is fine */
/* As splitter_run; ERR_NOMEM too. */
int steps_run(const struct steps *s, const char *text, size_t len, splitter_word *word, void *context);
