#include "node/gateway.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/openai/responses.h"
#include "node/gateway_private.h"
#include "node/limits.h"
#include "node/stay.h"
#include "node/views.h"
#include "os/clock.h"

/* ---- the list of jobs ---- */

struct gateway_job *gateway__find(struct daemon *d, uint64_t number) {
    for (struct gateway_job *j = d->jobs; j; j = j->next)
        if (j->number == number) return j;
    return NULL;
}

struct gateway_job *gateway__add(struct daemon *d, const struct gateway_dialect *dialect) {
    struct gateway_job *j = calloc(1, sizeof *j);
    assert(j != NULL);
    *j = (struct gateway_job){.next = d->jobs, .daemon = d, .number = ++d->next_job, .dialect = dialect};
    api_job_init(&j->api);
    d->jobs = j;
    return j;
}

/* Somebody waits for its end. */
static bool waits(const struct gateway_job *j) { return j->x || j->bench || j->leader; }

void gateway__drop_if_done(struct gateway_job *j) {
    if (j->working || j->header_asked || j->loading || waits(j) || j->parts_running > 0 || (j->submitted && !j->ended))
        return;
    for (struct gateway_job **at = &j->daemon->jobs; *at; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    parts_deinit(j);
    text_deinit(&j->content);
    token_list_deinit(&j->ids);
    token_list_deinit(&j->log);
    api_job_deinit(&j->api);
    card_release(j->card);
    free(j);
}

void gateway__reply(struct gateway_job *j, int status, const char *type, const void *body, size_t len) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", limits_retry_after_s(j->daemon));
    if (status == 429) http_set_header(j->x, "Retry-After", seconds);
    http_reply(j->x, status, type, body, len);
    j->x = NULL;
}

void gateway__fail(struct gateway_job *j, const struct api_error *error) {
    if (j->late) limits_set_late(j);
    if (j->gone && j->x && !j->late)
        gateway__reply(j, 499, "application/json", "", 0);
    else if (waits(j))
        j->dialect->fail(j, j->late ? &j->error : error);
}

/* ---- the end ---- */

static enum api_finish finish_of(const struct gateway_job *j) {
    if (j->stops.stopped) return API_STOP;
    switch ((enum wire_job_reason)j->end.reason) {
    case WIRE_JOB_STOP: return API_STOP;
    case WIRE_JOB_LENGTH: return API_LENGTH;
    case WIRE_JOB_CANCELLED: return API_CANCELLED;
    case WIRE_JOB_FAILED: break;
    }
    return API_FAILED;
}

static void finish(struct gateway_job *j) {
    enum api_finish how = j->answer.finish;
    if (how == API_FAILED && j->end.code == ERR_BUSY) {
        api_error_set(&j->error, 429, "rate_limit_error", "rate_limit_exceeded", "", "%s: try again later",
                      j->end.text);
        gateway__fail(j, &j->error);
        return;
    }
    if (how == API_FAILED || (how == API_CANCELLED && !j->gone)) {
        api_error_set(&j->error, 503, "server_error", "instance_failed", "", "%s",
                      j->end.text[0] ? j->end.text : "the generation was ended");
        gateway__fail(j, &j->error);
        return;
    }
    j->dialect->finish(j);
}

/* The request asked for nothing that a model would have to do. */
static void end_without_job(struct gateway_job *j) {
    j->ended = true;
    j->end.reason = WIRE_JOB_STOP;
    finish(j);
}

/* ---- the client leaves ---- */

struct departure {
    struct letter letter;
    struct daemon *daemon;
    uint64_t job;
};

void gateway__cancel(struct gateway_job *j) {
    if (j->submitted && !j->ended)
        driver_later(j->daemon, &(struct node_event){.type = NODE_JOB_CANCEL, .job = j->number});
}

static void deliver_departure(struct letter *letter) {
    struct departure *gone = (struct departure *)letter;
    struct gateway_job *j = gateway__find(gone->daemon, gone->job);
    if (j) {
        j->gone = true;
        gateway__cancel(j);
        parts_cancel(j);
    }
    free(gone);
}

/* Server thread. The job may be gone when the letter arrives, so it is named by number. */
static void on_client_left(void *context) {
    const struct gateway_job *j = context;
    struct departure *gone = calloc(1, sizeof *gone);
    if (gone == NULL) return;
    *gone = (struct departure){.letter.deliver = deliver_departure, .daemon = j->daemon, .job = j->number};
    mailbox_post(&j->daemon->mailbox, &gone->letter);
}

/* ---- on the pool: from the request's text to the prompt's tokens ---- */

const struct gateway_target *gateway__find_target(const struct gateway_job *j, const char *name) {
    for (size_t i = 0; i < j->target_count; i++)
        if (strcasecmp(j->targets[i].name, name) == 0) return &j->targets[i];
    for (size_t i = 0; i < j->target_count; i++)
        if (view_is_model(j->targets[i].name, name)) return &j->targets[i];
    return NULL;
}

/* By name; else the word may be another name of a file whose model is loaded. NULL: *error says why, unless the model
 * must be loaded first. */
static const struct gateway_target *resolve(struct gateway_job *j, struct error *error) {
    const struct gateway_target *found = gateway__find_target(j, j->api.model);
    struct card *card;
    if (found || library_open(j->daemon->library, j->api.model, http_local(j->x), LIBRARY_ANY_SIZE, &card, error) != 0)
        return found;
    for (size_t i = 0; i < j->target_count && !found; i++)
        if (memcmp(j->targets[i].fingerprint, card->fingerprint, MODEL_FINGERPRINT_BYTES) == 0) found = &j->targets[i];
    card_release(card);
    j->must_load = found == NULL && j->words != NULL && !j->came;
    if (found == NULL && !j->must_load)
        error_set(error, ERR_NOT_FOUND, "model '%.200s' is not loaded: run `caravan load %.200s` first", j->api.model,
                  j->api.model);
    return found;
}

static int open_card(struct gateway_job *j) {
    struct library *l = j->daemon->library;
    if (j->card == NULL) j->card = library_cached(l, j->target.fingerprint);
    if (j->card == NULL) (void)library_find_here(l, j->target.fingerprint, j->target.name, &j->card, NULL);
    return 0;
}

static int make_prompts(struct gateway_job *j) {
    if (j->api.load_only) return 0;
    if (!j->rows) return prompts_make(&j->prompts, &j->api, j->card, j->target.name, j->target.context, &j->error);
    if (j->ids.count + j->api.tokens_max <= j->target.context) return 0;
    return api_error_set(&j->error, 400, "invalid_request_error", "context_length_exceeded", "tokens",
                         "%zu tokens and %u to generate do not fit in the context of %u", j->ids.count,
                         j->api.tokens_max, j->target.context);
}

/* 0, or an HTTP status with j->error filled. A card that is not here leaves j->card NULL: the header must be fetched.
 */
static int prepare(struct gateway_job *j) {
    int status = j->read ? 0 : j->dialect->read(j);
    if (status) return status;
    j->read = true;
    if (j->api.previous && !j->continued) return 0;
    struct error error = {0};
    const struct gateway_target *target = resolve(j, &error);
    if (j->must_load) return 0;
    if (target == NULL)
        return api_error_set(&j->error, 404, "invalid_request_error", "model_not_found", "model", "%s", error.text);
    j->target = *target;
    open_card(j);
    if (j->card == NULL) return 0;
    return make_prompts(j);
}

static void on_pool(uv_work_t *work) {
    struct gateway_job *j = work->data;
    j->error.status = prepare(j);
}

/* ---- back on the loop ---- */

static void ask_for_header(struct gateway_job *j) {
    j->header_asked = true;
    driver_event(j->daemon, &(struct node_event){.type = NODE_REQUEST_HEADER,
                                                 .request = requests_add_header(j->daemon, j->number),
                                                 .fingerprint = j->target.fingerprint});
}

/* Have the model loaded; who only wants it to go is done. */
static void ask_for_model(struct gateway_job *j) {
    if (j->api.load_only && j->api.keep_alive_s == 0)
        end_without_job(j);
    else
        j->loading = stay_load(j->daemon, j->api.model, http_local(j->x), j->api.context_wanted);
}

static void send_to_pool(struct gateway_job *j);

static void continue_response(struct gateway_job *j) {
    const struct turn *turn = turns_find(&j->daemon->turns, j->api.previous);
    if (turn == NULL) {
        api_error_set(&j->error, 400, "invalid_request_error", "previous_response_not_found", "previous_response_id",
                      "'previous_response_id': this node has no response '%.100s' (any more)", j->api.previous);
        gateway__fail(j, &j->error);
        return;
    }
    json_t *messages = turns_messages(turn);
    responses_continue(&j->api, messages);
    json_decref(messages);
    j->continued = true;
    send_to_pool(j);
}

static void on_prepared(uv_work_t *work, int status) {
    struct gateway_job *j = work->data;
    j->working = false;
    if (j->gone || j->error.status)
        gateway__fail(j, &j->error);
    else if (j->api.previous && !j->continued)
        continue_response(j);
    else if (j->must_load)
        ask_for_model(j);
    else if (j->card == NULL)
        ask_for_header(j);
    else if (j->dialect->start)
        j->dialect->start(j);
    else
        gateway__submit(j);
    gateway__drop_if_done(j);
}

static void send_to_pool(struct gateway_job *j) {
    j->working = true;
    j->work.data = j;
    uv_queue_work(&j->daemon->loop, &j->work, on_pool, on_prepared);
}

void gateway_card(struct daemon *d, uint64_t number, struct card *card, const char *why) {
    struct gateway_job *j = gateway__find(d, number);
    if (j == NULL) return;
    j->header_asked = false;
    if (card) {
        j->card = card_hold(card);
        send_to_pool(j);
        return;
    }
    api_error_set(&j->error, 503, "server_error", NULL, "", "%s", why);
    gateway__fail(j, &j->error);
    gateway__drop_if_done(j);
}

static void snapshot_targets(struct gateway_job *j) {
    struct node_instance_view views[NODE_INSTANCES_MAX];
    size_t count = node_instances(j->daemon->node, views, NODE_INSTANCES_MAX);
    j->target_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (views[i].state != WIRE_READY && views[i].state != WIRE_RECOVERING) continue; /* what recovers will answer */
        struct gateway_target *t = &j->targets[j->target_count++];
        t->instance = views[i].id;
        t->context = views[i].plan->context;
        memcpy(t->name, views[i].plan->model, sizeof t->name);
        memcpy(t->fingerprint, views[i].plan->fingerprint, sizeof t->fingerprint);
    }
}

static int load_status(int code) { return code == ERR_NOT_FOUND ? 404 : code == ERR_INVALID ? 400 : 503; }

static void fail_to_load(struct gateway_job *j, int code, const char *why) {
    int status = load_status(code);
    bool memory = code == ERR_LIMIT || code == ERR_NOMEM;
    api_error_set(&j->error, status, status < 500 ? "invalid_request_error" : "server_error",
                  memory ? "insufficient_memory" : "model_not_loaded", "model", "model '%.200s' cannot be loaded: %s",
                  j->api.model, why);
    gateway__fail(j, &j->error);
}

void gateway_loaded(struct daemon *d, uint64_t loading, int code, const char *why) {
    for (struct gateway_job *j = d->jobs, *next; j; j = next) {
        next = j->next;
        if (j->loading != loading) continue;
        j->loading = 0;
        j->came = true;
        j->must_load = false;
        snapshot_targets(j);
        if (j->gone)
            gateway__fail(j, &j->error);
        else if (code)
            fail_to_load(j, code, why);
        else
            send_to_pool(j);
        gateway__drop_if_done(j);
    }
}

void gateway__start(struct daemon *d, struct http_exchange *x, const struct gateway_dialect *dialect,
                    const struct api_dialect *words) {
    struct gateway_job *j = gateway__add(d, dialect);
    j->words = words;
    j->x = x;
    j->reply.begin_us = clock_us();
    j->client = http_client(x);
    if (!limits_admit(j)) return;
    snapshot_targets(j);
    http_on_close(x, on_client_left, j);
    send_to_pool(j);
}

/* As the request says; a model that came for it stays for the usual time. */
static uint32_t keep_alive_s(const struct gateway_job *j, const struct api_job *a) {
    bool unsaid = a->keep_alive_s == API_KEEP_AS_IT_IS;
    if (unsaid) return j->came ? j->daemon->options.keep_alive_s : WIRE_KEEP_AS_IT_IS;
    return a->keep_alive_s == API_KEEP_FOREVER ? WIRE_KEEP_FOREVER : a->keep_alive_s;
}

/* One attempt: the prompt, and what earlier ones generated. */
static void submit_attempt(struct gateway_job *j, uint32_t *tokens) {
    const struct api_job *a = j->leader ? &j->leader->api : &j->api;
    uint32_t prompt_count = j->rows ? j->rows_end : (uint32_t)j->ids.count, generated = (uint32_t)j->log.count;
    struct wire_bias biases[API_BIASES_MAX];
    if (prompt_count > 0) memcpy(tokens, j->ids.ids, prompt_count * sizeof *tokens);
    if (generated > 0) memcpy(tokens + prompt_count, j->log.ids, generated * sizeof *tokens);
    struct wire_job_submit submit = {
        .job = j->number,
        .attempt = j->attempt,
        .instance = j->target.instance,
        .sampling = {.temperature = a->temperature,
                     .top_k = a->top_k,
                     .top_p = a->top_p,
                     .min_p = a->min_p,
                     .repetition_penalty = a->repetition_penalty,
                     .presence_penalty = a->presence_penalty,
                     .frequency_penalty = a->frequency_penalty,
                     .seed = j->seed},
        .tokens_max = j->api.tokens_max - generated,
        .prompt_count = prompt_count + generated,
        .prompt = tokens,
        .generated = generated,
        .stop_count = j->ignore_stops ? 0 : j->card->stop_count,
        .stops = j->card->stops,
        .kind = a->task == API_EMBED ? WIRE_JOB_EMBEDDING
                : j->rows            ? WIRE_JOB_LOGITS
                                     : WIRE_JOB_TEXT,
        .row_count = j->rows_end > j->rows_begin ? j->rows_end - j->rows_begin + generated : 0,
        .grammar = {.kind = (uint8_t)a->grammar_kind,
                    .len = (uint32_t)a->grammar.len,
                    .text = (uint8_t *)(uintptr_t)text_str(&a->grammar)},
        .logprobs = a->logprobs,
        .bias_count = a->bias_count,
        .biases = biases,
        .client = j->leader ? j->leader->client : j->client,
        .keep_alive_s = keep_alive_s(j, a),
    };
    for (uint32_t i = 0; i < a->bias_count; i++) biases[i] = (struct wire_bias){a->biases[i].token, a->biases[i].bias};
    driver_event(j->daemon, &(struct node_event){.type = NODE_JOB_SUBMIT, .submit = &submit});
}

static void submit(struct gateway_job *j) {
    uint32_t *tokens = malloc((j->ids.count + j->log.count + 1) * sizeof *tokens);
    assert(tokens != NULL);
    submit_attempt(j, tokens);
    free(tokens);
}

void gateway__submit(struct gateway_job *j) {
    j->log.count = 0;
    j->attempt++;
    j->submitted = true;
    j->ended = false;
    j->submitted_us = clock_us();
    if (j->words && !j->api.load_only) metrics_of(&j->daemon->metrics, j->target.name)->waiting++;
    submit(j);
}

/* ---- another attempt ---- */

struct another {
    struct letter letter;
    struct daemon *daemon;
    uint64_t job;
    uint32_t attempt;
};

static void deliver_another(struct letter *letter) {
    struct another *again = (struct another *)letter;
    struct gateway_job *j = gateway__find(again->daemon, again->job);
    if (j && j->submitted && !j->ended) {
        j->attempt = again->attempt;
        submit(j);
    }
    free(again);
}

void gateway_again(struct daemon *d, uint64_t job, uint32_t attempt) {
    struct another *again = calloc(1, sizeof *again);
    assert(again != NULL);
    *again = (struct another){.letter.deliver = deliver_another, .daemon = d, .job = job, .attempt = attempt};
    mailbox_post(&d->mailbox, &again->letter);
}

/* ---- tokens ---- */

static void note_first(struct gateway_job *j) {
    j->first_us = j->last_us;
    if (j->leader) j->leader->heard = true;
    if (j->words == NULL) return;
    struct metrics_model *m = metrics_of(&j->daemon->metrics, j->target.name);
    m->waiting--;
    m->running++;
}

void gateway_tokens(struct daemon *d, const struct wire_job_tokens *tokens) {
    struct gateway_job *j = gateway__find(d, tokens->job);
    if (j == NULL) return;
    uint64_t now = clock_us();
    if (j->words && j->first_us) metrics_token(metrics_of(&d->metrics, j->target.name), now - j->last_us);
    j->last_us = now;
    if (j->first_us == 0) note_first(j);
    for (uint32_t i = 0; i < tokens->count; i++) token_list_add(&j->log, tokens->tokens[i]);
    uint32_t before = j->answer.completion_tokens;
    for (uint32_t i = 0; i < tokens->count && !j->gone && !j->stops.stopped; i++) {
        j->answer.completion_tokens++;
        if (j->dialect->token) j->dialect->token(j, tokens->tokens[i]);
    }
    if (j->words) metrics_of(&d->metrics, j->target.name)->generated_tokens += j->answer.completion_tokens - before;
}

/* The answer's account is closed before its last words are written. */
static void settle(struct gateway_job *j) {
    j->answer.finish = j->gone ? API_CANCELLED : finish_of(j);
    j->answer.prompt_tokens = (uint32_t)j->ids.count;
    j->answer.cached_tokens = j->end.cached_tokens; /* another attempt finds some of what was generated, too */
    if (j->answer.cached_tokens > j->answer.prompt_tokens) j->answer.cached_tokens = j->answer.prompt_tokens;
    j->answer.first_token_us = j->first_us ? j->first_us - j->submitted_us : 0;
    j->answer.decode_us = j->last_us - j->first_us;
    if (j->words == NULL || !j->submitted || j->api.load_only) return;
    struct metrics_model *m = metrics_of(&j->daemon->metrics, j->target.name);
    metrics_end(m, &j->answer, clock_us() - j->submitted_us, j->first_us != 0);
}

void gateway_end(struct daemon *d, const struct wire_job_end *end) {
    struct gateway_job *j = gateway__find(d, end->job);
    if (j == NULL) return;
    struct gateway_job *leader = gateway__leader(j);
    j->ended = true;
    j->end = *end;
    settle(j);
    if (waits(j) && j->gone)
        gateway__fail(j, &j->error);
    else if (waits(j))
        finish(j);
    gateway__drop_if_done(j);
    if (leader) gateway__drop_if_done(leader);
}

/* ---- entrances ---- */

void gateway_generate(struct daemon *d, struct http_exchange *x, const struct api_dialect *words) {
    gateway__start(d, x, &dialect_words, words);
}

void gateway_shut(struct daemon *d, const char *why) {
    for (struct gateway_job *j = d->jobs, *next; j; j = next) {
        next = j->next;
        j->end.reason = WIRE_JOB_FAILED;
        if (j->submitted && !j->ended) settle(j);
        j->ended = true;
        j->header_asked = false;
        j->loading = 0;
        api_error_set(&j->error, 503, "server_error", "shutting_down", "", "%s", why);
        if (!j->working)
            gateway__fail(j, &j->error);
        else
            j->gone = true;
        gateway__drop_if_done(j);
    }
}
