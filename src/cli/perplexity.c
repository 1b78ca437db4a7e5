/* caravan perplexity: how surprised a model is by a text. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/perplexity.h"
#include "model/tokenizer.h"
#include "os/file.h"

enum { TEXT_BYTES_MAX = 1 << 30, WINDOW_DEFAULT = 512 };

static int read_text(const char *path, char **out, size_t *len, struct error *error) {
    struct file f;
    int rc = file_open(&f, path, error);
    if (rc < 0) return rc;
    *len = (size_t)f.bytes;
    *out = f.bytes <= TEXT_BYTES_MAX ? malloc(*len + 1) : NULL;
    rc = *out ? file_read_at(&f, 0, *out, *len, error) : error_set(error, ERR_LIMIT, "%s is too big", path);
    file_close(&f);
    return rc;
}

/* The text's ids, and what begins each window: BOS where the model puts it before every text. */
static int tokenize(const struct model *m, const char *path, struct token_list *ids, int64_t *bos,
                    struct error *error) {
    struct tokenizer *t = NULL;
    char *text = NULL;
    size_t len = 0;
    int rc = tokenizer_new(&t, &m->gguf, error);
    if (rc == 0 && tokenizer_count(t) == 0) rc = error_set(error, ERR_UNSUPPORTED, "the model has no vocabulary");
    if (rc == 0) rc = read_text(path, &text, &len, error);
    if (rc == 0 && tokenizer_encode(t, text, len, true, false, ids) < 0)
        rc = error_set(error, ERR_NOMEM, "no memory for the tokens of %s", path);
    *bos = rc == 0 && ids->count > 0 && ids->ids[0] == tokenizer_bos(t) ? tokenizer_bos(t) : -1;
    free(text);
    tokenizer_free(t);
    return rc;
}

static int score(const char *name, const char *text, struct perplexity_options *o, struct perplexity *out,
                 struct error *error) {
    struct model m;
    struct token_list ids = {0};
    int rc = common_model_open(name, &m, error);
    if (rc < 0) return rc;
    rc = tokenize(&m, text, &ids, &o->bos, error);
    o->tokens = ids.ids;
    o->count = ids.count;
    if (rc == 0) rc = perplexity_run(&m, o, out, error);
    token_list_deinit(&ids);
    model_deinit(&m);
    return rc;
}

static int print(const struct perplexity *p, int64_t window, bool json) {
    if (json)
        return common_print_json(json_pack("{s:f, s:I, s:f, s:I, s:I}", "perplexity", p->value, "tokens",
                                           (json_int_t)p->tokens, "deviation", p->deviation, "windows",
                                           (json_int_t)p->windows, "context", (json_int_t)window));
    printf("perplexity %.4f +/- %.4f, over %llu tokens in %u windows of %lld\n", p->value, p->deviation,
           (unsigned long long)p->tokens, p->windows, (long long)window);
    return CLI_DONE;
}

int cli_perplexity(int argc, char **argv) {
    int64_t window = WINDOW_DEFAULT, threads = 0;
    bool json = false;
    const char *quantize = NULL;
    struct option_words words;
    struct error error = {0};
    struct perplexity_options o = {0};
    struct perplexity result;
    char name[CLI_PATH_BYTES];
    const struct option_spec specs[] = {{"--context", OPTION_COUNT, &window, 4, UINT32_MAX},
                                        {"--threads", OPTION_COUNT, &threads, 1, CLI_THREADS_MAX},
                                        {"--quantize", OPTION_TEXT, &quantize},
                                        {"--json", OPTION_FLAG, &json},
                                        {NULL}};
    int parsed = options_parse(argc, argv, specs, 2, 2, &words);
    if (parsed != OPTIONS_OK) return options_status(parsed);
    o.window = (uint32_t)window;
    o.threads = (unsigned)threads;
    int status = common_quantized(words.at[0], quantize, name);
    if (status != CLI_DONE) return status;
    int rc = common_isa(&o.isa, &error);
    if (rc == 0) rc = score(name, words.at[1], &o, &result, &error);
    return rc == 0 ? print(&result, window, json) : common_fail(&error);
}
