#include "os/queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"

struct queue {
    pthread_mutex_t mutex; /* guards first, count and the items */
    int wake_fd;           /* eventfd: non-zero while count > 0 */
    size_t first, count, capacity;
    void *items[];
};

int queue_new(struct queue **out, size_t capacity) {
    struct queue *q = calloc(1, sizeof *q + capacity * sizeof q->items[0]);
    if (!q) return ERR_NOMEM;
    q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->wake_fd < 0) {
        free(q);
        return ERR_LIMIT;
    }
    pthread_mutex_init(&q->mutex, NULL);
    q->capacity = capacity;
    *out = q;
    return 0;
}

void queue_free(struct queue *q) {
    if (!q) return;
    close(q->wake_fd);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

/* The eventfd follows the count under the mutex, so it can be neither lost nor left behind. */
static void set_readable(struct queue *q) {
    uint64_t one = 1;
    while (write(q->wake_fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void set_unreadable(struct queue *q) {
    uint64_t count;
    while (read(q->wake_fd, &count, sizeof count) < 0 && errno == EINTR) continue;
}

int queue_push(struct queue *q, void *item) {
    pthread_mutex_lock(&q->mutex);
    int rc = q->count < q->capacity ? 0 : ERR_BUSY;
    if (rc == 0) {
        q->items[(q->first + q->count++) % q->capacity] = item;
        if (q->count == 1) set_readable(q);
    }
    pthread_mutex_unlock(&q->mutex);
    return rc;
}

void *queue_pop(struct queue *q) {
    void *item = NULL;
    pthread_mutex_lock(&q->mutex);
    if (q->count > 0) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        if (--q->count == 0) set_unreadable(q);
    }
    pthread_mutex_unlock(&q->mutex);
    return item;
}

void *queue_wait(struct queue *q, int timeout_ms) {
    uint64_t begin_ns = clock_ns();
    for (;;) {
        void *item = queue_pop(q);
        if (item) return item;
        int left_ms = timeout_ms;
        if (timeout_ms >= 0) {
            uint64_t spent_ms = (clock_ns() - begin_ns) / 1000000;
            if (spent_ms >= (uint64_t)timeout_ms) return NULL;
            left_ms = timeout_ms - (int)spent_ms;
        }
        struct pollfd watched = {.fd = q->wake_fd, .events = POLLIN};
        poll(&watched, 1, left_ms);
    }
}

int queue_fd(const struct queue *q) { return q->wake_fd; }
