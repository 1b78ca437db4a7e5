/* The terminal as a grid of letters and colours: ncurses with what it needs taken care of.
 *
 * Text is UTF-8 and cut to the cells it may fill; what the terminal or locale cannot show becomes '?' or a plain
 * letter. No colour where there is none or NO_COLOR is set. One screen per process, one thread. */
#pragma once
#include <stdbool.h>

enum screen_ink { SCREEN_PLAIN, SCREEN_SOFT, SCREEN_ACCENT, SCREEN_GOOD, SCREEN_BAD, SCREEN_SKY };

/* Letters of pictures, with a plain one for terminals without Unicode. */
enum screen_mark { MARK_DOT, MARK_NODE, MARK_GONE, MARK_TOKEN, MARK_FULL, MARK_EMPTY, MARK_RULE, MARKS };

/* Takes the terminal. False when there is none that can be used: not a terminal, TERM unknown or dumb. */
bool screen_open(void);
/* Gives it back as it was. */
void screen_close(void);

int screen_rows(void);
int screen_columns(void);
void screen_clear(void);
void screen_show(void);
/* A key, 'q' or KEY_...; -1: none was pressed. A change of the size is one as well. */
int screen_key(void);

void screen_ink(enum screen_ink ink, bool bold, bool reverse);
/* At most `cells` cells of the text; returns how many were filled. Outside of the screen nothing happens. */
int screen_put(int row, int column, int cells, const char *text);
int screen_printf(int row, int column, int cells, const char *format, ...) __attribute__((format(printf, 4, 5)));
void screen_mark(int row, int column, enum screen_mark mark);
/* A bar of `cells` cells that is full up to the part, 0 to 1. */
void screen_bar(int row, int column, int cells, double part);
