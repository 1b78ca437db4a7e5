/* After jinja2/lexer.py, whose regular expressions are the definition of the language's white space rules. */
#include "model/template/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/hex.h"

struct lexer {
    struct interp *in;
    struct string source; /* newlines normalised */
    size_t at;
    bool line_starting; /* what came before ended with a newline */
    struct tokens tokens;
    char brackets[200]; /* those that are open */
    size_t open;
};

static bool looking_at(const struct lexer *l, size_t at, const char *text) {
    size_t len = strlen(text);
    return at <= l->source.len && l->source.len - at >= len && memcmp(l->source.data + at, text, len) == 0;
}

static char peek(const struct lexer *l, size_t at) { return at < l->source.len ? l->source.data[at] : '\0'; }

static size_t skip_space(const struct lexer *l, size_t at) {
    size_t len;
    while (at < l->source.len && string_is_space(string_char(&l->source, at, &len))) at += len;
    return at;
}

static struct token *add(struct lexer *l, enum token_kind kind) {
    l->tokens.items =
        interp_grow(l->in, l->tokens.items, l->tokens.count, &l->tokens.capacity, sizeof *l->tokens.items);
    struct token *t = &l->tokens.items[l->tokens.count++];
    *t = (struct token){.kind = kind, .line = l->in->line};
    interp_spend(l->in, 1);
    return t;
}

static void advance(struct lexer *l, size_t to) {
    for (; l->at < to; l->at++) l->in->line += l->source.data[l->at] == '\n';
}

/* ---- text between tags ---- */

/* End of the text that a tag at `end` leaves, after what its sign and lstrip_blocks take away. */
static size_t trimmed_end(const struct lexer *l, size_t begin, size_t end, char sign, bool print) {
    struct string text = {.data = l->source.data + begin, .len = end - begin};
    if (sign == '-') {
        struct string *kept = string_strip(l->in, &text, NULL, false, true);
        return begin + kept->len;
    }
    if (sign == '+' || print) return end;
    const char *newline = memrchr(text.data, '\n', text.len);
    if (newline == NULL && !l->line_starting) return end;
    size_t line = newline ? (size_t)(newline - l->source.data) + 1 : begin, len, at = line;
    while (at < end && string_is_space(string_char(&l->source, at, &len))) at += len;
    return at >= end ? line : end;
}

static void add_text(struct lexer *l, size_t begin, size_t end) {
    if (begin >= end) return;
    add(l, TOKEN_TEXT)->value = value_string(string_slice(l->in, &l->source, begin, end));
}

static size_t next_tag(const struct lexer *l) {
    const char *at = l->source.data + l->at, *end = l->source.data + l->source.len;
    while ((at = memchr(at, '{', (size_t)(end - at))) && at + 1 < end) {
        if (at[1] == '%' || at[1] == '{' || at[1] == '#') return (size_t)(at - l->source.data);
        at++;
    }
    return l->source.len;
}

/* Behind the end of a tag `close` ("%}") at `at`, which has `sign` before it and may swallow white space. */
static size_t after_tag(const struct lexer *l, size_t at, char sign, bool trim_newline) {
    at += 2;
    if (sign == '-') return skip_space(l, at);
    return trim_newline && sign != '+' && peek(l, at) == '\n' ? at + 1 : at;
}

static void finish_tag(struct lexer *l, size_t to) {
    advance(l, to);
    l->line_starting = to > 0 && l->source.data[to - 1] == '\n';
}

/* {# ... #} */
static void skip_comment(struct lexer *l, size_t body) {
    const char *found = body <= l->source.len ? memmem(l->source.data + body, l->source.len - body, "#}", 2) : NULL;
    if (found == NULL) interp_raise(l->in, "line %u: Missing end of comment tag", l->in->line);
    size_t at = (size_t)(found - l->source.data);
    char sign = at > body && (found[-1] == '-' || found[-1] == '+') ? found[-1] : '\0';
    finish_tag(l, after_tag(l, at, sign, true));
}

/* Is "{%" at `at` the tag `word` alone? Then where its "%}" is, and the sign before that. */
static bool is_bare_tag(const struct lexer *l, size_t at, const char *word, bool plus, size_t *close, char *sign) {
    at += 2;
    if (peek(l, at) == '-' || peek(l, at) == '+') at++;
    at = skip_space(l, at);
    if (!looking_at(l, at, word)) return false;
    at = skip_space(l, at + strlen(word));
    *sign = peek(l, at);
    if (*sign == '-' || (plus && *sign == '+'))
        at++;
    else
        *sign = '\0';
    *close = at;
    return looking_at(l, at, "%}");
}

/* {% raw %} ... {% endraw %} */
static void take_raw(struct lexer *l, size_t body) {
    l->line_starting = body > 0 && l->source.data[body - 1] == '\n';
    advance(l, body);
    for (size_t at = body; at < l->source.len; at++) {
        size_t close;
        char sign;
        if (!looking_at(l, at, "{%") || !is_bare_tag(l, at, "endraw", true, &close, &sign)) continue;
        add_text(l, body, trimmed_end(l, body, at, peek(l, at + 2), false));
        finish_tag(l, after_tag(l, close, sign, true));
        return;
    }
    interp_raise(l->in, "line %u: Missing end of raw directive", l->in->line);
}

/* ---- inside tags ---- */

static bool is_name_char(char c) { return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }

static void take_name(struct lexer *l) {
    size_t end = l->at;
    while (is_name_char(peek(l, end))) end++;
    add(l, TOKEN_NAME)->value = value_string(string_slice(l->in, &l->source, l->at, end));
    advance(l, end);
}

/* Digits with single underscores between them; where they end. */
static size_t digits(const struct lexer *l, size_t at) {
    while (isdigit((unsigned char)peek(l, at)) ||
           (peek(l, at) == '_' && isdigit((unsigned char)peek(l, at - 1)) && isdigit((unsigned char)peek(l, at + 1))))
        at++;
    return at;
}

/* Where a float that begins here ends; 0 when it is an integer. */
static size_t float_end(const struct lexer *l) {
    if (l->at > 0 && l->source.data[l->at - 1] == '.') return 0;
    size_t end = digits(l, l->at);
    bool fraction = peek(l, end) == '.' && isdigit((unsigned char)peek(l, end + 1));
    if (fraction) end = digits(l, end + 1);
    if (tolower((unsigned char)peek(l, end)) != 'e') return fraction ? end : 0;
    size_t exponent = end + 1;
    if (peek(l, exponent) == '-' || peek(l, exponent) == '+') exponent++;
    if (!isdigit((unsigned char)peek(l, exponent))) return fraction ? end : 0;
    return digits(l, exponent);
}

static void take_number(struct lexer *l) {
    char text[80];
    size_t n = 0, end = float_end(l);
    bool whole = end == 0;
    int base = 10;
    if (whole && peek(l, l->at) == '0' && peek(l, l->at + 1) && strchr("xXoObB", peek(l, l->at + 1))) {
        char mark = (char)tolower((unsigned char)peek(l, l->at + 1));
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        advance(l, l->at + 2);
        end = l->at;
        while (isxdigit((unsigned char)peek(l, end)) || peek(l, end) == '_') end++;
    } else if (whole) {
        end = digits(l, l->at);
    }
    for (size_t i = l->at; i < end && n + 1 < sizeof text; i++)
        if (l->source.data[i] != '_') text[n++] = l->source.data[i];
    text[n] = '\0';
    struct token *t = add(l, whole ? TOKEN_INTEGER : TOKEN_FLOAT);
    errno = 0;
    t->value = whole ? value_int(strtoll(text, NULL, base)) : value_float(strtod(text, NULL));
    if (whole && errno) interp_raise(l->in, "line %u: the number %s is too large", l->in->line, text);
    advance(l, end);
}

static int hex_value(struct lexer *l, size_t at, size_t count) {
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_digit(peek(l, at + i));
        if (digit < 0) interp_raise(l->in, "line %u: truncated escape in a string", l->in->line);
        value = value * 16 + digit;
        if (value > 0x10ffff) interp_raise(l->in, "line %u: illegal Unicode character", l->in->line);
    }
    return value;
}

/* An escape as Python's "unicode-escape" reads it; `at` is behind the backslash. Returns what follows. */
static size_t take_escape(struct lexer *l, struct builder *b, size_t at) {
    static const char from[] = "nrtabfv\\'\"", to[] = "\n\r\t\a\b\f\v\\'\"";
    char c = peek(l, at);
    const char *found = c ? strchr(from, c) : NULL;
    size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == '\n') return at + 1;
    if (found) {
        builder_add_bytes(b, &to[found - from], 1, false);
        return at + 1;
    }
    if (width > 0) {
        int code = hex_value(l, at + 1, width);
        if (code >= 0xd800 && code < 0xe000) interp_raise(l->in, "line %u: lone surrogate in a string", l->in->line);
        builder_add_char(b, code, false);
        return at + 1 + width;
    }
    if (c >= '0' && c <= '7') {
        int code = 0;
        size_t end = at;
        while (end < at + 3 && peek(l, end) >= '0' && peek(l, end) <= '7') code = code * 8 + (peek(l, end++) - '0');
        builder_add_char(b, code, false);
        return end;
    }
    builder_add_str(b, "\\");
    return at;
}

static void take_string(struct lexer *l) {
    char quote = peek(l, l->at);
    struct builder b = builder_new(l->in);
    size_t at = l->at + 1;
    while (at < l->source.len && l->source.data[at] != quote) {
        if (l->source.data[at] == '\\') {
            at = take_escape(l, &b, at + 1);
            continue;
        }
        size_t run = at;
        while (run < l->source.len && l->source.data[run] != quote && l->source.data[run] != '\\') run++;
        builder_add_slice(&b, &l->source, at, run);
        at = run;
    }
    if (at >= l->source.len) interp_raise(l->in, "line %u: a string does not end", l->in->line);
    add(l, TOKEN_STRING)->value = value_string(builder_string(&b));
    advance(l, at + 1);
}

static void balance(struct lexer *l, char c) {
    static const char opening[] = "([{", closing[] = ")]}";
    const char *open = strchr(opening, c), *close = strchr(closing, c);
    if (open) {
        if (l->open == sizeof l->brackets) interp_raise(l->in, "line %u: nested too deep", l->in->line);
        l->brackets[l->open++] = closing[open - opening];
    } else if (close) {
        if (l->open == 0) interp_raise(l->in, "line %u: unexpected '%c'", l->in->line, c);
        char expected = l->brackets[--l->open];
        if (expected != c) interp_raise(l->in, "line %u: unexpected '%c', expected '%c'", l->in->line, c, expected);
    }
}

static void take_operator(struct lexer *l) {
    static const char *const operators[] = {"==", "!=", ">=", "<=", "//", "**", "+", "-", "/", "*", "%", "~", "[",
                                            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!looking_at(l, l->at, operators[i])) continue;
        if (operators[i][1] == '\0') balance(l, operators[i][0]);
        memcpy(add(l, TOKEN_OPERATOR)->op, operators[i], strlen(operators[i]));
        advance(l, l->at + strlen(operators[i]));
        return;
    }
    interp_raise(l->in, "line %u: unexpected character '%.1s'", l->in->line, l->source.data + l->at);
}

/* Does the tag end here? Then behind its end, and the sign before it. */
static bool tag_ends(struct lexer *l, const char *close, size_t *after) {
    bool block = close[0] == '%';
    char sign = peek(l, l->at);
    size_t at = l->at + (sign == '-' || (block && sign == '+') ? 1 : 0);
    if (l->open > 0 || !looking_at(l, at, close)) return false;
    *after = after_tag(l, at, at > l->at ? sign : '\0', block);
    return true;
}

static void take_tag(struct lexer *l, const char *close) {
    size_t after;
    for (;;) {
        advance(l, skip_space(l, l->at));
        if (tag_ends(l, close, &after)) break;
        char c = peek(l, l->at);
        if (l->at >= l->source.len) interp_raise(l->in, "line %u: unexpected end of template", l->in->line);
        if (isdigit((unsigned char)c))
            take_number(l);
        else if (is_name_char(c))
            take_name(l);
        else if (c == '"' || c == '\'')
            take_string(l);
        else
            take_operator(l);
    }
    add(l, close[0] == '%' ? TOKEN_BLOCK_END : TOKEN_PRINT_END);
    finish_tag(l, after);
}

/* ---- the whole ---- */

/* \r\n and \r become \n, and one newline at the end goes. */
static struct string normalised(struct interp *in, const char *source, size_t len) {
    char *data = interp_alloc(in, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (source[i] == '\r' && i + 1 < len && source[i + 1] == '\n') continue;
        data[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n > 0 && data[n - 1] == '\n') n--;
    return (struct string){.data = data, .len = n};
}

struct tokens lexer_tokenize(struct interp *in, const char *source, size_t len) {
    struct lexer l = {.in = in, .source = normalised(in, source, len), .line_starting = true};
    while (l.at < l.source.len) {
        size_t tag = next_tag(&l), close;
        if (tag >= l.source.len) {
            add_text(&l, l.at, l.source.len);
            break;
        }
        char kind = peek(&l, tag + 1), sign = peek(&l, tag + 2), raw_sign;
        bool signed_ = sign == '-' || sign == '+';
        add_text(&l, l.at, trimmed_end(&l, l.at, tag, signed_ ? sign : '\0', kind == '{'));
        size_t body = tag + 2 + signed_;
        advance(&l, tag);
        if (kind == '#') {
            skip_comment(&l, body);
        } else if (kind == '%' && is_bare_tag(&l, tag, "raw", false, &close, &raw_sign)) {
            take_raw(&l, after_tag(&l, close, raw_sign, false));
        } else {
            add(&l, kind == '{' ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN);
            advance(&l, body);
            take_tag(&l, kind == '{' ? "}}" : "%}");
        }
    }
    add(&l, TOKEN_END);
    return l.tokens;
}
