/* Who uses a node: requests that want one reply each, jobs that want their tokens and one end.
 *
 * The rules checked here: every reply exactly once and meaningful, tokens without gap or repeat and the right ones,
 * every job ends exactly once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/node.h"

struct world;

enum { CLIENT_REQUESTS_MAX = 64, CLIENT_JOBS_MAX = 64 };

enum asked { ASKED_PLAN, ASKED_LOAD, ASKED_STOP, ASKED_HEADER };

struct client_request {
    uint64_t id;
    enum asked asked;
    uint32_t model;
    uint64_t since_us, bytes; /* bytes: of the header, so far */
};

struct client_job {
    uint64_t job, instance, seed;
    uint32_t attempt, next, tokens_max;
    bool cancelled;
    uint64_t since_us, heard_us;
};

/* The clients of one host's node, in one life of it: what is open, and how the last ones ended. */
struct client {
    struct client_request requests[CLIENT_REQUESTS_MAX];
    uint32_t request_count;
    struct client_job jobs[CLIENT_JOBS_MAX];
    uint32_t job_count;
    uint64_t number; /* last drawn */
    uint64_t last_request;
    int last_code;
    uint64_t last_instance;
    bool last_fits;
    uint64_t last_job;
    uint32_t last_tokens;
    uint8_t last_reason;
};

/* Return the number of the request, 0 when there are too many already. */
uint64_t client_load(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options);
uint64_t client_plan(struct world *w, uint32_t host, uint32_t model, const struct placement_options *options);
uint64_t client_stop(struct world *w, uint32_t host, uint64_t instance);
uint64_t client_header(struct world *w, uint32_t host, uint32_t model);
uint64_t client_submit(struct world *w, uint32_t host, uint64_t instance, uint32_t tokens_max);
void client_cancel(struct world *w, uint32_t host, struct client_job *job);

/* Effects of the node. */
void client_again(struct world *w, uint32_t host, const struct node_effect *e);
void client_reply(struct world *w, uint32_t host, const struct node_effect *e);
void client_header_piece(struct world *w, uint32_t host, const struct node_effect *e);
void client_tokens(struct world *w, uint32_t host, const struct node_effect *e);
void client_end(struct world *w, uint32_t host, const struct node_effect *e);

/* The header of a model, as every host has it. */
uint64_t client_header_bytes(uint32_t model);
uint8_t client_header_byte(uint32_t model, uint64_t offset);
