/* Several schemas as one. Values that are schemas are not looked into: where both sides have one, the result holds
 * {"allOf": [both]}, which is merged when it is read. So recursion through $ref ends as it does in the schema. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "model/grammar/schema_private.h"

/* ---- references ---- */

/* One token of a JSON pointer in a URI fragment, decoded. RFC 6901, section 6. */
static void decode_token(const char *from, const char *to, char *out) {
    while (from < to) {
        char c = *from++;
        if (c == '%' && to - from >= 2 && isxdigit((unsigned char)from[0]) && isxdigit((unsigned char)from[1])) {
            char digits[3] = {from[0], from[1], '\0'};
            c = (char)strtol(digits, NULL, 16);
            from += 2;
        }
        *out++ = c;
    }
    *out = '\0';
}

static void unescape_token(char *token) {
    char *write = token;
    for (const char *read = token; *read; read++) {
        char c = *read;
        if (c == '~' && (read[1] == '0' || read[1] == '1')) c = *++read == '0' ? '~' : '/';
        *write++ = c;
    }
    *write = '\0';
}

static const json_t *step_into(const json_t *at, const char *token) {
    if (json_is_object(at)) return json_object_get(at, token);
    char *end;
    unsigned long index = strtoul(token, &end, 10);
    return json_is_array(at) && *token && *end == '\0' ? json_array_get(at, index) : NULL;
}

enum { PART_BYTES = 64 };

static bool spend_bytes(struct schema_reader *r, size_t bytes) {
    r->work += bytes;
    if (r->work > SCHEMA_WORK_MAX) schema__fail(r, ERR_LIMIT, "too many references");
    return r->work <= SCHEMA_WORK_MAX;
}

/* The part that is called so. A part with an $id is a document of its own, whose names are not looked into: *foreign
 * tells that there is one. */
static const json_t *find_anchor(struct schema_reader *r, const json_t *at, const char *name, bool *foreign,
                                 int depth) {
    const char *key, *own = json_string_value(json_object_get(at, "$anchor"));
    const char *dynamic = json_string_value(json_object_get(at, "$dynamicAnchor"));
    json_t *part;
    size_t i;
    bool called = (own && strcmp(own, name) == 0) || (dynamic && strcmp(dynamic, name) == 0);
    const json_t *found = called ? at : NULL;
    if (depth > 0 && json_is_string(json_object_get(at, "$id"))) *foreign = true;
    if (!spend_bytes(r, PART_BYTES) || *foreign || depth == SCHEMA_DEPTH_MAX) return NULL;
    json_object_foreach((json_t *)(uintptr_t)at, key, part) {
        bool values = strcmp(key, "enum") == 0 || strcmp(key, "const") == 0;
        const json_t *inside = values ? NULL : find_anchor(r, part, name, foreign, depth + 1);
        if (inside) found = inside;
    }
    json_array_foreach(at, i, part) {
        const json_t *inside = find_anchor(r, part, name, foreign, depth + 1);
        if (inside) found = inside;
    }
    return *foreign ? NULL : found;
}

/* What "#name" means, where the whole schema is one document. */
static const json_t *resolve_anchor(struct schema_reader *r, const char *reference) {
    bool foreign = false;
    if (reference[0] != '#' || reference[1] == '/' || reference[1] == '\0') return NULL;
    return find_anchor(r, r->root, reference + 1, &foreign, 0);
}

const json_t *schema__resolve(struct schema_reader *r, const char *reference) {
    const json_t *anchor = resolve_anchor(r, reference), *at = reference[0] == '#' ? r->root : NULL;
    if (anchor) return anchor;
    char *token = malloc(strlen(reference) + 1);
    const char *from = reference + 1;
    if (token == NULL) return expr_fail(r->b, ERR_NOMEM, "out of memory"), NULL;
    while (at && *from == '/') {
        const char *to = from + 1 + strcspn(from + 1, "/");
        decode_token(from + 1, to, token);
        unescape_token(token);
        at = step_into(at, token);
        from = to;
    }
    free(token);
    if (at && *from == '\0') return at;
    schema__fail(r, ERR_UNSUPPORTED, "'$ref': there is no \"%.100s\" in it (references begin with #)", reference);
    return NULL;
}

/* ---- keywords ---- */

static json_t *both(const json_t *a, const json_t *b) {
    return json_pack("{s:[O,O]}", "allOf", (json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
}

static const json_t *additional(const json_t *schema) { return json_object_get(schema, "additionalProperties"); }

/* The properties of `a`, each with what `b` says of it, into `out`. */
static void add_properties(json_t *out, const json_t *a, const json_t *b) {
    json_t *own = json_object_get(a, "properties");
    const json_t *other = json_object_get(b, "properties");
    const char *key;
    json_t *value;
    json_object_foreach(own, key, value) {
        const json_t *there = json_object_get(other, key);
        if (json_object_get(out, key)) continue;
        if (there == NULL && !json_object_get(b, "patternProperties")) there = additional(b);
        json_object_set_new(out, key, there ? both(value, there) : json_incref(value));
    }
}

static json_t *merge_properties(const json_t *a, const json_t *b) {
    json_t *out = json_object();
    add_properties(out, a, b);
    add_properties(out, b, a);
    return out;
}

static bool listed(const json_t *array, const json_t *value) {
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item) if (json_equal(item, value)) return true;
    return false;
}

/* What is in both arrays, or in either. */
static json_t *merge_lists(const json_t *a, const json_t *b, bool either) {
    json_t *out = json_array(), *item;
    size_t i;
    json_array_foreach(a, i, item) if (either || listed(b, item)) json_array_append(out, item);
    json_array_foreach(b, i, item) if (either && !listed(a, item)) json_array_append(out, item);
    return out;
}

static json_t *merge_types(const json_t *a, const json_t *b) {
    static const struct {
        unsigned type;
        const char *name;
    } names[] = {{SCHEMA_NULL, "null"},      {SCHEMA_BOOLEAN, "boolean"}, {SCHEMA_OBJECT, "object"},
                 {SCHEMA_ARRAY, "array"},    {SCHEMA_STRING, "string"},   {SCHEMA_NUMBER, "number"},
                 {SCHEMA_INTEGER, "integer"}};
    unsigned types = schema__types(a) & schema__types(b);
    json_t *out = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((types & names[i].type) == names[i].type) {
            json_array_append_new(out, json_string(names[i].name));
            types &= ~names[i].type;
        }
    return out;
}

/* Each alternative of the one with each of the other: as many hold as of both. */
static json_t *merge_choices(struct schema_reader *r, const json_t *a, const json_t *b) {
    enum { PAIRS_MAX = 1024 };
    json_t *out = json_array(), *x, *y;
    size_t i, k;
    if (json_array_size(a) * json_array_size(b) > PAIRS_MAX) {
        schema__fail(r, ERR_LIMIT, "anyOf and oneOf make more than %d combinations", PAIRS_MAX);
        return out;
    }
    json_array_foreach(a, i, x) json_array_foreach(b, k, y) json_array_append_new(out, both(x, y));
    return out;
}

static json_t *merge_bounds(const json_t *x, const json_t *y, bool larger) {
    bool take_x = (json_number_value(x) > json_number_value(y)) == larger;
    return json_incref((json_t *)(uintptr_t)(take_x ? x : y));
}

static bool has_text(const json_t *texts, const struct expr_word *text) {
    struct expr_word own;
    for (size_t at = 0; schema__next_text(texts, &at, &own);)
        if (own.len == text->len && memcmp(own.text, text->text, own.len) == 0) return true;
    return false;
}

/* The texts of both, each once. */
static json_t *merge_texts(struct schema_reader *r, const char *key, const json_t *x, const json_t *y) {
    size_t len = json_string_length(x);
    char *all = malloc(len + json_string_length(y) + 1);
    if (!json_is_string(x) || !json_is_string(y)) schema__fail(r, ERR_INVALID, "'%s' must be a string", key);
    if (all == NULL) return schema__fail(r, ERR_NOMEM, "out of memory"), NULL;
    if (len > 0) memcpy(all, json_string_value(x), len);
    struct expr_word text;
    for (size_t at = 0; schema__next_text(y, &at, &text);) {
        if (has_text(x, &text)) continue;
        all[len] = '\0';
        memcpy(all + len + 1, text.text, text.len);
        len += 1 + text.len;
    }
    json_t *out = json_stringn(all, len);
    free(all);
    r->work += len;
    return out;
}

static bool is_one_of(const char *key, const char *const *list) {
    for (; *list; list++)
        if (strcmp(key, *list) == 0) return true;
    return false;
}

/* The value of a keyword that both have, and differently. NULL: failed. */
static json_t *merge_keyword(struct schema_reader *r, const json_t *a, const json_t *b, const char *key,
                             const json_t *x, const json_t *y) {
    static const char *const larger[] = {"minimum",  "exclusiveMinimum", "minLength",
                                         "minItems", "minProperties",    "minContains", NULL};
    static const char *const smaller[] = {"maximum",  "exclusiveMaximum", "maxLength",
                                          "maxItems", "maxProperties",    "maxContains", NULL};
    static const char *const schemas[] = {"additionalProperties", "items", "propertyNames", "unevaluatedProperties",
                                          "unevaluatedItems",     NULL};
    static const char *const harmless[] = {"title",      "description", "default",     "examples",  "$comment",
                                           "deprecated", "$defs",       "definitions", "$id",       "$schema",
                                           "$anchor",    "readOnly",    "example",     "writeOnly",
                                           "$dynamicAnchor", NULL};
    if (is_one_of(key, larger)) return merge_bounds(x, y, true);
    if (is_one_of(key, smaller)) return merge_bounds(x, y, false);
    if (is_one_of(key, harmless)) return json_incref((json_t *)(uintptr_t)y);
    if (is_one_of(key, schemas) && !json_is_array(x) && !json_is_array(y)) return both(x, y);
    if (strcmp(key, "type") == 0) return merge_types(a, b);
    if (strcmp(key, "required") == 0) return merge_lists(x, y, true);
    if (strcmp(key, "enum") == 0) return merge_lists(x, y, false);
    if (strcmp(key, "anyOf") == 0 || strcmp(key, "oneOf") == 0) return merge_choices(r, x, y);
    if (strcmp(key, "not") == 0) return json_pack("{s:[O,O]}", "anyOf", (json_t *)(uintptr_t)x, (json_t *)(uintptr_t)y);
    if (strcmp(key, "pattern") == 0 || strcmp(key, "format") == 0) return merge_texts(r, key, x, y);
    if (strcmp(key, "uniqueItems") == 0) return json_boolean(json_is_true(x) || json_is_true(y));
    schema__fail(r, ERR_UNSUPPORTED, "two different '%s' for one value", key);
    return NULL;
}

/* prefixItems of one side and items of the other speak of the same elements in different ways. */
static bool arrays_fit(const json_t *a, const json_t *b) {
    bool prefix_a = json_object_get(a, "prefixItems"), prefix_b = json_object_get(b, "prefixItems");
    bool items_a = json_object_get(a, "items"), items_b = json_object_get(b, "items");
    return !(prefix_a && items_b) && !(prefix_b && items_a);
}

static bool names_members(const json_t *schema) {
    return json_object_get(schema, "properties") || json_object_get(schema, "patternProperties") || additional(schema);
}

/* Which members are additional depends on the patterns that stand beside, and is lost when schemas become one. */
static bool patterns_fit(const json_t *a, const json_t *b) {
    bool patterns = json_object_get(a, "patternProperties") || json_object_get(b, "patternProperties");
    return !patterns || !names_members(a) || !names_members(b) || !(additional(a) || additional(b));
}

/* Beside no contains its counts say nothing; beside two of them they would be each other's. */
static bool contains_fit(const json_t *a, const json_t *b) {
    static const char *const keywords[] = {"contains", "minContains", "maxContains"};
    bool same = true;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        const json_t *x = json_object_get(a, keywords[i]), *y = json_object_get(b, keywords[i]);
        same = same && (x == y || (x && y && json_equal(x, y)));
    }
    return same || !json_object_get(a, "contains") || !json_object_get(b, "contains");
}

static void drop_idle_counts(json_t *out, const json_t *from, const json_t *to) {
    if (json_object_get(from, "contains") || !json_object_get(to, "contains")) return;
    const char *const keywords[] = {"minContains", "maxContains"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        json_t *own = json_object_get(to, keywords[i]);
        if (own)
            json_object_set(out, keywords[i], own);
        else
            json_object_del(out, keywords[i]);
    }
}

/* Merging copies members; hostile schemas would make it copy many, many times. */
static bool spend(struct schema_reader *r, const json_t *a, const json_t *b) {
    enum { MEMBER_BYTES = 64 };
    size_t members = json_object_size(a) + json_object_size(b) + json_object_size(json_object_get(a, "properties")) +
                     json_object_size(json_object_get(b, "properties")) +
                     json_array_size(json_object_get(a, "enum")) * (1 + json_array_size(json_object_get(b, "enum")));
    r->work += MEMBER_BYTES * members;
    return ++r->merges <= SCHEMA_MERGES_MAX && r->work <= SCHEMA_WORK_MAX;
}

const json_t *schema__merge(struct schema_reader *r, const json_t *a, const json_t *b) {
    if (r->b->failed || !spend(r, a, b)) return schema__fail(r, ERR_LIMIT, "too many combinations of schemas"), NULL;
    if (json_is_false(a) || json_is_true(b)) return a;
    if (json_is_false(b) || json_is_true(a)) return b;
    if (!arrays_fit(a, b)) return schema__fail(r, ERR_UNSUPPORTED, "'prefixItems' and 'items' from two schemas"), NULL;
    if (!patterns_fit(a, b))
        return schema__fail(r, ERR_UNSUPPORTED, "'patternProperties' and 'additionalProperties' of two schemas"), NULL;
    if (!contains_fit(a, b)) return schema__fail(r, ERR_UNSUPPORTED, "two different 'contains' for one value"), NULL;
    json_t *out = json_copy((json_t *)(uintptr_t)a), *y;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)b, key, y) {
        const json_t *x = json_object_get(a, key);
        if (strcmp(key, "properties") == 0) continue;
        json_t *value = x && !json_equal(x, y) ? merge_keyword(r, a, b, key, x, y) : json_incref(y);
        if (value) json_object_set_new(out, key, value);
    }
    drop_idle_counts(out, a, b);
    drop_idle_counts(out, b, a);
    if (json_object_get(a, "properties") || json_object_get(b, "properties"))
        json_object_set_new(out, "properties", merge_properties(a, b));
    return schema__keep(r, out);
}

/* ---- flat schemas ---- */

/* A copy with const as enum, and without $ref and allOf. */
static const json_t *strip(struct schema_reader *r, const json_t *schema) {
    json_t *copy = json_copy((json_t *)(uintptr_t)schema);
    json_t *value = json_object_get(copy, "const"), *values = json_object_get(copy, "enum");
    if (value) {
        bool both_hold = values == NULL || listed(values, value);
        json_object_set_new(copy, "enum", both_hold ? json_pack("[O]", value) : json_array());
    }
    json_object_del(copy, "const");
    json_object_del(copy, "$ref");
    json_object_del(copy, "allOf");
    return schema__keep(r, copy);
}

bool schema__names_parts(const json_t *schema) {
    static const char *const keywords[] = {
        "properties", "additionalProperties", "patternProperties", "prefixItems", "items", "anyOf", "oneOf"};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (json_object_get(schema, keywords[i])) return true;
    return false;
}

bool schema__closes(const json_t *schema) {
    const json_t *properties = json_object_get(schema, "unevaluatedProperties");
    const json_t *items = json_object_get(schema, "unevaluatedItems");
    return (properties && !json_is_true(properties)) || (items && !json_is_true(items));
}

/* `flat` and what a part of it says; `alone`: there is nothing else to it. */
static const json_t *merge_part(struct schema_reader *r, const json_t *flat, const json_t *part, bool alone) {
    if (flat == NULL || part == NULL) return NULL;
    if (schema__closes(part) && !alone)
        return schema__fail(r, ERR_UNSUPPORTED, "'unevaluatedProperties' or 'unevaluatedItems' inside of a part"), NULL;
    return schema__merge(r, flat, part);
}

/* With $dynamicRef said by $ref, which means the same where all is one document. */
static const json_t *without_dynamic(struct schema_reader *r, const json_t *schema) {
    const json_t *given = json_object_get(schema, "$dynamicRef");
    const char *name = json_string_value(given);
    if (name == NULL || resolve_anchor(r, name) == NULL)
        return schema__fail(r, ERR_UNSUPPORTED, "'$dynamicRef': no such $dynamicAnchor, or parts have an $id"), NULL;
    json_t *copy = json_copy((json_t *)(uintptr_t)schema), *all = json_object_get(schema, "allOf");
    json_object_del(copy, "$dynamicRef");
    json_object_set_new(copy, "allOf", all ? json_copy(all) : json_array());
    json_array_append_new(json_object_get(copy, "allOf"), json_pack("{s:O}", "$ref", (json_t *)(uintptr_t)given));
    return schema__keep(r, copy);
}

const json_t *schema__flatten(struct schema_reader *r, const json_t *schema) {
    if (r->b->failed) return NULL;
    if (!json_is_object(schema) && !json_is_boolean(schema))
        return schema__fail(r, ERR_INVALID, "a schema must be an object or a boolean"), NULL;
    if (json_object_get(schema, "$dynamicRef")) schema = without_dynamic(r, schema);
    if (schema == NULL) return NULL;
    const json_t *reference = json_object_get(schema, "$ref"), *all = json_object_get(schema, "allOf"), *part;
    size_t i;
    if (!reference && !all && !json_object_get(schema, "const")) return schema;
    if (reference && !json_is_string(reference)) return schema__fail(r, ERR_INVALID, "'$ref' must be a string"), NULL;
    if (all && !json_is_array(all)) return schema__fail(r, ERR_INVALID, "'allOf' must be an array"), NULL;
    if (++r->depth > SCHEMA_DEPTH_MAX) return schema__fail(r, ERR_LIMIT, "$ref and allOf lead in a circle"), NULL;
    const json_t *flat = strip(r, schema);
    bool alone = !schema__names_parts(flat) && json_array_size(all) + (reference != NULL) == 1;
    const json_t *target = reference ? schema__resolve(r, json_string_value(reference)) : NULL;
    if (target) flat = merge_part(r, flat, schema__flatten(r, target), alone);
    json_array_foreach(all, i, part) flat = flat ? merge_part(r, flat, schema__flatten(r, part), alone) : NULL;
    r->depth--;
    return r->b->failed ? NULL : flat;
}
