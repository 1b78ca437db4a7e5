/* caravan run: one answer, or a chat. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/line.h"
#include "cli/options.h"
#include "cli/plan.h"

struct run {
    struct client *client;
    const char *model;
    const char *quantize;      /* NULL: not given */
    double temperature, top_p; /* -1: not given */
    int64_t seed, tokens_max;  /* -1: not given */
    bool raw;
};

/* An answer as it comes in. */
struct answer {
    struct text text;
    bool lost; /* stdout does not take it any more */
};

static bool print_event(void *context, const json_t *event) {
    struct answer *answer = context;
    const json_t *piece = json_object_get(event, "text"), *thought = json_object_get(event, "thought");
    if (thought && isatty(STDERR_FILENO)) fprintf(stderr, "\033[2m%s\033[0m", json_string_value(thought));
    size_t len = json_string_length(piece);
    if (len == 0) return true;
    text_add(&answer->text, json_string_value(piece), len);
    answer->lost = fwrite(json_string_value(piece), 1, len, stdout) != len || fflush(stdout) != 0;
    return !answer->lost;
}

static json_t *generate_request(const struct run *r) {
    json_t *request = json_pack("{s:s, s:b}", "model", r->model, "raw", r->raw);
    if (r->temperature >= 0) json_object_set_new(request, "temperature", json_real(r->temperature));
    if (r->top_p >= 0) json_object_set_new(request, "top_p", json_real(r->top_p));
    if (r->seed >= 0) json_object_set_new(request, "seed", json_integer(r->seed));
    if (r->tokens_max >= 0) json_object_set_new(request, "max_tokens", json_integer(r->tokens_max));
    return request;
}

/* Stream the answer to `request` (taken) to stdout, ended by a newline if anything came. */
static int print_answer(const struct run *r, json_t *request, struct answer *answer, struct error *error) {
    int code = client_stream(r->client, "generate", request, print_event, answer, error);
    if (code == 0 || answer->text.len > 0) answer->lost = putchar('\n') == EOF || fflush(stdout) != 0 || answer->lost;
    if (code == 0 && answer->lost) code = error_set(error, ERR_IO, "standard output does not take the answer");
    return code;
}

static json_t *message(const char *role, const struct text *content) {
    return json_pack("{s:s, s:s%}", "role", role, "content", text_str(content), content->len);
}

static int answer_once(const struct run *r, const char *prompt, struct error *error) {
    struct answer answer = {0};
    json_t *request = generate_request(r);
    if (r->raw)
        json_object_set_new(request, "prompt", json_string(prompt));
    else
        json_object_set_new(request, "messages", json_pack("[{s:s, s:s}]", "role", "user", "content", prompt));
    int code = print_answer(r, request, &answer, error);
    text_deinit(&answer.text);
    return code;
}

/* Ask for the next answer and keep both sides. A question that failed is forgotten, an answer that was stopped is not.
 */
static int chat_turn(const struct run *r, json_t *messages, const struct text *question, struct error *error) {
    struct answer answer = {0};
    json_t *asked = message("user", question);
    if (asked == NULL) return error_set(error, ERR_INVALID, "the message is not valid UTF-8");
    json_array_append_new(messages, asked);
    json_t *request = generate_request(r);
    json_object_set(request, "messages", messages);
    int code = print_answer(r, request, &answer, error);
    if (client_take_interrupt()) code = 0;
    if (code == 0)
        json_array_append_new(messages, message("assistant", &answer.text));
    else
        json_array_remove(messages, json_array_size(messages) - 1);
    text_deinit(&answer.text);
    return code;
}

/* What line_read gave. 0 to go on: on a terminal a failed turn is told and the chat goes on, from a pipe it ends it. */
static int take_message(const struct run *r, const struct line *line, int read, const struct text *question,
                        json_t *messages, struct error *error) {
    int code = 0;
    bool interrupted = client_take_interrupt();
    if (read == ERR_CANCELLED && interrupted) {
        fputc('\n', stderr);
    } else if (read != 0) {
        code = error_set(error, read, read == ERR_LIMIT ? "the message is too long" : "stopped");
    } else if (question->len > 0) {
        code = chat_turn(r, messages, question, error);
    }
    if (code == ERR_CLOSED || code == ERR_CANCELLED || !line_is_terminal(line)) return code;
    if (code != 0) common_fail(error);
    return 0;
}

static int chat_loop(const struct run *r, struct line *line, json_t *messages, struct error *error) {
    struct text question = {0};
    int code = 0, read;
    while (code == 0 && (read = line_read(line, &question)) != ERR_CLOSED)
        code = take_message(r, line, read, &question, messages, error);
    text_deinit(&question);
    return code;
}

static int chat(const struct run *r, struct error *error) {
    char home[CLI_PATH_BYTES], history[CLI_PATH_BYTES + 16];
    struct line *line = NULL;
    int code = common_home(home, error);
    if (code != 0) return code;
    snprintf(history, sizeof history, "%s/history", home);
    code = line_open(&line, history, client_interrupt_fd(), error);
    if (code != 0) return code;
    if (line_is_terminal(line))
        fprintf(stderr, "%s. \"\"\" spans lines, Ctrl-C stops an answer, Ctrl-D leaves.\n", r->model);
    json_t *messages = json_array();
    code = chat_loop(r, line, messages, error);
    json_decref(messages);
    if (line_is_terminal(line)) fputc('\n', stderr);
    line_close(line);
    return code;
}

static int load_and_run(struct run *r, const char *prompt, struct error *error) {
    int code = client_open(&r->client, CLIENT_LOOKING, error);
    if (code == 0) code = plan_load(r->client, json_pack("{s:s}", "model", r->model), NULL, error);
    if (code == 0) code = prompt != NULL ? answer_once(r, prompt, error) : chat(r, error);
    client_close(r->client);
    return code;
}

int cli_run(int argc, char **argv) {
    struct run run = {.temperature = -1, .top_p = -1, .seed = -1, .tokens_max = -1};
    struct option_words words;
    struct error error;
    char path[CLI_PATH_BYTES], name[CLI_PATH_BYTES];
    struct option_spec specs[] = {{"--temperature", OPTION_NUMBER, &run.temperature, 0, 2},
                                  {"--top-p", OPTION_NUMBER, &run.top_p, 0, 1},
                                  {"--seed", OPTION_COUNT, &run.seed, 0, 9e18},
                                  {"--max-tokens", OPTION_COUNT, &run.tokens_max, 1, 1 << 30},
                                  {"--quantize", OPTION_TEXT, &run.quantize},
                                  {"--raw", OPTION_FLAG, &run.raw},
                                  {0}};
    int result = options_parse(argc, argv, specs, 1, 2, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (run.raw && words.at[1] == NULL) {
        fprintf(stderr, "caravan run: --raw needs a PROMPT\nusage: caravan %s\n", cli_usage(argv[0]));
        return CLI_USAGE;
    }
    int status = common_quantized(words.at[0], run.quantize, name);
    if (status != CLI_DONE) return status;
    run.model = common_model_name(name, path);
    return load_and_run(&run, words.at[1], &error) == 0 ? CLI_DONE : common_fail(&error);
}
