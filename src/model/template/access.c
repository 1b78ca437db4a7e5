/* object.name, object[key], object[a:b:c] */
#include "model/template/builtin.h"
#include "model/template/eval.h"
#include "model/template/scope.h"
#include "model/template/value.h"

/* As Jinja names it in messages. */
static const char *object_name(struct value v) {
    static const char *const names[] = {
        [VALUE_NONE] = "None",
        [VALUE_BOOL] = "bool object",
        [VALUE_INT] = "int object",
        [VALUE_FLOAT] = "float object",
        [VALUE_STRING] = "str object",
        [VALUE_LIST] = "list object",
        [VALUE_TUPLE] = "tuple object",
        [VALUE_DICT] = "dict object",
        [VALUE_RANGE] = "range object",
        [VALUE_ITERATOR] = "generator object",
        [VALUE_NAMESPACE] = "jinja2.utils.Namespace object",
        [VALUE_MACRO] = "jinja2.runtime.Macro object",
        [VALUE_LOOP] = "jinja2.runtime.LoopContext object",
    };
    bool known = v.kind < sizeof names / sizeof *names && names[v.kind];
    return known ? names[v.kind] : value_type(v);
}

static struct value missing(struct interp *in, struct value object, const struct string *name,
                            const struct value *element) {
    struct undefined *u = interp_alloc(in, sizeof *u);
    *u = (struct undefined){.name = name, .object = object_name(object), .element = element};
    return (struct value){.kind = VALUE_UNDEFINED, .undefined = u};
}

static struct value forbidden(struct interp *in, struct value object, const struct string *name) {
    struct builder b = builder_new(in);
    builder_printf(&b, "access to attribute '%.*s' of '%s' object is unsafe.", (int)name->len, name->data,
                   value_type(object));
    builder_add_bytes(&b, "", 1, false);
    return value_undefined(in, builder_string(&b)->data);
}

static struct value macro_attribute(struct interp *in, const struct macro *m, const struct string *name) {
    const struct parameters *p = m->node->parameters;
    if (string_is(name, "name")) return m->node->name ? value_string(m->node->name) : value_none();
    if (string_is(name, "caller")) return value_bool(p->uses_caller);
    if (string_is(name, "catch_kwargs")) return value_bool(p->uses_kwargs);
    if (string_is(name, "catch_varargs")) return value_bool(p->uses_varargs);
    if (!string_is(name, "arguments")) return (struct value){.kind = VALUE_ABSENT};
    struct list *l = list_new(in);
    for (size_t i = 0; i < p->count; i++) list_add(in, l, value_string(p->names[i]));
    return value_tuple(l);
}

/* What Python's getattr finds; ABSENT when nothing. */
static struct value own_attribute(struct interp *in, struct value object, const struct string *name) {
    struct value found = {.kind = VALUE_ABSENT};
    if (object.kind == VALUE_NAMESPACE) {
        const struct value *v = namespace_find(object.namespace, name);
        return v ? *v : found;
    }
    if (object.kind == VALUE_LOOP) found = loop_attribute(in, object.loop, name);
    if (object.kind == VALUE_MACRO) found = macro_attribute(in, object.macro, name);
    if (object.kind == VALUE_CYCLER && string_is(name, "current"))
        return object.cycler->list->items[object.cycler->at % object.cycler->list->count];
    if (object.kind == VALUE_RANGE && string_is(name, "start")) return value_int(object.range->start);
    if (object.kind == VALUE_RANGE && string_is(name, "stop")) return value_int(object.range->stop);
    if (object.kind == VALUE_RANGE && string_is(name, "step")) return value_int(object.range->step);
    if (object.kind == VALUE_TUPLE && object.list->type && string_is(name, "grouper")) return object.list->items[0];
    if (object.kind == VALUE_TUPLE && object.list->type && string_is(name, "list")) return object.list->items[1];
    if (value_given(found)) return found;
    const struct builtin *method = builtin_method(object, name);
    if (method == NULL) return found;
    if (method->run == NULL) return forbidden(in, object, name);
    struct callable *c = interp_alloc(in, sizeof *c);
    *c = (struct callable){method, object};
    return (struct value){.kind = VALUE_CALLABLE, .callable = c};
}

struct value value_attribute(struct interp *in, struct value object, const struct string *name) {
    if (object.kind == VALUE_UNDEFINED) value_raise_undefined(in, object);
    struct value found = own_attribute(in, object, name);
    if (value_given(found)) return found;
    if (object.kind == VALUE_DICT) {
        const struct value *v = dict_find(in, object.dict, value_string(name));
        if (v) return *v;
    }
    return missing(in, object, name, NULL);
}

/* The item at a position that may count from the end; ABSENT when there is none. */
static struct value at_position(struct interp *in, struct value object, int64_t at) {
    struct value absent = {.kind = VALUE_ABSENT};
    int64_t n = value_length(in, object);
    if (at < 0) at += n;
    if (at < 0 || at >= n) return absent;
    if (object.kind == VALUE_RANGE) return value_int(object.range->start + at * object.range->step);
    if (object.kind != VALUE_STRING) return object.list->items[at];
    size_t begin = string_offset(object.string, (size_t)at), len;
    interp_spend(in, begin / 16);
    string_char(object.string, begin, &len);
    return value_string(string_slice(in, object.string, begin, begin + len));
}

static struct value *boxed(struct interp *in, struct value v) {
    struct value *box = interp_alloc(in, sizeof *box);
    *box = v;
    return box;
}

struct value value_item(struct interp *in, struct value object, struct value key) {
    int64_t at;
    if (object.kind == VALUE_UNDEFINED) value_raise_undefined(in, object);
    if (object.kind == VALUE_DICT && key.kind != VALUE_LIST && key.kind != VALUE_DICT) {
        const struct value *v = dict_find(in, object.dict, key);
        if (v) return *v;
    }
    bool indexed = object.kind == VALUE_STRING || object.kind == VALUE_LIST || object.kind == VALUE_TUPLE ||
                   object.kind == VALUE_RANGE;
    if (indexed && value_as_int(key, &at)) {
        struct value v = at_position(in, object, at);
        return value_given(v) ? v : missing(in, object, NULL, boxed(in, key));
    }
    if (key.kind != VALUE_STRING) return missing(in, object, NULL, boxed(in, key));
    struct value found = own_attribute(in, object, key.string);
    return value_given(found) ? found : missing(in, object, key.string, NULL);
}

static int64_t bound(struct interp *in, struct value v, int64_t n, int64_t or_, int64_t low, int64_t high) {
    int64_t at;
    if (v.kind == VALUE_NONE) return or_;
    if (v.kind == VALUE_UNDEFINED || !value_as_int(v, &at))
        interp_raise(in, "slice indices must be integers or None or have an __index__ method");
    if (at < 0) at += n;
    return at < low ? low : at > high ? high : at;
}

static struct value string_picked(struct interp *in, struct value object, int64_t start, int64_t stop, int64_t step) {
    const struct string *s = object.string;
    interp_spend(in, s->len / 16);
    if (step == 1) {
        size_t begin = string_offset(s, (size_t)start);
        size_t end = stop > start ? string_offset(s, (size_t)stop) : begin;
        return value_string(string_slice(in, s, begin, end));
    }
    struct list *chars = value_items(in, object);
    struct builder b = builder_new(in);
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) builder_add(&b, chars->items[i].string);
    return value_string(builder_string_like(&b, s));
}

static struct value range_picked(struct interp *in, const struct range *r, int64_t start, int64_t stop, int64_t step) {
    struct range *picked = interp_alloc(in, sizeof *picked);
    *picked = (struct range){r->start + start * r->step, r->start + stop * r->step, r->step * step};
    return (struct value){.kind = VALUE_RANGE, .range = picked};
}

struct value value_slice(struct interp *in, struct value object, const struct value bounds[3]) {
    int64_t step = 1;
    if (object.kind == VALUE_UNDEFINED) value_raise_undefined(in, object);
    if (object.kind == VALUE_DICT) interp_raise(in, "unhashable type: 'slice'");
    if (object.kind != VALUE_RANGE && object.kind != VALUE_STRING && object.kind != VALUE_LIST &&
        object.kind != VALUE_TUPLE)
        interp_raise(in, "'%s' object is not subscriptable", value_type(object));
    if (bounds[2].kind != VALUE_NONE && !value_as_int(bounds[2], &step))
        interp_raise(in, "slice indices must be integers or None or have an __index__ method");
    if (step == 0) interp_raise(in, "slice step cannot be zero");
    int64_t n = value_length(in, object);
    if (step > n) step = n + 1;
    if (step < -n) step = -n - 1;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    int64_t start = bound(in, bounds[0], n, step > 0 ? 0 : n - 1, low, high);
    int64_t stop = bound(in, bounds[1], n, step > 0 ? n : -1, low, high);
    if (object.kind == VALUE_STRING) return string_picked(in, object, start, stop, step);
    if (object.kind == VALUE_RANGE) return range_picked(in, object.range, start, stop, step);
    struct list *l = list_new(in);
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) list_add(in, l, object.list->items[i]);
    return (struct value){.kind = object.kind, .list = l};
}
