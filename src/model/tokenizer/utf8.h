/* UTF-8 one character at a time: what may be read without looking twice. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character at text[0] (RFC 3629: no surrogates, nothing overlong), or 0. len > 0. */
static inline size_t utf8_len(const char *text, size_t len) {
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] < 0x80) return 1;
    if (c[0] < 0xc2 || c[0] > 0xf4) return 0;
    size_t need = c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (len < need) return 0;
    unsigned low = c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;
    if (c[1] < low || c[1] > high) return 0;
    for (size_t i = 2; i < need; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    return need;
}

/* The character at *at, which must be well formed; *at moves behind it. */
static inline uint32_t utf8_next(const char **at) {
    const unsigned char *c = (const unsigned char *)*at;
    if (c[0] < 0x80) return (*at)++, c[0];
    if (c[0] < 0xe0) return *at += 2, (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
    if (c[0] < 0xf0) return *at += 3, (c[0] & 0x0fu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    *at += 4;
    return (c[0] & 0x07u) << 18 | (c[1] & 0x3fu) << 12 | (c[2] & 0x3fu) << 6 | (c[3] & 0x3fu);
}

/* The beginning of the character that ends at `at`. */
static inline const char *utf8_back(const char *at) {
    do at--;
    while ((*at & 0xc0) == 0x80);
    return at;
}

/* Unicode's property White_Space. */
static inline bool utf8_is_white(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Writes the character, returns how many bytes it took. */
static inline size_t utf8_put(uint32_t c, char out[4]) {
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len; --i > 0; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(0xf00 >> len | c);
    return len;
}
