/* One answer of a reply: a job of its own, whose tokens become text and pieces here. The job that holds the client's
 * exchange is its leader, which is never submitted itself. */
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "node/gateway_private.h"

enum { PARTS_AT_ONCE = 8 };

static const struct gateway_dialect dialect_part;

/* ---- pieces ---- */

static void write_piece(struct gateway_job *part, struct api_piece *piece) {
    struct gateway_job *leader = part->leader;
    piece->answer = &part->answer;
    piece->tokens = json_array_size(part->tokens_new) > 0 ? part->tokens_new : NULL;
    if (leader->api.stream && leader->x) {
        struct text out = {0};
        words__begin(leader);
        leader->words->piece(&leader->api, &leader->reply, piece, &out);
        words__write(leader, &out);
    }
    json_array_clear(part->tokens_new);
}

static void on_text(void *context, bool thought, const char *text, size_t len) {
    struct gateway_job *part = context;
    text_add(thought ? &part->answer.thoughts : &part->answer.content, text, len);
    write_piece(part,
                &(struct api_piece){.kind = thought ? API_PIECE_THOUGHT : API_PIECE_TEXT, .text = text, .len = len});
}

static void on_call(void *context, const char *name, const char *arguments) {
    struct gateway_job *part = context;
    char id[32];
    uint64_t random;
    gnutls_rnd(GNUTLS_RND_NONCE, &random, sizeof random);
    snprintf(id, sizeof id, "call_%016llx", (unsigned long long)random);
    json_t *call = json_pack("{s:s, s:s, s:s}", "id", id, "name", name, "arguments", arguments);
    if (part->answer.calls == NULL) part->answer.calls = json_array();
    json_array_append_new(part->answer.calls, call);
    write_piece(part, &(struct api_piece){.kind = API_PIECE_CALL, .call = call});
}

static void show(struct gateway_job *part, const char *text, size_t len) {
    if (part->splits)
        splitter_add(&part->splitter, text, len);
    else if (len > 0)
        on_text(part, false, text, len);
}

/* ---- log probabilities ---- */

static json_t *logprob_json(const struct gateway_job *part, uint32_t id, double logprob) {
    struct text bytes = {0};
    tokenizer_decode(part->card->tokenizer, id, true, false, &bytes);
    json_t *list = json_array();
    for (size_t i = 0; i < bytes.len; i++) json_array_append_new(list, json_integer((unsigned char)bytes.data[i]));
    json_t *token = json_pack("{s:o, s:o, s:o}", "token", write_string(text_str(&bytes)), "logprob",
                              logprob > -9999 ? json_real(logprob) : json_real(-9999), "bytes", list);
    text_deinit(&bytes);
    return token;
}

static void add_token(struct gateway_job *part, json_t *token) {
    if (part->answer.tokens == NULL) part->answer.tokens = json_array();
    if (part->tokens_new == NULL) part->tokens_new = json_array();
    json_array_append(part->answer.tokens, token);
    json_array_append_new(part->tokens_new, token);
}

/* A row of pairs (token, log probability), the token's own first. */
static void take_logprobs(struct gateway_job *part, const uint8_t *row, size_t len) {
    json_t *tops = json_array(), *token = NULL;
    for (size_t at = 0; at + 8 <= len; at += 8) {
        uint32_t id;
        float value;
        memcpy(&id, row + at, sizeof id);
        memcpy(&value, row + at + 4, sizeof value);
        if (id >= tokenizer_count(part->card->tokenizer)) continue;
        json_t *entry = logprob_json(part, id, value);
        if (at == 0)
            token = entry;
        else
            json_array_append_new(tops, entry);
    }
    if (token) {
        json_object_set(token, "top_logprobs", tops);
        add_token(part, token);
    }
    json_decref(tops);
}

void parts_row(struct gateway_job *part, const struct wire_job_rows *row) {
    if (part->leader->api.task == API_EMBED) {
        uint32_t width = part->card->model.params.embd;
        if (part->answer.vector == NULL) part->answer.vector = calloc(width, sizeof(float));
        if (part->answer.vector == NULL || row->offset + (uint64_t)row->len > width * sizeof(float)) return;
        memcpy((uint8_t *)part->answer.vector + row->offset, row->bytes, row->len);
        part->answer.width = width;
    } else if ((row->position >= part->ids.count || row->position >= part->given) && row->position >= part->row_next) {
        part->row_next = row->position + 1; /* another attempt says again what this one's token did not follow */
        take_logprobs(part, row->bytes, row->len);
    }
}

/* ---- tokens ---- */

/* Bytes of a token; of control tokens only those that the reply cannot be read without. */
static void decode(const struct gateway_job *part, uint32_t id, bool first, struct text *bytes) {
    const struct tokenizer *t = part->card->tokenizer;
    tokenizer_decode(t, id, false, first, bytes);
    if (bytes->len > 0 || !part->splits) return;
    struct gguf_string piece = tokenizer_piece(t, id);
    if (chat_form_marks(part->splitter.form, piece.data, piece.len)) text_add(bytes, piece.data, piece.len);
}

static void take_token(struct gateway_job *part, uint32_t id) {
    struct text bytes = {0}, text = {0};
    const struct api_job *a = &part->leader->api;
    bool first = part->answer.completion_tokens == 1 && !a->continues && a->grammar_kind != GRAMMAR_GBNF;
    decode(part, id, first, &bytes);
    part->answer.thought_tokens += part->splits && part->splitter.state == SPLIT_THOUGHT;
    bool stop = stops_add(&part->stops, text_str(&bytes), bytes.len, &text);
    words__begin(part->leader);
    if (part->answer.ids) json_array_append_new(part->answer.ids, json_integer(id));
    show(part, text_str(&text), text.len);
    if (stop) gateway__cancel(part);
    text_deinit(&bytes);
    text_deinit(&text);
}

/* ---- beginning ---- */

/* The prompt stands before its answer. */
static void echo(struct gateway_job *part, const json_t *given) {
    struct text text = {0};
    if (json_is_string(given)) text_add(&text, json_string_value(given), json_string_length(given));
    for (size_t i = 0; i < part->ids.count && !json_is_string(given); i++)
        tokenizer_decode(part->card->tokenizer, part->ids.ids[i], false, i == 0, &text);
    if (part->leader->api.logprobs > 0 && part->ids.count > part->given) {
        json_t *first = logprob_json(part, part->ids.ids[part->given], 0);
        json_object_set_new(first, "logprob", json_null());
        json_object_set_new(first, "top_logprobs", json_array());
        if (part->given == 0)
            add_token(part, first);
        else
            json_decref(first);
    }
    part->echoed = text;
}

static void tell_echo(struct gateway_job *part) {
    if (part->echoed.len > 0) {
        words__begin(part->leader);
        on_text(part, false, part->echoed.data, part->echoed.len);
    }
    text_deinit(&part->echoed);
}

static void choose_rows(struct gateway_job *part) {
    const struct api_job *a = &part->leader->api;
    uint32_t count = (uint32_t)part->ids.count;
    part->rows_end = part->rows_begin = count;
    if (a->task == API_EMBED) part->rows_begin = part->card->model.pooling == MODEL_POOLING_LAST ? count - 1 : 0;
    if (a->echo && a->logprobs > 0) part->rows_begin = 0;
}

static void choose_length(struct gateway_job *part) {
    const struct gateway_job *leader = part->leader;
    uint32_t room = leader->target.context - (uint32_t)part->ids.count;
    part->api.tokens_max = leader->api.task == API_EMBED   ? 0
                           : leader->api.tokens_max < room ? leader->api.tokens_max
                                                           : room;
}

static struct gateway_job *add_part(struct gateway_job *leader, uint32_t index) {
    struct gateway_job *part = gateway__add(leader->daemon, &dialect_part);
    uint32_t prompt = index / leader->api.answers;
    const struct prompt *from = &leader->prompts.list[prompt];
    part->leader = leader;
    part->words = leader->words;
    part->target = leader->target;
    part->came = leader->came;
    part->card = card_hold(leader->card);
    part->answer.index = index;
    part->answer.prompt = prompt;
    part->given = from->given;
    for (size_t i = 0; i < from->ids.count; i++) token_list_add(&part->ids, from->ids.ids[i]);
    part->seed = leader->api.seed + prng_mix(index % leader->api.answers) * (index % leader->api.answers > 0);
    choose_length(part);
    choose_rows(part);
    stops_init(&part->stops, leader->api.stops, leader->api.stop_count);
    part->splits = leader->api.messages != NULL;
    if (part->splits)
        splitter_init(&part->splitter, chat_form(part->card->chat), leader->api.tools, leader->prompts.thinks,
                      &(struct splitter_listener){part, on_text, on_call});
    if (leader->api.tell_context) {
        part->answer.ids = json_array();
        for (size_t i = 0; i < part->ids.count; i++)
            json_array_append_new(part->answer.ids, json_integer(part->ids.ids[i]));
    }
    if (leader->api.echo) echo(part, json_array_get(leader->api.prompts, prompt));
    leader->parts_running++;
    return part;
}

/* While parts are submitted, some may end at once: the leader stays as long as it is working. */
void parts_start(struct gateway_job *leader) {
    leader->working = true;
    while (leader->x && !leader->gone && leader->parts_running < PARTS_AT_ONCE &&
           leader->parts_next < leader->reply.count)
        gateway__submit(add_part(leader, leader->parts_next++));
    leader->working = false;
}

static void deliver_more(struct letter *letter) {
    struct gateway_job *leader =
        (struct gateway_job *)(void *)((char *)letter - offsetof(struct gateway_job, parts_more));
    leader->parts_posted = leader->working = false;
    parts_start(leader);
    gateway__drop_if_done(leader);
}

/* In the middle of a step of the node, the next ones begin after it. */
static void start_more(struct gateway_job *leader) {
    if (leader->parts_posted || leader->parts_next == leader->reply.count) return;
    leader->parts_posted = leader->working = true;
    leader->parts_more.deliver = deliver_more;
    mailbox_post(&leader->daemon->mailbox, &leader->parts_more);
}

/* ---- the end ---- */

static void leave(struct gateway_job *part) {
    part->leader->parts_running--;
    part->leader = NULL;
}

static void finish_part(struct gateway_job *part) {
    struct gateway_job *leader = part->leader;
    struct text rest = {0};
    tell_echo(part);
    if (!part->stops.stopped) stops_finish(&part->stops, &rest);
    show(part, text_str(&rest), rest.len);
    text_deinit(&rest);
    if (part->splits) splitter_finish(&part->splitter);
    part->answer.stop = part->stops.stopped ? part->stops.found : NULL;
    if (leader->x) words__answered(leader, &part->answer);
    leader->reply.answers[part->answer.index] = part->answer;
    part->answer = (struct api_answer){0};
    leave(part);
    if (++leader->parts_done == leader->reply.count && leader->x)
        words__finish(leader);
    else if (leader->x)
        start_more(leader);
}

/* One failure ends the reply; what else runs for it is told to stop. */
static void fail_part(struct gateway_job *part, const struct api_error *error) {
    struct gateway_job *leader = part->leader;
    leave(part);
    if (leader->x == NULL) return;
    gateway__fail(leader, error);
    parts_cancel(leader);
}

void parts_cancel(struct gateway_job *leader) {
    for (struct gateway_job *j = leader->daemon->jobs; j; j = j->next) {
        if (j->leader != leader) continue;
        j->gone = true;
        gateway__cancel(j);
    }
}

void parts_deinit(struct gateway_job *j) {
    splitter_deinit(&j->splitter);
    stops_deinit(&j->stops);
    text_deinit(&j->echoed);
    json_decref(j->tokens_new);
    api_answer_deinit(&j->answer);
    for (uint32_t i = 0; i < j->reply.count; i++) api_answer_deinit(&j->reply.answers[i]);
    free(j->reply.answers);
    prompts_deinit(&j->prompts);
}

static void begin_part(struct gateway_job *part, uint32_t id) {
    tell_echo(part);
    take_token(part, id);
}

static const struct gateway_dialect dialect_part = {.token = begin_part, .finish = finish_part, .fail = fail_part};
