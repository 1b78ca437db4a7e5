/* Operating errors: what went wrong in the outside world, as a code for programs and a text for people.
 *
 * A function that can fail returns 0 or a negative ERR_ code. Where a person will read the reason it also
 * takes a `struct error *` (which may be NULL) and fills it. Bugs are not errors: they are asserts, kept in
 * release builds. Pure, any thread. */
#pragma once
#include <stdarg.h>

/* X(name, value, text): the one list of error codes. Values are part of the wire protocol: append only. */
#define ERROR_CODES(X)                                                                                                 \
    X(ERR_INVALID, -1, "invalid input")                                                                                \
    X(ERR_NOMEM, -2, "out of memory")                                                                                  \
    X(ERR_IO, -3, "input/output error")                                                                                \
    X(ERR_NOT_FOUND, -4, "not found")                                                                                  \
    X(ERR_UNSUPPORTED, -5, "not supported")                                                                            \
    X(ERR_LIMIT, -6, "limit exceeded")                                                                                 \
    X(ERR_BUSY, -7, "busy")                                                                                            \
    X(ERR_EXISTS, -8, "already there")                                                                                 \
    X(ERR_DENIED, -9, "permission denied")                                                                             \
    X(ERR_TIMEOUT, -10, "timed out")                                                                                   \
    X(ERR_CLOSED, -11, "connection closed")                                                                            \
    X(ERR_AGAIN, -12, "not ready yet")                                                                                 \
    X(ERR_CANCELLED, -13, "cancelled")                                                                                 \
    X(ERR_LOST, -14, "node lost")                                                                                      \
    X(ERR_STALE, -15, "out of date")

enum error_code {
#define X(name, value, text) name = value,
    ERROR_CODES(X)
#undef X
};

enum { ERROR_TEXT_BYTES = 512 };

struct error {
    int code;                     /* 0 or an ERR_ code */
    char text[ERROR_TEXT_BYTES];  /* one sentence for a person, no newline; may be cut */
};

/* Short text of a code; "unknown error" for a code that is not in the list. Static storage. */
const char *error_text(int code);

/* Fill `error` (if not NULL) and return `code`, so that callers write `return error_set(...)`. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Put context before the text that is already there: "file.gguf: " + "truncated". Returns error->code (or
 * ERR_INVALID when error is NULL). */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
