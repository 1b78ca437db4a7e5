/* Values and schemas compared: what can be said for certain. */
#include <math.h>
#include <string.h>

#include "model/grammar/schema_private.h"

static unsigned type_named(const json_t *name) {
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {{"null", SCHEMA_NULL},    {"boolean", SCHEMA_BOOLEAN}, {"object", SCHEMA_OBJECT},
                 {"array", SCHEMA_ARRAY},  {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_NUMBER},
                 {"string", SCHEMA_STRING}};
    for (size_t i = 0; json_is_string(name) && i < sizeof types / sizeof *types; i++)
        if (strcmp(json_string_value(name), types[i].name) == 0) return types[i].type;
    return SCHEMA_MALFORMED;
}

unsigned schema__types(const json_t *schema) {
    const json_t *type = json_object_get(schema, "type"), *item;
    unsigned types = 0;
    size_t i;
    if (type == NULL) return SCHEMA_ANY;
    if (!json_is_array(type)) return type_named(type);
    json_array_foreach(type, i, item) types |= type_named(item);
    return types;
}

static unsigned type_of(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return SCHEMA_OBJECT;
    case JSON_ARRAY: return SCHEMA_ARRAY;
    case JSON_STRING: return SCHEMA_STRING;
    case JSON_INTEGER: return SCHEMA_INTEGER;
    case JSON_REAL: return floor(json_real_value(value)) == json_real_value(value) ? SCHEMA_INTEGER : SCHEMA_FRACTION;
    case JSON_TRUE:
    case JSON_FALSE: return SCHEMA_BOOLEAN;
    case JSON_NULL: return SCHEMA_NULL;
    }
    return 0;
}

static size_t characters(const json_t *string) {
    size_t count = 0;
    for (const char *s = json_string_value(string); *s; s++) count += ((uint8_t)*s & 0xc0) != 0x80;
    return count;
}

/* ---- one value ---- */

static bool equal(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* `value` against an upper or lower bound, if there is one. */
static bool within(const json_t *schema, const char *keyword, double value, bool upper, bool exclusive) {
    const json_t *bound = json_object_get(schema, keyword);
    double limit = json_number_value(bound);
    if (!json_is_number(bound)) return true;
    if (exclusive && value == limit) return false;
    return upper ? value <= limit : value >= limit;
}

static bool number_fits(const json_t *schema, const json_t *value) {
    double number = json_number_value(value);
    return within(schema, "minimum", number, false, false) && within(schema, "maximum", number, true, false) &&
           within(schema, "exclusiveMinimum", number, false, true) &&
           within(schema, "exclusiveMaximum", number, true, true);
}

static bool has_any(const json_t *schema, const char *const *keywords) {
    for (; *keywords; keywords++)
        if (json_object_get(schema, *keywords)) return true;
    return false;
}

static enum schema_answer object_fits(struct schema_reader *r, const json_t *schema, const json_t *value) {
    static const char *const more[] = {"patternProperties", "propertyNames",         "minProperties",
                                       "maxProperties",     "unevaluatedProperties", "dependentRequired",
                                       "dependentSchemas",  "dependencies",          NULL};
    const json_t *properties = json_object_get(schema, "properties"), *name;
    const json_t *others = json_object_get(schema, "additionalProperties");
    enum schema_answer all = has_any(schema, more) ? SCHEMA_UNKNOWN : SCHEMA_YES;
    size_t i;
    const char *key;
    json_t *member;
    json_array_foreach(
        json_object_get(schema, "required"), i,
        name) if (!json_object_get(value, json_string_value(name) ? json_string_value(name) : "")) return SCHEMA_NO;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        const json_t *own = json_object_get(properties, key);
        if (own == NULL && json_object_get(schema, "patternProperties")) continue;
        if (own == NULL) own = others;
        enum schema_answer answer = own ? schema__accepts(r, own, member) : SCHEMA_YES;
        if (answer == SCHEMA_NO) return SCHEMA_NO;
        if (answer == SCHEMA_UNKNOWN) all = SCHEMA_UNKNOWN;
    }
    return all;
}

static enum schema_answer array_fits(struct schema_reader *r, const json_t *schema, const json_t *value) {
    static const char *const more[] = {"prefixItems", "contains", "uniqueItems", "unevaluatedItems", NULL};
    const json_t *items = json_object_get(schema, "items"), *item;
    enum schema_answer all = has_any(schema, more) || json_is_array(items) ? SCHEMA_UNKNOWN : SCHEMA_YES;
    double count = (double)json_array_size(value);
    size_t i;
    if (!within(schema, "minItems", count, false, false) || !within(schema, "maxItems", count, true, false))
        return SCHEMA_NO;
    json_array_foreach(value, i, item) {
        enum schema_answer answer = all == SCHEMA_YES && items ? schema__accepts(r, items, item) : SCHEMA_YES;
        if (answer == SCHEMA_NO) return SCHEMA_NO;
        if (answer == SCHEMA_UNKNOWN) all = SCHEMA_UNKNOWN;
    }
    return all;
}

static enum schema_answer string_fits(struct schema_reader *r, const json_t *schema, const json_t *value) {
    double count = (double)characters(value);
    if (!within(schema, "minLength", count, false, false) || !within(schema, "maxLength", count, true, false))
        return SCHEMA_NO;
    return schema__string_accepts(r, schema, value);
}

static enum schema_answer type_fits(struct schema_reader *r, const json_t *schema, const json_t *value) {
    if (json_is_object(value)) return object_fits(r, schema, value);
    if (json_is_array(value)) return array_fits(r, schema, value);
    if (json_is_string(value)) return string_fits(r, schema, value);
    if (!json_is_number(value)) return SCHEMA_YES;
    if (!number_fits(schema, value)) return SCHEMA_NO;
    return json_object_get(schema, "multipleOf") ? SCHEMA_UNKNOWN : SCHEMA_YES;
}

static enum schema_answer any_fits(struct schema_reader *r, const json_t *alternatives, const json_t *value) {
    enum schema_answer best = SCHEMA_NO;
    const json_t *item;
    size_t i;
    json_array_foreach(alternatives, i, item) {
        enum schema_answer answer = schema__accepts(r, item, value);
        if (answer == SCHEMA_YES) return answer;
        if (answer == SCHEMA_UNKNOWN) best = answer;
    }
    return best;
}

static enum schema_answer both_hold(enum schema_answer a, enum schema_answer b) {
    if (a == SCHEMA_NO || b == SCHEMA_NO) return SCHEMA_NO;
    return a == SCHEMA_YES ? b : a;
}

/* By what stands beside the keywords of a type. */
static enum schema_answer applied_fit(struct schema_reader *r, const json_t *schema, const json_t *value) {
    static const char *const more[] = {"oneOf", "if", NULL};
    const json_t *inner = json_object_get(schema, "not"), *alternatives = json_object_get(schema, "anyOf");
    enum schema_answer answer = has_any(schema, more) ? SCHEMA_UNKNOWN : SCHEMA_YES;
    if (alternatives) answer = both_hold(answer, any_fits(r, alternatives, value));
    if (inner == NULL) return answer;
    enum schema_answer refused = schema__accepts(r, inner, value);
    return both_hold(answer, refused == SCHEMA_YES ? SCHEMA_NO : refused == SCHEMA_NO ? SCHEMA_YES : SCHEMA_UNKNOWN);
}

enum schema_answer schema__accepts(struct schema_reader *r, const json_t *schema, const json_t *value) {
    const json_t *flat = schema__flatten(r, schema), *item;
    if (flat == NULL || json_is_boolean(flat)) return json_is_true(flat) ? SCHEMA_YES : SCHEMA_NO;
    if (!(schema__types(flat) & type_of(value))) return SCHEMA_NO;
    const json_t *values = json_object_get(flat, "enum");
    bool found = values == NULL;
    size_t i;
    json_array_foreach(values, i, item) found = found || equal(item, value);
    if (!found) return SCHEMA_NO;
    if (++r->merges > SCHEMA_MERGES_MAX || r->depth >= SCHEMA_DEPTH_MAX) return SCHEMA_UNKNOWN;
    r->depth++;
    enum schema_answer answer = both_hold(type_fits(r, flat, value), applied_fit(r, flat, value));
    r->depth--;
    return answer;
}

/* ---- two schemas ---- */

static bool refuses_all(struct schema_reader *r, const json_t *schema, const json_t *values) {
    const json_t *value;
    size_t i;
    json_array_foreach(values, i, value) if (schema__accepts(r, schema, value) != SCHEMA_NO) return false;
    return true;
}

/* A property that `a` must have and `b` must not, or that has different values in both. */
static bool property_differs(struct schema_reader *r, const json_t *a, const json_t *b) {
    const json_t *required = json_object_get(a, "required"), *name;
    size_t i;
    json_array_foreach(required, i, name) {
        const char *key = json_string_value(name);
        const json_t *own = key ? json_object_get(json_object_get(a, "properties"), key) : NULL;
        const json_t *other = key ? json_object_get(json_object_get(b, "properties"), key) : NULL;
        if (key == NULL || json_object_get(b, "patternProperties")) continue;
        if (other == NULL) other = json_object_get(b, "additionalProperties");
        if (json_is_false(other)) return true;
        if (own && other && schema__disjoint(r, own, other) == SCHEMA_YES) return true;
    }
    return false;
}

static bool ranges_differ(const json_t *a, const json_t *b) {
    const json_t *least = json_object_get(a, "minimum"), *most = json_object_get(b, "maximum");
    const json_t *above = json_object_get(a, "exclusiveMinimum"), *below = json_object_get(b, "exclusiveMaximum");
    double low = least ? json_number_value(least) : -INFINITY, high = most ? json_number_value(most) : INFINITY;
    bool open = false;
    if (above && json_number_value(above) >= low) low = json_number_value(above), open = true;
    if (below && json_number_value(below) <= high) high = json_number_value(below), open = true;
    return low > high || (open && low == high);
}

static bool disjoint(struct schema_reader *r, const json_t *a, const json_t *b) {
    const json_t *values_a = json_object_get(a, "enum"), *values_b = json_object_get(b, "enum");
    unsigned common = schema__types(a) & schema__types(b);
    if (json_is_false(a) || json_is_false(b)) return true;
    if (json_is_true(a) || json_is_true(b)) return false;
    if (common == 0) return true;
    if (values_a && refuses_all(r, b, values_a)) return true;
    if (values_b && refuses_all(r, a, values_b)) return true;
    if (common == SCHEMA_OBJECT) return property_differs(r, a, b) || property_differs(r, b, a);
    bool numbers = (common & ~(unsigned)SCHEMA_NUMBER) == 0;
    return numbers && (ranges_differ(a, b) || ranges_differ(b, a));
}

enum schema_answer schema__disjoint(struct schema_reader *r, const json_t *a, const json_t *b) {
    a = schema__flatten(r, a);
    b = a ? schema__flatten(r, b) : NULL;
    if (b == NULL || ++r->merges > SCHEMA_MERGES_MAX || r->depth == SCHEMA_DEPTH_MAX) return SCHEMA_UNKNOWN;
    r->depth++;
    bool apart = disjoint(r, a, b);
    r->depth--;
    return apart ? SCHEMA_YES : SCHEMA_UNKNOWN;
}
