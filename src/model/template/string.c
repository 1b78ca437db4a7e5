#include "model/template/string.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

struct string *string_new(struct interp *in, const char *data, size_t len, bool user) {
    struct string *s = interp_alloc(in, sizeof *s);
    *s = (struct string){.data = data, .len = len, .user = user};
    return s;
}

struct string *string_of(struct interp *in, const char *literal) {
    return string_new(in, literal, strlen(literal), false);
}

struct string *string_slice(struct interp *in, const struct string *s, size_t begin, size_t end) {
    struct string *slice = string_new(in, s->data + begin, end > begin ? end - begin : 0, s->user);
    if (s->origin) slice->origin = s->origin + begin;
    slice->markup = s->markup;
    return slice;
}

const struct string *string_marked(struct interp *in, const struct string *s, bool markup) {
    if (s->markup == markup) return s;
    struct string *marked = string_slice(in, s, 0, s->len);
    marked->markup = markup;
    return marked;
}

const struct string *string_beside(struct interp *in, const struct string *s, const struct string *other) {
    return other->markup && !s->markup ? string_escape(in, s) : s;
}

bool string_equal(const struct string *a, const struct string *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

bool string_is(const struct string *s, const char *literal) {
    return strlen(literal) == s->len && memcmp(s->data, literal, s->len) == 0;
}

/* UTF-8 keeps the order of code points. */
int string_compare(const struct string *a, const struct string *b) {
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len > 0 ? memcmp(a->data, b->data, len) : 0;
    return order ? (order > 0) - (order < 0) : (a->len > b->len) - (a->len < b->len);
}

/* ---- characters ---- */

int32_t string_char(const struct string *s, size_t at, size_t *len) {
    *len = 1;
    if ((unsigned char)s->data[at] < 0x80) return (unsigned char)s->data[at];
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s->data + at, (utf8proc_ssize_t)(s->len - at), &c);
    if (n <= 0) return 0xfffd;
    *len = (size_t)n;
    return c;
}

size_t string_before(const struct string *s, size_t end) {
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && ((unsigned char)s->data[at] & 0xc0) == 0x80) at--;
    return at;
}

size_t string_offset(const struct string *s, size_t chars) {
    size_t at = 0, len;
    for (; chars > 0 && at < s->len; chars--) {
        string_char(s, at, &len);
        at += len;
    }
    return at;
}

size_t string_chars(const struct string *s) {
    size_t count = 0;
    for (size_t i = 0; i < s->len; i++) count += ((unsigned char)s->data[i] & 0xc0) != 0x80;
    return count;
}

bool string_is_space(int32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool string_is_line_end(int32_t c) {
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* ---- finding ---- */

size_t string_find(struct interp *in, const struct string *s, const struct string *what, size_t from) {
    if (from > s->len) return STRING_NONE;
    if (what->len == 0) return from;
    const char *found = memmem(s->data + from, s->len - from, what->data, what->len);
    size_t at = found ? (size_t)(found - s->data) : STRING_NONE;
    interp_spend(in, 1 + ((found ? at : s->len) - from) / 64);
    return at;
}

size_t string_find_last(struct interp *in, const struct string *s, const struct string *what, size_t end) {
    if (end > s->len) end = s->len;
    if (what->len > end) return STRING_NONE;
    for (size_t at = end - what->len + 1; at-- > 0;) {
        interp_spend(in, 1);
        if (what->len == 0 || memcmp(s->data + at, what->data, what->len) == 0) return at;
    }
    return STRING_NONE;
}

bool string_starts(const struct string *s, const struct string *prefix) {
    return s->len >= prefix->len && memcmp(s->data, prefix->data, prefix->len) == 0;
}

bool string_ends(const struct string *s, const struct string *suffix) {
    return s->len >= suffix->len && memcmp(s->data + s->len - suffix->len, suffix->data, suffix->len) == 0;
}

static bool in_set(const struct string *set, const struct string *s, size_t at, size_t *len) {
    int32_t c = string_char(s, at, len);
    if (set == NULL) return string_is_space(c);
    return memmem(set->data, set->len, s->data + at, *len) != NULL;
}

struct string *string_strip(struct interp *in, const struct string *s, const struct string *set, bool left,
                            bool right) {
    size_t begin = 0, end = s->len, len;
    while (left && begin < end && in_set(set, s, begin, &len)) begin += len;
    while (right && end > begin) {
        size_t at = string_before(s, end);
        if (!in_set(set, s, at, &len) || at + len != end) break;
        end = at;
    }
    interp_spend(in, 1 + (s->len - (end - begin)) / 16);
    return string_slice(in, s, begin, end);
}

struct string *string_replace(struct interp *in, const struct string *s, const struct string *old,
                              const struct string *new_, int64_t count) {
    struct builder b = builder_new(in);
    size_t at = 0, len;
    while (count != 0 && at <= s->len) {
        size_t found = string_find(in, s, old, at);
        if (found == STRING_NONE) break;
        builder_add_slice(&b, s, at, found);
        builder_add(&b, new_);
        at = found + old->len;
        if (count > 0) count--;
        if (old->len > 0) continue;
        if (at == s->len) return builder_string(&b); /* an empty string is found between all characters */
        string_char(s, at, &len);
        builder_add_slice(&b, s, at, at + len);
        at += len;
    }
    builder_add_slice(&b, s, at, s->len);
    return builder_string(&b);
}

static const char *entity(char c) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&#34;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

struct string *string_escape(struct interp *in, const struct string *s) {
    struct builder b = builder_new(in);
    for (size_t i = 0; i < s->len; i++) {
        const char *escaped = entity(s->data[i]);
        if (escaped)
            builder_add_bytes(&b, escaped, strlen(escaped), string_user_at(s, i));
        else
            builder_add_slice(&b, s, i, i + 1);
    }
    struct string *text = builder_string(&b);
    text->markup = true;
    return text;
}

/* ---- building ---- */

struct builder builder_new(struct interp *in) {
    return (struct builder){.in = in};
}

static void reserve(struct builder *b, size_t more) {
    if (more > INTERP_MEMORY_BYTES_MAX) interp_raise_limit(b->in, "needs too much memory");
    if (b->len + more <= b->capacity) return;
    size_t capacity = b->capacity ? 2 * b->capacity : 32;
    while (capacity < b->len + more) capacity *= 2;
    char *data = interp_alloc(b->in, capacity);
    if (b->len > 0) memcpy(data, b->data, b->len);
    b->data = data;
    if (b->origin) {
        uint8_t *origin = interp_alloc(b->in, capacity);
        memcpy(origin, b->origin, b->len);
        b->origin = origin;
    }
    b->capacity = capacity;
}

/* From now on bytes have different origins. */
static void split_origin(struct builder *b) {
    b->origin = interp_alloc(b->in, b->capacity);
    memset(b->origin, b->user, b->len);
}

void builder_add_bytes(struct builder *b, const char *data, size_t len, bool user) {
    if (len == 0) return;
    interp_spend(b->in, 1 + len / 64);
    reserve(b, len);
    if (b->len == 0 && b->origin == NULL) b->user = user;
    if (b->origin == NULL && b->user != user) split_origin(b);
    memcpy(b->data + b->len, data, len);
    if (b->origin) memset(b->origin + b->len, user, len);
    b->len += len;
}

void builder_add_slice(struct builder *b, const struct string *s, size_t begin, size_t end) {
    if (begin >= end) return;
    if (s->origin == NULL) {
        builder_add_bytes(b, s->data + begin, end - begin, s->user);
        return;
    }
    size_t len = end - begin;
    interp_spend(b->in, 1 + len / 32);
    reserve(b, len);
    if (b->origin == NULL) split_origin(b);
    memcpy(b->data + b->len, s->data + begin, len);
    memcpy(b->origin + b->len, s->origin + begin, len);
    b->len += len;
}

void builder_add(struct builder *b, const struct string *s) { builder_add_slice(b, s, 0, s->len); }
void builder_add_str(struct builder *b, const char *literal) { builder_add_bytes(b, literal, strlen(literal), false); }

void builder_add_char(struct builder *b, int32_t c, bool user) {
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t len = utf8proc_encode_char(c, bytes);
    builder_add_bytes(b, (const char *)bytes, (size_t)len, user);
}

void builder_add_repeat(struct builder *b, const struct string *s, int64_t times) {
    for (int64_t i = 0; i < times && s->len > 0; i++) builder_add(b, s);
}

void builder_printf(struct builder *b, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    builder_add_bytes(b, text, len < (int)sizeof text ? (size_t)len : sizeof text - 1, false);
}

struct string *builder_string(struct builder *b) {
    struct string *s = string_new(b->in, b->data ? b->data : "", b->len, b->user);
    s->origin = b->origin;
    return s;
}

struct string *builder_string_like(struct builder *b, const struct string *model) {
    struct string *s = builder_string(b);
    s->markup = model->markup;
    return s;
}
