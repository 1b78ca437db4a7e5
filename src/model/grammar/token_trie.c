#include "model/grammar/token_trie.h"

#include <stdlib.h>
#include <string.h>

struct key {
    const uint8_t *bytes;
    uint32_t len, token;
};

void token_trie_control_key(uint32_t token, uint8_t key[TOKEN_TRIE_KEY_BYTES]) {
    key[0] = TOKEN_TRIE_CONTROL;
    for (int i = 1; i < TOKEN_TRIE_KEY_BYTES; i++) key[i] = (uint8_t)(token >> (24 - 8 * i));
}

uint32_t token_trie_control_at(const struct grammar_vocabulary *v, const char *text, size_t len, size_t *token_len) {
    uint32_t best = TOKEN_TRIE_NONE;
    *token_len = 0;
    for (uint32_t i = 0; i < v->control_count; i++) {
        struct gguf_string piece = tokenizer_piece(v->tokenizer, v->controls[i]);
        if (piece.len <= *token_len || piece.len > len || memcmp(piece.data, text, piece.len) != 0) continue;
        best = v->controls[i];
        *token_len = piece.len;
    }
    return best;
}

/* ---- keys ---- */

static bool may_be_text(const struct text *t) {
    for (size_t i = 0; i < t->len; i++)
        if ((uint8_t)t->data[i] >= 0xf8) return false;
    return t->len <= TOKEN_TRIE_DEPTH_MAX;
}

/* The token's key into `t`, empty if it is in no text. */
static void make_key(struct grammar_vocabulary *v, uint32_t token, struct text *t) {
    text_clear(t);
    tokenizer_decode(v->tokenizer, token, false, false, t);
    if (t->len > 0) {
        if (!may_be_text(t)) text_clear(t);
        return;
    }
    tokenizer_decode(v->tokenizer, token, true, false, t);
    bool control = t->len > 0;
    text_clear(t);
    if (!control) return;
    uint8_t key[TOKEN_TRIE_KEY_BYTES];
    token_trie_control_key(token, key);
    text_add(t, key, sizeof key);
    v->controls[v->control_count++] = token;
}

static int make_keys(struct grammar_vocabulary *v) {
    struct text all = {0}, one = {0};
    for (uint32_t i = 0; i < v->token_count; i++) {
        v->begin[i] = (uint32_t)all.len;
        make_key(v, i, &one);
        text_add(&all, one.data, one.len);
    }
    v->begin[v->token_count] = (uint32_t)all.len;
    text_add_char(&all, 0);
    bool failed = all.failed || one.failed || all.len > UINT32_MAX;
    text_deinit(&one);
    v->bytes = (uint8_t *)text_take(&all);
    return failed || v->bytes == NULL ? ERR_NOMEM : 0;
}

static int compare_keys(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    if (order == 0) order = (x->len > y->len) - (x->len < y->len);
    return order ? order : (x->token > y->token) - (x->token < y->token);
}

static uint32_t sort_keys(const struct grammar_vocabulary *v, struct key *keys) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->token_count; i++)
        if (v->begin[i + 1] > v->begin[i])
            keys[count++] = (struct key){v->bytes + v->begin[i], v->begin[i + 1] - v->begin[i], i};
    qsort(keys, count, sizeof *keys, compare_keys);
    return count;
}

/* ---- the trie ---- */

static uint32_t common_bytes(const struct key *a, const struct key *b) {
    uint32_t n = 0;
    while (n < a->len && n < b->len && a->bytes[n] == b->bytes[n]) n++;
    return n;
}

static void end_nodes(struct grammar_vocabulary *v, const uint32_t *path, uint32_t from, uint32_t to) {
    for (uint32_t depth = from; depth < to; depth++) v->nodes[path[depth]].end = v->node_count;
}

static void make_nodes(struct grammar_vocabulary *v, const struct key *keys, uint32_t count) {
    uint32_t path[TOKEN_TRIE_DEPTH_MAX], depth = 0, last = TOKEN_TRIE_NONE;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t common = i == 0 ? 0 : common_bytes(&keys[i - 1], &keys[i]);
        if (i > 0 && common == keys[i].len && common == depth) { /* the same bytes again */
            v->same[last] = keys[i].token;
            last = keys[i].token;
            continue;
        }
        end_nodes(v, path, common, depth);
        for (depth = common; depth < keys[i].len; depth++) {
            path[depth] = v->node_count;
            v->nodes[v->node_count++] = (struct token_trie_node){
                .token = TOKEN_TRIE_NONE, .depth = (uint16_t)(depth + 1), .byte = keys[i].bytes[depth]};
        }
        last = v->nodes[path[depth - 1]].token = keys[i].token;
    }
    end_nodes(v, path, 0, depth);
}

static int make_trie(struct grammar_vocabulary *v) {
    struct key *keys = malloc((v->token_count + 1) * sizeof *keys);
    uint32_t count = keys ? sort_keys(v, keys) : 0;
    size_t nodes = 1;
    for (uint32_t i = 0; i < count; i++) nodes += keys[i].len - (i ? common_bytes(&keys[i - 1], &keys[i]) : 0);
    v->nodes = malloc(nodes * sizeof *v->nodes);
    if (keys && v->nodes) make_nodes(v, keys, count);
    free(keys);
    return keys && v->nodes ? 0 : ERR_NOMEM;
}

int grammar_vocabulary_new(struct grammar_vocabulary **out, const struct tokenizer *t, struct error *error) {
    struct grammar_vocabulary *v = calloc(1, sizeof *v);
    size_t count = tokenizer_count(t);
    if (count == 0) {
        free(v);
        return error_set(error, ERR_UNSUPPORTED, "the model has no vocabulary");
    }
    if (v == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    v->tokenizer = t;
    v->token_count = (uint32_t)count;
    v->same = malloc((count + 1) * sizeof *v->same);
    v->begin = malloc((count + 1) * sizeof *v->begin);
    v->controls = malloc((count + 1) * sizeof *v->controls);
    int code = v->same && v->begin && v->controls ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < count && code == 0; i++) v->same[i] = TOKEN_TRIE_NONE;
    if (code == 0) code = make_keys(v);
    if (code == 0) code = make_trie(v);
    if (code) {
        grammar_vocabulary_free(v);
        return error_set(error, code, "no memory for a vocabulary of %zu tokens", count);
    }
    *out = v;
    return 0;
}

void grammar_vocabulary_free(struct grammar_vocabulary *v) {
    if (v == NULL) return;
    free(v->nodes);
    free(v->same);
    free(v->bytes);
    free(v->begin);
    free(v->controls);
    free(v);
}
