/* Filters over lists, dicts and whatever else can be iterated (jinja2/filters.py). */
#include <string.h>

#include "model/template/case.h"
#include "model/template/print.h"
#include "model/template/sequence.h"
#include "model/template/tables.h"

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

/* ---- attributes of items ---- */

static struct value item_or(struct interp *in, struct value item, struct value key, struct value otherwise) {
    struct value v = value_item(in, item, key);
    bool stands_in = v.kind == VALUE_UNDEFINED && value_given(otherwise) && otherwise.kind != VALUE_NONE;
    return stands_in ? otherwise : v;
}

struct value sequence_attribute_or(struct interp *in, struct value item, struct value path, struct value otherwise) {
    if (path.kind != VALUE_STRING) return item_or(in, item, path, otherwise);
    const struct string *s = path.string;
    for (size_t at = 0; at <= s->len;) {
        size_t dot = at, number = 0;
        while (dot < s->len && s->data[dot] != '.') dot++;
        struct string *name = string_slice(in, s, at, dot);
        bool digits = name->len > 0 && name->len < 10;
        for (size_t i = 0; i < name->len && digits; i++) {
            digits = name->data[i] >= '0' && name->data[i] <= '9';
            number = number * 10 + (size_t)(name->data[i] - '0');
        }
        item = item_or(in, item, digits ? value_int((int64_t)number) : value_string(name), otherwise);
        at = dot + 1;
    }
    return item;
}

struct value sequence_attribute(struct interp *in, struct value item, struct value path) {
    return sequence_attribute_or(in, item, path, value_none());
}

static struct value without_case(struct interp *in, struct value v, bool case_sensitive) {
    if (case_sensitive || v.kind != VALUE_STRING) return v;
    return value_string(case_apply(in, v.string, CASE_LOWER));
}

static struct value key_of(struct interp *in, struct value item, struct value attribute, bool case_sensitive) {
    if (value_given(attribute) && attribute.kind != VALUE_NONE) item = sequence_attribute(in, item, attribute);
    return without_case(in, item, case_sensitive);
}

/* "a,b" sorts by a, then by b. A tuple even of one: items of tuples that are equal are never ordered, so undefined ones
 * do no harm. */
static struct value sort_key(struct interp *in, struct value item, struct value attribute, bool case_sensitive) {
    struct list *keys = list_new(in);
    if (attribute.kind != VALUE_STRING) {
        list_add(in, keys, key_of(in, item, attribute, case_sensitive));
        return value_tuple(keys);
    }
    const struct string *s = attribute.string;
    for (size_t at = 0, comma; at <= s->len; at = comma + 1) {
        for (comma = at; comma < s->len && s->data[comma] != ',';) comma++;
        list_add(in, keys, key_of(in, item, value_string(string_slice(in, s, at, comma)), case_sensitive));
    }
    return value_tuple(keys);
}

/* ---- sorting ---- */

struct keyed {
    struct value key, item;
};

/* Stable merge sort; reversed as Python does it: equal items keep their order. */
static void merge_sort(struct interp *in, struct keyed *items, struct keyed *spare, size_t count, bool reverse) {
    if (count < 2) return;
    size_t half = count / 2, left = 0, right = half;
    merge_sort(in, items, spare, half, reverse);
    merge_sort(in, items + half, spare, count - half, reverse);
    for (size_t i = 0; i < count; i++) {
        bool take_right = left == half;
        if (left < half && right < count)
            take_right = reverse ? value_compare(in, items[left].key, items[right].key, "<") < 0
                                 : value_compare(in, items[right].key, items[left].key, "<") < 0;
        spare[i] = take_right ? items[right++] : items[left++];
    }
    memcpy(items, spare, count * sizeof *items);
}

static struct list *sorted(struct interp *in, struct list *l, struct value attribute, bool case_sensitive,
                           bool reverse) {
    struct keyed *items = interp_array(in, l->count, sizeof *items), *spare = interp_array(in, l->count, sizeof *spare);
    for (size_t i = 0; i < l->count; i++)
        items[i] = (struct keyed){sort_key(in, l->items[i], attribute, case_sensitive), l->items[i]};
    merge_sort(in, items, spare, l->count, reverse);
    struct list *result = list_new(in);
    for (size_t i = 0; i < l->count; i++) list_add(in, result, items[i].item);
    return result;
}

static struct value filter_sort(ARGUMENTS) {
    return value_list(
        sorted(in, value_items(in, self), args[2], builtin_bool(in, args[1], false), builtin_bool(in, args[0], false)));
}

static struct list *pairs(struct interp *in, struct value dict) {
    struct list *l = list_new(in);
    if (dict.kind == VALUE_UNDEFINED) value_raise_undefined(in, dict);
    if (dict.kind != VALUE_DICT) interp_raise(in, "Can only get item pairs from a mapping.");
    for (size_t i = 0; i < dict.dict->count; i++) {
        struct list *pair = list_new(in);
        list_add(in, pair, dict.dict->keys[i]);
        list_add(in, pair, dict.dict->values[i]);
        list_add(in, l, value_tuple(pair));
    }
    return l;
}

static struct value filter_dictsort(ARGUMENTS) {
    const struct string *by = builtin_text(in, args[1], "key");
    bool value = string_is(by, "value");
    if (!value && !string_is(by, "key")) interp_raise(in, "You can only sort by either \"key\" or \"value\"");
    return value_list(sorted(in, pairs(in, self), value_int(value), builtin_bool(in, args[0], false),
                             builtin_bool(in, args[2], false)));
}

static struct value filter_items(ARGUMENTS) {
    return value_list(self.kind == VALUE_UNDEFINED ? list_new(in) : pairs(in, self));
}

static struct list *new_group(struct interp *in, struct value grouper) {
    struct list *group = list_new(in);
    group->type = "group"; /* has the attributes grouper and list */
    list_add(in, group, grouper);
    list_add(in, group, value_list(list_new(in)));
    return group;
}

/* A group is called by its first item's attribute, whatever the case of the others'. */
static struct value filter_groupby(ARGUMENTS) {
    bool case_sensitive = builtin_bool(in, args[2], false);
    struct list *l = value_items(in, self), *groups = list_new(in), *group = NULL;
    struct keyed *items = interp_array(in, l->count, sizeof *items), *spare = interp_array(in, l->count, sizeof *spare);
    for (size_t i = 0; i < l->count; i++) {
        struct value attribute = sequence_attribute_or(in, l->items[i], args[0], args[1]);
        items[i] = (struct keyed){without_case(in, attribute, case_sensitive), l->items[i]};
    }
    merge_sort(in, items, spare, l->count, false);
    for (size_t i = 0; i < l->count; i++) {
        if (i == 0 || !value_equal(in, items[i].key, items[i - 1].key)) {
            group = new_group(in, sequence_attribute_or(in, items[i].item, args[0], args[1]));
            list_add(in, groups, value_tuple(group));
        }
        list_add(in, group->items[1].list, items[i].item);
    }
    return value_list(groups);
}

static struct value filter_unique(ARGUMENTS) {
    struct list *l = value_items(in, self), *result = list_new(in);
    struct dict *seen = dict_new(in);
    for (size_t i = 0; i < l->count; i++) {
        struct value key = key_of(in, l->items[i], args[1], builtin_bool(in, args[0], false));
        if (dict_find(in, seen, key) == NULL) list_add(in, result, l->items[i]);
        dict_set(in, seen, key, value_none());
    }
    return value_list(result);
}

static struct value extreme(struct interp *in, struct value self, const struct value *args, bool most) {
    struct list *l = value_items(in, self);
    if (l->count == 0) return value_undefined(in, "No aggregated item, sequence was empty.");
    struct value best = l->items[0], best_key = key_of(in, best, args[1], builtin_bool(in, args[0], false));
    for (size_t i = 1; i < l->count; i++) {
        struct value key = key_of(in, l->items[i], args[1], builtin_bool(in, args[0], false));
        int order = value_compare(in, key, best_key, most ? ">" : "<");
        if (order == VALUE_UNORDERED || (most ? order <= 0 : order >= 0)) continue;
        best = l->items[i];
        best_key = key;
    }
    return best;
}

static struct value filter_min(ARGUMENTS) { return extreme(in, self, args, false); }
static struct value filter_max(ARGUMENTS) { return extreme(in, self, args, true); }

/* ---- taking and making lists ---- */

static struct value filter_length(ARGUMENTS) { return value_int(value_length(in, self)); }

static struct value filter_list(ARGUMENTS) {
    struct list *l = list_new(in), *from = value_items(in, self);
    for (size_t i = 0; i < from->count; i++) list_add(in, l, from->items[i]);
    return value_list(l);
}

static struct value filter_first(ARGUMENTS) {
    if (self.kind == VALUE_ITERATOR) {
        struct value *v = iterator_next(in, self.iterator);
        return v ? *v : value_undefined(in, "No first item, sequence was empty.");
    }
    struct list *l = value_items(in, self);
    return l->count > 0 ? l->items[0] : value_undefined(in, "No first item, sequence was empty.");
}

static struct value filter_last(ARGUMENTS) {
    if (self.kind == VALUE_ITERATOR) interp_raise(in, "'%s' object is not reversible", value_type(self));
    struct list *l = value_items(in, self);
    return l->count > 0 ? l->items[l->count - 1] : value_undefined(in, "No last item, sequence was empty.");
}

static struct value filter_reverse(ARGUMENTS) {
    struct list *l = value_items(in, self), *result = list_new(in);
    for (size_t i = l->count; i > 0; i--) list_add(in, result, l->items[i - 1]);
    if (self.kind == VALUE_ITERATOR) return value_list(result);
    if (self.kind != VALUE_STRING) return value_iterator(in, result, "list_reverseiterator");
    struct builder b = builder_new(in);
    for (size_t i = 0; i < result->count; i++) builder_add(&b, result->items[i].string);
    return value_string(builder_string(&b));
}

static struct value filter_join(ARGUMENTS) {
    struct list *l = value_items(in, self);
    const struct string *separator = value_given(args[0]) ? value_text(in, args[0]) : string_of(in, "");
    bool attribute = value_given(args[1]) && args[1].kind != VALUE_NONE;
    struct builder b = builder_new(in);
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0) builder_add(&b, separator);
        value_print(&b, attribute ? sequence_attribute(in, l->items[i], args[1]) : l->items[i]);
    }
    return value_string(builder_string(&b));
}

static struct value filter_sum(ARGUMENTS) {
    struct list *l = value_items(in, self);
    struct value total = value_given(args[1]) ? args[1] : value_int(0);
    bool attribute = value_given(args[0]) && args[0].kind != VALUE_NONE;
    if (total.kind == VALUE_STRING) interp_raise(in, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < l->count; i++)
        total =
            value_arithmetic(in, '+', total, attribute ? sequence_attribute(in, l->items[i], args[0]) : l->items[i]);
    return total;
}

static struct value filter_batch(ARGUMENTS) {
    struct list *l = value_items(in, self), *batches = list_new(in), *row = NULL;
    int64_t size = builtin_int(in, args[0], 1);
    for (size_t i = 0; i < l->count; i++) {
        if (row == NULL || (int64_t)row->count == size) {
            row = list_new(in);
            list_add(in, batches, value_list(row));
        }
        list_add(in, row, l->items[i]);
    }
    bool fill = value_given(args[1]) && args[1].kind != VALUE_NONE;
    while (row && fill && (int64_t)row->count < size) list_add(in, row, args[1]);
    return value_list(batches);
}

static struct value filter_slice(ARGUMENTS) {
    struct list *l = value_items(in, self), *slices = list_new(in);
    int64_t count = builtin_int(in, args[0], 1), length = (int64_t)l->count;
    if (count == 0) interp_raise(in, "integer division or modulo by zero");
    int64_t each = length / count, extra = length % count, at = 0;
    bool fill = value_given(args[1]) && args[1].kind != VALUE_NONE;
    for (int64_t s = 0; s < count; s++) {
        struct list *part = list_new(in);
        for (int64_t n = each + (s < extra); n > 0; n--) list_add(in, part, l->items[at++]);
        if (fill && s >= extra) list_add(in, part, args[1]);
        list_add(in, slices, value_list(part));
    }
    return value_list(slices);
}

const struct builtin filters_sequence[] = {
    {"batch", filter_batch, "linecount fill_with", 1, true},
    {"count", filter_length, ""},
    {"dictsort", filter_dictsort, "case_sensitive by reverse"},
    {"first", filter_first, ""},
    {"groupby", filter_groupby, "attribute default case_sensitive", 1},
    {"items", filter_items, "", 0, true},
    {"join", filter_join, "d attribute"},
    {"last", filter_last, ""},
    {"length", filter_length, ""},
    {"list", filter_list, ""},
    {"max", filter_max, "case_sensitive attribute"},
    {"min", filter_min, "case_sensitive attribute"},
    {"reverse", filter_reverse, ""},
    {"slice", filter_slice, "slices fill_with", 1, true},
    {"sort", filter_sort, "reverse case_sensitive attribute"},
    {"sum", filter_sum, "attribute start"},
    {"unique", filter_unique, "case_sensitive attribute", 0, true},
    {NULL},
};
