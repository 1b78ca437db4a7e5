#include "model/template/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/template/builtin.h"
#include "model/template/print.h"

struct value value_iterator(struct interp *in, struct list *list, const char *type) {
    struct iterator *it = interp_alloc(in, sizeof *it);
    *it = (struct iterator){.list = list, .type = type};
    return (struct value){.kind = VALUE_ITERATOR, .iterator = it};
}

struct value *iterator_next(struct interp *in, struct iterator *it) {
    if (it->list == NULL) it->list = builtin_run_deferred(in, it->deferred);
    return it->next < it->list->count ? &it->list->items[it->next++] : NULL;
}

struct value value_undefined(struct interp *in, const char *message) {
    struct undefined *u = interp_alloc(in, sizeof *u);
    u->message = message;
    return (struct value){.kind = VALUE_UNDEFINED, .undefined = u};
}

_Noreturn void value_raise_undefined(struct interp *in, struct value v) {
    const struct undefined *u = v.undefined;
    if (u == NULL) interp_raise(in, "a value is undefined");
    if (u->message) interp_raise(in, "%s", u->message);
    if (u->element) {
        struct builder b = builder_new(in);
        value_repr(&b, *u->element);
        const struct string *s = builder_string(&b);
        interp_raise(in, "%s has no element %.*s", u->object, (int)s->len, s->data);
    }
    int len = u->name->len < 200 ? (int)u->name->len : 200;
    if (u->object) interp_raise(in, "'%s' has no attribute '%.*s'", u->object, len, u->name->data);
    interp_raise(in, "'%.*s' is undefined", len, u->name->data);
}

const char *value_type(struct value v) {
    static const char *const names[] = {
        [VALUE_UNDEFINED] = "Undefined", [VALUE_NONE] = "NoneType",
        [VALUE_BOOL] = "bool",           [VALUE_INT] = "int",
        [VALUE_FLOAT] = "float",         [VALUE_STRING] = "str",
        [VALUE_LIST] = "list",           [VALUE_TUPLE] = "tuple",
        [VALUE_DICT] = "dict",           [VALUE_RANGE] = "range",
        [VALUE_NAMESPACE] = "Namespace", [VALUE_CALLABLE] = "builtin_function_or_method",
        [VALUE_MACRO] = "Macro",         [VALUE_LOOP] = "LoopContext",
        [VALUE_CYCLER] = "Cycler",       [VALUE_JOINER] = "Joiner",
    };
    if (v.kind == VALUE_VIEW) return v.list->type;
    if (v.kind == VALUE_ITERATOR) return v.iterator->type;
    return names[v.kind];
}

double value_range_length(const struct range *r) {
    double span = (double)r->stop - (double)r->start;
    double n = ceil(span / (double)r->step);
    return n > 0 ? n : 0;
}

bool value_truth(struct interp *in, struct value v) {
    switch (v.kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return false;
    case VALUE_BOOL: return v.boolean;
    case VALUE_INT: return v.integer != 0;
    case VALUE_FLOAT: return v.number != 0;
    case VALUE_STRING: return v.string->len > 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return v.list->count > 0;
    case VALUE_DICT: return v.dict->count > 0;
    case VALUE_RANGE: return value_range_length(v.range) > 0;
    default: return true;
    }
}

bool value_as_number(struct value v, double *out) {
    if (v.kind == VALUE_FLOAT)
        *out = v.number;
    else if (v.kind == VALUE_INT)
        *out = (double)v.integer;
    else if (v.kind == VALUE_BOOL)
        *out = v.boolean;
    else
        return false;
    return true;
}

bool value_as_int(struct value v, int64_t *out) {
    if (v.kind == VALUE_INT)
        *out = v.integer;
    else if (v.kind == VALUE_BOOL)
        *out = v.boolean;
    else
        return false;
    return true;
}

static bool lists_equal(struct interp *in, const struct list *a, const struct list *b) {
    if (a->count != b->count) return false;
    interp_descend(in);
    bool equal = true;
    for (size_t i = 0; i < a->count && equal; i++) equal = value_equal(in, a->items[i], b->items[i]);
    in->depth--;
    return equal;
}

static bool dicts_equal(struct interp *in, const struct dict *a, struct dict *b) {
    if (a->count != b->count) return false;
    interp_descend(in);
    bool equal = true;
    for (size_t i = 0; i < a->count && equal; i++) {
        const struct value *other = dict_find(in, b, a->keys[i]);
        equal = other && value_equal(in, a->values[i], *other);
    }
    in->depth--;
    return equal;
}

static bool ranges_equal(const struct range *a, const struct range *b) {
    double n = value_range_length(a);
    if (n != value_range_length(b)) return false;
    return n == 0 || (a->start == b->start && (n == 1 || a->step == b->step));
}

bool value_equal(struct interp *in, struct value a, struct value b) {
    double x, y;
    int64_t i, j;
    interp_spend(in, 1);
    if (value_as_int(a, &i) && value_as_int(b, &j)) return i == j;
    if (value_as_number(a, &x) && value_as_number(b, &y)) return x == y;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return true;
    case VALUE_STRING: return string_equal(a.string, b.string);
    case VALUE_LIST:
    case VALUE_TUPLE: return lists_equal(in, a.list, b.list);
    case VALUE_VIEW: return strcmp(a.list->type, b.list->type) == 0 && lists_equal(in, a.list, b.list);
    case VALUE_DICT: return dicts_equal(in, a.dict, b.dict);
    case VALUE_RANGE: return ranges_equal(a.range, b.range);
    case VALUE_CALLABLE: return a.callable == b.callable;
    default: return a.dict == b.dict; /* the same object */
    }
}

static _Noreturn void raise_order(struct interp *in, struct value a, struct value b, const char *op) {
    if (a.kind == VALUE_UNDEFINED) value_raise_undefined(in, a);
    if (b.kind == VALUE_UNDEFINED) value_raise_undefined(in, b);
    interp_raise(in, "'%s' not supported between instances of '%s' and '%s'", op, value_type(a), value_type(b));
}

int value_compare(struct interp *in, struct value a, struct value b, const char *op) {
    double x, y;
    int64_t m, n;
    interp_spend(in, 1);
    if (value_as_int(a, &m) && value_as_int(b, &n)) return (m > n) - (m < n);
    if (value_as_number(a, &x) && value_as_number(b, &y)) return x > y ? 1 : x < y ? -1 : x == y ? 0 : VALUE_UNORDERED;
    if (a.kind == VALUE_STRING && b.kind == VALUE_STRING) return string_compare(a.string, b.string);
    if (a.kind != b.kind || (a.kind != VALUE_LIST && a.kind != VALUE_TUPLE)) raise_order(in, a, b, op);
    interp_descend(in);
    int order = 0;
    for (size_t i = 0; i < a.list->count && i < b.list->count && order == 0; i++)
        if (!value_equal(in, a.list->items[i], b.list->items[i]))
            order = value_compare(in, a.list->items[i], b.list->items[i], op);
    in->depth--;
    return order ? order : (a.list->count > b.list->count) - (a.list->count < b.list->count);
}

static bool range_contains(const struct range *r, struct value item) {
    double x;
    if (!value_as_number(item, &x)) return false;
    double steps = (x - (double)r->start) / (double)r->step;
    return steps >= 0 && steps < value_range_length(r) && steps == floor(steps);
}

bool value_contains(struct interp *in, struct value container, struct value item) {
    switch (container.kind) {
    case VALUE_STRING:
        if (item.kind != VALUE_STRING)
            interp_raise(in, "'in <string>' requires string as left operand, not %s", value_type(item));
        return string_find(in, container.string, item.string, 0) != STRING_NONE;
    case VALUE_DICT: return dict_find(in, container.dict, item) != NULL;
    case VALUE_RANGE: return range_contains(container.range, item);
    case VALUE_UNDEFINED: return false;
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW:
        for (size_t i = 0; i < container.list->count; i++)
            if (value_equal(in, container.list->items[i], item)) return true;
        return false;
    case VALUE_ITERATOR:
        for (struct value *v; (v = iterator_next(in, container.iterator));)
            if (value_equal(in, *v, item)) return true;
        return false;
    default: interp_raise(in, "argument of type '%s' is not iterable", value_type(container));
    }
}

int64_t value_length(struct interp *in, struct value v) {
    switch (v.kind) {
    case VALUE_UNDEFINED: return 0;
    case VALUE_STRING: interp_spend(in, v.string->len / 64); return (int64_t)string_chars(v.string);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return (int64_t)v.list->count;
    case VALUE_DICT: return (int64_t)v.dict->count;
    case VALUE_RANGE: return (int64_t)value_range_length(v.range);
    case VALUE_LOOP: return value_length(in, value_attribute(in, v, string_of(in, "length")));
    default: interp_raise(in, "object of type '%s' has no len()", value_type(v));
    }
}

bool value_iterable(struct value v) {
    return v.kind == VALUE_UNDEFINED || (v.kind >= VALUE_STRING && v.kind <= VALUE_ITERATOR);
}

static struct list *characters(struct interp *in, const struct string *text) {
    const struct string *s = string_marked(in, text, false); /* str.__iter__ knows of no markup */
    struct list *l = list_new(in);
    for (size_t at = 0, len; at < s->len; at += len) {
        string_char(s, at, &len);
        list_add(in, l, value_string(string_slice(in, s, at, at + len)));
    }
    return l;
}

static struct list *keys(struct interp *in, const struct dict *d) {
    struct list *l = list_new(in);
    for (size_t i = 0; i < d->count; i++) list_add(in, l, d->keys[i]);
    return l;
}

static struct list *range_items(struct interp *in, const struct range *r) {
    struct list *l = list_new(in);
    int64_t n = (int64_t)value_range_length(r);
    for (int64_t i = 0; i < n; i++) list_add(in, l, value_int(r->start + i * r->step));
    return l;
}

static struct list *rest(struct interp *in, struct iterator *it) {
    struct list *l = list_new(in);
    for (struct value *v; (v = iterator_next(in, it));) list_add(in, l, *v);
    return l;
}

struct list *value_items(struct interp *in, struct value v) {
    switch (v.kind) {
    case VALUE_UNDEFINED: return list_new(in);
    case VALUE_STRING: return characters(in, v.string);
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_VIEW: return v.list;
    case VALUE_DICT: return keys(in, v.dict);
    case VALUE_RANGE: return range_items(in, v.range);
    case VALUE_ITERATOR: return rest(in, v.iterator);
    default: interp_raise(in, "'%s' object is not iterable", value_type(v));
    }
}
