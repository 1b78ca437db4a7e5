/* Jobs: from the gateway, which holds the client's request and owns the token log, to the coordinator and back.
 *
 * A token exists when the gateway took it: in order, of the present attempt. When an attempt is lost with the instance,
 * a node or a link, the job waits until the model answers again; then the daemon submits it anew as the next attempt,
 * with the tokens that exist behind its prompt, and it goes on where it was. */
#include <stdio.h>
#include <string.h>

#include "cluster/internal.h"

enum {
    FRUITLESS_MAX = 8,           /* attempts lost without a token between: it would never end */
    REFUSED_AGAIN_US = 100 * MS, /* the coordinator knows already that something is wrong */
    ALONE_US = 3 * SECOND,       /* without anybody who runs the model or brings it back */
    ALONE_AWAKE_US = 12 * SECOND,
};

static void remove_gateway_job(struct node *n, struct gateway_job *j) {
    uint32_t at = (uint32_t)(j - n->gateway_jobs);
    memmove(j, j + 1, (--n->gateway_job_count - at) * sizeof *j);
}

static void remove_worker_job(struct node *n, struct worker_job *j) {
    uint32_t at = (uint32_t)(j - n->worker_jobs);
    memmove(j, j + 1, (--n->worker_job_count - at) * sizeof *j);
}

static struct gateway_job *gateway_job(struct node *n, uint64_t job) {
    for (uint32_t i = 0; i < n->gateway_job_count; i++)
        if (n->gateway_jobs[i].job == job) return &n->gateway_jobs[i];
    return NULL;
}

static struct worker_job *worker_job(struct node *n, uint64_t gateway, uint64_t job, uint32_t attempt) {
    for (uint32_t i = 0; i < n->worker_job_count; i++) {
        struct worker_job *j = &n->worker_jobs[i];
        if (j->gateway == gateway && j->job == job && j->attempt == attempt) return j;
    }
    return NULL;
}

static struct wire_job_end failure(uint64_t job, uint32_t attempt, int code, const char *text) {
    struct wire_job_end end = {.job = job, .attempt = attempt, .reason = WIRE_JOB_FAILED, .code = code};
    snprintf(end.text, sizeof end.text, "%s", text);
    return end;
}

/* To the client, and the job is over here. */
static void deliver_end(struct node *n, const struct wire_job_end *end) {
    struct wire_job_end *copy = node__alloc(n, sizeof *copy);
    *copy = *end;
    node__emit(n, NODE_JOB_END)->end = copy;
}

static void fail_gateway_job(struct node *n, struct gateway_job *j, int code, const char *text) {
    struct wire_job_end end = failure(j->job, j->attempt, code, text);
    end.tokens = j->next;
    deliver_end(n, &end);
    remove_gateway_job(n, j);
}

static void tell_cancel(struct node *n, const struct gateway_job *j) {
    struct wire_message m = {.type = WIRE_JOB_CANCEL, .job_cancel = {j->job, j->attempt}};
    node__tell(n, j->coordinator, &m);
}

/* The client wants no more of it, and nobody is left to say that it ended. */
static void end_cancelled(struct node *n, struct gateway_job *j) {
    struct wire_job_end end = {.job = j->job, .attempt = j->attempt, .reason = WIRE_JOB_CANCELLED, .tokens = j->next};
    deliver_end(n, &end);
    remove_gateway_job(n, j);
}

/* The attempt is over without having ended the job. `lost`: it ran; else it was refused for the moment. */
static void wait_for_instance(struct node *n, struct gateway_job *j, const char *text, bool lost) {
    if (j->cancelled) {
        end_cancelled(n, j);
    } else if (lost && ++j->fruitless > FRUITLESS_MAX) {
        fail_gateway_job(n, j, ERR_LOST, text);
    } else {
        j->state = JOB_WAITING;
        j->try_us = lost ? 0 : n->now_us + node__jitter(n, REFUSED_AGAIN_US, REFUSED_AGAIN_US);
        j->alone_us = 0;
        snprintf(j->text, sizeof j->text, "%s", text);
    }
}

static int refuse_submit(struct node *n, const struct wire_job_submit *s, int code, const char *text) {
    struct wire_job_end end = failure(s->job, s->attempt, code, text);
    deliver_end(n, &end);
    return code == ERR_BUSY ? ERR_LIMIT : 0;
}

static const char *too_long(const struct wire_job_submit *s) {
    if (s->grammar.len > WIRE_GRAMMAR_BYTES_MAX) return "the grammar is longer than a message may be";
    bool long_prompt = s->prompt_count > WIRE_TOKENS_MAX || s->stop_count > WIRE_STOPS_MAX;
    return long_prompt ? "the prompt is longer than a message may be" : NULL;
}

static bool answers(struct node *n, const struct instance *i) {
    return i && i->state == WIRE_READY && peers_linked(n, i->coordinator);
}

/* Jobs of this node's own clients that run there, besides `mine`. */
static uint64_t running_there(const struct node *n, const struct instance *i, const struct gateway_job *mine) {
    uint64_t count = 0;
    for (uint32_t k = 0; k < n->gateway_job_count; k++) {
        const struct gateway_job *j = &n->gateway_jobs[k];
        count += j != mine && j->state == JOB_RUNNING && j->instance == i->id;
    }
    return count;
}

/* Would a job be done sooner with `a` than with `b`, as far as this node knows? Of equals the elder is the one. */
static bool has_less_to_do(const struct node *n, const struct instance *a, const struct instance *b,
                           const struct gateway_job *mine) {
    uint64_t speed_a = a->plan.decode_tokens_per_ks, speed_b = b->plan.decode_tokens_per_ks;
    bool known = speed_a > 0 && speed_b > 0;
    uint64_t wait_a = (running_there(n, a, mine) + 1) * (known ? speed_b : 1);
    uint64_t wait_b = (running_there(n, b, mine) + 1) * (known ? speed_a : 1);
    return wait_a < wait_b || (wait_a == wait_b && wire_epoch_compare(&a->epoch, &b->epoch) < 0);
}

/* The newest that is ready, since that is what takes new jobs; of replicas the one with least to do. NULL: none. */
static struct instance *instance_for(struct node *n, const struct gateway_job *j) {
    struct instance *newest = instances_of_model(n, j->fingerprint), *best = newest;
    for (uint32_t k = 0; newest && k < n->instance_count; k++) {
        struct instance *i = &n->instances[k];
        bool may = answers(n, i) && instances_side_by_side(i, newest);
        if (may && (!answers(n, best) || has_less_to_do(n, i, best, j))) best = i;
    }
    return best;
}

static void send_submit(struct node *n, struct gateway_job *j, const struct wire_job_submit *submit) {
    struct instance *i = instance_for(n, j);
    struct wire_message m = {.type = WIRE_JOB_SUBMIT, .job_submit = *submit};
    j->attempt = submit->attempt;
    if (i) m.job_submit.instance = j->instance = i->id;
    if (!answers(n, i) || !node__tell(n, i->coordinator, &m)) {
        wait_for_instance(n, j, "the model does not answer", false);
        return;
    }
    j->state = JOB_RUNNING;
    j->coordinator = i->coordinator;
}

static int submit_anew(struct node *n, struct gateway_job *j, const struct wire_job_submit *s) {
    if (j->state != JOB_ASKED || j->attempt != s->attempt)
        return refuse_submit(n, s, ERR_EXISTS, "a job of this number is running");
    const char *why = too_long(s);
    if (why)
        fail_gateway_job(n, j, ERR_LIMIT, why);
    else
        send_submit(n, j, s);
    return 0;
}

int jobs_submit(struct node *n, const struct wire_job_submit *submit) {
    struct gateway_job *j = gateway_job(n, submit->job);
    if (j) return submit_anew(n, j, submit);
    struct instance *named = instances_find(n, submit->instance);
    struct instance *i = named ? instances_of_model(n, named->plan.fingerprint) : NULL;
    const char *why = too_long(submit);
    if (!i && named)
        return refuse_submit(n, submit, ERR_NOT_FOUND, node__text(n, "the model is not loaded: %s", named->text));
    if (!i) return refuse_submit(n, submit, ERR_NOT_FOUND, "the model is not loaded");
    if (n->gateway_job_count == NODE_JOBS_MAX)
        return refuse_submit(n, submit, ERR_BUSY, "too many requests are running");
    if (why) return refuse_submit(n, submit, ERR_LIMIT, why);
    j = &n->gateway_jobs[n->gateway_job_count++];
    *j = (struct gateway_job){.job = submit->job, .instance = i->id};
    memcpy(j->fingerprint, i->plan.fingerprint, sizeof j->fingerprint);
    send_submit(n, j, submit);
    return 0;
}

static void tell_end(struct node *n, uint64_t gateway, const struct wire_job_end *end) {
    struct wire_message m = {.type = WIRE_JOB_END, .job_end = *end};
    node__tell(n, gateway, &m);
}

static uint32_t *copy_tokens(struct node *n, const uint32_t *tokens, uint32_t count) {
    uint32_t *copy = node__alloc(n, count * sizeof *copy + 1);
    if (count > 0) memcpy(copy, tokens, count * sizeof *copy);
    return copy;
}

static void abort_job(struct node *n, const struct worker_job *j) {
    struct node_effect *effect = node__emit(n, NODE_JOB_ABORT);
    effect->gateway = j->gateway;
    effect->job = j->job;
    effect->attempt = j->attempt;
    effect->instance = j->instance;
}

/* The gateway has given them up. */
static void drop_older_attempts(struct node *n, uint64_t gateway, const struct wire_job_submit *s) {
    for (uint32_t i = 0; i < n->worker_job_count; i++) {
        struct worker_job *j = &n->worker_jobs[i];
        if (j->gateway != gateway || j->job != s->job || j->attempt >= s->attempt || j->orphan) continue;
        j->orphan = true;
        abort_job(n, j);
    }
}

static void start_job(struct node *n, uint64_t gateway, const struct wire_job_submit *s) {
    struct instance *i = instances_own(n, s->instance);
    bool here = i && i->state == WIRE_READY && i->break_us == 0;
    bool room = n->worker_job_count < NODE_JOBS_MAX && !worker_job(n, gateway, s->job, s->attempt);
    drop_older_attempts(n, gateway, s);
    if (!here || !room) {
        struct wire_job_end end = failure(s->job, s->attempt, here ? ERR_BUSY : ERR_AGAIN,
                                          here ? "too many requests are running" : "the model does not answer here");
        tell_end(n, gateway, &end);
        return;
    }
    n->worker_jobs[n->worker_job_count++] = (struct worker_job){
        .gateway = gateway, .job = s->job, .instance = i->id, .epoch = i->epoch, .attempt = s->attempt};
    struct wire_job_submit *copy = node__alloc(n, sizeof *copy);
    *copy = *s;
    copy->prompt = copy_tokens(n, s->prompt, s->prompt_count);
    copy->stops = copy_tokens(n, s->stops, s->stop_count);
    copy->grammar.text = node__alloc(n, (size_t)s->grammar.len + 1);
    if (s->grammar.len > 0) memcpy(copy->grammar.text, s->grammar.text, s->grammar.len);
    copy->biases = node__alloc(n, s->bias_count * sizeof *s->biases + 1);
    if (s->bias_count > 0) memcpy(copy->biases, s->biases, s->bias_count * sizeof *s->biases);
    struct node_effect *effect = node__emit(n, NODE_JOB_START);
    effect->gateway = gateway;
    effect->instance = i->id;
    effect->epoch = i->epoch;
    effect->submit = copy;
}

static void take_cancel(struct node *n, uint64_t gateway, const struct wire_job_cancel *c) {
    struct worker_job *j = worker_job(n, gateway, c->job, c->attempt);
    if (j) abort_job(n, j);
}

static bool expected(const struct gateway_job *j, uint64_t from, uint32_t attempt) {
    return j && j->state == JOB_RUNNING && j->attempt == attempt && j->coordinator == from;
}

static void take_tokens(struct node *n, uint64_t from, const struct wire_job_tokens *t) {
    struct gateway_job *j = gateway_job(n, t->job);
    if (!expected(j, from, t->attempt)) return;
    if (t->first != j->next) {
        tell_cancel(n, j);
        wait_for_instance(n, j, "tokens were lost on the way", true);
        return;
    }
    j->next += t->count;
    j->fruitless = 0;
    struct wire_job_tokens *copy = node__alloc(n, sizeof *copy);
    *copy = *t;
    copy->tokens = copy_tokens(n, t->tokens, t->count);
    node__emit(n, NODE_JOB_TOKENS)->tokens = copy;
}

static void take_rows(struct node *n, uint64_t from, const struct wire_job_rows *rows) {
    struct gateway_job *j = gateway_job(n, rows->job);
    if (!expected(j, from, rows->attempt)) return;
    struct wire_job_rows *copy = node__alloc(n, sizeof *copy);
    *copy = *rows; /* the bytes live as long as the step */
    node__emit(n, NODE_JOB_ROWS)->rows = copy;
}

static void take_end(struct node *n, uint64_t from, const struct wire_job_end *end) {
    struct gateway_job *j = gateway_job(n, end->job);
    if (!expected(j, from, end->attempt)) return;
    bool lost = end->code == ERR_LOST, again = end->code == ERR_AGAIN;
    if (end->reason == WIRE_JOB_FAILED && (lost || again)) {
        wait_for_instance(n, j, end->text, lost);
        return;
    }
    deliver_end(n, end);
    remove_gateway_job(n, j);
}

void jobs_message(struct node *n, uint64_t from, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_JOB_SUBMIT: start_job(n, from, &m->job_submit); break;
    case WIRE_JOB_CANCEL: take_cancel(n, from, &m->job_cancel); break;
    case WIRE_JOB_TOKENS: take_tokens(n, from, &m->job_tokens); break;
    case WIRE_JOB_ROWS: take_rows(n, from, &m->job_rows); break;
    case WIRE_JOB_END: take_end(n, from, &m->job_end); break;
    default: break;
    }
}

static void cancel(struct node *n, uint64_t job) {
    struct gateway_job *j = gateway_job(n, job);
    if (!j) return; /* it is over already */
    j->cancelled = true;
    if (j->state == JOB_RUNNING)
        tell_cancel(n, j);
    else
        end_cancelled(n, j);
}

static void pass_on_tokens(struct node *n, uint64_t gateway, const struct wire_job_tokens *t) {
    struct worker_job *j = worker_job(n, gateway, t->job, t->attempt);
    if (!j || j->orphan) return;
    struct wire_message m = {.type = WIRE_JOB_TOKENS, .job_tokens = *t};
    m.job_tokens.tokens = copy_tokens(n, t->tokens, t->count);
    node__tell(n, gateway, &m);
}

static void pass_on_rows(struct node *n, uint64_t gateway, const struct wire_job_rows *rows) {
    struct worker_job *j = worker_job(n, gateway, rows->job, rows->attempt);
    if (!j || j->orphan) return;
    struct wire_message m = {.type = WIRE_JOB_ROWS, .job_rows = *rows};
    m.job_rows.bytes = node__alloc(n, rows->len);
    memcpy(m.job_rows.bytes, rows->bytes, rows->len);
    node__tell(n, gateway, &m);
}

static void finish_worker_job(struct node *n, uint64_t gateway, const struct wire_job_end *end) {
    struct worker_job *j = worker_job(n, gateway, end->job, end->attempt);
    if (!j) return;
    struct instance *i = instances_own(n, j->instance);
    bool broken = end->reason == WIRE_JOB_FAILED && end->code == ERR_LOST;
    bool present = i && i->state == WIRE_READY && wire_epoch_compare(&i->epoch, &j->epoch) == 0;
    if (broken && !j->orphan && present) instances_break(n, i, end->text);
    if (!j->orphan) tell_end(n, gateway, end);
    remove_worker_job(n, j);
}

void jobs_event(struct node *n, const struct node_event *e) {
    switch (e->type) {
    case NODE_JOB_CANCEL: cancel(n, e->job); break;
    case NODE_JOB_OUTPUT: pass_on_tokens(n, e->gateway, e->tokens); break;
    case NODE_JOB_ROWS_OUT: pass_on_rows(n, e->gateway, e->rows); break;
    case NODE_JOB_DONE: finish_worker_job(n, e->gateway, e->end); break;
    default: break;
    }
}

static void lose_gateway_jobs(struct node *n, uint64_t coordinator, const char *text) {
    for (uint32_t i = n->gateway_job_count; i-- > 0;) {
        struct gateway_job *j = &n->gateway_jobs[i];
        if (j->state != JOB_RUNNING || j->coordinator != coordinator) continue;
        tell_cancel(n, j);
        wait_for_instance(n, j, text, true);
    }
}

/* Its gateway is told, if it can be; whatever the worker says of it from now on is for nobody. */
static void fail_worker_job(struct node *n, struct worker_job *j, const char *text) {
    struct wire_job_end end = failure(j->job, j->attempt, ERR_LOST, text);
    if (!j->orphan) tell_end(n, j->gateway, &end);
    if (!j->orphan) abort_job(n, j);
    j->orphan = true;
}

/* What was under way on the link may be lost, so both ends give up its jobs; the other link, if there is one, says so
 * to a side that did not notice. */
void jobs_link_broken(struct node *n, uint64_t peer) {
    lose_gateway_jobs(n, peer, node__text(n, "the link to node %s, the coordinator, broke", peers_name(n, peer)));
    for (uint32_t i = n->worker_job_count; i-- > 0;)
        if (n->worker_jobs[i].gateway == peer && !n->worker_jobs[i].orphan)
            fail_worker_job(n, &n->worker_jobs[i], "the link to the coordinator broke");
}

void jobs_own_ended(struct node *n, const char *text) {
    lose_gateway_jobs(n, n->id, text);
    for (uint32_t i = n->worker_job_count; i-- > 0;)
        if (n->worker_jobs[i].gateway == n->id) n->worker_jobs[i].orphan = true;
}

void jobs_instance_ended(struct node *n, uint64_t instance, const char *text) {
    for (uint32_t i = n->worker_job_count; i-- > 0;)
        if (n->worker_jobs[i].instance == instance) fail_worker_job(n, &n->worker_jobs[i], text);
}

bool jobs_running(const struct node *n, uint64_t instance) {
    for (uint32_t i = 0; i < n->worker_job_count; i++)
        if (n->worker_jobs[i].instance == instance && !n->worker_jobs[i].orphan) return true;
    return false;
}

bool jobs_shared_with(const struct node *n, uint64_t peer) {
    for (uint32_t i = 0; i < n->gateway_job_count; i++)
        if (n->gateway_jobs[i].state == JOB_RUNNING && n->gateway_jobs[i].coordinator == peer) return true;
    for (uint32_t i = 0; i < n->worker_job_count; i++)
        if (n->worker_jobs[i].gateway == peer && !n->worker_jobs[i].orphan) return true;
    return false;
}

bool jobs_wait_for(const struct node *n, uint64_t instance) {
    for (uint32_t i = 0; i < n->gateway_job_count; i++)
        if (n->gateway_jobs[i].instance == instance) return true;
    return false;
}

static void ask_again(struct node *n, struct gateway_job *j) {
    struct node_effect *effect = node__emit(n, NODE_JOB_AGAIN);
    j->state = JOB_ASKED;
    effect->job = j->job;
    effect->attempt = ++j->attempt;
    node__log(n, LOG_INFO, "job %llu: %s -> goes on after token %u, attempt %u", (unsigned long long)j->job, j->text,
              j->next, j->attempt);
}

/* Nobody runs the model, and nobody brings it back: soon there will be, or the job has failed. */
static void wait_alone(struct node *n, struct gateway_job *j) {
    const struct instance *failed = instances_find(n, j->instance);
    if (failed) {
        fail_gateway_job(n, j, ERR_LOST, failed->text);
        return;
    }
    if (j->alone_us == 0) j->alone_us = n->now_us;
    uint64_t end_us = j->alone_us + ALONE_US;
    if (n->woke_us != 0 && end_us < n->woke_us + ALONE_AWAKE_US) end_us = n->woke_us + ALONE_AWAKE_US;
    if (node__due(n, end_us)) fail_gateway_job(n, j, ERR_LOST, j->text);
}

static void waiting_timer(struct node *n, struct gateway_job *j) {
    if (j->try_us != 0 && !node__due(n, j->try_us)) return;
    j->try_us = 0;
    const struct instance *i = instances_of_model(n, j->fingerprint);
    if (answers(n, i))
        ask_again(n, j);
    else if (i)
        j->alone_us = 0;
    else
        wait_alone(n, j);
}

void jobs_timers(struct node *n) {
    for (uint32_t i = n->gateway_job_count; i-- > 0;)
        if (n->gateway_jobs[i].state == JOB_WAITING) waiting_timer(n, &n->gateway_jobs[i]);
}
