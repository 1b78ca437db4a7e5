/* A worker: the thread that owns one loaded slice, its sessions and its data links.
 *
 * It loads, then (stage 0) runs the requests of the instance through the runner, or (other stages) takes steps from the
 * previous stage and hands them on. The token path lives here and nowhere else: no lock is shared with the loop. The
 * loop talks to it by commands (any order is safe), it answers by letters to the mailbox. All functions: loop thread.
 */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "engine/runner.h"
#include "model/grammar.h"
#include "node/card.h"
#include "node/mailbox.h"
#include "wire/types.h"

struct link;
struct worker;

enum { WORKER_STAGES_MAX = 64, WORKER_SESSIONS = 64, WORKER_QUEUE_MAX = 1024 };

struct worker_plan {
    uint64_t instance; /* whose frames are taken, in this epoch; all others are refused */
    struct wire_epoch epoch;
    uint32_t stage, stages;
    uint32_t member, members;          /* of the stage, which share its layers */
    uint32_t shares[WIRE_MEMBERS_MAX]; /* of those, of WIRE_SHARE_ONE */
    uint32_t layer_begin, layer_end;
    uint32_t context;
    uint32_t parallel; /* requests whose whole contexts the cache holds; more run as long as they are short */
    unsigned threads;
    enum kern_isa isa;
    uint64_t memory_max;
};

/* Microseconds of what a request cost. */
struct worker_stats {
    int code; /* ERR_ of a failure; ERR_LOST: not the request's fault */
    uint32_t cached_tokens;
    uint64_t queue_us, prefill_us, decode_us; /* waiting; to the first token; from the first to the last */
    uint32_t hop_us_median, hop_us_p99;       /* of its decode steps; 0 without a ring */
    struct wire_token_costs token;            /* of its decode steps */
    uint32_t raw_hop_us;                      /* half a ping-pong of the same size with the next stage; 0: unknown */
};

/* What the worker tells: called on the loop thread, with the context given to worker_new. */
struct worker_listener {
    void *context;
    void (*loaded)(void *context, int code, const char *why); /* once; code 0: the slice is ready */
    void (*tokens)(void *context, uint64_t job, const uint32_t *ids, uint32_t count);
    /* Logits, an embedding, or log probabilities: a row as wire/instance.h has it. */
    void (*row)(void *context, uint64_t job, uint32_t position, const void *row, uint32_t bytes);
    void (*finished)(void *context, uint64_t job, enum runner_finish reason, const char *why,
                     const struct worker_stats *stats);
    void (*broken)(void *context, const char *why); /* the ring; the worker is of no use any more */
};

enum worker_job_kind { WORKER_TEXT, WORKER_LOGITS, WORKER_EMBEDDING };

/* A request as the loop hands it over. Copied. */
struct worker_job {
    uint64_t id;
    const uint32_t *prompt;
    uint32_t prompt_count, tokens_max;
    struct sampler_options sampling;
    const uint32_t *stop_tokens;
    uint32_t stop_count;
    enum grammar_kind grammar_kind;
    const char *grammar; /* what the generated text must be */
    size_t grammar_len;
    uint32_t generated; /* so many of the prompt's last tokens belong to that text already */
    enum worker_job_kind kind;
    uint32_t row_count; /* the last so many positions of the prompt whose rows are wanted */
    uint32_t logprobs;  /* 1 + so many of the likeliest; 0: none */
};

/* Start the thread; it begins to load at once. `card` is referenced while the worker lives. */
int worker_new(struct worker **out, struct card *card, const struct worker_plan *plan, struct mailbox *mailbox,
               const struct worker_listener *listener, struct error *error);
/* Ask it to end, whatever it does; no callback comes afterwards. Returns at once. */
void worker_stop(struct worker *w);
/* Wait until it has ended (at most the rest of a step) and free everything. After worker_stop; any thread. NULL is
 * fine. */
void worker_free(struct worker *w);

/* The link from the previous stage / to the next one: taken. An older one is replaced. */
void worker_set_source(struct worker *w, struct link *link);
void worker_set_target(struct worker *w, struct link *link);
/* The link with another member of the stage: taken. */
void worker_set_peer(struct worker *w, uint32_t member, struct link *link);

/* How much of the cache running requests hold (0 to 1), and how many gave way to others so far. */
double worker_cache_used(const struct worker *w);
uint64_t worker_put_back(const struct worker *w);

int worker_submit(struct worker *w, const struct worker_job *job, struct error *error);
void worker_cancel(struct worker *w, uint64_t job);
