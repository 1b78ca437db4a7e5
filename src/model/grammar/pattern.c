#include "model/grammar/pattern.h"

#include <ctype.h>
#include <string.h>

#include "base/hex.h"
#include "model/grammar/jtext.h"
#include "model/tokenizer/utf8.h"

enum { DEPTH_MAX = 64, RANGES_MAX = 256, REPEAT_MAX = 1 << 20 };

/* A part of a pattern, and how many characters it may have. */
struct part {
    struct expr *e;
    struct expr *atom; /* one character, of which e is a repetition; NULL: it is something else */
    uint32_t min, max;
};

struct reader {
    struct expr_builder *b;
    const char *at, *end;
    const char *whole;
    size_t whole_len;
    int depth;
};

struct set {
    struct expr_chars at[RANGES_MAX];
    size_t count;
};

static struct part fail(struct reader *r, const char *what) {
    struct expr *e = expr_fail(r->b, ERR_UNSUPPORTED, "pattern \"%.*s\": %s",
                               (int)(r->whole_len < 200 ? r->whole_len : 200), r->whole, what);
    return (struct part){.e = e};
}

static bool take(struct reader *r, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) return false;
    r->at += len;
    return true;
}

static uint32_t add_lengths(uint32_t a, uint32_t b) {
    return a == EXPR_UNBOUNDED || b == EXPR_UNBOUNDED || a + b < a ? EXPR_UNBOUNDED : a + b;
}

static uint32_t times(uint32_t length, uint32_t count) {
    if (length == 0 || count == 0) return 0;
    return length == EXPR_UNBOUNDED || count == EXPR_UNBOUNDED || (uint64_t)length * count >= EXPR_UNBOUNDED
               ? EXPR_UNBOUNDED
               : length * count;
}

/* ---- characters and classes ---- */

static void set_add(struct reader *r, struct set *s, uint32_t first, uint32_t last) {
    if (s->count == RANGES_MAX)
        fail(r, "a class has too many characters");
    else
        s->at[s->count++] = (struct expr_chars){first, last};
}

static void set_normalize(struct set *s) { s->count = expr_chars_sort(s->at, s->count); }

static void set_add_letter(struct reader *r, struct set *s, char letter) {
    struct set known = {0};
    switch (tolower((unsigned char)letter)) {
    case 'd': set_add(r, &known, '0', '9'); break;
    case 'w':
        set_add(r, &known, '0', '9');
        set_add(r, &known, 'A', 'Z');
        set_add(r, &known, '_', '_');
        set_add(r, &known, 'a', 'z');
        break;
    default:
        set_add(r, &known, '\t', '\r');
        set_add(r, &known, ' ', ' ');
        break;
    }
    bool negated = isupper((unsigned char)letter);
    uint32_t next = 0;
    for (size_t i = 0; i < known.count; i++) {
        if (!negated)
            set_add(r, s, known.at[i].first, known.at[i].last);
        else if (known.at[i].first > next)
            set_add(r, s, next, known.at[i].first - 1);
        next = known.at[i].last + 1;
    }
    if (negated) set_add(r, s, next, 0x7f);
}

static uint32_t read_hex(struct reader *r, int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        int digit = r->at < r->end ? hex_digit(*r->at) : -1;
        if (digit < 0) {
            fail(r, "an escape needs more hexadecimal digits");
            return 0;
        }
        value = value << 4 | (uint32_t)digit;
    }
    return value;
}

/* Behind a backslash: one character. */
static uint32_t read_escape(struct reader *r) {
    char c = *r->at++;
    switch (c) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case 'f': return '\f';
    case 'v': return '\v';
    case 'x': return read_hex(r, 2);
    case 'u': return read_hex(r, 4);
    default: break;
    }
    if (isalnum((unsigned char)c)) fail(r, "look-around, \\b, \\p and back references are not supported");
    return (uint8_t)c;
}

static bool is_class_letter(const struct reader *r) {
    return r->end - r->at >= 2 && r->at[0] == '\\' && strchr("dDwWsS", r->at[1]) != NULL && r->at[1] != '\0';
}

static uint32_t read_class_char(struct reader *r) {
    if (take(r, "\\b")) return '\b';
    if (r->end - r->at >= 2 && *r->at == '\\') return r->at++, read_escape(r);
    return utf8_next(&r->at);
}

static struct part one_of(struct reader *r, struct set *s) {
    set_normalize(s);
    struct expr *e = jtext_chars(r->b, s->at, s->count);
    return (struct part){e, e, 1, 1};
}

static struct part none_of(struct reader *r, struct set *s) {
    struct set rest;
    set_normalize(s);
    if (s->count == RANGES_MAX) return fail(r, "a class has too many characters");
    rest.count = expr_chars_invert(s->at, s->count, rest.at);
    return one_of(r, &rest);
}

static struct part read_class(struct reader *r) {
    struct set s = {0};
    bool negated = take(r, "^");
    while (r->at < r->end && *r->at != ']' && !r->b->failed) {
        if (is_class_letter(r)) {
            set_add_letter(r, &s, r->at[1]);
            r->at += 2;
            continue;
        }
        uint32_t first = read_class_char(r), last = first;
        if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
            r->at++;
            if (is_class_letter(r)) return fail(r, "the range of a class ends in a class");
            last = read_class_char(r);
        }
        if (last < first) return fail(r, "the range of a class runs backwards");
        set_add(r, &s, first, last);
    }
    if (!take(r, "]")) return fail(r, "a class has no closing bracket");
    return negated ? none_of(r, &s) : one_of(r, &s);
}

/* ---- parts ---- */

static struct part read_choice(struct reader *r);

/* Behind a parenthesis: ?: or a name. False: something that is more than a group. */
static bool skip_group_kind(struct reader *r) {
    if (!take(r, "?") || take(r, ":")) return true;
    if (!take(r, "<") || r->at == r->end || *r->at == '=' || *r->at == '!') return false;
    while (r->at < r->end && *r->at != '>') r->at++;
    return take(r, ">");
}

static struct part read_group(struct reader *r) {
    if (++r->depth > DEPTH_MAX) return fail(r, "groups are nested too deeply");
    if (!skip_group_kind(r)) return fail(r, "look-around and flags are not supported");
    struct part p = read_choice(r);
    r->depth--;
    return take(r, ")") ? p : fail(r, "a group has no closing ')'");
}

static struct part read_atom(struct reader *r) {
    static const struct expr_chars line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    struct set s = {0};
    if (take(r, "(")) return read_group(r);
    if (take(r, "[")) return read_class(r);
    if (take(r, ".")) {
        for (size_t i = 0; i < 3; i++) set_add(r, &s, line_ends[i].first, line_ends[i].last);
        return none_of(r, &s);
    }
    if (strchr("^$*+?)", *r->at))
        return fail(r, "^ and $ are supported at its ends only, and * + ? need something before");
    if (is_class_letter(r)) {
        set_add_letter(r, &s, r->at[1]);
        r->at += 2;
        return one_of(r, &s);
    }
    bool escaped = *r->at == '\\';
    if (escaped && ++r->at == r->end) return fail(r, "it ends in a backslash");
    uint32_t c = escaped ? read_escape(r) : utf8_next(&r->at);
    set_add(r, &s, c, c);
    return one_of(r, &s);
}

/* {m}, {m,} or {m,n}; anything else is text. */
static bool read_bounds(struct reader *r, uint32_t *min, uint32_t *max) {
    const char *before = r->at, *number;
    uint32_t *targets[] = {min, max};
    if (!take(r, "{")) return false;
    for (int i = 0; i < 2; i++) {
        uint32_t value = 0;
        for (number = r->at; r->at < r->end && isdigit((unsigned char)*r->at); r->at++)
            if (value <= REPEAT_MAX) value = value * 10 + (uint32_t)(*r->at - '0');
        if (number == r->at && i == 0) break;
        *targets[i] = number == r->at ? EXPR_UNBOUNDED : value;
        if (i == 0) *max = value;
        if (take(r, "}")) return true;
        if (i == 1 || !take(r, ",")) break;
    }
    r->at = before;
    return false;
}

static struct part repeat(struct reader *r, struct part p, uint32_t min, uint32_t max) {
    bool atom = p.atom == p.e;
    if (max < min) return fail(r, "a repetition's bounds run backwards");
    if (min > REPEAT_MAX || (max > REPEAT_MAX && max != EXPR_UNBOUNDED))
        return fail(r, "a repetition's bound is too large");
    return (struct part){expr_repeat(r->b, p.e, min, max), atom ? p.atom : NULL, times(p.min, min), times(p.max, max)};
}

static struct part read_repeated(struct reader *r) {
    struct part p = read_atom(r);
    while (r->at < r->end && !r->b->failed) {
        uint32_t min = 0, max = EXPR_UNBOUNDED;
        if (take(r, "+"))
            min = 1;
        else if (take(r, "?"))
            max = 1;
        else if (!take(r, "*") && !read_bounds(r, &min, &max))
            break;
        (void)take(r, "?"); /* lazy: the same texts */
        p = repeat(r, p, min, max);
    }
    return p;
}

static bool at_end_of_choice(const struct reader *r) {
    return r->at == r->end || *r->at == '|' || (*r->at == ')' && r->depth > 0);
}

static struct part read_sequence(struct reader *r) {
    struct expr_list l = {0};
    struct part whole = {0};
    while (!at_end_of_choice(r) && !r->b->failed) {
        if (r->depth == 0 && *r->at == '$' && (r->at + 1 == r->end || r->at[1] == '|')) break;
        struct part p = read_repeated(r);
        expr_list_add(r->b, &l, p.e);
        whole.atom = l.count == 1 ? p.atom : NULL;
        whole.min = add_lengths(whole.min, p.min);
        whole.max = add_lengths(whole.max, p.max);
    }
    whole.e = expr_sequence(r->b, &l);
    return whole;
}

/* An alternative of the whole pattern: without an anchor there may be anything before it, or behind it. */
static struct part read_anchored(struct reader *r) {
    static const struct expr_chars all = {0, EXPR_CHAR_MAX};
    bool from_start = r->depth > 0 || take(r, "^");
    struct part p = read_sequence(r);
    bool to_end = r->depth > 0 || take(r, "$");
    if ((from_start && to_end) || r->b->failed) return p;
    struct expr *anything = expr_repeat(r->b, jtext_chars(r->b, &all, 1), 0, EXPR_UNBOUNDED);
    if (!from_start) p.e = expr_join(r->b, 2, anything, p.e);
    if (!to_end) p.e = expr_join(r->b, 2, p.e, anything);
    return (struct part){.e = p.e, .min = p.min, .max = EXPR_UNBOUNDED};
}

static struct part read_choice(struct reader *r) {
    struct part whole = read_anchored(r);
    struct expr_list l = {0};
    expr_list_add(r->b, &l, whole.e);
    while (take(r, "|") && !r->b->failed) {
        struct part p = read_anchored(r);
        expr_list_add(r->b, &l, p.e);
        if (p.min < whole.min) whole.min = p.min;
        if (p.max > whole.max) whole.max = p.max;
        whole.atom = NULL;
    }
    whole.e = expr_choice(r->b, &l);
    return whole;
}

struct expr *pattern_read(struct expr_builder *b, const char *text, size_t len, uint32_t min, uint32_t max) {
    struct reader r = {.b = b, .at = text, .end = text + len, .whole = text, .whole_len = len};
    struct part p = read_choice(&r);
    if (!b->failed && r.at < r.end) return fail(&r, "a ')' closes no group").e;
    if (b->failed || (p.min >= min && p.max <= max)) return p.e;
    if (p.atom == NULL) return NULL;
    if (p.min > min) min = p.min;
    if (p.max < max) max = p.max;
    return min > max ? expr_never(b) : expr_repeat(b, p.atom, min, max);
}
