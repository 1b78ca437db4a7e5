/* How the parts of a node that run models call each other: slices, instances, recovery, requests, jobs. Private to this
 * room; comes with internal.h. */
#pragma once
#include "cluster/event.h"
#include "cluster/state.h"

/* slices.c: this node as a member */
#define SLICES_NO_LEASE "has run out" /* ends the text of a LOAD_FAILED that says so */
uint64_t slices_bytes(const struct node *n);
uint64_t slices_bytes_of(const struct node *n, uint64_t instance);
bool slices_shared_with(const struct node *n, uint64_t peer);
struct slice *slices_find(struct node *n, uint64_t instance, const struct wire_epoch *epoch);
void slices_message(struct node *n, uint64_t from, const struct wire_message *m);
void slices_event(struct node *n, const struct node_event *e);
void slices_link_up(struct node *n, uint64_t peer);
void slices_peer_lost(struct node *n, uint64_t peer);
void slices_drop_all(struct node *n);
void slices_timers(struct node *n);

/* instances.c: this node as coordinator, and what it hears of others */
/* Of all that speak for this id the best: ready, highest epoch. NULL: nobody. */
struct instance *instances_find(struct node *n, uint64_t id);
/* This is what is known of its id: instances_find() gives it. */
bool instances_shown(const struct node *n, const struct instance *i);
struct instance *instances_entry(struct node *n, uint64_t id, uint64_t coordinator);
struct instance *instances_own(struct node *n, uint64_t id); /* that this node speaks for; NULL: it does not */
/* The one of this model that should answer: alive, ready, highest epoch; NULL: none. */
struct instance *instances_of_model(struct node *n, const uint8_t *fingerprint);
/* Does the coordinator of this slice still run its plan, as far as is known here? Then nobody else decides about it. */
bool instances_spoken_for(struct node *n, const struct slice *s);
bool instances_alive(const struct instance *i);
/* Replicas: of one model, made for throughput, and without a node in common. */
bool instances_side_by_side(const struct instance *a, const struct instance *b);
void instances_announce(struct node *n, struct instance *i);
void instances_remove(struct node *n, struct instance *i);
/* Begin to load what was reserved under `slice`, with this node as coordinator; what ran under an older epoch ends.
 * False: no room. */
bool instances_begin(struct node *n, const struct slice *slice);
void instances_fail(struct node *n, struct instance *i, const char *text);
/* It does not run any more: what runs of it ends, and another plan is sought. */
void instances_recover(struct node *n, struct instance *i, const char *text);
/* Its links broke: why, will be known in a moment. */
void instances_break(struct node *n, struct instance *i, const char *text);
void instances_message(struct node *n, uint64_t from, const struct wire_message *m);
/* Tell a peer, over a link that is new, all that this node coordinates. */
void instances_link_up(struct node *n, uint64_t peer);
void instances_peer_lost(struct node *n, uint64_t peer);
void instances_drop_all(struct node *n);
void instances_timers(struct node *n);

/* growing.c: replicas beside an instance */
void growing_timer(struct node *n, struct instance *i); /* of an own one */
/* A plan began, or nodes or memory have come or gone: an own instance looks whether another replica has room. */
void growing_look(struct node *n, struct instance *i, bool node_came);
/* The node is not for this plan: a replica beside the instance, or the one that another is planned beside, is there. */
bool growing_occupied(struct node *n, const struct request *r, const struct instance *i, uint64_t node);
/* The place of one more replica; it does not fit where there is none, or where one more would not help. */
struct placement_result *growing_place(struct node *n, struct request *r, const struct instance *i);
/* Where it is to be seen how many there would be, as if none were there. */
void growing_describe(struct node *n, const struct request *r, const struct instance *i, struct placement_device *d);
/* A replica has its place: is there room for the next? */
void growing_begun(struct node *n, struct instance *i);

/* recovery.c: another plan for an instance */
void recovery_timer(struct node *n, struct instance *i); /* of an own one */
void recovery_orphan_timer(struct node *n, struct instance *i);
void recovery_avoid(struct instance *i, uint64_t node);
void recovery_cancel(struct node *n, uint64_t instance);
/* Who is about to coordinate it by a plan of this node must not, either. */
void recovery_stop(struct node *n, uint64_t instance);
/* Did this node make the plan of this epoch? */
bool recovery_made(struct node *n, uint64_t instance, const struct wire_epoch *epoch);
void recovery_cluster_changed(struct node *n, bool node_came);
/* Plan a replica beside it. False: something is being planned already. */
bool recovery_grow(struct node *n, const struct instance *i);
void recovery_hand_over(struct node *n, uint64_t leaving);
void recovery_begin(struct node *n, struct request *r);
void recovery_measured(struct node *n, const struct node_event *e);
void recovery_describe(struct node *n, const struct request *r, struct placement_device *d, uint64_t total);
void recovery_plan(struct node *n, struct request *r);
bool recovery_may_commit(struct node *n, const struct request *r);
void recovery_refused(struct node *n, struct request *r, uint64_t from, const struct wire_reserve_refused *m);
void recovery_follow(struct node *n, struct request *r);

/* requests.c and reserving.c: this node as initiator */
void requests_peer_lost(struct node *n, uint64_t peer);
void requests_remove(struct node *n, struct request *r);
void requests_ask(struct node *n, struct request *r); /* who has the file? */
/* Wait longer, if somebody who may have the file has not said so yet. False: nobody is left, or time is up. */
bool requests_wait_for_answers(struct node *n, struct request *r);
struct placement_result *requests_place(struct node *n, struct request *r);
void requests_event(struct node *n, const struct node_event *e);
void requests_message(struct node *n, uint64_t from, const struct wire_message *m);
void requests_timers(struct node *n);
void requests_finish(struct node *n, struct request *r, int code, const char *text,
                     const struct placement_result *result);
void requests_retry(struct node *n, struct request *r, const char *why);
void reserving_begin(struct node *n, struct request *r);
void reserving_release(struct node *n, struct request *r);
void reserving_message(struct node *n, uint64_t from, const struct wire_message *m);

/* jobs.c */
int jobs_submit(struct node *n, const struct wire_job_submit *submit);
void jobs_event(struct node *n, const struct node_event *e);
void jobs_message(struct node *n, uint64_t from, const struct wire_message *m);
void jobs_timers(struct node *n);
/* Does one of the two run a job for the other? */
bool jobs_shared_with(const struct node *n, uint64_t peer);
/* Has this node's own client a job there? */
bool jobs_wait_for(const struct node *n, uint64_t instance);
/* The link to a peer broke: attempts over it are lost. */
void jobs_link_broken(struct node *n, uint64_t peer);
/* The attempts that this node runs for its own clients are lost, before it takes another id. */
void jobs_own_ended(struct node *n, const char *text);
/* The instance ends here, on its coordinator: its jobs end with the reason. */
void jobs_instance_ended(struct node *n, uint64_t instance, const char *text);
bool jobs_running(const struct node *n, uint64_t instance);
