/* chat, generate, embed, embeddings. */
#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/messages.h"
#include "api/ollama/fields.h"
#include "api/ollama/ollama.h"
#include "api/tools.h"
#include "api/vectors.h"
#include "api/write.h"

/* ---- reading ---- */

static int read_message(const json_t *given, size_t i, json_t *messages, struct api_error *e) {
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    const json_t *content = body_get(given, "content"), *thinking = body_get(given, "thinking"),
                 *calls = body_get(given, "tool_calls"), *call;
    const char *role = json_string_value(json_object_get(given, "role"));
    char param[64];
    size_t k = 0;
    while (role && k < sizeof roles / sizeof *roles && strcmp(role, roles[k]) != 0) k++;
    snprintf(param, sizeof param, "messages[%zu]", i);
    if (role == NULL || k == sizeof roles / sizeof *roles)
        return body_wrong(e, param, "needs a 'role' of system, user, assistant or tool");
    if (content && !json_is_string(content)) return body_wrong(e, param, "needs a text as 'content'");
    json_array_foreach(calls, k, call) if (!json_is_string(json_object_get(
                                               json_object_get(call, "function"),
                                               "name"))) return body_wrong(e, param, "has a call without a name");
    json_t *message =
        json_pack("{s:s, s:o}", "role", role, "content", content ? json_deep_copy(content) : json_string(""));
    if (json_is_string(thinking)) json_object_set_new(message, "reasoning_content", json_deep_copy(thinking));
    if (json_array_size(calls) > 0) json_object_set_new(message, "tool_calls", json_deep_copy(calls));
    if (json_is_string(json_object_get(given, "tool_name")))
        json_object_set(message, "name", json_object_get(given, "tool_name"));
    json_array_append_new(messages, message);
    return ollama__refuse_images(given, param, e);
}

static int read_messages(struct api_job *job, struct api_error *e) {
    const json_t *given = body_get(job->body, "messages"), *message;
    json_t *messages = (json_t *)(uintptr_t)body_make(job, "messages", json_array());
    size_t i;
    if (given && !json_is_array(given)) return body_wrong(e, "messages", "must be an array");
    job->load_only = json_array_size(given) == 0;
    json_array_foreach(given, i, message) {
        int status = read_message(message, i, messages, e);
        if (status) return status;
    }
    job->messages = messages;
    job->continues = messages_are_open(messages);
    return 0;
}

static int read_chat(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    int status = body_parse(job, text, len, e);
    if (status == 0) status = ollama__read_common(job, e);
    if (status == 0) status = read_messages(job, e);
    return status ? status : tools_read(job, job->body, e);
}

static int read_string(const json_t *object, const char *key, const char **out, struct api_error *e) {
    const json_t *value = body_get(object, key);
    if (value && !json_is_string(value)) return body_wrong(e, key, "must be a string");
    if (value && json_string_length(value) > 0) *out = json_string_value(value);
    return 0;
}

/* Without `raw` the prompt is what a user says. */
static void make_chat(struct api_job *job, const char *prompt, const char *system) {
    json_t *messages = json_array();
    if (system) json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", system));
    json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", prompt));
    job->messages = body_make(job, "messages", messages);
}

static int read_context(struct api_job *job, struct api_error *e) {
    const json_t *context = body_get(job->body, "context"), *id;
    size_t i;
    bool good = context == NULL || json_is_array(context);
    json_array_foreach(context, i, id) good = good && json_is_integer(id) && json_integer_value(id) >= 0;
    if (!good) return body_wrong(e, "context", "must be the 'context' of an earlier answer");
    if (json_array_size(context) > 0) job->context = context;
    job->tell_context = true;
    return 0;
}

static int read_generate(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    const char *prompt = NULL, *system = NULL, *template = NULL;
    bool raw = false;
    int status = body_parse(job, text, len, e);
    if (status == 0) status = ollama__read_common(job, e);
    if (status == 0) status = read_string(job->body, "prompt", &prompt, e);
    if (status == 0) status = read_string(job->body, "system", &system, e);
    if (status == 0) status = read_string(job->body, "suffix", &job->suffix, e);
    if (status == 0) status = read_string(job->body, "template", &template, e);
    if (status == 0) status = body_bool(job->body, "raw", &raw, e);
    if (status == 0) status = ollama__refuse_images(job->body, "images", e);
    if (status == 0) status = read_context(job, e);
    if (status == 0 && template)
        status = body_wrong(e, "template", "is not supported: the model's own is used, or none with 'raw'");
    if (status == 0 && raw && system)
        status = body_wrong(e, "system", "has no place beside 'raw': write it into the prompt");
    if (status) return status;
    job->load_only = prompt == NULL && job->suffix == NULL;
    if (raw || job->suffix)
        job->prompts = body_make(job, "prompts", json_pack("[s]", prompt ? prompt : ""));
    else
        make_chat(job, prompt ? prompt : "", system);
    return 0;
}

static int read_embed(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    job->task = API_EMBED;
    int status = body_parse(job, text, len, e);
    if (status == 0) status = ollama__read_model(job, e);
    const json_t *input = status ? NULL : body_get(job->body, "input");
    job->load_only = status == 0 && (input == NULL || (json_is_array(input) && json_array_size(input) == 0) ||
                                     (json_is_string(input) && json_string_length(input) == 0));
    if (status == 0 && !job->load_only) status = body_prompts(job, "input", e);
    if (status == 0) status = body_bool(job->body, "truncate", &job->truncates, e);
    return status ? status : body_count(job->body, "dimensions", 1, &job->dimensions, e);
}

static int read_embeddings(struct api_job *job, const char *text, size_t len, struct api_error *e) {
    const char *prompt = NULL;
    job->task = API_EMBED;
    int status = body_parse(job, text, len, e);
    if (status == 0) status = ollama__read_model(job, e);
    if (status == 0) status = read_string(job->body, "prompt", &prompt, e);
    job->load_only = prompt == NULL;
    job->prompts = prompt ? body_make(job, "prompts", json_pack("[s]", prompt)) : NULL;
    return status;
}

/* ---- writing ---- */

static bool is_chat(const struct api_job *job) { return !job->tell_context; }

static json_t *calls_json(const json_t *calls) {
    json_t *all = json_array();
    const json_t *call;
    size_t i;
    json_array_foreach(calls, i, call) {
        const json_t *text = json_object_get(call, "arguments");
        json_t *arguments = json_loadb(json_string_value(text), json_string_length(text), 0, NULL);
        json_array_append_new(all, json_pack("{s:O, s:{s:i, s:O, s:o}}", "id", json_object_get(call, "id"), "function",
                                             "index", (int)i, "name", json_object_get(call, "name"), "arguments",
                                             arguments ? arguments : json_object()));
    }
    return all;
}

/* The part of a line that says something. */
struct said {
    const char *text, *thoughts;
    size_t text_len, thoughts_len;
    const json_t *calls, *tokens;
};

static json_t *line_json(const struct api_job *job, const struct api_reply *r, const struct said *s, bool done) {
    char time[OLLAMA_TIME_BYTES];
    json_t *line =
        json_pack("{s:o, s:s}", "model", ollama_name(r->model), "created_at", ollama_time(r->created_s, time));
    json_t *said = is_chat(job) ? json_pack("{s:s}", "role", "assistant") : line;
    json_object_set_new(said, is_chat(job) ? "content" : "response", json_stringn(s->text ? s->text : "", s->text_len));
    if (s->thoughts_len > 0) json_object_set_new(said, "thinking", json_stringn(s->thoughts, s->thoughts_len));
    if (json_array_size(s->calls) > 0) json_object_set_new(said, "tool_calls", calls_json(s->calls));
    if (is_chat(job)) json_object_set_new(line, "message", said);
    if (s->tokens) json_object_set(line, "logprobs", (json_t *)(uintptr_t)s->tokens);
    json_object_set_new(line, "done", json_boolean(done));
    return line;
}

static json_int_t ns(uint64_t us) { return (json_int_t)us * 1000; }

/* What it cost, at the end of the last line. */
static void add_account(const struct api_job *job, const struct api_reply *r, json_t *line) {
    const struct api_answer *a = r->count ? &r->answers[0] : NULL;
    const char *reason = a == NULL                 ? (job->keep_alive_s == 0 ? "unload" : "load")
                         : a->finish == API_LENGTH ? "length"
                                                   : "stop";
    json_object_set_new(line, "done_reason", json_string(reason));
    if (a == NULL) return;
    if (a->ids) json_object_set(line, "context", a->ids);
    json_object_set_new(line, "total_duration", json_integer(ns(r->total_us)));
    json_object_set_new(line, "load_duration", json_integer(ns(r->load_us)));
    json_object_set_new(line, "prompt_eval_count", json_integer(a->prompt_tokens));
    json_object_set_new(line, "prompt_eval_duration", json_integer(ns(a->first_token_us)));
    json_object_set_new(line, "eval_count", json_integer(a->completion_tokens));
    json_object_set_new(line, "eval_duration", json_integer(ns(a->decode_us)));
}

static void begin_nothing(const struct api_job *job, struct api_reply *r, struct text *out) {}

static void write_piece(const struct api_job *job, struct api_reply *r, const struct api_piece *p, struct text *out) {
    struct said said = {.tokens = p->tokens};
    json_t *calls = p->kind == API_PIECE_CALL ? json_pack("[O]", p->call) : NULL;
    said.calls = calls;
    if (p->kind == API_PIECE_TEXT) said.text = p->text, said.text_len = p->len;
    if (p->kind == API_PIECE_THOUGHT) said.thoughts = p->text, said.thoughts_len = p->len;
    write_line(out, line_json(job, r, &said, false));
    json_decref(calls);
}

static void write_end(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *line = line_json(job, r, &(struct said){0}, true);
    add_account(job, r, line);
    write_line(out, line);
}

static void write_whole(const struct api_job *job, struct api_reply *r, struct text *out) {
    struct said said = {0};
    const struct api_answer *a = r->count ? &r->answers[0] : NULL;
    if (a)
        said = (struct said){
            text_str(&a->content), text_str(&a->thoughts), a->content.len, a->thoughts.len, a->calls, a->tokens};
    json_t *line = line_json(job, r, &said, true);
    add_account(job, r, line);
    write_json(out, line);
}

static void write_embed(const struct api_job *job, struct api_reply *r, struct text *out) {
    json_t *vectors = json_array();
    for (uint32_t i = 0; i < r->count; i++) json_array_append_new(vectors, vectors_json(job, &r->answers[i]));
    write_json(out, json_pack("{s:o, s:o, s:I, s:I, s:I}", "model", ollama_name(r->model), "embeddings", vectors,
                              "total_duration", ns(r->total_us), "load_duration", ns(r->load_us), "prompt_eval_count",
                              (json_int_t)api_reply_usage(r).prompt));
}

static void write_embeddings(const struct api_job *job, struct api_reply *r, struct text *out) {
    write_json(out, json_pack("{s:o}", "embedding", r->count ? vectors_json(job, &r->answers[0]) : json_array()));
}

static void write_stream_error(const struct api_error *e, struct text *out) {
    ollama_write_error(e, out);
    text_add_str(out, "\n");
}

#define LINES                                                                                                          \
    .stream_type = "application/x-ndjson", .begin = begin_nothing, .piece = write_piece, .end = write_end,             \
    .whole = write_whole, .stream_error = write_stream_error, .error = ollama_write_error

const struct api_dialect ollama_chat = {.id_prefix = "", .read = read_chat, LINES};
const struct api_dialect ollama_generate = {.id_prefix = "", .read = read_generate, LINES};
const struct api_dialect ollama_embed = {.id_prefix = "",
                                         .read = read_embed,
                                         .whole = write_embed,
                                         .stream_error = write_stream_error,
                                         .error = ollama_write_error};
const struct api_dialect ollama_embeddings = {.id_prefix = "",
                                              .read = read_embeddings,
                                              .whole = write_embeddings,
                                              .stream_error = write_stream_error,
                                              .error = ollama_write_error};
