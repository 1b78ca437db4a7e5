/* The runner: keeps a loaded model busy with the running requests.
 *
 * It owns the page table and the sessions, composes each step from the running requests' next rows plus a chunk of one
 * prompt, runs its own slice (stage 0: embedding, layers, head) and passes hidden states through the other stages by
 * `struct runner_ring`. One node is the same path without a ring. Distribution is invisible above this header.
 * Pages are one pool (engine/cache.h): requests that begin alike share the pages of their beginning, and what a
 * finished one leaves serves later ones until its pages are needed. A context is never shifted: what does not fit is
 * refused.
 * One thread, the device's worker, which calls runner_step() as long as runner_busy(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/slice.h"
#include "model/grammar.h"

/* The other stages. Steps come back in the order in which they were sent; several may be under way. */
struct runner_ring {
    void *context;
    unsigned in_flight_max; /* steps sent and not yet back; >= 1 */
    unsigned stages;        /* this one included */
    /* Send a step's hidden rows to stage 1; step and hidden are the runner's again when it returns. 0, or an ERR_ code
     * when the ring is broken. */
    int (*send)(void *context, const struct step *step, const float *hidden, struct error *error);
    /* Wait for the oldest step: the hidden rows that wanted logits, in row order, into hidden[][embd] (none: only the
     * acknowledgement). 0; ERR_AGAIN when `wait` is false and it is not back yet; ERR_LOST when the ring is broken. */
    int (*receive)(void *context, uint64_t step_number, float *hidden, uint32_t row_count, bool wait,
                   struct error *error);
};

enum runner_finish { RUNNER_RUNNING, RUNNER_STOP, RUNNER_LENGTH, RUNNER_CANCELLED, RUNNER_FAILED };

/* A request: a prompt to continue. The submitter's memory, kept until on_finish returned. */
struct runner_request {
    const uint32_t *prompt;          /* token ids, at least 1; prompt_count + tokens_max <= context */
    uint32_t prompt_count;
    uint32_t tokens_max;             /* generated at most */
    struct sampler_options sampling;
    const uint32_t *stop_tokens;     /* generation ends (RUNNER_STOP) when one is drawn; it is not reported */
    uint32_t stop_count;
    /* What the generated text must be, where it begins; NULL: anything. It moves on with each token, and stop tokens
     * are drawn only where the text may end. The submitter's. */
    struct grammar_state *grammar;
    void *context;
    /* One generated token. Return false to end the request (RUNNER_STOP). */
    bool (*on_token)(void *context, uint32_t token);
    /* Called exactly once, last. error is NULL unless RUNNER_FAILED. */
    void (*on_finish)(void *context, enum runner_finish reason, const struct error *error);
    /* If not NULL: the logits of the prompt's rows from position rows_from on are given to it too. */
    void (*on_logits)(void *context, uint32_t position, const float *logits, size_t vocab);
    /* If not NULL: before each token, and for those of the prompt behind position rows_from, the log probability that
     * it had at its position, and those of the `top` likeliest tokens. */
    void (*on_logprobs)(void *context, uint32_t position, const struct logprobs *logprobs);
    uint32_t top; /* <= LOGPROBS_TOP_MAX */
    /* If not NULL: instead of tokens, what the model makes of the sum of the normed hidden rows from position rows_from
     * on: an embedding, but for its length. tokens_max is 0. */
    void (*on_embedding)(void *context, const float *sum, size_t embd);
    uint32_t rows_from; /* prompt_count: no row of the prompt is asked for */

    uint64_t client;    /* whose it is: clients get sessions in turn */

    uint32_t cached_count; /* out: prompt tokens whose KV was reused */

    /* the runner's */
    uint32_t *tokens; /* [prompt_count + tokens_max]: the log */
    uint32_t known;   /* tokens in it, while it waits */
    bool cancelled, started;
    uint64_t waiting_since_us;
    struct runner_request *next;
};

struct runner_options {
    uint32_t sessions;      /* requests that run at the same time, as far as pages go; more wait */
    uint32_t parallel;      /* sessions whose whole contexts the slice has pages for; 0: all of them */
    uint32_t context;       /* positions each session may have */
    uint32_t queue_max;     /* requests that wait; 0: any number */
    uint64_t turn_us;       /* who has run for so long gives way to others who wait; 0: the default */
    uint32_t chunk_tokens;  /* prompt rows per step; 0: as many as leave answers their pace (engine/pace.h) */
};

struct runner;

/* slice and ring (NULL: none) must outlive the runner. ERR_NOMEM. */
int runner_new(struct runner **out, const struct model *m, struct slice *slice, const struct runner_ring *ring,
               const struct runner_options *options, struct error *error);
/* Ends what still runs with RUNNER_CANCELLED. */
void runner_free(struct runner *r);

/* Queue a request; it reports by its callbacks from runner_step(). ERR_INVALID / ERR_LIMIT: refused with the numbers;
 * ERR_BUSY: queue_max requests wait; no callback will come. */
int runner_submit(struct runner *r, struct runner_request *request, struct error *error);
/* End a request at the next step boundary (RUNNER_CANCELLED); unknown requests are ignored. From callbacks too. */
void runner_cancel(struct runner *r, struct runner_request *request);
bool runner_busy(const struct runner *r);
/* How much of the cache running requests hold, and how many gave way to others so far. */
struct runner_load {
    uint32_t pages, pages_held;
    uint64_t put_back;
};
void runner_load(const struct runner *r, struct runner_load *out);
/* Compose and run one step (or take one back from the ring). 0, or the ERR_ code with which the ring or slice failed:
 * all requests have been finished with RUNNER_FAILED then. */
int runner_step(struct runner *r, struct error *error);
