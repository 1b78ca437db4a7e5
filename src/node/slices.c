#include "node/slices.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon_private.h"
#include "node/stay.h"

enum { RECONNECT_MS = 200 };

/* A job as this node runs it for some gateway, perhaps itself. */
struct slice_job {
    struct slice_job *next;
    uint64_t id; /* the worker's */
    uint64_t gateway, job;
    uint32_t attempt, prompt_count, sent; /* sent: of all attempts, which is where this one goes on */
};

/* A slice's data link with another member of the plan (wire_plan_linked). Either side may be the one that dials. */
struct data_end {
    uint32_t from, to;        /* members */
    bool up, dialling, dials; /* dials: this node is the one that must */
    struct link *early;       /* came before the worker was there */
    struct wire_address address;
    struct wire_hello hello;
};

struct slice_run {
    struct slice_run *next;
    struct daemon *daemon;
    uint64_t instance;
    struct wire_epoch epoch;
    struct wire_plan *plan;
    uint32_t member, stage;
    struct worker *worker; /* NULL: waits for memory, or could not be started */
    bool loaded, ready;
    bool holding; /* waits for the stock to have its bytes */
    struct data_end *ends;
    uint32_t end_count;
    uv_timer_t redial;
    struct slice_job *jobs;
    uint64_t next_job;
};

static struct slice_run *find(struct daemon *d, uint64_t instance, const struct wire_epoch *epoch) {
    for (struct slice_run *s = d->slices; s; s = s->next)
        if (s->instance == instance && (epoch == NULL || wire_epoch_compare(&s->epoch, epoch) == 0)) return s;
    return NULL;
}

static void tell(struct slice_run *s, enum node_event_type type, const char *text) {
    driver_later(s->daemon,
                 &(struct node_event){.type = type, .instance = s->instance, .epoch = s->epoch, .text = text});
}

/* Ready is: loaded, and joined with all members that it has to do with. */
static void check_ready(struct slice_run *s) {
    if (s->ready || !s->loaded) return;
    for (uint32_t i = 0; i < s->end_count; i++)
        if (!s->ends[i].up) return;
    s->ready = true;
    if (s->member == 0) stay_arrived(s->daemon, s->instance);
    tell(s, NODE_SLICE_READY, NULL);
}

/* ---- what the worker tells ---- */

static void on_loaded(void *context, int code, const char *why) {
    struct slice_run *s = context;
    if (code) {
        tell(s, NODE_SLICE_FAILED, why);
        return;
    }
    s->loaded = true;
    check_ready(s);
}

static struct slice_job *find_job(struct slice_run *s, uint64_t id) {
    for (struct slice_job *j = s->jobs; j; j = j->next)
        if (j->id == id) return j;
    return NULL;
}

static void on_tokens(void *context, uint64_t id, const uint32_t *ids, uint32_t count) {
    struct slice_run *s = context;
    struct slice_job *j = find_job(s, id);
    if (j == NULL) return;
    uint32_t copy[16];
    assert(count <= ARRAY_LEN(copy));
    memcpy(copy, ids, count * sizeof *ids);
    struct wire_job_tokens tokens = {
        .job = j->job, .attempt = j->attempt, .first = j->sent, .count = count, .tokens = copy};
    j->sent += count;
    driver_event(s->daemon, &(struct node_event){.type = NODE_JOB_OUTPUT, .gateway = j->gateway, .tokens = &tokens});
}

static uint8_t job_reason(enum runner_finish reason) {
    switch (reason) {
    case RUNNER_STOP: return WIRE_JOB_STOP;
    case RUNNER_LENGTH: return WIRE_JOB_LENGTH;
    case RUNNER_CANCELLED: return WIRE_JOB_CANCELLED;
    case RUNNER_RUNNING:
    case RUNNER_FAILED: break;
    }
    return WIRE_JOB_FAILED;
}

static void end_job(struct slice_run *s, struct slice_job *j, struct wire_job_end *end) {
    for (struct slice_job **at = &s->jobs; *at; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    end->job = j->job;
    end->attempt = j->attempt;
    end->prompt_tokens = j->prompt_count;
    end->tokens = j->sent;
    struct daemon *d = s->daemon;
    stay_end(d, s->instance);
    driver_event(d, &(struct node_event){.type = NODE_JOB_DONE, .gateway = j->gateway, .end = end});
    free(j);
}

static void on_finished(void *context, uint64_t id, enum runner_finish reason, const char *why,
                        const struct worker_stats *stats) {
    struct slice_run *s = context;
    struct slice_job *j = find_job(s, id);
    if (j == NULL) return;
    struct wire_job_end end = {.reason = job_reason(reason),
                               .code = stats->code,
                               .cached_tokens = stats->cached_tokens,
                               .prefill_us = stats->prefill_us,
                               .decode_us = stats->decode_us,
                               .hop_us_median = stats->hop_us_median,
                               .hop_us_p99 = stats->hop_us_p99,
                               .raw_hop_us = stats->raw_hop_us,
                               .token = stats->token};
    snprintf(end.text, sizeof end.text, "%.255s", why);
    end_job(s, j, &end);
}

static void on_row(void *context, uint64_t id, uint32_t position, const void *row, uint32_t len) {
    struct slice_run *s = context;
    struct slice_job *j = find_job(s, id);
    uint32_t piece;
    for (uint32_t offset = 0; j && offset < len; offset += piece) {
        piece = len - offset < WIRE_JOB_ROWS_BYTES_MAX ? len - offset : WIRE_JOB_ROWS_BYTES_MAX;
        struct wire_job_rows rows = {.job = j->job,
                                     .attempt = j->attempt,
                                     .position = position,
                                     .offset = offset,
                                     .len = piece,
                                     .bytes = (uint8_t *)(uintptr_t)row + offset};
        driver_event(s->daemon, &(struct node_event){.type = NODE_JOB_ROWS_OUT, .gateway = j->gateway, .rows = &rows});
    }
}

static void on_broken(void *context, const char *why) { tell(context, NODE_RING_BROKEN, why); }

/* ---- loading and unloading ---- */

static int start_worker(struct slice_run *s, struct error *error) {
    struct daemon *d = s->daemon;
    const struct wire_member *member = &s->plan->members[s->member];
    const struct wire_stage *stage = &s->plan->stages[s->stage];
    struct card *card;
    int rc = library_find_here(d->library, s->plan->fingerprint, s->plan->model, &card, error);
    if (rc) return rc;
    struct worker_plan plan = {
        .instance = s->instance,
        .epoch = s->epoch,
        .stage = s->stage,
        .stages = s->plan->stage_count,
        .member = s->member - stage->member_begin,
        .members = stage->member_count,
        .layer_begin = stage->layer_begin,
        .layer_end = stage->layer_end,
        .context = s->plan->context,
        .parallel = wire_plan_sessions(s->plan),
        .threads = d->threads,
        .isa = d->isa,
        .memory_max = member->weights_bytes + member->kv_bytes + member->scratch_bytes,
    };
    for (uint32_t i = 0; i < stage->member_count; i++) plan.shares[i] = s->plan->members[stage->member_begin + i].share;
    struct worker_listener listener = {s, on_loaded, on_tokens, on_row, on_finished, on_broken};
    rc = worker_new(&s->worker, card, &plan, &d->mailbox, &listener, error);
    card_release(card);
    return rc;
}

static void give_link(struct slice_run *s, const struct data_end *end, struct link *link) {
    const struct wire_stage *stage = &s->plan->stages[s->stage];
    uint32_t other = end->from == s->member ? end->to : end->from;
    bool within = wire_plan_stage(s->plan, other) == s->stage;
    if (within)
        worker_set_peer(s->worker, other - stage->member_begin, link);
    else if (end->to == s->member)
        worker_set_source(s->worker, link);
    else
        worker_set_target(s->worker, link);
}

/* Its part of the model is not here, or not all of it. */
static bool must_hold(const struct slice_run *s) {
    struct card *card;
    if (library_find_here(s->daemon->library, s->plan->fingerprint, s->plan->model, &card, NULL) != 0) return true;
    bool partial = library_is_partial(card);
    card_release(card);
    return partial;
}

static void begin(struct slice_run *s) {
    struct error error = {0};
    if (start_worker(s, &error) != 0) {
        tell(s, NODE_SLICE_FAILED, error.text);
        return;
    }
    for (uint32_t i = 0; i < s->end_count; i++) {
        if (s->ends[i].early) give_link(s, &s->ends[i], s->ends[i].early);
        s->ends[i].early = NULL;
    }
}

static void start(struct slice_run *s) {
    struct error error = {0};
    s->holding = must_hold(s);
    if (!s->holding)
        begin(s);
    else if (stock_hold(s->daemon->stock, s->plan, false, &error) != 0)
        tell(s, NODE_SLICE_FAILED, error.text);
}

static void look_at_stock(struct slice_run *s) {
    struct stock_view view;
    if (!stock_find_held(s->daemon->stock, s->plan->fingerprint, &view)) return;
    if (view.state == STOCK_FAILED || view.state == STOCK_PAUSED) {
        s->holding = false;
        tell(s, NODE_SLICE_FAILED, view.state == STOCK_FAILED ? view.error.text : "the pull of the model was paused");
    } else if (view.state == STOCK_DONE || view.ready) {
        s->holding = false;
        begin(s);
    } else {
        driver_later(s->daemon, &(struct node_event){.type = NODE_SLICE_PROGRESS,
                                                     .instance = s->instance,
                                                     .epoch = s->epoch,
                                                     .bytes_done = view.bytes_done,
                                                     .bytes_total = view.bytes_total});
    }
}

void slices_pulled(struct daemon *d) {
    for (struct slice_run *s = d->slices; s; s = s->next)
        if (s->holding) look_at_stock(s);
}

static void add_end(struct slice_run *s, uint32_t from, uint32_t to) {
    if (wire_plan_linked(s->plan, from, to)) s->ends[s->end_count++] = (struct data_end){.from = from, .to = to};
}

/* The data links that the slice needs. */
static void list_ends(struct slice_run *s) {
    s->ends = calloc(2 * s->plan->member_count, sizeof *s->ends);
    assert(s->ends != NULL);
    for (uint32_t other = 0; other < s->plan->member_count; other++) {
        add_end(s, s->member, other);
        add_end(s, other, s->member);
    }
}

/* Memory of slices that end is not free yet, so a new one waits for them. */
void slices_load(struct daemon *d, const struct node_effect *e) {
    struct slice_run *s = calloc(1, sizeof *s);
    struct wire_plan *plan = malloc(sizeof *plan);
    assert(s != NULL && plan != NULL);
    *plan = *e->plan;
    *s = (struct slice_run){.next = d->slices,
                            .daemon = d,
                            .instance = e->instance,
                            .epoch = e->epoch,
                            .plan = plan,
                            .member = e->member,
                            .stage = e->stage};
    list_ends(s);
    uv_timer_init(&d->loop, &s->redial);
    s->redial.data = s;
    d->slices = s;
    if (d->slices_ending == 0) start(s);
}

struct ending {
    uv_work_t work;
    struct daemon *daemon;
    struct worker *worker;
};

static void on_pool_end(uv_work_t *work) {
    struct ending *e = work->data;
    worker_free(e->worker);
}

static void on_ended(uv_work_t *work, int status) {
    struct ending *e = work->data;
    struct daemon *d = e->daemon;
    free(e);
    if (--d->slices_ending > 0) return;
    for (struct slice_run *s = d->slices; s; s = s->next)
        if (s->worker == NULL) start(s);
}

/* Joining a worker may take the rest of its step: not on the loop. */
static void end_worker(struct daemon *d, struct worker *worker) {
    struct ending *e = calloc(1, sizeof *e);
    assert(e != NULL);
    *e = (struct ending){.daemon = d, .worker = worker};
    e->work.data = e;
    worker_stop(worker);
    d->slices_ending++;
    uv_queue_work(&d->loop, &e->work, on_pool_end, on_ended);
}

static void on_redial_closed(uv_handle_t *handle) {
    struct slice_run *s = handle->data;
    free(s->ends);
    free(s);
}

static void unload(struct slice_run *s) {
    struct daemon *d = s->daemon;
    for (struct slice_run **at = &d->slices; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    if (s->worker) end_worker(d, s->worker);
    while (s->jobs) { /* the worker cannot say any more that they end */
        struct slice_job *j = s->jobs;
        s->jobs = j->next;
        driver_later_job_failed(d, j->gateway, j->job, j->attempt, "the model was unloaded");
        free(j);
    }
    for (uint32_t i = 0; i < s->end_count; i++) link_free(s->ends[i].early);
    free(s->plan);
    uv_close((uv_handle_t *)&s->redial, on_redial_closed);
}

void slices_unload(struct daemon *d, uint64_t instance, const struct wire_epoch *epoch) {
    struct slice_run *s = find(d, instance, epoch);
    if (s) unload(s);
}

void slices_unload_all(struct daemon *d) {
    while (d->slices) unload(d->slices);
}

/* ---- data links ---- */

/* Which end a link with this hello is to the slice; NULL: none. */
static struct data_end *end_of(struct slice_run *s, const struct wire_hello *hello) {
    for (uint32_t i = 0; i < s->end_count; i++)
        if (s->ends[i].from == hello->member_from && s->ends[i].to == hello->member_to) return &s->ends[i];
    return NULL;
}

static void take_link(struct slice_run *s, struct data_end *end, struct link *link) {
    end->up = true;
    if (s->worker == NULL)
        end->early = link;
    else
        give_link(s, end, link);
    check_ready(s);
}

static void dial_missing(struct slice_run *s);

static void on_redial(uv_timer_t *timer) { dial_missing(timer->data); }

static void on_dialled(struct daemon *d, const struct wire_hello *hello, struct link *link) {
    struct slice_run *s = find(d, hello->instance, &hello->epoch);
    if (s == NULL) {
        link_free(link);
        return;
    }
    struct data_end *end = end_of(s, hello);
    end->dialling = false;
    if (end->up)
        link_free(link);
    else if (link)
        take_link(s, end, link);
    else
        uv_timer_start(&s->redial, on_redial, RECONNECT_MS, 0);
}

static void dial_end(struct slice_run *s, struct data_end *end) {
    if (!end->dials || end->up || end->dialling) return;
    end->dialling = true;
    control_dial_data(s->daemon, &end->address, &end->hello, on_dialled);
}

static void dial_missing(struct slice_run *s) {
    for (uint32_t i = 0; i < s->end_count; i++) dial_end(s, &s->ends[i]);
}

void slices_connect(struct daemon *d, const struct node_effect *e) {
    struct slice_run *s = find(d, e->instance, &e->epoch);
    struct wire_hello hello = {.kind = WIRE_DATA,
                               .instance = e->instance,
                               .epoch = e->epoch,
                               .member_from = e->member_from,
                               .member_to = e->member_to};
    struct data_end *end = s ? end_of(s, &hello) : NULL;
    if (end == NULL || end->up) return;
    end->address = e->address;
    if (end->dialling) return;
    end->dials = true;
    end->hello = hello;
    dial_end(s, end);
}

/* Where both sides dial, the link of the lower id is the one that stays. */
bool slices_want_link(struct daemon *d, const struct wire_hello *hello) {
    struct slice_run *s = find(d, hello->instance, &hello->epoch);
    const struct data_end *end = s ? end_of(s, hello) : NULL;
    return end && !end->up && (!end->dialling || hello->id < node_id(d->node));
}

void slices_take_link(struct daemon *d, const struct wire_hello *hello, struct link *link) {
    struct slice_run *s = find(d, hello->instance, &hello->epoch);
    take_link(s, end_of(s, hello), link);
}

/* ---- jobs ---- */

static void job_failed(struct daemon *d, uint64_t gateway, const struct wire_job_submit *submit, const char *why) {
    driver_later_job_failed(d, gateway, submit->job, submit->attempt, why);
}

void slices_start_job(struct daemon *d, uint64_t gateway, const struct wire_epoch *epoch,
                      const struct wire_job_submit *submit) {
    struct slice_run *s = find(d, submit->instance, epoch);
    if (s == NULL || s->worker == NULL || s->stage != 0) {
        job_failed(d, gateway, submit, "the instance is not here");
        return;
    }
    stay_begin(d, submit->instance, submit->keep_alive_s);
    if (submit->prompt_count == 0) {
        struct wire_job_end end = {.job = submit->job, .attempt = submit->attempt, .reason = WIRE_JOB_STOP};
        driver_later(d, &(struct node_event){.type = NODE_JOB_DONE, .gateway = gateway, .end = &end});
        return;
    }
    const struct wire_sampling *from = &submit->sampling;
    struct sampler_bias biases[WIRE_BIASES_MAX];
    for (uint32_t i = 0; i < submit->bias_count; i++)
        biases[i] = (struct sampler_bias){submit->biases[i].token, submit->biases[i].bias};
    struct worker_job job = {
        .id = ++s->next_job,
        .prompt = submit->prompt,
        .prompt_count = submit->prompt_count,
        .tokens_max = submit->tokens_max,
        .sampling = {.temperature = from->temperature,
                     .top_k = from->top_k,
                     .top_p = from->top_p,
                     .min_p = from->min_p,
                     .repetition_penalty = from->repetition_penalty,
                     .presence_penalty = from->presence_penalty,
                     .frequency_penalty = from->frequency_penalty,
                     .seed = from->seed,
                     .biases = biases,
                     .bias_count = submit->bias_count},
        .stop_tokens = submit->stops,
        .stop_count = submit->stop_count,
        .generated = submit->generated,
        .grammar_kind = (enum grammar_kind)submit->grammar.kind,
        .grammar = (const char *)submit->grammar.text,
        .grammar_len = submit->grammar.len,
        .kind = (enum worker_job_kind)submit->kind,
        .logprobs = submit->logprobs,
        .row_count = submit->row_count < submit->prompt_count ? submit->row_count : submit->prompt_count,
    };
    struct slice_job *j = calloc(1, sizeof *j);
    struct error error = {0};
    if (j == NULL || worker_submit(s->worker, &job, &error) != 0) {
        free(j);
        job_failed(d, gateway, submit, error.text);
        return;
    }
    *j = (struct slice_job){.next = s->jobs,
                            .id = job.id,
                            .gateway = gateway,
                            .job = submit->job,
                            .attempt = submit->attempt,
                            .prompt_count = submit->prompt_count - submit->generated,
                            .sent = submit->generated};
    s->jobs = j;
}

size_t slices_caches(const struct daemon *d, struct metrics_cache *out, size_t max) {
    size_t count = 0;
    for (const struct slice_run *s = d->slices; s && count < max; s = s->next)
        if (s->member == 0 && s->worker && s->ready)
            out[count++] =
                (struct metrics_cache){s->plan->model, worker_cache_used(s->worker), worker_put_back(s->worker)};
    return count;
}

bool slices_busy(struct daemon *d, uint64_t instance) {
    for (struct slice_run *s = d->slices; s; s = s->next)
        if (s->instance == instance && s->jobs) return true;
    return false;
}

void slices_abort_job(struct daemon *d, uint64_t gateway, uint64_t job, uint32_t attempt) {
    for (struct slice_run *s = d->slices; s; s = s->next)
        for (struct slice_job *j = s->jobs; j; j = j->next)
            if (j->gateway == gateway && j->job == job && j->attempt == attempt) worker_cancel(s->worker, j->id);
}
