/* Everything that can happen to a node, as data: what node_step() takes.
 *
 * Pointers inside an event are the caller's and are read during the step only. Requests, dials and links are named by
 * numbers; never 0. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/placement.h"
#include "wire/wire.h"

enum node_event_type {
    NODE_START,          /* first event */
    NODE_TICK,           /* node_deadline() has come; nothing else to tell */
    NODE_BEACON_SEEN,    /* beacon, address: authenticated; address = source with the beacon's port */
    NODE_PEER_ADD,       /* address: --peer; dialled again and again */
    NODE_LINK_UP,        /* link, dial (0: the peer dialled), address, hello: a control link, hellos exchanged; secret:
                          * the present one, if the peer showed the one before it */
    NODE_DIAL_FAILED,    /* dial: refused, timed out, or closed before the peer's hello came */
    NODE_LINK_DOWN,      /* link: closed by the peer or broken; not sent for links that the node closed */
    NODE_MESSAGE,        /* link, bytes, len: one whole control frame */
    NODE_PROBE_DONE,     /* dial, rtt_us, bandwidth: answers NODE_PROBE; bandwidth 0: it failed */
    NODE_MEASURED,       /* answers NODE_MEASURE, behind NODE_FACTS_CHANGED */
    NODE_FACTS_CHANGED,  /* facts: measured; memory_free and links are the node's to fill */
    NODE_READINGS,       /* readings: of this host, now; told with the next heartbeats */
    NODE_REQUEST_PLAN,   /* request, model, options */
    NODE_REQUEST_LOAD,   /* request, model, options, any_options (no flags were given) */
    NODE_REQUEST_STOP,   /* request, instance, replicas */
    NODE_REQUEST_NODES,  /* request: all nodes measure everything anew */
    NODE_REQUEST_HEADER, /* request, fingerprint: fetch the header object from a node that has it */
    NODE_MODEL_ANSWER,   /* peer, request, found: answers NODE_LOOKUP_MODEL */
    NODE_MODEL_MEASURED, /* request, model (NULL: not known here): answers NODE_MEASURE_MODEL */
    NODE_HEADER_READ,    /* peer, request, total, offset, bytes, len: answers NODE_READ_HEADER; total 0: not here */
    NODE_SLICE_PROGRESS, /* instance, epoch, bytes_done, bytes_total */
    NODE_SLICE_READY,    /* instance, epoch: loaded, and both data links (if any) are up */
    NODE_SLICE_FAILED,   /* instance, epoch, text: while loading */
    NODE_RING_BROKEN,    /* instance, epoch, text: a data link or the slice failed after it was ready */
    NODE_JOB_SUBMIT,     /* submit: a job of this gateway; none of its number runs, or NODE_JOB_AGAIN asked for it */
    NODE_JOB_CANCEL,     /* job: of this gateway */
    NODE_JOB_OUTPUT,     /* gateway, tokens: from the local worker */
    NODE_JOB_ROWS_OUT,   /* gateway, rows: from the local worker */
    NODE_JOB_DONE,       /* gateway, end: from the local worker, exactly once for each NODE_JOB_START */
    NODE_NEW_SECRET,     /* secret: `code --new` on this node */
    NODE_DRAIN,          /* hand over what runs here: NODE_LEAVE will come when node_drained(), or soon */
    NODE_LEAVE,          /* goodbye to all; the node does nothing from then on */
};

struct node_event {
    enum node_event_type type;
    uint64_t now_us; /* monotonic, counts through suspend, never less than in the event before; > 0 */
    uint64_t link, dial, request, peer, gateway, job;
    struct wire_address address;
    const struct wire_beacon *beacon;
    const struct wire_hello *hello;
    const struct wire_facts *facts;
    const struct wire_readings *readings;
    const uint8_t *bytes;
    uint32_t len;
    uint64_t total, offset;
    const struct placement_model *model;
    struct placement_options options;
    bool any_options;
    bool replicas; /* those beside the instance too */
    const uint8_t *fingerprint; /* WIRE_FINGERPRINT_BYTES */
    bool found;
    uint64_t instance;
    struct wire_epoch epoch;
    uint32_t rtt_us;
    uint64_t bandwidth;
    uint64_t bytes_done, bytes_total;
    const char *text;
    const struct wire_job_submit *submit;
    const struct wire_job_tokens *tokens;
    const struct wire_job_rows *rows;
    const struct wire_job_end *end;
    const uint8_t *secret; /* WIRE_SECRET_BYTES */
};
