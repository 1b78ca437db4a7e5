/* Arrays: first the elements that have a schema each, then those that share one. */
#include "model/grammar/schema_private.h"

struct elements {
    const json_t *first; /* an array of schemas */
    const json_t *rest;  /* of those behind; NULL: none come, though they might */
    uint32_t min, max;
};

/* prefixItems and items, or items (an array) and additionalItems as up to 2019-09. */
static struct elements read_elements(struct schema_reader *r, const json_t *schema) {
    const json_t *items = json_object_get(schema, "items"), *prefix = json_object_get(schema, "prefixItems");
    struct elements e = {.first = prefix, .rest = items};
    if (json_is_array(items)) e = (struct elements){.first = items, .rest = json_object_get(schema, "additionalItems")};
    e.min = schema__count(r, schema, "minItems", 0);
    e.max = schema__count(r, schema, "maxItems", EXPR_UNBOUNDED);
    if (e.rest == NULL) e.rest = json_object_get(schema, "unevaluatedItems");
    if (e.rest == NULL && e.min < json_array_size(e.first) + 1 && json_array_size(e.first) > 0) e.rest = json_false();
    if (e.rest == NULL) e.rest = json_true();
    return e;
}

/* The elements from `i` on; with a comma before them unless it is the first. */
static struct expr *elements_from(struct schema_reader *r, const struct elements *e, uint32_t i) {
    struct expr_builder *b = r->b;
    uint32_t named = (uint32_t)json_array_size(e->first);
    if (i >= e->max || b->failed) return expr_empty(b);
    if (i < named) {
        struct expr *item = schema__compile_at(r, json_array_get(e->first, i), "prefixItems", NULL);
        struct expr *some = expr_join(b, 2, i > 0 ? jtext_comma(b, item) : item, elements_from(r, e, i + 1));
        return i < e->min ? some : expr_optional(b, some);
    }
    struct expr *item = schema__compile_at(r, e->rest, "items", NULL), *more = jtext_comma(b, item);
    uint32_t min = e->min > i ? e->min - i : 0, max = e->max == EXPR_UNBOUNDED ? e->max : e->max - i;
    if (i > 0) return expr_repeat(b, more, min, max);
    struct expr *tail = expr_repeat(b, more, min > 0 ? min - 1 : 0, max == EXPR_UNBOUNDED ? max : max - 1);
    struct expr *some = expr_join(b, 2, item, tail);
    return min > 0 ? some : expr_optional(b, some);
}

struct expr *schema__array(struct schema_reader *r, const json_t *schema) {
    enum { NAMED_MAX = 1024 };
    struct elements e = read_elements(r, schema);
    if (e.first && (!json_is_array(e.first) || json_array_size(e.first) > NAMED_MAX))
        return schema__fail(r, ERR_INVALID, "'prefixItems' must be an array of at most %d schemas", NAMED_MAX);
    if (e.min > e.max) return expr_never(r->b);
    if (json_is_true(json_object_get(schema, "uniqueItems")) && e.max > 1)
        return schema__fail(r, ERR_UNSUPPORTED, "'uniqueItems' is not supported (but with maxItems 1)");
    return jtext_enclosed(r->b, "[", elements_from(r, &e, 0), "]");
}
