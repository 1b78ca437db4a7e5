#include "node/prompts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/forms.h"
#include "api/tools.h"
#include "model/infill.h"

static const char request_error[] = "invalid_request_error";

static const char *param_of(const struct api_job *job) {
    return job->messages ? "messages" : job->task == API_EMBED ? "input" : "prompt";
}

static void local_time(char out[32]) {
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &parts);
}

static int take_ids(struct prompt *p, const json_t *ids, size_t vocab, struct error *error) {
    size_t i;
    const json_t *id;
    json_array_foreach(ids, i, id) {
        json_int_t value = json_integer_value(id);
        if (value < 0 || (size_t)value >= vocab)
            return error_set(error, ERR_INVALID, "token %lld is outside the vocabulary of %zu", (long long)value,
                             vocab);
        if (token_list_add(&p->ids, (uint32_t)value) != 0) return ERR_NOMEM;
    }
    return 0;
}

static int render_chat(struct prompts *p, const struct api_job *job, const struct card *card, struct error *error) {
    char now[32];
    local_time(now);
    json_t *described = tools_described(job, chat_form(card->chat));
    struct chat_request request = {.messages = described ? described : job->messages,
                                   .tools = job->tools,
                                   .variables = job->variables,
                                   .now = now,
                                   .continues = job->continues};
    int rc = take_ids(&p->list[0], job->context, card->model.params.vocab, error);
    if (rc == 0) rc = chat_prompt(card->chat, &request, &p->list[0].ids, &p->thinks, error);
    json_decref(described);
    return rc;
}

static int encode_text(struct prompt *p, const json_t *text, const struct tokenizer *t) {
    size_t len = json_string_length(text);
    int64_t bos = tokenizer_bos(t);
    int rc = tokenizer_encode(t, json_string_value(text), len, true, false, &p->ids);
    p->given = p->ids.count > 0 && (int64_t)p->ids.ids[0] == bos;
    return rc;
}

static int encode_prompt(struct prompt *p, const struct api_job *job, const json_t *given, const struct card *card,
                         struct error *error) {
    if (!json_is_string(given)) return take_ids(p, given, card->model.params.vocab, error);
    if (job->suffix) return infill_prompt(card->tokenizer, json_string_value(given), job->suffix, &p->ids, error);
    return encode_text(p, given, card->tokenizer);
}

/* Its end goes, but for a token that stands for the end of all texts. */
static void cut(struct prompt *p, const struct tokenizer *t, uint32_t context) {
    struct text shown = {0};
    uint32_t last = p->ids.ids[p->ids.count - 1];
    tokenizer_decode(t, last, false, false, &shown);
    p->ids.count = context;
    if (shown.len == 0) p->ids.ids[context - 1] = last;
    text_deinit(&shown);
}

static int check_length(const struct api_job *job, const struct prompt *p, const char *model, uint32_t context,
                        struct api_error *e) {
    uint32_t least = job->task == API_GENERATE && job->tokens_max > 0;
    if (p->ids.count == 0 && job->task != API_COUNT)
        return api_error_set(e, 400, request_error, NULL, param_of(job), "the prompt is empty");
    if (p->ids.count + least <= context || job->task == API_COUNT) return 0;
    return api_error_set(e, 400, request_error, "context_length_exceeded", param_of(job),
                         "the prompt has %zu tokens, but the context of '%s' holds %u%s: shorten it, or load the model "
                         "with a larger --context",
                         p->ids.count, model, context, least ? " and at least one is to be generated" : "");
}

int prompts_make(struct prompts *p, struct api_job *job, const struct card *card, const char *model, uint32_t context,
                 struct api_error *e) {
    struct error error = {0};
    uint32_t count = job->messages ? 1 : (uint32_t)json_array_size(job->prompts);
    if (card->chat == NULL)
        return api_error_set(e, 400, request_error, NULL, "model", "model '%s' has no vocabulary", model);
    if (card->model.params.encodes && job->task == API_GENERATE)
        return api_error_set(e, 400, request_error, NULL, "model",
                             "model '%s' makes embeddings, it does not write: ask /v1/embeddings or /api/embed", model);
    p->list = calloc(count + 1, sizeof *p->list);
    if (p->list == NULL) return api_error_set(e, 503, "server_error", NULL, "", "no memory for %u prompts", count);
    p->count = count;
    for (uint32_t i = 0; i < count; i++) {
        int rc = job->messages ? render_chat(p, job, card, &error)
                               : encode_prompt(&p->list[i], job, json_array_get(job->prompts, i), card, &error);
        const char *param = error.code == ERR_UNSUPPORTED ? "suffix" : param_of(job);
        if (rc)
            return api_error_set(e, 400, request_error, NULL, param, "%s", error.text[0] ? error.text : error_text(rc));
        if (job->truncates && p->list[i].ids.count > context) cut(&p->list[i], card->tokenizer, context);
        int status = check_length(job, &p->list[i], model, context, e);
        if (status) return status;
    }
    return forms_make(job, chat_form(card->chat), p->thinks, e);
}

void prompts_deinit(struct prompts *p) {
    for (uint32_t i = 0; i < p->count; i++) token_list_deinit(&p->list[i].ids);
    free(p->list);
    *p = (struct prompts){0};
}
