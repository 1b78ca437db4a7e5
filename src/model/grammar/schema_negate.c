/* Schemas that say what others are not: `not`, the alternatives of `oneOf` that overlap, if-then-else, dependencies.
 *
 * What is not valid under a schema breaks one of its keywords, so it is any of those keywords' opposites. An opposite
 * that cannot be said is left out: the rest is still no more than what is not valid. */
#include <string.h>

#include "model/grammar/schema_private.h"

static json_t *schema_ref(const json_t *value) { return json_incref((json_t *)(uintptr_t)value); }

static void add_types(json_t *out, unsigned types) {
    static const struct {
        unsigned type;
        const char *name;
    } names[] = {{SCHEMA_NULL, "null"},   {SCHEMA_BOOLEAN, "boolean"}, {SCHEMA_OBJECT, "object"},
                 {SCHEMA_ARRAY, "array"}, {SCHEMA_STRING, "string"},   {SCHEMA_NUMBER, "number"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((types & names[i].type) == names[i].type) json_array_append_new(list, json_string(names[i].name));
    json_array_append_new(out, json_pack("{s:o}", "type", list));
}

/* Bounds: `keyword` holds for one type, and what breaks it is the opposite one. */
static void add_bounds(json_t *out, const json_t *schema) {
    static const struct {
        const char *keyword, *opposite, *type;
        int step; /* added to a count */
    } bounds[] = {{"minimum", "exclusiveMaximum", "number", 0}, {"maximum", "exclusiveMinimum", "number", 0},
                  {"exclusiveMinimum", "maximum", "number", 0}, {"exclusiveMaximum", "minimum", "number", 0},
                  {"minLength", "maxLength", "string", -1},     {"maxLength", "minLength", "string", 1},
                  {"minItems", "maxItems", "array", -1},        {"maxItems", "minItems", "array", 1}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const json_t *value = json_object_get(schema, bounds[i].keyword);
        double count = json_number_value(value) + bounds[i].step;
        if (!json_is_number(value) || (bounds[i].step && count < 0)) continue;
        json_t *opposite = bounds[i].step ? json_integer((json_int_t)count) : schema_ref(value);
        json_array_append_new(out, json_pack("{s:s, s:o}", "type", bounds[i].type, bounds[i].opposite, opposite));
    }
}

static void add_members(struct schema_reader *r, json_t *out, const json_t *schema) {
    const json_t *name;
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(schema, "required"), i, name) if (json_is_string(name)) json_array_append_new(
        out, json_pack("{s:s, s:{s:b}}", "type", "object", "properties", json_string_value(name), 0));
    json_object_foreach(json_object_get(schema, "properties"), key, value) {
        const json_t *other = schema__negate(r, value);
        if (other)
            json_array_append_new(out, json_pack("{s:s, s:[s], s:{s:O}}", "type", "object", "required", key,
                                                 "properties", key, (json_t *)(uintptr_t)other));
    }
}

/* What breaks all alternatives; NULL: it cannot be said. */
static json_t *none_of(struct schema_reader *r, const json_t *alternatives) {
    json_t *all = json_array();
    const json_t *item;
    size_t i;
    json_array_foreach(alternatives, i, item) {
        const json_t *other = schema__negate(r, item);
        if (other == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_append_new(all, schema_ref(other));
    }
    return json_pack("{s:o}", "allOf", all);
}

static unsigned value_types(const json_t *values) {
    static const unsigned types[] = {
        [JSON_OBJECT] = SCHEMA_OBJECT,  [JSON_ARRAY] = SCHEMA_ARRAY, [JSON_STRING] = SCHEMA_STRING,
        [JSON_INTEGER] = SCHEMA_NUMBER, [JSON_REAL] = SCHEMA_NUMBER, [JSON_TRUE] = SCHEMA_BOOLEAN,
        [JSON_FALSE] = SCHEMA_BOOLEAN,  [JSON_NULL] = SCHEMA_NULL};
    unsigned all = 0;
    const json_t *value;
    size_t i;
    json_array_foreach(values, i, value) all |= types[json_typeof(value)];
    return all;
}

static void add_opposites(struct schema_reader *r, json_t *out, const json_t *schema) {
    const json_t *values = json_object_get(schema, "enum"), *inner = json_object_get(schema, "not");
    const json_t *items = json_object_get(schema, "items"), *other = NULL;
    if (json_object_get(schema, "type")) add_types(out, SCHEMA_ANY & ~schema__types(schema));
    if (json_is_array(values)) add_types(out, SCHEMA_ANY & ~value_types(values));
    add_bounds(out, schema);
    add_members(r, out, schema);
    if (inner) json_array_append_new(out, schema_ref(inner));
    if (items && !json_is_array(items) && !json_object_get(schema, "prefixItems")) other = schema__negate(r, items);
    if (other)
        json_array_append_new(
            out, json_pack("{s:s, s:i, s:O}", "type", "array", "minItems", 1, "items", (json_t *)(uintptr_t)other));
    static const char *const choices[] = {"anyOf", "oneOf"};
    for (size_t i = 0; i < 2; i++) {
        json_t *none = json_object_get(schema, choices[i]) ? none_of(r, json_object_get(schema, choices[i])) : NULL;
        if (none) json_array_append_new(out, none);
    }
}

const json_t *schema__negate(struct schema_reader *r, const json_t *schema) {
    if (r->depth >= SCHEMA_DEPTH_MAX || ++r->merges > SCHEMA_MERGES_MAX) return NULL;
    r->depth++;
    const json_t *flat = schema__flatten(r, schema), *result = NULL;
    json_t *alternatives = json_array();
    if (json_is_object(flat)) add_opposites(r, alternatives, flat);
    if (json_is_false(flat))
        result = json_true();
    else if (json_array_size(alternatives) > 0)
        result = schema__keep(r, json_pack("{s:O}", "anyOf", alternatives));
    json_decref(alternatives);
    r->depth--;
    return result;
}

/* ---- keywords that are written as others ---- */

static json_t *lacks(const char *name) { return json_pack("{s:{s:b}}", "properties", name, 0); }

static void add_not(struct schema_reader *r, json_t *all, const json_t *schema) {
    const json_t *inner = json_object_get(schema, "not"), *other = inner ? schema__negate(r, inner) : NULL;
    if (other)
        json_array_append_new(all, schema_ref(other));
    else if (inner)
        schema__fail(r, ERR_UNSUPPORTED, "'not' of this schema is not supported");
}

static void add_if(struct schema_reader *r, json_t *all, const json_t *schema) {
    const json_t *condition = json_object_get(schema, "if"), *then = json_object_get(schema, "then");
    const json_t *otherwise = json_object_get(schema, "else");
    if (condition == NULL || (then == NULL && otherwise == NULL)) return;
    const json_t *negated = schema__negate(r, condition);
    json_t *cases = json_array();
    json_array_append_new(cases, json_pack("{s:[O,O]}", "allOf", (json_t *)(uintptr_t)condition,
                                           then ? (json_t *)(uintptr_t)then : json_true()));
    if (negated)
        json_array_append_new(cases, json_pack("{s:[O,O]}", "allOf", (json_t *)(uintptr_t)negated,
                                               otherwise ? (json_t *)(uintptr_t)otherwise : json_true()));
    json_array_append_new(all, json_pack("{s:o}", "anyOf", cases));
}

static void add_dependencies(json_t *all, const json_t *schema) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(schema, "dependentRequired"), key, value)
        json_array_append_new(all, json_pack("{s:[o,{s:O}]}", "anyOf", lacks(key), "required", value));
    json_object_foreach(json_object_get(schema, "dependentSchemas"), key, value)
        json_array_append_new(all, json_pack("{s:[o,{s:[{s:s,s:[s]},O]}]}", "anyOf", lacks(key), "allOf", "type",
                                             "object", "required", key, value));
}

const json_t *schema__rewrite(struct schema_reader *r, const json_t *schema) {
    static const char *const written[] = {"not", "if", "then", "else", "dependentRequired", "dependentSchemas"};
    json_t *all = json_array();
    add_not(r, all, schema);
    add_if(r, all, schema);
    add_dependencies(all, schema);
    if (json_array_size(all) == 0 || r->b->failed) {
        json_decref(all);
        return schema;
    }
    if (schema__closes(schema)) schema__fail(r, ERR_UNSUPPORTED, "'unevaluated...' beside not, if or dependencies");
    json_t *rest = json_copy((json_t *)(uintptr_t)schema);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) json_object_del(rest, written[i]);
    json_object_set_new(rest, "allOf", all);
    return schema__flatten(r, schema__keep(r, rest));
}
