/* Stage 0's way through the other stages: the runner's ring over two data links.
 *
 * A step leaves for stage 1 and comes back from the last stage; each stage adds what it spent computing, so what is
 * left of the round is the price of the hops, measured by one clock. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "node/worker_private.h"
#include "os/clock.h"

enum { IN_FLIGHT_MAX = 4, HOP_SAMPLE_ROWS_MAX = 8, PINGS = 51, PING_TIMEOUT_NS = 100000000 };

static int send_step(void *context, const struct step *step, const float *hidden, struct error *error) {
    struct worker *w = context;
    struct wire_step s = {
        .type = WIRE_STEP,
        .instance = w->plan.instance,
        .epoch = w->plan.epoch,
        .number = step->number,
        .origin_us = clock_us(),
        .row_count = step->row_count,
        .page_count = step->page_count,
        .width = w->card->model.params.embd,
    };
    uint8_t *to;
    uint64_t begin_ns = clock_ns();
    if (worker__encode(w, &s, step, &to) == NULL) return error_set(error, ERR_NOMEM, "no memory for a frame");
    memcpy(to, hidden, (size_t)step->row_count * s.width * sizeof(float));
    int rc = worker__send(w, w->frame, wire_step_bytes(&s), error);
    w->spent.sending_ns += clock_ns() - begin_ns;
    if (rc == 0) w->in_flight++;
    return rc;
}

/* Only a step that travels alone shows the price of a hop: others wait behind each other's computing. */
static void take_sample(struct worker *w, const struct wire_step *s) {
    if (w->in_flight != 1 || s->row_count == 0 || s->row_count > HOP_SAMPLE_ROWS_MAX) return;
    uint64_t round = clock_us() - s->origin_us;
    uint64_t price = round > s->compute_us ? round - s->compute_us : 0;
    w->hop_us[w->hops++ % HOP_SAMPLES] = (uint32_t)(price / w->plan.stages);
}

static int failed_step(const uint8_t *frame, size_t len, struct error *error) {
    struct wire_step_failed f;
    int rc = wire_step_failed_decode(&f, frame, len, error);
    return rc ? rc : error_set(error, ERR_LOST, "%s", f.text);
}

static int take_result(struct worker *w, const uint8_t *frame, size_t len, uint64_t number, float *hidden,
                       uint32_t row_count, struct error *error) {
    struct wire_header h;
    if (wire_header_decode(&h, frame, WIRE_DATA, error) != 0) return ERR_INVALID;
    if (h.type == WIRE_STEP_FAILED) return failed_step(frame, len, error);
    struct wire_step s;
    if (wire_step_decode(&s, frame, len, error) != 0) return ERR_INVALID;
    if (s.type != WIRE_STEP_RESULT || s.number != number || s.row_count != row_count ||
        (row_count > 0 && s.width != w->card->model.params.embd))
        return error_set(error, ERR_INVALID, "the ring returned something else than step %llu",
                         (unsigned long long)number);
    memcpy(hidden, s.hidden, (size_t)row_count * s.width * sizeof(float));
    take_sample(w, &s);
    w->spent.others_us += s.compute_us;
    return 0;
}

static int receive_step(void *context, uint64_t number, float *hidden, uint32_t row_count, bool wait,
                        struct error *error) {
    struct worker *w = context;
    size_t len;
    const uint8_t *frame = NULL;
    if (!wait) {
        if (w->source.link == NULL) return error_set(error, ERR_LOST, "the last stage is gone");
        link_pump(w->source.link);
        frame = link_next_frame(w->source.link, &len);
        if (frame == NULL && link_state(w->source.link) != LINK_CLOSED) return ERR_AGAIN;
    }
    uint64_t begin_ns = clock_ns();
    int rc = frame ? 0 : worker__await(w, w->stop, &frame, &len, error);
    w->spent.waiting_ns += clock_ns() - begin_ns;
    if (rc) return rc == ERR_CANCELLED ? error_set(error, ERR_CANCELLED, "stopped") : rc;
    rc = take_result(w, frame, len, number, hidden, row_count, error);
    link_frame_done(w->source.link);
    w->in_flight--;
    return rc;
}

/* ---- what the links cost by themselves ---- */

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One frame there and back; 0 when it does not come back in time. */
static uint64_t ping_ns(struct worker *w, const uint8_t *frame, size_t len) {
    struct data_link *links[] = {&w->source, &w->target};
    uint64_t begin = clock_ns();
    if (worker__send(w, frame, len, NULL) != 0) return 0;
    int rc = data_wait(links, 2, w->stop, begin + PING_TIMEOUT_NS);
    size_t got;
    if (rc != 1 || link_next_frame(w->target.link, &got) == NULL) return 0;
    link_frame_done(w->target.link);
    return clock_ns() - begin;
}

void ring__measure_raw(struct worker *w) {
    struct wire_step one = {.type = WIRE_STEP, .row_count = 1, .width = w->card->model.params.embd};
    size_t len = wire_step_bytes(&one);
    uint8_t *frame = calloc(1, len);
    if (frame == NULL) return;
    struct bytes_writer writer = bytes_writer(frame, WIRE_HEADER_BYTES);
    bytes_put_u32(&writer, (uint32_t)(len - WIRE_HEADER_BYTES));
    bytes_put_u16(&writer, WIRE_PING);
    uint64_t took[PINGS];
    for (size_t i = 0; i < PINGS; i++)
        if ((took[i] = ping_ns(w, frame, len)) == 0) goto out;
    qsort(took, PINGS, sizeof *took, compare_u64);
    w->raw_hop_us = (uint32_t)(took[PINGS / 2] / 2000) + 1;
out:
    free(frame);
}

void ring__init(struct worker *w) {
    uint32_t stages = w->plan.stages;
    w->ring = (struct runner_ring){.context = w,
                                   .in_flight_max = stages > IN_FLIGHT_MAX ? stages : IN_FLIGHT_MAX,
                                   .stages = stages,
                                   .send = send_step,
                                   .receive = receive_step};
}
