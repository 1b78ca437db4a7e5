/* A made-up vocabulary and a text: tokens are within the vocabulary, and what they stand for can be written again.
 *
 * Input: a line with the name of the pre-tokenizer ("spm", "t5", "bert": none), lines of one token each, its kind's
 * digit first, or of one merge after an 'm' (for "t5": the compiled normalisation), an empty line, the text. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf_write.h"
#include "model/tokenizer.h"

enum { LINES_MAX = 4096 };

struct line {
    const char *data;
    size_t len;
};

/* The next line, taken off the input; false at the end or when it is empty. */
static bool next_line(const char **data, size_t *len, struct line *out) {
    const char *end = memchr(*data, '\n', *len);
    size_t n = end ? (size_t)(end - *data) : *len, step = end ? n + 1 : n;
    *out = (struct line){*data, n};
    *data += step;
    *len -= step;
    return n > 0;
}

static void write_lines(struct gguf_writer *w, const struct line *lines, size_t count, bool merges) {
    for (size_t i = 0; i < count; i++)
        if ((lines[i].data[0] == 'm') == merges) gguf_write_item_str(w, lines[i].data + 1, lines[i].len - 1);
}

static void write_numbers(struct gguf_writer *w, const struct line *lines, size_t count, bool scores) {
    for (size_t i = 0; i < count; i++) {
        if (lines[i].data[0] == 'm') continue;
        if (scores)
            gguf_write_item_f32(w, -(float)(i % 97));
        else
            gguf_write_item_u32(w, (uint32_t)(lines[i].data[0] - '0'));
    }
}

static bool is(struct line name, const char *text) {
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

/* The first 'm' line of a unigram vocabulary, as it is. */
static void write_charsmap(struct gguf_writer *w, const struct line *lines, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (lines[i].data[0] != 'm') continue;
        gguf_write_array(w, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, lines[i].len - 1);
        for (size_t at = 1; at < lines[i].len; at++) gguf_write_item_u8(w, (uint8_t)lines[i].data[at]);
        return;
    }
}

static void write_vocabulary(struct gguf_writer *w, struct line pre, const struct line *lines, size_t count) {
    const char *model = is(pre, "spm") ? "llama" : is(pre, "t5") ? "t5" : is(pre, "bert") ? "bert" : "gpt2";
    size_t merges = 0;
    for (size_t i = 0; i < count; i++) merges += lines[i].data[0] == 'm';
    gguf_write_str(w, "tokenizer.ggml.model", model, strlen(model));
    if (is(pre, "t5")) write_charsmap(w, lines, count);
    gguf_write_str(w, "tokenizer.ggml.pre", pre.data, pre.len);
    gguf_write_array(w, "tokenizer.ggml.tokens", GGUF_STRING, count - merges);
    write_lines(w, lines, count, false);
    gguf_write_array(w, "tokenizer.ggml.token_type", GGUF_U32, count - merges);
    write_numbers(w, lines, count, false);
    gguf_write_array(w, "tokenizer.ggml.scores", GGUF_F32, count - merges);
    write_numbers(w, lines, count, true);
    gguf_write_array(w, "tokenizer.ggml.merges", GGUF_STRING, merges);
    write_lines(w, lines, count, true);
}

static void encode(const struct tokenizer *t, const char *text, size_t len, bool special) {
    struct token_list ids = {0};
    struct text out = {0};
    int rc = tokenizer_encode(t, text, len, special, special, &ids);
    assert(rc == 0 || rc == ERR_NOMEM);
    for (size_t i = 0; i < ids.count; i++) {
        assert(ids.ids[i] < tokenizer_count(t));
        tokenizer_decode(t, ids.ids[i], special, i == 0, &out);
    }
    token_list_deinit(&ids);
    text_deinit(&out);
}

static void use(const uint8_t *header, size_t len, const char *text, size_t text_len) {
    struct gguf g;
    struct error error = {0};
    struct tokenizer *t = NULL;
    if (gguf_parse(&g, header, len, len, &error) != 0) return;
    int rc = tokenizer_new(&t, &g, &error);
    assert(rc == 0 || (rc == error.code && error.text[0] != '\0'));
    if (rc == 0) {
        encode(t, text, text_len, false);
        encode(t, text, text_len, true);
        tokenizer_free(t);
    }
    gguf_deinit(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct line lines[LINES_MAX];
    struct line pre;
    struct gguf_writer w = {0};
    const char *text = (const char *)data;
    size_t count = 0, len;
    uint8_t *header;
    if (!next_line(&text, &size, &pre)) return 0;
    while (count < LINES_MAX && next_line(&text, &size, &lines[count])) count++;
    write_vocabulary(&w, pre, lines, count);
    if (gguf_writer_take(&w, &header, &len, NULL) == 0) {
        use(header, len, text, size);
        free(header);
    }
    gguf_writer_deinit(&w);
    return 0;
}
