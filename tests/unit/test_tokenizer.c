/* Tokenizers of small vocabularies made here; whole ones are compared in tests/golden/test_tokenizers.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "model/gguf_write.h"
#include "model/tokenizer.h"

struct token {
    const char *text;
    uint32_t type;
    float score;
};

struct made {
    struct gguf_writer writer;
    uint8_t *header;
    size_t len;
    struct gguf g;
    struct tokenizer *t;
    struct error error;
};

static void put_str(struct made *m, const char *key, const char *text) {
    gguf_write_str(&m->writer, key, text, strlen(text));
}

static void put_tokens(struct made *m, const char *model, const char *pre, const struct token *tokens, size_t count) {
    put_str(m, "tokenizer.ggml.model", model);
    put_str(m, "tokenizer.ggml.pre", pre);
    gguf_write_array(&m->writer, "tokenizer.ggml.tokens", GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) gguf_write_item_str(&m->writer, tokens[i].text, strlen(tokens[i].text));
    gguf_write_array(&m->writer, "tokenizer.ggml.token_type", GGUF_I32, count);
    for (size_t i = 0; i < count; i++) gguf_write_item_u32(&m->writer, tokens[i].type);
    gguf_write_array(&m->writer, "tokenizer.ggml.scores", GGUF_F32, count);
    for (size_t i = 0; i < count; i++) gguf_write_item_f32(&m->writer, tokens[i].score);
}

static void put_merges(struct made *m, const char *const *merges, size_t count) {
    gguf_write_array(&m->writer, "tokenizer.ggml.merges", GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) gguf_write_item_str(&m->writer, merges[i], strlen(merges[i]));
}

static int open_made(struct made *m) {
    assert_int_equal(gguf_writer_take(&m->writer, &m->header, &m->len, NULL), 0);
    assert_int_equal(gguf_parse(&m->g, m->header, m->len, m->len, &m->error), 0);
    return tokenizer_new(&m->t, &m->g, &m->error);
}

static void close_made(struct made *m) {
    tokenizer_free(m->t);
    gguf_deinit(&m->g);
    free(m->header);
    gguf_writer_deinit(&m->writer);
}

/* The ids of a text are these, and give it back. */
static void expect(const struct made *m, const char *text, bool special, const uint32_t *ids, size_t count,
                   const char *back) {
    struct token_list list = {0};
    struct text out = {0};
    assert_int_equal(tokenizer_encode(m->t, text, strlen(text), special, special, &list), 0);
    assert_int_equal(list.count, count);
    assert_memory_equal(list.ids, ids, count * sizeof *ids);
    for (size_t i = 0; i < list.count; i++) tokenizer_decode(m->t, list.ids[i], true, i == 0, &out);
    assert_string_equal(text_str(&out), back);
    token_list_deinit(&list);
    text_deinit(&out);
}
#define EXPECT(m, text, special, back, ...)                                                                            \
    do {                                                                                                               \
        const uint32_t ids_[] = {__VA_ARGS__};                                                                         \
        expect(m, text, special, ids_, ARRAY_LEN(ids_), back);                                                         \
    } while (0)

static const struct token bpe_tokens[] = {{"a", 1},   {"b", 1},        {"c", 1},       {"\u0120", 1}, {"ab", 1},
                                          {"abc", 1}, {"\u0120ab", 1}, {"<|end|>", 3}, {"bc", 1}};

static void bpe_merges_by_rank(void **state) {
    static const char *const merges[] = {"a b", "b c", "ab c", "\u0120 ab"};
    struct made m = {0};
    put_tokens(&m, "gpt2", "gpt-2", bpe_tokens, ARRAY_LEN(bpe_tokens));
    put_merges(&m, merges, ARRAY_LEN(merges));
    assert_int_equal(open_made(&m), 0);
    EXPECT(&m, "abc", false, "abc", 5);
    EXPECT(&m, "ab ab", false, "ab ab", 4, 6);
    EXPECT(&m, "bcab", false, "bcab", 8, 4);
    EXPECT(&m, "ab<|end|>a", true, "ab<|end|>a", 4, 7, 0);
    close_made(&m);
}

static const struct token spm_tokens[] = {{"<unk>", 2, 0},  {"<s>", 3, 0},    {"</s>", 3, 0},     {"<0xE2>", 6, 0},
                                          {"<0x82>", 6, 0}, {"<0xAC>", 6, 0}, {"\u2581", 1, -9},  {"a", 1, -8},
                                          {"b", 1, -7},     {"ab", 1, -2},    {"\u2581a", 1, -1}, {"\u2581ab", 1, -3}};

static void spm_merges_by_score(void **state) {
    struct made m = {0};
    put_tokens(&m, "llama", "default", spm_tokens, ARRAY_LEN(spm_tokens));
    assert_int_equal(open_made(&m), 0);
    EXPECT(&m, "ab", false, "ab", 11);
    EXPECT(&m, "bab", false, "bab", 6, 8, 9);
    EXPECT(&m, "ab ab", false, "ab ab", 11, 11);
    EXPECT(&m, "\u20ac", false, "\u20ac", 6, 3, 4, 5); /* by its bytes */
    EXPECT(&m, "b", true, "<s> b", 1, 6, 8);
    close_made(&m);
}

static const struct token wordpiece_tokens[] = {{"[PAD]", 3},   {"[UNK]", 2},    {"[CLS]", 3},       {"[SEP]", 3},
                                                {"\u2581a", 1}, {"\u2581ab", 1}, {"b", 1},           {"bc", 1},
                                                {"\u2581,", 1}, {"\u2581e", 1},  {"\u2581\u65e5", 1}, {"\u2581=", 1}};

static void wordpiece_takes_the_longest_from_the_front(void **state) {
    struct made m = {0};
    put_tokens(&m, "bert", "default", wordpiece_tokens, ARRAY_LEN(wordpiece_tokens));
    gguf_write_u32(&m.writer, "tokenizer.ggml.bos_token_id", 2);
    gguf_write_u32(&m.writer, "tokenizer.ggml.seperator_token_id", 3);
    gguf_write_u32(&m.writer, "tokenizer.ggml.unknown_token_id", 1);
    assert_int_equal(open_made(&m), 0);
    EXPECT(&m, "ABbc", false, " abbc", 5, 7);
    EXPECT(&m, "abb abz,a", false, " abb[UNK] , a", 5, 6, 1, 8, 4);
    EXPECT(&m, " \u00c9\u65e5\u65e5e\u0301 ", true, "[CLS] e \u65e5 \u65e5 e[SEP]", 2, 9, 10, 10, 9, 3);
    EXPECT(&m, "a\ue000b\u2260e", false, " ab = e", 5, 11, 9); /* a sign by what it is made of */
    close_made(&m);
}

static void wordpiece_keeps_case_where_the_file_says_so(void **state) {
    static const struct token tokens[] = {{"[PAD]", 3}, {"[UNK]", 2}, {"\u2581a", 1}, {"\u2581A", 1}, {"\u00e9", 1}};
    struct made m = {0};
    put_tokens(&m, "bert", "default", tokens, ARRAY_LEN(tokens));
    gguf_write_bool(&m.writer, "tokenizer.ggml.normalizer.lowercase", false);
    gguf_write_u32(&m.writer, "tokenizer.ggml.unknown_token_id", 1);
    assert_int_equal(open_made(&m), 0);
    EXPECT(&m, "A a\u00e9 ae", false, " A a\u00e9[UNK]", 3, 2, 4, 1);
    close_made(&m);
}

static void special_text_is_text_unless_asked(void **state) {
    struct made m = {0};
    put_tokens(&m, "llama", "default", spm_tokens, ARRAY_LEN(spm_tokens));
    assert_int_equal(open_made(&m), 0);
    struct token_list list = {0};
    assert_int_equal(tokenizer_encode(m.t, "<s>", 3, false, false, &list), 0);
    for (size_t i = 0; i < list.count; i++) assert_int_not_equal(list.ids[i], 1);
    token_list_deinit(&list);
    assert_true(tokenizer_ends_generation(m.t, 2));
    assert_false(tokenizer_ends_generation(m.t, 7));
    assert_int_equal(tokenizer_count(m.t), ARRAY_LEN(spm_tokens));
    assert_int_equal(tokenizer_piece(m.t, 4096).len, 0);
    close_made(&m);
}

static void refuse(const char *model, const char *pre, const char *named) {
    struct made m = {0};
    put_tokens(&m, model, pre, bpe_tokens, ARRAY_LEN(bpe_tokens));
    put_merges(&m, NULL, 0);
    assert_int_equal(open_made(&m), ERR_UNSUPPORTED);
    assert_non_null(strstr(m.error.text, named));
    close_made(&m);
}

static void unknown_kinds_are_named(void **state) {
    refuse("gpt2", "no-such-pre", "no-such-pre");
    refuse("no-such-model", "default", "no-such-model");
}

/* What no sane file has: it may be refused or not, but never harms. */
static void odd_vocabularies_do_no_harm(void **state) {
    static const struct token odd[] = {{"", 1}, {"a", 1}, {"a", 1}, {"a", 3}, {"\xff", 77}, {"<0xZZ>", 6}, {"b", 1}};
    static const char *const merges[] = {"", " ", "a", "a  b", "x y", "a b", "a b"};
    for (int spm = 0; spm < 2; spm++) {
        struct made m = {0};
        put_tokens(&m, spm ? "llama" : "gpt2", "default", odd, ARRAY_LEN(odd));
        put_merges(&m, merges, ARRAY_LEN(merges));
        gguf_write_u32(&m.writer, "tokenizer.ggml.bos_token_id", 4000000);
        int rc = open_made(&m);
        struct token_list list = {0};
        if (rc == 0) assert_int_equal(tokenizer_encode(m.t, "ab\xff\xfe a\0b", 9, true, true, &list), 0);
        for (size_t i = 0; i < list.count; i++) assert_in_range(list.ids[i], 0, ARRAY_LEN(odd) - 1);
        if (rc != 0) assert_true(m.error.text[0] != '\0');
        token_list_deinit(&list);
        close_made(&m);
    }
}

/* One word of a megabyte: merging takes no square of its length. */
static void long_words_end(void **state) {
    static const char *const merges[] = {"a b", "b c", "ab c"};
    size_t len = 1 << 20;
    char *text = malloc(len);
    struct made m = {0};
    struct token_list list = {0};
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) text[i] = "abc"[i % 3];
    put_tokens(&m, "gpt2", "gpt-2", bpe_tokens, ARRAY_LEN(bpe_tokens));
    put_merges(&m, merges, ARRAY_LEN(merges));
    assert_int_equal(open_made(&m), 0);
    assert_int_equal(tokenizer_encode(m.t, text, len, false, false, &list), 0);
    assert_int_equal(list.count, len / 3 + 1);
    token_list_deinit(&list);
    close_made(&m);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank),
        cmocka_unit_test(spm_merges_by_score),
        cmocka_unit_test(wordpiece_takes_the_longest_from_the_front),
        cmocka_unit_test(wordpiece_keeps_case_where_the_file_says_so),
        cmocka_unit_test(special_text_is_text_unless_asked),
        cmocka_unit_test(unknown_kinds_are_named),
        cmocka_unit_test(odd_vocabularies_do_no_harm),
        cmocka_unit_test(long_words_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
