#include "os/thread.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

static void *thread_main(void *argument) {
    struct thread *t = argument;
    t->run(t->context);
    return NULL;
}

static void *loose_main(void *argument) {
    struct thread t = *(struct thread *)argument;
    free(argument);
    t.run(t.context);
    return NULL;
}

static int create(struct thread *t, const char *name, void *(*main)(void *argument), bool loose) {
    pthread_t id;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&id, NULL, main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure) return ERR_NOMEM;
    char short_name[16] = {0};
    for (unsigned i = 0; i < sizeof short_name - 1 && name[i]; i++) short_name[i] = name[i];
    pthread_setname_np(id, short_name);
    if (loose)
        pthread_detach(id); /* `t` is its own, and may be gone */
    else
        t->id = id;
    return 0;
}

int thread_start(struct thread *t, const char *name, void (*run)(void *context), void *context) {
    t->run = run;
    t->context = context;
    return create(t, name, thread_main, false);
}

int thread_start_loose(const char *name, void (*run)(void *context), void *context) {
    struct thread *t = malloc(sizeof *t);
    if (t == NULL) return ERR_NOMEM;
    *t = (struct thread){.run = run, .context = context};
    int rc = create(t, name, loose_main, true);
    if (rc < 0) free(t);
    return rc;
}

void thread_join(struct thread *t) { pthread_join(t->id, NULL); }

void thread_park(atomic_uint *word, unsigned value, int64_t timeout_ns) {
    struct timespec timeout = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
}

void thread_unpark_all(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0); }

void thread_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}
