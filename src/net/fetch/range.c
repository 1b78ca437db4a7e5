/* Content-Range (RFC 9110, 14.4), read as hostile input. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "net/fetch/fetch.h"

static bool number(const char **at, uint64_t *out) {
    const char *begin = *at;
    *out = 0;
    for (; isdigit((unsigned char)**at); (*at)++)
        if (__builtin_mul_overflow(*out, 10u, out) || __builtin_add_overflow(*out, (uint64_t)(**at - '0'), out))
            return false;
    return *at > begin;
}

bool fetch_content_range(const char *text, uint64_t *begin, uint64_t *end, uint64_t *total) {
    if (strncasecmp(text, "bytes ", 6) != 0) return false;
    const char *at = text + 6;
    while (*at == ' ') at++;
    if (!number(&at, begin) || *at++ != '-' || !number(&at, end) || *at++ != '/') return false;
    *total = 0;
    if (*at == '*')
        at++;
    else if (!number(&at, total) || *total <= *end)
        return false;
    while (*at == ' ' || *at == '\r' || *at == '\n') at++;
    return *at == '\0' && *begin <= *end;
}
