/* Multi-head latent attention (DeepSeek-V2: arXiv 2405.04434): keys and values of all heads are made of one short
 * latent vector per position, and only that is cached, together with one rotated part of the key. The matrices that
 * would make a head's keys and values of it are absorbed: one turns the head's query into one for latents, the other
 * the head's sum of latents into its value. To attention it looks like many heads that share one KV head. */
#include <string.h>

#include "base/size.h"
#include "engine/forward_private.h"

struct latent_job {
    struct forward *f;
    const struct forward_part *part;
    const struct weights_layer *layer;
    uint32_t index; /* of the layer within the slice */
};

/* ---- scratch memory ---- */

static size_t query_dim(const struct model_params *p) { return p->latent.nope + p->rope_dims; }
/* A head's share of a row of quantised activations. */
static size_t padded(size_t width) { return size_round_up(width, KERN_ALIGN); }

void forward__carve_latent(struct carver *c, const struct model_params *p, struct latent *l) {
    if (p->latent.kv_rank == 0) return;
    l->low = forward__carve_rows(c, p->latent.q_rank);
    l->queries = forward__carve_rows(c, p->heads * query_dim(p));
    forward__carve_activations(c, &l->low_normed, p->latent.q_rank, c->rows);
    forward__carve_activations(c, &l->nope, p->heads * padded(p->latent.nope), c->rows);
    forward__carve_activations(c, &l->seen, (size_t)p->heads * p->latent.kv_rank, c->rows);
}

/* ---- queries and the latent vector ---- */

static void multiply_inputs(const struct latent_job *job) {
    struct forward *f = job->f;
    const struct weights_layer *l = job->layer;
    struct latent *to = &f->latent;
    uint32_t rows = job->part->row_count;
    if (!l->attn_q_a.panels) {
        forward__multiply(f,
                          &(struct products){&f->normed, 0, rows, {{&l->attn_q, to->queries}, {&l->attn_kv_a, f->k}}});
        return;
    }
    forward__multiply(f, &(struct products){&f->normed, 0, rows, {{&l->attn_q_a, to->low}, {&l->attn_kv_a, f->k}}});
    forward__norm_into(f, to->low, (struct norm){.weight = l->attn_q_a_norm}, rows, forward__wants_int8(&l->attn_q),
                       &to->low_normed);
    forward__multiply(f, &(struct products){&to->low_normed, 0, rows, {{&l->attn_q, to->queries}}});
}

static void rotate(const struct latent_job *job, size_t row, float *x) {
    const struct forward *f = job->f;
    size_t pairs = f->params->rope_dims / 2;
    const struct forward_rope *rope = &f->rope[0];
    row += job->part->first;
    f->kern->rope(x, rope->cos + row * pairs, rope->sin + row * pairs, pairs, f->params->pairing == MODEL_ROPE_HALVES);
}

/* A head's query: the part without rotation goes its way through the absorbed matrix, the other is there already. */
static void split_query(const struct latent_job *job, size_t row, size_t head) {
    struct forward *f = job->f;
    const struct model_params *p = f->params;
    size_t nope = p->latent.nope, at = head * padded(nope);
    const float *from = f->latent.queries + (row * p->heads + head) * query_dim(p);
    float *rotated = f->q + (row * p->heads + head) * p->head_dim_k + p->latent.kv_rank;
    memcpy(f->latent.nope.f32 + row * f->latent.nope.f32_stride + at, from, nope * sizeof *from);
    memcpy(rotated, from + nope, p->rope_dims * sizeof *from);
    rotate(job, row, rotated);
    if (forward__wants_int8(&job->layer->attn_k_b)) forward__quantize_part(f, &f->latent.nope, row, at, nope);
}

static void finish_inputs_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct latent_job *job = context;
    struct forward *f = job->f;
    const struct model_params *p = f->params;
    for (size_t row = begin; row < end; row++) {
        float *k = f->k + row * p->head_dim_k;
        forward__normalize(f, (struct norm){.weight = job->layer->attn_kv_a_norm}, k, p->latent.kv_rank, k);
        rotate(job, row, k + p->latent.kv_rank);
        forward__store(f, job->index, &job->part->rows[row], k, k);
        size_t width = p->heads * query_dim(p);
        forward__sharpen(f, job->layer->is, job->part->rows[row].position, f->latent.queries + row * width, width);
        for (size_t head = 0; head < p->heads; head++) split_query(job, row, head);
    }
}

/* ---- a product with a matrix of its own for each head ---- */

struct heads_job {
    const struct forward *f;
    const struct matrix *matrices; /* of all heads, one behind the other */
    const struct activations *x;
    size_t x_width; /* of a head in x */
    uint32_t rows;
    float *out;
    size_t out_width, out_stride;
};

static void heads_task(void *context, unsigned member, size_t begin, size_t end) {
    const struct heads_job *job = context;
    const struct matrix *m = job->matrices;
    size_t height = m->rows / job->f->params->heads, panels = height / KERN_LANES;
    size_t panel_bytes = kern_panel_bytes(m->type, m->cols);
    for (size_t head, stop; begin < end; begin = stop) {
        head = begin / panels;
        stop = end < (head + 1) * panels ? end : (head + 1) * panels;
        struct kern_input x = forward__input_from(job->x, 0, head * job->x_width);
        job->f->kern->matmul[m->type]((uint8_t *)m->panels + head * panels * panel_bytes, height, m->cols,
                                      begin - head * panels, stop - head * panels, &x, job->rows,
                                      job->out + head * job->out_width, job->out_stride);
    }
}

static void multiply_heads(struct forward *f, struct heads_job *job) {
    size_t panels = job->matrices->rows / KERN_LANES;
    pool_run(f->pool, panels, forward__panel_grain(f, panels, job->matrices), heads_task, job);
}

void forward__attend_latent(struct forward *f, const struct forward_part *part, uint32_t index) {
    const struct model_params *p = f->params;
    const struct weights_layer *l = &f->weights->layers[index];
    struct latent *latent = &f->latent;
    struct latent_job job = {f, part, l, index};
    uint32_t rows = part->row_count;
    multiply_inputs(&job);
    pool_run(f->pool, rows, 1, finish_inputs_task, &job);
    multiply_heads(f, &(struct heads_job){f, &l->attn_k_b, &latent->nope, padded(p->latent.nope), rows, f->q,
                                          p->head_dim_k, (size_t)p->heads * p->head_dim_k});
    forward__attend_heads(f, part, index, &latent->seen, 0, 0);
    if (forward__wants_int8(&l->attn_v_b))
        forward__quantize_rows(f, &latent->seen, 0, rows, (struct range){0, (uint32_t)latent->seen.width});
    float *out =
        f->attended.f32 + part->first * f->attended.f32_stride + (size_t)f->sizes->heads.begin * p->latent.value;
    multiply_heads(f, &(struct heads_job){f, &l->attn_v_b, &latent->seen, p->latent.kv_rank, rows, out, p->latent.value,
                                          f->attended.f32_stride});
}
