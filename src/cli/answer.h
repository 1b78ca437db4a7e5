/* One answer of the node's, shown as it comes in, and what it cost. One thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct client;

struct answer_settings {
    const char *model;
    double temperature, top_p; /* -1: the node's own */
    int64_t seed, tokens_max;  /* -1: the node's own */
    bool raw;
};

/* How standard output gets it. */
enum answer_look {
    ANSWER_EXACT,  /* a file, a pipe: as the model said it */
    ANSWER_SAFE,   /* a terminal: without control characters */
    ANSWER_STYLED, /* a terminal: Markdown, too */
};

/* A zeroed struct is an answer that has not come yet; free it with text_deinit(&answer.text). */
struct answer {
    struct text text; /* exactly what the model said */
    bool told;        /* it came to its end, and the numbers are known */
    int64_t prompt_tokens, cached_tokens, tokens;
    double first_token_s, tokens_per_s; /* tokens_per_s -1: one token has no rate */
};

/* What the settings say, as a request that lacks its "prompt" or "messages". */
json_t *answer_request(const struct answer_settings *settings);

/* Stream the answer to `request` (taken) to stdout, ended by a newline if anything came; thoughts go to stderr if that
 * is a terminal. ERR_CANCELLED after a signal, with what came until then; ERR_IO when stdout takes no more. */
int answer_print(struct client *client, json_t *request, enum answer_look look, struct answer *out,
                 struct error *error);
