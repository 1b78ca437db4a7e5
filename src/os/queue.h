/* Where two threads meet: a bounded queue of pointers with a descriptor that wakes its reader.
 *
 * Any number of threads push and pop. The descriptor is readable while something may be in the queue, so an event
 * loop can watch it; a reader that sleeps elsewhere uses queue_wait. Items are the caller's memory. */
#pragma once
#include <stddef.h>

struct queue;

/* `capacity` items at most. ERR_NOMEM, or ERR_LIMIT when the process has no more descriptors. */
int queue_new(struct queue **out, size_t capacity);
/* Items still inside are the caller's to free: pop them first. NULL is fine. */
void queue_free(struct queue *q);

/* `item` is not NULL. 0; ERR_BUSY when full. */
int queue_push(struct queue *q, void *item);
/* The oldest item, or NULL when the queue is empty; never waits. */
void *queue_pop(struct queue *q);
/* As queue_pop, but waits up to timeout_ms (negative: no limit) for an item. */
void *queue_wait(struct queue *q, int timeout_ms);
/* Readable while something may be inside; owned by the queue. queue_pop until NULL, then poll again. */
int queue_fd(const struct queue *q);
