/* The form that a reply must have, out of what the client asks for (a JSON Schema, a grammar, tools) and how the
 * model's family writes its replies: thoughts come first, calls of tools keep to the tools' schemas in the family's own
 * syntax.
 *
 * Tools that may be called are kept to from the mark of a call on; a tool whose schema cannot be kept to may then have
 * any object as arguments, unless it is "strict" or must be called, which are errors. Pure. */
#pragma once
#include "api/job.h"
#include "model/chat_form.h"

/* Set job->grammar_kind and job->grammar, which is compiled on trial. thinks: the prompt ends inside of thoughts. 0 or
 * the HTTP status. */
int forms_make(struct api_job *job, const struct chat_form *form, bool thinks, struct api_error *e);
