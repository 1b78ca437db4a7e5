/* What the parts of the gateway share: gateway.c (a request's way through the node), dialects.c (how requests are read
 * and replies written), parts.c (the answers of a reply), gateway_bench.c (many jobs for one answer), gateway_rows.c
 * (logits). Loop thread unless said
 * otherwise. */
#pragma once
#include "api/dialect.h"
#include "api/splitter.h"
#include "api/stops.h"
#include "api/write.h"
#include "node/daemon_private.h"
#include "node/prompts.h"

struct gateway_job;

/* How a request is read and its answer written. */
struct gateway_dialect {
    /* Fill job->api from the exchange's body. 0 or an HTTP status with job->error filled. Pool thread. */
    int (*read)(struct gateway_job *job);
    /* Go on with a prompt that is ready; NULL: submit it as a job. */
    void (*start)(struct gateway_job *job);
    void (*token)(struct gateway_job *job, uint32_t id); /* one more; NULL: they are only counted */
    void (*finish)(struct gateway_job *job);             /* last; must end the exchange; job->answer is complete */
    void (*fail)(struct gateway_job *job, const struct api_error *error); /* last; must end the exchange */
};

/* A loaded instance, as it was when the request came. */
struct gateway_target {
    uint64_t instance;
    uint32_t context;
    char name[WIRE_MODEL_NAME_BYTES];
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
};

struct gateway_job {
    struct gateway_job *next;
    struct daemon *daemon;
    uint64_t number;         /* in the node's words, and of its header request */
    uint32_t attempt;        /* of the job that runs under this number */
    struct http_exchange *x; /* NULL once it was ended */
    const struct gateway_dialect *dialect;
    const struct api_dialect *words; /* of dialect_words */
    struct gateway_job *leader;      /* whose client this job answers, as one of its parts; NULL: its own */
    uv_work_t work;
    struct gateway_target targets[NODE_INSTANCES_MAX];
    size_t target_count;

    struct api_job api;
    struct api_answer answer;
    struct api_error error;
    bool read;                     /* api is filled */
    bool rows;                     /* logits: prompt ids are given, rows are the answer */
    uint32_t rows_begin, rows_end; /* positions whose logits the running job gives */
    struct letter rows_next;       /* on its way while `working`: the job for the next positions */
    uint32_t row_next;             /* log probabilities of positions before are there */
    bool ignore_stops;             /* bench: go on to the last token */
    struct gateway_target target;  /* the chosen one */
    struct card *card;
    struct token_list ids;  /* the prompt */
    struct token_list log;  /* what was generated: with it behind the prompt another run goes on where one was lost */
    struct prompts prompts; /* leader: of all answers */
    struct api_reply reply; /* leader: what its parts have answered */
    uint32_t parts_next, parts_running, parts_done;
    struct letter parts_more; /* on its way while parts_posted: start more of them */
    bool parts_posted;
    bool header_asked;
    bool continued;   /* what it continues was put in front */
    bool must_load;   /* the model is here, but not loaded */
    uint64_t loading; /* number of stay.c: waits for the model; 0: does not */
    bool came;        /* the model was loaded for this */

    bool working;          /* on the pool */
    bool submitted, ended; /* the node has the job / has ended it */
    bool gone;             /* the client has left */
    bool heard;            /* leader: a token has come for it */
    bool late;             /* its time is over */
    uint64_t timeout_us;   /* since reply.begin_us; 0: it has all the time */
    uint64_t client;       /* as http_client tells them apart */
    bool opened;           /* leader: bytes of the stream were sent */
    bool begun;            /* leader: the reply's beginning was */
    struct stops stops;
    bool splits; /* the text is a model's reply, not mere text */
    struct splitter splitter;
    uint32_t given; /* leading ids that the client did not write */
    uint64_t seed;
    json_t *tokens_new;  /* logprobs that no piece has told yet */
    struct text echoed;  /* the prompt's text, until it is told */
    struct text content; /* logits */
    uint64_t submitted_us, first_us, last_us;
    struct wire_job_end end;
    struct gateway_bench *bench; /* one of many jobs of this benchmark, or its leader; NULL else */
};

extern const struct gateway_dialect dialect_words, dialect_rows, dialect_bench;

/* NULL: it has ended. */
struct gateway_job *gateway__find(struct daemon *d, uint64_t number);
/* Answer with the error, if the client is still there. */
void gateway__fail(struct gateway_job *job, const struct api_error *error);
/* Free it once neither the node, nor the pool, nor an exchange needs it. */
void gateway__drop_if_done(struct gateway_job *job);
/* The job that holds the exchange of this job's benchmark; NULL without one. */
struct gateway_job *gateway__leader(const struct gateway_job *job);
/* Begin a request; answers it in any case. words: for dialect_words, else NULL. */
void gateway__start(struct daemon *d, struct http_exchange *x, const struct gateway_dialect *dialect,
                    const struct api_dialect *words);
/* A job without an exchange, for a card that is open and ids that are given (taken). */
struct gateway_job *gateway__add(struct daemon *d, const struct gateway_dialect *dialect);
void gateway__submit(struct gateway_job *job);
/* Ask the node to end it (or, if it is not there yet, drop it). Safe in the middle of a step. */
void gateway__cancel(struct gateway_job *job);
/* The target that a client's word for a model means, among those that are ready; NULL: none. Any thread. */
const struct gateway_target *gateway__find_target(const struct gateway_job *job, const char *name);
/* Stop all parts of this leader. */
void parts_cancel(struct gateway_job *leader);
/* Submit as many parts as may run at once. */
void parts_start(struct gateway_job *leader);
/* A row of a part: log probabilities, or an embedding. */
void parts_row(struct gateway_job *part, const struct wire_job_rows *row);
void parts_deinit(struct gateway_job *job); /* what parts and leaders own */
/* Of a leader: begin its stream if that has not been done; append to it (the text is used up); one answer, or all, are
 * complete. */
void words__begin(struct gateway_job *leader);
void words__write(struct gateway_job *leader, struct text *text);
void words__answered(struct gateway_job *leader, const struct api_answer *answer);
void words__finish(struct gateway_job *leader);
/* A running job's exchange is answered: forget the exchange. */
void gateway__reply(struct gateway_job *job, int status, const char *type, const void *body, size_t len);
