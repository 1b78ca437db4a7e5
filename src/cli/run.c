/* caravan run: one answer, or a chat. */
#include <stdio.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/chat.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/plan.h"

static int answer_once(struct client *client, const struct answer_settings *settings, const char *prompt,
                       struct error *error) {
    struct answer answer = {0};
    json_t *request = answer_request(settings);
    if (settings->raw)
        json_object_set_new(request, "prompt", json_string(prompt));
    else
        json_object_set_new(request, "messages", json_pack("[{s:s, s:s}]", "role", "user", "content", prompt));
    enum answer_look look = isatty(STDOUT_FILENO) ? ANSWER_SAFE : ANSWER_EXACT;
    int code = answer_print(client, request, look, &answer, error);
    text_deinit(&answer.text);
    return code;
}

static int load_and_run(const struct answer_settings *settings, const char *prompt, struct error *error) {
    struct client *client = NULL;
    int code = client_open(&client, CLIENT_LOOKING, error);
    if (code == 0) code = plan_load(client, json_pack("{s:s}", "model", settings->model), NULL, error);
    if (code == 0) code = prompt ? answer_once(client, settings, prompt, error) : chat_run(client, settings, error);
    client_close(client);
    return code;
}

int cli_run(int argc, char **argv) {
    struct answer_settings settings = {.temperature = -1, .top_p = -1, .seed = -1, .tokens_max = -1};
    struct option_words words;
    struct error error;
    const char *quantize = NULL;
    char path[CLI_PATH_BYTES], name[CLI_PATH_BYTES];
    struct option_spec specs[] = {{"--temperature", OPTION_NUMBER, &settings.temperature, 0, 2},
                                  {"--top-p", OPTION_NUMBER, &settings.top_p, 0, 1},
                                  {"--seed", OPTION_COUNT, &settings.seed, 0, 9e18},
                                  {"--max-tokens", OPTION_COUNT, &settings.tokens_max, 1, 1 << 30},
                                  {"--quantize", OPTION_TEXT, &quantize},
                                  {"--raw", OPTION_FLAG, &settings.raw},
                                  {0}};
    int result = options_parse(argc, argv, specs, 1, 2, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (settings.raw && words.at[1] == NULL) {
        fprintf(stderr, "caravan run: --raw needs a PROMPT\nusage: caravan %s\n", cli_usage(argv[0]));
        return CLI_USAGE;
    }
    int status = common_quantized(words.at[0], quantize, name);
    if (status != CLI_DONE) return status;
    settings.model = common_model_name(name, path);
    return load_and_run(&settings, words.at[1], &error) == 0 ? CLI_DONE : common_fail(&error);
}
