#include "node/probes.h"

#include <assert.h>
#include <stdlib.h>

#include "net/probe.h"
#include "node/daemon_private.h"

enum { SERVED_MAX = 2 }; /* at once: the pool has other things to do */

struct probing {
    uv_work_t work;
    struct daemon *daemon;
    struct link *link;
    uint64_t number; /* of the node's probe; 0: it is another's */
    struct probe_result result;
};

static void tell(struct daemon *d, uint64_t number, const struct probe_result *result) {
    driver_later(
        d, &(struct node_event){
               .type = NODE_PROBE_DONE, .dial = number, .rtt_us = result->rtt_us, .bandwidth = result->bandwidth});
}

static void on_pool_probe(uv_work_t *work) {
    struct probing *p = work->data;
    if (p->number == 0)
        probe_serve(p->link);
    else if (probe_run(p->link, &p->result) != 0)
        p->result = (struct probe_result){0};
}

static void on_probed(uv_work_t *work, int status) {
    struct probing *p = work->data;
    struct daemon *d = p->daemon;
    link_free(p->link);
    d->errands--;
    if (p->number == 0)
        d->probes_served--;
    else if (!d->stopping)
        tell(d, p->number, &p->result);
    free(p);
}

static void start(struct daemon *d, struct link *link, uint64_t number) {
    struct probing *p = calloc(1, sizeof *p);
    assert(p != NULL);
    *p = (struct probing){.daemon = d, .link = link, .number = number};
    p->work.data = p;
    d->errands++;
    uv_queue_work(&d->loop, &p->work, on_pool_probe, on_probed);
}

/* The number travels in the hello's field for an instance, which a probe has no other use for. */
static void on_dialled(struct daemon *d, const struct wire_hello *hello, struct link *link) {
    if (link)
        start(d, link, hello->instance);
    else if (!d->stopping)
        tell(d, hello->instance, &(struct probe_result){0});
}

void probes_begin(struct daemon *d, const struct node_effect *e) {
    struct wire_hello hello = {.kind = WIRE_PROBE, .instance = e->dial};
    control_dial_data(d, &e->address, &hello, on_dialled);
}

bool probes_welcome(const struct daemon *d) { return d->probes_served < SERVED_MAX; }

void probes_serve(struct daemon *d, struct link *link) {
    d->probes_served++;
    start(d, link, 0);
}
