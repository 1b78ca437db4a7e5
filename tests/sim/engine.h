/* The workers of a host: slices that load, data links between stages, jobs that give tokens.
 *
 * Plays src/node/slices.c and the worker behind it: every event reaches the node through one mailbox, in order and a
 * little late. The rules checked here: no byte of memory is promised twice, one plan per epoch, effects only about what
 * is there. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/node.h"

struct world;
struct happening;

enum { ENGINE_ENDS_MAX = 64, ENGINE_JOBS_MAX = 64 };

/* One end of a data link, or the wish for one. */
struct data_end {
    uint64_t instance;
    struct wire_epoch epoch;
    uint32_t from, to; /* members */
    bool dials;
    struct wire_address address;
    uint64_t link; /* 0: none */
    bool up, gone; /* gone: was up once */
};

struct fake_slice {
    uint64_t instance;
    struct wire_epoch epoch;
    struct wire_plan *plan; /* owned */
    uint32_t stage, member;
    uint64_t bytes; /* reserved */
    uint64_t done, total, step, fails_at;
    bool loaded, ready, broken;
};

struct fake_job {
    uint64_t gateway, job, instance;
    struct wire_epoch epoch;
    uint32_t attempt;
    uint64_t seed; /* what its tokens come from */
    uint32_t tokens_max, sent;
    bool aborted;
};

struct report;

struct engine {
    struct fake_slice slices[NODE_INSTANCES_MAX];
    uint32_t slice_count;
    struct data_end ends[ENGINE_ENDS_MAX];
    uint32_t end_count;
    struct fake_job jobs[ENGINE_JOBS_MAX];
    uint32_t job_count;
    struct report *first, *last; /* mail for the node */
    uint64_t mail_us;
};

/* The process ended. */
void engine_deinit(struct engine *e);
void engine_load(struct world *w, uint32_t host, const struct node_effect *e);
void engine_unload(struct world *w, uint32_t host, const struct node_effect *e);
void engine_connect(struct world *w, uint32_t host, const struct node_effect *e);
void engine_start_job(struct world *w, uint32_t host, const struct node_effect *e);
void engine_abort_job(struct world *w, uint32_t host, const struct node_effect *e);

/* What the network tells. */
void engine_link_up(struct world *w, uint32_t host, uint64_t link, const struct wire_hello *about, bool dialled);
void engine_link_down(struct world *w, uint32_t host, uint64_t link);
void engine_dial_failed(struct world *w, uint32_t host, uint64_t link);

uint64_t engine_bytes(const struct engine *e);
/* Token number `index` of a job whose sampling seed is `seed`. */
uint32_t engine_token(uint64_t seed, uint32_t index);
