/* Measuring a path: round trips, and a burst that comes back, over a link that is there for nothing else.
 *
 * Frames are PING, which the other side sends back as PONG (wire/message.h). The bandwidth is what the second half of
 * the burst's answers comes in at, so that neither the way there and back nor a bucket of a traffic shaper counts; it
 * is that of the slower direction, encryption included. Both calls block: for a thread that has time. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "net/link.h"

struct probe_result {
    uint32_t rtt_us;    /* the least: others, or a CPU quota, may hold up the rest */
    uint64_t bandwidth; /* bytes/s */
};

/* Takes up to 3 s and a little more than a megabyte; a slow path gets 128 KiB only. ERR_CLOSED, ERR_TIMEOUT. */
int probe_run(struct link *link, struct probe_result *out);
/* Answer until the other side closes, is silent for a second, or has had 4 s. */
void probe_serve(struct link *link);
