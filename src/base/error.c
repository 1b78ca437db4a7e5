#include "base/error.h"

#include <stdio.h>
#include <string.h>

const char *error_text(int code) {
    switch (code) {
#define X(name, value, text)                                                                                           \
    case name: return text;
        ERROR_CODES(X)
#undef X
    default: return code == 0 ? "success" : "unknown error";
    }
}

int error_set(struct error *error, int code, const char *format, ...) {
    if (error == NULL) return code;
    error->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

int error_prefix(struct error *error, const char *format, ...) {
    if (error == NULL) return ERR_INVALID;
    char old[ERROR_TEXT_BYTES];
    memcpy(old, error->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof error->text) snprintf(error->text + n, sizeof error->text - (size_t)n, "%s", old);
    return error->code;
}
