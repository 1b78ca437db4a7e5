#include "cli/screen.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

enum { TEXT_CELLS_MAX = 512 };

static SCREEN *terminal;
static bool unicode, coloured;

static void open_colours(void) {
    static const short inks[] = {[SCREEN_SOFT] = COLOR_WHITE,
                                 [SCREEN_ACCENT] = COLOR_YELLOW,
                                 [SCREEN_GOOD] = COLOR_GREEN,
                                 [SCREEN_BAD] = COLOR_RED,
                                 [SCREEN_SKY] = COLOR_CYAN};
    coloured = has_colors() && getenv("NO_COLOR") == NULL && start_color() == OK;
    if (!coloured) return;
    use_default_colors();
    for (short i = SCREEN_SOFT; i <= SCREEN_SKY; i++) init_pair(i, inks[i], -1);
}

bool screen_open(void) {
    const char *name = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || name == NULL || strcmp(name, "dumb") == 0) return false;
    setlocale(LC_CTYPE, "");
    unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL) return false;
    set_term(terminal);
    if (tigetstr("cup") == NULL || tigetstr("cup") == (char *)-1) { /* letters cannot be put anywhere */
        screen_close();
        return false;
    }
    open_colours();
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    return true;
}

void screen_close(void) {
    if (terminal == NULL) return;
    endwin();
    delscreen(terminal);
    terminal = NULL;
}

int screen_rows(void) { return LINES; }
int screen_columns(void) { return COLS; }
void screen_clear(void) { erase(); }
void screen_show(void) { refresh(); }

/* Terminals move what they show when their size changes: all of it is drawn anew. */
static bool take_size(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return false;
    if (size.ws_row == LINES && size.ws_col == COLS) return false;
    resizeterm(size.ws_row, size.ws_col);
    clearok(curscr, TRUE);
    return true;
}

int screen_key(void) {
    if (take_size()) return KEY_RESIZE;
    int key = getch();
    if (key == KEY_RESIZE) clearok(curscr, TRUE);
    return key == ERR ? -1 : key;
}

void screen_ink(enum screen_ink ink, bool bold, bool reverse) {
    attrset((bold ? A_BOLD : A_NORMAL) | (reverse ? A_REVERSE : A_NORMAL) | (ink == SCREEN_SOFT ? A_DIM : A_NORMAL) |
            (coloured && ink != SCREEN_PLAIN ? COLOR_PAIR(ink) : A_NORMAL));
}

/* The next letter of a UTF-8 text, whatever the locale; '?' for what is none. */
static wchar_t next_letter(const char **at) {
    const unsigned char *s = (const unsigned char *)*at;
    int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : 0;
    wchar_t c = more == 0 ? s[0] : (wchar_t)(s[0] & (0x3f >> more));
    (*at)++;
    for (; more > 0 && (**at & 0xc0) == 0x80; more--) c = (wchar_t)(c << 6 | (*(*at)++ & 0x3f));
    return more > 0 || (s[0] & 0xc0) == 0x80 || !iswprint((wint_t)c) || (!unicode && c > 126) ? L'?' : c;
}

int screen_put(int row, int column, int cells, const char *text) {
    wchar_t line[TEXT_CELLS_MAX];
    int count = 0, filled = 0;
    if (column + cells > COLS) cells = COLS - column;
    if (row < 0 || row >= LINES || column < 0 || cells <= 0) return 0;
    while (*text != '\0' && count < TEXT_CELLS_MAX) {
        wchar_t c = next_letter(&text);
        int width = wcwidth(c);
        if (width < 0) width = 1;
        if (filled + width > cells) break;
        line[count++] = c;
        filled += width;
    }
    mvaddnwstr(row, column, line, count);
    return filled;
}

int screen_printf(int row, int column, int cells, const char *format, ...) {
    char text[TEXT_CELLS_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return screen_put(row, column, cells, text);
}

static const char *letter_of(enum screen_mark mark) {
    static const char *const letters[MARKS][2] = {
        [MARK_DOT] = {".", "·"},  [MARK_NODE] = {"O", "●"},  [MARK_GONE] = {"x", "○"}, [MARK_TOKEN] = {"*", "◆"},
        [MARK_FULL] = {"#", "█"}, [MARK_EMPTY] = {"-", "░"}, [MARK_RULE] = {"-", "─"}};
    return letters[mark][unicode];
}

void screen_mark(int row, int column, enum screen_mark mark) { screen_put(row, column, 1, letter_of(mark)); }

void screen_bar(int row, int column, int cells, double part) {
    int full = (int)(part * cells + 0.5);
    for (int i = 0; i < cells; i++) screen_mark(row, column + i, i < full ? MARK_FULL : MARK_EMPTY);
}
