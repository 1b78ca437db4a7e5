/* JSON in (jansson) and out (as Python's json.dumps writes it). */
#include <math.h>
#include <string.h>

#include "model/template/print.h"

/* A role is one of a few words that the API has checked: templates build their own tokens from it. */
static bool is_plain_role(const char *key, const json_t *value) {
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *text = json_string_value(value);
    return text && strcmp(key, "role") == 0 && strspn(text, word) == json_string_length(value);
}

static struct value from_object(struct interp *in, const json_t *json, bool user) {
    struct dict *d = dict_new(in);
    const char *key;
    json_t *value;
    d->capacity = json_object_size(json);
    d->keys = interp_array(in, d->capacity + 1, sizeof *d->keys);
    d->values = interp_array(in, d->capacity + 1, sizeof *d->values);
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        interp_spend(in, 1);
        d->keys[d->count] = value_string(string_new(in, key, strlen(key), user));
        d->values[d->count++] = value_from_json(in, value, user && !is_plain_role(key, value));
    }
    return value_dict(d);
}

static struct value from_array(struct interp *in, const json_t *json, bool user) {
    struct list *l = list_new(in);
    for (size_t i = 0; i < json_array_size(json); i++)
        list_add(in, l, value_from_json(in, json_array_get(json, i), user));
    return value_list(l);
}

struct value value_from_json(struct interp *in, const json_t *json, bool user) {
    struct value v = value_none();
    interp_descend(in);
    switch (json_typeof(json)) {
    case JSON_OBJECT: v = from_object(in, json, user); break;
    case JSON_ARRAY: v = from_array(in, json, user); break;
    case JSON_STRING: v = value_string(string_new(in, json_string_value(json), json_string_length(json), user)); break;
    case JSON_INTEGER: v = value_int(json_integer_value(json)); break;
    case JSON_REAL: v = value_float(json_real_value(json)); break;
    case JSON_TRUE: v = value_bool(true); break;
    case JSON_FALSE: v = value_bool(false); break;
    case JSON_NULL: break;
    }
    in->depth--;
    return v;
}

/* ---- writing ---- */

struct writer {
    struct builder *b;
    const struct json_style *style;
    int64_t level;
};

static void write_value(struct writer *w, struct value v);

static void write_escaped(struct builder *b, int32_t c) {
    const char *short_ = c == '"'    ? "\\\""
                         : c == '\\' ? "\\\\"
                         : c == '\n' ? "\\n"
                         : c == '\r' ? "\\r"
                         : c == '\t' ? "\\t"
                         : c == '\b' ? "\\b"
                         : c == '\f' ? "\\f"
                                     : NULL;
    if (short_) {
        builder_add_str(b, short_);
    } else if (c < 0x10000) {
        builder_printf(b, "\\u%04x", (unsigned)c);
    } else { /* a surrogate pair (RFC 8259, section 7) */
        unsigned rest = (unsigned)c - 0x10000;
        builder_printf(b, "\\u%04x\\u%04x", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    }
}

static void write_string(struct writer *w, const struct string *s) {
    builder_add_str(w->b, "\"");
    size_t run = 0;
    for (size_t at = 0, len; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        bool escape = c < 0x20 || c == '"' || c == '\\' || (w->style->ascii && c > 0x7e);
        if (!escape) continue;
        builder_add_slice(w->b, s, run, at);
        write_escaped(w->b, c);
        run = at + len;
    }
    builder_add_slice(w->b, s, run, s->len);
    builder_add_str(w->b, "\"");
}

static void write_float(struct writer *w, double d) {
    if (isnan(d))
        builder_add_str(w->b, "NaN");
    else if (isinf(d))
        builder_add_str(w->b, d < 0 ? "-Infinity" : "Infinity");
    else
        value_print_float(w->b, d);
}

/* A new line at the current depth, where the style has lines. */
static void write_line(struct writer *w) {
    if (w->style->indent == NULL) return;
    builder_add_str(w->b, "\n");
    builder_add_repeat(w->b, w->style->indent, w->level);
}

static void write_list(struct writer *w, const struct list *l) {
    builder_add_str(w->b, "[");
    w->level++;
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0) builder_add(w->b, w->style->item_separator);
        write_line(w);
        write_value(w, l->items[i]);
    }
    w->level--;
    if (l->count > 0) write_line(w);
    builder_add_str(w->b, "]");
}

static void write_key(struct writer *w, struct value key) {
    if (key.kind == VALUE_STRING) {
        write_string(w, key.string);
        return;
    }
    if (key.kind > VALUE_STRING || key.kind == VALUE_UNDEFINED)
        interp_raise(w->b->in, "keys must be str, int, float, bool or None, not %s", value_type(key));
    builder_add_str(w->b, "\"");
    write_value(w, key);
    builder_add_str(w->b, "\"");
}

/* Positions of the keys in order. */
static size_t *order(struct writer *w, const struct dict *d) {
    size_t *at = interp_array(w->b->in, d->count, sizeof *at);
    for (size_t i = 0; i < d->count; i++) {
        size_t j = i;
        for (; w->style->sort && j > 0 && value_compare(w->b->in, d->keys[i], d->keys[at[j - 1]], "<") < 0; j--)
            at[j] = at[j - 1];
        at[j] = i;
    }
    return at;
}

static void write_dict(struct writer *w, const struct dict *d) {
    size_t *at = order(w, d);
    builder_add_str(w->b, "{");
    w->level++;
    for (size_t i = 0; i < d->count; i++) {
        if (i > 0) builder_add(w->b, w->style->item_separator);
        write_line(w);
        write_key(w, d->keys[at[i]]);
        builder_add(w->b, w->style->key_separator);
        write_value(w, d->values[at[i]]);
    }
    w->level--;
    if (d->count > 0) write_line(w);
    builder_add_str(w->b, "}");
}

static void write_value(struct writer *w, struct value v) {
    interp_descend(w->b->in);
    switch (v.kind) {
    case VALUE_NONE: builder_add_str(w->b, "null"); break;
    case VALUE_BOOL: builder_add_str(w->b, v.boolean ? "true" : "false"); break;
    case VALUE_INT: value_repr(w->b, v); break;
    case VALUE_FLOAT: write_float(w, v.number); break;
    case VALUE_STRING: write_string(w, v.string); break;
    case VALUE_LIST:
    case VALUE_TUPLE: write_list(w, v.list); break;
    case VALUE_DICT: write_dict(w, v.dict); break;
    default: interp_raise(w->b->in, "Object of type %s is not JSON serializable", value_type(v));
    }
    w->b->in->depth--;
}

void value_to_json(struct builder *b, struct value v, const struct json_style *style) {
    struct writer w = {.b = b, .style = style};
    write_value(&w, v);
}
