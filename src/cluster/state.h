/* What a node knows, and how its parts call each other. Private to this room.
 *
 * Everything lives in bounded arrays inside struct node. A node talks to itself as to any other: node__tell() to its
 * own id goes through a mailbox that is emptied before the step ends, so no handler is entered from within another. */
#pragma once
#include "cluster/node.h"
#include "cluster/peer.h"

/* What this node runs, or has promised memory for, as a member of an instance. */
enum slice_state { SLICE_LEASED, SLICE_LOADING, SLICE_READY };

struct slice {
    enum slice_state state;
    uint64_t request, initiator; /* who reserved it */
    uint64_t instance, hash;
    struct wire_epoch epoch;
    uint64_t lease_us;  /* SLICE_LEASED: until then */
    uint64_t orphan_us; /* its coordinator is out of reach since then; 0: it is not */
    uint64_t bytes;
    uint64_t bytes_done, bytes_total;
    uint32_t connects;   /* SLICE_LOADING: how often its data links were asked for */
    uint64_t connect_us; /* SLICE_LOADING: when to ask again */
    bool broken;         /* its coordinator must know, now or when it is in reach again */
    struct wire_plan plan;
};

enum { AVOIDED_MAX = 4, TRIES_MAX = 8 };

/* What is known of an instance: by its coordinator's word, or because this node is the coordinator. While two nodes
 * speak for one instance (after a partition, or as one takes over from the other) it is there twice. */
struct instance {
    uint64_t id, coordinator, hash;
    struct wire_epoch epoch;
    enum wire_state state;
    char text[WIRE_REASON_BYTES];
    uint64_t bytes_done, bytes_total;
    struct wire_plan plan;
    uint64_t changed_us;    /* when the state last changed */
    uint64_t ready_members; /* coordinator: one bit per member */
    uint64_t member_done[WIRE_MEMBERS_MAX], member_total[WIRE_MEMBERS_MAX];
    uint64_t announce_us; /* coordinator: when to tell progress; 0: nothing new */
    uint64_t break_us;    /* coordinator: the ring broke; when to give up waiting for who it was */
    char break_text[WIRE_REASON_BYTES];
    bool was_ready;     /* so it is wanted, and comes back by itself */
    bool planning;      /* coordinator: nothing runs under this epoch any more, another plan is sought */
    uint64_t orphan_us; /* its coordinator is out of reach since then; 0: it is not */
    uint64_t claim_us;  /* orphan: this node does not take over before */
    uint32_t refusals;  /* orphan: members that see the coordinator while this node does not have said so */
    uint32_t tries;     /* coordinator: new plans since it was ready */
    uint64_t again_us; /* coordinator: when to look whether a new plan is possible, or better; 0: nothing has changed */
    uint64_t grow_us;    /* coordinator: when to look whether another replica has room; 0: nothing has changed */
    uint32_t grown;      /* coordinator: replicas that were begun since a node came last */
    uint64_t avoid[AVOIDED_MAX]; /* coordinator: members that could not load; not to be tried again at once */
    uint32_t avoid_count;
};

enum request_kind { REQUEST_PLAN, REQUEST_LOAD, REQUEST_STOP, REQUEST_HEADER, REQUEST_MEASURE, REQUEST_REPLAN };
/* Why an instance gets a new plan: it does not run; a member leaves; a faster plan is possible; or the plan is that of
 * a replica beside it. */
enum replan_reason { REPLAN_BROKEN, REPLAN_HANDOVER, REPLAN_IMPROVE, REPLAN_GROW };

enum request_phase {
    PHASE_WAITING,   /* begins (again) at timer_us */
    PHASE_MEASURING, /* what does the model need? */
    PHASE_QUERYING,  /* who has the file? */
    PHASE_LINKS,     /* how fast are the links of the plan? */
    PHASE_NODES,     /* all nodes measure everything */
    PHASE_RESERVING, /* one member after the other */
    PHASE_COMMITTED, /* the coordinator has not spoken yet */
    PHASE_ATTACHED,  /* to an instance that loads */
    PHASE_STOPPING,
    PHASE_FETCHING,
};

struct answer {
    uint64_t node;
    bool answered, found;
};

struct request {
    uint64_t id; /* the asker's */
    enum request_kind kind;
    enum request_phase phase;
    uint64_t timer_us;   /* of the phase */
    uint64_t give_up_us; /* of retries */
    struct placement_model model;
    struct placement_options options;
    bool any_options;
    bool replicas; /* stop: those beside the instance too */
    uint64_t race; /* the lower wins; the last byte counts attempts */
    uint64_t instance;
    uint64_t subject; /* replan: of this instance; `instance` is another one only where that grows */
    struct wire_epoch epoch;
    struct wire_plan plan;
    uint64_t hash;
    uint32_t reserved; /* members that said yes, in node-id order */
    uint64_t order[WIRE_MEMBERS_MAX];
    struct answer answers[NODE_PEERS_MAX + 1];
    uint32_t answer_count;
    uint32_t link_rounds;           /* plans whose links were measured */
    uint64_t links_until_us;        /* PHASE_LINKS: the plan goes on without */
    uint64_t holder, offset, total; /* header: from whom, how far */
    enum replan_reason reason;
    bool measured; /* model is filled */
    bool forgiven; /* it does not fit without those that are to be avoided */
};

/* RUNNING: the coordinator has it. WAITING: until the instance answers again. ASKED: the daemon is to submit it again.
 */
enum gateway_job_state { JOB_RUNNING, JOB_WAITING, JOB_ASKED };

struct gateway_job {
    enum gateway_job_state state;
    bool cancelled;
    uint64_t job, instance, coordinator;
    uint8_t fingerprint[WIRE_FINGERPRINT_BYTES];
    uint32_t attempt, next;       /* next: index of the token that must come */
    uint32_t fruitless;           /* attempts that were lost since the last token */
    uint64_t try_us;              /* WAITING: not before */
    uint64_t alone_us;            /* WAITING: nobody runs or recovers the instance since then; 0: somebody does */
    char text[WIRE_REASON_BYTES]; /* what ended the last attempt */
};

struct worker_job {
    uint64_t gateway, job, instance;
    struct wire_epoch epoch;
    uint32_t attempt;
    bool orphan; /* nobody waits for its end any more */
};

struct mail;
