#include "model/tokenizer/symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/tokenizer/pre.h"
#include "model/tokenizer/utf8.h"

static int no_memory(struct error *error) { return error_set(error, ERR_NOMEM, "no memory for the vocabulary"); }

uint32_t symbols_find(const struct symbols *s, const char *bytes, size_t len) {
    uint64_t id;
    return map_get(&s->ids, bytes, len, &id) ? (uint32_t)id : SYMBOLS_NONE;
}

static void note_pairs(struct symbols *s, struct gguf_string piece) {
    if (piece.len > s->longest) s->longest = piece.len;
    for (size_t i = 1; i < piece.len; i++) {
        unsigned char first = (unsigned char)piece.data[i - 1], second = (unsigned char)piece.data[i];
        s->pairs[first][second >> 6] |= 1ull << (second & 63);
    }
}

static int add_tokens(struct symbols *s, struct error *error) {
    const struct vocabulary *v = s->vocabulary;
    for (uint32_t id = 0; id < v->count; id++) {
        if (!vocabulary_is_plain(v, id) || v->types[id] == TOKEN_BYTE || v->pieces[id].len == 0) continue;
        if (map_set(&s->ids, v->pieces[id].data, v->pieces[id].len, id) != 0) return no_memory(error);
        note_pairs(s, v->pieces[id]);
    }
    s->count = v->count;
    return 0;
}

/* Tokens for single bytes: "<0x0A>" or the byte itself, else the unknown token. */
static void find_bytes(struct symbols *s) {
    const struct vocabulary *v = s->vocabulary;
    char c;
    for (unsigned byte = 0; byte < 256; byte++) {
        c = (char)byte;
        s->of_byte[byte] = symbols_find(s, &c, 1);
        if (s->of_byte[byte] >= v->count)
            s->of_byte[byte] = v->kind == VOCABULARY_SPM && v->unknown >= 0 ? (uint32_t)v->unknown : SYMBOLS_NONE;
    }
    for (uint32_t id = 0; id < v->count && !vocabulary_is_byte_level(v); id++)
        if (vocabulary_byte(v->texts[id], &c)) s->of_byte[(unsigned char)c] = id;
}

/* ---- merges ---- */

static int find_or_add(struct symbols *s, const char *bytes, size_t len, uint32_t *symbol) {
    *symbol = symbols_find(s, bytes, len);
    if (*symbol != SYMBOLS_NONE) return 0;
    const char *copy = arena_copy(&s->arena, bytes, len);
    if (copy == NULL || s->count == SYMBOLS_NONE || map_set(&s->ids, copy, len, s->count) != 0) return ERR_NOMEM;
    *symbol = s->count++;
    return 0;
}

/* The bytes of a side of a merge; false for what never comes up in a text. */
static bool read_side(const struct vocabulary *v, const char *text, size_t len, char *out, size_t *out_len) {
    if (vocabulary_is_byte_level(v)) return vocabulary_unbyte(text, len, out, out_len) && *out_len > 0;
    *out_len = vocabulary_unescape(text, len, out);
    return *out_len > 0;
}

/* "left right" */
static int add_merge(struct symbols *s, struct gguf_string merge, uint64_t rank, char *bytes) {
    size_t left_len, right_len;
    uint32_t left, right, joined;
    const char *space = merge.len > 1 ? memchr(merge.data + 1, ' ', merge.len - 1) : NULL;
    if (space == NULL) return 0;
    size_t at = (size_t)(space - merge.data);
    if (!read_side(s->vocabulary, merge.data, at, bytes, &left_len)) return 0;
    if (!read_side(s->vocabulary, space + 1, merge.len - at - 1, bytes + left_len, &right_len)) return 0;
    if (find_or_add(s, bytes, left_len, &left) != 0 || find_or_add(s, bytes + left_len, right_len, &right) != 0 ||
        find_or_add(s, bytes, left_len + right_len, &joined) != 0)
        return ERR_NOMEM;
    note_pairs(s, (struct gguf_string){bytes, left_len + right_len});
    return table_add(&s->merges, (uint64_t)left << 32 | right, rank << 32 | joined);
}

static int add_merges(struct symbols *s, const struct gguf *g, struct error *error) {
    const struct gguf_value *merges = gguf_find(g, "tokenizer.ggml.merges");
    struct text buffer = {0};
    if (merges == NULL && s->vocabulary->pre->no_merges) return 0;
    if (merges == NULL || merges->type != GGUF_ARRAY || merges->item_type != GGUF_STRING || merges->count > INT32_MAX)
        return error_set(error, ERR_INVALID, "tokenizer.ggml.merges is not an array of texts");
    int rc = table_reserve(&s->merges, merges->count);
    for (uint64_t i = 0; i < merges->count && rc == 0; i++) {
        text_clear(&buffer);
        text_add(&buffer, merges->strings[i].data, merges->strings[i].len);
        rc = buffer.failed ? ERR_NOMEM : add_merge(s, merges->strings[i], i, buffer.data);
    }
    text_deinit(&buffer);
    return rc == 0 ? 0 : no_memory(error);
}

int symbols_init(struct symbols *s, const struct vocabulary *v, const struct gguf *g, struct error *error) {
    *s = (struct symbols){.vocabulary = v};
    int rc = add_tokens(s, error);
    if (rc == 0 && v->kind == VOCABULARY_BPE) rc = add_merges(s, g, error);
    if (rc == 0) find_bytes(s);
    return rc;
}

void symbols_deinit(struct symbols *s) {
    map_deinit(&s->ids);
    table_deinit(&s->merges);
    arena_deinit(&s->arena);
}
