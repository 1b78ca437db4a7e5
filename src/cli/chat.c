#include "cli/chat.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/line.h"

static json_t *message(const char *role, const struct text *content) {
    return json_pack("{s:s, s:s%}", "role", role, "content", text_str(content), content->len);
}

static void count(struct chat *c, const struct answer *answer) {
    if (!answer->told) return;
    c->last = *answer;
    c->last.text = (struct text){0};
    c->answers++;
    c->tokens += answer->tokens;
    c->seconds += answer->first_token_s;
    if (answer->tokens_per_s > 0) c->seconds += (double)(answer->tokens - 1) / answer->tokens_per_s;
}

/* "42.1 tok/s, first token 0.31 s, 120 tokens" */
static void tell_speed(const struct answer *answer, bool stopped) {
    const char *dim = common_styled(stderr) ? "\033[2m" : "", *end = common_styled(stderr) ? "\033[0m" : "";
    if (stopped || !answer->told) {
        fprintf(stderr, "%sstopped%s\n\n", dim, end);
        return;
    }
    fprintf(stderr, "%s", dim);
    if (answer->tokens_per_s > 0) fprintf(stderr, "%.1f tok/s, ", answer->tokens_per_s);
    fprintf(stderr, "first token %.2f s, %lld tokens%s\n\n", answer->first_token_s, (long long)answer->tokens, end);
}

/* Ask for the next answer and keep both sides. A question without an answer is forgotten, one whose answer was stopped
 * is not. */
static int take_turn(struct chat *c, const struct text *question, struct error *error) {
    struct answer answer = {0};
    json_t *asked = message("user", question);
    if (asked == NULL) return error_set(error, ERR_INVALID, "the message is not valid UTF-8");
    json_array_append_new(c->messages, asked);
    json_t *request = answer_request(&c->settings);
    json_object_set(request, "messages", c->messages);
    int code = answer_print(c->client, request, c->look, &answer, error);
    bool stopped = client_take_interrupt();
    if (stopped) code = 0;
    if (code == 0 && (answer.text.len > 0 || !stopped))
        json_array_append_new(c->messages, message("assistant", &answer.text));
    else
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    count(c, &answer);
    if (code == 0 && line_is_terminal(c->line)) tell_speed(&answer, stopped);
    text_deinit(&answer.text);
    return code;
}

/* What line_read gave. 0 to go on. */
static int take_message(struct chat *c, int read, const struct text *question, struct error *error) {
    bool terminal = line_is_terminal(c->line), interrupted = client_take_interrupt();
    int code = 0;
    if (read == ERR_CANCELLED && interrupted)
        fputc('\n', stderr);
    else if (read != 0)
        code = error_set(error, read, read == ERR_LIMIT ? "the message is too long" : "stopped");
    else if (question->len > 0 && !(terminal && chat_command(c, text_str(question))))
        code = take_turn(c, question, error);
    if (code == ERR_CLOSED || code == ERR_CANCELLED || !terminal) return code;
    if (code != 0) common_fail(error);
    return 0;
}

static int loop(struct chat *c, struct error *error) {
    struct text question = {0};
    int code = 0, read;
    while (code == 0 && !c->ended && (read = line_read(c->line, &question)) != ERR_CLOSED)
        code = take_message(c, read, &question, error);
    if (line_is_terminal(c->line) && !c->ended) fputc('\n', stderr);
    text_deinit(&question);
    return code;
}

static enum answer_look choose_look(const struct line *line) {
    if (!isatty(STDOUT_FILENO)) return ANSWER_EXACT;
    return line_is_terminal(line) && common_styled(stdout) ? ANSWER_STYLED : ANSWER_SAFE;
}

int chat_run(struct client *client, const struct answer_settings *settings, struct error *error) {
    struct chat c = {.client = client, .settings = *settings};
    char home[CLI_PATH_BYTES], history[CLI_PATH_BYTES + 16];
    int code = common_home(home, error);
    if (code != 0) return code;
    snprintf(history, sizeof history, "%s/history", home);
    code = line_open(&c.line, history, chat_commands, client_interrupt_fd(), error);
    if (code != 0) return code;
    snprintf(c.model, sizeof c.model, "%s", settings->model);
    c.settings.model = c.model;
    c.look = choose_look(c.line);
    c.messages = json_array();
    if (line_is_terminal(c.line))
        fprintf(stderr, "%s. /help tells what there is, Ctrl-C stops an answer, Ctrl-D leaves.\n", c.model);
    code = loop(&c, error);
    json_decref(c.messages);
    line_close(c.line);
    return code;
}
