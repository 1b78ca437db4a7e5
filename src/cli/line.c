#include "cli/line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_LINES = 1000, MESSAGE_BYTES_MAX = 4 << 20 };

static const char quotes[] = "\"\"\"";

struct line {
    EditLine *edit; /* NULL: not a terminal */
    History *history;
    char *history_path; /* NULL: not kept */
    char *buffer;       /* of getline */
    size_t buffer_bytes;
    int wake_fd;
    bool inside; /* a quoted message, for the prompt */
};

static char *prompt(EditLine *edit) {
    static char first[] = "> ", more[] = ". ";
    const struct line *l = NULL;
    el_get(edit, EL_CLIENTDATA, &l);
    return l->inside ? more : first;
}

/* The next character. A signal that comes while the editor is busy must end the wait too, which a mere read cannot
 * promise. */
static int read_key(EditLine *edit, wchar_t *out) {
    const struct line *l = NULL;
    mbstate_t state = {0};
    el_get(edit, EL_CLIENTDATA, &l);
    for (;;) {
        struct pollfd waits[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = l->wake_fd, .events = POLLIN}};
        char byte;
        if (poll(waits, 2, -1) < 0 && errno != EINTR) return -1;
        if (waits[1].revents != 0) return -1;
        if (waits[0].revents == 0) continue;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got <= 0) return (int)got;
        size_t len = mbrtowc(out, &byte, 1, &state);
        if (len <= 1) return 1;
        if (len == (size_t)-1) state = (mbstate_t){0}; /* nothing that could be shown */
    }
}

static bool open_terminal(struct line *l, const char *history_path) {
    HistEvent event;
    setlocale(LC_CTYPE, "");
    l->edit = el_init("caravan", stdin, stderr, stderr);
    l->history = history_init();
    if (l->edit == NULL || l->history == NULL) return false;
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_GETCFN, read_key);
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_HIST, history, l->history);
    if (history_path == NULL) return true;
    l->history_path = strdup(history_path);
    if (l->history_path == NULL) return false;
    history(l->history, &event, H_LOAD, l->history_path);
    return true;
}

int line_open(struct line **out, const char *history_path, int wake_fd, struct error *error) {
    struct line *l = calloc(1, sizeof *l);
    if (l != NULL) l->wake_fd = wake_fd;
    bool opened = l != NULL && (!isatty(STDIN_FILENO) || open_terminal(l, history_path));
    if (!opened) {
        line_close(l);
        return error_set(error, ERR_NOMEM, "cannot set up the terminal for a chat");
    }
    *out = l;
    return 0;
}

void line_close(struct line *l) {
    if (l == NULL) return;
    if (l->history != NULL) history_end(l->history);
    if (l->edit != NULL) el_end(l->edit);
    free(l->history_path);
    free(l->buffer);
    free(l);
}

bool line_is_terminal(const struct line *l) { return l->edit != NULL; }

/* One line with its newline, valid until the next call. */
static int read_edited(struct line *l, const char **out, size_t *len) {
    int count = 0;
    *out = el_gets(l->edit, &count);
    if (*out == NULL) return count < 0 ? ERR_CANCELLED : ERR_CLOSED;
    *len = (size_t)count;
    return 0;
}

static int read_plain(struct line *l, const char **out, size_t *len) {
    ssize_t count = getline(&l->buffer, &l->buffer_bytes, stdin);
    if (count < 0) return ERR_CLOSED;
    *out = l->buffer;
    *len = (size_t)count;
    return 0;
}

/* Append the next line to the message; *closed tells whether it ends in the quotes. */
static int read_line(struct line *l, struct text *out, bool *closed) {
    const char *line = NULL;
    size_t len = 0;
    int code = l->edit != NULL ? read_edited(l, &line, &len) : read_plain(l, &line, &len);
    if (code != 0) return code;
    text_add(out, line, len);
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) len--;
    *closed = len >= 3 && memcmp(line + len - 3, quotes, 3) == 0;
    return out->failed ? ERR_LIMIT : 0;
}

static void cut(struct text *t, size_t begin, size_t end) {
    memmove(t->data, t->data + begin, end - begin);
    t->data[end - begin] = '\0';
    t->len = end - begin;
}

static void trim_newlines(struct text *t) {
    size_t end = t->len;
    while (end > 0 && (t->data[end - 1] == '\n' || t->data[end - 1] == '\r')) end--;
    if (t->len > 0) cut(t, 0, end);
}

/* The quoted message that `out` begins with. */
static int read_quoted(struct line *l, struct text *out, bool closed) {
    int code = 0;
    closed = closed && out->len > sizeof quotes; /* more than the opening quotes and a newline */
    l->inside = true;
    while (code == 0 && !closed) code = read_line(l, out, &closed);
    l->inside = false;
    if (code != 0) return code;
    trim_newlines(out);
    size_t begin = out->len > 6 && out->data[3] == '\n' ? 4 : 3;
    cut(out, begin, out->len - 3);
    trim_newlines(out);
    return 0;
}

static void remember(struct line *l, const struct text *message) {
    HistEvent event;
    if (l->edit == NULL || message->len == 0) return;
    history(l->history, &event, H_ENTER, text_str(message));
    if (l->history_path != NULL) history(l->history, &event, H_SAVE, l->history_path);
}

int line_read(struct line *l, struct text *out) {
    bool closed = false;
    text_clear(out);
    out->len_max = MESSAGE_BYTES_MAX;
    int code = read_line(l, out, &closed);
    if (code != 0) return code;
    if (out->len >= 3 && memcmp(out->data, quotes, 3) == 0)
        code = read_quoted(l, out, closed);
    else
        trim_newlines(out);
    if (code == 0) remember(l, out);
    return code;
}
