#include "model/gguf_part.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { DIGITS = 5 };

static bool read_number(const char *at, unsigned *out) {
    *out = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        if (!isdigit((unsigned char)at[i])) return false;
        *out = *out * 10 + (unsigned)(at[i] - '0');
    }
    return true;
}

bool gguf_part(const char *path, unsigned *part, unsigned *count) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t len = strlen(name), tail = strlen("-00001-of-00001.gguf");
    unsigned which, of;
    if (len <= tail) return false;
    const char *at = name + len - tail, *middle = at + 1 + DIGITS, *end = middle + strlen("-of-") + DIGITS;
    if (at[0] != '-' || memcmp(middle, "-of-", 4) != 0 || strcasecmp(end, ".gguf") != 0) return false;
    if (!read_number(at + 1, &which) || !read_number(middle + 4, &of) || which == 0 || which > of) return false;
    *part = which;
    *count = of;
    return true;
}
