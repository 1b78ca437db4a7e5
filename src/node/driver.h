/* Drives the node's state machine. Loop thread only. */
#pragma once
#include "cluster/node.h"

struct daemon;

/* Microseconds of the clock that node events carry: monotonic, counting through suspend. */
uint64_t driver_now_us(void);
/* Give the event to the node (now_us is filled in) and carry out the effects. Not from within an effect. */
void driver_event(struct daemon *d, struct node_event *event);
/* The same a little later: for what happens while an effect is carried out. Plain fields and text are copied. */
void driver_later(struct daemon *d, const struct node_event *event);
/* A job that cannot be run here any more: NODE_JOB_DONE, a little later. */
void driver_later_job_failed(struct daemon *d, uint64_t gateway, uint64_t job, uint32_t attempt, const char *why);
