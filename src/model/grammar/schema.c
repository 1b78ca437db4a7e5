#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/grammar/schema_private.h"

struct expr *schema__fail(struct schema_reader *r, int code, const char *format, ...) {
    char text[ERROR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return expr_fail(r->b, code, "schema%s%s: %s", r->path[0] ? " at " : "", r->path, text);
}

const json_t *schema__keep(struct schema_reader *r, json_t *schema) {
    if (schema == NULL || json_array_append_new(r->made, schema) != 0) {
        expr_fail(r->b, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return schema;
}

uint32_t schema__count(struct schema_reader *r, const json_t *schema, const char *keyword, uint32_t otherwise) {
    const json_t *value = json_object_get(schema, keyword);
    if (value == NULL) return otherwise;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || number != floor(number)) {
        schema__fail(r, ERR_INVALID, "'%s' must be a whole number, 0 or more", keyword);
        return otherwise;
    }
    return number < EXPR_UNBOUNDED ? (uint32_t)number : EXPR_UNBOUNDED - 1;
}

/* ---- choices ---- */

/* A keyword that restricts values and cannot be kept to; NULL: none. */
static const char *unsupported(const json_t *schema) {
    static const char *const of_objects[] = {"dependencies", "unevaluatedItems", "unevaluatedProperties"};
    if (json_object_get(schema, "$recursiveRef")) return "$recursiveRef";
    for (size_t i = 0; i < sizeof of_objects / sizeof *of_objects; i++)
        if (json_object_size(json_object_get(schema, of_objects[i])) > 0) return of_objects[i];
    return NULL;
}

/* Whether the schema restricts anything but by `except`. */
static bool restricts(const json_t *schema, const char *except) {
    static const char *const keywords[] = {"type",
                                           "enum",
                                           "const",
                                           "properties",
                                           "required",
                                           "additionalProperties",
                                           "patternProperties",
                                           "propertyNames",
                                           "minProperties",
                                           "maxProperties",
                                           "items",
                                           "prefixItems",
                                           "additionalItems",
                                           "minItems",
                                           "maxItems",
                                           "uniqueItems",
                                           "anyOf",
                                           "oneOf",
                                           "allOf",
                                           "$ref",
                                           "$dynamicRef",
                                           "pattern",
                                           "format",
                                           "minLength",
                                           "maxLength",
                                           "minimum",
                                           "maximum",
                                           "exclusiveMinimum",
                                           "exclusiveMaximum",
                                           "multipleOf",
                                           "not",
                                           "if",
                                           "contains",
                                           "dependentRequired",
                                           "dependentSchemas",
                                           "dependencies",
                                           "unevaluatedItems",
                                           "unevaluatedProperties"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i], except) != 0 && json_object_get(schema, keywords[i])) return true;
    return false;
}

static const json_t *without(struct schema_reader *r, const json_t *schema, const char *keyword) {
    json_t *copy = json_copy((json_t *)(uintptr_t)schema);
    json_object_del(copy, keyword);
    return schema__keep(r, copy);
}

/* An alternative of a oneOf, less those others that might hold with it; as it was given if there are none. */
static const json_t *less_others(struct schema_reader *r, const json_t *list, const json_t *const *flat, size_t i,
                                 const json_t *given) {
    size_t count = json_array_size(list);
    json_t *all = json_pack("[O]", (json_t *)(uintptr_t)flat[i]);
    for (size_t j = 0; j < count && !r->b->failed; j++) {
        if (j == i || schema__disjoint(r, flat[i], flat[j]) == SCHEMA_YES) continue;
        const json_t *other = schema__negate(r, json_array_get(list, j));
        if (other)
            json_array_append(all, (json_t *)(uintptr_t)other);
        else if (json_is_true(flat[j]) || !restricts(flat[j], ""))
            json_array_append_new(all, json_false());
        else
            schema__fail(r, ERR_UNSUPPORTED,
                         "oneOf/%zu and oneOf/%zu might both hold: let them differ in their type or in a required "
                         "property's const, or use anyOf",
                         i, j);
    }
    bool whole = json_array_size(all) == 1;
    if (!whole && schema__closes(flat[i]))
        schema__fail(r, ERR_UNSUPPORTED, "'unevaluated...' beside a oneOf whose alternatives overlap");
    const json_t *made = schema__keep(r, json_pack("{s:o}", "allOf", all));
    return whole ? given : made;
}

/* anyOf or oneOf, each alternative together with what stands beside. */
static struct expr *choice(struct schema_reader *r, const json_t *schema, const char *keyword) {
    enum { ALTERNATIVES_MAX = 256 };
    const json_t *list = json_object_get(schema, keyword), *flat[ALTERNATIVES_MAX];
    size_t count = json_array_size(list);
    bool alone = !restricts(schema, keyword), one = strcmp(keyword, "oneOf") == 0;
    struct expr_list l = {0};
    if (count == 0 || count > ALTERNATIVES_MAX)
        return schema__fail(r, ERR_INVALID, "'%s' must be an array of 1 to %d schemas", keyword, ALTERNATIVES_MAX);
    const json_t *rest = without(r, schema, keyword);
    for (size_t i = 0; i < count && !r->b->failed; i++) {
        flat[i] = schema__flatten(r, json_array_get(list, i));
        if (!alone && flat[i] && schema__closes(flat[i]) && schema__names_parts(rest))
            schema__fail(r, ERR_UNSUPPORTED, "'unevaluatedProperties' or 'unevaluatedItems' in '%s'", keyword);
        if (!alone && !r->b->failed) flat[i] = schema__merge(r, rest, flat[i]);
    }
    for (size_t i = 0; i < count && !r->b->failed; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        const json_t *compiled = alone ? json_array_get(list, i) : flat[i];
        if (one) compiled = less_others(r, list, flat, i, compiled);
        if (compiled) expr_list_add(r->b, &l, schema__compile_at(r, compiled, keyword, key));
    }
    return expr_choice(r->b, &l);
}

static struct expr *given_values(struct schema_reader *r, const json_t *schema, const json_t *values) {
    const json_t *rest = without(r, schema, "enum"), *value;
    struct expr_list l = {0};
    size_t i, count = 0;
    struct expr_word *words = arena_array(&r->b->arena, json_array_size(values) + 1, sizeof *words);
    if (words == NULL) return expr_fail(r->b, ERR_LIMIT, "the grammar is too large");
    json_array_foreach(values, i, value) {
        enum schema_answer answer = r->b->failed ? SCHEMA_NO : schema__accepts(r, rest, value);
        if (answer == SCHEMA_NO) continue;
        if (answer == SCHEMA_UNKNOWN)
            return schema__fail(r, ERR_UNSUPPORTED,
                                "enum or const beside keywords that its values cannot be checked by");
        if (json_is_object(value) || json_is_array(value)) {
            expr_list_add(r->b, &l, jtext_literal(r->b, value));
            continue;
        }
        const struct expr *e = jtext_literal(r->b, value);
        words[count++] = (struct expr_word){(const char *)e->bytes, e->count};
    }
    expr_list_add(r->b, &l, expr_words(r->b, words, count));
    return expr_choice(r->b, &l);
}

/* ---- types ---- */

/* Of a schema without a type: what its keywords are about, if it is one. */
static unsigned implied_types(const json_t *schema) {
    static const struct {
        const char *keyword;
        unsigned type;
    } about[] = {{"properties", SCHEMA_OBJECT},
                 {"required", SCHEMA_OBJECT},
                 {"additionalProperties", SCHEMA_OBJECT},
                 {"patternProperties", SCHEMA_OBJECT},
                 {"propertyNames", SCHEMA_OBJECT},
                 {"minProperties", SCHEMA_OBJECT},
                 {"maxProperties", SCHEMA_OBJECT},
                 {"items", SCHEMA_ARRAY},
                 {"prefixItems", SCHEMA_ARRAY},
                 {"minItems", SCHEMA_ARRAY},
                 {"maxItems", SCHEMA_ARRAY},
                 {"uniqueItems", SCHEMA_ARRAY},
                 {"contains", SCHEMA_ARRAY},
                 {"pattern", SCHEMA_STRING},
                 {"format", SCHEMA_STRING},
                 {"minLength", SCHEMA_STRING},
                 {"maxLength", SCHEMA_STRING},
                 {"minimum", SCHEMA_NUMBER},
                 {"maximum", SCHEMA_NUMBER},
                 {"exclusiveMinimum", SCHEMA_NUMBER},
                 {"exclusiveMaximum", SCHEMA_NUMBER},
                 {"multipleOf", SCHEMA_NUMBER}};
    unsigned types = 0;
    for (size_t i = 0; i < sizeof about / sizeof *about; i++)
        if (json_object_get(schema, about[i].keyword)) types |= about[i].type;
    return types ? types : SCHEMA_ANY;
}

static struct expr *typed(struct schema_reader *r, const json_t *schema) {
    unsigned types = schema__types(schema);
    struct expr_list l = {0};
    if (types & SCHEMA_MALFORMED)
        return schema__fail(r, ERR_INVALID, "'type' must be one of JSON's types or an array of some");
    if (json_object_get(schema, "type") == NULL) types = implied_types(schema);
    if (types == SCHEMA_ANY && !restricts(schema, "type")) return jtext_any(r->b, &r->shared);
    if (types & SCHEMA_OBJECT) expr_list_add(r->b, &l, schema__object(r, schema));
    if (types & SCHEMA_ARRAY) expr_list_add(r->b, &l, schema__array(r, schema));
    if (types & SCHEMA_STRING) expr_list_add(r->b, &l, schema__string(r, schema));
    if (types & SCHEMA_NUMBER) expr_list_add(r->b, &l, schema__number(r, schema, (types & SCHEMA_FRACTION) == 0));
    if (types & SCHEMA_BOOLEAN)
        expr_list_add(r->b, &l, expr_either(r->b, expr_text(r->b, "true"), expr_text(r->b, "false")));
    if (types & SCHEMA_NULL) expr_list_add(r->b, &l, expr_text(r->b, "null"));
    return expr_choice(r->b, &l);
}

static struct expr *build(struct schema_reader *r, const json_t *schema) {
    const json_t *reference = json_object_get(schema, "$ref");
    if (reference && !restricts(schema, "$ref")) {
        const json_t *target = json_is_string(reference) ? schema__resolve(r, json_string_value(reference)) : NULL;
        if (target) return schema__compile(r, target);
        return schema__fail(r, ERR_INVALID, "'$ref' must be a string");
    }
    schema = schema__flatten(r, schema);
    const json_t *values = json_object_get(schema, "enum");
    if (values && !json_is_array(values)) return schema__fail(r, ERR_INVALID, "'enum' must be an array");
    if (values && !json_object_get(schema, "oneOf") && !json_object_get(schema, "if"))
        return given_values(r, schema, values);
    if (json_is_object(schema)) schema = schema__rewrite(r, schema);
    if (r->b->failed || json_is_false(schema)) return expr_never(r->b);
    if (!json_is_object(schema)) return jtext_any(r->b, &r->shared);
    const char *keyword = unsupported(schema);
    if (keyword) return schema__fail(r, ERR_UNSUPPORTED, "'%s' is not supported", keyword);
    if (json_object_get(schema, "anyOf")) return choice(r, schema, "anyOf");
    if (json_object_get(schema, "oneOf")) return choice(r, schema, "oneOf");
    values = json_object_get(schema, "enum");
    return values ? given_values(r, schema, values) : typed(r, schema);
}

/* ---- rules ---- */

struct expr *schema__compile(struct schema_reader *r, const json_t *schema) {
    if (r->b->failed) return expr_never(r->b);
    if (json_is_true(schema)) return jtext_any(r->b, &r->shared);
    if (json_is_false(schema)) return expr_never(r->b);
    if (!json_is_object(schema)) return schema__fail(r, ERR_INVALID, "a schema must be an object or a boolean");
    if (r->depth == SCHEMA_DEPTH_MAX)
        return schema__fail(r, ERR_LIMIT, "it is nested deeper than %d", SCHEMA_DEPTH_MAX);
    char *text = json_dumps(schema, JSON_COMPACT);
    char *key = text ? arena_copy(&r->b->arena, text, strlen(text)) : NULL;
    free(text);
    if (key == NULL || (r->work += strlen(key)) > SCHEMA_WORK_MAX)
        return expr_fail(r->b, ERR_LIMIT, "the schema is too large");
    uint64_t rule;
    if (map_get(&r->rules, key, strlen(key), &rule)) return expr_rule(r->b, (uint32_t)rule);
    rule = expr_rule_new(r->b, key);
    if (map_set(&r->rules, key, strlen(key), rule) != 0) return expr_fail(r->b, ERR_NOMEM, "out of memory");
    r->depth++;
    struct expr *body = build(r, schema);
    r->depth--;
    expr_rule_set(r->b, (uint32_t)rule, body);
    return expr_rule(r->b, (uint32_t)rule);
}

struct expr *schema__compile_at(struct schema_reader *r, const json_t *schema, const char *keyword, const char *key) {
    size_t before = strlen(r->path);
    snprintf(r->path + before, sizeof r->path - before, "/%s%s%s", keyword, key ? "/" : "", key ? key : "");
    struct expr *e = schema__compile(r, schema);
    r->path[before] = '\0';
    return e;
}

struct expr *schema_read_part(struct expr_builder *b, const json_t *root, const json_t *schema) {
    struct schema_reader r = {.b = b, .root = root, .made = json_array()};
    struct expr *e = r.made ? schema__compile(&r, schema) : expr_fail(b, ERR_NOMEM, "out of memory");
    json_decref(r.made);
    map_deinit(&r.rules);
    return e;
}

struct expr *schema_read(struct expr_builder *b, const char *text, size_t len) {
    json_error_t why;
    json_t *schema = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (schema == NULL)
        return expr_fail(b, ERR_INVALID, "the schema is not valid JSON: %s (line %d)", why.text, why.line);
    struct expr *e = schema_read_part(b, schema, schema);
    json_decref(schema);
    return e;
}
