#include "engine/runner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/runner_private.h"
#include "os/clock.h"

_Static_assert((int)MODEL_ENCODED_MAX == STEP_ROWS_WHOLE_MAX, "a text of an encoder is one step");

enum {
    HEAD_ROWS = 32,          /* rows whose logits are computed together: bounds the logits buffer */
    RING_CHUNK_TOKENS = 128, /* prompt rows per step in a ring */
    TURN_US = 5000000,
};

/* ---- running it and taking it back ---- */

static int launch(struct runner *r, struct flight *flight, struct error *error) {
    const struct step *step = &flight->step;
    uint64_t begin = clock_us();
    int rc = slice_map(r->slice, step, error);
    if (rc == 0) rc = slice_embed(r->slice, step, r->hidden, error);
    if (rc == 0) rc = slice_layers(r->slice, step, r->hidden, error);
    flight->busy_us = clock_us() - begin;
    if (rc == 0 && r->ring) rc = r->ring->send(r->ring->context, step, r->hidden, error);
    return rc;
}

static bool is_stop_token(const struct runner_request *request, uint32_t token) {
    for (uint32_t i = 0; i < request->stop_count; i++)
        if (request->stop_tokens[i] == token) return true;
    return false;
}

static void tell_logprobs(const struct runner *r, const struct runner_request *request, const float *logits,
                          uint32_t position, uint32_t token) {
    struct logprobs found = {0};
    logprobs_find(&found, logits, r->model->params.vocab, token, request->top);
    request->on_logprobs(request->context, position, &found);
}

static int draw(struct runner *r, struct session *s, float *logits, uint32_t *token, struct error *error) {
    struct runner_request *q = s->request;
    size_t vocab = r->model->params.vocab;
    int rc = q->grammar ? grammar_mask(q->grammar, logits, vocab, q->stop_tokens, q->stop_count, error) : 0;
    if (rc < 0) return rc;
    *token = sampler_draw(&q->sampling, logits, vocab, s->tokens, s->known, s->known, r->sampler_scratch);
    if (!q->grammar) return 0;
    bool fits = is_stop_token(q, *token) ? grammar_may_end(q->grammar) : grammar_accept(q->grammar, *token) == 0;
    return fits ? 0 : error_set(error, ERR_INVALID, "the model gives no number to a token that the grammar allows");
}

static void take_next_token(struct runner *r, struct session *s, float *logits) {
    struct runner_request *request = s->request;
    uint32_t generated = s->known - request->prompt_count;
    if (generated == request->tokens_max) {
        runner__finish(r, s, RUNNER_LENGTH, NULL);
        return;
    }
    if (request->on_logprobs) memcpy(r->raw, logits, r->model->params.vocab * sizeof *logits);
    uint32_t token;
    struct error error = {0};
    if (draw(r, s, logits, &token, &error) < 0) {
        runner__finish(r, s, RUNNER_FAILED, &error);
        return;
    }
    if (is_stop_token(request, token)) {
        runner__finish(r, s, RUNNER_STOP, NULL);
        return;
    }
    if (request->on_logprobs) tell_logprobs(r, request, r->raw, s->known, token);
    s->tokens[s->known++] = token;
    bool go_on = request->on_token(request->context, token);
    if (!go_on || (request->grammar && grammar_must_end(request->grammar)))
        runner__finish(r, s, RUNNER_STOP, NULL);
    else if (generated + 1 == request->tokens_max)
        runner__finish(r, s, RUNNER_LENGTH, NULL);
}

/* Whose row it is; NULL: nobody's any more. */
static struct session *owner(struct runner *r, const struct flight *flight, const struct step_row *row) {
    struct session *s = &r->sessions[row->session];
    bool lives = s->request && s->serial == flight->serials[row->session] && !s->request->cancelled;
    return lives ? s : NULL;
}

static void deliver(struct runner *r, const struct flight *flight, const struct step_row *row, float *logits) {
    struct session *s = owner(r, flight, row);
    if (!s) return;
    const struct runner_request *request = s->request;
    if (request->on_logits && row->position < request->prompt_count)
        request->on_logits(request->context, row->position, logits, r->model->params.vocab);
    if (request->on_logprobs && row->position + 1 < request->prompt_count)
        tell_logprobs(r, request, logits, row->position + 1, s->tokens[row->position + 1]);
    if (row->position + 1 == s->known) take_next_token(r, s, logits);
}

static bool is_pooled(struct runner *r, const struct flight *flight, const struct step_row *row) {
    const struct session *s = owner(r, flight, row);
    return s && s->request->on_embedding;
}

/* A row of an embedding: it goes into the sum, unless only the first one counts. The last one ends it. */
static void pool_row(struct runner *r, const struct flight *flight, const struct step_row *row, const float *hidden) {
    struct session *s = owner(r, flight, row);
    size_t embd = r->model->params.embd;
    bool counts = row->position == 0 || r->model->pooling != MODEL_POOLING_FIRST;
    if (counts) slice_norm(r->slice, hidden, 1, r->normed);
    for (size_t i = 0; counts && i < embd; i++) s->pooled[i] += r->normed[i];
    if (row->position + 1 < s->known) return;
    for (size_t i = 0; i < embd; i++) r->normed[i] = (float)s->pooled[i];
    slice_finish_pooled(r->slice, r->normed);
    s->request->on_embedding(s->request->context, r->normed, embd);
    runner__finish(r, s, RUNNER_LENGTH, NULL);
}

static int give_logits(struct runner *r, const struct flight *flight, const struct step_row **rows, uint32_t count,
                       const float *hidden, struct error *error) {
    int rc = slice_head(r->slice, hidden, count, r->logits, error);
    for (uint32_t i = 0; i < count && rc == 0; i++) deliver(r, flight, rows[i], r->logits + i * r->model->params.vocab);
    return rc;
}

/* Head and sampler for the rows that want logits, whose hidden states lie one after another. */
static int finish_rows(struct runner *r, const struct flight *flight, struct error *error) {
    const struct step *step = &flight->step;
    const struct step_row *wanted[HEAD_ROWS];
    size_t embd = r->model->params.embd;
    const float *hidden = r->hidden;
    uint32_t count = 0;
    int rc = 0;
    for (uint32_t at = 0; at < step->row_count && rc == 0; at++) {
        const struct step_row *row = &step->rows[at];
        if (!row->want_logits) continue;
        bool pooled = is_pooled(r, flight, row);
        if (!pooled) wanted[count++] = row;
        if (count == HEAD_ROWS || (pooled && count > 0)) {
            rc = give_logits(r, flight, wanted, count, hidden, error);
            hidden += count * embd;
            count = 0;
        }
        if (!pooled || rc < 0) continue;
        pool_row(r, flight, row, hidden);
        hidden += embd;
    }
    return count > 0 && rc == 0 ? give_logits(r, flight, wanted, count, hidden, error) : rc;
}

/* Close the gaps between the rows that want logits; returns how many there are. */
static uint32_t gather_wanted(const struct step *step, float *hidden, size_t embd) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < step->row_count; i++)
        if (step->rows[i].want_logits) memmove(hidden + count++ * embd, hidden + i * embd, embd * sizeof *hidden);
    return count;
}

static uint32_t count_wanted(const struct step *step) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < step->row_count; i++) count += step->rows[i].want_logits;
    return count;
}

/* Take the oldest step back and act on it. ERR_AGAIN when it is not back yet. */
static int land(struct runner *r, bool wait, struct error *error) {
    const struct flight *flight = &r->flights[r->flight_first];
    if (r->ring) {
        int rc = r->ring->receive(r->ring->context, flight->step.number, r->hidden, count_wanted(&flight->step), wait,
                                  error);
        if (rc < 0) return rc;
    } else {
        gather_wanted(&flight->step, r->hidden, r->model->params.embd);
    }
    r->flight_first = (r->flight_first + 1) % r->flights_max;
    r->flight_count--;
    uint64_t begin = clock_us();
    int rc = finish_rows(r, flight, error);
    uint64_t busy_us = flight->busy_us + clock_us() - begin;
    pace_learn(&r->pace, flight->answers, flight->decode_rows, flight->prompt_rows, busy_us);
    return rc;
}

static int step_once(struct runner *r, struct error *error) {
    struct flight *next = &r->flights[(r->flight_first + r->flight_count) % r->flights_max];
    bool composed = r->flight_count < runner__flights_max(r) && runner__compose(r, next);
    if (composed) {
        r->flight_count++;
        int rc = launch(r, next, error);
        if (rc < 0) return rc;
    }
    if (r->flight_count == 0) return 0;
    int rc = land(r, !composed, error);
    return rc == ERR_AGAIN ? 0 : rc;
}

int runner_step(struct runner *r, struct error *error) {
    struct error reason = {0};
    r->now_us = clock_us();
    runner__drop_cancelled(r);
    runner__take_turns(r);
    int rc = step_once(r, &reason);
    if (rc < 0) {
        runner__finish_all(r, RUNNER_FAILED, &reason);
        if (error) *error = reason;
    }
    return rc;
}

/* ---- life ---- */

static int reserve(struct runner *r) {
    const struct model_params *p = &r->model->params;
    r->sessions = calloc(r->options.sessions, sizeof *r->sessions);
    r->flights = calloc(r->flights_max, sizeof *r->flights);
    r->hidden = aligned_alloc(KERN_ALIGN, (size_t)r->rows_max * p->embd * sizeof *r->hidden);
    r->logits = aligned_alloc(KERN_ALIGN, (size_t)HEAD_ROWS * p->vocab * sizeof *r->logits);
    r->raw = malloc((size_t)p->vocab * sizeof *r->raw);
    r->normed = malloc((size_t)p->embd * sizeof *r->normed);
    r->sampler_scratch = malloc((size_t)p->vocab * SAMPLER_SCRATCH_BYTES);
    if (!r->sessions || !r->flights || !r->hidden || !r->logits || !r->raw || !r->normed || !r->sampler_scratch)
        return ERR_NOMEM;
    uint32_t pages = pages_of(r->options.context), parallel = r->options.parallel;
    uint64_t all;
    for (uint32_t i = 0; i < r->options.sessions; i++) {
        struct session *s = &r->sessions[i];
        s->pages = malloc(pages * sizeof *s->pages);
        s->part = CACHE_NONE;
        s->pooled = malloc(p->embd * sizeof *s->pooled);
        if (!s->pages || !s->pooled) return ERR_NOMEM;
    }
    if (!size_mul(pages, parallel, &all) || all >= PAGES_UNMAPPED) return ERR_NOMEM;
    uint32_t window = r->model->params.window, slots = pages_slots(window, r->options.context) * parallel;
    bool states = r->model->params.recurrence.inner > 0;
    if (cache_init(&r->cache, (uint32_t)all, window, slots, states) < 0) return ERR_NOMEM;
    for (uint32_t i = 0; i < r->flights_max; i++)
        if (!(r->flights[i].serials = calloc(r->options.sessions, sizeof(uint64_t)))) return ERR_NOMEM;
    return 0;
}

static void release(struct runner *r) {
    for (uint32_t i = 0; r->sessions && i < r->options.sessions; i++) {
        free(r->sessions[i].pages);
        free(r->sessions[i].pooled);
    }
    cache_deinit(&r->cache);
    for (uint32_t i = 0; r->flights && i < r->flights_max; i++) free(r->flights[i].serials);
    free(r->sessions);
    free(r->flights);
    free(r->hidden);
    free(r->logits);
    free(r->raw);
    free(r->normed);
    free(r->sampler_scratch);
    free(r);
}

int runner_new(struct runner **out, const struct model *m, struct slice *slice, const struct runner_ring *ring,
               const struct runner_options *options, struct error *error) {
    if (options->sessions == 0 || options->sessions > STEP_ROWS_MAX || options->context == 0)
        return error_set(error, ERR_INVALID, "a runner needs 1 to %d sessions of at least one position", STEP_ROWS_MAX);
    struct runner *r = calloc(1, sizeof *r);
    if (!r) return error_set(error, ERR_NOMEM, "out of memory");
    r->model = m;
    r->slice = slice;
    r->ring = ring;
    r->options = *options;
    r->flights_max = ring && ring->in_flight_max > 0 ? ring->in_flight_max : 1;
    r->queue_end = &r->queue_first;
    if (r->options.parallel == 0) r->options.parallel = r->options.sessions;
    if (r->options.queue_max == 0) r->options.queue_max = UINT32_MAX;
    if (r->options.turn_us == 0) r->options.turn_us = TURN_US;
    r->rows_max = step_rows_max(m->params.encodes, options->context);
    if (m->params.encodes && r->options.context > r->rows_max) r->options.context = r->rows_max;
    r->chunk_most = ring ? RING_CHUNK_TOKENS : STEP_ROWS_MAX;
    if (reserve(r) < 0) {
        release(r);
        return error_set(error, ERR_NOMEM, "out of memory");
    }
    *out = r;
    return 0;
}

void runner_free(struct runner *r) {
    if (!r) return;
    runner__finish_all(r, RUNNER_CANCELLED, NULL);
    release(r);
}

int runner_submit(struct runner *r, struct runner_request *request, struct error *error) {
    uint64_t positions = (uint64_t)request->prompt_count + request->tokens_max;
    if (request->prompt_count == 0) return error_set(error, ERR_INVALID, "the prompt is empty");
    if (r->model->params.encodes && !request->on_embedding)
        return error_set(error, ERR_UNSUPPORTED, "a model of architecture %s makes embeddings, not text",
                         r->model->params.architecture);
    if (positions > r->options.context)
        return error_set(error, ERR_LIMIT, "%u prompt tokens and %u to generate do not fit in a context of %u",
                         request->prompt_count, request->tokens_max, r->options.context);
    for (uint32_t i = 0; i < request->prompt_count; i++)
        if (request->prompt[i] >= r->model->params.vocab)
            return error_set(error, ERR_INVALID, "token %u is outside the vocabulary of %u", request->prompt[i],
                             r->model->params.vocab);
    if (r->queue_count >= r->options.queue_max)
        return error_set(error, ERR_BUSY, "%u requests wait already", r->queue_count);
    request->tokens = malloc((size_t)positions * sizeof *request->tokens);
    if (!request->tokens) return error_set(error, ERR_NOMEM, "no memory for %u tokens", request->prompt_count);
    memcpy(request->tokens, request->prompt, request->prompt_count * sizeof *request->tokens);
    request->known = request->prompt_count;
    request->cancelled = request->started = false;
    request->cached_count = 0;
    r->now_us = clock_us();
    runner__enqueue(r, request);
    return 0;
}

void runner_cancel(struct runner *r, struct runner_request *request) {
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (r->sessions[i].request == request) request->cancelled = true;
    for (struct runner_request *queued = r->queue_first; queued; queued = queued->next)
        if (queued == request) request->cancelled = true;
}

void runner_load(const struct runner *r, struct runner_load *out) {
    *out = (struct runner_load){r->cache.count, r->cache.held_pages, r->put_back};
}

bool runner_busy(const struct runner *r) {
    if (r->queue_first || r->flight_count > 0) return true;
    for (uint32_t i = 0; i < r->options.sessions; i++)
        if (r->sessions[i].request) return true;
    return false;
}
