#include "cli/wrap.h"

#include <string.h>
#include <wchar.h>

static void add_spaces(struct text *out, unsigned count) {
    for (; count > 0; count--) text_add_char(out, ' ');
}

/* "•", "│", "-" or "12.", whose words stand behind it in every line. */
static bool is_mark(const char *word) {
    while (word[0] == '\033') word = strchr(word, 'm') ? strchr(word, 'm') + 1 : "";
    if (strncmp(word, "\u2022", 3) == 0 || strncmp(word, "\u2502", 3) == 0) return true;
    size_t digits = strspn(word, "0123456789");
    return digits > 0 && digits <= 3 && word[digits] == '.' && word[digits + 1] == '\0';
}

/* The word is over: it goes out, in a line that has room for it. */
static void flush(struct wrap *w, struct text *out) {
    if (w->word.len == 0) return;
    bool mark = !w->begun && is_mark(text_str(&w->word));
    if (w->begun && w->cells > 0 && w->column + w->cells > w->columns) {
        text_add_char(out, '\n');
        w->column = w->spaces = w->hang;
    }
    add_spaces(out, w->spaces);
    text_add(out, text_str(&w->word), w->word.len);
    if (!w->begun) w->hang = w->column < w->columns / 2 ? w->column : 0;
    w->begun = w->begun || (w->cells > 0 && !mark);
    w->column += w->cells;
    w->spaces = w->cells = 0;
    text_clear(&w->word);
}

static void end_line(struct wrap *w, struct text *out) {
    flush(w, out);
    text_add_char(out, '\n');
    w->column = w->spaces = 0;
    w->begun = false;
}

/* How many bytes the letter has that begins with this one. */
static size_t letter_bytes(unsigned char first) { return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

static unsigned letter_cells(const struct wrap *w) {
    wchar_t c;
    mbstate_t state = {0};
    int cells = mbrtowc(&c, w->letter, w->letter_len, &state) == w->letter_len ? wcwidth(c) : 1;
    return cells < 0 ? 0 : (unsigned)cells;
}

/* A line may be broken before and behind a wide letter. */
static void add_letter(struct wrap *w, struct text *out) {
    unsigned cells = letter_cells(w);
    if (cells > 1) flush(w, out);
    text_add(&w->word, w->letter, w->letter_len);
    w->cells += cells;
    w->letter_len = 0;
    if (cells > 1) flush(w, out);
}

static void add_byte(struct wrap *w, char c, struct text *out) {
    if (w->escape || c == '\033') {
        w->escape = c != 'm';
        text_add_char(&w->word, c);
    } else if (c == '\n') {
        end_line(w, out);
    } else if (c == ' ' || c == '\t') {
        flush(w, out);
        w->spaces++;
        w->column++;
    } else {
        w->letter[w->letter_len++] = c;
        if (w->letter_len >= letter_bytes((unsigned char)w->letter[0])) add_letter(w, out);
    }
}

static void add_solid(struct wrap *w, char c, struct text *out) {
    flush(w, out);
    add_spaces(out, w->spaces);
    w->spaces = 0;
    text_add_char(out, c);
}

void wrap_add(struct wrap *w, const char *text, size_t len, bool solid, struct text *out) {
    if (w->columns == 0) text_add(out, text, len);
    for (size_t i = 0; i < len && w->columns > 0; i++) {
        if (solid && text[i] != '\n')
            add_solid(w, text[i], out);
        else
            add_byte(w, text[i], out);
    }
}

void wrap_end(struct wrap *w, struct text *out) {
    text_add(&w->word, w->letter, w->letter_len);
    flush(w, out);
    *w = (struct wrap){.columns = w->columns, .word = w->word};
}

void wrap_deinit(struct wrap *w) { text_deinit(&w->word); }
