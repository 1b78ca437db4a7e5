#include "model/tokenizer/unigram.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/utf8.h"

static const double unknown_penalty = 10;

/* ---- life ---- */

static int read_map(struct unigram *u, const struct gguf *g, struct error *error) {
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const struct gguf_value *bytes = gguf_find(g, key);
    if (!bytes) return 0;
    bool is_bytes = bytes->type == GGUF_ARRAY && (bytes->item_type == GGUF_U8 || bytes->item_type == GGUF_I8);
    if (is_bytes && charsmap_init(&u->map, bytes->data, bytes->bytes) == 0) return 0;
    return error_set(error, ERR_INVALID, "%s is not SentencePiece's", key);
}

/* False unless all bytes have tokens. */
static bool find_bytes(struct unigram *u) {
    const struct vocabulary *v = u->vocabulary;
    bool found[256] = {false};
    size_t count = 0;
    for (uint32_t id = 0; id < v->count; id++) {
        char byte;
        if (!vocabulary_byte(v->texts[id], &byte)) continue;
        u->byte_tokens[(unsigned char)byte] = id;
        count += !found[(unsigned char)byte];
        found[(unsigned char)byte] = true;
    }
    return count == 256;
}

int unigram_init(struct unigram *u, const struct vocabulary *v, const struct gguf *g, struct error *error) {
    double lowest = DBL_MAX;
    *u = (struct unigram){.vocabulary = v};
    gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &u->merge_spaces);
    int rc = read_map(u, g, error);
    for (uint32_t id = 0; id < v->count && rc == 0; id++) {
        struct gguf_string text = v->texts[id];
        bool added = v->types[id] == TOKEN_USER_DEFINED, normal = v->types[id] == TOKEN_NORMAL;
        if (normal && v->scores[id] < lowest) lowest = v->scores[id];
        if (text.len == 0 || !(added || normal || v->types[id] == TOKEN_UNUSED)) continue;
        rc = trie_add(&u->tokens, text.data, text.len, id);
        if (rc == 0 && added) rc = trie_add(&u->added, text.data, text.len, id);
        if (rc < 0) error_set(error, rc, "no memory for the vocabulary");
    }
    u->unknown_score = lowest - unknown_penalty;
    gguf_bool(g, TOKENIZER_BYTE_FALLBACK, &u->by_bytes);
    if (u->by_bytes) u->by_bytes = find_bytes(u);
    return rc;
}

void unigram_deinit(struct unigram *u) {
    trie_deinit(&u->tokens);
    trie_deinit(&u->added);
}

/* ---- normalising ---- */

static size_t longest(const struct trie *t, const char *text, size_t len) {
    uint32_t node = 0;
    uint64_t value;
    size_t found = 0;
    for (size_t i = 0; i < len && trie_step(t, &node, text[i]); i++)
        if (trie_value(t, node, &value)) found = i + 1;
    return found;
}

/* What stands at a place, and what is written for it; the length of the former. */
static size_t next_piece(const struct unigram *u, const char *text, size_t len, const char **out, size_t *out_len) {
    size_t used = longest(&u->added, text, len);
    *out = text;
    *out_len = used;
    if (used > 0) return used;
    used = charsmap_find(&u->map, text, len, out, out_len);
    if (used > 0) return used;
    *out_len = used = utf8_len(text, len);
    if (used > 0) return used;
    *out = "\xef\xbf\xbd"; /* U+FFFD for what is no character */
    *out_len = 3;
    return 1;
}

/* The text with U+2581 for spaces: one in front of each word where they are merged, else each, and one in front. */
static void normalize(const struct unigram *u, const char *text, size_t len, struct text *out) {
    bool in_word = false, is_prefixed = !u->vocabulary->add_space_prefix;
    const char *piece;
    size_t piece_len;
    for (size_t at = 0; at < len;) {
        at += next_piece(u, text + at, len - at, &piece, &piece_len);
        for (size_t i = 0; i < piece_len; i++) {
            bool space = piece[i] == ' ', begins = !space && !in_word;
            if (space ? !u->merge_spaces : begins && (u->merge_spaces || !is_prefixed))
                text_add(out, VOCABULARY_SPACE, 3);
            if (begins) is_prefixed = true;
            in_word = !space;
            if (!space) text_add(out, piece + i, 1);
        }
    }
}

/* ---- the best way ---- */

/* The best way to a place: the token that ends there, where it begins, and the sum of scores. */
struct step {
    uint32_t token, begin;
    double score;
};

static void offer(struct step *to, uint32_t token, size_t begin, double score) {
    if (score > to->score) *to = (struct step){token, (uint32_t)begin, score};
}

/* All tokens that begin at `at`; the unknown one where no token is the character that stands there. */
static void go_on(const struct unigram *u, const char *text, size_t len, size_t at, size_t char_len,
                  struct step *steps) {
    const struct vocabulary *v = u->vocabulary;
    double score = steps[at].score;
    uint32_t node = 0;
    uint64_t id;
    bool known = false;
    for (size_t end = at; end < len && trie_step(&u->tokens, &node, text[end]); end++) {
        if (!trie_value(&u->tokens, node, &id)) continue;
        known |= end + 1 - at == char_len;
        double own = v->types[id] == TOKEN_USER_DEFINED ? 0 : (double)v->scores[id];
        offer(&steps[end + 1], (uint32_t)id, at, score + own);
    }
    uint32_t unknown = v->unknown >= 0 ? (uint32_t)v->unknown : UINT32_MAX;
    if (!known) offer(&steps[at + char_len], unknown, at, score + u->unknown_score);
}

/* The tokens of bytes, the last one first. */
static int add_bytes(const struct unigram *u, const char *text, size_t begin, size_t end, struct token_list *out) {
    int rc = 0;
    while (end > begin && rc == 0) rc = token_list_add(out, u->byte_tokens[(unsigned char)text[--end]]);
    return rc;
}

/* From the end to the front; unknown characters side by side are one token. */
static int collect(const struct unigram *u, const char *text, const struct step *steps, size_t len,
                   struct token_list *out) {
    size_t first = out->count;
    bool was_unknown = false;
    int rc = 0;
    for (size_t at = len; at > 0 && rc == 0; at = steps[at].begin) {
        bool is_unknown = (int64_t)steps[at].token == u->vocabulary->unknown;
        if (is_unknown && u->by_bytes) {
            rc = add_bytes(u, text, steps[at].begin, at, out);
            continue;
        }
        bool counts = steps[at].token != UINT32_MAX && !(is_unknown && was_unknown);
        if (counts) rc = token_list_add(out, steps[at].token);
        was_unknown = is_unknown;
    }
    for (size_t i = first, j = out->count; i + 1 < j; i++, j--) {
        uint32_t kept = out->ids[i];
        out->ids[i] = out->ids[j - 1];
        out->ids[j - 1] = kept;
    }
    return rc;
}

static int encode(const struct unigram *u, const struct text *normal, struct token_list *out) {
    struct step *steps = normal->failed || normal->len >= UINT32_MAX ? NULL : malloc((normal->len + 1) * sizeof *steps);
    int rc = steps ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i <= normal->len; i++) steps[i] = (struct step){.score = i ? -DBL_MAX : 0};
    for (size_t at = 0, n; rc == 0 && at < normal->len; at += n) {
        n = utf8_len(normal->data + at, normal->len - at);
        if (n == 0) n = 1;
        go_on(u, normal->data, normal->len, at, n, steps);
    }
    if (rc == 0) rc = collect(u, normal->data, steps, normal->len, out);
    free(steps);
    return rc;
}

int unigram_encode(const struct unigram *u, const char *text, size_t len, struct token_list *out) {
    struct text normal = {0};
    normalize(u, text, len, &normal);
    int rc = encode(u, &normal, out);
    text_deinit(&normal);
    return rc;
}

int unigram_encode_word(const struct unigram *u, const char *word, size_t len, struct token_list *out) {
    struct text spelt = {0};
    for (size_t i = 0; i < len; i++) {
        bool space = word[i] == ' ';
        text_add(&spelt, space ? VOCABULARY_SPACE : word + i, space ? 3 : 1);
    }
    int rc = encode(u, &spelt, out);
    text_deinit(&spelt);
    return rc;
}
