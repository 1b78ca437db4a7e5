/* One event in, effects out in their order, the next deadline as a timer.
 *
 * Carrying out an effect never causes an event at once: what fails on the spot is told a little later, so the node sees
 * one step at a time, as it does in the simulator. */
#include "node/driver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "node/daemon_private.h"
#include "node/downloads.h"
#include "node/events.h"

uint64_t driver_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void carry_out(struct daemon *d, const struct node_effect *e) {
    switch (e->type) {
    case NODE_SEND_BEACON: control_send_beacon(d, &e->beacon); break;
    case NODE_DIAL: control_dial(d, e->dial, &e->address); break;
    case NODE_CLOSE: control_close(d, e->link); break;
    case NODE_SEND: control_send(d, e->link, e->bytes, e->len); break;
    case NODE_PROBE: probes_begin(d, e); break;
    case NODE_MEASURE: daemon_measure(d); break;
    case NODE_LOOKUP_MODEL: requests_lookup(d, e); break;
    case NODE_READ_HEADER: requests_read_header(d, e); break;
    case NODE_MEASURE_MODEL: requests_describe(d, e); break;
    case NODE_HEADER_PIECE: requests_header_piece(d, e); break;
    case NODE_SLICE_LOAD: slices_load(d, e); break;
    case NODE_SLICE_UNLOAD: slices_unload(d, e->instance, &e->epoch); break;
    case NODE_RING_CONNECT: slices_connect(d, e); break;
    case NODE_REPLY: requests_reply(d, e); break;
    case NODE_JOB_START: slices_start_job(d, e->gateway, &e->epoch, e->submit); break;
    case NODE_JOB_AGAIN: gateway_again(d, e->job, e->attempt); break;
    case NODE_JOB_ABORT: slices_abort_job(d, e->gateway, e->job, e->attempt); break;
    case NODE_JOB_TOKENS: gateway_tokens(d, e->tokens); break;
    case NODE_JOB_ROWS: gateway_rows(d, e->rows); break;
    case NODE_JOB_END: gateway_end(d, e->end); break;
    case NODE_ID_CHANGED: daemon_keep_id(d, e->id); break;
    case NODE_SECRET_CHANGED: daemon_keep_secret(d, e->secret); break;
    case NODE_LOG: log_emit(&d->log, e->level, "%s", e->text); break;
    case NODE_CHANGED:
        events_changed(d);
        d->peers_changed = true;
        break;
    }
}

static void on_tick(uv_timer_t *timer) { driver_event(timer->data, &(struct node_event){.type = NODE_TICK}); }

static void set_timer(struct daemon *d) {
    uint64_t now = driver_now_us(), deadline = node_deadline(d->node);
    uv_update_time(&d->loop);
    uv_timer_start(&d->tick, on_tick, deadline > now ? (deadline - now + 999) / 1000 : 0, 0);
}

void driver_event(struct daemon *d, struct node_event *event) {
    if (d->node == NULL) return;
    assert(!d->stepping);
    struct node_effects effects = {0};
    event->now_us = driver_now_us();
    d->stepping = true;
    node_step(d->node, event, &effects);
    for (const struct node_effect *e = effects.first; e; e = e->next) carry_out(d, e);
    d->stepping = false;
    node_effects_clear(&effects);
    if (d->peers_changed) downloads_peers(d);
    d->peers_changed = false;
    if (!d->stopping) set_timer(d);
}

/* ---- a little later ---- */

struct postponed {
    struct letter letter;
    struct daemon *daemon;
    struct node_event event;
    struct wire_job_end end;
    char text[ERROR_TEXT_BYTES];
};

static void deliver_postponed(struct letter *letter) {
    struct postponed *p = (struct postponed *)letter;
    if (p->event.text) p->event.text = p->text;
    if (p->event.end) p->event.end = &p->end;
    driver_event(p->daemon, &p->event);
    free(p);
}

void driver_later(struct daemon *d, const struct node_event *event) {
    struct postponed *p = calloc(1, sizeof *p);
    assert(p != NULL);
    p->letter.deliver = deliver_postponed;
    p->daemon = d;
    p->event = *event;
    if (event->text) snprintf(p->text, sizeof p->text, "%s", event->text);
    if (event->end) p->end = *event->end;
    mailbox_post(&d->mailbox, &p->letter);
}

void driver_later_job_failed(struct daemon *d, uint64_t gateway, uint64_t job, uint32_t attempt, const char *why) {
    struct wire_job_end end = {.job = job, .attempt = attempt, .reason = WIRE_JOB_FAILED, .code = ERR_LOST};
    snprintf(end.text, sizeof end.text, "%.255s", why);
    driver_later(d, &(struct node_event){.type = NODE_JOB_DONE, .gateway = gateway, .end = &end});
}
