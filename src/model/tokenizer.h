/* Text to token ids and back, exactly as the model was trained.
 *
 * Kinds by `tokenizer.ggml.model`: "gpt2" (byte-level BPE, pre-tokenizer by `tokenizer.ggml.pre`), "llama" (SPM: merges
 * by score, byte fallback), "t5" (SentencePiece's unigram model), "bert" (WordPiece).
 * "none" and absent give a model without text. Built once, then immutable: any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/gguf.h"

struct tokenizer;

enum token_attribute { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };

struct token_list {
    uint32_t *ids; /* owned, free() */
    size_t count, capacity;
};

/* A tokenizer of the vocabulary in `g`, whose bytes must outlive it. ERR_UNSUPPORTED names an unknown model or pre. */
int tokenizer_new(struct tokenizer **out, const struct gguf *g, struct error *error);
void tokenizer_free(struct tokenizer *t);

/* Append the ids of `text` (any bytes; invalid UTF-8 is encoded as its bytes). add_special: BOS/EOS as the model says.
 * parse_special: text of special tokens becomes those tokens, else it is ordinary text. 0 or ERR_NOMEM. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool add_special, bool parse_special,
                     struct token_list *out);
/* Append the bytes of one token; control tokens give nothing unless `special`. May end inside a UTF-8 character. The
 * leading space that SPM adds is removed when `first`. */
void tokenizer_decode(const struct tokenizer *t, uint32_t id, bool special, bool first, struct text *out);

size_t tokenizer_count(const struct tokenizer *t);             /* vocabulary size */
bool tokenizer_ends_generation(const struct tokenizer *t, uint32_t id); /* EOS, EOT, EOM and their kin */
/* -1 where the model has none. */
int64_t tokenizer_bos(const struct tokenizer *t);
int64_t tokenizer_eos(const struct tokenizer *t);
/* Text of a token as templates print it ("<s>"): a view, len 0 for an id that is none. */
struct gguf_string tokenizer_piece(const struct tokenizer *t, uint32_t id);
void token_list_deinit(struct token_list *l);
int token_list_add(struct token_list *l, uint32_t id); /* 0 or ERR_NOMEM */
