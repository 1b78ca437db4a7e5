/* Requests of the Anthropic dialect. Pure. */
#pragma once
#include "api/job.h"

/* system, messages, tools, tool_choice and thinking: what makes the prompt. 0 or the HTTP status. */
int anthropic__read_prompt(struct api_job *job, struct api_error *e);
