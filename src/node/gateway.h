/* The gateway: requests of this node's clients, from text to tokens and back.
 *
 * A request is read, rendered and tokenised on a thread of libuv's pool, submitted to the cluster as a job, and its
 * tokens become text here: this node owns the token log of its jobs. Whichever node holds the model, the client sees no
 * difference. Loop thread only. */
#pragma once
#include <stdint.h>

#include "net/http/http.h"
#include "wire/wire.h"

struct api_dialect;
struct card;
struct daemon;

/* Each takes the exchange and answers it. */
void gateway_generate(struct daemon *d, struct http_exchange *x, const struct api_dialect *words);
/* {"model", "tokens", "chunk"} -> float32 [tokens][vocab] */
void gateway_logits(struct daemon *d, struct http_exchange *x);
/* {"model", "prompt", "generate", "repeat", "requests"} */
void gateway_bench(struct daemon *d, struct http_exchange *x);

/* What the node tells of this gateway's jobs. */
void gateway_tokens(struct daemon *d, const struct wire_job_tokens *tokens);
/* A run of the job was lost: submit it again under this attempt, with the tokens so far, a little later. */
void gateway_again(struct daemon *d, uint64_t job, uint32_t attempt);
void gateway_end(struct daemon *d, const struct wire_job_end *end);
void gateway_rows(struct daemon *d, const struct wire_job_rows *rows);
/* The header of a model came over a link (NULL: nobody has it, and why): requests that waited for it go on. */
void gateway_card(struct daemon *d, uint64_t request, struct card *card, const char *why);
/* A model was loaded (code 0), or could not be and why: requests that waited for it go on. */
void gateway_loaded(struct daemon *d, uint64_t loading, int code, const char *why);
/* Now and then: tell those who wait for the beginning of a stream that it will come. */
void gateway_beat(struct daemon *d);
/* The node goes away: answer everything that still waits. */
void gateway_shut(struct daemon *d, const char *why);
