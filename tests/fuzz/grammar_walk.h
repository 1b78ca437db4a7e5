/* A small vocabulary, and a text that a grammar generates over it: what both fuzzers of grammars do. */
#pragma once
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/size.h"
#include "model/gguf_write.h"
#include "model/grammar.h"

enum { WALK_END = 0, WALK_CALL = 1, WALK_BYTES = 2, WALK_WORDS = WALK_BYTES + 256, WALK_STEPS = 32 };

static const char *const walk_words[] = {"{\"", "\":",   "\": ",     "\", \"",   "\"}",         "true", "null", "12",
                                         "abc", "a\"",   "}}",       "],",       "[[",          "\n  ", "ab",   "-1",
                                         "0.5", "\\u00", "\xe2\x82", "\xc3\xa9", "<tool_call>", "  ",   "\"]"};
enum { WALK_TOKENS = WALK_WORDS + (int)ARRAY_LEN(walk_words) };

/* Made once, never freed. */
static inline const struct grammar_vocabulary *walk_vocabulary(void) {
    static struct grammar_vocabulary *v;
    static struct gguf g;
    struct gguf_writer w = {0};
    struct tokenizer *t;
    uint8_t *header;
    size_t len;
    if (v) return v;
    gguf_write_str(&w, "tokenizer.ggml.model", "llama", 5);
    gguf_write_array(&w, "tokenizer.ggml.tokens", GGUF_STRING, WALK_TOKENS);
    for (int i = 0; i < WALK_TOKENS; i++) {
        char text[32];
        snprintf(text, sizeof text, i == WALK_END ? "</s>" : i == WALK_CALL ? "[CALL]" : "<0x%02X>", (unsigned)(i - 2));
        const char *piece = i < WALK_WORDS ? text : walk_words[i - WALK_WORDS];
        gguf_write_item_str(&w, piece, strlen(piece));
    }
    gguf_write_array(&w, "tokenizer.ggml.token_type", GGUF_I32, WALK_TOKENS);
    for (int i = 0; i < WALK_TOKENS; i++)
        gguf_write_item_u32(&w, i < WALK_BYTES ? TOKEN_CONTROL : i < WALK_WORDS ? TOKEN_BYTE : TOKEN_NORMAL);
    gguf_write_array(&w, "tokenizer.ggml.scores", GGUF_F32, WALK_TOKENS);
    for (int i = 0; i < WALK_TOKENS; i++) gguf_write_item_f32(&w, 0);
    if (gguf_writer_take(&w, &header, &len, NULL) != 0 || gguf_parse(&g, header, len, len, NULL) != 0) abort();
    if (tokenizer_new(&t, &g, NULL) != 0 || grammar_vocabulary_new(&v, t, NULL) != 0) abort();
    gguf_writer_deinit(&w);
    return v;
}

/* One of the tokens that the mask leaves; WALK_TOKENS: none. */
static inline uint32_t walk_choose(const float *logits, uint64_t *random) {
    uint32_t allowed[WALK_TOKENS], count = 0;
    for (uint32_t i = 1; i < WALK_TOKENS; i++)
        if (!isinf(logits[i])) allowed[count++] = i;
    return count ? allowed[prng_below(random, count)] : WALK_TOKENS;
}

/* Generate a text. True when it has ended; `out` is what it is in bytes, without control tokens. */
static inline bool walk_text(struct grammar *g, uint64_t random, struct text *out) {
    const uint32_t stop = WALK_END;
    struct grammar_state s;
    float logits[WALK_TOKENS];
    bool ended = false;
    grammar_state_init(&s, g);
    for (int i = 0; i < WALK_STEPS && !ended; i++) {
        struct error error = {0};
        memset(logits, 0, sizeof logits);
        if (grammar_mask(&s, logits, WALK_TOKENS, &stop, 1, &error) != 0) {
            assert(error.code == ERR_LIMIT && error.text[0]);
            break;
        }
        assert(isinf(logits[WALK_END]) != grammar_may_end(&s));
        uint32_t token = walk_choose(logits, &random);
        ended = token == WALK_TOKENS || (grammar_may_end(&s) && prng_below(&random, 4) == 0);
        if (ended) break;
        int rc = grammar_accept(&s, token);
        assert(rc == 0 || rc == ERR_LIMIT);
        if (rc) break;
        if (token >= WALK_WORDS)
            text_add_str(out, walk_words[token - WALK_WORDS]);
        else if (token >= WALK_BYTES)
            text_add_char(out, (char)(token - WALK_BYTES));
    }
    grammar_state_deinit(&s);
    return ended;
}
