#include "engine/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/logits.h"

enum { WINDOW_MIN = 4 };

struct score {
    const uint32_t *next; /* the token that the next logits should have foretold */
    uint32_t left;        /* of them; the logits after the window's last token foretell nothing */
    double sum, squares;  /* of negative log-likelihoods */
    uint64_t tokens;
};

/* -log(softmax(logits)[token]) */
static double surprise(const float *logits, size_t vocab, uint32_t token) {
    float most = logits[0];
    for (size_t i = 1; i < vocab; i++) most = logits[i] > most ? logits[i] : most;
    double sum = 0;
    for (size_t i = 0; i < vocab; i++) sum += expf(logits[i] - most);
    return log(sum) - (double)(logits[token] - most);
}

static int take(void *context, const float *logits, size_t vocab) {
    struct score *s = context;
    if (s->left == 0) return 0;
    double nll = surprise(logits, vocab, *s->next);
    s->next++;
    s->left--;
    s->sum += nll;
    s->squares += nll * nll;
    s->tokens++;
    return 0;
}

static int check(const struct model *m, const struct perplexity_options *o, struct error *error) {
    if (o->window < WINDOW_MIN || o->count < o->window)
        return error_set(error, ERR_INVALID,
                         "the text has %zu tokens and a window %u, at least %d: choose another context", o->count,
                         o->window, WINDOW_MIN);
    for (size_t i = 0; i < o->count; i++)
        if (o->tokens[i] >= m->params.vocab)
            return error_set(error, ERR_INVALID, "token %u is not one of the model's %u", o->tokens[i],
                             m->params.vocab);
    return 0;
}

static int score_window(struct logits *l, const struct perplexity_options *o, const uint32_t *tokens, uint32_t *copy,
                        struct score *score, struct error *error) {
    uint32_t first = o->window / 2;
    memcpy(copy, tokens, o->window * sizeof *copy);
    if (o->bos >= 0) copy[0] = (uint32_t)o->bos;
    score->next = tokens + first + 1;
    score->left = o->window - first - 1;
    return logits_feed(l, copy, o->window, first, take, score, error);
}

static void summarise(const struct score *score, struct perplexity *out) {
    double count = (double)score->tokens, mean = score->sum / count, variance = score->squares / count - mean * mean;
    out->tokens = score->tokens;
    out->value = exp(mean);
    out->deviation = variance > 0 && count > 1 ? out->value * sqrt(variance / (count - 1)) : 0;
}

int perplexity_run(const struct model *m, const struct perplexity_options *o, struct perplexity *out,
                   struct error *error) {
    struct logits_setup setup = {.context = o->window > m->params.context ? o->window : 0,
                                 .tokens_max = o->window,
                                 .threads = o->threads,
                                 .isa = o->isa,
                                 .kv = o->kv};
    struct logits *l = NULL;
    struct score score = {0};
    int rc = check(m, o, error);
    if (rc < 0) return rc;
    uint32_t *copy = malloc(o->window * sizeof *copy);
    *out = (struct perplexity){.windows = (uint32_t)(o->count / o->window)};
    rc = copy ? logits_open(&l, m, &setup, error) : error_set(error, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < out->windows; i++)
        rc = score_window(l, o, o->tokens + (size_t)i * o->window, copy, &score, error);
    if (rc == 0) summarise(&score, out);
    logits_close(l);
    free(copy);
    return rc;
}
