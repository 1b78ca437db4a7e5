/* Pre-tokenizers by name: how the text is cut into words before byte pairs are merged, and the defaults that go with
 * it. The names are those of `tokenizer.ggml.pre`. Constant data. */
#pragma once
#include <stdbool.h>

#include "model/gguf.h"

struct pre_tokenizer {
    const char *names;              /* with a space between */
    const char *const *expressions; /* for splitter_new */
    bool ignore_merges;             /* a word that is a token is that token, whatever the merges say */
    bool add_bos, bos_always;       /* unless the file says otherwise; whatever it says */
    bool no_bos;                    /* there is none unless the file names one */
    bool no_merges;                 /* the file may have none */
    bool raw;                       /* not byte-level: texts are UTF-8, spaces are U+2581, bytes are "<0xNN>" */
    bool line_ends;                 /* a run of them that is a token is that token */
};

/* NULL: not known. An empty name is "default". */
const struct pre_tokenizer *pre_find(struct gguf_string name);
