/* WordPiece, as BERT has it: words (in lower case, without accents, unless the vocabulary keeps these), each cut into
 * the longest tokens from its front.
 *
 * Source: Devlin et al., arXiv:1810.04805, and its tokenization.py: signs and Chinese characters are words of their
 * own, a word with a part that is no token is the unknown token. In GGUF a token that begins a word begins with U+2581,
 * and one that goes on has no "##". */
#pragma once
#include "model/tokenizer/symbols.h"

/* Append the ids of a text without special tokens. 0 or ERR_NOMEM. */
int wordpiece_encode(const struct symbols *s, const char *text, size_t len, struct token_list *out);
