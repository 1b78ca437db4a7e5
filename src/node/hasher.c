#include "node/hasher.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/thread.h"

enum { READ_BYTES = 256 << 10 }; /* stays in the core's cache between reading and hashing */

struct hasher_chain {
    struct sha256_ctx sha;
};

struct list {
    struct hasher_job *first, **last;
};

struct hasher {
    struct thread thread;
    pthread_mutex_t mutex;
    pthread_cond_t given;
    struct list jobs, done;
    bool ending;
    void (*ready)(void *context);
    void *context;
    uint8_t buffer[READ_BYTES];
};

struct hasher_chain *hasher_chain_new(void) {
    return calloc(1, sizeof(struct hasher_chain));
}
void hasher_chain_free(struct hasher_chain *c) { free(c); }

static void push(struct list *l, struct hasher_job *job) {
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
}

static struct hasher_job *pop(struct list *l) {
    struct hasher_job *job = l->first;
    if (job) l->first = job->next;
    if (l->first == NULL) l->last = &l->first;
    return job;
}

/* Between chunks, which are whole blocks of the hash, its state is eight words and how much it has seen. */
static void begin_at(struct sha256_ctx *sha, const struct hasher_job *job) {
    sha256_init(sha);
    sha->count = job->seed_bytes / SHA256_BLOCK_SIZE;
    for (size_t i = 0; job->seed_bytes > 0 && i < CHUNKS_HASH_BYTES; i++)
        sha->state[i / 4] = sha->state[i / 4] << 8 | job->seed[i];
}

static void keep_state(struct hasher_job *job, struct sha256_ctx *sha) {
    if (job->last) {
        sha256_digest(sha, sizeof job->state, job->state);
        return;
    }
    for (size_t i = 0; i < CHUNKS_HASH_BYTES; i++)
        job->state[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void work(struct hasher *h, struct hasher_job *job) {
    struct sha256_ctx chunk, alone, *file = job->chain ? &job->chain->sha : job->check.state ? &alone : NULL;
    sha256_init(&chunk);
    if (file && job->first) begin_at(file, job);
    for (uint32_t at = 0; at < job->len;) {
        size_t want = job->len - at < READ_BYTES ? job->len - at : READ_BYTES;
        ssize_t got = pread(job->fd, h->buffer, want, (off_t)(job->offset + at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            job->code = ERR_IO;
            return;
        }
        if (job->check.hash) sha256_update(&chunk, (size_t)got, h->buffer);
        if (file) sha256_update(file, (size_t)got, h->buffer);
        at += (uint32_t)got;
    }
    if (job->check.hash) sha256_digest(&chunk, sizeof job->hash, job->hash);
    if (file) keep_state(job, file);
}

static void run(void *context) {
    struct hasher *h = context;
    pthread_mutex_lock(&h->mutex);
    for (;;) {
        struct hasher_job *job = pop(&h->jobs);
        if (job == NULL && h->ending) break;
        if (job == NULL) {
            pthread_cond_wait(&h->given, &h->mutex);
            continue;
        }
        pthread_mutex_unlock(&h->mutex);
        work(h, job);
        pthread_mutex_lock(&h->mutex);
        push(&h->done, job);
        h->ready(h->context);
    }
    pthread_mutex_unlock(&h->mutex);
}

int hasher_new(struct hasher **out, void (*ready)(void *context), void *context, struct error *error) {
    struct hasher *h = calloc(1, sizeof *h);
    if (h == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    h->jobs.last = &h->jobs.first;
    h->done.last = &h->done.first;
    h->ready = ready;
    h->context = context;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->given, NULL);
    int rc = thread_start(&h->thread, "hasher", run, h);
    if (rc < 0) {
        free(h);
        return error_set(error, rc, "no thread for hashing");
    }
    *out = h;
    return 0;
}

void hasher_free(struct hasher *h) {
    if (h == NULL) return;
    pthread_mutex_lock(&h->mutex);
    h->ending = true;
    pthread_cond_signal(&h->given);
    pthread_mutex_unlock(&h->mutex);
    thread_join(&h->thread);
    pthread_cond_destroy(&h->given);
    pthread_mutex_destroy(&h->mutex);
    free(h);
}

void hasher_give(struct hasher *h, struct hasher_job *job) {
    pthread_mutex_lock(&h->mutex);
    push(&h->jobs, job);
    pthread_cond_signal(&h->given);
    pthread_mutex_unlock(&h->mutex);
}

struct hasher_job *hasher_take(struct hasher *h) {
    pthread_mutex_lock(&h->mutex);
    struct hasher_job *job = pop(&h->done);
    pthread_mutex_unlock(&h->mutex);
    return job;
}
