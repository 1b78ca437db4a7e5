/* Filters over texts and numbers (jinja2/filters.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/template/case.h"
#include "model/template/print.h"
#include "model/template/tables.h"

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

static struct value text(const struct string *s) { return value_string(s); }

static bool is_none(struct value v) { return v.kind == VALUE_ABSENT || v.kind == VALUE_NONE; }

static struct value filter_upper(ARGUMENTS) { return text(case_apply(in, value_text(in, self), CASE_UPPER)); }
static struct value filter_lower(ARGUMENTS) { return text(case_apply(in, value_text(in, self), CASE_LOWER)); }
static struct value filter_capitalize(ARGUMENTS) { return text(case_apply(in, value_text(in, self), CASE_CAPITALIZE)); }
static struct value filter_string(ARGUMENTS) { return text(value_text(in, self)); }

static struct value filter_trim(ARGUMENTS) {
    const struct string *chars = is_none(args[0]) ? NULL : builtin_text(in, args[0], "");
    return text(string_strip(in, value_text(in, self), chars, true, true));
}

static struct value filter_title(ARGUMENTS) {
    const struct string *s = value_text(in, self);
    struct builder b = builder_new(in);
    bool begins = true; /* of a word, in Jinja's sense */
    for (size_t at = 0, len; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        struct string *one = string_slice(in, s, at, at + len);
        bool split = string_is_space(c) || (c < 0x80 && c > 0 && strchr("-({[<", c));
        builder_add(&b, split ? one : case_apply(in, one, begins ? CASE_UPPER : CASE_LOWER));
        begins = split;
    }
    return text(builder_string(&b));
}

static struct value filter_center(ARGUMENTS) {
    struct call width = {0};
    call_add(in, &width, value_int(builtin_int(in, args[0], 80)));
    struct value s = text(value_text(in, self));
    return builtin_call(in, builtin_method(s, string_of(in, "center")), s, &width);
}

static struct value filter_replace(ARGUMENTS) {
    int64_t count = is_none(args[2]) ? -1 : builtin_int(in, args[2], -1);
    return text(string_replace(in, value_text(in, self), value_text(in, args[0]), value_text(in, args[1]), count));
}

static struct value filter_forceescape(ARGUMENTS) { return text(string_escape(in, value_text(in, self))); }
static struct value filter_safe(ARGUMENTS) { return text(string_marked(in, value_text(in, self), true)); }

static struct value filter_escape(ARGUMENTS) {
    const struct string *s = value_text(in, self);
    return text(s->markup ? s : string_escape(in, s));
}

static struct value filter_indent(ARGUMENTS) {
    const struct string *s = builtin_text(in, self, "");
    bool first = builtin_bool(in, args[1], false), blank = builtin_bool(in, args[2], false);
    struct builder indent = builder_new(in), b = builder_new(in);
    if (args[0].kind == VALUE_STRING)
        builder_add(&indent, args[0].string);
    else
        builder_add_repeat(&indent, string_of(in, " "), builtin_int(in, args[0], 4));
    const struct string *margin = builder_string(&indent);
    const struct call none = {0};
    struct value lines = builtin_call(in, builtin_method(self, string_of(in, "splitlines")), self, &none);
    bool ends = s->len == 0 || string_is_line_end(string_char(s, string_before(s, s->len), &(size_t){0}));
    if (ends) list_add(in, lines.list, text(string_of(in, ""))); /* Jinja adds a newline before it splits */
    for (size_t i = 0; i < lines.list->count; i++) {
        const struct string *line = lines.list->items[i].string;
        if (i > 0) builder_add_str(&b, "\n");
        if (i == 0 ? first : blank || line->len > 0) builder_add(&b, margin);
        builder_add(&b, line);
    }
    return text(builder_string_like(&b, s));
}

static struct value filter_truncate(ARGUMENTS) {
    const struct string *s = builtin_text(in, self, ""), *end = builtin_text(in, args[2], "...");
    int64_t length = builtin_int(in, args[0], 255), leeway = is_none(args[3]) ? 5 : builtin_int(in, args[3], 5);
    int64_t kept = length - (int64_t)string_chars(end);
    if (kept < 0 || leeway < 0) interp_raise(in, "expected length >= %zu", string_chars(end));
    if ((int64_t)string_chars(s) <= length + leeway) return self;
    size_t cut = string_offset(s, (size_t)kept);
    const char *space = memrchr(s->data, ' ', cut);
    if (!builtin_bool(in, args[1], false) && space) cut = (size_t)(space - s->data);
    struct builder b = builder_new(in);
    builder_add_slice(&b, s, 0, cut);
    builder_add(&b, string_beside(in, end, s));
    return text(builder_string_like(&b, s));
}

static struct value filter_wordcount(ARGUMENTS) {
    const struct string *s = value_text(in, self);
    int64_t count = 0;
    bool inside = false;
    for (size_t at = 0, len; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        bool word = case_is_alnum(c) || c == '_';
        count += word && !inside;
        inside = word;
    }
    return value_int(count);
}

static void add_quoted(struct builder *b, const struct string *s, bool query) {
    for (size_t i = 0; i < s->len; i++) {
        unsigned char c = (unsigned char)s->data[i];
        bool safe = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (safe)
            builder_add_slice(b, s, i, i + 1);
        else if (c == ' ' && query)
            builder_add_str(b, "+");
        else
            builder_printf(b, "%%%02X", c);
    }
}

static struct value filter_urlencode(ARGUMENTS) {
    struct builder b = builder_new(in);
    if (self.kind == VALUE_STRING || !value_iterable(self)) {
        add_quoted(&b, value_text(in, self), false);
        return text(builder_string(&b));
    }
    struct list *keys = value_items(in, self);
    for (size_t i = 0; i < keys->count; i++) {
        bool dict = self.kind == VALUE_DICT;
        struct list *pair = dict ? NULL : value_items(in, keys->items[i]);
        if (pair && pair->count != 2) interp_raise(in, "urlencode needs pairs");
        if (i > 0) builder_add_str(&b, "&");
        add_quoted(&b, value_text(in, pair ? pair->items[0] : keys->items[i]), true);
        builder_add_str(&b, "=");
        add_quoted(&b, value_text(in, pair ? pair->items[1] : self.dict->values[i]), true);
    }
    return text(builder_string(&b));
}

static struct value filter_format(ARGUMENTS) {
    if (call->count > 0 && call->keyword_count > 0)
        interp_raise(in, "can't handle positional and keyword arguments at the same time");
    struct dict *named = dict_new(in);
    struct list *positional = list_new(in);
    for (size_t i = 0; i < call->keyword_count; i++)
        dict_set(in, named, text(call->keywords[i].name), call->keywords[i].value);
    for (size_t i = 0; i < call->count; i++) list_add(in, positional, call->args[i]);
    bool keywords = call->keyword_count > 0;
    return format_percent(in, value_text(in, self), keywords ? value_dict(named) : value_tuple(positional));
}

/* ---- numbers ---- */

/* The text without the white space and single underscores that Python's int() and float() allow. */
static bool digits_only(struct interp *in, const struct string *s, char *out, size_t size) {
    const struct string *stripped = string_strip(in, s, NULL, true, true);
    size_t n = 0;
    for (size_t i = 0; i < stripped->len; i++) {
        char c = stripped->data[i];
        if (c == '_' && i > 0 && i + 1 < stripped->len && stripped->data[i - 1] != '_') continue;
        if (n + 1 >= size || c == '\0' || c == ' ' || c == '_') return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

static bool parse_float(struct interp *in, struct value v, double *out) {
    char digits[128], *end;
    if (v.kind == VALUE_UNDEFINED) value_raise_undefined(in, v);
    if (value_as_number(v, out)) return true;
    if (v.kind != VALUE_STRING || !digits_only(in, v.string, digits, sizeof digits)) return false;
    if (strpbrk(digits, "xXpP(")) return false;
    *out = strtod(digits, &end);
    return *end == '\0';
}

static struct value filter_filesizeformat(ARGUMENTS) {
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary_[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    bool binary = builtin_bool(in, args[0], false);
    double bytes = 0, base = binary ? 1024 : 1000, unit = base;
    if (!parse_float(in, self, &bytes)) interp_raise(in, "could not convert to float: '%s'", value_type(self));
    struct builder b = builder_new(in);
    if (bytes == 1)
        builder_add_str(&b, "1 Byte");
    else if (bytes < base)
        builder_printf(&b, "%lld Bytes", (long long)bytes);
    else {
        int i = 0;
        while (i < 7 && bytes >= unit * base) unit *= base, i++;
        builder_printf(&b, "%.1f %s", bytes / unit, (binary ? binary_ : decimal)[i]);
    }
    return text(builder_string(&b));
}

static bool parse_int(struct interp *in, const struct string *s, int64_t base, int64_t *out) {
    char digits[128], *end;
    if (!digits_only(in, s, digits, sizeof digits)) return false;
    char *at = digits + (digits[0] == '-' || digits[0] == '+');
    char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : '\0';
    if (prefix && at[0] == '0' && (at[1] | 0x20) == prefix) memmove(at, at + 2, strlen(at + 2) + 1);
    *out = strtoll(digits, &end, (int)base);
    return end > digits && *end == '\0' && strpbrk(digits, "xX") == NULL;
}

static struct value filter_int(ARGUMENTS) {
    double number;
    int64_t whole, base = builtin_int(in, args[1], 10);
    if (base < 2 || base > 36) interp_raise(in, "int() base must be >= 2 and <= 36, or 0");
    if (value_as_int(self, &whole)) return value_int(whole);
    if (self.kind == VALUE_STRING && parse_int(in, self.string, base, &whole)) return value_int(whole);
    if (parse_float(in, self, &number) && fabs(number) < 9.2e18) return value_int((int64_t)number);
    return value_given(args[0]) ? args[0] : value_int(0);
}

static struct value filter_float(ARGUMENTS) {
    double number;
    if (parse_float(in, self, &number)) return value_float(number);
    return value_given(args[0]) ? args[0] : value_float(0);
}

static struct value filter_abs(ARGUMENTS) {
    int64_t whole;
    if (self.kind == VALUE_FLOAT) return value_float(fabs(self.number));
    if (self.kind == VALUE_UNDEFINED) value_raise_undefined(in, self);
    if (!value_as_int(self, &whole)) interp_raise(in, "bad operand type for abs(): '%s'", value_type(self));
    return whole < 0 ? value_negate(in, self, true) : value_int(whole);
}

/* Correctly rounded, halves to even: the decimal digits decide, as in CPython. */
static double round_common(double number, int64_t precision) {
    char digits[400];
    if (precision > 300 || !isfinite(number)) return number;
    if (precision < 0)
        return precision < -300 ? 0 : nearbyint(number / pow(10, (double)-precision)) * pow(10, (double)-precision);
    snprintf(digits, sizeof digits, "%.*f", (int)precision, number);
    return strtod(digits, NULL);
}

static struct value filter_round(ARGUMENTS) {
    const struct string *method = builtin_text(in, args[1], "common");
    int64_t precision = builtin_int(in, args[0], 0);
    double number, scale = pow(10, (double)precision);
    bool ceiling = string_is(method, "ceil"), down = string_is(method, "floor");
    if (!ceiling && !down && !string_is(method, "common")) interp_raise(in, "method must be common, ceil or floor");
    if (self.kind == VALUE_UNDEFINED) value_raise_undefined(in, self);
    if (!value_as_number(self, &number)) interp_raise(in, "type %s doesn't define __round__ method", value_type(self));
    if (ceiling || down) return value_float((ceiling ? ceil(number * scale) : floor(number * scale)) / scale);
    number = round_common(number, precision);
    return self.kind == VALUE_FLOAT ? value_float(number) : value_int((int64_t)number);
}

/* ---- any value ---- */

static struct value filter_default(ARGUMENTS) {
    bool missing = self.kind == VALUE_UNDEFINED || (builtin_bool(in, args[1], false) && !value_truth(in, self));
    if (!missing) return self;
    return value_given(args[0]) ? args[0] : text(string_of(in, ""));
}

static struct value filter_attr(ARGUMENTS) {
    const struct string *name = builtin_text(in, args[0], "");
    if (self.kind == VALUE_DICT && builtin_method(self, name) == NULL) return value_undefined(in, "no such attribute");
    return value_attribute(in, self, name);
}

static struct value filter_tojson(ARGUMENTS) {
    struct json_style style = {.ascii = builtin_bool(in, args[0], false), .sort = builtin_bool(in, args[3], false)};
    struct builder indent = builder_new(in), b = builder_new(in);
    if (args[1].kind == VALUE_STRING) style.indent = args[1].string;
    if (!is_none(args[1]) && args[1].kind != VALUE_STRING) {
        builder_add_repeat(&indent, string_of(in, " "), builtin_int(in, args[1], 0));
        style.indent = builder_string(&indent);
    }
    style.item_separator = string_of(in, style.indent ? "," : ", ");
    style.key_separator = string_of(in, ": ");
    if (!is_none(args[2])) {
        struct list *pair = value_items(in, args[2]);
        if (pair->count != 2) interp_raise(in, "separators must be a pair");
        style.item_separator = builtin_text(in, pair->items[0], "");
        style.key_separator = builtin_text(in, pair->items[1], "");
    }
    value_to_json(&b, self, &style);
    return text(builder_string(&b));
}

const struct builtin filters_text[] = {
    {"abs", filter_abs, ""},
    {"attr", filter_attr, "name", 1},
    {"capitalize", filter_capitalize, ""},
    {"center", filter_center, "width"},
    {"d", filter_default, "default_value boolean"},
    {"default", filter_default, "default_value boolean"},
    {"e", filter_escape, ""},
    {"escape", filter_escape, ""},
    {"filesizeformat", filter_filesizeformat, "binary"},
    {"float", filter_float, "default"},
    {"forceescape", filter_forceescape, ""},
    {"format", filter_format},
    {"indent", filter_indent, "width first blank"},
    {"int", filter_int, "default base"},
    {"lower", filter_lower, ""},
    {"replace", filter_replace, "old new count", 2},
    {"round", filter_round, "precision method"},
    {"safe", filter_safe, ""},
    {"string", filter_string, ""},
    {"title", filter_title, ""},
    {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys"},
    {"trim", filter_trim, "chars"},
    {"truncate", filter_truncate, "length killwords end leeway"},
    {"upper", filter_upper, ""},
    {"urlencode", filter_urlencode, ""},
    {"wordcount", filter_wordcount, ""},
    {NULL},
};
