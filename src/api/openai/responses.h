/* OpenAI's responses: chats whose earlier turns the server remembers. Pure. */
#pragma once
#include "api/dialect.h"

extern const struct api_dialect openai_responses;

/* What a later request continues: the messages of this one, without its instructions, and the answer. New reference. */
json_t *responses_turns(const struct api_job *job, const struct api_reply *r);
/* The messages of the job, with those of the response before it in front. `turns` is an array of responses_turns(). */
void responses_continue(struct api_job *job, const json_t *turns);
