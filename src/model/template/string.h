/* Text inside a template: immutable UTF-8 that knows which of its bytes came from a user.
 *
 * The origin travels through every operation (slices, joins, replacements, captured blocks), so that in the rendered
 * prompt the template's own special tokens can be told from text that only looks like them. Positions are bytes; where
 * Python counts characters, string_offset converts. All memory is the interpreter's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/template/interp.h"

struct string {
    const char *data; /* not NUL-terminated */
    size_t len;
    const uint8_t *origin; /* per byte, 1: a user's; NULL: all bytes are as `user` says */
    bool user;
    bool markup; /* marked safe by a filter: what is joined to it gets its HTML escaped, as markupsafe has it */
};

struct string *string_new(struct interp *in, const char *data, size_t len, bool user); /* a view of data */
struct string *string_of(struct interp *in, const char *literal); /* likewise, the template's own */
struct string *string_slice(struct interp *in, const struct string *s, size_t begin, size_t end);
/* The same bytes, marked safe or not. */
const struct string *string_marked(struct interp *in, const struct string *s, bool markup);
/* For joining to `other`: with its HTML escaped if only the other one is markup. */
const struct string *string_beside(struct interp *in, const struct string *s, const struct string *other);
struct string *string_escape(struct interp *in, const struct string *s); /* markup, whatever it was */
bool string_equal(const struct string *a, const struct string *b);
bool string_is(const struct string *s, const char *literal);
int string_compare(const struct string *a, const struct string *b); /* by code points */

/* ---- characters ---- */
/* The character at byte `at`, and its length; an invalid byte counts as one character U+FFFD. */
int32_t string_char(const struct string *s, size_t at, size_t *len);
/* Begin of the character that ends before byte `end` (> 0). */
size_t string_before(const struct string *s, size_t end);
size_t string_chars(const struct string *s);
size_t string_offset(const struct string *s, size_t chars); /* byte of a character; len when beyond */
bool string_is_space(int32_t c);                            /* as str.isspace */
bool string_is_line_end(int32_t c);                         /* as str.splitlines */

/* ---- finding ---- */
#define STRING_NONE SIZE_MAX
/* First occurrence at or after `from`, or last one before `end`; STRING_NONE when there is none. */
size_t string_find(struct interp *in, const struct string *s, const struct string *what, size_t from);
size_t string_find_last(struct interp *in, const struct string *s, const struct string *what, size_t end);
bool string_starts(const struct string *s, const struct string *prefix);
bool string_ends(const struct string *s, const struct string *suffix);
/* Without white space (set NULL) or characters of `set` on the chosen sides. */
struct string *string_strip(struct interp *in, const struct string *s, const struct string *set, bool left, bool right);
/* At most `count` replacements (negative: all). */
struct string *string_replace(struct interp *in, const struct string *s, const struct string *old,
                              const struct string *new_, int64_t count);

/* ---- building ---- */
struct builder {
    struct interp *in;
    char *data;
    uint8_t *origin; /* NULL while all bytes have the same origin */
    size_t len, capacity;
    bool user; /* of all bytes, while origin is NULL */
};

struct builder builder_new(struct interp *in);
void builder_add(struct builder *b, const struct string *s);
void builder_add_slice(struct builder *b, const struct string *s, size_t begin, size_t end);
void builder_add_bytes(struct builder *b, const char *data, size_t len, bool user);
void builder_add_str(struct builder *b, const char *literal);
void builder_add_char(struct builder *b, int32_t c, bool user);
void builder_add_repeat(struct builder *b, const struct string *s, int64_t times);
void builder_printf(struct builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The bytes so far; adding more does not change it. */
struct string *builder_string(struct builder *b);
struct string *builder_string_like(struct builder *b, const struct string *model); /* markup if that is */
/* Did a user write the byte? */
static inline bool string_user_at(const struct string *s, size_t at) { return s->origin ? s->origin[at] : s->user; }
