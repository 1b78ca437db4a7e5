/* What a model says, made fit for a terminal as it comes in: light Markdown becomes bold, colour and bullets, and
 * control characters, with which a text could take the terminal over, are left out.
 *
 * Lines are not filled and no text is lost: what is no Markdown stays as it is. Pieces may be cut anywhere. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum { MARKDOWN_HEAD_BYTES = 64 };

struct markdown {
    bool styled;                    /* false: only control characters go */
    bool in_line;                   /* the head of the line is settled */
    bool in_code;                   /* within a fence */
    bool bold, italic, heading, quote, dim;
    bool inked;                     /* the terminal is not as it was at the start of the line */
    char head[MARKDOWN_HEAD_BYTES]; /* the start of a line that may still become anything */
    size_t head_len;
    size_t ticks;                   /* that began the code within a line; 0: none */
    char run;                       /* '*', '`' or '\\' that wait for what follows; 0: none */
    size_t run_len;
    char before;                    /* the byte before the run, or the last one */
    bool half_control;              /* 0xc2: perhaps a control character */
};

/* A zeroed struct with `styled` set is ready. Appends to `out`. */
void markdown_add(struct markdown *m, const char *text, size_t len, struct text *out);
/* What is still held back, and the terminal as it was. Ready for another text. */
void markdown_end(struct markdown *m, struct text *out);
