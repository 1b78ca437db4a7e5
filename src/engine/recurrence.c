/* Layers with a state: Mamba-2 (Dao and Gu, arXiv:2405.21060). Of each position a product has a gate z, channels that
 * are convolved over the last few positions (the values x of all heads, then B and C of all groups), and a step of each
 * head. With d = softplus(step + bias) a head's state S becomes e^(d a) S + d x B^T, and gives S C + skip x, which z
 * gates and a norm follows.
 *
 * A page's slot holds what the layer has become by the last position that was computed of it: the convolution's last
 * inputs, [taps - 1][channels], the oldest first, then the states, [inner][size]. Where a page begins it goes on from
 * the slot before. Rows of a session are computed one after another, heads side by side. */
#include <math.h>
#include <string.h>

#include "engine/exact.h"
#include "engine/forward_private.h"
#include "engine/recurrence.h"

struct recurrence_job {
    struct forward *f;
    const struct forward_part *part;
    const struct weights_layer *layer;
    uint32_t index; /* within the slice */
    size_t inner, channels, heads, head_size, size, taps;
};

static struct recurrence_job job_of(struct forward *f, const struct forward_part *part, uint32_t index) {
    const struct model_recurrence *r = &f->params->recurrence;
    return (struct recurrence_job){.f = f,
                                   .part = part,
                                   .layer = &f->weights->layers[index],
                                   .index = index,
                                   .inner = r->inner,
                                   .channels = model_recurrence_channels(r),
                                   .heads = r->heads,
                                   .head_size = r->inner / r->heads,
                                   .size = r->size,
                                   .taps = r->taps};
}

/* ---- where things are ---- */

static size_t width_in(const struct recurrence_job *job) { return job->inner + job->channels + job->heads; }

/* Of a row: the gate; what comes into the convolution; the steps; what leaves the convolution. */
static float *gate_of(const struct recurrence_job *job, size_t row) { return job->f->recurred + row * width_in(job); }
static float *input_of(const struct recurrence_job *job, size_t row) { return gate_of(job, row) + job->inner; }
static float *steps_of(const struct recurrence_job *job, size_t row) { return input_of(job, row) + job->channels; }
static float *mixed_of(const struct recurrence_job *job, size_t row) {
    return job->f->recurred + job->part->row_count * width_in(job) + row * job->channels;
}

static float *attended_of(const struct recurrence_job *job, size_t row) {
    const struct activations *a = &job->f->attended;
    return a->f32 + (job->part->first + row) * a->f32_stride;
}

size_t forward__recurrence_width(const struct model_recurrence *r) {
    return r->inner > 0 ? r->inner + 2 * model_recurrence_channels(r) + r->heads : 0;
}

/* The slot of the page that a position is in. */
static float *slot_at(const struct recurrence_job *job, uint32_t session, uint32_t position) {
    return pages_kept(job->f->pages, job->index, session, position / KERN_PAGE);
}

static float *states_at(const struct recurrence_job *job, uint32_t session, uint32_t position) {
    return slot_at(job, session, position) + (job->taps - 1) * job->channels;
}

/* ---- the convolution ---- */

static size_t run_begin(const struct recurrence_job *job, size_t row) {
    const struct step_row *rows = job->part->rows;
    while (row > 0 && rows[row - 1].session == rows[row].session) row--;
    return row;
}

/* What came into the convolution `back` positions before a row of the run; NULL: before the text there is nothing. */
static const float *input_before(const struct recurrence_job *job, size_t begin, size_t row, size_t back) {
    const struct step_row *first = &job->part->rows[begin];
    if (back <= row - begin) return input_of(job, row - back);
    size_t before = back - (row - begin); /* the run */
    if (before > first->position) return NULL;
    return slot_at(job, first->session, first->position - 1) + (job->taps - 1 - before) * job->channels;
}

static void mix_row(const struct recurrence_job *job, size_t row) {
    const struct weights_layer *l = job->layer;
    size_t begin = run_begin(job, row);
    float *out = mixed_of(job, row);
    for (size_t i = 0; i < job->channels; i++) out[i] = l->recurrence_taps_bias ? l->recurrence_taps_bias[i] : 0.0f;
    for (size_t tap = 0; tap < job->taps; tap++) {
        const float *in = input_before(job, begin, row, job->taps - 1 - tap), *weight = l->recurrence_taps + tap;
        for (size_t i = 0; in && i < job->channels; i++) out[i] += in[i] * weight[i * job->taps];
    }
    job->f->kern->sigmoid_mul(out, job->channels, out);
}

static void mix_task(void *context, unsigned member, size_t begin, size_t end) {
    for (size_t row = begin; row < end; row++) mix_row(context, row);
}

/* The inputs that a row leaves to the position behind it, the oldest first: one that was in the same slot before was
 * further behind. */
static void leave_inputs(const struct recurrence_job *job, size_t begin, size_t row) {
    const struct step_row *at = &job->part->rows[row];
    float *out = slot_at(job, at->session, at->position);
    for (size_t i = 0; i + 1 < job->taps; i++, out += job->channels) {
        const float *in = input_before(job, begin, row, job->taps - 2 - i);
        if (in)
            memcpy(out, in, job->channels * sizeof *out);
        else
            memset(out, 0, job->channels * sizeof *out);
    }
}

/* At the end of each page and of each run; from behind, for a run may begin in the page that tells of its past. */
static void leave_all_inputs(const struct recurrence_job *job) {
    const struct step_row *rows = job->part->rows;
    for (size_t row = job->part->row_count; row-- > 0;) {
        bool last = row + 1 == job->part->row_count || rows[row + 1].session != rows[row].session;
        if (last || rows[row].position % KERN_PAGE == KERN_PAGE - 1) leave_inputs(job, run_begin(job, row), row);
    }
}

/* ---- the states ---- */

/* s = decay s + x b; returns s.c, summed up in 16 lanes. */
static float advance(float *s, size_t size, float decay, float x, const float *b, const float *c) {
    float sums[KERN_LANES] = {0};
    for (size_t i = 0; i < size; i += KERN_LANES)
        for (size_t lane = 0; lane < KERN_LANES; lane++) {
            s[i + lane] = s[i + lane] * decay + b[i + lane] * x;
            sums[lane] += s[i + lane] * c[i + lane];
        }
    for (size_t half = KERN_LANES / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

/* e^(step a): below what a float holds it is 0. */
static float decay_of(float step, float a) {
    double x = (double)step * a;
    return x < 80 ? x > -100 ? (float)exact_exp(x) : 0.0f : INFINITY;
}

/* A page begins with what the one before has left. */
static void begin_page(const struct recurrence_job *job, const struct step_row *row, size_t head, float *states) {
    size_t count = job->head_size * job->size;
    if (row->position == 0)
        memset(states, 0, count * sizeof *states);
    else
        memcpy(states, states_at(job, row->session, row->position - 1) + head * count, count * sizeof *states);
}

static void advance_row(const struct recurrence_job *job, size_t row, size_t head) {
    const struct weights_layer *l = job->layer;
    const struct step_row *at = &job->part->rows[row];
    size_t groups = job->f->params->recurrence.groups, group = head / (job->heads / groups);
    const float *mixed = mixed_of(job, row), *x = mixed + head * job->head_size;
    const float *b = mixed + job->inner + group * job->size, *c = b + groups * job->size;
    float *states = states_at(job, at->session, at->position) + head * job->head_size * job->size;
    float *out = attended_of(job, row) + head * job->head_size;
    float step = (float)exact_softplus(steps_of(job, row)[head] + l->recurrence_step_bias[head]);
    float decay = decay_of(step, l->recurrence_decay[head]);
    if (at->position % KERN_PAGE == 0) begin_page(job, at, head, states);
    for (size_t i = 0; i < job->head_size; i++, states += job->size)
        out[i] = advance(states, job->size, decay, x[i] * step, b, c) + x[i] * l->recurrence_skip[head];
}

static void advance_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct recurrence_job *job = context;
    for (size_t head = begin; head < end; head++)
        for (size_t row = 0; row < job->part->row_count; row++) advance_row(job, row, head);
}

static void gate_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct recurrence_job *job = context;
    const struct forward *f = job->f;
    size_t groups = f->params->recurrence.groups, width = job->inner / groups;
    for (size_t row = begin; row < end; row++) {
        float *out = attended_of(job, row);
        f->kern->silu_mul(gate_of(job, row), out, job->inner, out);
        for (size_t i = 0; i < groups; i++)
            f->kern->rms_norm(out + i * width, job->layer->recurrence_norm + i * width, width, f->params->norm_epsilon,
                              out + i * width);
    }
}

void forward__recur(struct forward *f, const struct forward_part *part, uint32_t index) {
    struct recurrence_job job = job_of(f, part, index);
    struct product in = {&job.layer->recurrence_in, f->recurred};
    forward__multiply(f, &(struct products){&f->normed, 0, part->row_count, {in}});
    pool_run(f->pool, part->row_count, 1, mix_task, &job);
    leave_all_inputs(&job);
    pool_run(f->pool, job.heads, 1, advance_task, &job);
    pool_run(f->pool, part->row_count, 1, gate_task, &job);
}
