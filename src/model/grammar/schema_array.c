/* Arrays: first the elements that have a schema each, then those that share one; some are counted, or differ. */
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

/* ---- elements that are counted ---- */

/* Places between elements, by how many came and how many of them counted. */
struct places {
    uint32_t *rules; /* [came][counted]: what may follow */
    uint32_t came_most, counted_most;
};

enum { PLACES_MAX = 4096 };

static bool make_places(struct schema_reader *r, struct places *p, const char *keyword) {
    uint64_t count = (p->came_most + 1ull) * (p->counted_most + 1ull);
    p->rules = count <= PLACES_MAX ? arena_array(&r->b->arena, count, sizeof *p->rules) : NULL;
    if (p->rules == NULL) return schema__fail(r, ERR_LIMIT, "'%s' counts too far", keyword), false;
    for (uint64_t i = 0; i < count; i++) p->rules[i] = expr_rule_new(r->b, "elements");
    return true;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Beyond the last place all are like it. */
static uint32_t rule_at(const struct places *p, uint32_t came, uint32_t counted) {
    return p->rules[least(came, p->came_most) * (p->counted_most + 1) + least(counted, p->counted_most)];
}

/* An element, and what follows it. */
static struct expr *step(struct schema_reader *r, const struct places *p, uint32_t came, uint32_t counted,
                         struct expr *item, bool counts) {
    struct expr *behind = expr_rule(r->b, rule_at(p, came + 1, counted + counts));
    return expr_join(r->b, 2, came > 0 ? jtext_comma(r->b, item) : item, behind);
}

/* contains: so many elements at least that are valid under a schema, and so many at most (EXPR_UNBOUNDED: any). */
struct contained {
    const json_t *schema, *others; /* what those that do not count must be; NULL: they may be like the others */
    uint32_t min, max;
};

static struct expr *both_of(struct schema_reader *r, const json_t *a, const json_t *b) {
    json_t *list = json_pack("[O,O]", (json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
    const json_t *all = schema__keep(r, json_pack("{s:o}", "allOf", list));
    return all ? schema__compile_at(r, all, "contains", NULL) : expr_never(r->b);
}

static struct expr *next_contained(struct schema_reader *r, const struct elements *e, const struct contained *c,
                                   const struct places *p, uint32_t came, uint32_t counted) {
    const json_t *named = json_array_get(e->first, came), *item = named ? named : e->rest;
    struct expr_list l = {0};
    if (came >= e->min && counted >= c->min) expr_list_add(r->b, &l, expr_empty(r->b));
    if (came < e->max && (counted < c->min || c->others) && counted < c->max)
        expr_list_add(r->b, &l, step(r, p, came, counted, both_of(r, item, c->schema), true));
    struct expr *other = c->others ? both_of(r, item, c->others) : schema__compile_at(r, item, "items", NULL);
    if (came < e->max) expr_list_add(r->b, &l, step(r, p, came, counted, other, false));
    return expr_choice(r->b, &l);
}

/* The elements, some of which are counted. */
static struct expr *elements_containing(struct schema_reader *r, const struct elements *e, const struct contained *c) {
    uint32_t named = (uint32_t)json_array_size(e->first), came = e->max != EXPR_UNBOUNDED ? e->max : e->min;
    struct places p = {.came_most = came > named ? came : named, .counted_most = c->max};
    if (e->max == EXPR_UNBOUNDED && p.came_most == 0) p.came_most = 1; /* where commas are needed */
    if (c->max == EXPR_UNBOUNDED) p.counted_most = c->min;
    if (!make_places(r, &p, "contains")) return expr_never(r->b);
    for (uint32_t i = 0; i <= p.came_most; i++)
        for (uint32_t k = 0; k <= p.counted_most && !r->b->failed; k++)
            expr_rule_set(r->b, rule_at(&p, i, k), next_contained(r, e, c, &p, i, k));
    return expr_rule(r->b, rule_at(&p, 0, 0));
}

static struct contained read_contained(struct schema_reader *r, const json_t *schema) {
    struct contained c = {.schema = json_object_get(schema, "contains")};
    c.min = schema__count(r, schema, "minContains", 1);
    c.max = schema__count(r, schema, "maxContains", EXPR_UNBOUNDED);
    if (c.max == EXPR_UNBOUNDED) return c;
    c.others = json_is_true(c.schema) ? json_false() : schema__negate(r, c.schema);
    if (c.others == NULL) schema__fail(r, ERR_UNSUPPORTED, "'maxContains' beside 'contains' of this schema");
    return c;
}

/* ---- elements that differ ---- */

/* More would have more sets than are worth a rule each; beyond, the order of the values is given. */
enum { VALUES_MAX = 256, VALUES_IN_ANY_ORDER_MAX = 8 };

static json_t *values_of(struct schema_reader *r, const json_t *schema);

/* The integers within the schema's bounds; NULL: too many. */
static json_t *integers_of(struct schema_reader *r, const json_t *schema) {
    int64_t low, high;
    if (!schema__integer_range(r, schema, &low, &high) || high - low >= VALUES_MAX) return NULL;
    json_t *values = json_array();
    for (int64_t value = low; value <= high; value++) json_array_append_new(values, json_integer(value));
    return values;
}

/* What is valid by type alone; NULL: any number of values. */
static json_t *values_of_types(struct schema_reader *r, const json_t *schema) {
    unsigned types = schema__types(schema);
    if (types & (SCHEMA_OBJECT | SCHEMA_ARRAY | SCHEMA_FRACTION | SCHEMA_STRING | SCHEMA_MALFORMED)) return NULL;
    json_t *values = types & SCHEMA_INTEGER ? integers_of(r, schema) : json_array();
    if (values && (types & SCHEMA_BOOLEAN)) json_array_append_new(values, json_false());
    if (values && (types & SCHEMA_BOOLEAN)) json_array_append_new(values, json_true());
    if (values && (types & SCHEMA_NULL)) json_array_append_new(values, json_null());
    return values;
}

static json_t *values_of_alternatives(struct schema_reader *r, const json_t *alternatives) {
    json_t *values = json_array(), *alternative;
    size_t i;
    json_array_foreach(alternatives, i, alternative) {
        json_t *more = values_of(r, alternative);
        bool few = more && json_array_extend(values, more) == 0 && json_array_size(values) <= VALUES_MAX;
        json_decref(more);
        if (few) continue;
        json_decref(values);
        return NULL;
    }
    return values;
}

/* Values of which one is not another, though it may be written in another way. */
static json_t *differing(struct schema_reader *r, const json_t *given) {
    json_t *values = json_array(), *value;
    size_t i;
    json_array_foreach(given, i, value) {
        const json_t *before = schema__keep(r, json_pack("{s:O}", "enum", values));
        if (before && schema__accepts(r, before, value) != SCHEMA_NO) continue;
        json_t *longer = json_copy(values); /* `before` keeps what it had */
        json_array_append(longer, value);
        json_decref(values);
        values = longer;
    }
    return values;
}

/* All values that may be valid, some of them perhaps more than once; NULL: there are too many, or nobody knows them. */
static json_t *values_of(struct schema_reader *r, const json_t *schema) {
    const json_t *flat = schema__flatten(r, schema), *given = json_object_get(flat, "enum");
    if (!json_is_object(flat) || r->depth == SCHEMA_DEPTH_MAX) return json_is_false(flat) ? json_array() : NULL;
    if (json_is_array(given))
        return json_array_size(given) <= VALUES_MAX ? json_incref((json_t *)(uintptr_t)given) : NULL;
    static const char *const choices[] = {"anyOf", "oneOf"};
    json_t *values = json_object_get(flat, "type") ? values_of_types(r, flat) : NULL;
    r->depth++;
    for (size_t i = 0; i < 2 && values == NULL; i++)
        if (json_object_get(flat, choices[i])) values = values_of_alternatives(r, json_object_get(flat, choices[i]));
    r->depth--;
    return values;
}

/* An element that is this value, and what follows it. */
static struct expr *value_step(struct schema_reader *r, const struct elements *e, const json_t *value, bool first,
                               struct expr *behind) {
    json_t *is = (json_t *)(uintptr_t)value, *rest = (json_t *)(uintptr_t)e->rest;
    const json_t *one = schema__keep(r, json_pack("{s:[O,{s:O}]}", "allOf", rest, "const", is));
    struct expr *item = one ? schema__compile_at(r, one, "items", NULL) : expr_never(r->b);
    return expr_join(r->b, 2, first ? item : jtext_comma(r->b, item), behind);
}

/* Few values, in any order: a rule for each set of those that came. */
static struct expr *any_order(struct schema_reader *r, const struct elements *e, const json_t *values) {
    uint32_t count = (uint32_t)json_array_size(values);
    struct places p = {.came_most = (1u << count) - 1};
    if (!make_places(r, &p, "uniqueItems")) return expr_never(r->b);
    for (uint32_t set = 0; set <= p.came_most && !r->b->failed; set++) {
        struct expr_list l = {0};
        uint32_t came = (uint32_t)__builtin_popcount(set);
        if (came >= e->min) expr_list_add(r->b, &l, expr_empty(r->b));
        for (uint32_t i = 0; i < count && came < e->max; i++) {
            if (set >> i & 1) continue;
            struct expr *behind = expr_rule(r->b, rule_at(&p, set | 1u << i, 0));
            expr_list_add(r->b, &l, value_step(r, e, json_array_get(values, i), set == 0, behind));
        }
        expr_rule_set(r->b, rule_at(&p, set, 0), expr_choice(r->b, &l));
    }
    return expr_rule(r->b, rule_at(&p, 0, 0));
}

/* Values from the given one on: in their order, so that none comes twice. */
static struct expr *next_different(struct schema_reader *r, const struct elements *e, const json_t *values,
                                   const struct places *p, uint32_t value, uint32_t taken) {
    struct expr_list l = {0};
    const json_t *is = json_array_get(values, value);
    if (taken >= e->min) expr_list_add(r->b, &l, expr_empty(r->b));
    if (is == NULL || taken >= e->max) return expr_choice(r->b, &l);
    struct expr *with = value_step(r, e, is, taken == 0, expr_rule(r->b, rule_at(p, value + 1, taken + 1)));
    expr_list_add(r->b, &l, with);
    expr_list_add(r->b, &l, expr_rule(r->b, rule_at(p, value + 1, taken)));
    return expr_choice(r->b, &l);
}

static struct expr *given_order(struct schema_reader *r, const struct elements *e, const json_t *values) {
    uint32_t count = (uint32_t)json_array_size(values), enough = e->max != EXPR_UNBOUNDED ? e->max : e->min;
    struct places p = {.came_most = count, .counted_most = least(enough > 0 ? enough : 1, count)};
    if (!make_places(r, &p, "uniqueItems")) return expr_never(r->b);
    for (uint32_t i = 0; i <= count; i++)
        for (uint32_t k = 0; k <= p.counted_most && !r->b->failed; k++)
            expr_rule_set(r->b, rule_at(&p, i, k), next_different(r, e, values, &p, i, k));
    return expr_rule(r->b, rule_at(&p, 0, 0));
}

static struct expr *elements_different(struct schema_reader *r, const struct elements *e) {
    json_t *given = json_array_size(e->first) == 0 ? values_of(r, e->rest) : NULL;
    if (given == NULL)
        return schema__fail(
            r, ERR_UNSUPPORTED,
            "'uniqueItems' is supported for items of at most %d known values (enum, const, boolean, null, "
            "integer with bounds, or anyOf of these), and with maxItems 1",
            VALUES_MAX);
    json_t *values = differing(r, given);
    bool few = json_array_size(values) <= VALUES_IN_ANY_ORDER_MAX;
    struct expr *all = few ? any_order(r, e, values) : given_order(r, e, values);
    json_decref(given);
    json_decref(values);
    return all;
}

/* ---- arrays ---- */

static struct expr *inside(struct schema_reader *r, const json_t *schema, const struct elements *e) {
    bool differ = json_is_true(json_object_get(schema, "uniqueItems")) && e->max > 1;
    struct contained c = json_object_get(schema, "contains") ? read_contained(r, schema) : (struct contained){0};
    bool counts = c.schema && (c.min > 0 || c.max != EXPR_UNBOUNDED);
    if (differ && counts) return schema__fail(r, ERR_UNSUPPORTED, "'uniqueItems' beside 'contains'");
    if (differ) return elements_different(r, e);
    return counts ? elements_containing(r, e, &c) : elements_from(r, e, 0);
}

struct expr *schema__array(struct schema_reader *r, const json_t *schema) {
    enum { NAMED_MAX = 1024 };
    struct elements e = read_elements(r, schema);
    if (e.first && (!json_is_array(e.first) || json_array_size(e.first) > NAMED_MAX))
        return schema__fail(r, ERR_INVALID, "'prefixItems' must be an array of at most %d schemas", NAMED_MAX);
    if (e.min > e.max) return expr_never(r->b);
    return jtext_enclosed(r->b, "[", inside(r, schema, &e), "]");
}
