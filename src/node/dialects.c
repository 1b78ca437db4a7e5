/* How the gateway's requests are read and its replies written: the dialects of src/api. */
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/openai/responses.h"
#include "node/gateway_private.h"
#include "os/clock.h"

enum { BEAT_AFTER_US = 5000000 };

/* ---- reading ---- */

/* A seed for who gave none: each answer is another one. */
static uint64_t random_seed(void) {
    uint64_t seed = 0;
    gnutls_rnd(GNUTLS_RND_NONCE, &seed, sizeof seed);
    return seed;
}

static int read_words(struct gateway_job *j) {
    size_t len;
    const char *body = http_body(j->x, &len);
    int status = j->words->read(&j->api, body, len, &j->error);
    if (status) return status;
    if (!j->api.has_seed) j->api.seed = random_seed();
    snprintf(j->reply.id, sizeof j->reply.id, "%s%.32s", j->words->id_prefix, http_request_id(j->x));
    j->reply.created_s = (int64_t)time(NULL);
    j->reply.model = j->api.model;
    return 0;
}

/* ---- writing ---- */

void words__write(struct gateway_job *j, struct text *text) {
    if (j->x && text->len > 0 && http_stream_write(j->x, text_str(text), text->len) != 0) {
        j->gone = true;
        parts_cancel(j);
    }
    text_deinit(text);
}

/* For the access log. */
static void note_usage(struct gateway_job *j) {
    uint32_t prompt = 0, completion = 0;
    for (uint32_t i = 0; i < j->reply.count; i++) {
        if (i % j->api.answers == 0) prompt += j->reply.answers[i].prompt_tokens;
        completion += j->reply.answers[i].completion_tokens;
    }
    if (j->x && j->target.name[0]) http_note(j->x, j->target.name, prompt, completion);
}

static void end_stream(struct gateway_job *j) {
    http_stream_end(j->x);
    j->x = NULL;
}

static void open_stream(struct gateway_job *j) {
    if (j->opened) return;
    j->opened = true;
    http_stream_begin(j->x, j->words->stream_type);
}

void words__begin(struct gateway_job *j) {
    struct text out = {0};
    if (j->begun || !j->api.stream || j->x == NULL) return;
    j->begun = true;
    open_stream(j);
    j->words->begin(&j->api, &j->reply, &out);
    words__write(j, &out);
}

void words__answered(struct gateway_job *j, const struct api_answer *a) {
    struct text out = {0};
    if (!j->api.stream) return;
    words__begin(j);
    if (j->words->answered) j->words->answered(&j->api, &j->reply, a, &out);
    words__write(j, &out);
}

static void remember(struct gateway_job *j) {
    struct text response = {0};
    j->words->whole(&j->api, &j->reply, &response);
    turns_keep(&j->daemon->turns, j->reply.id, responses_turns(&j->api, &j->reply), text_str(&response));
    text_deinit(&response);
}

void words__finish(struct gateway_job *j) {
    struct text out = {0};
    j->reply.total_us = clock_us() - j->reply.begin_us;
    note_usage(j);
    if (j->api.remember) remember(j);
    if (j->api.stream) {
        words__begin(j);
        j->words->end(&j->api, &j->reply, &out);
        words__write(j, &out);
        end_stream(j);
        return;
    }
    j->words->whole(&j->api, &j->reply, &out);
    gateway__reply(j, 200, "application/json", text_str(&out), out.len);
    text_deinit(&out);
}

static void fail_words(struct gateway_job *j, const struct api_error *error) {
    struct text out = {0};
    note_usage(j);
    if (j->opened) {
        j->words->stream_error(error, &out);
        words__write(j, &out);
        end_stream(j);
        return;
    }
    j->words->error(error, &out);
    gateway__reply(j, error->status, "application/json", text_str(&out), out.len);
    text_deinit(&out);
}

/* ---- waiting ---- */

/* A model that loads, or a long prompt, must not look like a dead connection: a comment of the stream says that
 * somebody is there. From then on an error is an event of the stream. Lines of JSON have no comments. */
static bool wants_beat(const struct gateway_job *j, uint64_t now_us) {
    if (j->words == NULL || j->leader || j->x == NULL || j->working || j->gone || j->begun || !j->api.stream)
        return false;
    return now_us - j->reply.begin_us > BEAT_AFTER_US && strcmp(j->words->stream_type, "text/event-stream") == 0;
}

void gateway_beat(struct daemon *d) {
    uint64_t now_us = clock_us();
    for (struct gateway_job *j = d->jobs; j; j = j->next) {
        struct text beat = {0};
        if (!wants_beat(j, now_us)) continue;
        open_stream(j);
        text_add_str(&beat, ": still at it\n\n");
        words__write(j, &beat);
    }
}

/* ---- the way between ---- */

static void start_words(struct gateway_job *j) {
    struct api_reply *r = &j->reply;
    if (j->api.load_only) {
        gateway__submit(j); /* without a prompt */
        return;
    }
    r->count = j->prompts.count * j->api.answers;
    r->answers = calloc(r->count + 1, sizeof *r->answers);
    if (r->answers == NULL) r->count = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        r->answers[i].index = i;
        r->answers[i].prompt = i / j->api.answers;
        r->answers[i].prompt_tokens = (uint32_t)j->prompts.list[i / j->api.answers].ids.count;
    }
    if (j->api.task == API_COUNT || r->count == 0)
        words__finish(j);
    else
        parts_start(j);
}

const struct gateway_dialect dialect_words = {
    .read = read_words, .start = start_words, .finish = words__finish, .fail = fail_words};
