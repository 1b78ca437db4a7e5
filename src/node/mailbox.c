#include "node/mailbox.h"

#include <stddef.h>

static struct letter *take_all(struct mailbox *m) {
    pthread_mutex_lock(&m->mutex);
    struct letter *all = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->mutex);
    return all;
}

static void deliver_all(struct mailbox *m) {
    for (struct letter *letter = take_all(m); letter;) {
        struct letter *next = letter->next;
        letter->deliver(letter);
        letter = next;
    }
}

static void on_wake(uv_async_t *wake) { deliver_all(wake->data); }

int mailbox_init(struct mailbox *m, uv_loop_t *loop) {
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_init(&m->mutex, NULL);
    int rc = uv_async_init(loop, &m->wake, on_wake);
    m->wake.data = m;
    return rc;
}

void mailbox_close(struct mailbox *m) {
    deliver_all(m);
    uv_close((uv_handle_t *)&m->wake, NULL);
}

void mailbox_deinit(struct mailbox *m) { pthread_mutex_destroy(&m->mutex); }

void mailbox_post(struct mailbox *m, struct letter *letter) {
    letter->next = NULL;
    pthread_mutex_lock(&m->mutex);
    *m->last = letter;
    m->last = &letter->next;
    pthread_mutex_unlock(&m->mutex);
    uv_async_send(&m->wake);
}
