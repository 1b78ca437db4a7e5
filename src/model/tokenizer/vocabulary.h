/* The vocabulary of a model file: tokens, what kind each one is, and which have a part to play.
 *
 * What files leave out or say wrongly is filled in as llama.cpp does it, so that a file means the same everywhere:
 * defaults by tokenizer model and pre-tokenizer, control tokens and ends of generation known by their text. Views into
 * the file's header, which must outlive it. Immutable once made. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

/* Keys of this program's own, for what a tokenizer.json says and GGUF has no key for: how text is cut into words
 * (steps.h), what is done to it before (normal.h), whether words that are tokens are merged, for each token a 1 where
 * it takes the white space before it, a 2 where it takes that behind it; and of the space that is put in front of
 * texts, whether those get none that begin with one, and those none that do not begin the whole. Of Unigram, whether
 * it falls back on bytes. */
#define TOKENIZER_STEPS         "tokenizer.caravan.steps"
#define TOKENIZER_NORMAL        "tokenizer.caravan.normal"
#define TOKENIZER_IGNORE_MERGES "tokenizer.caravan.ignore_merges"
#define TOKENIZER_STRIPS        "tokenizer.caravan.strips"
#define TOKENIZER_BYTE_FALLBACK "tokenizer.caravan.byte_fallback"
#define TOKENIZER_SPACE_ONCE    "tokenizer.caravan.space_once"
#define TOKENIZER_SPACE_FIRST   "tokenizer.caravan.space_first"

enum vocabulary_kind { VOCABULARY_NONE, VOCABULARY_BPE, VOCABULARY_SPM, VOCABULARY_UNIGRAM, VOCABULARY_WORDPIECE };

enum vocabulary_flag {
    VOCABULARY_ENDS = 1,   /* ends generation */
    VOCABULARY_LSTRIP = 2, /* takes the white space before it */
    VOCABULARY_RSTRIP = 4, /* and behind it */
};

struct vocabulary {
    enum vocabulary_kind kind;
    const struct pre_tokenizer *pre; /* of BPE */
    uint32_t count;
    const struct gguf_string *texts; /* as the file has them */
    struct gguf_string *pieces;      /* the bytes that they stand for */
    uint8_t *types;                  /* enum token_attribute */
    uint8_t *flags;                  /* enum vocabulary_flag */
    float *scores;
    int64_t bos, eos, eot, eom, unknown, separator, padding, mask, fim_pad, fim_rep, fim_sep; /* -1: none */
    bool add_bos, add_eos, add_separator, add_space_prefix;
    bool whole_words;               /* of BPE: a word that is a token is that token, whatever the merges say */
    bool space_once, space_first;   /* TOKENIZER_SPACE_ONCE, _FIRST */
    bool lower_case, strip_accents; /* of WordPiece: what it does to a text first */
    struct arena arena;
};

/* ERR_INVALID names the field; ERR_UNSUPPORTED an unknown model or pre-tokenizer. deinit is due in any case. */
int vocabulary_init(struct vocabulary *v, const struct gguf *g, struct error *error);
void vocabulary_deinit(struct vocabulary *v);

/* Is the token written in the text of users, or known by its bytes? Neither holds for control tokens. */
static inline bool vocabulary_is_plain(const struct vocabulary *v, uint32_t id) {
    return v->types[id] != TOKEN_CONTROL && v->types[id] != TOKEN_UNKNOWN;
}

/* Are the texts byte-level BPE's? Else they are UTF-8 with U+2581 for spaces, and "<0x0A>" for bytes. */
bool vocabulary_is_byte_level(const struct vocabulary *v);
/* The bytes that a text of byte-level BPE stands for, at most len of them, written to `out`; false when the text has
 * characters that stand for none. Source: GPT-2's encoder.py, bytes_to_unicode. */
bool vocabulary_unbyte(const char *text, size_t len, char *out, size_t *out_len);
/* The character that a byte is spelt as, which is below U+0800. */
uint32_t vocabulary_spell(uint8_t byte);
#define VOCABULARY_SPACE "\xe2\x96\x81" /* U+2581 */
/* The text with spaces for U+2581, written to `out` (which may be the text); its length. */
size_t vocabulary_unescape(const char *text, size_t len, char *out);
/* Is the text of the form "<0x0A>", and for which byte? */
bool vocabulary_byte(struct gguf_string text, char *out);
