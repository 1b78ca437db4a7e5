/* What came of a job: its answers, piece by piece and whole. Plain data; pure. */
#pragma once
#include "api/job.h"

enum api_finish { API_STOP, API_LENGTH, API_CANCELLED, API_FAILED };
enum { API_ID_BYTES = 64 };

/* One answer to one prompt; complete when it has ended. */
struct api_answer {
    uint32_t index, prompt;        /* among the answers; of the prompt */
    struct text content, thoughts; /* what is for the user, and what the model thought before */
    json_t *calls;                 /* NULL: none; [{"id", "name", "arguments": JSON text}] */
    json_t *tokens;                /* logprobs: [{"token", "logprob", "bytes", "top_logprobs": [...]}]; NULL: none */
    json_t *ids;                   /* NULL: not asked for; of the prompt and the answer */
    float *vector;                 /* of an embedding; NULL: none */
    uint32_t width;
    uint32_t prompt_tokens, cached_tokens, completion_tokens, thought_tokens;
    enum api_finish finish;
    const char *stop;        /* the stop text that ended it; NULL: none did. The job's */
    uint64_t first_token_us; /* from the prompt's being ready to the first token */
    uint64_t decode_us;      /* from the first token to the last */
};

/* All of them, and what a writer must remember from piece to piece. */
struct api_reply {
    char id[API_ID_BYTES]; /* of the response, the same in all its pieces */
    int64_t created_s;     /* wall clock */
    const char *model;     /* as it was asked for */
    struct api_answer *answers;
    uint32_t count;
    uint64_t begin_us, load_us; /* clock when the request came; of it spent on loading */
    uint64_t total_us;          /* complete at the end */
    uint32_t sequence, block;   /* a streaming writer's own counters */
    int open;                   /* and what it has open */
    size_t mark;                /* and where in the content it begins */
};

enum api_piece_kind { API_PIECE_TEXT, API_PIECE_THOUGHT, API_PIECE_CALL };

/* More of an answer that is streamed: text, never empty and valid UTF-8, or one call as a whole. */
struct api_piece {
    enum api_piece_kind kind;
    const struct api_answer *answer; /* with this piece in it */
    const char *text;
    size_t len;
    const json_t *call;   /* the last one of answer->calls */
    const json_t *tokens; /* those that this piece is made of; NULL: none, or not asked for */
};

void api_answer_deinit(struct api_answer *a);
/* What all answers cost together; prompts that several answers share count once. */
struct api_usage {
    uint32_t prompt, cached, completion, thoughts;
};
struct api_usage api_reply_usage(const struct api_reply *r);
