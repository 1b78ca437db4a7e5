/* What a node wants done, as data: what node_step() gives, to be carried out in order.
 *
 * Effects and everything they point to live in the arena of the struct until node_effects_clear(). Effects on slices of
 * one device are carried out in their order: memory of an unloaded slice is free before the next one is reserved. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/log.h"
#include "cluster/placement.h"
#include "wire/wire.h"

enum node_effect_type {
    NODE_SEND_BEACON,    /* beacon: on every interface; key_id is the sender's to fill */
    NODE_DIAL,           /* dial, address: open a control link; ends in NODE_LINK_UP or NODE_DIAL_FAILED within 2 s */
    NODE_CLOSE,          /* link: after what was sent on it; no NODE_LINK_DOWN follows */
    NODE_SEND,           /* link, bytes, len: one whole control frame */
    NODE_PROBE,          /* dial, peer, address: measure this path -> NODE_PROBE_DONE within 4 s, else it has failed */
    NODE_MEASURE,        /* measure this machine anew -> NODE_FACTS_CHANGED, NODE_MEASURED */
    NODE_LOOKUP_MODEL,   /* peer, request, fingerprint, text (its name): is the file here? -> NODE_MODEL_ANSWER */
    NODE_READ_HEADER,    /* peer, request, fingerprint, offset: a chunk of the header -> NODE_HEADER_READ */
    NODE_MEASURE_MODEL,  /* request, fingerprint, text (its name): what does it need? -> NODE_MODEL_MEASURED */
    NODE_HEADER_PIECE,   /* request, total, offset, bytes, len: a chunk of the header that was asked for, in order */
    NODE_SLICE_LOAD,     /* instance, epoch, plan, member, stage: reserve and load; wait for data links if stages > 1 */
    NODE_SLICE_UNLOAD,   /* instance, epoch: cancel loading or running, free everything, close its data links */
    NODE_RING_CONNECT,   /* instance, epoch, member_from, member_to, peer, address: dial it until it is up */
    NODE_REPLY,          /* request, code, text, result (plan, load; may be NULL), instance: exactly one per request */
    NODE_JOB_START,      /* gateway, submit, instance, epoch: run it; tokens from index submit->generated on */
    NODE_JOB_AGAIN,      /* job, attempt: the run of a local job was lost; submit it again, with the tokens so far */
    NODE_JOB_ABORT,      /* gateway, job, attempt: stop it; NODE_JOB_DONE still comes */
    NODE_JOB_TOKENS,     /* tokens: of a local job, without gap or repeat */
    NODE_JOB_ROWS,       /* rows: of a local job, in order of position and offset */
    NODE_JOB_END,        /* end: of a local job, exactly once, last */
    NODE_ID_CHANGED,     /* id: this node is a clone's twin and now has this id; keep it */
    NODE_SECRET_CHANGED, /* secret: a member rotated the cluster's secret */
    NODE_LOG,            /* level, text */
    NODE_CHANGED,        /* something that node_peers() or node_instances() show has changed */
};

struct node_effect {
    enum node_effect_type type;
    struct node_effect *next;
    uint64_t link, dial, request, peer, gateway, job, id;
    uint32_t attempt;
    struct wire_address address;
    struct wire_beacon beacon;
    const uint8_t *bytes;
    uint32_t len;
    uint64_t total, offset;
    const uint8_t *fingerprint;
    const uint8_t *secret;
    uint64_t instance;
    struct wire_epoch epoch;
    const struct wire_plan *plan;
    uint32_t member, stage, member_from, member_to;
    int code; /* 0 or an ERR_ code */
    enum log_level level;
    const char *text;
    const struct placement_result *result;
    const struct wire_job_submit *submit;
    const struct wire_job_tokens *tokens;
    const struct wire_job_rows *rows;
    const struct wire_job_end *end;
};

struct node_effects {
    struct arena arena;
    struct node_effect *first, *last;
};

/* A zeroed struct has none. */
void node_effects_clear(struct node_effects *effects);
