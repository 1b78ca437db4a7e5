#include "model/tokenizer/wordpiece.h"

#include <utf8proc.h>

#include "base/size.h"
#include "model/tokenizer/utf8.h"

enum { DECOMPOSED_MAX = 32 };

struct work {
    const struct symbols *symbols;
    struct token_list *out;
    struct text word; /* begins with a space, as the pieces of tokens do */
};

static int end_word(struct work *w) {
    size_t first = w->out->count, len = w->word.len;
    int rc = w->word.failed ? ERR_NOMEM : 0;
    if (len <= 1) return rc;
    for (size_t at = 0, end; at < len && rc == 0; at = end) {
        uint32_t id = SYMBOLS_NONE;
        end = at + w->symbols->longest < len ? at + w->symbols->longest : len;
        for (; end > at; end--)
            if ((id = symbols_find(w->symbols, w->word.data + at, end - at)) != SYMBOLS_NONE) break;
        if (id == SYMBOLS_NONE) {
            w->out->count = first;
            break;
        }
        rc = token_list_add(w->out, id);
    }
    int64_t unknown = w->symbols->vocabulary->unknown;
    if (rc == 0 && w->out->count == first && unknown >= 0) rc = token_list_add(w->out, (uint32_t)unknown);
    text_clear(&w->word);
    text_add_char(&w->word, ' ');
    return rc;
}

static bool is_chinese(utf8proc_int32_t c) {
    static const utf8proc_int32_t ranges[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                                 {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf},
                                                 {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static bool is_sign(utf8proc_int32_t c) {
    if (c < 128) return c > ' ' && c < 127 && !(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'z');
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

static bool is_space(utf8proc_int32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS || c == 0x85 ||
           c == 0x2028 || c == 0x2029;
}

/* Neither part of a word nor between words: what controls, or is for private use. */
static bool is_nothing(utf8proc_int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return c == 0 || c == 0xfffd || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_CO;
}

static int add_part(struct work *w, utf8proc_int32_t c) {
    const struct vocabulary *v = w->symbols->vocabulary;
    utf8proc_uint8_t bytes[4];
    if (is_space(c)) return end_word(w);
    if (is_nothing(c) || (v->strip_accents && utf8proc_category(c) == UTF8PROC_CATEGORY_MN)) return 0;
    bool alone = is_sign(c) || is_chinese(c);
    int rc = alone ? end_word(w) : 0;
    if (v->lower_case) c = utf8proc_tolower(c);
    text_add(&w->word, (const char *)bytes, (size_t)utf8proc_encode_char(c, bytes));
    return rc == 0 && alone ? end_word(w) : rc;
}

static int add_char(struct work *w, utf8proc_int32_t c) {
    utf8proc_int32_t parts[DECOMPOSED_MAX];
    int last = 0, rc = 0;
    if (!w->symbols->vocabulary->strip_accents) return add_part(w, c);
    utf8proc_ssize_t count = utf8proc_decompose_char(c, parts, DECOMPOSED_MAX, UTF8PROC_DECOMPOSE, &last);
    for (utf8proc_ssize_t i = 0; i < count && i < DECOMPOSED_MAX && rc == 0; i++) rc = add_part(w, parts[i]);
    return rc;
}

int wordpiece_encode(const struct symbols *s, const char *text, size_t len, struct token_list *out) {
    struct work w = {.symbols = s, .out = out};
    const char *at = text, *end = text + len;
    int rc = 0;
    text_add_char(&w.word, ' ');
    while (at < end && rc == 0) {
        bool whole = utf8_len(at, (size_t)(end - at)) > 0;
        if (whole)
            rc = add_char(&w, (utf8proc_int32_t)utf8_next(&at));
        else
            at++; /* no character */
    }
    if (rc == 0) rc = end_word(&w);
    text_deinit(&w.word);
    return rc;
}
