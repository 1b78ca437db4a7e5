#include "node/scout.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/survey.h"
#include "os/clock.h"
#include "os/thread.h"

static const int64_t patience_ns = 2000000000;

struct scout {
    atomic_uint references;
    atomic_uint steps; /* changes with every sign of life */
    atomic_ullong step_ns; /* when the last one was, or it was sent */
    struct folder where;
    struct index *index;
    pthread_mutex_t mutex; /* of what follows */
    bool out, again, given_up;
    int code;
    struct models models; /* of the last time */
};

struct scout *scout_new(const struct folder *where, struct index *index) {
    struct scout *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    atomic_init(&s->references, 1);
    atomic_init(&s->steps, 0);
    pthread_mutex_init(&s->mutex, NULL);
    s->where = *where;
    s->index = index ? index_hold(index) : NULL;
    return s;
}

struct scout *scout_hold(struct scout *s) {
    atomic_fetch_add(&s->references, 1);
    return s;
}

void scout_release(struct scout *s) {
    if (s == NULL || atomic_fetch_sub(&s->references, 1) != 1) return;
    models_deinit(&s->models);
    index_release(s->index);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void step(void *context) {
    struct scout *s = context;
    atomic_store(&s->step_ns, clock_ns());
    atomic_fetch_add(&s->steps, 1);
    thread_unpark_all(&s->steps);
}

static int look(struct scout *s, struct models *found) {
    struct survey survey = {.folder = &s->where, .models = found, .progress = step, .context = s};
    struct index_entry ignored;
    int code = survey_run(&survey);
    for (size_t i = 0; s->index && i < found->count; i++) {
        (void)index_know(s->index, found->entries[i].path, &ignored);
        step(s);
    }
    if (s->index) index_save(s->index);
    return code;
}

/* Back with news. False: sent again in the meantime. */
static bool come_back(struct scout *s, int code, struct models *found) {
    pthread_mutex_lock(&s->mutex);
    struct models before = s->models;
    s->models = *found;
    s->code = code;
    s->out = s->again;
    s->again = s->given_up = false;
    bool home = !s->out;
    pthread_mutex_unlock(&s->mutex);
    models_deinit(&before);
    step(s);
    return home;
}

static void run(void *context) {
    struct scout *s = context;
    int code;
    struct models found;
    do {
        found = (struct models){0};
        code = look(s, &found);
    } while (!come_back(s, code, &found));
    scout_release(s);
}

void scout_send(struct scout *s) {
    pthread_mutex_lock(&s->mutex);
    bool start = !s->out;
    s->again = s->out;
    s->out = true;
    if (start) atomic_store(&s->step_ns, clock_ns());
    pthread_mutex_unlock(&s->mutex);
    if (!start || thread_start_loose("scout", run, scout_hold(s)) == 0) return;
    run(s); /* no thread to be had: then here */
}

static bool is_out(struct scout *s, bool *given_up) {
    pthread_mutex_lock(&s->mutex);
    bool out = s->out;
    *given_up = s->given_up;
    pthread_mutex_unlock(&s->mutex);
    return out;
}

/* Nothing came of it since `steps`. */
static bool give_up(struct scout *s, unsigned steps) {
    pthread_mutex_lock(&s->mutex);
    s->given_up = s->out && atomic_load(&s->steps) == steps;
    bool given_up = s->given_up;
    pthread_mutex_unlock(&s->mutex);
    return given_up;
}

bool scout_wait(struct scout *s) {
    for (;;) {
        bool given_up;
        unsigned steps = atomic_load(&s->steps);
        if (!is_out(s, &given_up)) return true;
        if (given_up) return false;
        uint64_t end_ns = atomic_load(&s->step_ns) + (uint64_t)patience_ns, now_ns;
        while (atomic_load(&s->steps) == steps && (now_ns = clock_ns()) < end_ns)
            thread_park(&s->steps, steps, (int64_t)(end_ns - now_ns));
        if (give_up(s, steps)) return false;
    }
}

/* ---- one path ---- */

struct knock {
    atomic_uint references, answered;
    char path[FOLDER_PATH_BYTES];
};

static void release_knock(struct knock *k) {
    if (atomic_fetch_sub(&k->references, 1) == 1) free(k);
}

static void knock(void *context) {
    struct knock *k = context;
    (void)access(k->path, F_OK);
    atomic_store(&k->answered, 1);
    thread_unpark_all(&k->answered);
    release_knock(k);
}

bool scout_knock(const char *path) {
    struct knock *k = strlen(path) < FOLDER_PATH_BYTES ? calloc(1, sizeof *k) : NULL;
    if (k == NULL) return true;
    atomic_init(&k->references, 2);
    snprintf(k->path, sizeof k->path, "%s", path);
    if (thread_start_loose("knock", knock, k) != 0) atomic_store(&k->references, 1);
    uint64_t end_ns = clock_ns() + (uint64_t)patience_ns;
    while (atomic_load(&k->references) > 1 && !atomic_load(&k->answered) && clock_ns() < end_ns)
        thread_park(&k->answered, 0, patience_ns);
    bool answered = atomic_load(&k->answered) || atomic_load(&k->references) == 1;
    release_knock(k);
    return answered;
}

void scout_look(struct scout *s, struct scout_view *out) {
    pthread_mutex_lock(&s->mutex);
    *out = (struct scout_view){.where = s->where, .hangs = s->given_up, .code = s->code, .models = s->models.count};
    for (size_t i = 0; i < s->models.count; i++) out->bytes += s->models.entries[i].bytes;
    pthread_mutex_unlock(&s->mutex);
}

int scout_report(struct scout *s, struct models *out) {
    int rc = 0;
    pthread_mutex_lock(&s->mutex);
    for (size_t i = 0; rc == 0 && i < s->models.count; i++) {
        struct models_entry entry = s->models.entries[i];
        entry.away = s->given_up;
        rc = models_add_pulled(out, entry.name, &entry);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}
