#include "net/http/leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct watch {
    struct watch *next;
    uint64_t number;
    int fd;
    void (*left)(void *context);
    void *context;
};

struct leaving {
    pthread_t thread;
    pthread_mutex_t mutex; /* held during a call, so that forgetting waits for it */
    struct watch *watches;
    uint64_t next;
    int epoll, stop;
    bool started;
};

static struct watch *take(struct leaving *l, uint64_t number) {
    for (struct watch **at = &l->watches; *at; at = &(*at)->next) {
        struct watch *w = *at;
        if (w->number != number) continue;
        *at = w->next;
        return w;
    }
    return NULL;
}

static void drop(struct leaving *l, struct watch *w) {
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    free(w);
}

static void *run(void *context) {
    struct leaving *l = context;
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(l->epoll, &event, 1, -1) < 1) continue;
        if (event.data.u64 == 0) return NULL;
        pthread_mutex_lock(&l->mutex);
        struct watch *w = take(l, event.data.u64);
        if (w) {
            w->left(w->context);
            drop(l, w);
        }
        pthread_mutex_unlock(&l->mutex);
    }
}

int leaving_open(struct leaving **out, struct error *error) {
    struct leaving *l = calloc(1, sizeof *l);
    if (l == NULL) return error_set(error, ERR_NOMEM, "no memory for the HTTP server");
    pthread_mutex_init(&l->mutex, NULL);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->stop = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    if (l->epoll >= 0 && l->stop >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->stop, &event) == 0)
        l->started = pthread_create(&l->thread, NULL, run, l) == 0;
    *out = l;
    if (l->started) return 0;
    leaving_close(l);
    *out = NULL;
    return error_set(error, ERR_LIMIT, "cannot watch connections: %s", strerror(errno));
}

void leaving_close(struct leaving *l) {
    if (l == NULL) return;
    uint64_t one = 1;
    if (l->started && write(l->stop, &one, sizeof one) == sizeof one) pthread_join(l->thread, NULL);
    while (l->watches) drop(l, take(l, l->watches->number));
    if (l->stop >= 0) close(l->stop);
    if (l->epoll >= 0) close(l->epoll);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

uint64_t leaving_watch(struct leaving *l, int fd, void (*left)(void *context), void *context) {
    struct watch *w = calloc(1, sizeof *w);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (w == NULL || copy < 0) {
        free(w);
        if (copy >= 0) close(copy);
        return 0;
    }
    pthread_mutex_lock(&l->mutex);
    *w = (struct watch){.next = l->watches, .number = ++l->next, .fd = copy, .left = left, .context = context};
    l->watches = w;
    uint64_t number = w->number;
    struct epoll_event event = {.events = EPOLLRDHUP, .data.u64 = number};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, copy, &event) != 0) {
        drop(l, take(l, number));
        number = 0;
    }
    pthread_mutex_unlock(&l->mutex);
    return number;
}

void leaving_forget(struct leaving *l, uint64_t number) {
    if (number == 0) return;
    pthread_mutex_lock(&l->mutex);
    struct watch *w = take(l, number);
    if (w) drop(l, w);
    pthread_mutex_unlock(&l->mutex);
}
