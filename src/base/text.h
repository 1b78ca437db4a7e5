/* A growing text: bytes with a length, always NUL-terminated (the NUL is not counted, others may stand inside).
 *
 * Appends never fail for the caller to see one by one: when memory runs out or `len_max` would be passed, the
 * text is marked failed, keeps what it had, and ignores what follows; check `failed` once at the end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data;     /* owned; NULL until the first append */
    size_t len;     /* bytes, without the NUL */
    size_t capacity;
    size_t len_max; /* 0: no limit */
    bool failed;
};

/* A zeroed struct is an empty text without limit. */
void text_deinit(struct text *t);
/* Empty again; keeps the memory and the limit, forgets the failure. */
void text_clear(struct text *t);
void text_add(struct text *t, const void *data, size_t len);
void text_add_str(struct text *t, const char *str);
void text_add_char(struct text *t, char c);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text as a C string, "" when empty; the text's own, until the next append. */
const char *text_str(const struct text *t);
/* Hand the buffer to the caller (free it with free()); NULL when failed. The text is empty afterwards. */
char *text_take(struct text *t);
