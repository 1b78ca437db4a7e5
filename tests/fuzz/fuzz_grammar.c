/* Any bytes as a grammar in GBNF or as tags: refused with a reason, or one that generates texts, each token of which
 * its mask has left. */
#include <stddef.h>
#include <stdint.h>

#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grammar *g;
    struct error error = {0};
    if (size == 0) return 0;
    enum grammar_kind kind = data[0] == '{' ? GRAMMAR_TAGS : GRAMMAR_GBNF;
    if (grammar_new(&g, kind, (const char *)data, size, walk_vocabulary(), &error) != 0) {
        assert(error.code < 0 && error.text[0]);
        return 0;
    }
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct text out = {0};
        walk_text(g, seed, &out);
        text_deinit(&out);
    }
    grammar_free(g);
    return 0;
}
