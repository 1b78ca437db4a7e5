/* The texts that stand for special tokens of a vocabulary, to find them in other text. Immutable once made. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "model/gguf.h"

enum { SPECIALS_BYTES_MAX = 256 }; /* a longer one is none */

struct specials {
    struct map texts;                    /* -> id; the keys are views into the file */
    bool first[256];                     /* some special token begins with this byte */
    bool length[SPECIALS_BYTES_MAX + 1]; /* some special token has this many bytes */
};

/* The control tokens of the vocabulary in `g`, which must outlive it. 0 or ERR_NOMEM. */
int specials_init(struct specials *s, const struct gguf *g);
void specials_deinit(struct specials *s);
/* Bytes of the longest one that begins at text[at]; 0: none. */
size_t specials_match(const struct specials *s, const char *text, size_t len, size_t at, uint32_t *id);
