/* What a client asks for, in the words of no dialect: each dialect reads its requests into this and writes its results
 * from what came of it. Plain data; pure. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "model/grammar.h"

enum {
    API_STOPS_MAX = 16,
    API_BIASES_MAX = 1024,
    API_TOP_LOGPROBS_MAX = 20,
    API_ANSWERS_MAX = 8,    /* to one prompt */
    API_PROMPTS_MAX = 2048, /* in one request */
};
#define API_TOKENS_UNLIMITED UINT32_MAX

enum api_task { API_GENERATE, API_EMBED, API_COUNT };
enum api_tool_choice { API_TOOLS_AUTO, API_TOOLS_REQUIRED };

struct api_bias {
    uint32_t token;
    float bias;
};

/* Strings and JSON point into `body` or `made`. */
struct api_job {
    json_t *body; /* the whole request, owned */
    json_t *made; /* what a dialect made of it, owned; NULL: nothing */
    const char *model;
    enum api_task task;

    const json_t *messages;  /* array of chat messages as OpenAI has them; NULL: `prompts` are given */
    const json_t *prompts;   /* array of texts or arrays of token ids, without a template */
    const char *suffix;      /* what shall follow the answer to the one prompt; NULL: anything */
    bool continues;          /* the last message is the assistant's, and its end is open */
    const json_t *variables; /* more of them for the chat template; NULL: none */
    const json_t *tools;     /* as OpenAI has them; NULL: none */
    enum api_tool_choice tool_choice;
    const char *tool_named; /* the one that must be called; NULL: any */
    bool one_call;          /* not several at once */

    uint32_t tokens_max; /* API_TOKENS_UNLIMITED: what room is left */
    float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    uint32_t top_k;
    bool has_seed;
    uint64_t seed;
    const char *stops[API_STOPS_MAX];
    uint32_t stop_count;
    const json_t *schema; /* JSON Schema of the answer, or true: any JSON object; NULL: none */
    enum grammar_kind grammar_kind;
    struct text grammar;     /* what the answer must be, by its kind */
    uint32_t logprobs;       /* 0: none; 1 + so many of the likeliest beside each token's own */
    struct api_bias *biases; /* owned, malloc'ed */
    uint32_t bias_count;

    uint32_t answers;    /* to each prompt */
    bool echo;           /* the prompt stands before its answer */
    uint32_t dimensions; /* of embeddings; 0: all */
    bool base64;         /* embeddings as text */
    bool stream, include_usage;
    const json_t *context; /* token ids that stand before the prompt; NULL: none */
    bool tell_context;     /* all ids of the answer and its prompt are wanted */
    const char *previous;  /* id of the response that this one continues; NULL: none */
    bool remember;         /* it may be continued */
    bool load_only;        /* no prompt: the model is to be there, or to go (keep_alive_s 0); nothing is generated */
    uint32_t context_wanted; /* positions that a model gets that is loaded for this; 0: as usual */
    bool truncates;        /* texts that do not fit are cut to embed them, as was asked for */
    uint32_t keep_alive_s; /* how long the model stays loaded when this was its last job, or API_KEEP_... */
};

/* Values of keep_alive_s besides seconds: until it is unloaded; as it was (who comes for this: the default). */
#define API_KEEP_FOREVER  UINT32_MAX
#define API_KEEP_AS_IT_IS (UINT32_MAX - 1)

/* An error for a client: HTTP status, what to change, and where. Texts are static or in the struct. */
struct api_error {
    int status;
    const char *type; /* "invalid_request_error" */
    const char *code; /* "model_not_found"; NULL: none */
    char param[64];   /* field it is about; "": none */
    char message[ERROR_TEXT_BYTES];
};

/* Everything off, temperature and top_p 1, one answer. */
void api_job_init(struct api_job *job);
void api_job_deinit(struct api_job *job);
/* Fill an error; returns its status. */
int api_error_set(struct api_error *e, int status, const char *type, const char *code, const char *param,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
