#include <string.h>

#include "model/template/scope.h"
#include "model/template/value.h"

enum { INDEX_FROM = 8 };

struct list *list_new(struct interp *in) {
    return interp_alloc(in, sizeof(struct list));
}

void list_add(struct interp *in, struct list *l, struct value v) {
    interp_spend(in, 1);
    l->items = interp_grow(in, l->items, l->count, &l->capacity, sizeof *l->items);
    l->items[l->count++] = v;
}

struct dict *dict_new(struct interp *in) {
    return interp_alloc(in, sizeof(struct dict));
}

/* FNV-1a (Fowler, Noll, Vo). Collisions only cost steps, which are bounded. */
static uint32_t hash(const struct string *s) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s->len; i++) h = (h ^ (unsigned char)s->data[i]) * 16777619u;
    return h;
}

static void index_add(struct dict *d, uint32_t position) {
    uint32_t at = hash(d->keys[position].string) & (uint32_t)(d->index_capacity - 1);
    while (d->index[at] != 0) at = (at + 1) & (uint32_t)(d->index_capacity - 1);
    d->index[at] = position + 1;
}

static void make_index(struct interp *in, struct dict *d) {
    d->index_capacity = 32;
    while (d->index_capacity < 4 * d->count) d->index_capacity *= 2;
    d->index = interp_array(in, d->index_capacity, sizeof *d->index);
    interp_spend(in, d->count);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->keys[i].kind == VALUE_STRING) index_add(d, i);
}

static size_t find_indexed(struct interp *in, struct dict *d, const struct string *key) {
    if (d->index == NULL || 2 * d->count > d->index_capacity) make_index(in, d);
    uint32_t at = hash(key) & (uint32_t)(d->index_capacity - 1);
    for (; d->index[at] != 0; at = (at + 1) & (uint32_t)(d->index_capacity - 1)) {
        interp_spend(in, 1);
        if (string_equal(d->keys[d->index[at] - 1].string, key)) return d->index[at] - 1;
    }
    return d->count;
}

static void check_hashable(struct interp *in, struct value key) {
    if (key.kind == VALUE_LIST || key.kind == VALUE_DICT) interp_raise(in, "unhashable type: '%s'", value_type(key));
    for (size_t i = 0; key.kind == VALUE_TUPLE && i < key.list->count; i++) check_hashable(in, key.list->items[i]);
}

static size_t position(struct interp *in, struct dict *d, struct value key) {
    check_hashable(in, key);
    if (key.kind == VALUE_STRING && d->count > INDEX_FROM) return find_indexed(in, d, key.string);
    size_t i = 0;
    while (i < d->count && !value_equal(in, d->keys[i], key)) i++;
    return i;
}

const struct value *dict_find(struct interp *in, struct dict *d, struct value key) {
    size_t i = position(in, d, key);
    return i < d->count ? &d->values[i] : NULL;
}

void dict_set(struct interp *in, struct dict *d, struct value key, struct value value) {
    size_t i = position(in, d, key);
    if (i == d->count) {
        size_t capacity = d->capacity;
        d->keys = interp_grow(in, d->keys, d->count, &capacity, sizeof *d->keys);
        d->values = interp_grow(in, d->values, d->count, &d->capacity, sizeof *d->values);
        d->keys[d->count++] = key;
        if (d->index && 2 * d->count <= d->index_capacity && key.kind == VALUE_STRING) index_add(d, (uint32_t)i);
    }
    d->values[i] = value;
}

struct scope *scope_new(struct interp *in, struct scope *parent) {
    struct scope *s = interp_alloc(in, sizeof *s);
    s->parent = parent;
    return s;
}

const struct value *scope_find(const struct scope *s, const struct string *name) {
    for (size_t i = 0; i < s->count; i++)
        if (s->variables[i].name == name) return &s->variables[i].value;
    return NULL;
}

void scope_set(struct interp *in, struct scope *s, const struct string *name, struct value v) {
    for (size_t i = 0; i < s->count; i++) {
        if (s->variables[i].name != name) continue;
        s->variables[i].value = v;
        return;
    }
    s->variables = interp_grow(in, s->variables, s->count, &s->capacity, sizeof *s->variables);
    s->variables[s->count++] = (struct variable){name, v};
}

const struct value *namespace_find(const struct namespace *ns, const struct string *name) {
    for (size_t i = 0; i < ns->attributes.count; i++)
        if (string_equal(ns->attributes.variables[i].name, name)) return &ns->attributes.variables[i].value;
    return NULL;
}

void namespace_set(struct interp *in, struct namespace *ns, const struct string *name, struct value v) {
    for (size_t i = 0; i < ns->attributes.count; i++)
        if (string_equal(ns->attributes.variables[i].name, name)) name = ns->attributes.variables[i].name;
    scope_set(in, &ns->attributes, name, v);
}
