/* SentencePiece's normalisation, compiled into the model's file: the longest known string at a place is written as
 * another one. A double-array trie (Aoe, 1989, in the packing of darts-clone) over zero-ended replacements. A view into
 * the file's header. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct charsmap {
    const uint8_t *units; /* little-endian u32; NULL: nothing is replaced */
    uint32_t unit_count;
    const char *replacements;
    size_t replacements_len;
};

/* From the bytes of `precompiled_charsmap`: 0, or ERR_INVALID. */
int charsmap_init(struct charsmap *m, const uint8_t *bytes, size_t len);
/* How many bytes of the text are replaced (0: none), and by what. */
size_t charsmap_find(const struct charsmap *m, const char *text, size_t len, const char **out, size_t *out_len);
