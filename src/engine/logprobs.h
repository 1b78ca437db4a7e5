/* Log probabilities: the natural logarithm of softmax over a row of logits, as the model gave them - before biases,
 * penalties, temperature and filters, so that they compare between requests. Pure, one thread per call. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { LOGPROBS_TOP_MAX = 20 };

struct logprob {
    uint32_t token;
    float value;
};

struct logprobs {
    uint32_t top;                               /* how many follow the first one */
    struct logprob list[1 + LOGPROBS_TOP_MAX]; /* the token's own, then the likeliest ones, best first */
};

/* Of `token` and of the `top` likeliest tokens; of equal ones the lower id comes first. */
void logprobs_find(struct logprobs *out, const float *logits, size_t vocab, uint32_t token, uint32_t top);
