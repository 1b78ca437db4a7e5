#include "node/aside.h"

#include <stdlib.h>

#include "node/stock_private.h"

struct asides {
    struct stock *stock;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t back;
    unsigned references, visitors;
    bool closed;
    struct aside *done;
};

int asides_new(struct asides **out, struct stock *s, struct error *error) {
    struct asides *all = calloc(1, sizeof *all);
    if (all == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    all->stock = s;
    all->references = 1;
    pthread_mutex_init(&all->mutex, NULL);
    pthread_cond_init(&all->back, NULL);
    *out = all;
    return 0;
}

/* Under the mutex, which is given up. */
static void release(struct asides *all) {
    bool last = --all->references == 0;
    pthread_mutex_unlock(&all->mutex);
    if (!last) return;
    pthread_cond_destroy(&all->back);
    pthread_mutex_destroy(&all->mutex);
    free(all);
}

static void run(void *context) {
    struct aside *a = context;
    struct asides *all = a->all;
    a->run(a);
    pthread_mutex_lock(&all->mutex);
    all->visitors -= a->visits;
    if (all->closed) {
        a->finish(NULL, a);
    } else {
        a->next = all->done;
        all->done = a;
        fetcher_wake(all->stock->fetcher);
    }
    pthread_cond_broadcast(&all->back);
    release(all);
}

void aside_go(struct asides *all, struct aside *a) {
    a->all = all;
    pthread_mutex_lock(&all->mutex);
    all->references++;
    all->visitors += a->visits;
    pthread_mutex_unlock(&all->mutex);
    if (thread_start_loose("aside", run, a) != 0) run(a); /* no thread to be had: then here */
}

static void finish_done(struct asides *all, struct stock *s) {
    pthread_mutex_lock(&all->mutex);
    struct aside *a = all->done;
    all->done = NULL;
    pthread_mutex_unlock(&all->mutex);
    while (a) {
        struct aside *next = a->next;
        a->finish(s, a);
        a = next;
    }
}

void asides_turn(struct asides *all) { finish_done(all, all->stock); }

void asides_free(struct asides *all) {
    if (all == NULL) return;
    pthread_mutex_lock(&all->mutex);
    while (all->visitors > 0) pthread_cond_wait(&all->back, &all->mutex);
    all->closed = true;
    pthread_mutex_unlock(&all->mutex);
    finish_done(all, NULL);
    pthread_mutex_lock(&all->mutex);
    release(all);
}
