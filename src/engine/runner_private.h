/* What the parts of the runner share: runner.c (life, running a step, tokens), runner_turns.c (whose turn it is),
 * runner_compose.c (which rows a step has). The runner's thread. */
#pragma once
#include "engine/cache.h"
#include "engine/pace.h"
#include "engine/pages.h"
#include "engine/runner.h"

/* Pages of a known beginning that are used again; so a step has room to name them beside those of all its rows. */
enum { KNOWN_PAGES_MAX = STEP_PAGES_MAX - 2 * STEP_ROWS_MAX };

/* One timeline of tokens and the pages of its KV, which it gives back to the book when its request ends. */
struct session {
    struct runner_request *request; /* NULL: idle */
    uint64_t serial;                /* of the request's turn; 0: never used */
    uint64_t since_us;              /* when the turn began */
    uint32_t *tokens;               /* of the request */
    uint32_t known, known_before;   /* tokens in the log; when the turn began */
    uint32_t composed;              /* tokens that went into a step: their KV is there or on its way */
    uint32_t *pages;                /* those it holds: positions [i * KERN_PAGE, ...) are in pages[i] */
    uint32_t held, told, filed;     /* of them: how many there are, the stages know of, the book knows as full */
    uint32_t passed;                /* of them: the window shows no more of these, their slots may be another's */
    double *pooled;                 /* [embd]: sum of its normed rows */
    uint32_t part;                  /* page that the first new one begins as a copy of; CACHE_NONE: nothing */
};

/* A step that was sent and is not back yet. */
struct flight {
    struct step step;
    uint64_t *serials; /* [session]: whose rows these are; a session may have another request by now */
    uint32_t decode_rows, prompt_rows, answers;
    uint64_t busy_us;  /* spent on it here, so far */
};

struct runner {
    const struct model *model;
    struct slice *slice;
    const struct runner_ring *ring;
    struct runner_options options;
    struct session *sessions;
    struct cache cache;
    struct pace pace;
    uint32_t rows_max;   /* of a step */
    uint32_t chunk_most; /* rows of prompts in a step where nothing else goes on */
    struct runner_request *queue_first, **queue_end;
    uint32_t queue_count;
    uint64_t last_serial, last_step, put_back;
    uint64_t now_us, turned_us; /* of this step; when somebody was last put back because others waited */

    struct flight *flights; /* a ring buffer of flights_max */
    uint32_t flights_max, flight_first, flight_count;
    float *hidden; /* [rows_max][embd] */
    float *logits; /* [HEAD_ROWS][vocab] */
    float *raw;    /* [vocab]: logits as the model gave them */
    float *normed; /* [embd] */
    void *sampler_scratch;
};

static inline bool runner__asks_rows(const struct runner_request *request) {
    return request->on_logits || request->on_logprobs || request->on_embedding;
}

/* Rows that may go into a step. */
static inline uint32_t runner__rows_waiting(const struct session *s) {
    return s->request ? s->known - s->composed : 0;
}

/* It has begun to answer. */
static inline bool runner__answers(const struct session *s) {
    return s->request && s->known > s->request->prompt_count;
}

/* runner_turns.c */
void runner__enqueue(struct runner *r, struct runner_request *request);
void runner__finish(struct runner *r, struct session *s, enum runner_finish reason, const struct error *error);
void runner__finish_all(struct runner *r, enum runner_finish reason, const struct error *error);
void runner__drop_cancelled(struct runner *r);
/* Give sessions to those who wait, as far as there are sessions and pages, and take them from who had more than
 * others. */
void runner__take_turns(struct runner *r);
/* The session's next row takes a page that it does not hold yet. */
bool runner__needs_page(const struct session *s);
/* Is there a page (and slot) for it? */
bool runner__has_page(const struct runner *r, const struct session *s);
/* What was filled in steps that were sent is there for others. */
void runner__file_full_pages(struct runner *r, struct session *s);
void runner__let_part_go(struct runner *r, struct session *s);
/* Put the youngest back until everyone's next row has its page. */
void runner__find_pages(struct runner *r);

/* runner_compose.c: false when there is nothing to do. */
bool runner__compose(struct runner *r, struct flight *flight);
/* Steps that may be under way now. */
uint32_t runner__flights_max(const struct runner *r);
