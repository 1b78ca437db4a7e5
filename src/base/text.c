#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_deinit(struct text *t) {
    free(t->data);
    *t = (struct text){0};
}

void text_clear(struct text *t) {
    t->len = 0;
    t->failed = false;
    if (t->data) t->data[0] = '\0';
}

static bool reserve(struct text *t, size_t more) {
    if (t->failed || more > SIZE_MAX / 2 - t->len) goto fail;
    size_t need = t->len + more;
    if (t->len_max != 0 && need > t->len_max) goto fail;
    if (need < t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 64;
    while (capacity <= need) capacity *= 2;
    char *data = realloc(t->data, capacity);
    if (data == NULL) goto fail;
    t->data = data;
    t->capacity = capacity;
    return true;
fail:
    t->failed = true;
    return false;
}

void text_add(struct text *t, const void *data, size_t len) {
    if (!reserve(t, len)) return;
    if (len > 0) memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_add_str(struct text *t, const char *str) { text_add(t, str, strlen(str)); }
void text_add_char(struct text *t, char c) { text_add(t, &c, 1); }

void text_printf(struct text *t, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->len, (size_t)n + 1, format, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

const char *text_str(const struct text *t) { return t->data ? t->data : ""; }

char *text_take(struct text *t) {
    text_add(t, "", 0);
    char *data = t->failed ? NULL : t->data;
    if (t->failed) free(t->data);
    *t = (struct text){.len_max = t->len_max};
    return data;
}
