/* Messages about instances and jobs: reserve, load, announce; submit, stream, end.
 *
 * Fields are in the order of the wire. Pointers are arrays of the caller (encoding) or of its arena (decoding).
 * Pure data. */
#pragma once
#include <stdint.h>

#include "wire/types.h"

enum {
    WIRE_TOKENS_MAX = 200 * 1024, /* in one message */
    WIRE_STOPS_MAX = 64,
    WIRE_GRAMMAR_BYTES_MAX = 192 * 1024,
    WIRE_JOB_ROWS_BYTES_MAX = 256 << 10, /* in one message */
    WIRE_INSTANCES_MAX = 64,             /* of one coordinator */
    WIRE_BIASES_MAX = 1024,
    WIRE_LOGPROBS_MAX = 21,
};

enum wire_grammar_kind { WIRE_GRAMMAR_NONE, WIRE_GRAMMAR_GBNF, WIRE_GRAMMAR_SCHEMA, WIRE_GRAMMAR_TAGS };

/* Values of keep_alive_s besides seconds: until it is unloaded, and as was said before. */
#define WIRE_KEEP_FOREVER UINT32_MAX
#define WIRE_KEEP_AS_IT_IS (UINT32_MAX - 1)

enum wire_job_reason { WIRE_JOB_STOP, WIRE_JOB_LENGTH, WIRE_JOB_CANCELLED, WIRE_JOB_FAILED };

struct wire_reserve {
    uint64_t request, instance;
    struct wire_epoch epoch;
    uint64_t hash;
    struct wire_plan plan;
};
struct wire_reserve_ok {
    uint64_t request, hash;
};
struct wire_reserve_refused {
    uint64_t request;
    uint8_t retry; /* 1: a race was lost, try again */
    char text[WIRE_REASON_BYTES];
};
struct wire_release {
    uint64_t request;
};
/* Initiator -> coordinator: all reserved, take over. */
struct wire_commit {
    uint64_t request, hash;
};
/* Which instance, under which plan: LOAD, LOADED, UNLOAD (coordinator <-> member). */
struct wire_subject {
    uint64_t instance;
    struct wire_epoch epoch;
    uint64_t hash;
};
struct wire_load_progress {
    struct wire_subject subject;
    uint64_t bytes_done, bytes_total;
};
struct wire_load_failed {
    struct wire_subject subject;
    char text[WIRE_REASON_BYTES];
};
struct wire_stop {
    uint64_t instance;
};
/* The coordinator's word on its instance, to every node. What it says in INSTANCE and INSTANCES is numbered in the
 * order in which it says it, so that nothing from an older link outdoes what came on a newer one. */
struct wire_instance {
    uint64_t version;
    uint64_t instance;
    struct wire_epoch epoch;
    uint8_t state; /* enum wire_state */
    uint64_t bytes_done, bytes_total;
    char text[WIRE_REASON_BYTES]; /* why it failed */
    struct wire_plan plan;
};
/* These are all that the sender coordinates; its word on each follows. */
struct wire_instances {
    uint64_t version;
    uint32_t count;
    uint64_t ids[WIRE_INSTANCES_MAX];
};

/* What the generated text must be; model/grammar.h has the kinds. */
struct wire_grammar {
    uint8_t kind; /* enum wire_grammar_kind */
    uint32_t len;
    uint8_t *text; /* not NUL-terminated */
};

/* What a job gives beside or instead of tokens. */
enum wire_job_kind { WIRE_JOB_TEXT, WIRE_JOB_LOGITS, WIRE_JOB_EMBEDDING };

struct wire_bias {
    uint32_t token;
    float bias;
};

/* A job is named by its gateway (the sender or receiver of the link) and the gateway's number. */
struct wire_job_submit {
    uint64_t job;
    uint32_t attempt;
    uint64_t instance;
    struct wire_sampling sampling;
    uint32_t tokens_max, prompt_count, stop_count;
    uint32_t *prompt, *stops;
    uint8_t kind;       /* enum wire_job_kind */
    uint32_t row_count; /* rows of so many of the prompt's last positions are wanted: logits, or with logprobs those */
    uint32_t generated; /* so many of the prompt's last tokens are an earlier attempt's output */
    struct wire_grammar grammar;
    uint32_t logprobs;  /* 0: none; 1 + so many of the likeliest beside each token's own */
    uint32_t bias_count;
    struct wire_bias *biases;
    uint64_t client;       /* who asks, as the gateway tells them apart; 0: nobody in particular */
    uint32_t keep_alive_s; /* how long the model stays when this was its last job, or WIRE_KEEP_... */
};
struct wire_job_tokens {
    uint64_t job;
    uint32_t attempt, first, count; /* first: index of tokens[0] */
    uint32_t *tokens;
};
/* A piece of the row of one position: bytes from `offset` of it. Logits and embeddings are little-endian float32; the
 * log probabilities of the token that stands at the position are pairs of (token u32, value float32), its own first. */
struct wire_job_rows {
    uint64_t job;
    uint32_t attempt, position, offset, len;
    uint8_t *bytes;
};
/* Where the time of a generated token went, seen from the coordinator, in us on average; all 0 on one node. */
struct wire_token_costs {
    uint32_t compute, serialise; /* its own; from rows to encrypted bytes that the kernel has */
    uint32_t others, wire;       /* what other stages computed meanwhile; the rest of waiting: wire, waking, jitter */
};
struct wire_job_end {
    uint64_t job;
    uint32_t attempt;
    uint8_t reason; /* enum wire_job_reason */
    int32_t code;   /* ERR_ code of a failure */
    uint32_t prompt_tokens, cached_tokens, tokens;
    uint64_t prefill_us, decode_us;                 /* to the first token; from the first to the last */
    uint32_t hop_us_median, hop_us_p99, raw_hop_us; /* of its decode steps; a raw ping-pong; 0: no ring */
    struct wire_token_costs token;
    char text[WIRE_REASON_BYTES];
};
struct wire_job_cancel {
    uint64_t job;
    uint32_t attempt;
};
