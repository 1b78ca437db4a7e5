#include "model/chat.h"

#include <stdlib.h>
#include <string.h>

#include "model/messages.h"
#include "model/specials.h"
#include "model/template.h"

/* ChatML (github.com/openai/openai-python/blob/v0.28.1/chatml.md): what most models without a template were tuned on.
 */
static const char chatml[] = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
                             "{{ message['content'] }}<|im_end|>\n{% endfor %}"
                             "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

struct chat {
    const struct tokenizer *tokenizer;
    struct template *template;
    struct specials specials;
    struct chat_form form;
    bool knows_developer; /* the template speaks of that role */
    bool adds_bos;        /* the tokenizer puts one in front of every text */
};

static bool tokenizer_adds_bos(const struct tokenizer *t) {
    struct token_list ids = {0};
    int64_t bos = tokenizer_bos(t);
    bool adds = tokenizer_encode(t, "", 0, true, false, &ids) == 0 && ids.count > 0 && (int64_t)ids.ids[0] == bos;
    token_list_deinit(&ids);
    return adds;
}

int chat_new(struct chat **out, const struct gguf *g, const struct tokenizer *t, struct error *error) {
    struct gguf_string source = {chatml, sizeof chatml - 1};
    struct chat *c = calloc(1, sizeof *c);
    if (c == NULL) return error_set(error, ERR_NOMEM, "no memory for the chat template");
    gguf_str(g, "tokenizer.chat_template", &source);
    c->tokenizer = t;
    c->form = chat_form_of(source.data, source.len);
    c->knows_developer = memmem(source.data, source.len, "developer", 9) != NULL;
    c->adds_bos = tokenizer_adds_bos(t);
    int rc = template_new(&c->template, source.data, source.len, error);
    if (rc) error_prefix(error, "tokenizer.chat_template: ");
    if (rc == 0 && specials_init(&c->specials, g) != 0)
        rc = error_set(error, ERR_NOMEM, "no memory for the special tokens");
    if (rc == 0)
        *out = c;
    else
        chat_free(c);
    return rc;
}

void chat_free(struct chat *c) {
    if (c == NULL) return;
    template_free(c->template);
    specials_deinit(&c->specials);
    free(c);
}

/* ---- messages to text ---- */

static void set_token(json_t *variables, const char *name, const struct tokenizer *t, int64_t id) {
    if (id < 0) return;
    struct gguf_string piece = tokenizer_piece(t, (uint32_t)id);
    json_object_set_new(variables, name, json_stringn(piece.data, piece.len));
}

/* What transformers hands to a template. */
static json_t *variables_of(const struct chat *c, const struct chat_request *r, bool parse_arguments) {
    struct messages_form form = {.keep_developer = c->knows_developer, .parse_arguments = parse_arguments};
    json_t *variables = json_object(), *messages = messages_normalise(r->messages, &form);
    if (r->variables) json_object_update(variables, (json_t *)(uintptr_t)r->variables);
    if (r->continues) json_array_remove(messages, json_array_size(messages) - 1);
    json_object_set_new(variables, "tools", r->tools ? json_deep_copy(r->tools) : json_null());
    json_object_set_new(variables, "documents", json_null());
    json_object_set_new(variables, "add_generation_prompt", json_true());
    set_token(variables, "bos_token", c->tokenizer, tokenizer_bos(c->tokenizer));
    set_token(variables, "eos_token", c->tokenizer, tokenizer_eos(c->tokenizer));
    if (json_object_set_new(variables, "messages", messages) == 0) return variables;
    json_decref(variables);
    return NULL;
}

static int render_once(const struct chat *c, const struct chat_request *r, bool parse_arguments, struct text *out,
                       struct text *origin, struct error *error) {
    static const char *const foreign[] = {"messages", "tools", NULL};
    json_t *variables = variables_of(c, r, parse_arguments);
    if (variables == NULL) return error_set(error, ERR_NOMEM, "no memory for the messages");
    int rc = template_render_origin(c->template, variables, foreign, r->now, out, origin, error);
    json_decref(variables);
    return rc;
}

/* Arguments of tool calls are objects for most templates and text for some: those fail at first. */
static int render(const struct chat *c, const struct chat_request *r, struct text *out, struct text *origin,
                  struct error *error) {
    struct error second = {0};
    int rc = render_once(c, r, true, out, origin, error);
    if (rc != ERR_INVALID) return rc;
    text_clear(out);
    text_clear(origin);
    if (render_once(c, r, false, out, origin, &second) != 0) return rc;
    if (error) *error = (struct error){0};
    return 0;
}

/* ---- text to tokens ---- */

static bool has_user_byte(const struct text *origin, size_t at, size_t len) {
    return memchr(origin->data + at, 1, len) != NULL;
}

/* Does a special token's text stand where a user wrote, even in part? */
static bool has_forged_token(const struct chat *c, const struct text *prompt, const struct text *origin) {
    uint32_t id;
    for (size_t at = 0; at < prompt->len; at++) {
        size_t len = specials_match(&c->specials, prompt->data, prompt->len, at, &id);
        if (len > 0 && has_user_byte(origin, at, len)) return true;
    }
    return false;
}

/* Token by token: the template's special ones, and the text between them as mere text. */
static int encode_apart(const struct chat *c, const struct text *prompt, const struct text *origin,
                        struct token_list *ids) {
    size_t begin = 0, at = 0;
    int rc = 0;
    while (at < prompt->len && rc == 0) {
        uint32_t id;
        size_t len = specials_match(&c->specials, prompt->data, prompt->len, at, &id);
        if (len == 0 || has_user_byte(origin, at, len)) {
            at++;
            continue;
        }
        if (at > begin) rc = tokenizer_encode(c->tokenizer, prompt->data + begin, at - begin, false, false, ids);
        if (rc == 0) rc = token_list_add(ids, id);
        begin = at += len;
    }
    if (rc == 0 && at > begin) rc = tokenizer_encode(c->tokenizer, prompt->data + begin, at - begin, false, false, ids);
    return rc;
}

static int encode(const struct chat *c, const struct text *prompt, const struct text *origin, struct token_list *ids) {
    int64_t bos = tokenizer_bos(c->tokenizer);
    struct gguf_string piece = {"", 0};
    if (bos >= 0) piece = tokenizer_piece(c->tokenizer, (uint32_t)bos);
    bool has_bos = piece.len > 0 && prompt->len >= piece.len && memcmp(prompt->data, piece.data, piece.len) == 0 &&
                   !has_user_byte(origin, 0, piece.len);
    int rc = c->adds_bos && !has_bos ? token_list_add(ids, (uint32_t)bos) : 0;
    if (rc) return rc;
    if (has_forged_token(c, prompt, origin)) return encode_apart(c, prompt, origin, ids);
    return tokenizer_encode(c->tokenizer, text_str(prompt), prompt->len, false, true, ids);
}

/* Does it end with the opening mark of thoughts? A user's words do not count. */
static bool ends_thinking(const struct chat *c, const struct text *prompt, const struct text *origin) {
    size_t len = prompt->len, open = strlen(c->form.think_open);
    while (len > 0 && strchr(" \n", prompt->data[len - 1]) && prompt->data[len - 1]) len--;
    return len >= open && memcmp(prompt->data + len - open, c->form.think_open, open) == 0 &&
           !has_user_byte(origin, len - open, open);
}

/* The beginning of the assistant's message, which the template cannot leave open. */
static int add_open_message(const struct chat *c, const json_t *messages, struct token_list *ids) {
    struct messages_form form = {0};
    json_t *all = messages_normalise(messages, &form);
    const json_t *content = json_object_get(json_array_get(all, json_array_size(all) - 1), "content");
    int rc =
        all ? tokenizer_encode(c->tokenizer, json_string_value(content), json_string_length(content), false, false, ids)
            : ERR_NOMEM;
    json_decref(all);
    return rc;
}

const struct chat_form *chat_form(const struct chat *c) { return &c->form; }

int chat_prompt(const struct chat *c, const struct chat_request *request, struct token_list *ids, bool *thinks,
                struct error *error) {
    struct text prompt = {0}, origin = {0};
    int rc = render(c, request, &prompt, &origin, error);
    if (rc == 0 && thinks) *thinks = !request->continues && ends_thinking(c, &prompt, &origin);
    bool encoded = rc == 0 && encode(c, &prompt, &origin, ids) == 0;
    if (encoded && request->continues) encoded = add_open_message(c, request->messages, ids) == 0;
    if (rc == 0 && !encoded) rc = error_set(error, ERR_NOMEM, "no memory for the prompt");
    text_deinit(&prompt);
    text_deinit(&origin);
    return rc;
}
