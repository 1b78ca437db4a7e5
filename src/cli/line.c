#include "cli/line.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/size.h"
#include "cli/common.h"

enum { HISTORY_LINES = 1000, MESSAGE_BYTES_MAX = 4 << 20 };

static const char quotes[] = "\"\"\"";

/* How terminals that know it mark what is pasted (xterm's bracketed paste). */
static const char paste_begin[] = "\033[200~", paste_end[] = "\033[201~";

struct line {
    EditLine *edit; /* NULL: not a terminal */
    const char *const *words;
    bool marks_pastes;
    History *history;
    char *history_path; /* NULL: not kept */
    char *buffer;       /* of getline */
    size_t buffer_bytes;
    int wake_fd;
    bool inside; /* a quoted message, for the prompt */
    bool woken;  /* wake_fd ended the line, whatever the editor was doing */
};

static char *prompt(EditLine *edit) {
    static char first[] = "> ", more[] = ". ";
    const struct line *l = NULL;
    el_get(edit, EL_CLIENTDATA, &l);
    return l->inside ? more : first;
}

static volatile sig_atomic_t resized;

static void on_resize(int number) { resized = 1; }

static void follow_size(void) {
    struct sigaction action = {.sa_handler = on_resize};
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
}

/* The next character. A signal that comes while the editor is busy must end the wait too, which a mere read cannot
 * promise. */
static int read_key(EditLine *edit, wchar_t *out) {
    struct line *l = NULL;
    mbstate_t state = {0};
    el_get(edit, EL_CLIENTDATA, &l);
    for (;;) {
        struct pollfd waits[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = l->wake_fd, .events = POLLIN}};
        char byte;
        if (resized) el_resize(edit);
        resized = 0;
        if (poll(waits, 2, -1) < 0 && errno != EINTR) return -1;
        if (waits[1].revents != 0) l->woken = true;
        if (l->woken) return -1;
        if (waits[0].revents == 0) continue;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got <= 0) return (int)got;
        size_t len = mbrtowc(out, &byte, 1, &state);
        if (len <= 1) return 1;
        if (len == (size_t)-1) state = (mbstate_t){0}; /* nothing that could be shown */
    }
}

/* ---- keys of our own ---- */

static unsigned char begin_line(EditLine *edit, int key) {
    return el_insertstr(edit, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Take in what is pasted up to its end mark; only text of it. */
static unsigned char take_paste(EditLine *edit, int key) {
    struct text pasted = {.len_max = MESSAGE_BYTES_MAX};
    size_t end = sizeof paste_end - 1;
    char bytes[MB_LEN_MAX];
    wchar_t c;
    while (el_wgetc(edit, &c) == 1) {
        int len = c == L'\r' ? 1 : wctomb(bytes, c);
        if (c == L'\r') bytes[0] = '\n';
        if (len > 0 && (c >= L' ' || c == L'\n' || c == L'\t' || c == L'\r' || c == L'\033'))
            text_add(&pasted, bytes, (size_t)len);
        if (pasted.len >= end && memcmp(pasted.data + pasted.len - end, paste_end, end) == 0) {
            pasted.data[pasted.len -= end] = '\0';
            break;
        }
    }
    for (char *at = pasted.data; at && (at = strchr(at, '\033')) != NULL;) *at = ' ';
    bool taken = !pasted.failed && (pasted.len == 0 || el_insertstr(edit, text_str(&pasted)) == 0);
    text_deinit(&pasted);
    return taken ? CC_REFRESH : CC_ERROR;
}

/* What is missing of the one word that begins with what stands before the cursor. */
static unsigned char complete(EditLine *edit, int key) {
    const struct line *l = NULL;
    const LineInfo *typed = el_line(edit);
    size_t len = (size_t)(typed->cursor - typed->buffer);
    const char *found = NULL;
    el_get(edit, EL_CLIENTDATA, &l);
    if (len == 0 || l->inside || typed->buffer[0] != '/') return el_insertstr(edit, "\t") == 0 ? CC_REFRESH : CC_ERROR;
    for (const char *const *word = l->words; *word != NULL; word++) {
        if (strncmp(*word, typed->buffer, len) != 0) continue;
        if (found != NULL) return CC_ERROR; /* several: a bell */
        found = *word;
    }
    return found && el_insertstr(edit, found + len) == 0 && el_insertstr(edit, " ") == 0 ? CC_REFRESH : CC_ERROR;
}

static void bind_keys(EditLine *edit) {
    static const char *const keys[][2] = {
        {paste_begin, "take-paste"},  {"\033\n", "begin-line"},        {"^I", "complete"},
        {"^R", "em-inc-search-prev"}, {"\033[1~", "ed-move-to-beg"},   {"\033[4~", "ed-move-to-end"},
        {"\033[3~", "ed-delete-next-char"}, {"\033[1;5D", "ed-prev-word"}, {"\033[1;5C", "em-next-word"},
    };
    el_set(edit, EL_ADDFN, "take-paste", "what is pasted", take_paste);
    el_set(edit, EL_ADDFN, "begin-line", "another line of the message", begin_line);
    el_set(edit, EL_ADDFN, "complete", "the rest of a word", complete);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) el_set(edit, EL_BIND, keys[i][0], keys[i][1], NULL);
}

/* ---- opening ---- */

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
    bind_keys(l->edit);
    l->marks_pastes = common_styled(stderr);
    if (l->marks_pastes) fputs("\033[?2004h", stderr); /* all the time: people paste while an answer comes, too */
    follow_size();
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_HIST, history, l->history);
    if (history_path == NULL) return true;
    l->history_path = strdup(history_path);
    if (l->history_path == NULL) return false;
    history(l->history, &event, H_LOAD, l->history_path);
    return true;
}

int line_open(struct line **out, const char *history_path, const char *const *words, int wake_fd,
              struct error *error) {
    struct line *l = calloc(1, sizeof *l);
    if (l != NULL) *l = (struct line){.wake_fd = wake_fd, .words = words};
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
    if (l->marks_pastes) fputs("\033[?2004l", stderr);
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
    l->woken = false;
    *out = el_gets(l->edit, &count);
    if (l->woken) return ERR_CANCELLED;
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
