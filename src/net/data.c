#include "net/data.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "os/clock.h"

enum {
    GAP_NS_MAX = 500000000, /* longer gaps are pauses between requests and teach nothing */
    DEVIATION_NS_MAX = 2 * DATA_SPIN_NS,
    LEAD_NS_MAX = 500000,
    LEAD_STEP_NS = DATA_SPIN_NS / 4,
};

/* Where a wait stands: asleep until shortly before the frame is due, spinning, or asleep until it comes. */
enum phase { DOZING, SPINNING, SLEEPING };

struct wait {
    enum phase phase;
    uint64_t spin_ns; /* when it is to begin, then when it began */
};

/* Until something can be read, written, or is to be woken for. True when only time has passed. */
static bool sleep_until(struct data_link *const *links, unsigned count, int wake_fd, uint64_t until_ns, bool *woken) {
    struct pollfd watched[DATA_LINKS_MAX + 1];
    for (unsigned i = 0; i < count; i++) {
        const struct link *l = links[i]->link;
        short events = (short)((link_wants_read(l) ? POLLIN : 0) | (link_wants_write(l) ? POLLOUT : 0));
        watched[i] = (struct pollfd){.fd = link_fd(l), .events = events};
    }
    watched[count] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    uint64_t now_ns = clock_ns(), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left_ns / 1000000000u), .tv_nsec = (long)(left_ns % 1000000000u)};
    int ready = ppoll(watched, count + 1, until_ns == UINT64_MAX ? NULL : &timeout, NULL);
    *woken = ready > 0 && watched[count].revents != 0;
    return ready == 0;
}

static void pump_all(struct data_link *const *links, unsigned count) {
    for (unsigned i = 0; i < count; i++) link_pump(links[i]->link);
}

int data_send(struct data_link *const *links, unsigned count, unsigned to, const struct iovec *parts,
              unsigned part_count, int stop_fd, unsigned stall_ms) {
    struct link *l = links[to]->link;
    int rc = link_send(l, parts, part_count);
    size_t queued = link_queued_bytes(l);
    uint64_t stall_ns = (uint64_t)stall_ms * 1000000, until_ns = clock_ns() + stall_ns;
    while (rc == ERR_AGAIN || (rc == 0 && link_queued_bytes(l) > 0)) {
        bool woken;
        sleep_until(links, count, stop_fd, until_ns, &woken);
        pump_all(links, count);
        if (link_queued_bytes(l) < queued) until_ns = clock_ns() + stall_ns;
        queued = link_queued_bytes(l);
        if (link_state(l) == LINK_CLOSED) return ERR_CLOSED;
        if (woken) return ERR_CANCELLED;
        if (clock_ns() >= until_ns) return ERR_TIMEOUT;
        if (rc == ERR_AGAIN) rc = link_send(l, parts, part_count);
    }
    return rc;
}

static uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/* Aim at half a spin between waking and arrival. */
static void adjust_lead(struct data_link *d, const struct wait *wait, uint64_t now_ns) {
    int64_t step_ns = LEAD_STEP_NS; /* it came while we slept: wake earlier */
    if (wait->phase == SPINNING) step_ns = (DATA_SPIN_NS / 2 - (int64_t)(now_ns - wait->spin_ns)) / 4;
    if (wait->phase == SLEEPING) step_ns = -LEAD_STEP_NS;
    int64_t lead_ns = (int64_t)d->lead_ns + step_ns;
    d->lead_ns = lead_ns < 0 ? 0 : lead_ns > LEAD_NS_MAX ? LEAD_NS_MAX : (uint64_t)lead_ns;
}

static bool is_regular(const struct data_link *d) { return d->mean_ns > 0 && d->deviation_ns <= DEVIATION_NS_MAX; }

static void learn(struct data_link *d, const struct wait *wait) {
    if (d->begin_ns == 0) return; /* it was there before anyone waited */
    uint64_t now_ns = clock_ns(), gap_ns = now_ns - d->begin_ns;
    d->begin_ns = 0;
    if (gap_ns > GAP_NS_MAX) return;
    if (is_regular(d)) adjust_lead(d, wait, now_ns);
    if (d->mean_ns == 0) {
        d->mean_ns = gap_ns;
        d->deviation_ns = gap_ns / 2;
        return;
    }
    /* A thread that lost its core for a while must not spoil the averages: what is far off counts as less far off. */
    uint64_t far_ns = 4 * d->deviation_ns + DATA_SPIN_NS;
    if (gap_ns > d->mean_ns + far_ns) gap_ns = d->mean_ns + far_ns;
    d->deviation_ns = (3 * d->deviation_ns + distance(gap_ns, d->mean_ns)) / 4;
    d->mean_ns = (7 * d->mean_ns + gap_ns) / 8;
}

/* The first link that has something to tell, or -1. */
static int first_ready(struct data_link *const *links, unsigned count, const struct wait *wait) {
    for (unsigned i = 0; i < count; i++) {
        size_t len;
        if (link_next_frame(links[i]->link, &len)) {
            learn(links[i], wait);
            return (int)i;
        }
        if (link_state(links[i]->link) == LINK_CLOSED) return (int)i;
    }
    return -1;
}

/* The wait for a frame begins, or goes on after it was cancelled. */
static struct wait begin_wait(struct data_link *const *links, unsigned count, uint64_t now_ns) {
    uint64_t first_ns = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        struct data_link *d = links[i];
        if (d->begin_ns == 0) d->begin_ns = now_ns;
        uint64_t at_ns = d->begin_ns + (d->mean_ns > d->lead_ns ? d->mean_ns - d->lead_ns : 0);
        if (is_regular(d) && at_ns < first_ns) first_ns = at_ns;
    }
    bool in_time = first_ns != UINT64_MAX && now_ns < first_ns + DATA_SPIN_NS;
    return (struct wait){.phase = in_time ? DOZING : SLEEPING, .spin_ns = first_ns};
}

/* Let time pass as the phase wants it, at most until until_ns. */
static void pass_time(struct data_link *const *links, unsigned count, int wake_fd, uint64_t until_ns, struct wait *wait,
                      bool *woken) {
    if (wait->phase == SLEEPING || (wait->phase == DOZING && wait->spin_ns >= until_ns)) {
        sleep_until(links, count, wake_fd, until_ns, woken);
    } else if (wait->phase == SPINNING) {
        if (clock_ns() - wait->spin_ns >= DATA_SPIN_NS) wait->phase = SLEEPING;
    } else if (clock_ns() >= wait->spin_ns || sleep_until(links, count, wake_fd, wait->spin_ns, woken)) {
        *wait = (struct wait){.phase = SPINNING, .spin_ns = clock_ns()};
    }
}

int data_wait(struct data_link *const *links, unsigned count, int wake_fd, uint64_t until_ns) {
    assert(count > 0 && count <= DATA_LINKS_MAX);
    struct wait wait = {0};
    bool begun = false, woken = false;
    for (;;) {
        pump_all(links, count);
        int ready = first_ready(links, count, &wait);
        if (ready >= 0) return ready;
        if (woken) return ERR_CANCELLED;
        uint64_t now_ns = clock_ns();
        if (now_ns >= until_ns) return ERR_TIMEOUT;
        if (!begun) wait = begin_wait(links, count, now_ns);
        begun = true;
        pass_time(links, count, wake_fd, until_ns, &wait, &woken);
    }
}

/* How many of the links, from the first on, have a frame. */
static unsigned count_ready(struct data_link *const *links, unsigned count) {
    unsigned ready = 0;
    for (size_t len; ready < count && link_next_frame(links[ready]->link, &len); ready++) continue;
    return ready;
}

int data_gather(struct data_link *const *links, unsigned count, int wake_fd) {
    assert(count > 0 && count <= DATA_LINKS_MAX);
    uint64_t begin_ns = clock_ns();
    bool woken = false;
    for (unsigned ready = 0;; pump_all(links, count)) {
        ready += count_ready(links + ready, count - ready);
        if (ready == count || link_state(links[ready]->link) == LINK_CLOSED) return (int)ready;
        if (woken) return ERR_CANCELLED;
        if (clock_ns() - begin_ns > DATA_GATHER_SPIN_NS) sleep_until(links, count, wake_fd, UINT64_MAX, &woken);
    }
}
