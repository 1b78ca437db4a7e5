/* caravan bench: how fast this machine, or the cluster, runs a model. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/bench.h"
#include "engine/step.h"

enum { TOKENS_MAX = 1 << 20, REQUESTS_MAX = 64 };

struct bench_flags {
    int64_t threads, prompt, generate, repeat, batch, requests;
    const char *quantize;
    bool cluster, json;
};

static double number(const json_t *object, const char *key, const char *inner) {
    return json_number_value(json_object_get(json_object_get(object, key), inner));
}

static void print_rate(const json_t *result, const char *name, const char *key, const char *fraction, const char *of) {
    printf("%-8s %8.1f tokens/s (%.1f to %.1f)", name, number(result, key, "median"), number(result, key, "min"),
           number(result, key, "max"));
    const json_t *value = json_object_get(result, fraction);
    if (json_is_number(value)) printf(", %.0f %% of %s", 100 * json_number_value(value), of);
    printf("\n");
}

static void print_bench(const json_t *result) {
    print_rate(result, "prefill", "prefill_tokens_per_s", "prefill_matmul_fraction", "the multipliers' peak");
    print_rate(result, "decode", "decode_tokens_per_s", "decode_bandwidth_fraction", "the memory's bandwidth");
    if (json_is_object(json_object_get(result, "hop_us")))
        printf("%-8s %8.1f us a hop (99 %%: %.1f)\n", "ring", number(result, "hop_us", "median"),
               number(result, "hop_us", "p99"));
    if (json_is_object(json_object_get(result, "token_us")))
        printf("%-8s %8.0f us computing, %.0f serialising, %.0f others' computing, %.0f wire and waking\n", "a token",
               number(result, "token_us", "compute"), number(result, "token_us", "serialise"),
               number(result, "token_us", "others"), number(result, "token_us", "wire"));
}

static json_t *rate_json(const struct bench_rate *rate) {
    return json_pack("{s:f, s:f, s:f}", "median", rate->median, "min", rate->min, "max", rate->max);
}

static json_t *result_json(const struct bench_result *r, enum kern_isa isa) {
    return json_pack("{s:s, s:i, s:I, s:o, s:f, s:o, s:o, s:f, s:f}", "isa", kern_isa_name(isa), "threads",
                     (int)r->threads, "weights_bytes", (json_int_t)r->weights_bytes, "read_bandwidth",
                     rate_json(&r->read_bandwidth), "matmul_peak", r->matmul_peak, "prefill_tokens_per_s",
                     rate_json(&r->prefill), "decode_tokens_per_s", rate_json(&r->decode), "decode_bandwidth_fraction",
                     r->decode_bandwidth_fraction, "prefill_matmul_fraction", r->prefill_matmul_fraction);
}

static int bench_here(const char *name, const struct bench_flags *flags, json_t **result, struct error *error) {
    struct model model;
    struct bench_result measured;
    struct bench_options options = {.threads = (unsigned)flags->threads,
                                    .prompt = (uint32_t)flags->prompt,
                                    .generate = (uint32_t)flags->generate,
                                    .repeat = (uint32_t)flags->repeat,
                                    .batch = (uint32_t)flags->batch};
    int rc = common_isa(&options.isa, error);
    if (rc == 0) rc = common_model_open(name, &model, error);
    if (rc < 0) return rc;
    rc = bench_run(&model, &options, &measured, error);
    model_deinit(&model);
    if (rc == 0) *result = result_json(&measured, options.isa);
    return rc;
}

static int bench_cluster(const char *name, const struct bench_flags *flags, json_t **result, struct error *error) {
    struct cluster_bench bench = {.model = name,
                                  .prompt = (uint32_t)flags->prompt,
                                  .generate = (uint32_t)flags->generate,
                                  .repeat = (uint32_t)flags->repeat,
                                  .requests = (uint32_t)flags->requests};
    return cluster_bench(&bench, result, error);
}

int cli_bench(int argc, char **argv) {
    struct bench_flags flags = {.prompt = 512, .generate = 64, .repeat = 3, .batch = 1, .requests = 1};
    struct option_words words;
    char name[CLI_PATH_BYTES];
    struct error error = {0};
    json_t *result = NULL;
    const struct option_spec specs[] = {{"--threads", OPTION_COUNT, &flags.threads, 1, CLI_THREADS_MAX},
                                        {"--prompt", OPTION_COUNT, &flags.prompt, 1, TOKENS_MAX},
                                        {"--generate", OPTION_COUNT, &flags.generate, 1, TOKENS_MAX},
                                        {"--repeat", OPTION_COUNT, &flags.repeat, 1, BENCH_REPEAT_MAX},
                                        {"--batch", OPTION_COUNT, &flags.batch, 1, STEP_ROWS_MAX},
                                        {"--requests", OPTION_COUNT, &flags.requests, 1, REQUESTS_MAX},
                                        {"--quantize", OPTION_TEXT, &flags.quantize},
                                        {"--cluster", OPTION_FLAG, &flags.cluster},
                                        {"--json", OPTION_FLAG, &flags.json},
                                        {NULL}};
    int parsed = options_parse(argc, argv, specs, 1, 1, &words);
    if (parsed != OPTIONS_OK) return options_status(parsed);
    int status = common_quantized(words.at[0], flags.quantize, name);
    if (status != CLI_DONE) return status;
    int rc = flags.cluster ? bench_cluster(name, &flags, &result, &error) : bench_here(name, &flags, &result, &error);
    if (rc < 0) return common_fail(&error);
    if (flags.json) return common_print_json(result);
    print_bench(result);
    json_decref(result);
    return CLI_DONE;
}
