/* Functions and tests of the language. */
#include <math.h>
#include <string.h>

#include "model/template/scope.h"
#include "model/template/print.h"
#include "model/template/tables.h"

enum { RANGE_MAX = 100000 }; /* as Jinja's sandbox */

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

/* ---- functions ---- */

static struct value function_range(ARGUMENTS) {
    struct range *r = interp_alloc(in, sizeof *r);
    int64_t first = builtin_int(in, args[0], 0);
    bool one = !value_given(args[1]);
    *r = (struct range){one ? 0 : first, one ? first : builtin_int(in, args[1], 0), builtin_int(in, args[2], 1)};
    if (r->step == 0) interp_raise(in, "range() arg 3 must not be zero");
    if (value_range_length(r) > RANGE_MAX)
        interp_raise(in, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", RANGE_MAX);
    return (struct value){.kind = VALUE_RANGE, .range = r};
}

/* A dict of pairs or of another dict, and of keywords. */
static struct dict *collect(struct interp *in, const struct call *call) {
    struct dict *d = dict_new(in);
    if (call->count > 1) interp_raise(in, "dict expected at most 1 argument, got %zu", call->count);
    if (call->count == 1 && call->args[0].kind == VALUE_DICT) {
        const struct dict *from = call->args[0].dict;
        for (size_t i = 0; i < from->count; i++) dict_set(in, d, from->keys[i], from->values[i]);
    } else if (call->count == 1) {
        struct list *pairs = value_items(in, call->args[0]);
        for (size_t i = 0; i < pairs->count; i++) {
            struct list *pair = value_items(in, pairs->items[i]);
            if (pair->count != 2) interp_raise(in, "dictionary update sequence element #%zu has not length 2", i);
            dict_set(in, d, pair->items[0], pair->items[1]);
        }
    }
    for (size_t i = 0; i < call->keyword_count; i++)
        dict_set(in, d, value_string(call->keywords[i].name), call->keywords[i].value);
    return d;
}

static struct value function_dict(ARGUMENTS) { return value_dict(collect(in, call)); }

static struct value function_namespace(ARGUMENTS) {
    const struct dict *d = collect(in, call);
    struct namespace *ns = interp_alloc(in, sizeof *ns);
    for (size_t i = 0; i < d->count; i++) namespace_set(in, ns, builtin_text(in, d->keys[i], ""), d->values[i]);
    return (struct value){.kind = VALUE_NAMESPACE, .namespace = ns};
}

static struct value function_cycler(ARGUMENTS) {
    struct cycler *c = interp_alloc(in, sizeof *c);
    if (call->count == 0) interp_raise(in, "at least one item has to be provided");
    c->list = list_new(in);
    for (size_t i = 0; i < call->count; i++) list_add(in, c->list, call->args[i]);
    return (struct value){.kind = VALUE_CYCLER, .cycler = c};
}

static struct value function_joiner(ARGUMENTS) {
    struct joiner *j = interp_alloc(in, sizeof *j);
    j->separator = builtin_text(in, args[0], ", ");
    return (struct value){.kind = VALUE_JOINER, .joiner = j};
}

static struct value function_raise(ARGUMENTS) {
    const struct string *message = value_text(in, args[0]);
    interp_raise(in, "%.*s", (int)message->len, message->data);
}

static struct value function_strftime(ARGUMENTS) {
    return value_string(format_time(in, builtin_text(in, args[0], ""), in->now));
}

const struct builtin functions_table[] = {
    {"range", function_range, "start stop step", 1},
    {"dict", function_dict},
    {"namespace", function_namespace},
    {"cycler", function_cycler},
    {"joiner", function_joiner, "sep"},
    {"raise_exception", function_raise, "message", 1},
    {"strftime_now", function_strftime, "format", 1},
    {NULL},
};

/* ---- tests ---- */

static struct value test_boolean(ARGUMENTS) { return value_bool(self.kind == VALUE_BOOL); }
static struct value test_defined(ARGUMENTS) { return value_bool(self.kind != VALUE_UNDEFINED); }
static struct value test_undefined(ARGUMENTS) { return value_bool(self.kind == VALUE_UNDEFINED); }
static struct value test_none(ARGUMENTS) { return value_bool(self.kind == VALUE_NONE); }
static struct value test_false(ARGUMENTS) { return value_bool(self.kind == VALUE_BOOL && !self.boolean); }
static struct value test_true(ARGUMENTS) { return value_bool(self.kind == VALUE_BOOL && self.boolean); }
static struct value test_integer(ARGUMENTS) { return value_bool(self.kind == VALUE_INT); }
static struct value test_float(ARGUMENTS) { return value_bool(self.kind == VALUE_FLOAT); }
static struct value test_string(ARGUMENTS) { return value_bool(self.kind == VALUE_STRING); }
static struct value test_mapping(ARGUMENTS) { return value_bool(self.kind == VALUE_DICT); }
static struct value test_escaped(ARGUMENTS) { return value_bool(self.kind == VALUE_STRING && self.string->markup); }
static struct value test_iterable(ARGUMENTS) { return value_bool(value_iterable(self) || self.kind == VALUE_LOOP); }

static struct value test_number(ARGUMENTS) {
    double number;
    return value_bool(value_as_number(self, &number));
}

static struct value test_callable(ARGUMENTS) {
    return value_bool(self.kind == VALUE_CALLABLE || self.kind == VALUE_MACRO || self.kind == VALUE_LOOP ||
                      self.kind == VALUE_JOINER || self.kind == VALUE_UNDEFINED);
}

static struct value test_sequence(ARGUMENTS) {
    return value_bool(self.kind == VALUE_UNDEFINED || self.kind == VALUE_STRING || self.kind == VALUE_LIST ||
                      self.kind == VALUE_TUPLE || self.kind == VALUE_DICT || self.kind == VALUE_RANGE);
}

static struct value test_divisibleby(ARGUMENTS) {
    return value_bool(value_equal(in, value_arithmetic(in, '%', self, args[0]), value_int(0)));
}

static struct value test_even(ARGUMENTS) {
    return value_bool(value_equal(in, value_arithmetic(in, '%', self, value_int(2)), value_int(0)));
}

static struct value test_odd(ARGUMENTS) {
    return value_bool(value_equal(in, value_arithmetic(in, '%', self, value_int(2)), value_int(1)));
}

static struct value test_eq(ARGUMENTS) { return value_bool(value_equal(in, self, args[0])); }
static struct value test_ne(ARGUMENTS) { return value_bool(!value_equal(in, self, args[0])); }
static struct value test_in(ARGUMENTS) { return value_bool(value_contains(in, args[0], self)); }

static struct value test_lt(ARGUMENTS) { return value_bool(value_compare(in, self, args[0], "<") < 0); }
static struct value test_le(ARGUMENTS) { return value_bool(value_compare(in, self, args[0], "<=") <= 0); }

static struct value test_gt(ARGUMENTS) { return value_bool(value_compare(in, self, args[0], ">") == 1); }

static struct value test_ge(ARGUMENTS) {
    int order = value_compare(in, self, args[0], ">=");
    return value_bool(order >= 0 && order != VALUE_UNORDERED);
}

static struct value test_sameas(ARGUMENTS) {
    if (self.kind != args[0].kind) return value_bool(false);
    if (self.kind <= VALUE_STRING) return value_bool(value_equal(in, self, args[0]));
    return value_bool(self.dict == args[0].dict);
}

static struct value test_filter(ARGUMENTS) {
    return value_bool(self.kind == VALUE_STRING && builtin_filter(self.string) != NULL);
}

static struct value test_test(ARGUMENTS) {
    return value_bool(self.kind == VALUE_STRING && builtin_test(self.string) != NULL);
}

static struct value call_predicate(struct interp *in, struct value self, const char *method) {
    struct value text = value_string(value_text(in, self));
    const struct call none = {0};
    return builtin_call(in, builtin_method(text, string_of(in, method)), text, &none);
}

static struct value test_lower(ARGUMENTS) { return call_predicate(in, self, "islower"); }
static struct value test_upper(ARGUMENTS) { return call_predicate(in, self, "isupper"); }

const struct builtin tests_table[] = {
    {"boolean", test_boolean, ""},
    {"callable", test_callable, ""},
    {"defined", test_defined, ""},
    {"divisibleby", test_divisibleby, "num", 1},
    {"eq", test_eq, "other", 1},
    {"equalto", test_eq, "other", 1},
    {"==", test_eq, "other", 1},
    {"escaped", test_escaped, ""},
    {"even", test_even, ""},
    {"false", test_false, ""},
    {"filter", test_filter, ""},
    {"float", test_float, ""},
    {"ge", test_ge, "other", 1},
    {">=", test_ge, "other", 1},
    {"gt", test_gt, "other", 1},
    {"greaterthan", test_gt, "other", 1},
    {">", test_gt, "other", 1},
    {"in", test_in, "seq", 1},
    {"integer", test_integer, ""},
    {"iterable", test_iterable, ""},
    {"le", test_le, "other", 1},
    {"<=", test_le, "other", 1},
    {"lower", test_lower, ""},
    {"lt", test_lt, "other", 1},
    {"lessthan", test_lt, "other", 1},
    {"<", test_lt, "other", 1},
    {"mapping", test_mapping, ""},
    {"ne", test_ne, "other", 1},
    {"!=", test_ne, "other", 1},
    {"none", test_none, ""},
    {"number", test_number, ""},
    {"odd", test_odd, ""},
    {"sameas", test_sameas, "other", 1},
    {"sequence", test_sequence, ""},
    {"string", test_string, ""},
    {"test", test_test, ""},
    {"true", test_true, ""},
    {"undefined", test_undefined, ""},
    {"upper", test_upper, ""},
    {NULL},
};
