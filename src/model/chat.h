/* From messages to the model's prompt: the chat template of the file, rendered and tokenised.
 *
 * Special tokens are read where the template wrote them, never in what a user wrote: the renderer keeps track of whose
 * bytes are whose, whatever the template does to them. Immutable once made: any thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/chat_form.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

struct chat;

/* The template in the file's metadata, ChatML where there is none. Both must outlive it. ERR_INVALID: the template
 * cannot be read; the text says where. */
int chat_new(struct chat **out, const struct gguf *g, const struct tokenizer *t, struct error *error);
void chat_free(struct chat *c); /* NULL is fine */

/* How this template lays out replies. */
const struct chat_form *chat_form(const struct chat *c);

struct chat_request {
    const json_t *messages;  /* array of {"role", "content": text, parts or null, ...} as the OpenAI API has them */
    const json_t *tools;     /* array, or NULL */
    const json_t *variables; /* more for the template, as `enable_thinking`; NULL: none */
    const char *now;         /* ISO date-time, for templates that print the date */
    bool continues;          /* the last message is the assistant's and goes on */
};

/* The prompt's ids, appended to `ids`. *thinks (may be NULL): it ends where the model's thoughts begin. ERR_INVALID
 * with the template's own words when it refuses the messages. */
int chat_prompt(const struct chat *c, const struct chat_request *request, struct token_list *ids, bool *thinks,
                struct error *error);
