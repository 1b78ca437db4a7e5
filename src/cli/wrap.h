/* Lines of a terminal, broken between words: what comes in pieces goes out as it came, but where a word would not fit
 * into the line any more, a new one begins before it, as far in as the list or quotation that it belongs to.
 *
 * A word is held back until it ends. Sequences of the terminal (ESC [ ... m) take no room, wide letters two cells, and
 * a line may be broken before each of those. What is marked as solid (code) is never broken here. Pure; LC_CTYPE is
 * to be a UTF-8 one for letters that are not ASCII to be measured. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct wrap {
    unsigned columns; /* of the terminal; 0: nothing is broken nor held back */
    unsigned column;  /* behind what went out and the spaces that wait */
    unsigned spaces;  /* that wait for a word */
    unsigned hang;    /* where the lines begin that a line is broken into */
    bool begun;       /* a word of this line has gone out */
    struct text word; /* what is held back */
    unsigned cells;   /* of it */
    bool escape;      /* it ends within a sequence */
    char letter[4];   /* UTF-8 of which more is to come */
    size_t letter_len;
};

/* A zeroed struct with `columns` set is ready; free it with wrap_deinit(). */
void wrap_deinit(struct wrap *w);
void wrap_add(struct wrap *w, const char *text, size_t len, bool solid, struct text *out);
/* What is still held back. Ready for another text. */
void wrap_end(struct wrap *w, struct text *out);
