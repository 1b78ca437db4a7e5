/* Methods of strings, lists, dicts and loops. What would change a list or dict is refused, as Jinja's immutable sandbox
 * does: such entries have no function. */
#include <string.h>

#include "model/template/case.h"
#include "model/template/eval.h"
#include "model/template/print.h"
#include "model/template/tables.h"

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

/* ---- strings ---- */

static struct value text(const struct string *s) { return value_string(s); }

static const struct string *optional_text(struct interp *in, struct value arg) {
    return arg.kind == VALUE_ABSENT || arg.kind == VALUE_NONE ? NULL : builtin_text(in, arg, "");
}

static struct value string_upper(ARGUMENTS) { return text(case_apply(in, self.string, CASE_UPPER)); }
static struct value string_lower(ARGUMENTS) { return text(case_apply(in, self.string, CASE_LOWER)); }
static struct value string_swapcase(ARGUMENTS) { return text(case_apply(in, self.string, CASE_SWAP)); }
static struct value string_capitalize(ARGUMENTS) { return text(case_apply(in, self.string, CASE_CAPITALIZE)); }
static struct value string_title(ARGUMENTS) { return text(case_apply(in, self.string, CASE_TITLE)); }

static struct value string_strip_both(ARGUMENTS) {
    return text(string_strip(in, self.string, optional_text(in, args[0]), true, true));
}

static struct value string_lstrip(ARGUMENTS) {
    return text(string_strip(in, self.string, optional_text(in, args[0]), true, false));
}

static struct value string_rstrip(ARGUMENTS) {
    return text(string_strip(in, self.string, optional_text(in, args[0]), false, true));
}

static void add_slice(struct interp *in, struct list *l, const struct string *s, size_t begin, size_t end) {
    list_add(in, l, text(string_slice(in, s, begin, end)));
}

/* Words between white space, at most `max` splits (negative: all). */
static struct list *split_words(struct interp *in, const struct string *s, int64_t max) {
    struct list *l = list_new(in);
    size_t at = 0, len;
    for (;;) {
        while (at < s->len && string_is_space(string_char(s, at, &len))) at += len;
        if (at >= s->len) return l;
        if (max >= 0 && (int64_t)l->count >= max) break;
        size_t begin = at;
        while (at < s->len && !string_is_space(string_char(s, at, &len))) at += len;
        add_slice(in, l, s, begin, at);
    }
    add_slice(in, l, s, at, s->len);
    return l;
}

static struct list *split_at(struct interp *in, const struct string *s, const struct string *separator, int64_t max) {
    struct list *l = list_new(in);
    size_t at = 0, found;
    while ((max < 0 || (int64_t)l->count < max) && (found = string_find(in, s, separator, at)) != STRING_NONE) {
        add_slice(in, l, s, at, found);
        at = found + separator->len;
    }
    add_slice(in, l, s, at, s->len);
    return l;
}

static void reverse(struct list *l) {
    for (size_t i = 0; i < l->count / 2; i++) {
        struct value v = l->items[i];
        l->items[i] = l->items[l->count - 1 - i];
        l->items[l->count - 1 - i] = v;
    }
}

static struct list *rsplit_words(struct interp *in, const struct string *s, int64_t max) {
    struct list *l = list_new(in);
    size_t end = string_strip(in, s, NULL, false, true)->len, len;
    while (end > 0) {
        if (max >= 0 && (int64_t)l->count >= max) {
            add_slice(in, l, s, 0, end);
            break;
        }
        size_t begin = end;
        while (begin > 0 && !string_is_space(string_char(s, string_before(s, begin), &len)))
            begin = string_before(s, begin);
        add_slice(in, l, s, begin, end);
        end = string_strip(in, string_slice(in, s, 0, begin), NULL, false, true)->len;
        if (string_strip(in, string_slice(in, s, 0, end), NULL, true, true)->len == 0) break;
    }
    reverse(l);
    return l;
}

static struct list *rsplit_at(struct interp *in, const struct string *s, const struct string *separator, int64_t max) {
    struct list *l = list_new(in);
    size_t end = s->len, found;
    while ((max < 0 || (int64_t)l->count < max) && (found = string_find_last(in, s, separator, end)) != STRING_NONE) {
        add_slice(in, l, s, found + separator->len, end);
        end = found;
    }
    add_slice(in, l, s, 0, end);
    reverse(l);
    return l;
}

static const struct string *separator_of(struct interp *in, struct value arg) {
    const struct string *separator = optional_text(in, arg);
    if (separator && separator->len == 0) interp_raise(in, "empty separator");
    return separator;
}

static struct value string_split(ARGUMENTS) {
    const struct string *separator = separator_of(in, args[0]);
    int64_t max = builtin_int(in, args[1], -1);
    return value_list(separator ? split_at(in, self.string, separator, max) : split_words(in, self.string, max));
}

static struct value string_rsplit(ARGUMENTS) {
    const struct string *separator = separator_of(in, args[0]);
    int64_t max = builtin_int(in, args[1], -1);
    return value_list(separator ? rsplit_at(in, self.string, separator, max) : rsplit_words(in, self.string, max));
}

static struct value string_splitlines(ARGUMENTS) {
    const struct string *s = self.string;
    bool keep = builtin_bool(in, args[0], false);
    struct list *l = list_new(in);
    size_t begin = 0, len;
    for (size_t at = 0; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        if (!string_is_line_end(c)) continue;
        if (c == '\r' && at + 1 < s->len && s->data[at + 1] == '\n') len = 2;
        add_slice(in, l, s, begin, keep ? at + len : at);
        begin = at + len;
    }
    if (begin < s->len) add_slice(in, l, s, begin, s->len);
    return value_list(l);
}

static struct value partition(struct interp *in, const struct string *s, size_t found, size_t len) {
    struct list *l = list_new(in);
    add_slice(in, l, s, 0, found);
    add_slice(in, l, s, found, found + len);
    add_slice(in, l, s, found + len, s->len);
    return value_tuple(l);
}

static struct value string_partition(ARGUMENTS) {
    const struct string *separator = separator_of(in, args[0]);
    if (separator == NULL) interp_raise(in, "must be str, not NoneType");
    size_t found = string_find(in, self.string, separator, 0);
    if (found == STRING_NONE) return partition(in, self.string, self.string->len, 0);
    return partition(in, self.string, found, separator->len);
}

static struct value string_rpartition(ARGUMENTS) {
    const struct string *separator = separator_of(in, args[0]);
    if (separator == NULL) interp_raise(in, "must be str, not NoneType");
    size_t found = string_find_last(in, self.string, separator, self.string->len);
    if (found == STRING_NONE) return partition(in, self.string, 0, 0);
    return partition(in, self.string, found, separator->len);
}

/* The part of self that optional start and end positions (in characters) choose. */
static struct string *part(struct interp *in, struct value self, struct value start, struct value end, size_t *offset) {
    struct value bounds[3] = {start.kind == VALUE_ABSENT ? value_none() : start,
                              end.kind == VALUE_ABSENT ? value_none() : end, value_none()};
    struct value chosen = value_slice(in, self, bounds);
    *offset = chosen.string->len > 0 || self.string->len == 0 ? (size_t)(chosen.string->data - self.string->data) : 0;
    return (struct string *)(uintptr_t)chosen.string;
}

/* With a tuple, any of its strings will do. */
static bool has_affix(struct interp *in, const struct string *s, struct value affix,
                      bool (*has)(const struct string *, const struct string *)) {
    if (affix.kind != VALUE_TUPLE) return has(s, builtin_text(in, affix, ""));
    for (size_t i = 0; i < affix.list->count; i++)
        if (has(s, builtin_text(in, affix.list->items[i], ""))) return true;
    return false;
}

static struct value string_startswith(ARGUMENTS) {
    size_t offset;
    return value_bool(has_affix(in, part(in, self, args[1], args[2], &offset), args[0], string_starts));
}

static struct value string_endswith(ARGUMENTS) {
    size_t offset;
    return value_bool(has_affix(in, part(in, self, args[1], args[2], &offset), args[0], string_ends));
}

/* Position in characters, or -1. */
static int64_t find(struct interp *in, struct value self, const struct value *args, bool last) {
    size_t offset;
    struct string *where = part(in, self, args[1], args[2], &offset);
    const struct string *what = builtin_text(in, args[0], "");
    size_t at = last ? string_find_last(in, where, what, where->len) : string_find(in, where, what, 0);
    if (at == STRING_NONE) return -1;
    return (int64_t)string_chars(string_slice(in, self.string, 0, offset + at));
}

static struct value found(struct interp *in, int64_t at) {
    if (at < 0) interp_raise(in, "substring not found");
    return value_int(at);
}

static struct value string_find_first(ARGUMENTS) { return value_int(find(in, self, args, false)); }
static struct value string_rfind(ARGUMENTS) { return value_int(find(in, self, args, true)); }
static struct value string_index(ARGUMENTS) { return found(in, find(in, self, args, false)); }
static struct value string_rindex(ARGUMENTS) { return found(in, find(in, self, args, true)); }

static struct value string_count(ARGUMENTS) {
    size_t offset, at = 0;
    struct string *where = part(in, self, args[1], args[2], &offset);
    const struct string *what = builtin_text(in, args[0], "");
    int64_t count = 0;
    if (what->len == 0) return value_int((int64_t)string_chars(where) + 1);
    for (; (at = string_find(in, where, what, at)) != STRING_NONE; at += what->len) count++;
    return value_int(count);
}

static struct value string_replace_all(ARGUMENTS) {
    const struct string *new_ = string_beside(in, builtin_text(in, args[1], ""), self.string);
    const struct string *s =
        string_replace(in, self.string, builtin_text(in, args[0], ""), new_, builtin_int(in, args[2], -1));
    return text(string_marked(in, s, self.string->markup));
}

static struct value string_join(ARGUMENTS) {
    struct list *l = value_items(in, args[0]);
    struct builder b = builder_new(in);
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].kind != VALUE_STRING)
            interp_raise(in, "sequence item %zu: expected str instance, %s found", i, value_type(l->items[i]));
        if (i > 0) builder_add(&b, self.string);
        builder_add(&b, string_beside(in, l->items[i].string, self.string));
    }
    return text(builder_string_like(&b, self.string));
}

static struct value string_format(ARGUMENTS) { return format_braces(in, self.string, call); }

static struct value string_removeprefix(ARGUMENTS) {
    const struct string *prefix = builtin_text(in, args[0], "");
    bool has = string_starts(self.string, prefix);
    return text(string_slice(in, self.string, has ? prefix->len : 0, self.string->len));
}

static struct value string_removesuffix(ARGUMENTS) {
    const struct string *suffix = builtin_text(in, args[0], "");
    bool has = string_ends(self.string, suffix);
    return text(string_slice(in, self.string, 0, self.string->len - (has ? suffix->len : 0)));
}

/* Padded to args[0] characters with args[1]; `left` of the missing ones in front. */
static struct value pad(struct interp *in, struct value self, const struct value *args, int where) {
    struct builder b = builder_new(in);
    const struct string *fill = builtin_text(in, args[1], " ");
    int64_t width = builtin_int(in, args[0], 0), missing = width - (int64_t)string_chars(self.string);
    if (string_chars(fill) != 1) interp_raise(in, "The fill character must be exactly one character long");
    if (missing < 0) missing = 0;
    int64_t centre = missing / 2 + (missing & width & 1); /* as CPython rounds it */
    int64_t left = where < 0 ? 0 : where > 0 ? missing : centre;
    builder_add_repeat(&b, fill, left);
    builder_add(&b, self.string);
    builder_add_repeat(&b, fill, missing - left);
    return text(builder_string_like(&b, self.string));
}

static struct value string_ljust(ARGUMENTS) { return pad(in, self, args, -1); }
static struct value string_rjust(ARGUMENTS) { return pad(in, self, args, 1); }
static struct value string_center(ARGUMENTS) { return pad(in, self, args, 0); }

static struct value string_zfill(ARGUMENTS) {
    struct builder b = builder_new(in);
    int64_t missing = builtin_int(in, args[0], 0) - (int64_t)string_chars(self.string);
    size_t sign = self.string->len > 0 && strchr("+-", self.string->data[0]) ? 1 : 0;
    builder_add_slice(&b, self.string, 0, sign);
    builder_add_repeat(&b, string_of(in, "0"), missing);
    builder_add_slice(&b, self.string, sign, self.string->len);
    return text(builder_string_like(&b, self.string));
}

static struct value string_expandtabs(ARGUMENTS) {
    struct builder b = builder_new(in);
    int64_t size = builtin_int(in, args[0], 8), column = 0;
    for (size_t at = 0, len; at < self.string->len; at += len) {
        int32_t c = string_char(self.string, at, &len);
        int64_t width = c == '\t' ? (size > 0 ? size - column % size : 0) : 1;
        if (c == '\t')
            builder_add_repeat(&b, string_of(in, " "), width);
        else
            builder_add_slice(&b, self.string, at, at + len);
        column = c == '\n' || c == '\r' ? 0 : column + width;
    }
    return text(builder_string_like(&b, self.string));
}

const struct builtin methods_string[] = {
    {"capitalize", string_capitalize, ""},
    {"casefold", string_lower, ""},
    {"center", string_center, "width fillchar", 1},
    {"count", string_count, "sub start end", 1},
    {"endswith", string_endswith, "suffix start end", 1},
    {"expandtabs", string_expandtabs, "tabsize"},
    {"find", string_find_first, "sub start end", 1},
    {"format", string_format},
    {"index", string_index, "sub start end", 1},
    {"join", string_join, "iterable", 1},
    {"ljust", string_ljust, "width fillchar", 1},
    {"lower", string_lower, ""},
    {"lstrip", string_lstrip, "chars"},
    {"partition", string_partition, "sep", 1},
    {"removeprefix", string_removeprefix, "prefix", 1},
    {"removesuffix", string_removesuffix, "suffix", 1},
    {"replace", string_replace_all, "old new count", 2},
    {"rfind", string_rfind, "sub start end", 1},
    {"rindex", string_rindex, "sub start end", 1},
    {"rjust", string_rjust, "width fillchar", 1},
    {"rpartition", string_rpartition, "sep", 1},
    {"rsplit", string_rsplit, "sep maxsplit"},
    {"rstrip", string_rstrip, "chars"},
    {"split", string_split, "sep maxsplit"},
    {"splitlines", string_splitlines, "keepends"},
    {"startswith", string_startswith, "prefix start end", 1},
    {"strip", string_strip_both, "chars"},
    {"swapcase", string_swapcase, ""},
    {"title", string_title, ""},
    {"upper", string_upper, ""},
    {"zfill", string_zfill, "width", 1},
    {NULL},
};

/* ---- what a string is ---- */

/* Do all characters (at least one) satisfy it? */
static struct value all(struct value self, bool (*is)(int32_t c)) {
    for (size_t at = 0, len; at < self.string->len; at += len)
        if (!is(string_char(self.string, at, &len))) return value_bool(false);
    return value_bool(self.string->len > 0);
}

/* Is there a cased letter, and none that `other` finds? */
static struct value all_cased(struct value self, bool (*is)(int32_t c), bool (*other)(int32_t c)) {
    bool any = false;
    for (size_t at = 0, len; at < self.string->len; at += len) {
        int32_t c = string_char(self.string, at, &len);
        if (other(c)) return value_bool(false);
        any |= is(c);
    }
    return value_bool(any);
}

static bool is_ascii(int32_t c) { return c < 0x80; }

static struct value string_isalpha(ARGUMENTS) { return all(self, case_is_alpha); }
static struct value string_isalnum(ARGUMENTS) { return all(self, case_is_alnum); }
static struct value string_isdecimal(ARGUMENTS) { return all(self, case_is_decimal); }
static struct value string_isspace(ARGUMENTS) { return all(self, string_is_space); }
static struct value string_islower(ARGUMENTS) { return all_cased(self, case_is_lower, case_is_upper); }
static struct value string_isupper(ARGUMENTS) { return all_cased(self, case_is_upper, case_is_lower); }

static struct value string_isascii(ARGUMENTS) {
    return value_bool(self.string->len == 0 || all(self, is_ascii).boolean);
}

static struct value string_istitle(ARGUMENTS) {
    bool upper_last = false, any = false;
    for (size_t at = 0, len; at < self.string->len; at += len) {
        int32_t c = string_char(self.string, at, &len);
        bool upper = case_is_upper(c), lower = case_is_lower(c);
        if ((upper && upper_last) || (lower && !upper_last)) return value_bool(false);
        upper_last = upper || lower;
        any |= upper;
    }
    return value_bool(any);
}

const struct builtin methods_predicate[] = {
    {"isalnum", string_isalnum, ""},
    {"isalpha", string_isalpha, ""},
    {"isascii", string_isascii, ""},
    {"isdigit", string_isdecimal, ""},
    {"isdecimal", string_isdecimal, ""},
    {"isnumeric", string_isdecimal, ""},
    {"islower", string_islower, ""},
    {"isspace", string_isspace, ""},
    {"istitle", string_istitle, ""},
    {"isupper", string_isupper, ""},
    {NULL},
};

/* ---- dicts ---- */

static struct value view(struct interp *in, const struct dict *d, const char *type, bool keys, bool values) {
    struct list *l = list_new(in);
    l->type = type;
    for (size_t i = 0; i < d->count; i++) {
        struct list *pair = list_new(in);
        if (keys && values) list_add(in, pair, d->keys[i]), list_add(in, pair, d->values[i]);
        list_add(in, l, keys && values ? value_tuple(pair) : keys ? d->keys[i] : d->values[i]);
    }
    return (struct value){.kind = VALUE_VIEW, .list = l};
}

static struct value dict_items(ARGUMENTS) { return view(in, self.dict, "dict_items", true, true); }
static struct value dict_keys(ARGUMENTS) { return view(in, self.dict, "dict_keys", true, false); }
static struct value dict_values(ARGUMENTS) { return view(in, self.dict, "dict_values", false, true); }
static struct value dict_copy(ARGUMENTS) { return self; }

static struct value dict_get(ARGUMENTS) {
    const struct value *v = dict_find(in, self.dict, args[0]);
    return v ? *v : value_given(args[1]) ? args[1] : value_none();
}

const struct builtin methods_dict[] = {
    {"items", dict_items, ""},
    {"keys", dict_keys, ""},
    {"values", dict_values, ""},
    {"get", dict_get, "key default", 1},
    {"copy", dict_copy, ""},
    {"clear"},
    {"pop"},
    {"popitem"},
    {"setdefault"},
    {"update"},
    {NULL},
};

/* ---- lists ---- */

static struct value list_index(ARGUMENTS) {
    struct list *l = value_items(in, self);
    for (size_t i = 0; i < l->count; i++)
        if (value_equal(in, l->items[i], args[0])) return value_int((int64_t)i);
    interp_raise(in, "value is not in the %s", value_type(self));
}

static struct value list_count(ARGUMENTS) {
    struct list *l = value_items(in, self);
    int64_t count = 0;
    for (size_t i = 0; i < l->count; i++) count += value_equal(in, l->items[i], args[0]);
    return value_int(count);
}

static struct value list_copy(ARGUMENTS) { return self; }

const struct builtin methods_list[] = {
    {"index", list_index, "value", 1},
    {"count", list_count, "value", 1},
    {"copy", list_copy, ""},
    {"append"},
    {"clear"},
    {"pop"},
    {"reverse"},
    {"insert"},
    {"sort"},
    {"extend"},
    {"remove"},
    {NULL},
};

const struct builtin methods_tuple[] = {
    {"index", list_index, "value", 1},
    {"count", list_count, "value", 1},
    {NULL},
};
