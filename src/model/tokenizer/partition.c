#include "model/tokenizer/partition.h"

#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/utf8.h"

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

/* Bytes of the white space that begins at text[at]; 0: there is none. */
static size_t space_at(const char *text, size_t len, size_t at) {
    const char *next = text + at;
    size_t n = at < len ? utf8_len(text + at, len - at) : 0;
    return n > 0 && utf8_is_white(utf8_next(&next)) ? n : 0;
}

static size_t space_before(const char *text, size_t at) {
    for (size_t n = 1; n <= 3 && n <= at; n++)
        if (space_at(text, at, at - n) == n) return n;
    return 0;
}

/* Takes the token's bytes, and the white space that goes with it, unless another has some of them. */
static bool take(const struct partition *p, const char *text, size_t len, struct partition_part *part, char *taken) {
    size_t begin = part->begin, end = begin + part->len;
    if (memchr(taken + begin, 1, part->len)) return false;
    unsigned flags = p->vocabulary->flags[part->token];
    size_t n;
    while (flags & VOCABULARY_LSTRIP && (n = space_before(text, begin)) > 0 && !taken[begin - n]) begin -= n;
    while (flags & VOCABULARY_RSTRIP && (n = space_at(text, len, end)) > 0 && !taken[end]) end += n;
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
