/* The thread itself: commands in, letters out, loading, and the turn of stage 0.
 *
 * A command is taken between two steps, so a cancelled request costs at most one. Letters go through a port that may
 * outlive the worker: whoever frees the worker closes the port, and what is still under way is dropped on arrival. */
#include "node/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "node/worker_private.h"
#include "os/clock.h"

struct job {
    struct runner_request request; /* first: the runner hands its address back */
    struct job *next;
    struct worker *worker;
    uint64_t id;
    uint32_t *ids; /* prompt, then stop tokens */
    struct sampler_bias *biases;
    struct grammar_state grammar; /* once it is running */
    enum grammar_kind grammar_kind;
    char *grammar_text;
    size_t grammar_len;
    uint32_t generated; /* of the prompt: what an earlier attempt has generated */
    bool refused;
    uint64_t submitted_us, started_us, first_us, last_us;
    uint64_t hops_before; /* worker->hops at the first token */
    struct worker_spent spent_before;
    uint32_t tokens;
};

/* ---- letters: worker thread -> loop thread ---- */

enum report_type { REPORT_LOADED, REPORT_TOKEN, REPORT_ROW, REPORT_FINISHED, REPORT_BROKEN };

struct report {
    struct letter letter;
    struct port *port;
    enum report_type type;
    uint64_t job;
    int code;
    uint32_t value, bytes; /* a token; a position and the length of its row */
    struct worker_stats stats;
    char why[ERROR_TEXT_BYTES];
    uint8_t row[];
};

static void port_release(struct port *p) {
    if (atomic_fetch_sub(&p->references, 1) == 1) free(p);
}

static void deliver_report(struct letter *letter) {
    struct report *r = (struct report *)letter;
    const struct worker_listener *to = &r->port->listener;
    if (!r->port->closed) switch (r->type) {
        case REPORT_LOADED: to->loaded(to->context, r->code, r->why); break;
        case REPORT_TOKEN: to->tokens(to->context, r->job, &r->value, 1); break;
        case REPORT_ROW: to->row(to->context, r->job, r->value, r->row, r->bytes); break;
        case REPORT_FINISHED: to->finished(to->context, r->job, (enum runner_finish)r->code, r->why, &r->stats); break;
        case REPORT_BROKEN: to->broken(to->context, r->why); break;
        }
    port_release(r->port);
    free(r);
}

/* A report is a few hundred bytes; a machine without even that cannot go on honestly. */
static struct report *new_report(struct worker *w, enum report_type type, size_t row_bytes) {
    struct report *r = calloc(1, sizeof *r + row_bytes);
    assert(r != NULL);
    r->letter.deliver = deliver_report;
    r->port = w->port;
    r->type = type;
    atomic_fetch_add(&w->port->references, 1);
    return r;
}

/* Letters leave together at the end of a turn: one of them wakes the loop, which else would take a core from the step
 * for each token. */
static void post(struct worker *w, struct report *r) {
    r->letter.next = NULL;
    *w->outbox_end = &r->letter;
    w->outbox_end = &r->letter.next;
}

static void send_letters(struct worker *w) {
    struct letter *letter = w->outbox;
    w->outbox = NULL;
    w->outbox_end = &w->outbox;
    for (struct letter *next; letter; letter = next) {
        next = letter->next; /* posting takes it over */
        mailbox_post(w->mailbox, letter);
    }
}

static void report_loaded(struct worker *w, int code, const char *why) {
    struct report *r = new_report(w, REPORT_LOADED, 0);
    r->code = code;
    snprintf(r->why, sizeof r->why, "%s", why);
    post(w, r);
}

void worker__broken(struct worker *w, const char *why) {
    w->failed = true;
    struct report *r = new_report(w, REPORT_BROKEN, 0);
    snprintf(r->why, sizeof r->why, "%s", why);
    post(w, r);
}

/* ---- jobs ---- */

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Median and 99th percentile of the hops since the job's first token, as far as they are remembered. */
static void hop_stats(const struct worker *w, uint64_t since, struct worker_stats *stats) {
    uint64_t begin = w->hops > since + HOP_SAMPLES ? w->hops - HOP_SAMPLES : since;
    size_t count = (size_t)(w->hops - begin);
    if (count == 0) return;
    uint32_t sorted[HOP_SAMPLES];
    for (size_t i = 0; i < count; i++) sorted[i] = w->hop_us[(begin + i) % HOP_SAMPLES];
    qsort(sorted, count, sizeof *sorted, compare_u32);
    stats->hop_us_median = sorted[count / 2];
    stats->hop_us_p99 = sorted[count - 1 - count / 100];
}

/* Where the time went from the first token to the last. */
static void token_costs(const struct job *j, struct wire_token_costs *costs) {
    const struct worker_spent *now = &j->worker->spent, *then = &j->spent_before;
    uint64_t all_us = j->last_us - j->first_us, sending_us = (now->sending_ns - then->sending_ns) / 1000;
    uint64_t waiting_us = (now->waiting_ns - then->waiting_ns) / 1000, others_us = now->others_us - then->others_us;
    if (j->tokens < 2 || sending_us + waiting_us == 0) return;
    if (others_us > waiting_us) others_us = waiting_us;
    uint64_t busy_us = all_us > sending_us + waiting_us ? all_us - sending_us - waiting_us : 0, count = j->tokens - 1;
    *costs = (struct wire_token_costs){(uint32_t)(busy_us / count), (uint32_t)(sending_us / count),
                                       (uint32_t)(others_us / count), (uint32_t)((waiting_us - others_us) / count)};
}

static void job_free(struct job *j) {
    for (struct job **at = &j->worker->jobs; *at; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    free(j->ids);
    free(j->biases);
    constraints_end(&j->worker->constraints, &j->grammar);
    free(j->grammar_text);
    free(j);
}

static bool on_token(void *context, uint32_t token) {
    struct job *j = context;
    j->last_us = clock_us();
    if (j->first_us == 0) {
        j->first_us = j->last_us;
        j->hops_before = j->worker->hops;
        j->spent_before = j->worker->spent;
    }
    j->tokens++;
    struct report *r = new_report(j->worker, REPORT_TOKEN, 0);
    r->job = j->id;
    r->value = token;
    post(j->worker, r);
    return true;
}

static void report_row(struct job *j, uint32_t position, const void *row, size_t bytes) {
    struct report *r = new_report(j->worker, REPORT_ROW, bytes);
    r->job = j->id;
    r->value = position;
    r->bytes = (uint32_t)bytes;
    memcpy(r->row, row, bytes);
    post(j->worker, r);
}

static void on_logits(void *context, uint32_t position, const float *logits, size_t vocab) {
    report_row(context, position, logits, vocab * sizeof *logits);
}

static void on_logprobs(void *context, uint32_t position, const struct logprobs *logprobs) {
    report_row(context, position, logprobs->list, (1 + logprobs->top) * sizeof *logprobs->list);
}

static void on_embedding(void *context, const float *sum, size_t embd) {
    report_row(context, 0, sum, embd * sizeof *sum);
}

static void on_finish(void *context, enum runner_finish reason, const struct error *error) {
    struct job *j = context;
    struct worker *w = j->worker;
    uint64_t now = clock_us();
    struct report *r = new_report(w, REPORT_FINISHED, 0);
    r->job = j->id;
    r->code = (int)reason;
    if (error) snprintf(r->why, sizeof r->why, "%s", error->text);
    if (reason == RUNNER_FAILED) r->stats.code = j->refused && error ? error->code : ERR_LOST;
    r->stats.cached_tokens = j->request.cached_count;
    r->stats.prefill_us = (j->first_us ? j->first_us : now) - j->submitted_us;
    r->stats.decode_us = j->first_us ? j->last_us - j->first_us : 0;
    if (j->first_us) hop_stats(w, j->hops_before, &r->stats);
    token_costs(j, &r->stats.token);
    if (r->stats.hop_us_median > 0 && w->raw_hop_us == 0 && w->in_flight == 0) ring__measure_raw(w);
    r->stats.raw_hop_us = w->raw_hop_us;
    post(w, r);
    job_free(j);
}

static void refuse(struct job *j, const struct error *error) {
    j->refused = true;
    on_finish(j, RUNNER_FAILED, error);
}

/* What is to keep to a grammar begins where an earlier attempt has left it. */
static int begin_grammar(struct worker *w, struct job *j, struct error *error) {
    struct runner_request *q = &j->request;
    if (j->grammar_kind == GRAMMAR_NONE) return 0;
    q->grammar = &j->grammar;
    return constraints_begin(&w->constraints, j->grammar_kind, j->grammar_text, j->grammar_len,
                             q->prompt + q->prompt_count - j->generated, j->generated, &j->grammar, error);
}

static void start_job(struct worker *w, struct job *j) {
    j->next = w->jobs;
    w->jobs = j;
    struct error error = {0};
    if (w->runner == NULL || w->failed) {
        error_set(&error, ERR_LOST, "the instance is not ready");
        refuse(j, &error);
    } else if (begin_grammar(w, j, &error) != 0 || runner_submit(w->runner, &j->request, &error) != 0) {
        refuse(j, &error);
    }
}

static void cancel_job(struct worker *w, uint64_t id) {
    for (struct job *j = w->jobs; j; j = j->next)
        if (j->id == id) {
            runner_cancel(w->runner, &j->request);
            return;
        }
}

/* ---- commands: loop thread -> worker thread ---- */

/* The queue holds far more commands than jobs can exist, so it is full only if a worker hangs: a bug. */
static void send_command(struct worker *w, struct command command) {
    struct command *c = malloc(sizeof *c);
    assert(c != NULL);
    *c = command;
    int rc = queue_push(w->commands, c);
    assert(rc == 0);
}

static void set_link(struct data_link *slot, struct link *link) {
    link_free(slot->link);
    *slot = (struct data_link){.link = link};
}

static void obey(struct worker *w, struct command *c) {
    switch (c->type) {
    case COMMAND_SUBMIT: start_job(w, c->job); break;
    case COMMAND_CANCEL: cancel_job(w, c->id); break;
    case COMMAND_SOURCE: set_link(&w->source, c->link); break;
    case COMMAND_TARGET: set_link(&w->target, c->link); break;
    case COMMAND_PEER: set_link(&w->peers[c->id], c->link); break;
    case COMMAND_STOP: w->stopping = true; break;
    }
    free(c);
}

void worker__take_commands(struct worker *w, bool wait) {
    struct command *c = wait ? queue_wait(w->commands, -1) : queue_pop(w->commands);
    for (; c; c = queue_pop(w->commands)) obey(w, c);
}

bool worker__joined(const struct worker *w) {
    bool first = w->plan.member == 0, ring = first && w->plan.stages > 1;
    if (ring && (w->source.link == NULL || w->target.link == NULL)) return false;
    for (uint32_t i = 0; i < w->plan.members; i++)
        if (i != w->plan.member && w->peers[i].link == NULL) return false;
    return true;
}

/* ---- the thread ---- */

static bool reserve_frame(struct worker *w, size_t bytes) {
    if (bytes <= w->frame_capacity) return true;
    free(w->frame);
    w->frame = malloc(bytes);
    w->frame_capacity = w->frame ? bytes : 0;
    return w->frame != NULL;
}

uint8_t *worker__encode(struct worker *w, const struct wire_step *s, const struct step *step, uint8_t **hidden) {
    if (!reserve_frame(w, wire_step_bytes(s))) return NULL;
    uint8_t *rows, *pages;
    wire_step_encode(s, w->frame, w->frame_capacity, &rows, &pages, hidden);
    for (uint32_t i = 0; step && i < step->row_count; i++) {
        const struct step_row *r = &step->rows[i];
        struct wire_row row = {r->session, r->position, r->token, r->want_logits ? WIRE_ROW_WANTS_LOGITS : 0};
        wire_step_put_row(rows, i, &row);
    }
    for (uint32_t i = 0; step && i < step->page_count; i++) {
        const struct step_page *p = &step->pages[i];
        struct wire_page page = {p->session, p->index, p->page, p->from, p->slot, p->slot_from};
        wire_step_put_page(pages, i, &page);
    }
    return w->frame;
}

static int lost(const struct data_link *d, const char *which, struct error *error) {
    const struct error *why = d->link ? link_error(d->link) : NULL;
    return error_set(error, ERR_LOST, "the %s stage is gone: %s", which, why ? why->text : "no link");
}

int worker__send(struct worker *w, const void *frame, size_t len, struct error *error) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)frame, .iov_len = len};
    struct data_link *links[] = {&w->source, &w->target};
    if (w->source.link == NULL) return lost(&w->source, "previous", error);
    if (w->target.link == NULL) return lost(&w->target, "next", error);
    int rc = data_send(links, 2, 1, &part, 1, w->stop, SEND_STALL_MS);
    if (rc == ERR_CANCELLED) return error_set(error, rc, "stopped");
    if (rc == ERR_TIMEOUT) return error_set(error, ERR_LOST, "the next stage takes nothing for %d ms", SEND_STALL_MS);
    return rc ? lost(&w->target, "next", error) : 0;
}

int worker__await(struct worker *w, int wake_fd, const uint8_t **frame, size_t *len, struct error *error) {
    struct data_link *links[] = {&w->source, &w->target};
    if (w->source.link == NULL) return lost(&w->source, "previous", error);
    if (w->target.link == NULL) return lost(&w->target, "next", error);
    int rc = data_wait(links, 2, wake_fd, UINT64_MAX);
    if (rc == ERR_CANCELLED) return rc;
    if (rc == 0 && (*frame = link_next_frame(w->source.link, len)) != NULL) return 0;
    return rc == 0 ? lost(&w->source, "previous", error) : lost(&w->target, "next", error);
}

static uint32_t session_count(const struct worker_plan *p) {
    return p->parallel > WORKER_SESSIONS ? p->parallel : WORKER_SESSIONS;
}

static int load_slice(struct worker *w, struct error *error) {
    const struct worker_plan *p = &w->plan;
    struct slice_options options = {
        .layer_begin = p->layer_begin,
        .layer_end = p->layer_end,
        .ends = p->stage == 0,
        .member = p->member,
        .members = p->members,
        .shares = p->shares,
        .exchange = &w->exchange,
        .threads = p->threads,
        .isa = p->isa,
        .kv = KERN_KV_F16,
        .sessions = session_count(p),
        .parallel = p->parallel,
        .context = p->context,
        .memory_max = p->memory_max,
        .cancel = &w->cancel_load,
    };
    return slice_open(&w->slice, &w->card->model, &options, error);
}

static int prepare(struct worker *w, struct error *error) {
    group__init(w);
    int rc = load_slice(w, error);
    if (rc) return rc;
    w->rows_max = step_rows_max(w->card->model.params.encodes, w->plan.context);
    if (w->plan.stage > 0 || w->plan.member > 0) {
        w->hidden = malloc((size_t)w->rows_max * w->card->model.params.embd * sizeof(float));
        return w->hidden ? 0 : error_set(error, ERR_NOMEM, "no memory for the rows of a step");
    }
    ring__init(w);
    struct runner_options options = {.sessions = session_count(&w->plan),
                                     .parallel = w->plan.parallel,
                                     .context = w->plan.context,
                                     .queue_max = WORKER_QUEUE_MAX};
    const struct runner_ring *ring = w->plan.stages > 1 ? &w->ring : NULL;
    return runner_new(&w->runner, &w->card->model, w->slice, ring, &options, error);
}

static void note_load(struct worker *w) {
    struct runner_load load;
    runner_load(w->runner, &load);
    atomic_store_explicit(&w->pages, load.pages, memory_order_relaxed);
    atomic_store_explicit(&w->pages_held, load.pages_held, memory_order_relaxed);
    atomic_store_explicit(&w->put_back, load.put_back, memory_order_relaxed);
}

/* Stage 0: a step while there is work, else sleep until a command comes. */
static void run_turn(struct worker *w) {
    worker__take_commands(w, !runner_busy(w->runner));
    if (w->stopping || !runner_busy(w->runner)) return;
    struct error error = {0};
    if (runner_step(w->runner, &error) != 0) worker__broken(w, error.text);
    note_load(w);
}

static void turn(struct worker *w) {
    if (w->failed)
        worker__take_commands(w, true);
    else if (w->plan.member > 0)
        group__turn(w);
    else if (w->plan.stage == 0)
        run_turn(w);
    else
        relay__turn(w);
    send_letters(w);
}

static void run(void *context) {
    struct worker *w = context;
    struct error error = {0};
    int rc = prepare(w, &error);
    report_loaded(w, rc, error.text);
    w->failed = rc != 0;
    send_letters(w);
    while (!w->stopping) turn(w);
    runner_free(w->runner);
    w->runner = NULL;
    send_letters(w);
    slice_close(w->slice);
}

/* ---- the loop's side ---- */

static struct port *port_new(const struct worker_listener *listener) {
    struct port *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    atomic_init(&p->references, 1);
    p->listener = *listener;
    return p;
}

int worker_new(struct worker **out, struct card *card, const struct worker_plan *plan, struct mailbox *mailbox,
               const struct worker_listener *listener, struct error *error) {
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL) return error_set(error, ERR_NOMEM, "no memory for a worker");
    w->card = card_hold(card);
    w->constraints.tokenizer = w->card->tokenizer;
    w->plan = *plan;
    w->mailbox = mailbox;
    w->outbox_end = &w->outbox;
    w->port = port_new(listener);
    w->stop = eventfd(0, EFD_CLOEXEC);
    if (w->port == NULL || w->stop < 0 || queue_new(&w->commands, COMMANDS_MAX) != 0 ||
        thread_start(&w->thread, "worker", run, w) != 0) {
        worker_free(w);
        return error_set(error, ERR_NOMEM, "cannot start a worker thread");
    }
    w->started = true;
    *out = w;
    return 0;
}

void worker_stop(struct worker *w) {
    w->port->closed = true;
    atomic_store(&w->cancel_load, true);
    uint64_t one = 1;
    ssize_t n = write(w->stop, &one, sizeof one);
    assert(n == sizeof one);
    send_command(w, (struct command){.type = COMMAND_STOP});
}

/* Commands that came too late own what they carry. */
static void drop_commands(struct worker *w) {
    for (struct command *c; (c = queue_pop(w->commands)) != NULL; free(c)) {
        link_free(c->link);
        if (c->job) job_free(c->job);
    }
}

void worker_free(struct worker *w) {
    if (w == NULL) return;
    if (w->started) thread_join(&w->thread);
    if (w->commands) drop_commands(w);
    link_free(w->source.link);
    link_free(w->target.link);
    for (uint32_t i = 0; i < w->plan.members; i++) link_free(w->peers[i].link);
    while (w->jobs) job_free(w->jobs);
    constraints_deinit(&w->constraints);
    free(w->hidden);
    free(w->frame);
    queue_free(w->commands);
    if (w->stop >= 0) close(w->stop);
    if (w->port) port_release(w->port);
    card_release(w->card);
    free(w);
}

void worker_set_source(struct worker *w, struct link *link) {
    send_command(w, (struct command){.type = COMMAND_SOURCE, .link = link});
}

void worker_set_target(struct worker *w, struct link *link) {
    send_command(w, (struct command){.type = COMMAND_TARGET, .link = link});
}

void worker_set_peer(struct worker *w, uint32_t member, struct link *link) {
    send_command(w, (struct command){.type = COMMAND_PEER, .id = member, .link = link});
}

double worker_cache_used(const struct worker *w) {
    unsigned pages = atomic_load_explicit(&w->pages, memory_order_relaxed);
    return pages ? (double)atomic_load_explicit(&w->pages_held, memory_order_relaxed) / pages : 0;
}

uint64_t worker_put_back(const struct worker *w) { return atomic_load_explicit(&w->put_back, memory_order_relaxed); }

static struct job *job_new(struct worker *w, const struct worker_job *from) {
    struct job *j = calloc(1, sizeof *j);
    uint32_t *ids = malloc(((size_t)from->prompt_count + from->stop_count + 1) * sizeof *ids);
    size_t biases_bytes = from->sampling.bias_count * sizeof *from->sampling.biases;
    struct sampler_bias *biases = malloc(biases_bytes + 1);
    char *grammar = malloc(from->grammar_len + 1);
    if (j == NULL || ids == NULL || biases == NULL || grammar == NULL) {
        free(j);
        free(ids);
        free(biases);
        free(grammar);
        return NULL;
    }
    if (from->grammar_len > 0) memcpy(grammar, from->grammar, from->grammar_len);
    if (biases_bytes > 0) memcpy(biases, from->sampling.biases, biases_bytes);
    memcpy(ids, from->prompt, from->prompt_count * sizeof *ids);
    if (from->stop_count) memcpy(ids + from->prompt_count, from->stop_tokens, from->stop_count * sizeof *ids);
    *j = (struct job){.worker = w,
                      .id = from->id,
                      .ids = ids,
                      .biases = biases,
                      .grammar_kind = from->grammar_kind,
                      .grammar_text = grammar,
                      .grammar_len = from->grammar_len,
                      .generated = from->generated < from->prompt_count ? from->generated : from->prompt_count,
                      .submitted_us = clock_us()};
    j->request = (struct runner_request){
        .prompt = ids,
        .prompt_count = from->prompt_count,
        .tokens_max = from->tokens_max,
        .sampling = from->sampling,
        .stop_tokens = ids + from->prompt_count,
        .stop_count = from->stop_count,
        .context = j,
        .on_token = on_token,
        .on_finish = on_finish,
        .on_logits = from->kind == WORKER_LOGITS ? on_logits : NULL,
        .on_embedding = from->kind == WORKER_EMBEDDING ? on_embedding : NULL,
        .on_logprobs = from->kind == WORKER_TEXT && from->logprobs > 0 ? on_logprobs : NULL,
        .top = from->logprobs > 0 ? from->logprobs - 1 : 0,
        .rows_from = from->prompt_count - from->row_count,
    };
    j->request.sampling.biases = biases;
    return j;
}

int worker_submit(struct worker *w, const struct worker_job *job, struct error *error) {
    struct job *j = job_new(w, job);
    if (j == NULL) return error_set(error, ERR_NOMEM, "no memory for a request of %u tokens", job->prompt_count);
    send_command(w, (struct command){.type = COMMAND_SUBMIT, .job = j});
    return 0;
}

void worker_cancel(struct worker *w, uint64_t job) {
    send_command(w, (struct command){.type = COMMAND_CANCEL, .id = job});
}
