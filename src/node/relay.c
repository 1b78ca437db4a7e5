/* Any stage but the first: takes steps from the previous stage, runs its layers, hands them on.
 *
 * Whatever is wrong with a step is told to stage 0 by a frame of its own; the link order is kept, so stage 0 knows
 * which step it was. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "node/worker_private.h"
#include "os/clock.h"

static bool is_last(const struct worker *w) { return w->plan.stage + 1 == w->plan.stages; }

int worker__decode(struct worker *w, const struct wire_step *s, struct error *error) {
    if (s->type != WIRE_STEP || s->instance != w->plan.instance || wire_epoch_compare(&s->epoch, &w->plan.epoch) != 0)
        return error_set(error, ERR_STALE, "a step of another instance or epoch");
    if (s->row_count > w->rows_max || s->page_count > STEP_PAGES_MAX || s->width != w->card->model.params.embd)
        return error_set(error, ERR_INVALID, "a step of %u rows of %u values", s->row_count, s->width);
    struct step *step = &w->step;
    step->number = s->number;
    step->row_count = s->row_count;
    step->page_count = s->page_count;
    for (uint32_t i = 0; i < s->row_count; i++) {
        struct wire_row r = wire_step_row(s, i);
        step->rows[i] = (struct step_row){r.session, r.position, r.token, (r.flags & WIRE_ROW_WANTS_LOGITS) != 0};
    }
    for (uint32_t i = 0; i < s->page_count; i++) {
        struct wire_page p = wire_step_page(s, i);
        step->pages[i] = (struct step_page){p.session, p.index, p.page, p.from, p.slot, p.slot_from};
    }
    memcpy(w->hidden, s->hidden, (size_t)s->row_count * s->width * sizeof(float));
    return 0;
}

static int compute(struct worker *w, const struct wire_step *s, struct error *error) {
    int rc = worker__decode(w, s, error);
    if (rc == 0) rc = slice_map(w->slice, &w->step, error);
    return rc ? rc : slice_layers(w->slice, &w->step, w->hidden, error);
}

/* The rows that wanted logits, close together at `to`. */
static void copy_wanted(const struct worker *w, uint8_t *to) {
    size_t row_bytes = w->card->model.params.embd * sizeof(float);
    for (uint32_t i = 0; i < w->step.row_count; i++) {
        if (!w->step.rows[i].want_logits) continue;
        memcpy(to, w->hidden + (size_t)i * w->card->model.params.embd, row_bytes);
        to += row_bytes;
    }
}

static uint32_t count_wanted(const struct step *step) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < step->row_count; i++) count += step->rows[i].want_logits;
    return count;
}

static int hand_on(struct worker *w, struct wire_step s, struct error *error) {
    uint8_t *to;
    if (is_last(w)) {
        s.type = WIRE_STEP_RESULT;
        s.page_count = 0;
        s.row_count = count_wanted(&w->step);
    }
    if (worker__encode(w, &s, is_last(w) ? NULL : &w->step, &to) == NULL)
        return error_set(error, ERR_NOMEM, "no memory for a frame");
    if (is_last(w))
        copy_wanted(w, to);
    else
        memcpy(to, w->hidden, (size_t)s.row_count * s.width * sizeof(float));
    return worker__send(w, w->frame, wire_step_bytes(&s), error);
}

static void tell_failure(struct worker *w, uint64_t number, const struct error *why) {
    uint8_t frame[WIRE_STEP_FAILED_BYTES_MAX];
    struct wire_step_failed f = {
        .instance = w->plan.instance, .epoch = w->plan.epoch, .number = number, .code = why->code};
    snprintf(f.text, sizeof f.text, "stage %u: %.200s", w->plan.stage, why->text);
    (void)worker__send(w, frame, wire_step_failed_encode(&f, frame, sizeof frame), NULL);
}

int worker__answer_ping(struct worker *w, struct data_link *link, const uint8_t *frame, size_t len) {
    uint8_t header[WIRE_HEADER_BYTES];
    struct bytes_writer writer = bytes_writer(header, sizeof header);
    bytes_put_u32(&writer, (uint32_t)(len - WIRE_HEADER_BYTES));
    bytes_put_u16(&writer, WIRE_PONG);
    bytes_put_u16(&writer, 0);
    struct iovec parts[] = {{header, sizeof header},
                            {(void *)(uintptr_t)(frame + WIRE_HEADER_BYTES), len - WIRE_HEADER_BYTES}};
    return data_send(&link, 1, 0, parts, 2, w->stop, 1000);
}

static int take_frame(struct worker *w, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_header h;
    struct wire_step s;
    uint64_t begin = clock_us();
    if (wire_header_decode(&h, frame, WIRE_DATA, error) != 0) return ERR_INVALID;
    if (h.type == WIRE_STEP_FAILED) return worker__send(w, frame, len, error); /* on its way to stage 0 */
    if (h.type == WIRE_PING) return worker__answer_ping(w, &w->source, frame, len);
    if (wire_step_decode(&s, frame, len, error) != 0) return ERR_INVALID;
    int rc = compute(w, &s, error);
    if (rc) {
        tell_failure(w, s.number, error);
        return rc == ERR_STALE ? 0 : rc;
    }
    s.compute_us += clock_us() - begin;
    return hand_on(w, s, error);
}

void relay__turn(struct worker *w) {
    worker__take_commands(w, !worker__joined(w));
    if (w->stopping || !worker__joined(w)) return;
    struct error error = {0};
    size_t len;
    const uint8_t *frame;
    int rc = worker__await(w, queue_fd(w->commands), &frame, &len, &error);
    if (rc == ERR_CANCELLED) return; /* commands are taken at the next turn */
    if (rc == 0) {
        rc = take_frame(w, frame, len, &error);
        link_frame_done(w->source.link);
    }
    if (rc) worker__broken(w, error.text);
}
