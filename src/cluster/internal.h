/* The node itself and the functions by which its parts call each other. Private to this room. */
#pragma once
#include "base/prng.h"
#include "cluster/running.h"
#include "cluster/state.h"

struct node {
    struct node_options options;
    uint64_t id, now_us, start_us, deadline_us;
    uint64_t woke_us; /* 0: it never slept */
    uint64_t random;  /* state of the generator */
    uint64_t number;  /* last dial drawn */
    uint64_t renamed; /* last dial drawn under an older id, which its hello may have told */
    bool draining, left;
    bool fired;                   /* a timer was due in this round */
    struct node_effects *effects; /* of the step under way */
    struct mail *mail_first, *mail_last;

    struct peer peers[NODE_PEERS_MAX]; /* by id */
    uint32_t peer_count;
    struct static_peer statics[NODE_STATIC_PEERS_MAX];
    uint32_t static_count;
    uint64_t beacon_us;
    uint32_t beacons_sent;
    uint64_t twin_dial_us;                /* do not dial a twin before */
    uint64_t twin_first_us, twin_last_us; /* others said that this id is taken */
    struct wire_readings readings;        /* of this host */
    struct wire_facts facts;              /* of this node, as measured; the rest filled by node__facts */
    uint64_t facts_us;                    /* when to tell them; 0: nothing new */
    uint64_t facts_check_us;              /* when to look at round trips again */
    struct paths paths;
    uint64_t unsettled_us;        /* until then memory may still come free after a loss */

    struct slice slices[NODE_INSTANCES_MAX];
    uint32_t slice_count;
    struct instance instances[NODE_INSTANCES_MAX * 2]; /* by id */
    uint32_t instance_count;
    uint64_t epoch_number; /* highest seen */
    uint64_t version;      /* of the last word on own instances */
    struct request requests[NODE_REQUESTS_MAX + NODE_REPLANS_MAX];
    uint32_t request_count;
    struct gateway_job gateway_jobs[NODE_JOBS_MAX];
    uint32_t gateway_job_count;
    struct worker_job worker_jobs[NODE_JOBS_MAX];
    uint32_t worker_job_count;
};

/* effects.c */
struct node_effect *node__emit(struct node *n, enum node_effect_type type);
void *node__alloc(struct node *n, size_t size);
const char *node__text(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
void node__log(struct node *n, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void node__changed(struct node *n);
/* Send to a node, or put into the own mailbox. False: no link to it, the message is dropped. */
bool node__tell(struct node *n, uint64_t to, struct wire_message *m);
void node__tell_all(struct node *n, struct wire_message *m); /* every peer with a link, not itself */
/* Next message to itself, or NULL. */
struct wire_message *node__mail(struct node *n);
void node__reply(struct node *n, uint64_t request, int code, uint64_t instance, const char *text,
                 const struct placement_result *result);

/* node.c */
/* Has the time come? If not, the node will be woken then. 0 means never. */
bool node__due(struct node *n, uint64_t when_us);
uint64_t node__jitter(struct node *n, uint64_t base_us, uint64_t spread_us);
/* Give up all links and look for the others again: after a sleep, or under a new id. */
void node__rejoin(struct node *n, const char *why);
/* Everything that runs here or hung on others ends: the node leaves, or is another one from now on. */
void node__drop_all(struct node *n);

/* peers.c */
struct peer *peers_find(struct node *n, uint64_t id);
const char *peers_name(struct node *n, uint64_t id); /* for people: name and id */
bool peers_linked(struct node *n, uint64_t id);      /* itself counts */
bool peers_lost(struct node *n, uint64_t id);        /* was here and is gone */
void peers_beacon(struct node *n, const struct node_event *e);
void peers_add_static(struct node *n, const struct wire_address *address);
void peers_link_up(struct node *n, const struct node_event *e);
void peers_dial_failed(struct node *n, uint64_t dial);
void peers_link_down(struct node *n, uint64_t link);
/* The peer whose link it is, or NULL; notes that it is alive. */
struct peer *peers_heard(struct node *n, uint64_t link);
void peers_violation(struct node *n, struct peer *p, uint64_t link, const char *what);
void peers_message(struct node *n, struct peer *p, const struct wire_message *m);
void peers_timers(struct node *n);
/* This node did not listen for so long: nobody's silence counts for that time. */
void peers_excuse(struct node *n, uint64_t us);
void peers_forget_links(struct node *n);
void peers_goodbye(struct node *n, enum wire_goodbye_reason reason);
/* `code --new`: who is here learns the secret over the links that the old one made. */
void peers_spread_secret(struct node *n, const uint8_t *secret);

/* dialling.c */
void dialling_schedule(struct node *n, struct peer *p, uint64_t when_us);
void dialling_add_address(struct peer *p, const struct wire_address *address);
/* The same of an address that another one proved to be as good: behind those that are known. */
void dialling_note_address(struct peer *p, const struct wire_address *address);
bool dialling_same_address(const struct wire_address *a, const struct wire_address *b);
/* An attempt is over, with the link that came of it or (NULL) none; returns the peer that was dialled, if it was one.
 */
struct peer *dialling_over(struct node *n, uint64_t dial, const struct node_event *up);
void dialling_timers(struct node *n);

/* facts.c */
void facts_changed(struct node *n, const struct wire_facts *facts);
void facts_touch(struct node *n);                              /* own facts changed: tell all soon */
void facts_fill(const struct node *n, struct wire_facts *out); /* with memory_free and links */
void facts_timers(struct node *n);
