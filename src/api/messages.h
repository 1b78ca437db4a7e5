/* The messages of a chat, as the OpenAI API has them: checked, so that what comes after need not doubt them. Other
 * dialects bring theirs into this form. Pure. */
#pragma once
#include "api/job.h"

/* Check job->body's "messages" and point job->messages at it. 0 or the HTTP status, *e names the message. */
int messages_read(struct api_job *job, struct api_error *e);
/* Is the last of them an answer that the client has begun? It goes on. */
bool messages_are_open(const json_t *messages);
