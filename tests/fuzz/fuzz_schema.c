/* Any bytes as a JSON Schema: refused with a reason, or one whose generated texts are JSON. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grammar *g;
    struct error error = {0};
    if (grammar_new(&g, GRAMMAR_SCHEMA, (const char *)data, size, walk_vocabulary(), &error) != 0) {
        assert(error.code < 0 && error.text[0]);
        return 0;
    }
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct text out = {0};
        json_error_t why;
        if (walk_text(g, seed, &out)) {
            json_t *value = json_loadb(text_str(&out), out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
            bool number = value == NULL && json_error_code(&why) == json_error_numeric_overflow;
            assert(value != NULL || number);
            json_decref(value);
        }
        text_deinit(&out);
    }
    grammar_free(g);
    return 0;
}
