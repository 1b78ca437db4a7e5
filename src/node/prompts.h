/* From a request, and the model it is for, to the tokens of its prompts. Any thread. */
#pragma once
#include "api/job.h"
#include "node/card.h"

struct prompt {
    struct token_list ids;
    uint32_t given; /* leading ids that the client did not write: BOS */
};

struct prompts {
    struct prompt *list; /* owned */
    uint32_t count;
    bool thinks; /* the prompt ends where the model's thoughts begin */
};

/* All prompts of the job. 0, or an HTTP status with *e filled, that of a prompt which does not fit into `context`
 * included. `model`: as people call it. */
int prompts_make(struct prompts *p, struct api_job *job, const struct card *card, const char *model, uint32_t context,
                 struct api_error *e);
void prompts_deinit(struct prompts *p); /* a zeroed one is fine */
