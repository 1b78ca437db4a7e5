/* Data links: how a worker sends and awaits the frames of a step. The token path.
 *
 * A worker owns the links of its stages and its thread does everything on them. Sending never stops reading: while the
 * socket is full, what arrives is taken in, so two big frames that cross cannot block each other. Waiting follows the
 * wait rule: the next frame is expected after the moving average of the gaps before (mean and mean deviation as in
 * Jacobson, "Congestion avoidance and control", SIGCOMM 1988); sleep until just before, spin at most
 * DATA_SPIN_NS, then sleep again. Where arrivals are too irregular for that, it only sleeps. Members of a stage, who
 * wait for each other many times a token, spin longer before they sleep. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "net/link.h"

enum { DATA_LINKS_MAX = 64, DATA_SPIN_NS = 100000, DATA_GATHER_SPIN_NS = 1000000 };

/* One end of a data link. The first field is set by the caller, who owns the link; zero the rest. */
struct data_link {
    struct link *link;
    uint64_t begin_ns;     /* when the wait for the next frame began; 0: not waiting */
    uint64_t mean_ns;      /* moving average of how long frames took from there; 0: nothing known yet */
    uint64_t deviation_ns; /* moving average of the distance from it */
    uint64_t lead_ns;      /* how long before the expected arrival to wake: learnt, since waking itself takes time */
};

/* Send one frame given in parts (see link_send) on links[to] and wait until the kernel has all of it, while every link
 * of the list keeps reading: in a ring, everybody may be sending at once. ERR_CLOSED; ERR_CANCELLED when stop_fd
 * (eventfd; -1: none) is readable, ERR_TIMEOUT after stall_ms without progress: the link is then to be dropped. */
int data_send(struct data_link *const *links, unsigned count, unsigned to, const struct iovec *parts,
              unsigned part_count, int stop_fd, unsigned stall_ms);

/* Wait for a frame on any of the links. Returns the index of a link that has one (take it with link_next_frame) or
 * that is closed (link_state); ERR_CANCELLED when wake_fd is readable and no link has anything (the caller reads the
 * wake_fd), ERR_TIMEOUT at until_ns (UINT64_MAX: never). Writes what is queued meanwhile. */
int data_wait(struct data_link *const *links, unsigned count, int wake_fd, uint64_t until_ns);

/* Wait until there is a frame on every one of the links: spin for DATA_GATHER_SPIN_NS, then sleep. Returns count; or
 * the index of a link that is closed and has none; ERR_CANCELLED as above. Writes what is queued meanwhile. */
int data_gather(struct data_link *const *links, unsigned count, int wake_fd);
