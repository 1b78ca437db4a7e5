/* Tools of a request: read, told to a model whose template does not, and made into what its answer must be. Pure. */
#pragma once
#include "api/job.h"
#include "model/chat_form.h"

/* "tools", "tool_choice" and "parallel_tool_calls" of an object, as OpenAI has them. 0 or the HTTP status. */
int tools_read(struct api_job *job, const json_t *object, struct api_error *e);
/* The same of a choice that is one of "auto", "any" or "required", "none", or the name of a tool. */
int tools_choose(struct api_job *job, const char *choice, const char *name, const char *param, struct api_error *e);

/* job->messages with the tools described in a system message: for a template that does not show them. New reference;
 * NULL: the template does it, or there are none. */
json_t *tools_described(const struct api_job *job, const struct chat_form *form);
