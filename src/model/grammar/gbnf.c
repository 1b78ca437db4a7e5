#include "model/grammar/gbnf.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/map.h"
#include "model/grammar/token_trie.h"
#include "model/tokenizer/utf8.h"

enum { DEPTH_MAX = 64, CLASS_RANGES_MAX = 512, REPEAT_MAX = 1 << 20 };

struct reader {
    struct expr_builder *b;
    const struct grammar_vocabulary *v;
    const char *begin, *at, *end;
    struct map rules; /* name -> number */
    int depth;
};

static struct expr *wrong(struct reader *r, const char *what) {
    int line = 1;
    for (const char *c = r->begin; c < r->at; c++) line += *c == '\n';
    return expr_fail(r->b, ERR_INVALID, "line %d of the grammar: %s", line, what);
}

static char peek(const struct reader *r) { return r->at < r->end ? *r->at : '\0'; }

static bool take(struct reader *r, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) return false;
    r->at += len;
    return true;
}

static void skip_blanks(struct reader *r, bool lines) {
    for (; r->at < r->end; r->at++) {
        if (*r->at == '#')
            while (r->at < r->end && *r->at != '\n') r->at++;
        if (r->at == r->end || !(*r->at == ' ' || *r->at == '\t' || (lines && (*r->at == '\n' || *r->at == '\r'))))
            return;
    }
}

/* ---- characters ---- */

static uint32_t read_hex(struct reader *r, int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        int digit = hex_digit(peek(r));
        if (digit < 0) {
            wrong(r, "an escape needs more hexadecimal digits");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    if (value > EXPR_CHAR_MAX) wrong(r, "an escape is beyond Unicode");
    return value & 0x1fffff;
}

static uint32_t read_escape(struct reader *r) {
    char c = peek(r);
    r->at += r->at < r->end;
    switch (c) {
    case 'x': return read_hex(r, 2);
    case 'u': return read_hex(r, 4);
    case 'U': return read_hex(r, 8);
    case 't': return '\t';
    case 'r': return '\r';
    case 'n': return '\n';
    default: break;
    }
    if (!ispunct((unsigned char)c)) wrong(r, "unknown escape");
    return (uint32_t)c;
}

static uint32_t read_char(struct reader *r) { return take(r, "\\") ? read_escape(r) : utf8_next(&r->at); }

static struct expr *one_char(struct reader *r, uint32_t c) {
    if (c < 0x80) {
        char byte = (char)c;
        return expr_bytes(r->b, &byte, 1);
    }
    struct expr_chars set = {c, c};
    return expr_chars(r->b, &set, 1);
}

static struct expr *read_literal(struct reader *r) {
    struct expr_list l = {0};
    while (!take(r, "\"")) {
        if (r->b->failed || r->at == r->end || *r->at == '\n') return wrong(r, "a literal has no closing quote");
        expr_list_add(r->b, &l, one_char(r, read_char(r)));
    }
    return expr_sequence(r->b, &l);
}

static struct expr *read_class(struct reader *r) {
    struct expr_chars set[CLASS_RANGES_MAX], inverse[CLASS_RANGES_MAX + 1];
    size_t count = 0;
    bool negated = take(r, "^");
    while (r->at < r->end && peek(r) != ']') {
        if (r->b->failed) return expr_never(r->b);
        if (count == CLASS_RANGES_MAX) return wrong(r, "a class has too many characters");
        uint32_t first = read_char(r), last = first;
        if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
            r->at++;
            last = read_char(r);
        }
        if (last < first) return wrong(r, "the range of a class runs backwards");
        set[count++] = (struct expr_chars){first, last};
    }
    if (!take(r, "]")) return wrong(r, "a class has no closing bracket");
    count = expr_chars_sort(set, count);
    if (!negated) return expr_chars(r->b, set, count);
    return expr_chars(r->b, inverse, expr_chars_invert(set, count, inverse));
}

/* ---- tokens ---- */

static struct expr *token_expr(struct reader *r, uint32_t token) {
    uint8_t key[TOKEN_TRIE_KEY_BYTES];
    token_trie_control_key(token, key);
    if (r->v == NULL) return expr_bytes(r->b, key, sizeof key);
    if (token >= r->v->token_count || r->v->begin[token] == r->v->begin[token + 1])
        return wrong(r, "the vocabulary has no such token");
    return expr_bytes(r->b, r->v->bytes + r->v->begin[token], r->v->begin[token + 1] - r->v->begin[token]);
}

static struct expr *read_token_number(struct reader *r) {
    uint32_t value = 0;
    const char *first = r->at;
    for (; isdigit((unsigned char)peek(r)) && value < 1 << 24; r->at++) value = value * 10 + (uint32_t)(*r->at - '0');
    if (r->at == first || value >= 1 << 24 || !take(r, "]>")) return wrong(r, "a token is written <[NUMBER]>");
    return token_expr(r, value);
}

static struct expr *read_token(struct reader *r) {
    if (take(r, "[")) return read_token_number(r);
    const char *begin = r->at - 1, *end = memchr(r->at, '>', (size_t)(r->end - r->at));
    if (end == NULL) return wrong(r, "a token has no closing '>'");
    r->at = end + 1;
    size_t len, whole = (size_t)(r->at - begin);
    if (r->v == NULL) return expr_bytes(r->b, begin, whole);
    uint32_t token = token_trie_control_at(r->v, begin, whole, &len);
    return token != TOKEN_TRIE_NONE && len == whole ? token_expr(r, token) : expr_bytes(r->b, begin, whole);
}

/* ---- repetitions ---- */

static bool read_number(struct reader *r, uint32_t *out) {
    const char *first = r->at;
    *out = 0;
    for (; isdigit((unsigned char)peek(r)) && *out <= REPEAT_MAX; r->at++) *out = *out * 10 + (uint32_t)(*r->at - '0');
    return r->at > first;
}

static struct expr *read_bounds(struct reader *r, struct expr *e) {
    uint32_t min, max;
    skip_blanks(r, true);
    if (!read_number(r, &min)) return wrong(r, "a repetition is written {m}, {m,} or {m,n}");
    max = min;
    skip_blanks(r, true);
    if (take(r, ",")) {
        skip_blanks(r, true);
        if (!read_number(r, &max)) max = EXPR_UNBOUNDED;
        skip_blanks(r, true);
    }
    if (!take(r, "}")) return wrong(r, "a repetition has no closing brace");
    if (max < min) return wrong(r, "a repetition's bounds run backwards");
    if (min > REPEAT_MAX || (max > REPEAT_MAX && max != EXPR_UNBOUNDED))
        return wrong(r, "a repetition's bound is too large");
    return expr_repeat(r->b, e, min, max);
}

static struct expr *read_repetitions(struct reader *r, struct expr *e, bool lines) {
    for (;;) {
        skip_blanks(r, lines);
        if (take(r, "*"))
            e = expr_repeat(r->b, e, 0, EXPR_UNBOUNDED);
        else if (take(r, "+"))
            e = expr_repeat(r->b, e, 1, EXPR_UNBOUNDED);
        else if (take(r, "?"))
            e = expr_optional(r->b, e);
        else if (take(r, "{"))
            e = read_bounds(r, e);
        else
            return e;
        if (r->b->failed) return e;
    }
}

/* ---- rules ---- */

static bool is_name_char(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_'; }

static const char *read_name(struct reader *r, size_t *len) {
    const char *name = r->at;
    while (is_name_char(peek(r))) r->at++;
    *len = (size_t)(r->at - name);
    return name;
}

static uint32_t rule_of(struct reader *r, const char *name, size_t len) {
    uint64_t number;
    if (map_get(&r->rules, name, len, &number)) return (uint32_t)number;
    const char *copy = arena_copy(&r->b->arena, name, len);
    number = expr_rule_new(r->b, copy ? copy : "");
    if (map_set(&r->rules, name, len, number) != 0) expr_fail(r->b, ERR_NOMEM, "out of memory");
    return (uint32_t)number;
}

static struct expr *read_choice(struct reader *r, bool nested);

static struct expr *read_group(struct reader *r) {
    if (++r->depth > DEPTH_MAX) return wrong(r, "groups are nested too deeply");
    skip_blanks(r, true);
    struct expr *e = read_choice(r, true);
    skip_blanks(r, true);
    r->depth--;
    return take(r, ")") ? e : wrong(r, "a group has no closing ')'");
}

/* NULL: none begins here. */
static struct expr *read_element(struct reader *r) {
    static const struct expr_chars any = {0, EXPR_CHAR_MAX};
    size_t len;
    if (take(r, "\"")) return read_literal(r);
    if (take(r, "[")) return read_class(r);
    if (take(r, "(")) return read_group(r);
    if (take(r, ".")) return expr_chars(r->b, &any, 1);
    if (take(r, "<")) return read_token(r);
    if (!is_name_char(peek(r))) return NULL;
    const char *name = read_name(r, &len);
    return expr_rule(r->b, rule_of(r, name, len));
}

static struct expr *read_sequence(struct reader *r, bool nested) {
    struct expr_list l = {0};
    while (!r->b->failed) {
        struct expr *e = read_element(r);
        if (e == NULL) break;
        expr_list_add(r->b, &l, read_repetitions(r, e, nested));
    }
    return expr_sequence(r->b, &l);
}

/* A bar at the beginning of the next lines goes on with the rule. */
static bool take_bar(struct reader *r) {
    const char *before = r->at;
    skip_blanks(r, true);
    if (take(r, "|")) return true;
    r->at = before;
    return false;
}

static struct expr *read_choice(struct reader *r, bool nested) {
    struct expr_list l = {0};
    do {
        skip_blanks(r, true);
        expr_list_add(r->b, &l, read_sequence(r, nested));
    } while (!r->b->failed && take_bar(r));
    return expr_choice(r->b, &l);
}

static void read_rule(struct reader *r) {
    size_t len;
    const char *name = read_name(r, &len);
    if (len == 0) {
        wrong(r, "a rule is written NAME ::= ...");
        return;
    }
    uint32_t rule = rule_of(r, name, len);
    skip_blanks(r, false);
    if (!take(r, "::=")) {
        wrong(r, "expected ::= behind the name of a rule");
        return;
    }
    if (!r->b->failed && r->b->rules[rule].body) wrong(r, "a rule of this name is there already");
    struct expr *body = read_choice(r, false);
    if (!r->b->failed && r->at < r->end && peek(r) != '\n' && peek(r) != '\r') wrong(r, "unexpected character");
    expr_rule_set(r->b, rule, body);
    skip_blanks(r, true);
}

static bool is_utf8(const char *text, size_t len) {
    for (size_t at = 0, n; at < len; at += n)
        if ((n = utf8_len(text + at, len - at)) == 0) return false;
    return true;
}

struct expr *gbnf_read(struct expr_builder *b, const char *text, size_t len, const struct grammar_vocabulary *v) {
    struct reader r = {.b = b, .v = v, .begin = text, .at = text, .end = text + len};
    uint64_t root;
    if (memchr(text, '\0', len) || !is_utf8(text, len)) return wrong(&r, "it holds a NUL, or is not valid UTF-8");
    skip_blanks(&r, true);
    while (r.at < r.end && !b->failed) read_rule(&r);
    bool found = map_get(&r.rules, "root", 4, &root);
    map_deinit(&r.rules);
    return found ? expr_rule(b, (uint32_t)root) : expr_fail(b, ERR_INVALID, "the grammar has no rule named 'root'");
}
