/* str() and repr() as Python has them. */
#include "model/template/scope.h"
#include "model/template/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/template/eval.h"

/* The shortest digits that read back as the same number (Python's repr): "d.ddd" and its exponent. */
static int shortest(double d, char digits[32], int *exponent) {
    char text[40];
    int precision = 0;
    do snprintf(text, sizeof text, "%.*e", precision, d);
    while (strtod(text, NULL) != d && ++precision < 17);
    char *e = strchr(text, 'e');
    *exponent = atoi(e + 1);
    int n = 0;
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9') digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = '\0';
    return n;
}

void value_print_float(struct builder *b, double d) {
    char digits[32];
    int exponent, i = 0;
    if (isnan(d) || isinf(d)) {
        builder_add_str(b, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    if (signbit(d)) builder_add_str(b, "-");
    int n = shortest(fabs(d), digits, &exponent);
    if (exponent < -4 || exponent >= 16) {
        builder_add_bytes(b, digits, 1, false);
        if (n > 1) builder_printf(b, ".%s", digits + 1);
        builder_printf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0) builder_add_str(b, "0.");
    for (int zero = -1; zero > exponent; zero--) builder_add_str(b, "0");
    for (; i < n || i <= exponent; i++) {
        if (exponent >= 0 && i == exponent + 1) builder_add_str(b, ".");
        builder_add_bytes(b, i < n ? &digits[i] : "0", 1, false);
    }
    if (exponent >= 0 && i == exponent + 1) builder_add_str(b, ".0");
}

/* Does Python's str.isprintable hold for the character? */
static bool printable(int32_t c) {
    if (c < 0x80) return c >= 0x20 && c < 0x7f;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

static void repr_char(struct builder *b, const struct string *s, size_t at, size_t len, int32_t c, char quote) {
    const char *escape = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\\' ? "\\\\" : NULL;
    if (escape)
        builder_add_str(b, escape);
    else if (c == quote)
        builder_printf(b, "\\%c", quote);
    else if (printable(c))
        builder_add_slice(b, s, at, at + len);
    else if (c < 0x100)
        builder_printf(b, "\\x%02x", (unsigned)c);
    else if (c < 0x10000)
        builder_printf(b, "\\u%04x", (unsigned)c);
    else
        builder_printf(b, "\\U%08x", (unsigned)c);
}

static void repr_string(struct builder *b, const struct string *s) {
    bool single = memchr(s->data, '\'', s->len) != NULL, both = single && memchr(s->data, '"', s->len) != NULL;
    char quote = single && !both ? '"' : '\'';
    builder_add_bytes(b, &quote, 1, false);
    for (size_t at = 0, len; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        repr_char(b, s, at, len, c, quote);
    }
    builder_add_bytes(b, &quote, 1, false);
}

static void repr_list(struct builder *b, const struct list *l, const char *open, const char *close) {
    builder_add_str(b, open);
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0) builder_add_str(b, ", ");
        value_repr(b, l->items[i]);
    }
    builder_add_str(b, close);
}

static void repr_dict(struct builder *b, const struct dict *d) {
    builder_add_str(b, "{");
    for (size_t i = 0; i < d->count; i++) {
        if (i > 0) builder_add_str(b, ", ");
        value_repr(b, d->keys[i]);
        builder_add_str(b, ": ");
        value_repr(b, d->values[i]);
    }
    builder_add_str(b, "}");
}

static void repr_namespace(struct builder *b, const struct namespace *ns) {
    struct dict *d = dict_new(b->in);
    for (size_t i = 0; i < ns->attributes.count; i++)
        dict_set(b->in, d, value_string(ns->attributes.variables[i].name), ns->attributes.variables[i].value);
    builder_add_str(b, "<Namespace ");
    repr_dict(b, d);
    builder_add_str(b, ">");
}

static void repr_range(struct builder *b, const struct range *r) {
    builder_printf(b, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
    if (r->step != 1) builder_printf(b, ", %lld", (long long)r->step);
    builder_add_str(b, ")");
}

static void repr_object(struct builder *b, struct value v) {
    if (v.kind == VALUE_LOOP) {
        builder_printf(b, "<LoopContext %zu/%zu>", v.loop->index0 + 1, v.loop->items->count);
    } else if (v.kind == VALUE_MACRO) {
        builder_add_str(b, v.macro->node->name ? "<Macro " : "<Macro anonymous");
        if (v.macro->node->name) repr_string(b, v.macro->node->name);
        builder_add_str(b, ">");
    } else {
        builder_printf(b, "<%s object>", value_type(v));
    }
}

void value_repr(struct builder *b, struct value v) {
    interp_descend(b->in);
    switch (v.kind) {
    case VALUE_UNDEFINED: builder_add_str(b, "Undefined"); break;
    case VALUE_NONE: builder_add_str(b, "None"); break;
    case VALUE_BOOL: builder_add_str(b, v.boolean ? "True" : "False"); break;
    case VALUE_INT: builder_printf(b, "%lld", (long long)v.integer); break;
    case VALUE_FLOAT: value_print_float(b, v.number); break;
    case VALUE_STRING:
        if (v.string->markup) builder_add_str(b, "Markup(");
        repr_string(b, v.string);
        if (v.string->markup) builder_add_str(b, ")");
        break;
    case VALUE_LIST: repr_list(b, v.list, "[", "]"); break;
    case VALUE_TUPLE: repr_list(b, v.list, "(", v.list->count == 1 ? ",)" : ")"); break;
    case VALUE_VIEW:
        builder_add_str(b, v.list->type);
        repr_list(b, v.list, "([", "])");
        break;
    case VALUE_DICT: repr_dict(b, v.dict); break;
    case VALUE_NAMESPACE: repr_namespace(b, v.namespace); break;
    case VALUE_RANGE: repr_range(b, v.range); break;
    default: repr_object(b, v);
    }
    b->in->depth--;
}

void value_print(struct builder *b, struct value v) {
    if (v.kind == VALUE_STRING)
        builder_add(b, v.string);
    else if (v.kind != VALUE_UNDEFINED)
        value_repr(b, v);
}

const struct string *value_text(struct interp *in, struct value v) {
    if (v.kind == VALUE_STRING) return v.string;
    struct builder b = builder_new(in);
    value_print(&b, v);
    return builder_string(&b);
}
