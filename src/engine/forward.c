#include "engine/forward_private.h"
#include "engine/recurrence.h"

#include <assert.h>
#include <string.h>

#include "base/size.h"

/* ---- sizes and scratch memory ---- */

void *forward__carve(struct carver *c, uint64_t count, size_t item_bytes) {
    uint64_t at = c->used;
    c->used = size_round_up(at + count * item_bytes, KERN_ALIGN);
    return (void *)(c->base + at);
}

float *forward__carve_rows(struct carver *c, size_t width) {
    return forward__carve(c, c->rows * width, sizeof(float));
}

void forward__carve_activations(struct carver *c, struct activations *a, size_t width, size_t rows) {
    a->width = width;
    a->f32_stride = size_round_up(width, KERN_LANES);
    a->q_stride = size_round_up(width, KERN_ALIGN);
    a->f32 = forward__carve(c, rows * a->f32_stride, sizeof(float));
    a->q = forward__carve(c, rows * a->q_stride, 1);
    a->scale = forward__carve(c, rows * a->q_stride / KERN_BLOCK, sizeof(float));
    a->sum16 = forward__carve(c, rows * a->q_stride / 16, sizeof(int32_t));
    a->input = (struct kern_input){a->f32, a->f32_stride, a->q, a->scale, a->sum16, a->q_stride, NULL};
}

static size_t attended_width(const struct share_sizes *s) { return s->attended; }

/* What holds a row of either kind of layer. */
static size_t wider(const struct forward *f, size_t (*width)(const struct share_sizes *)) {
    size_t all = width(&f->heads[0].sizes), local = width(&f->heads[1].sizes);
    return all > local ? all : local;
}

static uint64_t carve_all(struct forward *f, const struct share_sizes *sizes, const struct share *share,
                          unsigned threads, uint32_t context, void *base) {
    const struct model_params *p = &sizes->params;
    struct carver c = {.base = (uintptr_t)base, .rows = step_rows_max(p->encodes, context)};
    f->heads[0].sizes = *sizes;
    share_local_sizes(sizes, &f->heads[1].sizes);
    f->rows_max = c.rows;
    forward__carve_activations(&c, &f->normed, p->embd, c.rows);
    forward__carve_activations(&c, &f->attended, wider(f, attended_width), c.rows);
    forward__carve_activations(&c, &f->gated, p->ff, c.rows);
    forward__carve_activations(&c, &f->widened, p->pooled_width, 1);
    f->q = forward__carve_rows(&c, wider(f, forward__query_width));
    f->k = forward__carve_rows(&c, wider(f, forward__key_width));
    f->v = forward__carve_rows(&c, wider(f, forward__value_width));
    f->heads_gate = forward__carve_rows(&c, p->heads_gated ? (size_t)p->heads * p->head_dim_v : 0);
    f->convolved = forward__carve_rows(&c, p->convolution > 0 ? 3 * (size_t)p->embd : 0);
    f->recurred = forward__carve_rows(&c, forward__recurrence_width(&p->recurrence));
    f->up = forward__carve_rows(&c, p->ff);
    f->branch = forward__carve_rows(&c, p->embd);
    forward__carve_mixture(&c, sizes, &f->mixture);
    forward__carve_latent(&c, p, &f->latent);
    forward__carve_gather(&c, sizes, share, f);
    for (size_t i = 0; i < ARRAY_LEN(f->rope); i++) {
        size_t pairs = f->rope[i].pairs = f->heads[i].sizes.params.rope_dims / 2;
        f->rope[i].frequency = forward__carve(&c, pairs, sizeof(double));
        f->rope[i].cos = forward__carve_rows(&c, pairs);
        f->rope[i].sin = forward__carve_rows(&c, pairs);
        f->heads[i].groups = forward__carve(&c, p->heads, sizeof *f->heads[i].groups);
    }
    f->slopes = forward__carve(&c, p->heads, sizeof *f->slopes);
    f->member_scratch_bytes = forward__attention_bytes(f, context);
    f->member_scratch = forward__carve(&c, threads, f->member_scratch_bytes);
    return c.used;
}

uint64_t forward_bytes(const struct share_sizes *sizes, const struct share *share, unsigned threads, uint32_t context) {
    struct forward counted;
    return carve_all(&counted, sizes, share, threads, context, NULL);
}

/* LongRoPE has divisors for contexts up to the original one and for longer ones. */
static const float *rope_divisors(const struct forward *f, uint32_t context) {
    const struct weights *w = f->weights;
    if (w->rope_freqs) return w->rope_freqs;
    return context > f->params->original_context ? w->rope_long : w->rope_short;
}

int forward_init(struct forward *f, uint32_t context, struct error *error) {
    const struct model_params *p = f->params;
    unsigned threads = pool_threads(f->pool);
    uint64_t bytes = forward_bytes(f->sizes, f->share, threads, context);
    if (memory_reserve(&f->memory, bytes, false) < 0)
        return error_set(error, ERR_NOMEM, "cannot reserve %llu MiB of scratch memory",
                         (unsigned long long)(bytes >> 20));
    carve_all(f, f->sizes, f->share, threads, context, f->memory.data);
    forward__group_heads(f);
    forward__lean_heads(f);
    const float *divisors = rope_divisors(f, context);
    f->attention_scale = rope_attention_scale(p);
    const struct model_rope *ropes[] = {&p->rope, &p->rope_local};
    for (size_t i = 0; i < ARRAY_LEN(f->rope); i++) {
        const float *own = i > 0 && p->local.kv_heads > 0 ? NULL : divisors; /* of other pairs */
        rope_frequencies(&f->heads[i].sizes.params, ropes[i], own, f->rope[i].frequency);
        f->rope[i].magnitude = rope_magnitude(ropes[i]);
    }
    return 0;
}

void forward_deinit(struct forward *f) { memory_release(&f->memory); }

/* ---- the pass ---- */

/* Of the hidden state. */
static struct norm norm_of(const struct forward *f, const float *weight, const float *bias) {
    return (struct norm){weight, bias, f->params->norms_bare};
}

/* f->normed = norm(hidden), which may be the hidden state from then on. */
static void norm_part(struct forward *f, struct forward_part *part, struct norm norm, bool int8) {
    size_t embd = f->params->embd;
    forward__norm_rows(f, part->hidden, norm, part->row_count, int8);
    for (size_t row = 0; f->params->norms_stay && row < part->row_count; row++)
        memcpy(part->hidden + row * embd, f->normed.f32 + row * f->normed.f32_stride, embd * sizeof(float));
}

static bool any_wants_int8(const struct matrix *const readers[], size_t count) {
    for (size_t i = 0; i < count; i++)
        if (forward__wants_int8(readers[i])) return true;
    return false;
}

/* The stages of a layer, for one part of a step. What a stage leaves in columns of f->attended, f->gated or sums is
 * complete before the next one begins, for the rows of the part. */
typedef void layer_stage(struct forward *f, struct forward_part *part, const struct weights_layer *l);

static void attend(struct forward *f, struct forward_part *part, const struct weights_layer *l) {
    const struct matrix *readers[] = {&l->attn_q,      &l->attn_k,        &l->attn_v,         &l->attn_q_a,
                                      &l->attn_kv_a,   &l->attn_gate,     &l->convolution_in, &l->recurrence_in,
                                      &l->ffn_gate,    &l->ffn_up,        &l->router,         &l->shared_gate,
                                      &l->expert_gate, &l->expert_up};
    uint32_t rows = part->row_count, index = (uint32_t)(l - f->weights->layers);
    bool int8 = forward__wants_int8(&l->attn_output) && f->sizes->in_blocks;
    norm_part(f, part, norm_of(f, l->attn_norm, l->attn_norm_bias),
              any_wants_int8(readers, f->params->parallel ? ARRAY_LEN(readers) : 8));
    if (l->is->convolves) {
        forward__convolve(f, part, index);
    } else if (l->is->recurs) {
        forward__recur(f, part, index);
    } else if (f->params->latent.kv_rank > 0) {
        forward__attend_latent(f, part, index);
    } else {
        struct products qkv = {&f->normed, 0, rows, {{&l->attn_q, f->q}, {&l->attn_k, f->k}, {&l->attn_v, f->v}}};
        if (l->attn_gate.panels) qkv.products[3] = (struct product){&l->attn_gate, f->heads_gate};
        forward__multiply(f, &qkv);
        forward__attend(f, part, index);
    }
    uint32_t columns = (uint32_t)l->attn_output.cols;
    struct forward_columns made = {FORWARD_HEADS, &f->attended, NULL, part->first, rows, columns, int8};
    if (int8) forward__quantize_rows(f, &f->attended, part->first, rows, forward__own(f, FORWARD_HEADS, columns));
    forward__made(f, part, &made);
}

static void add_branch(struct forward *f, struct forward_part *part, struct branch *branch, float *sums) {
    size_t width = f->params->embd;
    branch->x_row = part->first;
    branch->out = sums + part->first * width + f->sizes->hidden.begin;
    forward__run_branch(f, branch, part->row_count, part->hidden);
    forward__made_sums(f, part, sums, branch->post_norm);
}

static void project(struct forward *f, struct forward_part *part, const struct weights_layer *l) {
    struct branch branch = {&l->attn_output, l->attn_output_bias, l->attn_post_norm, &f->attended};
    if (forward__wants_int8(&l->attn_output) && !f->sizes->in_blocks)
        forward__quantize_rows(f, &f->attended, part->first, part->row_count,
                               (struct range){0, (uint32_t)l->attn_output.cols});
    add_branch(f, part, &branch, f->params->parallel ? f->other_branch : f->branch);
}

static void gate(struct forward *f, struct forward_part *part, const struct weights_layer *l) {
    uint32_t rows = part->row_count, used = f->params->experts.used;
    bool int8 = any_wants_int8((const struct matrix *[]){&l->ffn_gate, &l->ffn_up, &l->router, &l->shared_gate,
                                                         &l->expert_gate, &l->expert_up},
                               6);
    bool normed = l->router_norm || (f->params->parallel && !l->ffn_norm); /* by the mixture; for attention */
    if (!normed) norm_part(f, part, norm_of(f, l->ffn_norm, l->ffn_norm_bias), int8);
    if (l->router.panels) {
        forward__mix(f, l, part);
        forward__made(f, part,
                      &(struct forward_columns){FORWARD_INSIDE, &f->mixture.gated, NULL, 0, rows * used,
                                                f->params->experts.ff, forward__wants_int8(&l->expert_down)});
    } else {
        forward__gate(f, l, part->first, rows);
    }
    if (l->ffn_up.panels)
        forward__made(f, part,
                      &(struct forward_columns){FORWARD_INSIDE, &f->gated, NULL, part->first, rows,
                                                (uint32_t)l->is->ffn_up.rows, forward__wants_int8(&l->ffn_down)});
}

static void down(struct forward *f, struct forward_part *part, const struct weights_layer *l) {
    struct branch branch = {&l->ffn_down, l->ffn_down_bias, l->ffn_post_norm, &f->gated};
    if (!l->router.panels) {
        add_branch(f, part, &branch, f->branch);
        return;
    }
    forward__unmix(f, l, part);
    if (!f->exchange) forward__finish_branch(f, l->ffn_post_norm, f->branch, part->row_count, part->hidden);
    forward__made_sums(f, part, f->branch, l->ffn_post_norm);
}

/* One stage, or two that need nothing of each other: what the other members made before, then this, then its columns
 * on their way. While those of one part travel, the next is computed. */
static int run_stages(struct forward *f, struct forward_part *part, const struct weights_layer *l, layer_stage *stage,
                      layer_stage *other, struct error *error) {
    int rc = forward__take(f, part, error);
    if (rc < 0) return rc;
    stage(f, part, l);
    if (other) other(f, part, l);
    return forward__send(f, part, error);
}

static int run_all(struct forward *f, const struct weights_layer *l, layer_stage *stage, layer_stage *other,
                   struct error *error) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < f->part_count; i++) rc = run_stages(f, &f->parts[i], l, stage, other, error);
    return rc;
}

/* There is one mixture at a time: what its rows have chosen stays until its end. */
static int run_mixture(struct forward *f, const struct weights_layer *l, struct error *error) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < f->part_count; i++) {
        rc = run_stages(f, &f->parts[i], l, gate, NULL, error);
        if (rc == 0) rc = run_stages(f, &f->parts[i], l, down, NULL, error);
    }
    return rc;
}

static int run_layer(struct forward *f, const struct weights_layer *l, struct error *error) {
    bool parallel = f->params->parallel;
    int rc = l->is->headless ? 0 : run_all(f, l, attend, parallel ? gate : NULL, error);
    if (rc == 0 && !l->is->headless) rc = run_all(f, l, project, parallel ? down : NULL, error);
    if (rc < 0 || parallel || (!l->ffn_up.panels && !l->router.panels)) return rc;
    if (l->router.panels) return run_mixture(f, l, error);
    rc = run_all(f, l, gate, NULL, error);
    return rc < 0 ? rc : run_all(f, l, down, NULL, error);
}

/* What leaves a layer, made greater or smaller; there are no members beside this one then. */
static void scale_hidden(struct forward *f, const struct weights_layer *l) {
    for (uint32_t i = 0; l->layer_scale && i < f->part_count; i++)
        f->kern->scale(f->parts[i].hidden, *l->layer_scale, (size_t)f->parts[i].row_count * f->params->embd);
}

static int check_rows(const struct forward *f, const struct step *step, struct error *error) {
    uint32_t window = f->pages->shape.window;
    for (uint32_t i = 0; i < step->row_count; i++) {
        const struct step_row *row = &step->rows[i], *next = row + 1;
        bool goes_on = i + 1 < step->row_count && next->session == row->session;
        if (goes_on && f->params->recurrence.inner > 0 && next->position != row->position + 1)
            return error_set(error, ERR_INVALID, "position %u of session %u does not follow %u", next->position,
                             row->session, row->position);
        bool covered = goes_on && next->position >= row->position &&
                       pages_first_seen(window, next->position) == pages_first_seen(window, row->position);
        if (covered) continue; /* the next row checks all pages up to a later position, and slots from the same on */
        int rc = pages_check(f->pages, row->session, row->position, error);
        if (rc < 0) return rc;
    }
    return 0;
}

int forward_layers(struct forward *f, const struct step *step, float *hidden, struct error *error) {
    assert(step->row_count <= f->rows_max);
    int rc = check_rows(f, step, error);
    if (rc == 0 && f->exchange && f->share->member == 0)
        rc = f->exchange->lead(f->exchange->context, step, hidden, error);
    if (rc < 0) return rc;
    forward__begin_attention(f, step, hidden);
    for (uint32_t i = 0; rc == 0 && i < f->pages->shape.layers; i++) {
        rc = run_layer(f, &f->weights->layers[i], error);
        scale_hidden(f, &f->weights->layers[i]);
    }
    for (uint32_t i = 0; rc == 0 && i < f->part_count; i++) rc = forward__take(f, &f->parts[i], error);
    return rc;
}

/* What stands for the position and for the kind of text, where layers are not told of them. */
static int add_to_embedding(struct forward *f, uint32_t position, float *row, struct error *error) {
    const struct weights *w = f->weights;
    const struct matrix *m = &w->position_embd;
    if (w->token_type) f->kern->add(row, w->token_type, f->params->embd);
    if (!m->panels) return 0;
    if (position >= m->rows)
        return error_set(error, ERR_INVALID, "position %u is beyond the %zu that the model knows", position, m->rows);
    kern_row_read(m->type, m->panels, position, m->cols, f->branch);
    f->kern->add(row, f->branch, m->cols);
    return 0;
}

int forward_embed(struct forward *f, const struct step *step, float *hidden, struct error *error) {
    const struct matrix *m = &f->weights->token_embd;
    for (uint32_t i = 0; i < step->row_count; i++) {
        uint32_t token = step->rows[i].token;
        float *row = hidden + (size_t)i * m->cols;
        if (token >= m->rows)
            return error_set(error, ERR_INVALID, "token %u is outside the vocabulary of %zu", token, m->rows);
        kern_row_read(m->type, m->panels, token, m->cols, row);
        if (f->params->embedding_scale != 1.0f) f->kern->scale(row, f->params->embedding_scale, m->cols);
        int rc = add_to_embedding(f, step->rows[i].position, row, error);
        if (rc < 0) return rc;
        struct norm norm = {.weight = f->weights->embd_norm, .bias = f->weights->embd_norm_bias};
        forward__normalize(f, norm, row, m->cols, row);
    }
    return 0;
}

void forward_norm(struct forward *f, const float *hidden, uint32_t count, float *out) {
    size_t embd = f->params->embd;
    struct norm norm = norm_of(f, f->weights->output_norm, f->weights->output_norm_bias);
    for (uint32_t i = 0; i < count; i++) {
        forward__norm_rows(f, hidden + i * embd, norm, 1, false);
        memcpy(out + i * embd, f->normed.f32, embd * sizeof *out);
    }
}

/* out = m x, of one row. */
static void multiply_row(struct forward *f, const struct matrix *m, const float *x, struct activations *a, float *out) {
    forward__norm_into(f, x, (struct norm){0}, 1, forward__wants_int8(m), a);
    forward__multiply(f, &(struct products){a, 0, 1, {{m, out}}});
}

void forward_finish_pooled(struct forward *f, float *x) {
    const struct weights *w = f->weights;
    if (!w->pooled_up.panels) return;
    multiply_row(f, &w->pooled_up, x, &f->normed, f->widened.f32);
    multiply_row(f, &w->pooled_down, f->widened.f32, &f->widened, x);
}

void forward_head(struct forward *f, const float *hidden, uint32_t count, float *logits, size_t stride) {
    const struct weights *w = f->weights;
    while (count > 0) {
        uint32_t rows = count < f->rows_max ? count : f->rows_max;
        forward__norm_rows(f, hidden, norm_of(f, w->output_norm, w->output_norm_bias), rows,
                           forward__wants_int8(&w->output));
        forward__multiply(f, &(struct products){&f->normed, 0, rows, {{&w->output, logits, stride}}});
        forward__finish_logits(f, rows, logits, stride);
        hidden += (size_t)rows * f->params->embd;
        logits += rows * stride;
        count -= rows;
    }
}
