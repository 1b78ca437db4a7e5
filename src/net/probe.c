#include "net/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/data.h"
#include "os/clock.h"
#include "wire/message.h"

enum {
    PINGS = 9,
    PING_BYTES = 64,
    SMALL_FRAMES = 8,
    SMALL_BYTES = 16 << 10,
    BIG_FRAMES = 16,
    BIG_BYTES = 64 << 10,
    BIG_FROM_NS = 8000000, /* half a burst that takes so long says enough */
    BURSTS = 3,
    STALL_MS = 1000,
    RUN_MS = 3000,
    SERVE_MS = 4000,
};

struct prober {
    struct data_link data;
    uint64_t end_ns, rtt_ns;
    uint8_t frame[BIG_BYTES];
};

static struct iovec fill_frame(struct prober *p, size_t bytes) {
    struct bytes_writer w = bytes_writer(p->frame, LINK_HEADER_BYTES);
    bytes_put_u32(&w, (uint32_t)(bytes - LINK_HEADER_BYTES));
    bytes_put_u16(&w, WIRE_PING);
    bytes_put_u16(&w, 0);
    return (struct iovec){p->frame, bytes};
}

/* Wait for the next frame and take it. */
static int await(struct prober *p) {
    struct data_link *links[] = {&p->data};
    size_t len;
    int rc = data_wait(links, 1, -1, p->end_ns);
    if (rc < 0) return rc;
    if (link_next_frame(p->data.link, &len) == NULL) return ERR_CLOSED;
    link_frame_done(p->data.link);
    return 0;
}

/* So many frames of a size there and back. *half_ns: from the answer in the middle to the last one, or, where answers
 * waited here for somebody to look, half of the time that all of them took. */
static int burst(struct prober *p, unsigned frames, size_t bytes, uint64_t *half_ns) {
    struct data_link *links[] = {&p->data};
    struct iovec part = fill_frame(p, bytes);
    uint64_t begin_ns = clock_ns(), middle_ns = begin_ns;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < frames; i++) rc = data_send(links, 1, 0, &part, 1, -1, STALL_MS);
    for (unsigned i = 0; rc == 0 && i < frames; i++) {
        rc = await(p);
        if (i + 1 == frames / 2) middle_ns = clock_ns();
    }
    uint64_t end_ns = clock_ns(), took_ns = end_ns - begin_ns, back_ns = p->rtt_ns < took_ns ? p->rtt_ns : took_ns;
    uint64_t average_ns = (took_ns - back_ns) / 2 + 1;
    *half_ns = end_ns - middle_ns > average_ns ? end_ns - middle_ns : average_ns;
    return rc;
}

static uint64_t rate(unsigned frames, size_t bytes, uint64_t half_ns) {
    return (uint64_t)(frames / 2 * bytes * 1000000000ull / half_ns);
}

static int measure_round_trip(struct prober *p, uint32_t *rtt_us) {
    uint64_t least_ns = UINT64_MAX, ignored;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < PINGS; i++) {
        uint64_t begin_ns = clock_ns();
        rc = burst(p, 1, PING_BYTES, &ignored);
        uint64_t took_ns = clock_ns() - begin_ns;
        if (took_ns < least_ns) least_ns = took_ns;
    }
    p->rtt_ns = least_ns;
    *rtt_us = (uint32_t)(least_ns / 1000) + 1;
    return rc;
}

/* The best of some bursts, as long as they cost little. */
static int measure_bandwidth(struct prober *p, uint64_t *bandwidth) {
    uint64_t half_ns;
    int rc = burst(p, SMALL_FRAMES, SMALL_BYTES, &half_ns);
    *bandwidth = rate(SMALL_FRAMES, SMALL_BYTES, half_ns);
    if (rc || half_ns >= BIG_FROM_NS) return rc;
    *bandwidth = 0;
    for (int i = 0; rc == 0 && i < BURSTS && half_ns < BIG_FROM_NS; i++) {
        rc = burst(p, BIG_FRAMES, BIG_BYTES, &half_ns);
        uint64_t here = rate(BIG_FRAMES, BIG_BYTES, half_ns);
        if (rc == 0 && here > *bandwidth) *bandwidth = here;
    }
    return rc;
}

static struct prober *begin(struct link *link, unsigned ms) {
    struct prober *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->data.link = link;
    p->end_ns = clock_ns() + ms * 1000000ull;
    return p;
}

int probe_run(struct link *link, struct probe_result *out) {
    struct prober *p = begin(link, RUN_MS);
    if (p == NULL) return ERR_NOMEM;
    int rc = measure_round_trip(p, &out->rtt_us);
    if (rc == 0) rc = measure_bandwidth(p, &out->bandwidth);
    free(p);
    return rc;
}

/* The oldest frame goes back; false: there is none that may. */
static bool answer(struct prober *p) {
    struct data_link *links[] = {&p->data};
    size_t len;
    const uint8_t *frame = link_next_frame(p->data.link, &len);
    if (frame == NULL || len > sizeof p->frame) return false;
    struct bytes_reader r = bytes_reader(frame + 4, 2);
    if (bytes_u16(&r) != WIRE_PING) return false;
    memcpy(p->frame, frame, len);
    link_frame_done(p->data.link);
    struct bytes_writer w = bytes_writer(p->frame + 4, 2);
    bytes_put_u16(&w, WIRE_PONG);
    struct iovec part = {p->frame, len};
    return data_send(links, 1, 0, &part, 1, -1, STALL_MS) == 0;
}

void probe_serve(struct link *link) {
    struct prober *p = begin(link, SERVE_MS);
    if (p == NULL) return;
    struct data_link *links[] = {&p->data};
    uint64_t now_ns;
    while ((now_ns = clock_ns()) < p->end_ns) {
        uint64_t until_ns = now_ns + STALL_MS * 1000000ull;
        if (data_wait(links, 1, -1, until_ns) != 0 || !answer(p)) break;
    }
    free(p);
}
