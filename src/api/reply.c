#include "api/reply.h"

#include <stdlib.h>

void api_answer_deinit(struct api_answer *a) {
    text_deinit(&a->content);
    text_deinit(&a->thoughts);
    json_decref(a->calls);
    json_decref(a->tokens);
    json_decref(a->ids);
    free(a->vector);
    *a = (struct api_answer){0};
}

struct api_usage api_reply_usage(const struct api_reply *r) {
    struct api_usage u = {0};
    for (uint32_t i = 0; i < r->count; i++) {
        const struct api_answer *a = &r->answers[i];
        bool first = i == 0 || a->prompt != a[-1].prompt;
        if (first) u.prompt += a->prompt_tokens;
        if (first) u.cached += a->cached_tokens;
        u.completion += a->completion_tokens;
        u.thoughts += a->thought_tokens;
    }
    return u;
}
