#include "model/tokenizer/partition.h"

#include <stdlib.h>
#include <string.h>

int partition_init(struct partition *p, const struct vocabulary *v) {
    *p = (struct partition){.vocabulary = v};
    for (uint32_t id = 0; id < v->count; id++) {
        if (vocabulary_is_plain(v, id) && v->types[id] != TOKEN_USER_DEFINED) continue;
        if (v->texts[id].len == 0) continue;
        if (trie_add(&p->tokens, v->texts[id].data, v->texts[id].len, id) != 0) return ERR_NOMEM;
        p->first[(unsigned char)v->texts[id].data[0]] = true;
    }
    return 0;
}

void partition_deinit(struct partition *p) { trie_deinit(&p->tokens); }

static int add(struct partition_parts *parts, size_t begin, size_t len, int64_t token) {
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity ? parts->capacity * 2 : 16;
        struct partition_part *at = realloc(parts->at, capacity * sizeof *at);
        if (at == NULL) return ERR_NOMEM;
        parts->at = at;
        parts->capacity = capacity;
    }
    parts->at[parts->count++] = (struct partition_part){begin, len, token};
    return 0;
}

/* All tokens that begin at text[at]. */
static int find_at(const struct partition *p, const char *text, size_t len, size_t at, bool parse_special,
                   struct partition_parts *found) {
    uint32_t node = 0;
    uint64_t id;
    int rc = 0;
    for (size_t end = at; end < len && rc == 0 && trie_step(&p->tokens, &node, text[end]); end++) {
        if (!trie_value(&p->tokens, node, &id)) continue;
        if (!parse_special && !vocabulary_is_plain(p->vocabulary, (uint32_t)id)) continue;
        rc = add(found, at, end + 1 - at, (int64_t)id);
    }
    return rc;
}

static int by_precedence(const void *a, const void *b) {
    const struct partition_part *left = a, *right = b;
    if (left->len != right->len) return left->len > right->len ? -1 : 1;
    return left->begin < right->begin ? -1 : 1;
}

static int by_place(const void *a, const void *b) {
    const struct partition_part *left = a, *right = b;
    return left->begin < right->begin ? -1 : 1;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Takes the token's bytes, and the white space that goes with it, unless another has some of them. */
static bool take(const struct partition *p, const char *text, size_t len, struct partition_part *part, char *taken) {
    size_t begin = part->begin, end = begin + part->len;
    if (memchr(taken + begin, 1, part->len)) return false;
    unsigned flags = p->vocabulary->flags[part->token];
    while (flags & VOCABULARY_LSTRIP && begin > 0 && !taken[begin - 1] && is_space(text[begin - 1])) begin--;
    while (flags & VOCABULARY_RSTRIP && end < len && !taken[end] && is_space(text[end])) end++;
    memset(taken + begin, 1, end - begin);
    part->begin = begin;
    part->len = end - begin;
    return true;
}

/* Of all that were found only those that have the precedence, in the order of the text. */
static int choose(const struct partition *p, const char *text, size_t len, struct partition_parts *found) {
    size_t kept = 0;
    char *taken = calloc(len, 1);
    if (taken == NULL) return ERR_NOMEM;
    qsort(found->at, found->count, sizeof *found->at, by_precedence);
    for (size_t i = 0; i < found->count; i++)
        if (take(p, text, len, &found->at[i], taken)) found->at[kept++] = found->at[i];
    found->count = kept;
    qsort(found->at, found->count, sizeof *found->at, by_place);
    free(taken);
    return 0;
}

int partition_run(const struct partition *p, const char *text, size_t len, bool parse_special,
                  struct partition_parts *out) {
    struct partition_parts found = {0};
    size_t done = 0;
    int rc = 0;
    for (size_t at = 0; at < len && rc == 0; at++)
        if (p->first[(unsigned char)text[at]]) rc = find_at(p, text, len, at, parse_special, &found);
    if (rc == 0 && found.count > 0) rc = choose(p, text, len, &found);
    for (size_t i = 0; i < found.count && rc == 0; i++) {
        const struct partition_part *part = &found.at[i];
        if (part->begin > done) rc = add(out, done, part->begin - done, -1);
        if (rc == 0) rc = add(out, part->begin, part->len, part->token);
        done = part->begin + part->len;
    }
    if (rc == 0 && len > done) rc = add(out, done, len - done, -1);
    free(found.at);
    return rc;
}
