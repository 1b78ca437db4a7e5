/* map, select and their kin: filters that run a filter or test over each item. */
#include "model/template/sequence.h"
#include "model/template/tables.h"

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

/* The arguments behind the first `used`. */
static struct call rest(const struct call *call, size_t used) {
    struct call r = *call;
    used = used < call->count ? used : call->count;
    r.args += used;
    r.count -= used;
    return r;
}

static const struct value *keyword(const struct call *call, const char *name) {
    for (size_t i = 0; i < call->keyword_count; i++)
        if (string_is(call->keywords[i].name, name)) return &call->keywords[i].value;
    return NULL;
}

static struct value map_attribute(struct interp *in, struct list *l, const struct call *call) {
    const struct value *attribute = keyword(call, "attribute"), *or_ = keyword(call, "default");
    struct list *result = list_new(in);
    if (attribute == NULL) interp_raise(in, "map requires a filter argument");
    if (call->keyword_count > (or_ ? 2 : 1)) interp_raise(in, "map got an unexpected keyword argument");
    for (size_t i = 0; i < l->count; i++)
        list_add(in, result, sequence_attribute_or(in, l->items[i], *attribute, or_ ? *or_ : value_none()));
    return value_list(result);
}

static struct value filter_map(ARGUMENTS) {
    if (!value_truth(in, self)) return value_list(list_new(in)); /* also of none */
    struct list *l = value_items(in, self);
    if (call->count == 0) return map_attribute(in, l, call);
    const struct string *name = builtin_text(in, call->args[0], "");
    const struct builtin *filter = builtin_filter(name);
    struct list *result = list_new(in);
    struct call arguments = rest(call, 1);
    if (filter == NULL) interp_raise(in, "No filter named '%.*s'.", (int)name->len, name->data);
    for (size_t i = 0; i < l->count; i++) list_add(in, result, builtin_call(in, filter, l->items[i], &arguments));
    return value_list(result);
}

static struct value choose(struct interp *in, struct value self, const struct call *call, bool wanted,
                           bool by_attribute) {
    if (!value_truth(in, self)) return value_list(list_new(in));
    struct list *l = value_items(in, self), *result = list_new(in);
    size_t used = by_attribute ? 1 : 0;
    if (by_attribute && call->count == 0) interp_raise(in, "Missing parameter for attribute name");
    const struct builtin *test = NULL;
    if (call->count > used) {
        const struct string *name = builtin_text(in, call->args[used], "");
        test = builtin_test(name);
        if (test == NULL) interp_raise(in, "No test named '%.*s'.", (int)name->len, name->data);
    }
    struct call arguments = rest(call, used + 1);
    for (size_t i = 0; i < l->count; i++) {
        struct value v = by_attribute ? sequence_attribute(in, l->items[i], call->args[0]) : l->items[i];
        if (test) v = builtin_call(in, test, v, &arguments);
        if (value_truth(in, v) == wanted) list_add(in, result, l->items[i]);
    }
    return value_list(result);
}

static struct value filter_select(ARGUMENTS) { return choose(in, self, call, true, false); }
static struct value filter_reject(ARGUMENTS) { return choose(in, self, call, false, false); }
static struct value filter_selectattr(ARGUMENTS) { return choose(in, self, call, true, true); }
static struct value filter_rejectattr(ARGUMENTS) { return choose(in, self, call, false, true); }

const struct builtin filters_select[] = {
    {"map", filter_map, NULL, 0, true},
    {"reject", filter_reject, NULL, 0, true},
    {"rejectattr", filter_rejectattr, NULL, 0, true},
    {"select", filter_select, NULL, 0, true},
    {"selectattr", filter_selectattr, NULL, 0, true},
    {NULL},
};
