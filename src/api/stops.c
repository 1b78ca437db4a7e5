#include "api/stops.h"

#include <stdlib.h>
#include <string.h>

void stops_init(struct stops *s, const char *const *strings, size_t count) {
    *s = (struct stops){.strings = strings, .count = count};
}

void stops_deinit(struct stops *s) { text_deinit(&s->held); }

/* Length of the UTF-8 character that begins here: 0 when it is not complete yet, and when it is none, less than 0: the
 * bytes of it that there are, which one U+FFFD stands for (Unicode 15, section 3.9). */
static int character(const unsigned char *p, size_t len) {
    int need = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : -1;
    for (int i = 1; i < need; i++) {
        if ((size_t)i == len) return 0;
        unsigned char low = 0x80, high = 0xbf;
        if (i == 1 && p[0] == 0xe0) low = 0xa0;
        if (i == 1 && p[0] == 0xed) high = 0x9f;
        if (i == 1 && p[0] == 0xf0) low = 0x90;
        if (i == 1 && p[0] == 0xf4) high = 0x8f;
        if (p[i] < low || p[i] > high) return -i;
    }
    return need;
}

/* Does a stop string begin at `at`? 1 yes, and it is s->found; 0 no; -1 it could, with more text. */
static int match(struct stops *s, const char *at, size_t left) {
    int result = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t len = strlen(s->strings[i]), n = len < left ? len : left;
        if (len == 0 || memcmp(at, s->strings[i], n) != 0) continue;
        s->found = s->strings[i];
        if (len <= left) return 1;
        result = -1;
    }
    return result;
}

/* Move what is certain from held to out. final: nothing more will come, and a character that is not whole is none. */
static void release(struct stops *s, bool final, struct text *out) {
    const char *data = text_str(&s->held);
    size_t len = s->held.len, at = 0;
    while (at < len) {
        int stop = match(s, data + at, len - at);
        s->stopped = stop == 1;
        if (stop == 1 || (stop < 0 && !final)) break;
        int n = character((const unsigned char *)data + at, len - at);
        if (n == 0) break;
        if (n > 0)
            text_add(out, data + at, (size_t)n);
        else
            text_add_str(out, "\xef\xbf\xbd");
        at += (size_t)abs(n);
    }
    struct text rest = {0};
    text_add(&rest, data + at, len - at);
    text_deinit(&s->held);
    s->held = rest;
}

bool stops_add(struct stops *s, const char *bytes, size_t len, struct text *out) {
    if (s->stopped) return true;
    text_add(&s->held, bytes, len);
    release(s, false, out);
    return s->stopped;
}

void stops_finish(struct stops *s, struct text *out) {
    if (!s->stopped) release(s, true, out);
}
