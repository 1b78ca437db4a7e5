/* SentencePiece's unigram model: of all ways to cut a text into tokens, the one with the highest sum of scores.
 *
 * Source: Kudo, arXiv:1804.10959; what is done to white space and to unknown characters is llama.cpp's (and
 * SentencePiece's) way. Built once, then immutable: any thread. */
#pragma once
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/trie.h"
#include "model/tokenizer/vocabulary.h"

struct unigram {
    const struct vocabulary *vocabulary;
    struct trie tokens, added; /* text -> id; added: those of users, which normalising leaves alone */
    struct charsmap map;
    double unknown_score;
    bool merge_spaces, by_bytes; /* by_bytes: what is no token is the tokens of its bytes, where all are there */
    uint32_t byte_tokens[256];
};

/* ERR_INVALID names the field. deinit is due in any case. */
int unigram_init(struct unigram *u, const struct vocabulary *v, const struct gguf *g, struct error *error);
void unigram_deinit(struct unigram *u);
/* Append the ids of a text without special tokens, or of a word to which nothing is done but that its spaces become
 * U+2581. 0 or ERR_NOMEM. */
int unigram_encode_word(const struct unigram *u, const char *word, size_t len, struct token_list *out);
int unigram_encode(const struct unigram *u, const char *text, size_t len, struct token_list *out);
