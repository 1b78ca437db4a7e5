#include "cli/markdown.h"

#include <ctype.h>
#include <string.h>

/* ---- ink ---- */

static bool plain(const struct markdown *m) {
    return !(m->bold || m->italic || m->heading || m->quote || m->dim || m->in_code || m->ticks > 0);
}

/* Tell the terminal how what follows looks. */
static void ink(struct markdown *m, struct text *out) {
    if (plain(m) && !m->inked) return;
    text_add_str(out, "\033[0");
    if (m->bold || m->heading) text_add_str(out, ";1");
    if (m->italic) text_add_str(out, ";3");
    if (m->quote || m->dim) text_add_str(out, ";2");
    if (m->in_code || m->ticks > 0) text_add_str(out, ";36");
    text_add_char(out, 'm');
    m->inked = !plain(m);
}

/* ---- within a line ---- */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\0'; }

/* Stars stand before a word to open and behind one to close; between letters (2*3) they are stars. */
static bool take_stars(struct markdown *m, bool *style, char next, struct text *out) {
    bool closes = *style && !is_space(m->before);
    bool opens = !*style && !is_space(next) && !isalnum((unsigned char)m->before);
    if (!closes && !opens) return false;
    *style = opens;
    ink(m, out);
    return true;
}

static void settle_stars(struct markdown *m, size_t count, char next, struct text *out) {
    if (m->ticks == 0 && count >= 2 && count <= 3 && take_stars(m, &m->bold, next, out)) count -= 2;
    if (m->ticks == 0 && count == 1 && take_stars(m, &m->italic, next, out)) count = 0;
    for (; count > 0; count--) text_add_char(out, '*');
}

static void settle_ticks(struct markdown *m, size_t count, char next, struct text *out) {
    bool alone = m->ticks == 0 && (next == '\n' || next == '\0');
    if (alone || (m->ticks != 0 && m->ticks != count)) {
        for (; count > 0; count--) text_add_char(out, '`');
        return;
    }
    m->ticks = m->ticks ? 0 : count;
    ink(m, out);
}

/* A backslash makes the letter behind it an ordinary one. True: it took `next`. */
static bool settle_backslashes(struct markdown *m, size_t count, char next, struct text *out) {
    bool escapes = m->ticks == 0 && count == 1 && next != '\0' && strchr("*`_#>~", next) != NULL;
    for (; count > 0 && !escapes; count--) text_add_char(out, '\\');
    if (escapes) text_add_char(out, next);
    return escapes;
}

/* The run ends before `next`, '\0' at the end of the text. True: `next` belonged to it. */
static bool settle_run(struct markdown *m, char next, struct text *out) {
    char run = m->run;
    bool taken = false;
    m->run = 0;
    if (run == '*') settle_stars(m, m->run_len, next, out);
    if (run == '`') settle_ticks(m, m->run_len, next, out);
    if (run == '\\') taken = settle_backslashes(m, m->run_len, next, out);
    if (run != 0) m->before = taken ? next : run;
    return taken;
}

static void end_line(struct markdown *m, struct text *out) {
    m->bold = m->italic = m->heading = m->quote = m->dim = m->in_line = false;
    m->ticks = m->head_len = 0;
    m->before = '\0';
    bool code = m->in_code;
    m->in_code = false;
    ink(m, out); /* each line by itself, so that one that is cut off stains no other */
    m->in_code = code;
}

static void add_inline(struct markdown *m, char c, struct text *out) {
    bool same = c == m->run;
    if (!same && settle_run(m, c, out)) return;
    if (c == '\n') {
        end_line(m, out);
    } else if (!m->in_code && !m->dim && (c == '*' || c == '`' || c == '\\')) {
        m->run_len = same ? m->run_len + 1 : 1;
        m->run = c;
        return;
    }
    text_add_char(out, c);
    if (c != '\n') m->before = c;
}

/* ---- the head of a line ---- */

enum head { HEAD_OPEN, HEAD_TEXT, HEAD_FENCE, HEAD_TITLE, HEAD_BULLET, HEAD_QUOTE };

static size_t count_of(char c, const char *text) {
    size_t n = 0;
    while (text[n] == c) n++;
    return n;
}

/* What a line of code becomes, or one that begins with backticks. */
static enum head judge_code(const char *rest) {
    size_t ticks = count_of('`', rest);
    if (ticks >= 3) return HEAD_FENCE;
    return rest[ticks] == '\0' ? HEAD_OPEN : HEAD_TEXT;
}

/* What the line becomes, going by the bytes it begins with. */
static enum head judge_head(const struct markdown *m, const char *rest) {
    size_t hashes = count_of('#', rest);
    if (rest[0] == '`' || rest[0] == '\0' || m->in_code) return judge_code(rest);
    if (hashes > 6 || (hashes == 0 && strchr("-*+>", rest[0]) == NULL)) return HEAD_TEXT;
    if (hashes > 0) return rest[hashes] == '\0' ? HEAD_OPEN : rest[hashes] == ' ' ? HEAD_TITLE : HEAD_TEXT;
    if (rest[1] == '\0') return HEAD_OPEN;
    if (rest[0] == '>') return HEAD_QUOTE;
    return rest[1] == ' ' ? HEAD_BULLET : HEAD_TEXT;
}

/* The line is decided: show its head, and leave the rest of it to add_inline. */
static void settle_head(struct markdown *m, enum head kind, struct text *out) {
    char head[MARKDOWN_HEAD_BYTES];
    memcpy(head, m->head, sizeof head);
    size_t indent = count_of(' ', head), skipped = 0;
    m->in_line = true;
    m->head_len = 0;
    if (kind == HEAD_FENCE) {
        m->in_code = !m->in_code;
        m->dim = true;
    }
    if (kind == HEAD_TITLE) skipped = indent + count_of('#', head + indent) + 1;
    if (kind == HEAD_BULLET || kind == HEAD_QUOTE) skipped = indent + 1;
    m->heading = kind == HEAD_TITLE;
    m->quote = kind == HEAD_QUOTE;
    ink(m, out);
    if (kind == HEAD_BULLET || kind == HEAD_QUOTE) {
        text_add(out, head, indent);
        text_add_str(out, kind == HEAD_BULLET ? "\u2022" : "\u2502");
    }
    for (const char *c = head + skipped; *c != '\0'; c++) add_inline(m, *c, out);
}

static void add_head(struct markdown *m, char c, struct text *out) {
    m->head[m->head_len++] = c;
    m->head[m->head_len] = '\0';
    bool full = m->head_len + 1 == MARKDOWN_HEAD_BYTES;
    enum head kind = judge_head(m, m->head + count_of(' ', m->head));
    if (kind != HEAD_OPEN || full) settle_head(m, kind == HEAD_OPEN ? HEAD_TEXT : kind, out);
}

/* ---- all of it ---- */

static void add_byte(struct markdown *m, char c, struct text *out) {
    if (!m->styled)
        text_add_char(out, c);
    else if (m->in_line)
        add_inline(m, c, out);
    else
        add_head(m, c, out);
}

/* Neither a control character of ASCII nor, as UTF-8, one of those behind it (0x80 to 0x9f). */
static void add_shown(struct markdown *m, char c, struct text *out) {
    unsigned char byte = (unsigned char)c;
    bool half = m->half_control;
    m->half_control = byte == 0xc2;
    if (half && byte >= 0x80 && byte <= 0x9f) return;
    if (half) add_byte(m, '\xc2', out);
    if (m->half_control || (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) return;
    add_byte(m, c, out);
}

void markdown_add(struct markdown *m, const char *text, size_t len, struct text *out) {
    for (size_t i = 0; i < len; i++) add_shown(m, text[i], out);
}

void markdown_end(struct markdown *m, struct text *out) {
    if (m->head_len > 0) settle_head(m, HEAD_TEXT, out);
    settle_run(m, '\0', out);
    end_line(m, out);
    *m = (struct markdown){.styled = m->styled};
}
