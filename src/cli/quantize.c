/* caravan quantize: a model file in another format. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/convert.h"
#include "os/facts.h"

static void report(const struct conversion *c, const char *out) {
    char before[CLI_SIZE_BYTES], after[CLI_SIZE_BYTES];
    uint64_t values = 0, bytes = 0;
    for (size_t i = 0; i < c->file_count; i++) bytes += c->files[i].bytes;
    for (size_t i = 0; i < c->parts.count; i++) values += c->parts.items[i].rows * c->parts.items[i].cols;
    fprintf(stderr, "%s: %s made of %s, %.2f bits a weight\n", out, common_size(c->bytes, after),
            common_size(bytes, before), values > 0 ? 8.0 * (double)(c->bytes - c->header_len) / (double)values : 0.0);
}

static int convert(const char *in, const char *out, const struct recipe *recipe, unsigned threads,
                   struct error *error) {
    struct conversion c;
    struct pool *pool = NULL;
    int rc = conversion_open(&c, in, recipe, error);
    if (rc < 0) return rc;
    if ((rc = pool_new(&pool, threads)) < 0)
        error_set(error, rc, "cannot start %u threads", threads);
    else
        rc = conversion_write(&c, out, pool, error);
    if (rc == 0) report(&c, out);
    pool_free(pool);
    conversion_deinit(&c);
    return rc;
}

int cli_quantize(int argc, char **argv) {
    int64_t threads = 0;
    struct option_words words;
    struct error error = {0};
    const struct recipe *recipe;
    char path[CLI_PATH_BYTES];
    const struct option_spec specs[] = {{"--threads", OPTION_COUNT, &threads, 1, CLI_THREADS_MAX}, {NULL}};
    int parsed = options_parse(argc, argv, specs, 3, 3, &words);
    if (parsed != OPTIONS_OK) return options_status(parsed);
    int status = common_recipe(words.at[2], &recipe);
    if (status != CLI_DONE) return status;
    int rc = common_model_path(words.at[0], path, &error);
    if (rc == 0) rc = convert(path, words.at[1], recipe, threads ? (unsigned)threads : facts_cores(""), &error);
    return rc == 0 ? CLI_DONE : common_fail(&error);
}
