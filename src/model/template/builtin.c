#include "model/template/scope.h"
#include "model/template/builtin.h"

#include <string.h>

#include "model/template/eval.h"
#include "model/template/tables.h"

static const struct builtin *find(const struct builtin *table, const struct string *name) {
    for (; table->name; table++)
        if (string_is(name, table->name)) return table;
    return NULL;
}

const struct builtin *builtin_filter(const struct string *name) {
    const struct builtin *b = find(filters_text, name);
    if (b == NULL) b = find(filters_sequence, name);
    return b ? b : find(filters_select, name);
}

const struct builtin *builtin_test(const struct string *name) { return find(tests_table, name); }

const struct builtin *builtin_method(struct value object, const struct string *name) {
    const struct builtin *b = NULL;
    switch (object.kind) {
    case VALUE_STRING: b = find(methods_string, name); return b ? b : find(methods_predicate, name);
    case VALUE_DICT: return find(methods_dict, name);
    case VALUE_LIST: return find(methods_list, name);
    case VALUE_TUPLE:
    case VALUE_RANGE: return find(methods_tuple, name);
    case VALUE_LOOP: return find(methods_loop, name);
    case VALUE_CYCLER: return find(methods_cycler, name);
    default: return b;
    }
}

struct value builtin_function(struct interp *in, const struct string *name) {
    const struct builtin *b = find(functions_table, name);
    if (b == NULL) return (struct value){.kind = VALUE_ABSENT};
    struct callable *c = interp_alloc(in, sizeof *c);
    *c = (struct callable){.builtin = b, .self = value_none()};
    return (struct value){.kind = VALUE_CALLABLE, .callable = c};
}

/* ---- arguments ---- */

void call_add(struct interp *in, struct call *call, struct value arg) {
    call->args = interp_grow(in, call->args, call->count, &call->capacity, sizeof *call->args);
    call->args[call->count++] = arg;
    interp_spend(in, 1);
}

void call_add_keyword(struct interp *in, struct call *call, const struct string *name, struct value value) {
    for (size_t i = 0; i < call->keyword_count; i++)
        if (string_equal(call->keywords[i].name, name))
            interp_raise(in, "got multiple values for keyword argument '%.*s'", (int)name->len, name->data);
    call->keywords =
        interp_grow(in, call->keywords, call->keyword_count, &call->keyword_capacity, sizeof *call->keywords);
    call->keywords[call->keyword_count++] = (struct keyword){name, value};
}

/* Position of the name in "one two three", or -1; NULL gives how many there are. */
static int parameter(const char *parameters, const struct string *name) {
    int i = 0;
    while (*parameters) {
        size_t len = strcspn(parameters, " ");
        if (name && len == name->len && memcmp(parameters, name->data, len) == 0) return i;
        parameters += len + (parameters[len] == ' ');
        i++;
    }
    return name ? -1 : i;
}

static void bind_arguments(struct interp *in, const struct builtin *b, const struct call *call, struct value *args) {
    int count = parameter(b->parameters, NULL);
    if (call->count > (size_t)count)
        interp_raise(in, "%s() takes at most %d arguments (%zu given)", b->name, count, call->count);
    for (int i = 0; i < BUILTIN_PARAMETERS_MAX; i++)
        args[i] = i < (int)call->count ? call->args[i] : (struct value){.kind = VALUE_ABSENT};
    for (size_t i = 0; i < call->keyword_count; i++) {
        const struct string *name = call->keywords[i].name;
        int at = parameter(b->parameters, name);
        if (at < 0)
            interp_raise(in, "%s() got an unexpected keyword argument '%.*s'", b->name, (int)name->len, name->data);
        if (value_given(args[at]))
            interp_raise(in, "%s() got multiple values for argument '%.*s'", b->name, (int)name->len, name->data);
        args[at] = call->keywords[i].value;
    }
    for (int i = 0; i < b->required; i++)
        if (!value_given(args[i])) interp_raise(in, "%s() misses an argument", b->name);
}

struct list *builtin_run_deferred(struct interp *in, const struct deferred *d) {
    return d->builtin->run(in, d->self, d->args, &d->call).list;
}

static struct value defer(struct interp *in, const struct deferred *d) {
    struct value v = value_iterator(in, NULL, "generator");
    struct deferred *copy = interp_alloc(in, sizeof *copy);
    *copy = *d;
    v.iterator->deferred = copy;
    return v;
}

struct value builtin_call(struct interp *in, const struct builtin *b, struct value self, const struct call *call) {
    struct deferred d = {.builtin = b, .self = self, .call = *call};
    interp_spend(in, 1);
    if (b->parameters) bind_arguments(in, b, call, d.args);
    return b->lazy ? defer(in, &d) : b->run(in, self, d.args, call);
}

static struct value joiner_call(struct interp *in, struct joiner *j) {
    if (j->used) return value_string(j->separator);
    j->used = true;
    return value_string(string_of(in, ""));
}

struct value value_call(struct interp *in, struct value callee, const struct call *call) {
    switch (callee.kind) {
    case VALUE_UNDEFINED: value_raise_undefined(in, callee);
    case VALUE_CALLABLE: return builtin_call(in, callee.callable->builtin, callee.callable->self, call);
    case VALUE_MACRO: return macro_call(in, callee.macro, call);
    case VALUE_LOOP: return loop_call(in, callee.loop, call);
    case VALUE_JOINER: return joiner_call(in, callee.joiner);
    default: interp_raise(in, "'%s' object is not callable", value_type(callee));
    }
}

/* ---- for the tables ---- */

const struct string *builtin_text(struct interp *in, struct value arg, const char *or_) {
    if (arg.kind == VALUE_ABSENT) return string_of(in, or_);
    if (arg.kind == VALUE_UNDEFINED) value_raise_undefined(in, arg);
    if (arg.kind != VALUE_STRING) interp_raise(in, "a string is required, not '%s'", value_type(arg));
    return arg.string;
}

int64_t builtin_int(struct interp *in, struct value arg, int64_t or_) {
    int64_t i;
    if (arg.kind == VALUE_ABSENT) return or_;
    if (arg.kind == VALUE_UNDEFINED) value_raise_undefined(in, arg);
    if (!value_as_int(arg, &i)) interp_raise(in, "'%s' object cannot be interpreted as an integer", value_type(arg));
    return i;
}

bool builtin_bool(struct interp *in, struct value arg, bool or_) {
    return arg.kind == VALUE_ABSENT ? or_ : value_truth(in, arg);
}
