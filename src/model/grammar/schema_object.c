/* Objects: named members in their order, then others. */
#include <string.h>

#include "model/grammar/language.h"
#include "model/grammar/pattern.h"
#include "model/grammar/schema_private.h"

enum { OTHER_NAME_DEPTH_MAX = 32 };

struct members {
    struct expr_list all;
    const char **names; /* by member */
    bool *required;
    struct expr *other; /* a member that is not named; NULL: none may come */
    uint32_t others_min, others_max;
};

static bool in_list(const json_t *list, const char *name) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

/* ---- names that are none of the known ones ---- */

static bool tells_apart(uint8_t byte) { return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\'; }

/* ASCII that stands for itself, but the first bytes of the words from `at` on. */
static struct expr *differing(struct expr_builder *b, const struct expr_word *words, size_t count, size_t at) {
    struct expr_list l = {0};
    bool taken[0x80] = {0};
    for (size_t i = 0; i < count; i++)
        if (words[i].len > at && tells_apart((uint8_t)words[i].text[at])) taken[(uint8_t)words[i].text[at]] = true;
    for (uint8_t byte = 0; byte < 0x80; byte++)
        if (tells_apart(byte) && !taken[byte]) expr_list_add(b, &l, expr_range(b, byte, byte));
    return expr_choice(b, &l);
}

/* What may follow when the sorted words have the bytes before `at` in common with the name so far. Escapes, which could
 * spell a known name in another way, come only behind the character that tells the name apart. */
static struct expr *other_from(struct expr_builder *b, const struct expr_word *words, size_t count, size_t at) {
    struct expr *anything = expr_repeat(b, jtext_any_char(b), 0, EXPR_UNBOUNDED);
    struct expr_list l = {0};
    expr_list_add(b, &l, expr_join(b, 2, differing(b, words, count, at), anything));
    if (words[0].len > at) expr_list_add(b, &l, expr_empty(b));
    for (size_t i = 0, begin; i < count && at < OTHER_NAME_DEPTH_MAX; i++) {
        if (words[i].len == at) continue;
        uint8_t byte = (uint8_t)words[i].text[at];
        for (begin = i; i + 1 < count && (uint8_t)words[i + 1].text[at] == byte;) i++;
        if (!tells_apart(byte)) continue;
        struct expr *deeper = other_from(b, words + begin, i + 1 - begin, at + 1);
        expr_list_add(b, &l, expr_join(b, 2, expr_range(b, byte, byte), deeper));
    }
    return expr_choice(b, &l);
}

static struct expr *other_name(struct schema_reader *r, const json_t *properties) {
    size_t count = 0;
    struct expr_word *words = arena_array(&r->b->arena, json_object_size(properties) + 1, sizeof *words);
    if (json_object_size(properties) == 0) return jtext_string(r->b, &r->shared);
    if (words == NULL) return expr_fail(r->b, ERR_LIMIT, "the grammar is too large");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)properties, key, value) words[count++] =
        (struct expr_word){key, strlen(key)};
    expr_words_sort(words, count);
    return jtext_quoted(r->b, other_from(r->b, words, count, 0));
}

/* ---- which members there are ---- */

static void add_member(struct schema_reader *r, struct members *m, const char *name, const json_t *value,
                       bool required) {
    struct expr *e = schema__compile_at(r, value, "properties", name);
    m->names[m->all.count] = name;
    m->required[m->all.count] = required;
    expr_list_add(r->b, &m->all, jtext_member(r->b, jtext_name(r->b, name, strlen(name)), e));
}

static void add_named(struct schema_reader *r, struct members *m, const json_t *schema, const json_t *otherwise) {
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const char *key;
    json_t *value;
    const json_t *name;
    size_t i;
    size_t most = json_object_size(properties) + json_array_size(required) + 1;
    m->required = arena_array(&r->b->arena, most, sizeof *m->required);
    m->names = arena_array(&r->b->arena, most, sizeof *m->names);
    if (m->required == NULL || m->names == NULL) expr_fail(r->b, ERR_LIMIT, "the grammar is too large");
    json_object_foreach((json_t *)(uintptr_t)properties, key, value) if (!r->b->failed)
        add_member(r, m, key, value, in_list(required, key));
    json_array_foreach(required, i, name) {
        if (!json_is_string(name)) schema__fail(r, ERR_INVALID, "'required' must be an array of names");
        if (!r->b->failed && !json_object_get(properties, json_string_value(name)))
            add_member(r, m, json_string_value(name), otherwise, true);
    }
}

/* ---- patterns of names ---- */

/* Whether the pattern is known to match none of the members that have names; *met: one that it may match. */
static bool misses_all(const struct members *m, const char *pattern, const char **met) {
    struct language l;
    struct error why;
    size_t i = 0;
    *met = m->names[0];
    int code = language_of_pattern(&l, pattern, strlen(pattern), &why);
    if (code) return code == ERR_INVALID;
    while (i < m->all.count && language_has(&l, m->names[i], strlen(m->names[i])) == LANGUAGE_HAS_NOT) i++;
    if (i < m->all.count) *met = m->names[i];
    language_deinit(&l);
    return i == m->all.count;
}

/* Members under one pattern of names, which is none of theirs who have names. */
static void add_pattern(struct schema_reader *r, struct members *m, const json_t *patterns) {
    const char *key, *met;
    json_t *value;
    if (json_object_size(patterns) != 1) {
        schema__fail(r, ERR_UNSUPPORTED, "'patternProperties' with several patterns");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)patterns, key, value) {
        struct expr *name = jtext_quoted(r->b, pattern_read(r->b, key, strlen(key), 0, EXPR_UNBOUNDED));
        m->other = jtext_member(r->b, name, schema__compile_at(r, value, "patternProperties", NULL));
        if (!r->b->failed && m->all.count > 0 && !misses_all(m, key, &met))
            schema__fail(r, ERR_UNSUPPORTED, "'patternProperties' whose pattern may match the property \"%.60s\"", met);
    }
}

/* ---- others ---- */

static void add_others(struct schema_reader *r, struct members *m, const json_t *schema, const json_t *otherwise) {
    const json_t *properties = json_object_get(schema, "properties"), *names = json_object_get(schema, "propertyNames");
    const json_t *given = json_object_get(schema, "additionalProperties");
    const json_t *patterns = json_object_get(schema, "patternProperties");
    bool open = given ? !json_is_false(given) : !json_is_false(otherwise) && m->all.count == 0;
    struct expr *name;
    if (json_object_size(patterns) > 0) {
        add_pattern(r, m, patterns);
        if (names && !json_is_true(names))
            schema__fail(r, ERR_UNSUPPORTED, "'propertyNames' beside 'patternProperties'");
        return;
    }
    if (!open) return;
    if (names == NULL || json_is_true(names)) {
        name = other_name(r, properties);
    } else if (m->all.count > 0) {
        schema__fail(r, ERR_UNSUPPORTED, "'propertyNames' beside named properties");
        return;
    } else {
        const json_t *string = schema__keep(r, json_pack("{s:[{s:s},O]}", "allOf", "type", "string", names));
        name = string ? schema__compile_at(r, string, "propertyNames", NULL) : expr_never(r->b);
    }
    m->other = jtext_member(r->b, name, schema__compile_at(r, otherwise, "additionalProperties", NULL));
}

static void count_others(struct schema_reader *r, struct members *m, const json_t *schema) {
    uint32_t min = schema__count(r, schema, "minProperties", 0), required = 0, named = (uint32_t)m->all.count;
    uint32_t max = schema__count(r, schema, "maxProperties", EXPR_UNBOUNDED);
    for (uint32_t i = 0; i < named; i++) required += m->required[i];
    m->others_min = min > required ? min - required : 0;
    m->others_max = max == EXPR_UNBOUNDED ? max : max > named ? max - named : 0;
    if (max < named && max != EXPR_UNBOUNDED)
        schema__fail(r, ERR_UNSUPPORTED, "'maxProperties' below the number of named properties");
    if (m->others_min > 0 && (named > required || m->others_min > 1))
        schema__fail(r, ERR_UNSUPPORTED,
                     "'minProperties' above the number of required properties (1 if none is named)");
}

/* ---- their text ---- */

/* The members from `i` on, behind another one, as a rule of its own, since several beginnings lead there. */
static struct expr *members_after(struct schema_reader *r, const struct members *m, size_t i, struct expr *rest) {
    struct expr *member = jtext_comma(r->b, m->all.at[i]);
    uint32_t rule = expr_rule_new(r->b, "members");
    expr_rule_set(r->b, rule, expr_join(r->b, 2, m->required[i] ? member : expr_optional(r->b, member), rest));
    return expr_rule(r->b, rule);
}

static struct expr *others(struct schema_reader *r, const struct members *m, bool first) {
    struct expr_builder *b = r->b;
    uint32_t min = m->others_min, max = m->others_max;
    if (m->other == NULL) return min > 0 ? expr_never(b) : expr_empty(b);
    if (max == 0) return expr_empty(b);
    struct expr *more = jtext_comma(b, m->other);
    if (!first) return expr_repeat(b, more, min, max);
    struct expr *tail = expr_repeat(b, more, min > 0 ? min - 1 : 0, max == EXPR_UNBOUNDED ? max : max - 1);
    struct expr *some = expr_join(b, 2, m->other, tail);
    return min > 0 ? some : expr_optional(b, some);
}

/* From the last member to the first: what may follow a member, and what may come first. */
static struct expr *members_text(struct schema_reader *r, const struct members *m) {
    struct expr *rest = others(r, m, false);
    struct expr_list firsts = {0};
    bool from_start = true; /* nothing that must come was met yet, from the end */
    for (size_t i = m->all.count; i-- > 0 && !r->b->failed;) {
        if (m->required[i]) {
            firsts.count = 0;
            from_start = false;
        }
        expr_list_add(r->b, &firsts, expr_join(r->b, 2, m->all.at[i], rest));
        rest = members_after(r, m, i, rest);
    }
    if (from_start) expr_list_add(r->b, &firsts, others(r, m, true));
    return expr_choice(r->b, &firsts);
}

struct expr *schema__object(struct schema_reader *r, const json_t *schema) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *otherwise = json_object_get(schema, "additionalProperties");
    struct members m = {0};
    if (properties && !json_is_object(properties))
        return schema__fail(r, ERR_INVALID, "'properties' must be an object");
    if (otherwise == NULL) otherwise = json_object_get(schema, "unevaluatedProperties");
    if (otherwise == NULL) otherwise = json_true();
    add_named(r, &m, schema, otherwise);
    if (!r->b->failed) add_others(r, &m, schema, otherwise);
    if (!r->b->failed) count_others(r, &m, schema);
    return jtext_enclosed(r->b, "{", members_text(r, &m), "}");
}
