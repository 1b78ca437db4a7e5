#include "model/tokenizer/words.h"

#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/pre.h"
#include "model/tokenizer/utf8.h"

enum { KNOWN_MAX = 16384, KNOWN_BYTES_MAX = 64, TEXT_BYTES_SHORT = 256 };

int words_init(struct words *w, const struct symbols *s, struct token_list *out, size_t text_len) {
    *w = (struct words){.symbols = s, .out = out};
    if (text_len < TEXT_BYTES_SHORT) return 0;
    for (w->known_count = 64; w->known_count < KNOWN_MAX && w->known_count < text_len / 8;) w->known_count *= 2;
    w->known = calloc(w->known_count, sizeof *w->known);
    return w->known ? 0 : ERR_NOMEM;
}

void words_deinit(struct words *w) {
    free(w->known);
    merge_deinit(&w->merge);
}

/* ---- joining ---- */

static bool pair_by_merge(const void *context, const struct merge_symbol *left, const struct merge_symbol *right,
                          uint32_t *cost, uint32_t *joined) {
    const struct symbols *s = context;
    uint64_t value;
    if (!table_get(&s->merges, (uint64_t)left->id << 32 | right->id, &value)) return false;
    *cost = (uint32_t)(value >> 32);
    *joined = (uint32_t)value;
    return true;
}

struct scored {
    const struct symbols *symbols;
    const char *word;
};

/* Orders as the score does, the highest first. */
static uint32_t cost_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, 4);
    return bits >> 31 ? bits : 0x7fffffff - bits;
}

static bool pair_by_score(const void *context, const struct merge_symbol *left, const struct merge_symbol *right,
                          uint32_t *cost, uint32_t *joined) {
    const struct scored *s = context;
    *joined = symbols_find(s->symbols, s->word + left->begin, left->len + right->len);
    if (*joined == SYMBOLS_NONE) return false;
    *cost = cost_of(s->symbols->vocabulary->scores[*joined]);
    return true;
}

/* Symbols to begin with: bytes for byte-level BPE, characters else. */
static int begin(struct words *w, const char *word, size_t len) {
    bool bytes = vocabulary_is_byte_level(w->symbols->vocabulary);
    int rc = merge_begin(&w->merge, len);
    for (size_t at = 0; at < len && rc == 0;) {
        size_t n = bytes ? 1 : utf8_len(word + at, len - at);
        if (n == 0) n = 1;
        merge_add(&w->merge, symbols_find(w->symbols, word + at, n), (uint32_t)n);
        at += n;
    }
    return rc;
}

static int add_bytes(struct words *w, const char *bytes, size_t len) {
    int rc = 0;
    for (size_t i = 0; i < len && rc == 0; i++) {
        uint32_t id = w->symbols->of_byte[(unsigned char)bytes[i]];
        if (id != SYMBOLS_NONE) rc = token_list_add(w->out, id);
    }
    return rc;
}

static int join(struct words *w, const char *word, size_t len) {
    struct scored scored = {w->symbols, word};
    int rc = begin(w, word, len);
    if (rc) return rc;
    if (w->symbols->vocabulary->kind == VOCABULARY_BPE)
        merge_run(&w->merge, pair_by_merge, w->symbols);
    else
        merge_run(&w->merge, pair_by_score, &scored);
    const struct merge_symbol *symbols = w->merge.symbols;
    for (uint32_t i = 0; i != MERGE_NONE && rc == 0; i = symbols[i].next) {
        if (symbols[i].id < w->symbols->vocabulary->count)
            rc = token_list_add(w->out, symbols[i].id);
        else
            rc = add_bytes(w, word + symbols[i].begin, symbols[i].len);
    }
    return rc;
}

static int encode(struct words *w, const char *word, size_t len) {
    const struct pre_tokenizer *pre = w->symbols->vocabulary->pre;
    bool whole = pre && (w->symbols->vocabulary->whole_words || (pre->line_ends && word[0] == '\n'));
    if (whole || len == 1) {
        uint32_t id = symbols_find(w->symbols, word, len);
        if (id < w->symbols->vocabulary->count) return token_list_add(w->out, id);
    }
    return join(w, word, len);
}

/* ---- remembering ---- */

static struct words_known *place(const struct words *w, const char *word, size_t len) {
    uint64_t hash = len, part;
    for (size_t i = 0; i < len; i += 8) {
        part = 0;
        memcpy(&part, word + i, len - i < 8 ? len - i : 8);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return &w->known[hash & (w->known_count - 1)];
}

static int repeat(struct words *w, const struct words_known *known) {
    int rc = 0;
    for (uint32_t i = 0; i < known->count && rc == 0; i++) rc = token_list_add(w->out, w->out->ids[known->first + i]);
    return rc;
}

int words_encode(struct words *w, const char *word, size_t len) {
    if (w->known == NULL || len > KNOWN_BYTES_MAX || w->out->count > UINT32_MAX) return encode(w, word, len);
    struct words_known *known = place(w, word, len);
    if (known->bytes && known->len == len && memcmp(known->bytes, word, len) == 0) return repeat(w, known);
    size_t first = w->out->count;
    int rc = encode(w, word, len);
    *known = (struct words_known){word, (uint32_t)len, (uint32_t)first, (uint32_t)(w->out->count - first)};
    return rc;
}
