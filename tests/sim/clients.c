#include "clients.h"

#include <string.h>

#include "base/prng.h"
#include "base/size.h"
#include "world.h"

uint64_t client_header_bytes(uint32_t model) { return 500 + 900 * (uint64_t)model; }

uint8_t client_header_byte(uint32_t model, uint64_t offset) { return (uint8_t)prng_mix(model * 1000003 + offset); }

/* ---- asking ---- */

static struct client_job *find_job(struct client *c, uint64_t job) {
    for (uint32_t i = 0; i < c->job_count; i++)
        if (c->jobs[i].job == job) return &c->jobs[i];
    return NULL;
}

static uint64_t ask(struct world *w, uint32_t host, enum asked asked, uint32_t model, struct node_event *event) {
    struct client *c = &w->hosts[host].client;
    if (!w->hosts[host].up || c->request_count == CLIENT_REQUESTS_MAX) return 0;
    uint64_t id = ++c->number;
    c->requests[c->request_count++] =
        (struct client_request){.id = id, .asked = asked, .model = model, .since_us = w->now_us};
    event->request = id;
    host_step(w, host, event);
    return id;
}

uint64_t client_load(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options) {
    journal_line(w, (int)host, "asked to load %s", w->scenario.models[model].name);
    struct node_event event = {.type = NODE_REQUEST_LOAD, .model = &w->scenario.models[model]};
    event.any_options = options == NULL;
    if (options) event.options = *options;
    return ask(w, host, ASKED_LOAD, model, &event);
}

uint64_t client_plan(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options) {
    struct node_event event = {.type = NODE_REQUEST_PLAN, .model = &w->scenario.models[model]};
    if (options) event.options = *options;
    return ask(w, host, ASKED_PLAN, model, &event);
}

uint64_t client_stop(struct world *w, uint32_t host, uint64_t instance) {
    journal_line(w, (int)host, "asked to stop %016llx", (unsigned long long)instance);
    struct node_event event = {.type = NODE_REQUEST_STOP, .instance = instance, .replicas = world_chance(w, 800)};
    return ask(w, host, ASKED_STOP, 0, &event);
}

uint64_t client_header(struct world *w, uint32_t host, uint32_t model) {
    struct node_event event = {.type = NODE_REQUEST_HEADER, .fingerprint = w->scenario.models[model].fingerprint};
    return ask(w, host, ASKED_HEADER, model, &event);
}

enum { PROMPT_TOKENS = 3, LOG_MAX = 1 << 17 };

/* The tokens that exist go behind the prompt; tokens_max is what is left. */
static void submit(struct world *w, uint32_t host, const struct client_job *j) {
    static uint32_t prompt[PROMPT_TOKENS + LOG_MAX];
    for (uint32_t i = 0; i < PROMPT_TOKENS; i++) prompt[i] = i + 1;
    for (uint32_t i = 0; i < j->next; i++) prompt[PROMPT_TOKENS + i] = engine_token(j->seed, i);
    struct wire_job_submit submit = {.job = j->job,
                                     .attempt = j->attempt,
                                     .instance = j->instance,
                                     .sampling = {.seed = j->seed},
                                     .tokens_max = j->tokens_max - j->next,
                                     .prompt_count = PROMPT_TOKENS + j->next,
                                     .prompt = prompt,
                                     .generated = j->next};
    host_step(w, host, &(struct node_event){.type = NODE_JOB_SUBMIT, .submit = &submit});
}

/* A gateway must have the header to make tokens of a text. */
static void learn_model(struct world *w, uint32_t host, uint64_t instance) {
    struct node_instance_view views[2 * NODE_INSTANCES_MAX];
    size_t count = node_instances(w->hosts[host].node, views, ARRAY_LEN(views));
    for (size_t v = 0; v < count; v++)
        for (uint32_t m = 0; m < MODELS; m++)
            if (views[v].id == instance &&
                memcmp(views[v].plan->fingerprint, w->scenario.models[m].fingerprint, WIRE_FINGERPRINT_BYTES) == 0)
                w->hosts[host].cards |= 1u << m;
}

uint64_t client_submit(struct world *w, uint32_t host, uint64_t instance, uint32_t tokens_max) {
    struct client *c = &w->hosts[host].client;
    if (!w->hosts[host].up || c->job_count == CLIENT_JOBS_MAX) return 0;
    uint64_t job = ++c->number, seed = prng_next(&w->random);
    struct client_job *j = &c->jobs[c->job_count++];
    *j = (struct client_job){.job = job,
                             .instance = instance,
                             .seed = seed,
                             .attempt = 1,
                             .tokens_max = tokens_max,
                             .since_us = w->now_us,
                             .heard_us = w->now_us};
    learn_model(w, host, instance);
    journal_line(w, (int)host, "job %llx of %u tokens", (unsigned long long)job, tokens_max);
    submit(w, host, j);
    return job;
}

/* a: job */
static void go_on(struct world *w, const struct happening *h) {
    const struct client_job *j = find_job(&w->hosts[h->host].client, h->a);
    if (j) submit(w, h->host, j);
}

void client_again(struct world *w, uint32_t host, const struct node_effect *e) {
    struct client_job *j = find_job(&w->hosts[host].client, e->job);
    RULE(w, j && e->attempt > j->attempt, "attempts are counted", "node %s asks again for job %llx, attempt %u",
         w->hosts[host].name, (unsigned long long)e->job, e->attempt);
    if (!j) return;
    j->attempt = e->attempt;
    w->journal.again++;
    world_later(w, world_below(w, 2000), go_on, (int)host, j->job, 0, 0);
}

void client_cancel(struct world *w, uint32_t host, struct client_job *job) {
    job->cancelled = true;
    journal_line(w, (int)host, "job %llx is cancelled", (unsigned long long)job->job);
    host_step(w, host, &(struct node_event){.type = NODE_JOB_CANCEL, .job = job->job});
}

/* ---- answers ---- */

static struct client_request *find_request(struct client *c, uint64_t id) {
    for (uint32_t i = 0; i < c->request_count; i++)
        if (c->requests[i].id == id) return &c->requests[i];
    return NULL;
}

static bool on_known_hosts(const struct world *w, const struct wire_plan *plan) {
    for (uint32_t i = 0; i < plan->member_count; i++)
        if (plan->members[i].node == 0) return false;
    return wire_plan_valid(plan);
}

static void check_result(struct world *w, uint32_t host, const struct client_request *r, const struct node_effect *e) {
    const char *name = w->hosts[host].name;
    if (r->asked == ASKED_PLAN && e->code == 0)
        RULE(w, e->result && (e->result->fits ? on_known_hosts(w, &e->result->plan) : e->result->reason[0] != 0),
             "replies are whole", "node %s replies to a plan without one", name);
    if (r->asked == ASKED_LOAD && e->code == 0)
        RULE(w, e->result && e->result->fits && e->instance != 0, "replies are whole",
             "node %s has loaded something that has no plan", name);
    if (r->asked == ASKED_HEADER && e->code == 0)
        RULE(w, r->bytes == client_header_bytes(r->model), "replies are whole", "node %s got %llu bytes of a header",
             name, (unsigned long long)r->bytes);
}

void client_reply(struct world *w, uint32_t host, const struct node_effect *e) {
    static const char *const words[] = {"plan", "load", "stop", "header"};
    struct client *c = &w->hosts[host].client;
    struct client_request *r = find_request(c, e->request);
    RULE(w, r, "every request ends exactly once", "node %s replies to request %llx, which is not open",
         w->hosts[host].name, (unsigned long long)e->request);
    RULE(w, e->text && (e->code == 0 || e->text[0]), "replies are whole", "node %s fails without a text",
         w->hosts[host].name);
    if (!r || w->journal.broken) return;
    check_result(w, host, r, e);
    journal_mix(w, (uint64_t)e->code);
    journal_line(w, (int)host, "%s replied: %d %s", words[r->asked], e->code, e->text);
    c->last_request = r->id;
    c->last_code = e->code;
    c->last_instance = e->instance;
    c->last_fits = e->result && e->result->fits;
    *r = c->requests[--c->request_count];
}

void client_header_piece(struct world *w, uint32_t host, const struct node_effect *e) {
    struct client_request *r = find_request(&w->hosts[host].client, e->request);
    bool expected = r && r->asked == ASKED_HEADER && e->offset == r->bytes && e->len > 0 &&
                    e->total == client_header_bytes(r->model) && e->len <= e->total - e->offset;
    RULE(w, expected, "headers come whole and in order", "node %s got a piece that does not follow",
         w->hosts[host].name);
    if (!expected) return;
    for (uint32_t i = 0; i < e->len; i++)
        RULE(w, e->bytes[i] == client_header_byte(r->model, e->offset + i), "headers come whole and in order",
             "node %s got other bytes", w->hosts[host].name);
    r->bytes += e->len;
}

void client_tokens(struct world *w, uint32_t host, const struct node_effect *e) {
    const struct wire_job_tokens *t = e->tokens;
    struct client_job *j = find_job(&w->hosts[host].client, t->job);
    RULE(w, j, "every job ends exactly once", "node %s gives tokens of job %llx, which is not open",
         w->hosts[host].name, (unsigned long long)t->job);
    if (!j) return;
    RULE(w, t->first == j->next && t->count > 0, "tokens come without gap or repeat",
         "job %llx has %u tokens and gets those from %u on", (unsigned long long)t->job, j->next, t->first);
    for (uint32_t i = 0; i < t->count; i++)
        RULE(w, t->tokens[i] == engine_token(j->seed, t->first + i), "tokens come without gap or repeat",
             "token %u of job %llx is another one", t->first + i, (unsigned long long)t->job);
    j->next += t->count;
    j->heard_us = w->now_us;
    journal_mix(w, j->next);
}

void client_end(struct world *w, uint32_t host, const struct node_effect *e) {
    static const char *const words[] = {"stop", "length", "cancelled", "failed"};
    const struct wire_job_end *end = e->end;
    struct client *c = &w->hosts[host].client;
    struct client_job *j = find_job(c, end->job);
    RULE(w, j, "every job ends exactly once", "node %s ends job %llx, which is not open", w->hosts[host].name,
         (unsigned long long)end->job);
    if (!j) return;
    bool whole = end->reason != WIRE_JOB_LENGTH || (j->next == j->tokens_max && end->tokens == j->next);
    RULE(w, whole, "a job that succeeds has all its tokens", "job %llx ends well with %u tokens of %u",
         (unsigned long long)end->job, j->next, j->tokens_max);
    RULE(w, end->reason != WIRE_JOB_CANCELLED || j->cancelled, "a job that succeeds has all its tokens",
         "job %llx was cancelled by nobody", (unsigned long long)end->job);
    RULE(w, end->reason != WIRE_JOB_FAILED || (end->code != 0 && end->text[0]), "replies are whole",
         "job %llx fails without a reason", (unsigned long long)end->job);
    journal_line(w, (int)host, "job %llx ends after %u tokens: %s %s", (unsigned long long)end->job, j->next,
                 words[end->reason], end->text);
    c->last_job = j->job;
    c->last_tokens = j->next;
    c->last_reason = end->reason;
    *j = c->jobs[--c->job_count];
}
