/* What the parts of a worker share: worker.c (thread, commands, loading), ring.c (stage 0's way through the other
 * stages), relay.c (any other stage), group.c (members of one stage). Worker thread unless said otherwise. */
#pragma once
#include <stdatomic.h>

#include "engine/constraints.h"
#include "net/data.h"
#include "wire/step.h"
#include "node/worker.h"
#include "os/queue.h"
#include "os/thread.h"

enum { HOP_SAMPLES = 4096, COMMANDS_MAX = 4096, SEND_STALL_MS = 3000, GROUP_KINDS = EXCHANGE_LOGITS + 1 };

enum command_type { COMMAND_SUBMIT, COMMAND_CANCEL, COMMAND_SOURCE, COMMAND_TARGET, COMMAND_PEER, COMMAND_STOP };

struct command {
    enum command_type type;
    struct job *job;
    uint64_t id;
    struct link *link;
};

/* What the worker did since it began, besides computing. */
struct worker_spent {
    uint64_t sending_ns, waiting_ns;
    uint64_t others_us; /* of the waiting: what other stages computed */
};

/* The far end of the worker's letters: outlives the worker as long as letters are under way. */
struct port {
    atomic_uint references;
    struct worker_listener listener;
    bool closed; /* loop thread only: letters are dropped on arrival */
};

struct worker {
    struct thread thread;
    bool started;
    struct card *card;
    struct worker_plan plan;
    struct mailbox *mailbox;
    struct port *port;
    atomic_bool cancel_load;
    atomic_uint pages, pages_held; /* as the runner tells after each step */
    atomic_ullong put_back;

    struct queue *commands; /* of struct command */
    int stop;               /* eventfd: readable once the worker must end, also in the middle of a wait for the wire */

    /* Worker thread only. */
    struct letter *outbox, **outbox_end; /* letters of this turn, not sent yet */
    struct slice *slice;
    struct runner *runner;
    struct runner_ring ring;
    struct job *jobs;                /* running and queued ones */
    struct constraints constraints;  /* the grammars of jobs */
    struct data_link source, target; /* link NULL: not there */
    struct data_link peers[WIRE_MEMBERS_MAX]; /* by member of the stage; the own one has no link */
    uint32_t in_flight;                       /* ring: steps sent and not yet back */
    bool failed;                              /* the ring broke: told once, then only commands are obeyed */
    bool stopping;
    uint32_t rows_max; /* of a step */
    float *hidden;     /* relay: [rows_max][embd] */
    struct step step; /* relay: as decoded */
    uint8_t *frame;   /* outgoing frame */
    size_t frame_capacity;
    uint32_t hop_us[HOP_SAMPLES]; /* software and wire time per hop of the latest steps, a circle */
    uint64_t hops;                /* samples taken so far */
    uint32_t raw_hop_us;          /* 0: not measured yet */

    struct worker_spent spent;
    struct exchange exchange;                       /* with the other members of the stage */
    uint64_t sent[GROUP_KINDS], taken[GROUP_KINDS]; /* exchanges of each kind so far */
};

/* Take all commands that are there; with `wait`, sleep until there is one. */
void worker__take_commands(struct worker *w, bool wait);
/* Are the links with all others there? */
bool worker__joined(const struct worker *w);
/* Tell the loop that the ring is of no use any more; the worker only obeys commands from then on. */
void worker__broken(struct worker *w, const char *why);

/* A step frame with its fixed part, rows and pages filled in from `step` (NULL: none); *hidden is where the caller puts
 * s->row_count rows. NULL when memory runs out. */
uint8_t *worker__encode(struct worker *w, const struct wire_step *s, const struct step *step, uint8_t **hidden);
/* Send a whole frame to the target; both links keep reading meanwhile. 0, or ERR_LOST with the reason. */
int worker__send(struct worker *w, const void *frame, size_t len, struct error *error);
/* Wait for a frame from the source. 0, ERR_CANCELLED when wake_fd is readable, ERR_LOST when a link is gone. */
int worker__await(struct worker *w, int wake_fd, const uint8_t **frame, size_t *len, struct error *error);

/* The runner's way through the other stages. */
void ring__init(struct worker *w);
/* Half a ping-pong of a one-row frame with the next stage, median, into w->raw_hop_us. Only while nothing is in flight.
 */
void ring__measure_raw(struct worker *w);
/* One step from the source, through the slice, to the target; or one command. */
void relay__turn(struct worker *w);
/* A step as it came, into w->step and w->hidden. ERR_STALE: of another instance or epoch. */
int worker__decode(struct worker *w, const struct wire_step *s, struct error *error);
/* Send a ping back on the link that it came from. */
int worker__answer_ping(struct worker *w, struct data_link *link, const uint8_t *frame, size_t len);

/* The slice's way to the other members of the stage. */
void group__init(struct worker *w);
/* Of any member but the first: one step or question of the first one; or one command. */
void group__turn(struct worker *w);
