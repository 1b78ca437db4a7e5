/* caravan debug logits: what the model thinks after each of some tokens, as little-endian float32 on stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/logits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "logits are written as they lie in memory");

enum { CONTEXT_MAX = 1 << 24 };

static const char *const kv_names[KERN_KV_COUNT] = {
    [KERN_KV_F16] = "f16", [KERN_KV_F32] = "f32", [KERN_KV_Q8_0] = "q8_0"};

struct logits_flags {
    const char *tokens, *kv, *quantize;
    int64_t chunk, context, threads;
    bool cluster;
};

/* "1,2,3"; *out is the caller's to free. False when it is something else. */
static bool parse_tokens(const char *text, struct logits_options *o, uint32_t **out) {
    uint32_t *tokens = malloc((strlen(text) + 1) * sizeof *tokens);
    *out = tokens;
    if (tokens == NULL) return false;
    for (const char *at = text;; at++) {
        char *end;
        unsigned long id = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || id > UINT32_MAX) return false;
        tokens[o->count++] = (uint32_t)id;
        if (*end == '\0') break;
        if (*end != ',') return false;
        at = end;
    }
    o->tokens = tokens;
    return true;
}

static bool parse_kv(const char *name, enum kern_kv *out) {
    for (unsigned kv = 0; kv < KERN_KV_COUNT; kv++) {
        if (strcmp(name, kv_names[kv]) != 0) continue;
        *out = (enum kern_kv)kv;
        return true;
    }
    return false;
}

static int wrong(const char *what) {
    fprintf(stderr, "caravan debug logits: %s\nusage: caravan %s\n", what, cli_usage("debug logits"));
    return CLI_USAGE;
}

static int write_row(void *context, const float *logits, size_t vocab) {
    return fwrite(logits, sizeof *logits, vocab, stdout) == vocab ? 0 : ERR_IO;
}

static int logits_here(const char *name, struct logits_options *options) {
    struct model model;
    struct error error = {0};
    int rc = common_isa(&options->isa, &error);
    if (rc == 0) rc = common_model_open(name, &model, &error);
    if (rc < 0) return common_fail(&error);
    rc = logits_run(&model, options, write_row, NULL, &error);
    model_deinit(&model);
    if (rc == 0 && fflush(stdout) != 0) rc = error_set(&error, ERR_IO, "standard output does not take the logits");
    return rc == 0 ? CLI_DONE : common_fail(&error);
}

int cli_debug_logits(int argc, char **argv) {
    struct logits_flags flags = {.kv = "f16"};
    struct logits_options options = {0};
    struct option_words words;
    char name[CLI_PATH_BYTES];
    uint32_t *tokens = NULL;
    const struct option_spec specs[] = {{"--tokens", OPTION_TEXT, &flags.tokens},
                                        {"--chunk", OPTION_COUNT, &flags.chunk, 1, CONTEXT_MAX},
                                        {"--kv", OPTION_TEXT, &flags.kv},
                                        {"--context", OPTION_COUNT, &flags.context, 1, CONTEXT_MAX},
                                        {"--threads", OPTION_COUNT, &flags.threads, 1, CLI_THREADS_MAX},
                                        {"--quantize", OPTION_TEXT, &flags.quantize},
                                        {"--cluster", OPTION_FLAG, &flags.cluster},
                                        {NULL}};
    int parsed = options_parse(argc, argv, specs, 1, 1, &words);
    if (parsed != OPTIONS_OK) return options_status(parsed);
    if (!parse_kv(flags.kv, &options.kv)) return wrong("--kv takes f32, f16 or q8_0");
    options.chunk = (uint32_t)flags.chunk;
    options.context = (uint32_t)flags.context;
    options.threads = (unsigned)flags.threads;
    int status = common_quantized(words.at[0], flags.quantize, name);
    if (status != CLI_DONE) return status;
    if (flags.tokens == NULL || !parse_tokens(flags.tokens, &options, &tokens))
        status = wrong("--tokens takes token ids: 1,2,3");
    else if (flags.cluster)
        status = cluster_logits(name, tokens, options.count, options.chunk);
    else
        status = logits_here(name, &options);
    free(tokens);
    return status;
}
