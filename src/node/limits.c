#include "node/limits.h"

#include <math.h>
#include <stdlib.h>

#include "node/gateway_private.h"
#include "os/clock.h"

enum { US_PER_S = 1000000, US_PER_MS = 1000, RETRY_S_MAX = 60 };

static const double timeout_s_max = 1e6;

/* ---- the queue ---- */

static bool is_waiting(const struct gateway_job *j) { return j->words && j->x && !j->heard; }

static unsigned count_waiting(const struct daemon *d) {
    unsigned count = 0;
    for (const struct gateway_job *j = d->jobs; j; j = j->next) count += is_waiting(j);
    return count;
}

unsigned limits_retry_after_s(const struct daemon *d) {
    double mean_s = metrics_mean_s(&d->metrics), seconds = ceil(mean_s * count_waiting(d) / WORKER_SESSIONS);
    return seconds < 1 ? 1 : seconds > RETRY_S_MAX ? RETRY_S_MAX : (unsigned)seconds;
}

/* ---- deadlines ---- */

void limits_set_late(struct gateway_job *j) {
    api_error_set(&j->error, 504, "server_error", "deadline_exceeded", "",
                  "the time that this request was given is over: %.3g s", (double)j->timeout_us / US_PER_S);
}

/* While it is read, or its model's header is on its way, it cannot be answered: it is as soon as that is over. */
static void end_late(struct gateway_job *j) {
    j->late = true;
    parts_cancel(j);
    gateway__cancel(j);
    if ((j->working && !j->parts_posted) || j->header_asked) {
        j->gone = true;
        return;
    }
    j->loading = 0;
    limits_set_late(j);
    j->dialect->fail(j, &j->error);
    gateway__drop_if_done(j);
}

static void on_timer(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    uint64_t now = clock_us(), first = UINT64_MAX;
    for (struct gateway_job *j = d->jobs, *next; j; j = next) {
        next = j->next;
        if (j->timeout_us == 0 || j->late || j->x == NULL) continue;
        uint64_t due = j->reply.begin_us + j->timeout_us;
        if (due <= now)
            end_late(j);
        else if (due < first)
            first = due;
    }
    if (first != UINT64_MAX) uv_timer_start(timer, on_timer, (first - now) / US_PER_MS + 1, 0);
}

static double wanted_s(const struct gateway_job *j) {
    const char *text = http_header(j->x, "x-request-timeout");
    double seconds = text ? strtod(text, NULL) : 0, own = j->daemon->options.request_timeout_s;
    if (!(seconds > 0 && seconds < timeout_s_max)) return own;
    return own > 0 && own < seconds ? own : seconds;
}

static void set_deadline(struct gateway_job *j) {
    uv_timer_t *timer = &j->daemon->deadline_timer;
    j->timeout_us = (uint64_t)(wanted_s(j) * US_PER_S);
    if (j->timeout_us == 0) return;
    uint64_t ms = j->timeout_us / US_PER_MS + 1;
    if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > ms) uv_timer_start(timer, on_timer, ms, 0);
}

bool limits_admit(struct gateway_job *j) {
    if (j->words == NULL) return true;
    unsigned waiting = count_waiting(j->daemon) - 1; /* beside this one */
    if (waiting < j->daemon->options.queue_max) {
        set_deadline(j);
        return true;
    }
    api_error_set(&j->error, 429, "rate_limit_error", "rate_limit_exceeded", "",
                  "%u requests wait already: try again later", waiting);
    gateway__fail(j, &j->error);
    gateway__drop_if_done(j);
    return false;
}
