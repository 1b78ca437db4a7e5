#include "engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "world.h"

enum {
    MILLISECOND = 1000,
    LOAD_TURN_US = 50 * MILLISECOND,
    REDIAL_US = 200 * MILLISECOND,
    STALLED_US = 30 * MILLISECOND,
    TOKENS_AT_ONCE_MAX = 3,
};

/* A letter to the node: an event with what its pointers point to. */
struct report {
    struct report *next;
    struct node_event event;
    struct wire_job_end end;
    struct wire_job_tokens tokens;
    uint32_t ids[TOKENS_AT_ONCE_MAX];
};

uint32_t engine_token(uint64_t seed, uint32_t index) { return (uint32_t)prng_mix(seed ^ prng_mix(index)) >> 8; }

uint64_t engine_bytes(const struct engine *e) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->slice_count; i++) bytes += e->slices[i].bytes;
    return bytes;
}

void engine_deinit(struct engine *e) {
    for (uint32_t i = 0; i < e->slice_count; i++) free(e->slices[i].plan);
    for (struct report *r = e->first, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    memset(e, 0, sizeof *e);
}

/* ---- mail ---- */

static void deliver(struct world *w, const struct happening *h) {
    struct engine *e = &w->hosts[h->host].engine;
    struct report *r = e->first;
    e->first = r->next;
    if (!e->first) e->last = NULL;
    host_step(w, h->host, &r->event);
    free(r);
}

static struct report *post(struct world *w, uint32_t host, enum node_event_type type) {
    struct engine *e = &w->hosts[host].engine;
    struct report *r = calloc(1, sizeof *r);
    assert(r);
    r->event.type = type;
    if (e->last)
        e->last->next = r;
    else
        e->first = r;
    e->last = r;
    uint64_t due_us = w->now_us + world_below(w, 2 * MILLISECOND);
    if (due_us > e->mail_us) e->mail_us = due_us;
    world_later(w, e->mail_us - w->now_us, deliver, (int)host, 0, 0, 0);
    return r;
}

static struct report *post_about(struct world *w, uint32_t host, enum node_event_type type,
                                 const struct fake_slice *s) {
    struct report *r = post(w, host, type);
    r->event.instance = s->instance;
    r->event.epoch = s->epoch;
    return r;
}

static void post_end(struct world *w, uint32_t host, const struct fake_job *j, uint8_t reason, const char *text) {
    struct report *r = post(w, host, NODE_JOB_DONE);
    r->end = (struct wire_job_end){.job = j->job,
                                   .attempt = j->attempt,
                                   .reason = reason,
                                   .code = reason == WIRE_JOB_FAILED ? ERR_LOST : 0,
                                   .tokens = j->sent};
    snprintf(r->end.text, sizeof r->end.text, "%s", text);
    r->event.gateway = j->gateway;
    r->event.end = &r->end;
}

static void post_tokens(struct world *w, uint32_t host, struct fake_job *j, uint32_t count) {
    struct report *r = post(w, host, NODE_JOB_OUTPUT);
    r->tokens = (struct wire_job_tokens){
        .job = j->job, .attempt = j->attempt, .first = j->sent, .count = count, .tokens = r->ids};
    for (uint32_t i = 0; i < count; i++) r->ids[i] = engine_token(j->seed, j->sent + i);
    j->sent += count;
    r->event.gateway = j->gateway;
    r->event.tokens = &r->tokens;
}

/* ---- finding ---- */

static bool same_epoch(const struct wire_epoch *a, const struct wire_epoch *b) { return wire_epoch_compare(a, b) == 0; }

static struct fake_slice *find_slice(struct engine *e, uint64_t instance, const struct wire_epoch *epoch) {
    for (uint32_t i = 0; i < e->slice_count; i++)
        if (e->slices[i].instance == instance && same_epoch(&e->slices[i].epoch, epoch)) return &e->slices[i];
    return NULL;
}

static struct data_end *find_end(struct engine *e, uint64_t instance, const struct wire_epoch *epoch, uint32_t from,
                                 uint32_t to) {
    for (uint32_t i = 0; i < e->end_count; i++) {
        struct data_end *d = &e->ends[i];
        if (d->instance == instance && same_epoch(&d->epoch, epoch) && d->from == from && d->to == to) return d;
    }
    return NULL;
}

static struct data_end *end_of_link(struct engine *e, uint64_t link) {
    for (uint32_t i = 0; i < e->end_count; i++)
        if (e->ends[i].link == link) return &e->ends[i];
    return NULL;
}

static struct data_end *add_end(struct engine *e, uint64_t instance, const struct wire_epoch *epoch, uint32_t from,
                                uint32_t to) {
    struct data_end *d = find_end(e, instance, epoch, from, to);
    if (d) return d;
    assert(e->end_count < ENGINE_ENDS_MAX);
    d = &e->ends[e->end_count++];
    *d = (struct data_end){.instance = instance, .epoch = *epoch, .from = from, .to = to};
    return d;
}

static void remove_end(struct engine *e, struct data_end *d) { *d = e->ends[--e->end_count]; }

static void remove_job(struct engine *e, struct fake_job *j) { *j = e->jobs[--e->job_count]; }

/* ---- being ready, being broken ---- */

static bool joined(struct engine *e, const struct fake_slice *s) {
    for (uint32_t from = 0; from < s->plan->member_count; from++)
        for (uint32_t to = 0; to < s->plan->member_count; to++) {
            if ((from != s->member && to != s->member) || !wire_plan_linked(s->plan, from, to)) continue;
            const struct data_end *d = find_end(e, s->instance, &s->epoch, from, to);
            if (!d || !(d->up || d->gone)) return false;
        }
    return true;
}

static void fail_jobs(struct world *w, uint32_t host, const struct fake_slice *s, const char *why) {
    struct engine *e = &w->hosts[host].engine;
    for (uint32_t i = e->job_count; i-- > 0;) {
        if (e->jobs[i].instance != s->instance || !same_epoch(&e->jobs[i].epoch, &s->epoch)) continue;
        post_end(w, host, &e->jobs[i], WIRE_JOB_FAILED, why);
        remove_job(e, &e->jobs[i]);
    }
}

static void break_slice(struct world *w, uint32_t host, struct fake_slice *s) {
    bool jobs_first = world_chance(w, 500);
    if (s->broken) return;
    s->broken = true;
    if (jobs_first) fail_jobs(w, host, s, "the ring broke");
    post_about(w, host, NODE_RING_BROKEN, s)->event.text = "a data link broke";
    if (!jobs_first) fail_jobs(w, host, s, "the ring broke");
}

/* A link that ended while the slice loaded is noticed when the slice is about to use it. */
static void check_ready(struct world *w, uint32_t host, struct fake_slice *s) {
    const struct engine *e = &w->hosts[host].engine;
    if (s->ready || !s->loaded || !joined(&w->hosts[host].engine, s)) return;
    s->ready = true;
    post_about(w, host, NODE_SLICE_READY, s);
    for (uint32_t i = 0; i < e->end_count; i++)
        if (e->ends[i].gone && e->ends[i].instance == s->instance && same_epoch(&e->ends[i].epoch, &s->epoch))
            break_slice(w, host, s);
}

/* ---- loading ---- */

/* a: instance, b and c: its epoch */
static struct fake_slice *slice_of(struct world *w, const struct happening *h) {
    return find_slice(&w->hosts[h->host].engine, h->a, &(struct wire_epoch){h->b, h->c});
}

static void load_turn(struct world *w, const struct happening *h) {
    struct fake_slice *s = slice_of(w, h);
    if (!s) return;
    s->done += s->step < s->total - s->done ? s->step : s->total - s->done;
    if (s->done >= s->fails_at) {
        post_about(w, h->host, NODE_SLICE_FAILED, s)->event.text = "out of memory";
        return;
    }
    struct report *r = post_about(w, h->host, NODE_SLICE_PROGRESS, s);
    r->event.bytes_done = s->done;
    r->event.bytes_total = s->total;
    s->loaded = s->done == s->total;
    if (s->loaded)
        check_ready(w, h->host, s);
    else
        world_later(w, LOAD_TURN_US, load_turn, (int)h->host, h->a, h->b, h->c);
}

static bool on_disk(const struct world *w, uint32_t host, const struct wire_plan *plan) {
    for (int i = 0; i < MODELS; i++)
        if (memcmp(w->scenario.models[i].fingerprint, plan->fingerprint, sizeof plan->fingerprint) == 0)
            return w->hosts[host].files >> i & 1;
    return false;
}

/* Most loads are quick, some slow, some fail half-way. */
static void draw_fate(struct world *w, uint32_t host, struct fake_slice *s) {
    uint64_t turns = world_chance(w, 100) ? world_between(w, 50, 250) : world_between(w, 1, 40);
    s->step = s->total / turns + 1;
    s->fails_at = UINT64_MAX;
    if (!w->calm && world_chance(w, 80)) s->fails_at = world_below(w, s->total + 1);
    if (!on_disk(w, host, s->plan)) s->fails_at = 0;
}

static void check_load(struct world *w, uint32_t host, const struct node_effect *e, const struct fake_slice *s) {
    struct host *h = &w->hosts[host];
    int member = wire_plan_member(e->plan, node_id(h->node));
    RULE(w, wire_plan_valid(e->plan) && member == (int)e->member && e->stage == wire_plan_stage(e->plan, e->member),
         "effects are well-formed", "node %s loads a slice that is not its own", h->name);
    RULE(w, !find_slice(&h->engine, e->instance, &e->epoch), "effects are well-formed", "node %s loads a slice twice",
         h->name);
    RULE(w, engine_bytes(&h->engine) + s->bytes <= h->memory, "no memory is promised twice",
         "node %s loads %llu bytes beside %llu and offers %llu", h->name, (unsigned long long)s->bytes,
         (unsigned long long)engine_bytes(&h->engine), (unsigned long long)h->memory);
    rules_plan(w, e->instance, &e->epoch, e->plan);
}

void engine_load(struct world *w, uint32_t host, const struct node_effect *e) {
    struct engine *engine = &w->hosts[host].engine;
    const struct wire_member *m = &e->plan->members[e->member];
    struct fake_slice s = {.instance = e->instance,
                           .epoch = e->epoch,
                           .stage = e->stage,
                           .member = e->member,
                           .bytes = m->weights_bytes + m->kv_bytes + m->scratch_bytes,
                           .total = m->weights_bytes};
    check_load(w, host, e, &s);
    if (w->journal.broken) return;
    assert(engine->slice_count < NODE_INSTANCES_MAX);
    s.plan = malloc(sizeof *s.plan);
    assert(s.plan);
    *s.plan = *e->plan;
    draw_fate(w, host, &s);
    engine->slices[engine->slice_count++] = s;
    world_later(w, LOAD_TURN_US, load_turn, (int)host, s.instance, s.epoch.number, s.epoch.node);
}

static void drop_ends(struct world *w, uint32_t host, const struct node_effect *e) {
    struct engine *engine = &w->hosts[host].engine;
    for (uint32_t i = engine->end_count; i-- > 0;) {
        struct data_end *d = &engine->ends[i];
        if (d->instance != e->instance || !same_epoch(&d->epoch, &e->epoch)) continue;
        if (network_link_open(w, host, d->link)) network_close(w, host, d->link);
        remove_end(engine, d);
    }
}

void engine_unload(struct world *w, uint32_t host, const struct node_effect *e) {
    struct engine *engine = &w->hosts[host].engine;
    struct fake_slice *s = find_slice(engine, e->instance, &e->epoch);
    RULE(w, s, "effects are well-formed", "node %s unloads what it did not load", w->hosts[host].name);
    if (!s) return;
    fail_jobs(w, host, s, "the model was unloaded");
    drop_ends(w, host, e);
    free(s->plan);
    *s = engine->slices[--engine->slice_count];
}

/* ---- data links ---- */

static void dial(struct world *w, uint32_t host, struct data_end *d) {
    struct wire_hello about = {
        .kind = WIRE_DATA, .instance = d->instance, .epoch = d->epoch, .member_from = d->from, .member_to = d->to};
    d->up = false;
    d->link = network_dial_data(w, host, &d->address, &about);
}

/* a: the link that is gone */
static void dial_again(struct world *w, const struct happening *h) {
    struct data_end *d = end_of_link(&w->hosts[h->host].engine, h->a);
    if (d && !d->up) dial(w, h->host, d);
}

void engine_connect(struct world *w, uint32_t host, const struct node_effect *e) {
    struct engine *engine = &w->hosts[host].engine;
    RULE(w, find_slice(engine, e->instance, &e->epoch) && e->address.port != 0, "effects are well-formed",
         "node %s connects a ring that it has no part in", w->hosts[host].name);
    struct data_end *d = add_end(engine, e->instance, &e->epoch, e->member_from, e->member_to);
    d->address = e->address;
    if (d->link == 0) {
        d->dials = true;
        dial(w, host, d);
    }
}

void engine_dial_failed(struct world *w, uint32_t host, uint64_t link) {
    if (end_of_link(&w->hosts[host].engine, link)) world_later(w, REDIAL_US, dial_again, (int)host, link, 0, 0);
}

void engine_link_up(struct world *w, uint32_t host, uint64_t link, const struct wire_hello *about, bool dialled) {
    struct engine *e = &w->hosts[host].engine;
    struct data_end *d = dialled ? end_of_link(e, link)
                                 : add_end(e, about->instance, &about->epoch, about->member_from, about->member_to);
    if (!d) { /* unloaded meanwhile */
        network_close(w, host, link);
        return;
    }
    if (d->link != link && network_link_open(w, host, d->link)) network_close(w, host, d->link);
    d->link = link;
    d->up = true;
    d->gone = false;
    struct fake_slice *s = find_slice(e, d->instance, &d->epoch);
    if (s) check_ready(w, host, s);
}

void engine_link_down(struct world *w, uint32_t host, uint64_t link) {
    struct engine *e = &w->hosts[host].engine;
    struct data_end *d = end_of_link(e, link);
    if (!d) return;
    struct fake_slice *s = find_slice(e, d->instance, &d->epoch);
    d->up = false;
    d->gone = true;
    if (!s)
        remove_end(e, d);
    else if (s->ready)
        break_slice(w, host, s);
}

/* ---- jobs ---- */

static bool passes(struct world *w, const struct fake_slice *s, uint32_t from, uint32_t to) {
    const struct wire_plan *p = s->plan;
    int here = host_of_node(w, p->members[from].node), there = host_of_node(w, p->members[to].node);
    if (here < 0 || there < 0 || !host_runs(w, (uint32_t)here)) return false;
    struct engine *e = &w->hosts[here].engine;
    const struct fake_slice *part = find_slice(e, s->instance, &s->epoch);
    const struct data_end *out = find_end(e, s->instance, &s->epoch, from, to);
    return part && part->ready && !part->broken && out && out->up && network_open(w, (uint32_t)here, (uint32_t)there);
}

/* Does a step come round? Every member must run, and every data link be whole. */
static bool ring_moves(struct world *w, const struct fake_slice *s) {
    for (uint32_t from = 0; from < s->plan->member_count; from++)
        for (uint32_t to = 0; to < s->plan->member_count; to++)
            if (wire_plan_linked(s->plan, from, to) && !passes(w, s, from, to)) return false;
    return true;
}

static struct fake_job *find_job(struct engine *e, uint64_t gateway, uint64_t job, uint32_t attempt) {
    for (uint32_t i = 0; i < e->job_count; i++) {
        struct fake_job *j = &e->jobs[i];
        if (j->gateway == gateway && j->job == job && j->attempt == attempt) return j;
    }
    return NULL;
}

static struct fake_slice *slice_of_job(struct engine *e, const struct fake_job *j) {
    return find_slice(e, j->instance, &j->epoch);
}

static void job_turn(struct world *w, const struct happening *h);

static void next_turn(struct world *w, uint32_t host, const struct fake_job *j, uint64_t delay_us) {
    world_later(w, delay_us, job_turn, (int)host, j->gateway, j->job, j->attempt);
}

/* a: gateway, b: job, c: attempt */
static void job_turn(struct world *w, const struct happening *h) {
    struct engine *e = &w->hosts[h->host].engine;
    struct fake_job *j = find_job(e, h->a, h->b, (uint32_t)h->c);
    if (!j) return;
    struct fake_slice *s = slice_of_job(e, j);
    if (!s || !ring_moves(w, s)) {
        next_turn(w, h->host, j, STALLED_US);
        return;
    }
    if (!j->aborted) {
        uint64_t count = world_between(w, 1, TOKENS_AT_ONCE_MAX + 1), left = j->tokens_max - j->sent;
        if (left > 0) post_tokens(w, h->host, j, (uint32_t)(count < left ? count : left));
    }
    if (j->aborted || j->sent == j->tokens_max) {
        post_end(w, h->host, j, j->aborted ? WIRE_JOB_CANCELLED : WIRE_JOB_LENGTH, "");
        remove_job(e, j);
    } else {
        next_turn(w, h->host, j, world_between(w, 2, 80) * MILLISECOND);
    }
}

/* An attempt goes on behind the tokens of those before it. */
static void check_log(struct world *w, uint32_t host, const struct wire_job_submit *s) {
    const uint32_t *log = s->prompt + s->prompt_count - s->generated;
    for (uint32_t i = 0; i < s->generated; i++)
        RULE(w, log[i] == engine_token(s->sampling.seed, i), "an attempt goes on where the last one ended",
             "node %s: token %u of job %llx is another one in attempt %u", w->hosts[host].name, i,
             (unsigned long long)s->job, s->attempt);
}

void engine_start_job(struct world *w, uint32_t host, const struct node_effect *e) {
    struct engine *engine = &w->hosts[host].engine;
    const struct wire_job_submit *s = e->submit;
    struct fake_job j = {.gateway = e->gateway,
                         .job = s->job,
                         .instance = e->instance,
                         .epoch = e->epoch,
                         .attempt = s->attempt,
                         .seed = s->sampling.seed,
                         .tokens_max = s->generated + s->tokens_max,
                         .sent = s->generated};
    struct fake_slice *slice = slice_of_job(engine, &j);
    RULE(w, slice && slice->ready && slice->stage == 0, "effects are well-formed",
         "node %s starts a job on a slice that is not ready", w->hosts[host].name);
    RULE(w, !find_job(engine, j.gateway, j.job, j.attempt), "effects are well-formed", "node %s starts a job twice",
         w->hosts[host].name);
    check_log(w, host, s);
    if (!slice || slice->broken || engine->job_count == ENGINE_JOBS_MAX) {
        post_end(w, host, &j, WIRE_JOB_FAILED, "the instance is not ready");
        return;
    }
    engine->jobs[engine->job_count++] = j;
    next_turn(w, host, &j, world_between(w, 5, 100) * MILLISECOND);
}

void engine_abort_job(struct world *w, uint32_t host, const struct node_effect *e) {
    struct fake_job *j = find_job(&w->hosts[host].engine, e->gateway, e->job, e->attempt);
    if (j) j->aborted = true;
}
