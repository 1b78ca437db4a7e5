#include "engine/bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "engine/machine.h"
#include "engine/pages.h"
#include "engine/slice.h"
#include "os/clock.h"

static double seconds_since(uint64_t begin_ns) { return (double)(clock_ns() - begin_ns) / 1e9; }

/* ---- running the model ---- */

struct bench {
    const struct model *model;
    const struct bench_options *options;
    struct slice *slice;
    struct step *step;
    float *hidden, *logits;
};

static uint32_t pages_per_session(const struct bench_options *o) { return (o->prompt + o->generate) / KERN_PAGE + 1; }

static void add_row(struct bench *b, uint32_t session, uint32_t position, bool want_logits) {
    struct step *s = b->step;
    uint32_t pages = pages_per_session(b->options), index = position / KERN_PAGE, page = session * pages + index;
    uint32_t slot = pages_own_slot(b->model->params.window, pages * KERN_PAGE, session, index);
    if (position % KERN_PAGE == 0)
        s->pages[s->page_count++] = (struct step_page){session, index, page, page, slot, slot};
    uint32_t token = (uint32_t)((position * 7919ull + session * 104729ull) % b->model->params.vocab);
    s->rows[s->row_count++] = (struct step_row){session, position, token, want_logits};
}

/* Run the rows that were added; the head for the last `head_rows` of them. */
static int run_step(struct bench *b, uint32_t head_rows, struct error *error) {
    struct step *s = b->step;
    const float *last = b->hidden + (size_t)(s->row_count - head_rows) * b->model->params.embd;
    int rc = slice_map(b->slice, s, error);
    if (rc == 0) rc = slice_embed(b->slice, s, b->hidden, error);
    if (rc == 0) rc = slice_layers(b->slice, s, b->hidden, error);
    if (rc == 0 && head_rows > 0) rc = slice_head(b->slice, last, head_rows, b->logits, error);
    s->row_count = s->page_count = 0;
    return rc;
}

static int prefill(struct bench *b, uint32_t session, struct error *error) {
    int rc = 0;
    for (uint32_t at = 0; rc == 0 && at < b->options->prompt;) {
        while (b->step->row_count < STEP_ROWS_MAX && at < b->options->prompt) {
            bool last = at + 1 == b->options->prompt;
            add_row(b, session, at++, last);
        }
        rc = run_step(b, at == b->options->prompt, error);
    }
    return rc;
}

static int decode(struct bench *b, uint32_t count, struct error *error) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        for (uint32_t session = 0; session < b->options->batch; session++)
            add_row(b, session, b->options->prompt + i, true);
        rc = run_step(b, b->options->batch, error);
    }
    return rc;
}

static int prefill_all(struct bench *b, struct error *error) {
    int rc = 0;
    for (uint32_t session = 0; rc == 0 && session < b->options->batch; session++) rc = prefill(b, session, error);
    return rc;
}

/* ---- putting it together ---- */

struct samples {
    double values[BENCH_REPEAT_MAX];
};

struct bench_samples {
    struct samples read, peak, prefill, decode;
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct bench_rate summarize(const struct samples *s, uint32_t count) {
    struct samples sorted = *s;
    qsort(sorted.values, count, sizeof sorted.values[0], ascending);
    return (struct bench_rate){sorted.values[count / 2], sorted.values[0], sorted.values[count - 1]};
}

/* Prefill and decode once, each beside what the machine could do in the same moment: neighbours come and go. */
static int measure_once(struct bench *b, struct machine *p, struct bench_samples *s, uint32_t i, struct error *error) {
    const struct bench_options *o = b->options;
    s->peak.values[i] = machine_multiply(p, 0);
    uint64_t begin_ns = clock_ns();
    int rc = prefill_all(b, error);
    s->prefill.values[i] = (double)o->prompt * o->batch / seconds_since(begin_ns);
    if (rc < 0) return rc;
    double before = machine_read(p, 0);
    begin_ns = clock_ns();
    rc = decode(b, o->generate, error);
    s->decode.values[i] = (double)o->generate * o->batch / seconds_since(begin_ns);
    s->read.values[i] = (before + machine_read(p, 0)) / 2;
    return rc;
}

/* Of a number of rates, each in units of its own limit: the median. */
static double median_fraction(const struct samples *rates, const struct samples *limits, uint32_t count, double unit) {
    struct samples fractions;
    for (uint32_t i = 0; i < count; i++) fractions.values[i] = rates->values[i] * unit / limits->values[i];
    return summarize(&fractions, count).median;
}

/* A step of decoding reads the weights once for all sequences. The head's matrix counts for each token that is
 * generated, once for a prompt. */
static void relate(const struct bench *b, const struct bench_samples *s, struct bench_result *r) {
    const struct model *m = b->model;
    const struct bench_options *o = b->options;
    struct model_work layers = model_layers_work(m, 0, m->params.layers);
    const struct model_tensor *head = m->params.tied ? &m->token_embd : &m->output;
    double read = (double)layers.bytes + (double)head->bytes + (double)m->token_embd.bytes / (double)m->token_embd.rows;
    double madds_per_token = (double)layers.madds + (double)head->rows * (double)head->cols / o->prompt;
    r->weights_bytes = model_layers_bytes(m, 0, m->params.layers) + model_ends_bytes(m);
    r->read_bandwidth = summarize(&s->read, o->repeat);
    r->matmul_peak = summarize(&s->peak, o->repeat).median;
    r->prefill = summarize(&s->prefill, o->repeat);
    r->decode = summarize(&s->decode, o->repeat);
    r->decode_bandwidth_fraction = median_fraction(&s->decode, &s->read, o->repeat, read / o->batch);
    r->prefill_matmul_fraction = median_fraction(&s->prefill, &s->peak, o->repeat, madds_per_token);
}

static int measure(struct bench *b, struct bench_result *out, struct error *error) {
    struct bench_samples samples;
    struct machine p;
    int rc = machine_init(&p, out->threads = slice_threads(b->slice), b->options->isa, MACHINE_READ_BYTES, error);
    if (rc < 0) return rc;
    rc = prefill_all(b, error); /* warms caches, pages and clocks up */
    for (uint32_t i = 0; rc == 0 && i < b->options->repeat; i++) rc = measure_once(b, &p, &samples, i, error);
    machine_deinit(&p);
    if (rc == 0) relate(b, &samples, out);
    return rc;
}

static int open_bench(struct bench *b, struct error *error) {
    const struct model *m = b->model;
    const struct bench_options *o = b->options;
    struct slice_options options = {.layer_end = m->params.layers,
                                    .ends = true,
                                    .threads = o->threads,
                                    .isa = o->isa,
                                    .sessions = o->batch,
                                    .context = pages_per_session(o) * KERN_PAGE};
    b->step = calloc(1, sizeof *b->step);
    b->hidden = aligned_alloc(KERN_ALIGN, (size_t)STEP_ROWS_MAX * m->params.embd * sizeof(float));
    b->logits =
        aligned_alloc(KERN_ALIGN, size_round_up((uint64_t)o->batch * m->params.vocab * sizeof(float), KERN_ALIGN));
    if (!b->step || !b->hidden || !b->logits) return error_set(error, ERR_NOMEM, "out of memory");
    return slice_open(&b->slice, m, &options, error);
}

int bench_run(const struct model *m, const struct bench_options *o, struct bench_result *out, struct error *error) {
    struct bench b = {.model = m, .options = o};
    *out = (struct bench_result){0};
    int rc = open_bench(&b, error);
    if (rc == 0) rc = measure(&b, out, error);
    slice_close(b.slice);
    free(b.step);
    free(b.hidden);
    free(b.logits);
    return rc;
}
