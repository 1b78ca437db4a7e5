/* caravan debug tokenize: token ids of the NUL-separated texts on standard input, one JSON array a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/source.h"
#include "model/tokenizer.h"

static void read_all(FILE *in, struct text *out) {
    char block[64 << 10];
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;) text_add(out, block, n);
}

static int print_ids(const struct tokenizer *t, const char *text, size_t len, bool special) {
    struct token_list ids = {0};
    int rc = tokenizer_encode(t, text, len, special, special, &ids);
    putchar('[');
    for (size_t i = 0; i < ids.count; i++) printf(i ? ", %u" : "%u", ids.ids[i]);
    puts("]");
    token_list_deinit(&ids);
    return rc;
}

static int tokenize(const struct tokenizer *t, const struct text *in, bool special, struct error *error) {
    int rc = in->failed ? ERR_NOMEM : 0;
    for (size_t at = 0; rc == 0 && at < in->len;) {
        const char *end = memchr(in->data + at, 0, in->len - at);
        size_t len = end ? (size_t)(end - in->data) - at : in->len - at;
        rc = print_ids(t, in->data + at, len, special);
        at += len + 1;
    }
    return rc ? error_set(error, rc, "%s", error_text(rc)) : 0;
}

/* The vocabulary alone is enough: the file may be of any architecture, and without weights. */
static int open_header(const char *path, uint8_t **header, struct gguf *g, struct error *error) {
    struct source source;
    size_t len = 0;
    uint64_t bytes = 0;
    int rc = source_open(&source, path, error);
    if (rc) return rc;
    rc = source_header(&source, header, &len, &bytes, error);
    if (rc == 0) rc = gguf_parse(g, *header, len, bytes, error);
    source_close(&source);
    return rc;
}

static int run(const char *name, bool special, struct error *error) {
    struct gguf g = {0};
    struct tokenizer *tokenizer = NULL;
    struct text in = {0};
    uint8_t *header = NULL;
    char path[CLI_PATH_BYTES];
    int rc = common_model_path(name, path, error);
    if (rc == 0) rc = open_header(path, &header, &g, error);
    if (rc == 0) rc = tokenizer_new(&tokenizer, &g, error);
    if (rc == 0) read_all(stdin, &in);
    if (rc == 0) rc = tokenize(tokenizer, &in, special, error);
    text_deinit(&in);
    tokenizer_free(tokenizer);
    gguf_deinit(&g);
    free(header);
    return rc;
}

int cli_debug_tokenize(int argc, char **argv) {
    struct option_words words;
    struct error error = {0};
    bool special = false;
    struct option_spec specs[] = {{"--special", OPTION_FLAG, &special}, {0}};
    int result = options_parse(argc, argv, specs, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    return run(words.at[0], special, &error) ? common_fail(&error) : CLI_DONE;
}
