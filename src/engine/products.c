/* Norms and matrix products of the forward pass: regions of the pool, split by rows or by panels of output rows. */
#include <string.h>

#include "base/size.h"
#include "engine/exact.h"
#include "engine/forward_private.h"

enum {
    CHUNK_BYTES_MIN = 16 << 10,             /* weights that a chunk of a matmul reads at least */
    CHUNK_PANELS_MAX = 16,                  /* their parts that a matmul works on at a time stay in L2 */
    PART_ROWS = 24,                         /* parts of the rows are multiples of it: whole tiles of any level */
    CHUNKS_PER_MEMBER = 8,                  /* so that a thread that lost its core leaves little undone */
    GATED_PANELS = KERN_BLOCK / KERN_LANES, /* panels of gate and up whose product is whole quantisation blocks */
    LOGITS_CHUNK = 4096,                    /* columns of logits that are finished at a time */
};

/* ---- rows: norms and quantisation, one row at a time ---- */

struct row_job {
    struct forward *f;
    struct activations *to;
    const float *from; /* [row][width]; NULL: only quantise */
    struct norm norm;
    bool int8;
    uint32_t row;         /* of the first one in `to` */
    struct range columns; /* to quantise */
};

void forward__normalize(const struct forward *f, struct norm norm, const float *x, size_t n, float *out) {
    const struct model_params *p = f->params;
    if (!norm.weight && !norm.bare) {
        memmove(out, x, n * sizeof *x);
    } else if (p->norm == MODEL_NORM_LAYER) {
        f->kern->layer_norm(x, norm.weight, norm.bias, n, p->norm_epsilon, out);
    } else {
        f->kern->rms_norm(x, norm.weight, n, p->norm_epsilon, out);
        if (norm.bias) f->kern->add(out, norm.bias, n);
    }
}

void forward__quantize_part(const struct forward *f, struct activations *a, size_t row, size_t begin, size_t count) {
    size_t at = row * a->q_stride + begin;
    f->kern->quantize(a->f32 + row * a->f32_stride + begin, count, a->q + at, a->scale + at / KERN_BLOCK,
                      a->sum16 + at / 16);
}

static void prepare_rows_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct row_job *job = context;
    struct activations *a = job->to;
    for (size_t i = begin; i < end; i++) {
        size_t row = job->row + i;
        if (job->from)
            forward__normalize(job->f, job->norm, job->from + i * a->width, a->width, a->f32 + row * a->f32_stride);
        if (job->int8) forward__quantize_part(job->f, a, row, job->columns.begin, range_length(job->columns));
    }
}

bool forward__wants_int8(const struct matrix *m) { return m->panels && kern_wants_int8(m->type); }

void forward__norm_into(struct forward *f, const float *from, struct norm norm, uint32_t rows, bool int8,
                        struct activations *to) {
    struct row_job job = {.f = f, .to = to, .from = from, .norm = norm, .int8 = int8};
    job.columns.end = (uint32_t)to->width;
    pool_run(f->pool, rows, 1, prepare_rows_task, &job);
}

void forward__norm_rows(struct forward *f, const float *hidden, struct norm norm, uint32_t rows, bool int8) {
    forward__norm_into(f, hidden, norm, rows, int8, &f->normed);
}

void forward__quantize_rows(struct forward *f, struct activations *a, uint32_t row, uint32_t rows,
                            struct range columns) {
    struct row_job job = {.f = f, .to = a, .int8 = true, .row = row, .columns = columns};
    pool_run(f->pool, rows, 1, prepare_rows_task, &job);
}

/* ---- matrix products, split by panels of output rows ---- */

struct kern_input forward__input_from(const struct activations *a, size_t row, size_t column) {
    struct kern_input x = a->input;
    size_t at = row * x.q_stride + column;
    x.f32 += row * x.f32_stride + column;
    x.q += at;
    x.scale += at / KERN_BLOCK;
    x.sum16 += at / 16;
    return x;
}

static size_t matrix_panels(const struct matrix *m) { return (m->rows + KERN_LANES - 1) / KERN_LANES; }

/* Panels per chunk: enough bytes to be worth taking, few enough that all members get several. */
size_t forward__panel_grain(const struct forward *f, size_t panels, const struct matrix *like) {
    size_t fair = panels / ((size_t)pool_threads(f->pool) * CHUNKS_PER_MEMBER);
    size_t least = CHUNK_BYTES_MIN / kern_panel_bytes(like->type, like->cols) + 1;
    if (fair > CHUNK_PANELS_MAX) fair = CHUNK_PANELS_MAX;
    return fair > least ? fair : least;
}

static void multiply(const struct forward *f, const struct matrix *m, size_t panel_begin, size_t panel_end,
                     const struct kern_input *x, uint32_t rows, float *out, size_t out_stride) {
    f->kern->matmul[m->type](m->panels, m->rows, m->cols, panel_begin, panel_end, x, rows, out, out_stride);
}

/* Rows [row, row + rows) of the step by panels [begin, end). */
typedef void grid_task(void *context, size_t begin, size_t end, uint32_t row, uint32_t rows);

/* A region of panels by rows. A small matrix is cut along the rows too: a call copies its rows side by side, which only
 * pays when many panels follow. */
struct grid {
    grid_task *task;
    void *context;
    size_t panels;
    uint32_t rows, part_rows;
};

static void grid_chunk(void *context, unsigned member, size_t begin, size_t end) {
    const struct grid *g = context;
    while (begin < end) {
        uint32_t row = (uint32_t)(begin / g->panels) * g->part_rows, left = g->rows - row;
        size_t panel = begin % g->panels, count = g->panels - panel < end - begin ? g->panels - panel : end - begin;
        g->task(g->context, panel, panel + count, row, left < g->part_rows ? left : g->part_rows);
        begin += count;
    }
}

/* `unit` panels are never parted. */
static void run_grid(struct forward *f, size_t unit, const struct matrix *like, struct grid g) {
    size_t wanted = (size_t)pool_threads(f->pool) * CHUNKS_PER_MEMBER * CHUNK_PANELS_MAX;
    size_t parts = wanted / (g.panels * unit), grain;
    g.part_rows = parts > 1 ? (uint32_t)size_round_up(g.rows / parts + 1, PART_ROWS) : g.rows;
    size_t items = g.panels * ((g.rows + g.part_rows - 1) / g.part_rows);
    grain = forward__panel_grain(f, items * unit, like) / unit;
    pool_run(f->pool, items, grain > 0 ? grain : 1, grid_chunk, &g);
}

struct products_job {
    const struct forward *f;
    const struct products *products;
};

static void products_task(void *context, size_t begin, size_t end, uint32_t row, uint32_t rows) {
    const struct products_job *job = context;
    const struct products *all = job->products;
    struct kern_input x = forward__input_from(all->x, all->x_row + row, 0);
    for (size_t i = 0; i < ARRAY_LEN(all->products) && begin < end; i++) {
        const struct product *p = &all->products[i];
        if (!p->matrix) break;
        size_t panels = matrix_panels(p->matrix), stop = end < panels ? end : panels;
        size_t stride = p->stride ? p->stride : p->matrix->rows;
        if (begin < panels) multiply(job->f, p->matrix, begin, stop, &x, rows, p->out + row * stride, stride);
        begin = begin > panels ? begin - panels : 0;
        end = end > panels ? end - panels : 0;
    }
}

void forward__multiply(struct forward *f, const struct products *products) {
    struct products_job job = {f, products};
    size_t panels = 0;
    for (size_t i = 0; i < ARRAY_LEN(products->products) && products->products[i].matrix; i++)
        panels += matrix_panels(products->products[i].matrix);
    run_grid(f, 1, products->products[0].matrix, (struct grid){products_task, &job, panels, products->rows, 0});
}

/* ---- branches ---- */

struct branch_job {
    const struct forward *f;
    const struct branch *branch;
    float *hidden; /* NULL: only the sums */
};

static void add_scaled(const struct forward *f, float *hidden, float *branch, size_t count) {
    if (f->params->residual_scale != 1.0f) f->kern->scale(branch, f->params->residual_scale, count);
    f->kern->add(hidden, branch, count);
}

/* Panels of the product, added where they are made unless a norm needs the whole row first. */
static void branch_task(void *context, size_t begin, size_t end, uint32_t row, uint32_t rows) {
    const struct branch_job *job = context;
    const struct branch *b = job->branch;
    const struct forward *f = job->f;
    size_t first = begin * KERN_LANES, made = b->matrix->rows, last = end * KERN_LANES, width = f->params->embd;
    size_t count = (last < made ? last : made) - first;
    struct kern_input x = forward__input_from(b->x, b->x_row + row, 0);
    multiply(f, b->matrix, begin, end, &x, rows, b->out + row * width, width);
    for (uint32_t stop = row + rows; row < stop; row++) {
        float *out = b->out + row * width + first;
        if (b->bias) f->kern->add(out, b->bias + first, count);
        if (job->hidden) add_scaled(f, job->hidden + row * width + first, out, count);
    }
}

struct finish_job {
    const struct forward *f;
    const float *post_norm;
    float *sums, *hidden;
};

static void finish_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct finish_job *job = context;
    size_t width = job->f->params->embd;
    for (size_t row = begin; row < end; row++) {
        float *sums = job->sums + row * width;
        forward__normalize(job->f, (struct norm){.weight = job->post_norm}, sums, width, sums);
        add_scaled(job->f, job->hidden + row * width, sums, width);
    }
}

void forward__finish_branch(struct forward *f, const float *post_norm, float *sums, uint32_t rows, float *hidden) {
    pool_run(f->pool, rows, 1, finish_task, &(struct finish_job){f, post_norm, sums, hidden});
}

void forward__run_branch(struct forward *f, const struct branch *b, uint32_t rows, float *hidden) {
    bool at_once = !f->exchange && !b->post_norm;
    struct branch_job job = {f, b, at_once ? hidden : NULL};
    run_grid(f, 1, b->matrix, (struct grid){branch_task, &job, matrix_panels(b->matrix), rows, 0});
    if (!f->exchange && !at_once) forward__finish_branch(f, b->post_norm, b->out, rows, hidden);
}

/* ---- the inside of FFNs, quantised where it is made: a block is whole quantisation blocks ---- */

size_t forward__gate_blocks(size_t width) {
    size_t block = GATED_PANELS * KERN_LANES;
    return (width + block - 1) / block;
}

size_t forward__gate_grain(const struct forward *f, size_t blocks, const struct matrix *like) {
    size_t grain = forward__panel_grain(f, blocks * GATED_PANELS, like) / GATED_PANELS;
    return grain > 0 ? grain : 1;
}

static float softplus(float x) { return (float)exact_softplus(x); }

/* What was learned becomes the curve that it stands for. */
static struct kern_xielu curve_of(const struct model_layer *l) {
    return (struct kern_xielu){.plus = softplus(l->xielu.alpha_p),
                               .minus = l->xielu.beta + softplus(l->xielu.alpha_n),
                               .slope = l->xielu.beta,
                               .most = l->xielu.eps};
}

static void activate(const struct forward *f, const struct gate *g, const float *gate, const float *up, size_t count,
                     float *out) {
    switch (f->params->activation) {
    case MODEL_SILU: f->kern->silu_mul(gate, up, count, out); break;
    case MODEL_GELU: f->kern->gelu_mul(gate, up, count, out); break;
    case MODEL_GELU_ERF: f->kern->gelu_erf_mul(gate, up, count, out); break;
    case MODEL_RELU_SQUARED: f->kern->relu_squared(gate, count, out); break;
    case MODEL_XIELU: f->kern->xielu(gate, count, &g->curve, out); break;
    case MODEL_SILU_CLAMPED: f->kern->silu_clamped_mul(gate, up, count, out); break;
    }
}

/* One row of some blocks: what the products left in `out`, and in `up` where there is a gate. */
static void finish_gate(const struct forward *f, const struct gate *g, size_t row, size_t first, size_t count,
                        float *up) {
    float *out = g->out->f32 + row * g->out->f32_stride + g->out_column + first;
    const float *bias = up ? g->gate_bias : g->up_bias;
    if (g->weights) {
        f->kern->scale(out, g->weights[row], count);
        if (up) f->kern->scale(up, g->weights[row], count);
    }
    if (bias) f->kern->add(out, bias + first, count);
    if (up && g->up_bias) f->kern->add(up, g->up_bias + first, count);
    activate(f, g, out, up, count, out);
    if (g->int8) forward__quantize_part(f, g->out, row, g->out_column + first, count);
}

void forward__run_gate(const struct forward *f, const struct gate *g, size_t begin, size_t end) {
    struct activations *to = g->out;
    bool gates = g->gate.panels;
    size_t panels = matrix_panels(&g->up), stop = end * GATED_PANELS < panels ? end * GATED_PANELS : panels;
    size_t first = begin * GATED_PANELS * KERN_LANES, last = stop * KERN_LANES;
    size_t count = (last < g->up.rows ? last : g->up.rows) - first;
    float *out = to->f32 + g->out_row * to->f32_stride + g->out_column, *up = g->up_out + g->out_row * to->width;

    multiply(f, gates ? &g->gate : &g->up, begin * GATED_PANELS, stop, &g->x, g->rows, out, to->f32_stride);
    if (gates) multiply(f, &g->up, begin * GATED_PANELS, stop, &g->x, g->rows, up, to->width);
    for (size_t row = 0; row < g->rows; row++)
        finish_gate(f, g, g->out_row + row, first, count, gates ? up + row * to->width + first : NULL);
}

struct gate_job {
    const struct forward *f;
    const struct gate *gate;
};

static void gate_task(void *context, size_t begin, size_t end, uint32_t row, uint32_t rows) {
    const struct gate_job *job = context;
    struct gate part = *job->gate;
    part.x = forward__input_from(&job->f->normed, row, 0);
    part.out_row += row;
    part.rows = rows;
    forward__run_gate(job->f, &part, begin, end);
}

void forward__gate(struct forward *f, const struct weights_layer *l, uint32_t row, uint32_t rows) {
    struct gate gate = {.gate = l->ffn_gate,
                        .up = l->ffn_up,
                        .gate_bias = l->ffn_gate_bias,
                        .up_bias = l->ffn_up_bias,
                        .out = &f->gated,
                        .out_row = row,
                        .out_column = forward__own(f, FORWARD_INSIDE, (uint32_t)l->is->ffn_up.rows).begin,
                        .up_out = f->up,
                        .int8 = forward__wants_int8(&l->ffn_down)};
    if (f->params->activation == MODEL_XIELU) gate.curve = curve_of(l->is);
    struct gate_job job = {f, &gate};
    run_grid(f, GATED_PANELS, &l->ffn_up,
             (struct grid){gate_task, &job, forward__gate_blocks(l->ffn_up.rows), rows, 0});
}

/* ---- logits ---- */

struct logits_job {
    const struct forward *f;
    uint32_t rows;
    float *logits;
    size_t stride;
};

static void logits_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct logits_job *job = context;
    const struct forward *f = job->f;
    const struct model_params *p = f->params;
    for (uint32_t row = 0; row < job->rows; row++) {
        float *x = job->logits + row * job->stride + begin;
        if (f->weights->output_bias) f->kern->add(x, f->weights->output_bias + begin, end - begin);
        if (p->logit_scale != 1.0f) f->kern->scale(x, p->logit_scale, end - begin);
        if (p->logit_softcap > 0.0f) f->kern->softcap(x, p->logit_softcap, end - begin);
    }
}

void forward__finish_logits(struct forward *f, uint32_t rows, float *logits, size_t stride) {
    const struct model_params *p = f->params;
    struct logits_job job = {f, rows, logits, stride};
    if (!f->weights->output_bias && p->logit_scale == 1.0f && p->logit_softcap == 0.0f) return;
    pool_run(f->pool, p->vocab, LOGITS_CHUNK, logits_task, &job);
}
