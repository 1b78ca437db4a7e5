/* Words to tokens: a word's symbols are joined, and what it gave is remembered for the next time it comes up in the
 * same text. One thread per struct. */
#pragma once
#include "model/tokenizer/merge.h"
#include "model/tokenizer/symbols.h"
#include "model/tokenizer.h"

struct words_known {
    const char *bytes; /* in the text, which must live as long; NULL: free */
    uint32_t len;
    uint32_t first, count; /* of the list's tokens */
};

struct words {
    const struct symbols *symbols;
    struct token_list *out;
    struct words_known *known; /* a power of two of them, by hash; a newer word drives out an older one */
    size_t known_count;
    struct merge merge;
};

/* For a text of text_len bytes. 0 or ERR_NOMEM. */
int words_init(struct words *w, const struct symbols *s, struct token_list *out, size_t text_len);
void words_deinit(struct words *w);

/* Appends the tokens of a word. 0 or ERR_NOMEM. */
int words_encode(struct words *w, const char *word, size_t len);
