#include "node/drain.h"

#include <stdbool.h>
#include <stdlib.h>

#include "os/file.h"
#include "os/thread.h"

/* A range is long enough that the disk is not asked too often, and there are as many as there may be streams. */
enum { RANGES_MAX = 64, RANGE_BYTES_MIN = 4 << 20, NO_FILE = -1 };

struct range {
    int fd;
    uint64_t begin, end;
};

struct drain {
    struct thread thread;
    pthread_mutex_t mutex; /* of all that follows */
    pthread_cond_t given, done;
    struct range ranges[RANGES_MAX];
    size_t count;
    int busy; /* the file of the range that is on its way */
    bool ending;
};

static bool is_long(const struct range *r) { return r->end - r->begin >= RANGE_BYTES_MIN; }

static void remove_at(struct drain *d, size_t at) { d->ranges[at] = d->ranges[--d->count]; }

static bool take_long(struct drain *d, struct range *out) {
    for (size_t i = 0; i < d->count; i++) {
        if (!is_long(&d->ranges[i])) continue;
        *out = d->ranges[i];
        remove_at(d, i);
        return true;
    }
    return false;
}

static void run(void *context) {
    struct drain *d = context;
    struct range r;
    pthread_mutex_lock(&d->mutex);
    while (!d->ending) {
        if (!take_long(d, &r)) {
            pthread_cond_wait(&d->given, &d->mutex);
            continue;
        }
        d->busy = r.fd;
        pthread_mutex_unlock(&d->mutex);
        file_write_out(r.fd, r.begin, r.end - r.begin);
        pthread_mutex_lock(&d->mutex);
        d->busy = NO_FILE;
        pthread_cond_broadcast(&d->done);
    }
    pthread_mutex_unlock(&d->mutex);
}

int drain_new(struct drain **out, struct error *error) {
    struct drain *d = calloc(1, sizeof *d);
    if (d == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    d->busy = NO_FILE;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->given, NULL);
    pthread_cond_init(&d->done, NULL);
    int rc = thread_start(&d->thread, "drain", run, d);
    if (rc < 0) {
        free(d);
        return error_set(error, rc, "no thread for writing out");
    }
    *out = d;
    return 0;
}

void drain_free(struct drain *d) {
    if (d == NULL) return;
    pthread_mutex_lock(&d->mutex);
    d->ending = true;
    pthread_cond_signal(&d->given);
    pthread_mutex_unlock(&d->mutex);
    thread_join(&d->thread);
    pthread_cond_destroy(&d->done);
    pthread_cond_destroy(&d->given);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

/* The range that these bytes lengthen, or a new one; NULL: there is no room. */
static struct range *find_range(struct drain *d, int fd, uint64_t begin, uint64_t end) {
    for (size_t i = 0; i < d->count; i++) {
        struct range *r = &d->ranges[i];
        if (r->fd == fd && (r->end == begin || r->begin == end)) return r;
    }
    if (d->count == RANGES_MAX) return NULL;
    d->ranges[d->count] = (struct range){fd, begin, begin};
    return &d->ranges[d->count++];
}

void drain_give(struct drain *d, int fd, uint64_t offset, uint64_t len) {
    pthread_mutex_lock(&d->mutex);
    struct range *r = find_range(d, fd, offset, offset + len);
    if (r && r->end == offset)
        r->end += len;
    else if (r)
        r->begin = offset;
    if (r && is_long(r)) pthread_cond_signal(&d->given);
    pthread_mutex_unlock(&d->mutex);
}

void drain_forget(struct drain *d, int fd) {
    pthread_mutex_lock(&d->mutex);
    for (size_t i = d->count; i-- > 0;)
        if (d->ranges[i].fd == fd) remove_at(d, i);
    while (d->busy == fd) pthread_cond_wait(&d->done, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
}
