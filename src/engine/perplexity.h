/* Perplexity of a text: how surprised a model is by it, e to the mean negative log-likelihood of its tokens.
 *
 * The text is cut into windows that are scored apart, each by the tokens of its second half, so that every scored token
 * has some context; what is left of the text after the last whole window is not looked at. That is llama-perplexity's
 * way, so that figures compare. One thread; takes as long as a prefill of the text. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "kern/kern.h"
#include "model/model.h"

struct perplexity_options {
    const uint32_t *tokens; /* of the text, count of them */
    size_t count;
    uint32_t window;  /* tokens; at least 4 */
    int64_t bos;      /* takes the place of each window's first token; -1: none does */
    unsigned threads; /* 0: one per core */
    enum kern_isa isa;
    enum kern_kv kv;
};

struct perplexity {
    double value;
    double deviation; /* standard error of the value */
    uint64_t tokens;  /* scored */
    uint32_t windows;
};

/* ERR_INVALID when the text is shorter than a window. */
int perplexity_run(const struct model *m, const struct perplexity_options *o, struct perplexity *out,
                   struct error *error);
