#include "cli/own_node.h"

#include <stdlib.h>

#include "os/thread.h"

struct own_node {
    struct daemon *daemon;
    struct thread thread;
};

static void run(void *context) {
    const struct own_node *n = context;
    daemon_run(n->daemon);
}

int own_node_open(struct own_node **out, const struct daemon_options *options, struct error *error) {
    struct own_node *n = calloc(1, sizeof *n);
    if (n == NULL) return error_set(error, ERR_NOMEM, "out of memory");
    int code = daemon_new(&n->daemon, options, error);
    if (code == 0 && thread_start(&n->thread, "node", run, n) != 0) {
        daemon_free(n->daemon);
        code = error_set(error, ERR_LIMIT, "cannot start a thread for the node");
    }
    if (code == 0)
        *out = n;
    else
        free(n);
    return code;
}

void own_node_close(struct own_node *n) {
    if (n == NULL) return;
    daemon_stop(n->daemon);
    thread_join(&n->thread);
    daemon_free(n->daemon);
    free(n);
}
