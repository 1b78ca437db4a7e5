#include "model/tokenizer/normal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "model/tokenizer/utf8.h"

enum { STEPS_MAX = 16, NAME_BYTES = 32 };

static const struct form {
    const char *name;
    utf8proc_option_t options;
} forms[] = {{"nfc", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
             {"nfd", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
             {"nfkc", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
             {"nfkd", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};

/* ---- reading steps ---- */

/* What stands behind the step's name and a space; false when that is not its name. */
static bool take_name(struct gguf_string step, const char *name, struct gguf_string *rest) {
    size_t len = strlen(name);
    if (step.len <= len || memcmp(step.data, name, len) != 0 || step.data[len] != ' ') return false;
    *rest = (struct gguf_string){step.data + len + 1, step.len - len - 1};
    return true;
}

static const struct form *find_form(struct gguf_string step) {
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (gguf_string_is(step, forms[i].name)) return &forms[i];
    return NULL;
}

/* "N XY" */
static bool read_replacement(struct gguf_string rest, struct gguf_string *from, struct gguf_string *to) {
    size_t len = 0, i = 0;
    for (; i < rest.len && i < 6 && rest.data[i] >= '0' && rest.data[i] <= '9'; i++)
        len = len * 10 + (size_t)(rest.data[i] - '0');
    if (i == 0 || i >= rest.len || rest.data[i] != ' ' || len == 0 || len > rest.len - i - 1) return false;
    *from = (struct gguf_string){rest.data + i + 1, len};
    *to = (struct gguf_string){from->data + len, rest.len - i - 1 - len};
    return true;
}

static bool is_step(struct gguf_string step) {
    static const char *const names[] = {"words", "charsmap", "lowercase", "unmark"};
    struct gguf_string rest, to;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (gguf_string_is(step, names[i])) return true;
    if (take_name(step, "replace", &rest)) return read_replacement(rest, &rest, &to);
    return find_form(step) || take_name(step, "prepend", &rest) || take_name(step, "strip", &rest) ||
           take_name(step, "squeeze", &rest);
}

int normal_init(struct normal *n, const struct gguf_value *steps, const struct charsmap *map, struct error *error) {
    *n = (struct normal){steps, map};
    if (steps == NULL) return 0;
    if (steps->type != GGUF_ARRAY || steps->item_type != GGUF_STRING || steps->count > STEPS_MAX)
        return error_set(error, ERR_INVALID, "the tokenizer's normalisation is not an array of at most %d texts",
                         STEPS_MAX);
    for (uint64_t i = 0; i < steps->count; i++)
        if (!is_step(steps->strings[i]))
            return error_set(error, ERR_INVALID, "the tokenizer's normalisation \"%.*s\" is not known",
                             steps->strings[i].len < 200 ? (int)steps->strings[i].len : 200, steps->strings[i].data);
    return 0;
}

/* ---- doing them ---- */

static bool is_ascii(struct gguf_string text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] >= 0x80) return false;
    return true;
}

static int add_form(const struct form *form, struct gguf_string text, struct text *out) {
    utf8proc_uint8_t *made = NULL;
    if (is_ascii(text)) { /* its own normal form */
        text_add(out, text.data, text.len);
        return 0;
    }
    utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &made,
                                        form->options);
    if (len >= 0) text_add(out, made, (size_t)len);
    free(made);
    return len == UTF8PROC_ERROR_NOMEM ? ERR_NOMEM : 0;
}

static void add_replaced(struct gguf_string rest, struct gguf_string text, struct text *out) {
    struct gguf_string from, to;
    const char *at = text.data, *end = text.data + text.len, *found;
    if (!read_replacement(rest, &from, &to)) return;
    while (at < end && (found = memmem(at, (size_t)(end - at), from.data, from.len)) != NULL) {
        text_add(out, at, (size_t)(found - at));
        text_add(out, to.data, to.len);
        at = found + from.len;
    }
    text_add(out, at, (size_t)(end - at));
}

static void add_stripped(struct gguf_string sides, struct gguf_string text, struct text *out) {
    const char *begin = text.data, *end = text.data + text.len, *next;
    bool left = sides.data[0] != 'r', right = sides.data[0] != 'l'; /* left, right or both */
    for (; left && begin < end; begin = next) {
        next = begin;
        if (!utf8_is_white(utf8_next(&next))) break;
    }
    for (; right && begin < end; end = next) {
        const char *last = next = utf8_back(end);
        if (!utf8_is_white(utf8_next(&last))) break;
    }
    text_add(out, begin, (size_t)(end - begin));
}

static void add_squeezed(struct gguf_string by, struct gguf_string text, struct text *out) {
    for (size_t at = 0, n; at < text.len; at += n) {
        for (n = 0; at + n < text.len && text.data[at + n] == ' ';) n++;
        if (n > 1)
            text_add(out, by.data, by.len);
        else
            text_add(out, text.data + at, n = 1);
    }
}

static void add_words(struct gguf_string text, struct text *out) {
    bool between = false;
    for (const char *at = text.data, *end = at + text.len, *next; at < end; at = next) {
        next = at;
        bool white = utf8_is_white(utf8_next(&next));
        if (!white && between && out->len > 0) text_add_char(out, ' ');
        if (!white) text_add(out, at, (size_t)(next - at));
        between = white;
    }
}

static void add_mapped(const struct charsmap *map, struct gguf_string text, struct text *out) {
    for (size_t at = 0, used; at < text.len; at += used) {
        const char *to = text.data + at;
        size_t len = 0;
        used = map ? charsmap_find(map, text.data + at, text.len - at, &to, &len) : 0;
        if (used == 0) used = len = utf8_len(text.data + at, text.len - at);
        text_add(out, to, len);
    }
}

static void add_lowercase(struct gguf_string text, struct text *out) {
    for (const char *at = text.data, *end = at + text.len; at < end;) {
        uint32_t c = utf8_next(&at);
        char bytes[4];
        size_t len = utf8_put((uint32_t)utf8proc_tolower((utf8proc_int32_t)c), bytes);
        if (c == 0x130)
            text_add_str(out, "i\xcc\x87"); /* the one whose lower case is two characters */
        else
            text_add(out, bytes, len);
    }
}

static void add_unmarked(struct gguf_string text, struct text *out) {
    for (const char *at = text.data, *end = at + text.len, *next; at < end; at = next) {
        next = at;
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)utf8_next(&next));
        if (category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME)
            text_add(out, at, (size_t)(next - at));
    }
}

static int add_done(const struct normal *n, struct gguf_string step, struct gguf_string text, struct text *out) {
    struct gguf_string rest;
    const struct form *form = find_form(step);
    if (form) return add_form(form, text, out);
    if (gguf_string_is(step, "words")) add_words(text, out);
    if (gguf_string_is(step, "charsmap")) add_mapped(n->map, text, out);
    if (gguf_string_is(step, "lowercase")) add_lowercase(text, out);
    if (gguf_string_is(step, "unmark")) add_unmarked(text, out);
    if (take_name(step, "squeeze", &rest)) add_squeezed(rest, text, out);
    if (take_name(step, "strip", &rest)) {
        add_stripped(rest, text, out);
    } else if (take_name(step, "replace", &rest)) {
        add_replaced(rest, text, out);
    } else if (take_name(step, "prepend", &rest)) {
        if (text.len > 0) text_add(out, rest.data, rest.len);
        text_add(out, text.data, text.len);
    }
    return 0;
}

int normal_run(const struct normal *n, struct gguf_string text, struct text *buffer, struct gguf_string *out) {
    int rc = 0;
    *out = text;
    for (uint64_t i = 0; n->steps && i < n->steps->count && rc == 0; i++) {
        struct text made = {0};
        rc = add_done(n, n->steps->strings[i], *out, &made);
        if (made.failed) rc = ERR_NOMEM;
        text_deinit(buffer);
        *buffer = made;
        *out = (struct gguf_string){text_str(buffer), buffer->len};
    }
    return rc;
}
