/* Where other threads hand work to the loop thread: the HTTP thread its requests, workers their tokens.
 *
 * Letters are intrusive, so posting never fails and never allocates; what bounds their number is that every producer is
 * bounded (requests by the HTTP server, tokens by the steps of a worker). Delivered in order, on the loop thread. */
#pragma once
#include <pthread.h>
#include <uv.h>

struct letter {
    struct letter *next;
    void (*deliver)(struct letter *letter); /* loop thread; owns the letter from here */
};

struct mailbox {
    uv_async_t wake;
    pthread_mutex_t mutex;
    struct letter *first, **last;
};

/* 0 or a negative libuv code. */
int mailbox_init(struct mailbox *m, uv_loop_t *loop);
/* Stop waking the loop; letters still inside are delivered first. Loop thread; the loop must run once more to close. */
void mailbox_close(struct mailbox *m);
void mailbox_deinit(struct mailbox *m); /* after the loop has closed it */

/* Any thread. */
void mailbox_post(struct mailbox *m, struct letter *letter);
