#include "engine/logprobs.h"

#include <assert.h>
#include <string.h>

#include "engine/exact.h"

/* ln of the sum of exp, in one order. What is e^-80 of the best adds nothing to a double that holds the best. */
static double log_sum(const float *logits, size_t vocab, float max) {
    double sum = 0.0;
    for (size_t i = 0; i < vocab; i++)
        if (logits[i] > max - 80.0f) sum += exact_exp((double)logits[i] - max);
    return max + exact_log(sum);
}

/* Into the list of the best so far, which is sorted. */
static void consider(struct logprobs *out, uint32_t *count, uint32_t id, float logit) {
    uint32_t at = *count;
    struct logprob *best = out->list + 1;
    if (at == out->top && !(logit > best[at - 1].value)) return;
    if (at == out->top) at--;
    else ++*count;
    for (; at > 0 && logit > best[at - 1].value; at--) best[at] = best[at - 1];
    best[at] = (struct logprob){id, logit};
}

void logprobs_find(struct logprobs *out, const float *logits, size_t vocab, uint32_t token, uint32_t top) {
    uint32_t count = 0;
    float max = logits[0];
    assert(top <= LOGPROBS_TOP_MAX && token < vocab);
    *out = (struct logprobs){.top = top < vocab ? top : (uint32_t)vocab};
    for (size_t i = 0; i < vocab; i++) {
        if (logits[i] > max) max = logits[i];
        if (out->top > 0) consider(out, &count, (uint32_t)i, logits[i]);
    }
    double sum = log_sum(logits, vocab, max);
    out->top = count;
    out->list[0] = (struct logprob){token, logits[token]};
    for (uint32_t i = 0; i <= count; i++) out->list[i].value = (float)(out->list[i].value - sum);
}
