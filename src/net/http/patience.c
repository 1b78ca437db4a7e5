#include "net/http/patience.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "os/clock.h"
#include "os/thread.h"

struct patience_visitor {
    struct patience_visitor *next, *before;
    int fd;
    uint64_t deadline_ns; /* 0: none */
};

struct patience {
    struct thread thread;
    atomic_uint changes;   /* the thread parks on it */
    pthread_mutex_t mutex; /* guards what follows */
    bool ending;
    struct patience_visitor *visitors;
    uint64_t wake_ns; /* when the thread looks again; 0: when it is told to */
};

/* Shut down who is late; when does the next one become so? 0: nobody. */
static uint64_t sweep(struct patience *p, uint64_t now_ns) {
    uint64_t next = 0;
    for (struct patience_visitor *v = p->visitors; v; v = v->next) {
        if (v->deadline_ns == 0) continue;
        if (v->deadline_ns <= now_ns) {
            shutdown(v->fd, SHUT_RDWR);
            v->deadline_ns = 0;
        } else if (next == 0 || v->deadline_ns < next) {
            next = v->deadline_ns;
        }
    }
    return next;
}

static void run(void *context) {
    struct patience *p = context;
    for (;;) {
        unsigned seen = atomic_load(&p->changes);
        uint64_t now = clock_ns();
        pthread_mutex_lock(&p->mutex);
        p->wake_ns = sweep(p, now);
        bool ending = p->ending;
        int64_t left = p->wake_ns ? (int64_t)(p->wake_ns - now) : -1;
        pthread_mutex_unlock(&p->mutex);
        if (ending) return;
        thread_park(&p->changes, seen, left);
    }
}

static void wake(struct patience *p) {
    atomic_fetch_add(&p->changes, 1);
    thread_unpark_all(&p->changes);
}

int patience_open(struct patience **out, struct error *error) {
    struct patience *p = calloc(1, sizeof *p);
    if (p == NULL) return error_set(error, ERR_NOMEM, "no memory for the HTTP server");
    pthread_mutex_init(&p->mutex, NULL);
    atomic_init(&p->changes, 0);
    if (thread_start(&p->thread, "http-patience", run, p) == 0) {
        *out = p;
        return 0;
    }
    free(p);
    return error_set(error, ERR_LIMIT, "no thread for the HTTP server");
}

void patience_close(struct patience *p) {
    if (p == NULL) return;
    pthread_mutex_lock(&p->mutex);
    p->ending = true;
    pthread_mutex_unlock(&p->mutex);
    wake(p);
    thread_join(&p->thread);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

struct patience_visitor *patience_enter(struct patience *p, int fd) {
    struct patience_visitor *v = calloc(1, sizeof *v);
    if (v == NULL) return NULL;
    pthread_mutex_lock(&p->mutex);
    *v = (struct patience_visitor){.next = p->visitors, .fd = fd};
    if (p->visitors) p->visitors->before = v;
    p->visitors = v;
    pthread_mutex_unlock(&p->mutex);
    return v;
}

void patience_leave(struct patience *p, struct patience_visitor *v) {
    if (v == NULL) return;
    pthread_mutex_lock(&p->mutex);
    if (v->before)
        v->before->next = v->next;
    else
        p->visitors = v->next;
    if (v->next) v->next->before = v->before;
    pthread_mutex_unlock(&p->mutex);
    free(v);
}

void patience_expect(struct patience *p, struct patience_visitor *v, unsigned seconds) {
    if (v == NULL) return;
    pthread_mutex_lock(&p->mutex);
    v->deadline_ns = seconds ? clock_ns() + seconds * 1000000000ull : 0;
    bool earlier = v->deadline_ns && (p->wake_ns == 0 || v->deadline_ns < p->wake_ns);
    if (earlier) p->wake_ns = v->deadline_ns;
    pthread_mutex_unlock(&p->mutex);
    if (earlier) wake(p);
}
