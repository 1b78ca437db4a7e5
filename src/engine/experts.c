/* Mixtures of experts: each row of a step is told its experts by a router, then every expert that was chosen works on
 * all of its rows at once, so that its weights are read once a step. An expert's result for a row does not depend on
 * the other rows, and results are summed up in the order in which the row chose: the bits are those of a row alone. */
#include <math.h>
#include <string.h>

#include "engine/forward_private.h"
#include "kern/math.h"

#define WEIGHT_SUM_MIN 6.103515625e-5f /* llama.cpp's, the least normal f16 */

struct mixture_job {
    struct forward *f;
    const struct weights_layer *layer;
    const struct forward_part *part;
};

/* ---- scratch memory ---- */

void forward__carve_mixture(struct carver *c, const struct share_sizes *sizes, struct mixture *m) {
    const struct model_params *p = &sizes->params;
    const struct model_experts *e = &p->experts;
    uint32_t entries = c->rows * e->used;
    if (e->count == 0) return;
    m->scores = forward__carve_rows(c, e->count);
    m->ranks = forward__carve_rows(c, e->count);
    m->shared_gate = forward__carve_rows(c, 1);
    m->chosen = forward__carve(c, entries, sizeof *m->chosen);
    m->weight = forward__carve(c, entries, sizeof *m->weight);
    m->entry = forward__carve(c, entries, sizeof *m->entry);
    m->inward = forward__carve(c, entries, sizeof *m->inward);
    m->row = forward__carve(c, entries, sizeof *m->row);
    m->begin = forward__carve(c, e->count + 1, sizeof *m->begin);
    m->active = forward__carve(c, e->count, sizeof *m->active);
    forward__carve_activations(c, &m->gated, e->ff, entries);
    m->up = forward__carve(c, (uint64_t)entries * e->ff, sizeof(float));
    m->down = forward__carve(c, (uint64_t)entries * range_length(sizes->hidden), sizeof(float));
}

/* ---- which experts a row chooses ---- */

static float sigmoid(float x) { return 1.0f / (1.0f + math_exp(-x)); }

static void softmax(float *x, uint32_t n) {
    float max = x[0], sum = 0.0f;
    for (uint32_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++) sum += x[i] = math_exp(x[i] - max);
    for (uint32_t i = 0; i < n; i++) x[i] /= sum;
}

static uint32_t find_best(const float *x, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* A group is as good as its two best experts together. */
static float group_score(float *ranks, uint32_t n) {
    uint32_t best = find_best(ranks, n);
    float first = ranks[best];
    if (n == 1) return first;
    ranks[best] = -INFINITY;
    float second = ranks[find_best(ranks, n)];
    ranks[best] = first;
    return first + second;
}

/* Leave only the best groups to choose from. */
static void drop_groups(const struct model_experts *e, float *ranks) {
    float scores[MODEL_EXPERTS_MAX];
    bool stays[MODEL_EXPERTS_MAX] = {false};
    uint32_t size = e->count / e->groups;
    for (uint32_t i = 0; i < e->groups; i++) scores[i] = group_score(ranks + (size_t)i * size, size);
    for (uint32_t i = 0; i < e->groups_used; i++) {
        uint32_t best = find_best(scores, e->groups);
        stays[best] = true;
        scores[best] = -INFINITY;
    }
    for (uint32_t i = 0; i < e->count; i++)
        if (!stays[i / size]) ranks[i] = -INFINITY;
}

static void weigh(const struct model_experts *e, float *weight) {
    float sum = 0.0f;
    if (e->gating == MODEL_GATING_CHOSEN) softmax(weight, e->used);
    for (uint32_t i = 0; i < e->used; i++) sum += weight[i];
    if (sum < WEIGHT_SUM_MIN) sum = WEIGHT_SUM_MIN;
    for (uint32_t i = 0; i < e->used; i++) {
        if (e->normed) weight[i] /= sum;
        weight[i] *= e->scale;
    }
}

/* A bias of the choice moves ranks, not weights. */
static void choose(const struct mixture_job *job, size_t row) {
    const struct model_experts *e = &job->f->params->experts;
    const struct weights_layer *l = job->layer;
    struct mixture *m = &job->f->mixture;
    float *scores = m->scores + row * e->count, *ranks = m->ranks + row * e->count;
    if (l->router_bias) job->f->kern->add(scores, l->router_bias, e->count);
    if (e->gating == MODEL_GATING_SOFTMAX) softmax(scores, e->count);
    for (uint32_t i = 0; e->gating == MODEL_GATING_SIGMOID && i < e->count; i++) scores[i] = sigmoid(scores[i]);
    memcpy(ranks, scores, e->count * sizeof *ranks);
    if (l->router_choice_bias) job->f->kern->add(ranks, l->router_choice_bias, e->count);
    if (e->groups > 1) drop_groups(e, ranks);
    for (uint32_t i = 0; i < e->used; i++) {
        uint32_t best = find_best(ranks, e->count);
        m->chosen[row * e->used + i] = best;
        m->weight[row * e->used + i] = scores[best];
        ranks[best] = -INFINITY;
    }
    weigh(e, m->weight + row * e->used);
    for (uint32_t i = 0; l->expert_scale && i < e->used; i++)
        m->weight[row * e->used + i] *= l->expert_scale[m->chosen[row * e->used + i]];
}

static void choose_task(void *context, unsigned member, size_t begin, size_t end) {
    for (size_t row = begin; row < end; row++) choose(context, row);
}

/* Sort what was chosen by expert. Entries of expert e are [begin[e], begin[e + 1]). */
static void group_rows(struct mixture *m, const struct model_experts *e, uint32_t rows) {
    memset(m->begin, 0, (e->count + 1) * sizeof *m->begin);
    for (uint32_t i = 0; i < rows * e->used; i++) m->begin[m->chosen[i] + 1]++;
    m->active_count = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        if (m->begin[i + 1] > 0) m->active[m->active_count++] = i;
        m->begin[i + 1] += m->begin[i];
    }
    for (uint32_t i = 0; i < rows * e->used; i++) {
        uint32_t at = m->begin[m->chosen[i]]++;
        m->entry[i] = at;
        m->row[at] = i / e->used;
        m->inward[at] = m->weight[i];
    }
    memmove(m->begin + 1, m->begin, e->count * sizeof *m->begin);
    m->begin[0] = 0;
}

static void route(struct mixture_job *job) {
    struct forward *f = job->f;
    const struct weights_layer *l = job->layer;
    struct products products = {&f->normed, 0, job->part->row_count, {{&l->router, f->mixture.scores}}};
    if (l->shared_gate.panels) products.products[1] = (struct product){&l->shared_gate, f->mixture.shared_gate};
    forward__multiply(f, &products);
    if (l->router_norm)
        f->kern->scale(f->mixture.scores, 1.0f / sqrtf((float)f->params->embd),
                       (size_t)job->part->row_count * f->params->experts.count);
    pool_run(f->pool, job->part->row_count, 1, choose_task, job);
    group_rows(&f->mixture, &f->params->experts, job->part->row_count);
}

/* ---- what the experts compute ---- */

static struct matrix matrix_of(const struct mixture_job *job, const struct matrix *all, uint32_t expert) {
    size_t rows = all->rows / job->f->params->experts.count;
    size_t bytes = rows / KERN_LANES * kern_panel_bytes(all->type, all->cols);
    if (!all->panels) return *all; /* experts without gates */
    return (struct matrix){all->type, rows, all->cols, (uint8_t *)all->panels + expert * bytes};
}

static const float *bias_of(const float *all, uint32_t expert, size_t count) {
    return all ? all + (size_t)expert * count : NULL;
}

/* The part of a range of items that belongs to one expert, where each expert has `each` items. */
struct portion {
    uint32_t expert;
    size_t begin, end; /* within the expert's */
};

static struct portion first_portion(const struct mixture *m, size_t begin, size_t end, size_t each) {
    size_t base = begin / each * each;
    return (struct portion){m->active[begin / each], begin - base, end - base < each ? end - base : each};
}

static void expert_gate_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct mixture_job *job = context;
    const struct weights_layer *l = job->layer;
    struct mixture *m = &job->f->mixture;
    struct range own = job->f->sizes->expert;
    uint32_t ff = range_length(own);
    for (struct portion s; begin < end; begin += s.end - s.begin) {
        s = first_portion(m, begin, end, forward__gate_blocks(ff));
        struct gate gate = {.gate = matrix_of(job, &l->expert_gate, s.expert),
                            .up = matrix_of(job, &l->expert_up, s.expert),
                            .gate_bias = bias_of(l->expert_gate_bias, s.expert, ff),
                            .up_bias = bias_of(l->expert_up_bias, s.expert, ff),
                            .x = job->f->normed.input,
                            .rows = m->begin[s.expert + 1] - m->begin[s.expert],
                            .out = &m->gated,
                            .out_row = m->begin[s.expert],
                            .out_column = own.begin,
                            .weights = job->f->params->experts.inward ? m->inward : NULL,
                            .up_out = m->up,
                            .int8 = forward__wants_int8(&l->expert_down)};
        gate.x.rows = m->row + m->begin[s.expert];
        forward__run_gate(job->f, &gate, s.begin, s.end);
    }
}

static void expert_down_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct mixture_job *job = context;
    struct mixture *m = &job->f->mixture;
    uint32_t width = range_length(job->f->sizes->hidden);
    for (struct portion s; begin < end; begin += s.end - s.begin) {
        s = first_portion(m, begin, end, width / KERN_LANES);
        struct matrix down = matrix_of(job, &job->layer->expert_down, s.expert);
        uint32_t first = m->begin[s.expert], rows = m->begin[s.expert + 1] - first;
        struct kern_input x = forward__input_from(&m->gated, first, 0);
        job->f->kern->matmul[down.type](down.panels, down.rows, down.cols, s.begin, s.end, &x, rows,
                                        m->down + (size_t)first * width, width);
    }
}

/* ---- and what becomes of it: the own columns of the sums ---- */

static float *sums_of(const struct forward *f, const struct forward_part *part, size_t row) {
    return f->branch + (part->first + row) * f->params->embd + f->sizes->hidden.begin;
}

static void add_experts(const struct mixture_job *job, size_t row, float *sum) {
    const struct forward *f = job->f;
    const struct mixture *m = &f->mixture;
    uint32_t used = f->params->experts.used, width = range_length(f->sizes->hidden);
    for (size_t i = row * used; i < (row + 1) * used; i++) {
        float *down = m->down + (size_t)m->entry[i] * width;
        const float *bias = bias_of(job->layer->expert_down_bias, m->chosen[i], width);
        if (bias) f->kern->add(down, bias, width);
        if (!f->params->experts.inward) f->kern->scale(down, m->weight[i], width);
        f->kern->add(sum, down, width);
    }
}

/* The experts' sum lies in what the first of them has made; it and the shared FFN's are normed apart. */
static void combine_apart(const struct mixture_job *job, size_t row, float *shared) {
    const struct forward *f = job->f;
    const struct mixture *m = &f->mixture;
    uint32_t used = f->params->experts.used, width = f->params->embd;
    float *sum = m->down + (size_t)m->entry[row * used] * width;
    for (size_t i = row * used; i < (row + 1) * used; i++) {
        float *down = m->down + (size_t)m->entry[i] * width;
        f->kern->scale(down, m->weight[i], width);
        if (down != sum) f->kern->add(sum, down, width);
    }
    forward__normalize(f, (struct norm){.weight = job->layer->shared_post_norm}, shared, width, shared);
    forward__normalize(f, (struct norm){.weight = job->layer->expert_post_norm}, sum, width, sum);
    f->kern->add(shared, sum, width);
}

static void combine_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct mixture_job *job = context;
    const struct forward *f = job->f;
    const struct weights_layer *l = job->layer;
    uint32_t width = range_length(f->sizes->hidden);
    for (size_t row = begin; row < end; row++) {
        float *sums = sums_of(f, job->part, row);
        if (l->expert_post_norm) {
            combine_apart(job, row, sums);
            continue;
        }
        if (!l->ffn_up.panels) memset(sums, 0, width * sizeof *sums);
        if (l->shared_gate.panels) f->kern->scale(sums, sigmoid(f->mixture.shared_gate[row]), width);
        add_experts(job, row, sums);
        if (f->params->experts.averaged && l->ffn_up.panels) f->kern->scale(sums, 0.5f, width);
    }
}

/* f->normed, as two matrices want it. */
static void norm_for(const struct mixture_job *job, const float *weight, const struct matrix *a,
                     const struct matrix *b) {
    bool int8 = forward__wants_int8(a) || forward__wants_int8(b);
    forward__norm_rows(job->f, job->part->hidden, (struct norm){.weight = weight}, job->part->row_count, int8);
}

void forward__mix(struct forward *f, const struct weights_layer *layer, const struct forward_part *part) {
    struct mixture_job job = {f, layer, part};
    if (layer->router_norm) norm_for(&job, layer->router_norm, &layer->router, &layer->router);
    route(&job);
    if (layer->expert_norm) norm_for(&job, layer->expert_norm, &layer->expert_gate, &layer->expert_up);
    size_t blocks = f->mixture.active_count * forward__gate_blocks(range_length(f->sizes->expert));
    pool_run(f->pool, blocks, forward__gate_grain(f, blocks, &layer->expert_up), expert_gate_task, &job);
    if (layer->expert_norm) norm_for(&job, layer->ffn_norm, &layer->ffn_gate, &layer->ffn_up);
    if (layer->ffn_up.panels) forward__gate(f, layer, part->first, part->row_count);
}

void forward__unmix(struct forward *f, const struct weights_layer *layer, const struct forward_part *part) {
    struct mixture_job job = {f, layer, part};
    size_t panels = f->mixture.active_count * (size_t)(range_length(f->sizes->hidden) / KERN_LANES);
    pool_run(f->pool, panels, forward__panel_grain(f, panels, &layer->expert_down), expert_down_task, &job);
    if (layer->ffn_up.panels) {
        struct product shared = {&layer->ffn_down, sums_of(f, part, 0), f->params->embd};
        forward__multiply(f, &(struct products){&f->gated, part->first, part->row_count, {shared}});
    }
    pool_run(f->pool, part->row_count, 1, combine_task, &job);
}
