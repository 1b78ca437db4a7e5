/* Members of one stage: the slice's exchange with the others over the data links, and the turn of all but the first.
 *
 * Each sends to each, and nobody waits for others to take what was sent: it goes on its way while the next rows are
 * computed. Whatever a member cannot do it tells the first one, which waits for its columns. */
#include <stdio.h>
#include <string.h>

#include "node/worker_private.h"
#include "os/clock.h"

static uint16_t type_of(enum exchange_kind kind) { return (uint16_t)(WIRE_COLUMNS + kind); }

static int lost(const struct worker *w, uint32_t member, struct error *error) {
    const struct link *link = w->peers[member].link;
    return error_set(error, ERR_LOST, "member %u of stage %u is gone: %s", member, w->plan.stage,
                     link ? link_error(link)->text : "no link");
}

/* The links with the other members, and which they are. */
struct others {
    struct data_link *links[WIRE_MEMBERS_MAX];
    uint32_t members[WIRE_MEMBERS_MAX], count;
};

/* ERR_LOST when one is missing. */
static int find_others(struct worker *w, bool first_only, struct others *o, struct error *error) {
    o->count = 0;
    for (uint32_t i = 0; i < (first_only ? 1 : w->plan.members); i++) {
        if (i == w->plan.member) continue;
        if (w->peers[i].link == NULL) return lost(w, i, error);
        o->members[o->count] = i;
        o->links[o->count++] = &w->peers[i];
    }
    return 0;
}

/* ---- sending ---- */

/* Queue a frame on one link; while too much is waiting there, all keep moving. */
static int queue_frame(struct worker *w, const struct others *o, uint32_t to, const struct iovec *parts, unsigned count,
                       struct error *error) {
    int rc = link_send(o->links[to]->link, parts, count);
    if (rc == ERR_AGAIN) rc = data_send(o->links, o->count, to, parts, count, w->stop, SEND_STALL_MS);
    if (rc == ERR_CANCELLED) return error_set(error, rc, "stopped");
    return rc < 0 ? lost(w, o->members[to], error) : 0;
}

static int send_exchange(void *context, enum exchange_kind kind, const void *bytes, size_t len, struct error *error) {
    struct worker *w = context;
    struct others o;
    uint8_t head[WIRE_EXCHANGE_HEAD_BYTES];
    struct wire_exchange e = {.type = type_of(kind), .number = ++w->sent[kind], .len = len};
    struct iovec parts[] = {{head, sizeof head}, {(void *)(uintptr_t)bytes, len}};
    int rc = find_others(w, kind == EXCHANGE_LOGITS, &o, error);
    uint64_t begin_ns = clock_ns();
    wire_exchange_encode(&e, head);
    for (uint32_t i = 0; rc == 0 && i < o.count; i++) rc = queue_frame(w, &o, i, parts, 2, error);
    w->spent.sending_ns += clock_ns() - begin_ns;
    return rc;
}

/* The whole step has to be with the others before they can begin. */
static int lead(void *context, const struct step *step, const float *hidden, struct error *error) {
    struct worker *w = context;
    struct others o;
    uint8_t *to;
    struct wire_step s = {.type = WIRE_STEP,
                          .instance = w->plan.instance,
                          .epoch = w->plan.epoch,
                          .number = step->number,
                          .row_count = step->row_count,
                          .page_count = step->page_count,
                          .width = w->card->model.params.embd};
    int rc = find_others(w, false, &o, error);
    if (rc == 0 && worker__encode(w, &s, step, &to) == NULL) rc = error_set(error, ERR_NOMEM, "no memory for a frame");
    if (rc < 0) return rc;
    memcpy(to, hidden, (size_t)step->row_count * s.width * sizeof(float));
    struct iovec part = {w->frame, wire_step_bytes(&s)};
    for (uint32_t i = 0; i < o.count; i++) {
        rc = data_send(o.links, o.count, i, &part, 1, w->stop, SEND_STALL_MS);
        if (rc < 0) return rc == ERR_CANCELLED ? error_set(error, rc, "stopped") : lost(w, o.members[i], error);
    }
    return 0;
}

/* ---- receiving ---- */

static int failed(const uint8_t *frame, size_t len, struct error *error) {
    struct wire_step_failed f;
    int rc = wire_step_failed_decode(&f, frame, len, error);
    return rc ? rc : error_set(error, ERR_LOST, "%s", f.text);
}

static int take_exchange(struct worker *w, struct link *link, enum exchange_kind kind, size_t want,
                         const uint8_t **bytes, struct error *error) {
    size_t len;
    const uint8_t *frame = link_next_frame(link, &len);
    struct wire_header h;
    struct wire_exchange e;
    int rc = wire_header_decode(&h, frame, WIRE_DATA, error);
    if (rc == 0 && h.type == WIRE_STEP_FAILED) return failed(frame, len, error);
    if (rc == 0) rc = wire_exchange_decode(&e, frame, len, error);
    if (rc < 0) return rc;
    if (e.type != type_of(kind) || e.number != w->taken[kind] || e.len != want)
        return error_set(error, ERR_INVALID, "a member sent %zu bytes of type %u, number %llu, instead of %zu of %llu",
                         e.len, e.type, (unsigned long long)e.number, want, (unsigned long long)w->taken[kind]);
    *bytes = e.bytes;
    return 0;
}

static int receive_exchange(void *context, enum exchange_kind kind, const size_t *len, const uint8_t **from,
                            struct error *error) {
    struct worker *w = context;
    struct others o;
    int rc = find_others(w, false, &o, error);
    if (rc < 0) return rc;
    uint64_t begin_ns = clock_ns();
    int ready = data_gather(o.links, o.count, w->stop);
    w->spent.waiting_ns += clock_ns() - begin_ns;
    if (ready == ERR_CANCELLED) return error_set(error, ERR_CANCELLED, "stopped");
    if ((uint32_t)ready < o.count) return lost(w, o.members[ready], error);
    w->taken[kind]++;
    for (uint32_t i = 0; rc == 0 && i < o.count; i++)
        rc = take_exchange(w, o.links[i]->link, kind, len[o.members[i]], &from[o.members[i]], error);
    return rc;
}

static void release_exchange(void *context) {
    struct worker *w = context;
    for (uint32_t i = 0; i < w->plan.members; i++)
        if (i != w->plan.member) link_frame_done(w->peers[i].link);
}

void group__init(struct worker *w) {
    w->exchange = (struct exchange){
        .context = w, .lead = lead, .send = send_exchange, .receive = receive_exchange, .release = release_exchange};
}

/* ---- the turn of all but the first ---- */

/* The frame is used up before the layers run: columns come on the same link. */
static int run_step(struct worker *w, const uint8_t *frame, size_t len, uint64_t *number, struct error *error) {
    struct wire_step s;
    int rc = wire_step_decode(&s, frame, len, error);
    *number = s.number;
    if (rc == 0) rc = worker__decode(w, &s, error);
    link_frame_done(w->peers[0].link);
    if (rc == 0) rc = slice_map(w->slice, &w->step, error);
    return rc ? rc : slice_layers(w->slice, &w->step, w->hidden, error);
}

static int answer_head(struct worker *w, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_exchange e;
    int rc = wire_exchange_decode(&e, frame, len, error);
    if (rc == 0) rc = slice_answer_head(w->slice, e.bytes, e.len, error);
    link_frame_done(w->peers[0].link);
    return rc;
}

static int answer_ping(struct worker *w, const uint8_t *frame, size_t len) {
    int rc = worker__answer_ping(w, &w->peers[0], frame, len);
    link_frame_done(w->peers[0].link);
    return rc;
}

static void tell_failure(struct worker *w, uint64_t number, const struct error *why) {
    uint8_t frame[WIRE_STEP_FAILED_BYTES_MAX];
    struct data_link *first = &w->peers[0];
    struct wire_step_failed f = {
        .instance = w->plan.instance, .epoch = w->plan.epoch, .number = number, .code = why->code};
    snprintf(f.text, sizeof f.text, "stage %u, member %u: %.200s", w->plan.stage, w->plan.member, why->text);
    struct iovec part = {frame, wire_step_failed_encode(&f, frame, sizeof frame)};
    (void)data_send(&first, 1, 0, &part, 1, w->stop, SEND_STALL_MS);
}

static int take_frame(struct worker *w, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_header h;
    uint64_t number = 0;
    int rc = wire_header_decode(&h, frame, WIRE_DATA, error);
    if (rc < 0) return rc;
    if (h.type == WIRE_PING) return answer_ping(w, frame, len);
    rc = h.type == WIRE_HEAD ? answer_head(w, frame, len, error) : run_step(w, frame, len, &number, error);
    if (rc < 0) tell_failure(w, number, error);
    return rc;
}

void group__turn(struct worker *w) {
    struct data_link *first = &w->peers[0];
    worker__take_commands(w, !worker__joined(w));
    if (w->stopping || !worker__joined(w)) return;
    struct error error = {0};
    int rc = data_gather(&first, 1, queue_fd(w->commands));
    if (rc == ERR_CANCELLED) return; /* commands are taken at the next turn */
    if (rc == 1) {
        size_t len;
        const uint8_t *frame = link_next_frame(first->link, &len);
        rc = take_frame(w, frame, len, &error);
    } else {
        rc = lost(w, 0, &error);
    }
    if (rc < 0) worker__broken(w, error.text);
}
