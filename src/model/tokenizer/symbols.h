/* What words are made of and how their parts join: the merges of byte-pair encoding, the scores of SentencePiece.
 *
 * A symbol is a token's id, or a number above them for a text that merges pass through without being a token. Built
 * once, then immutable: any thread. */
#pragma once
#include "base/map.h"
#include "model/tokenizer/merge.h"
#include "model/tokenizer/table.h"
#include "model/tokenizer/vocabulary.h"

struct symbols {
    const struct vocabulary *vocabulary;
    struct map ids;      /* bytes -> symbol */
    struct table merges; /* left << 32 | right -> rank << 32 | joined; of BPE */
    uint32_t count;
    size_t longest;         /* bytes of a symbol */
    uint32_t of_byte[256];  /* the token for a byte that is part of no symbol; MERGE_NONE: none */
    struct arena arena;     /* texts of symbols that are no tokens */
    uint64_t pairs[256][4]; /* a bit for two bytes that stand side by side in some symbol: [first], second */
};

#define SYMBOLS_NONE UINT32_MAX

/* ERR_INVALID names the field. deinit is due in any case. */
int symbols_init(struct symbols *s, const struct vocabulary *v, const struct gguf *g, struct error *error);
void symbols_deinit(struct symbols *s);

uint32_t symbols_find(const struct symbols *s, const char *bytes, size_t len); /* or SYMBOLS_NONE */
/* Can a token hold these two bytes side by side? If not, a word may be cut between them. */
static inline bool symbols_adjoin(const struct symbols *s, unsigned char first, unsigned char second) {
    return s->pairs[first][second >> 6] >> (second & 63) & 1;
}
