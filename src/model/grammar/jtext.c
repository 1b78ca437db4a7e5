#include "model/grammar/jtext.h"

#include <stdlib.h>
#include <string.h>

enum { INTEGER_DIGITS_MAX = 16, FRACTION_DIGITS_MAX = 16, EXPONENT_DIGITS_MAX = 2 };

static struct expr *digits(struct expr_builder *b, uint32_t min, uint32_t max) {
    return expr_repeat(b, expr_range(b, '0', '9'), min, max);
}

/* The rule in `slot`; *made when its body is still to be set. */
static struct expr *shared(struct expr_builder *b, uint32_t *slot, const char *name, bool *made) {
    *made = *slot == 0;
    if (*made) *slot = expr_rule_new(b, name);
    return expr_rule(b, *slot);
}

struct expr *jtext_space(struct expr_builder *b) {
    bool made;
    struct expr *rule = shared(b, &b->space, "space", &made);
    if (!made) return rule;
    struct expr *blanks = expr_repeat(b, expr_either(b, expr_text(b, " "), expr_text(b, "\t")), 0, JSON_INDENT_MAX);
    struct expr *line = expr_join(b, 2, expr_text(b, "\n"), blanks);
    expr_rule_set(b, b->space, expr_optional(b, expr_either(b, expr_text(b, " "), line)));
    return rule;
}

/* ---- strings ---- */

/* How a character that may not stand for itself is written. */
static struct expr *escaped(struct expr_builder *b, uint32_t c) {
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *s = short_forms; *s; s += 2)
        if ((uint8_t)*s == c) return expr_bytes(b, (const char[]){'\\', s[1]}, 2);
    const char *hex = "0123456789abcdef";
    return expr_bytes(b, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

static bool stands_for_itself(uint32_t c) { return c >= 0x20 && c != '"' && c != '\\'; }

struct expr *jtext_chars(struct expr_builder *b, const struct expr_chars *set, size_t count) {
    struct expr_list l = {0};
    for (size_t i = 0; i < count; i++) {
        uint32_t first = set[i].first;
        for (uint32_t c = first; c <= set[i].last && c < 0x80; c++) {
            if (stands_for_itself(c)) continue;
            if (c > first) expr_list_add(b, &l, expr_chars(b, &(struct expr_chars){first, c - 1}, 1));
            if (c > 0) expr_list_add(b, &l, escaped(b, c));
            first = c + 1;
        }
        if (first <= set[i].last) expr_list_add(b, &l, expr_chars(b, &(struct expr_chars){first, set[i].last}, 1));
    }
    return expr_choice(b, &l);
}

static struct expr *hex_of(struct expr_builder *b, const char *allowed) {
    struct expr_list l = {0};
    for (; *allowed; allowed++) expr_list_add(b, &l, expr_range(b, (uint8_t)*allowed, (uint8_t)*allowed));
    return expr_choice(b, &l);
}

/* Four digits behind \u: no surrogate but in pairs, and not 0. */
static struct expr *unicode_escape(struct expr_builder *b) {
    struct expr *any = hex_of(b, "0123456789abcdefABCDEF"), *not_zero = hex_of(b, "123456789abcdefABCDEF");
    struct expr *d = hex_of(b, "dD"), *two = expr_repeat(b, any, 2, 2), *three = expr_repeat(b, any, 3, 3);
    struct expr_list l = {0};
    expr_list_add(b, &l, expr_join(b, 2, hex_of(b, "123456789abcefABCEF"), three));
    expr_list_add(b, &l, expr_join(b, 3, d, hex_of(b, "01234567"), two));
    expr_list_add(b, &l,
                  expr_join(b, 6, d, hex_of(b, "89abAB"), two, expr_text(b, "\\u"), d,
                            expr_join(b, 2, hex_of(b, "cdefCDEF"), two)));
    expr_list_add(b, &l, expr_join(b, 3, expr_text(b, "0"), not_zero, two));
    expr_list_add(b, &l, expr_join(b, 3, expr_text(b, "00"), not_zero, any));
    expr_list_add(b, &l, expr_join(b, 2, expr_text(b, "000"), not_zero));
    return expr_choice(b, &l);
}

struct expr *jtext_any_char(struct expr_builder *b) {
    static const struct expr_chars plain[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, EXPR_CHAR_MAX}};
    struct expr *short_form = hex_of(b, "\"\\/bfnrt");
    struct expr *unicode = expr_join(b, 2, expr_text(b, "u"), unicode_escape(b));
    return expr_either(b, expr_chars(b, plain, 3),
                       expr_join(b, 2, expr_text(b, "\\"), expr_either(b, short_form, unicode)));
}

struct expr *jtext_any_chars(struct expr_builder *b, uint32_t min, uint32_t max) {
    bool made;
    if (max == EXPR_UNBOUNDED && min == 0) return expr_repeat(b, jtext_any_char(b), min, max);
    struct expr *rule = shared(b, &b->character, "character", &made);
    if (made) expr_rule_set(b, b->character, jtext_any_char(b));
    return expr_repeat(b, rule, min, max);
}

struct expr *jtext_quoted(struct expr_builder *b, struct expr *inside) {
    return expr_join(b, 3, expr_text(b, "\""), inside, expr_text(b, "\""));
}

/* ---- what all values share ---- */

struct expr *jtext_string(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->string, "string", &made);
    if (made) expr_rule_set(b, r->string, jtext_quoted(b, expr_repeat(b, jtext_any_char(b), 0, EXPR_UNBOUNDED)));
    return rule;
}

static struct expr *whole(struct expr_builder *b) {
    struct expr *more = expr_join(b, 2, expr_range(b, '1', '9'), digits(b, 0, INTEGER_DIGITS_MAX - 1));
    return expr_join(b, 2, expr_optional(b, expr_text(b, "-")), expr_either(b, expr_text(b, "0"), more));
}

struct expr *jtext_integer(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->integer, "integer", &made);
    if (made) expr_rule_set(b, r->integer, whole(b));
    return rule;
}

struct expr *jtext_number(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->number, "number", &made);
    if (!made) return rule;
    struct expr *fraction = expr_join(b, 2, expr_text(b, "."), digits(b, 1, FRACTION_DIGITS_MAX));
    struct expr *sign = expr_optional(b, expr_either(b, expr_text(b, "-"), expr_text(b, "+")));
    struct expr *exponent =
        expr_join(b, 3, expr_either(b, expr_text(b, "e"), expr_text(b, "E")), sign, digits(b, 1, EXPONENT_DIGITS_MAX));
    expr_rule_set(b, r->number, expr_join(b, 3, whole(b), expr_optional(b, fraction), expr_optional(b, exponent)));
    return rule;
}

struct expr *jtext_comma(struct expr_builder *b, struct expr *item) {
    return expr_join(b, 3, expr_text(b, ","), jtext_space(b), item);
}

struct expr *jtext_member(struct expr_builder *b, struct expr *name, struct expr *value) {
    return expr_join(b, 4, name, expr_text(b, ":"), expr_optional(b, expr_text(b, " ")), value);
}

struct expr *jtext_enclosed(struct expr_builder *b, const char *open, struct expr *inside, const char *close) {
    return expr_join(b, 5, expr_text(b, open), jtext_space(b), inside, jtext_space(b), expr_text(b, close));
}

/* Any number of items between brackets. */
static struct expr *list_of(struct expr_builder *b, const char *open, struct expr *item, const char *close) {
    struct expr *more = expr_repeat(b, jtext_comma(b, item), 0, EXPR_UNBOUNDED);
    struct expr *full = jtext_enclosed(b, open, expr_join(b, 2, item, more), close);
    return expr_either(b, full, jtext_enclosed(b, open, expr_empty(b), close));
}

struct expr *jtext_any_object(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->object, "object", &made);
    if (made) expr_rule_set(b, r->object, list_of(b, "{", jtext_member(b, jtext_string(b, r), jtext_any(b, r)), "}"));
    return rule;
}

struct expr *jtext_any_array(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->array, "array", &made);
    if (made) expr_rule_set(b, r->array, list_of(b, "[", jtext_any(b, r), "]"));
    return rule;
}

struct expr *jtext_any(struct expr_builder *b, struct jtext_rules *r) {
    bool made;
    struct expr *rule = shared(b, &r->value, "value", &made);
    if (!made) return rule;
    struct expr_list l = {0};
    expr_list_add(b, &l, jtext_any_object(b, r));
    expr_list_add(b, &l, jtext_any_array(b, r));
    expr_list_add(b, &l, jtext_string(b, r));
    expr_list_add(b, &l, jtext_number(b, r));
    expr_list_add(b, &l, expr_text(b, "true"));
    expr_list_add(b, &l, expr_text(b, "false"));
    expr_list_add(b, &l, expr_text(b, "null"));
    expr_rule_set(b, r->value, expr_choice(b, &l));
    return rule;
}

/* ---- given values ---- */

static struct expr *dumped(struct expr_builder *b, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (text == NULL) return expr_fail(b, ERR_NOMEM, "out of memory");
    struct expr *e = expr_bytes(b, text, strlen(text));
    free(text);
    return e;
}

struct expr *jtext_name(struct expr_builder *b, const char *name, size_t len) {
    json_t *text = json_stringn(name, len);
    struct expr *e = text ? dumped(b, text) : expr_fail(b, ERR_NOMEM, "out of memory");
    json_decref(text);
    return e;
}

static struct expr *literal_object(struct expr_builder *b, const json_t *value) {
    struct expr_list l = {0};
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        struct expr *name = jtext_name(b, json_object_iter_key(at), strlen(json_object_iter_key(at)));
        struct expr *member = jtext_member(b, name, jtext_literal(b, json_object_iter_value(at)));
        expr_list_add(b, &l, l.count ? jtext_comma(b, member) : member);
    }
    return jtext_enclosed(b, "{", expr_sequence(b, &l), "}");
}

struct expr *jtext_literal(struct expr_builder *b, const json_t *value) {
    struct expr_list l = {0};
    size_t i;
    const json_t *item;
    if (json_is_object(value)) return literal_object(b, value);
    if (!json_is_array(value)) return dumped(b, value);
    json_array_foreach(value, i, item) {
        struct expr *e = jtext_literal(b, item);
        expr_list_add(b, &l, i ? jtext_comma(b, e) : e);
    }
    return jtext_enclosed(b, "[", expr_sequence(b, &l), "]");
}
