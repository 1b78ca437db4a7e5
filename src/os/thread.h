/* Threads, and the one way in which they wait for each other without a descriptor: parking on a word.
 *
 * Park and unpark are futexes: a thread sleeps while an atomic word holds a value. What the word means is the
 * caller's affair; wake-ups may be spurious, so callers loop. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

struct thread {
    pthread_t id;
    void (*run)(void *context);
    void *context;
};

/* Start run(context) on a thread called `name` (15 bytes are kept). `t` stays where it is until joined. Signals are
 * blocked in it: they are the main thread's. ERR_NOMEM when the system has no more threads. */
int thread_start(struct thread *t, const char *name, void (*run)(void *context), void *context);
/* The same for a thread that nobody waits for: it may hang for as long as the world does. */
int thread_start_loose(const char *name, void (*run)(void *context), void *context);
/* Wait until it has returned. */
void thread_join(struct thread *t);

/* Sleep while *word == value, at most timeout_ns (negative: no limit). */
void thread_park(atomic_uint *word, unsigned value, int64_t timeout_ns);
/* Wake every thread that is parked on the word; change it first. */
void thread_unpark_all(atomic_uint *word);

/* Tell the core that this is a spin loop. */
void thread_relax(void);
