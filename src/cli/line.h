/* Where the chat's messages come from: the terminal with editing and history, or a pipe, line by line.
 *
 * A message that begins with """ goes on over as many lines as it takes to the next """. On a terminal Alt-Enter begins
 * a line within the message, and what is pasted is one piece, whatever lines it has. One reader, one thread. */
#pragma once
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct line;

/* `history` is a file that keeps the terminal's history; NULL: none is kept. `words`, which ends with NULL, are those
 * that Tab completes at the start of a message. On a terminal wake_fd ends line_read when it is readable. ERR_NOMEM. */
int line_open(struct line **out, const char *history, const char *const *words, int wake_fd, struct error *error);
void line_close(struct line *l); /* NULL is fine */
bool line_is_terminal(const struct line *l);

/* The next message into `out`, without its newline or quotes; may be empty. ERR_CLOSED at the end of input (Ctrl-D),
 * ERR_CANCELLED when wake_fd (Ctrl-C) threw the message away. */
int line_read(struct line *l, struct text *out);
