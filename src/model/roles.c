#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kern/format.h"
#include "model/builder.h"

enum { NAME_BYTES = 64, WIDTH_MAX = 1 << 22 };

/* The tensor of that name as rows x cols (a vector: rows = 1). *out is all zeroes when it is absent. */
static int take(struct builder *b, const char *name, uint64_t rows, uint64_t cols, struct model_tensor *out) {
    const struct gguf_tensor *t = gguf_tensor(&b->m->gguf, name);
    *out = (struct model_tensor){0};
    if (!t) return 0;
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return error_set(b->error, ERR_INVALID,
                         "tensor %s has shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "], expected [%" PRIu64 ", %" PRIu64
                         "]",
                         name, t->dims[0], t->dims[1], t->dims[2], cols, rows);
    b->used[t - b->m->gguf.tensors] = true;
    *out = (struct model_tensor){.type = t->type, .rows = rows, .cols = cols, .offset = t->offset, .bytes = t->bytes};
    return 0;
}

static int take_needed(struct builder *b, const char *name, uint64_t rows, uint64_t cols, struct model_tensor *out) {
    int rc = take(b, name, rows, cols, out);
    if (rc == 0 && out->bytes == 0) rc = error_set(b->error, ERR_INVALID, "tensor %s is missing", name);
    return rc;
}

/* Rows [begin, end) of a matrix, or values [begin, end) of a vector of whole blocks. */
static struct model_tensor part_of(const struct model_tensor *t, uint64_t begin, uint64_t end) {
    struct model_tensor part = *t;
    uint64_t *length = t->rows > 1 ? &part.rows : &part.cols;
    uint64_t unit = t->bytes / *length; /* exact: rows are whole, and biases are stored in types of one value a block */
    part.offset += begin * unit;
    *length = end - begin;
    part.bytes = *length * unit;
    return part;
}

/* Where a layer's tensors are looked for: blk.N.ROLE.weight or .bias. */
static const char *layer_name(uint32_t layer, const char *role, const char *kind, char out[NAME_BYTES]) {
    snprintf(out, NAME_BYTES, "blk.%u.%s.%s", layer, role, kind);
    return out;
}

static bool has_weight(const struct builder *b, uint32_t layer, const char *role) {
    char name[NAME_BYTES];
    return gguf_tensor(&b->m->gguf, layer_name(layer, role, "weight", name)) != NULL;
}

static int take_weight(struct builder *b, uint32_t layer, const char *role, uint64_t rows, uint64_t cols,
                       struct model_tensor *out) {
    char name[NAME_BYTES];
    return take_needed(b, layer_name(layer, role, "weight", name), rows, cols, out);
}

static int take_vector(struct builder *b, uint32_t layer, const char *role, uint64_t count, struct model_tensor *out) {
    char name[NAME_BYTES];
    return take(b, layer_name(layer, role, "weight", name), 1, count, out);
}

static int take_bias(struct builder *b, uint32_t layer, const char *role, uint64_t count, struct model_tensor *out) {
    char name[NAME_BYTES];
    return take(b, layer_name(layer, role, "bias", name), 1, count, out);
}

static int take_norm(struct builder *b, const char *name, struct model_tensor *weight, struct model_tensor *bias) {
    char full[NAME_BYTES + 8];
    snprintf(full, sizeof full, "%s.weight", name);
    int rc = take(b, full, 1, b->m->params.embd, weight);
    snprintf(full, sizeof full, "%s.bias", name);
    return rc == 0 ? take(b, full, 1, b->m->params.embd, bias) : rc;
}

static int take_layer_norm(struct builder *b, uint32_t layer, const char *role, struct model_tensor *weight,
                           struct model_tensor *bias) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "blk.%u.%s", layer, role);
    return take_norm(b, name, weight, bias);
}

/* BERT's norms stand behind what they norm: each is the first thing of what follows. */
static bool norms_follow(const struct builder *b) { return b->family->traits & FAMILY_NORMS_FOLLOW; }

/* Is what comes into the layer normed as it is embedded? */
static bool begins_normed(const struct builder *b, uint32_t i) {
    return i == 0 && b->family->traits & (FAMILY_NORMS_FOLLOW | FAMILY_EMBEDDING_NORMED);
}

/* `count` matrices, one behind the other. */
static int take_stack(struct builder *b, uint32_t i, const char *role, uint64_t count, uint64_t rows, uint64_t cols,
                      struct model_tensor *out) {
    char name[NAME_BYTES];
    const struct gguf_tensor *t = gguf_tensor(&b->m->gguf, layer_name(i, role, "weight", name));
    if (!t) return error_set(b->error, ERR_INVALID, "tensor %s is missing", name);
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != count || t->dims[3] != 1)
        return error_set(b->error, ERR_INVALID,
                         "tensor %s has shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "], expected [%" PRIu64 ", %" PRIu64
                         ", %" PRIu64 "]",
                         name, t->dims[0], t->dims[1], t->dims[2], cols, rows, count);
    b->used[t - b->m->gguf.tensors] = true;
    *out = (struct model_tensor){
        .type = t->type, .rows = rows * count, .cols = cols, .offset = t->offset, .bytes = t->bytes};
    return 0;
}

/* Rows [begin, end) of every group of `of` rows. */
static struct model_tensor part_of_groups(const struct model_tensor *t, uint64_t begin, uint64_t end, uint64_t of) {
    uint64_t groups = t->rows / of, row_bytes = t->bytes / t->rows;
    struct model_tensor part = *t;
    part.rows = groups * (end - begin);
    part.bytes = part.rows * row_bytes;
    part.offset += begin * row_bytes;
    part.group_rows = end - begin;
    part.group_stride = of * row_bytes;
    return part;
}

/* ---- attention ---- */

/* Newer converters write Q, K and V as one matrix: its parts are three matrices to everyone else. */
static int take_fused_qkv(struct builder *b, uint32_t i, uint64_t q, uint64_t k, uint64_t v) {
    struct model_layer *l = &b->m->layers[i];
    struct model_tensor weight, bias;
    int rc = take_weight(b, i, "attn_qkv", q + k + v, b->m->params.embd, &weight);
    if (rc == 0) rc = take_bias(b, i, "attn_qkv", q + k + v, &bias);
    if (rc < 0) return rc;
    l->attn_q = part_of(&weight, 0, q);
    l->attn_k = part_of(&weight, q, q + k);
    l->attn_v = part_of(&weight, q + k, q + k + v);
    if (bias.bytes == 0) return 0;
    if (tensor_type_block(bias.type) != 1)
        return error_set(b->error, ERR_UNSUPPORTED, "tensor blk.%u.attn_qkv.bias: biases cannot be quantised", i);
    l->attn_q_bias = part_of(&bias, 0, q);
    l->attn_k_bias = part_of(&bias, q, q + k);
    l->attn_v_bias = part_of(&bias, q + k, q + k + v);
    return 0;
}

static int take_qkv(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    struct model_heads h = model_heads(p, l->window > 0);
    uint64_t q = (uint64_t)p->heads * h.dim_k, k = (uint64_t)h.kv_heads * h.dim_k, v = (uint64_t)h.kv_heads * h.dim_v;
    bool apart = h.dim_k != h.dim_v || has_weight(b, i, "attn_v") || !(b->family->traits & FAMILY_VALUES_NORMED);
    if (has_weight(b, i, "attn_qkv")) return take_fused_qkv(b, i, q, k, v);
    int rc = take_weight(b, i, "attn_q", q, p->embd, &l->attn_q);
    if (rc == 0) rc = take_weight(b, i, "attn_k", k, p->embd, &l->attn_k);
    if (rc == 0) rc = take_weight(b, i, apart ? "attn_v" : "attn_k", v, p->embd, &l->attn_v);
    if (rc == 0) rc = take_bias(b, i, "attn_q", q, &l->attn_q_bias);
    if (rc == 0) rc = take_bias(b, i, "attn_k", k, &l->attn_k_bias);
    if (rc == 0) rc = take_bias(b, i, "attn_v", v, &l->attn_v_bias);
    return rc;
}

/* The norm of all heads' queries or keys: one weight per channel of a head, per channel of each head, or over all heads
 * together. */
static int take_head_norm(struct builder *b, uint32_t i, const char *role, uint32_t heads, struct model_tensor *out) {
    uint64_t dim = model_heads(&b->m->params, b->m->layers[i].window > 0).dim_k;
    char name[NAME_BYTES];
    const struct gguf_tensor *t = gguf_tensor(&b->m->gguf, layer_name(i, role, "weight", name));
    if (t && t->dims[0] == dim && t->dims[1] == heads && heads > 1) return take(b, name, heads, dim, out);
    if (t && t->dims[0] == dim * heads) return take(b, name, 1, dim * heads, out);
    return take(b, name, 1, dim, out);
}

/* What turns latent vectors into a head's keys and values: two matrices per head, or one that holds both. */
static int take_latent_heads(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    const struct model_latent *s = &p->latent;
    struct model_layer *l = &b->m->layers[i];
    uint64_t both = s->nope + s->value;
    struct model_tensor unsplit;
    if (!has_weight(b, i, "attn_kv_b")) {
        int rc = take_stack(b, i, "attn_k_b", p->heads, s->kv_rank, s->nope, &l->attn_k_b);
        return rc == 0 ? take_stack(b, i, "attn_v_b", p->heads, s->value, s->kv_rank, &l->attn_v_b) : rc;
    }
    int rc = take_weight(b, i, "attn_kv_b", p->heads * both, s->kv_rank, &unsplit);
    if (rc < 0) return rc;
    l->attn_v_b = part_of_groups(&unsplit, s->nope, both, both);
    l->attn_k_b = part_of_groups(&unsplit, 0, s->nope, both);
    l->attn_k_b.turned = s->kv_rank;
    l->attn_k_b.rows = (uint64_t)p->heads * s->kv_rank;
    l->attn_k_b.cols = s->nope;
    return 0;
}

static int take_latent(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    const struct model_latent *s = &p->latent;
    struct model_layer *l = &b->m->layers[i];
    uint64_t queries = (uint64_t)p->heads * (s->nope + p->rope_dims), q_from = s->q_rank ? s->q_rank : p->embd;
    int rc = take_weight(b, i, s->q_rank ? "attn_q_b" : "attn_q", queries, q_from, &l->attn_q);
    if (rc == 0 && s->q_rank) rc = take_weight(b, i, "attn_q_a", s->q_rank, p->embd, &l->attn_q_a);
    if (rc == 0 && s->q_rank) rc = take_weight(b, i, "attn_q_a_norm", 1, s->q_rank, &l->attn_q_a_norm);
    if (rc == 0) rc = take_weight(b, i, "attn_kv_a_mqa", p->head_dim_k, p->embd, &l->attn_kv_a);
    if (rc == 0) rc = take_weight(b, i, "attn_kv_a_norm", 1, s->kv_rank, &l->attn_kv_a_norm);
    if (rc == 0) rc = take_latent_heads(b, i);
    return rc == 0 ? take_weight(b, i, "attn_output", p->embd, (uint64_t)p->heads * s->value, &l->attn_output) : rc;
}

static int take_plain_attention(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    int rc = take_qkv(b, i);
    struct model_heads h = model_heads(p, l->window > 0);
    uint64_t attended = (uint64_t)p->heads * h.dim_v;
    if (rc == 0 && p->heads_gated) rc = take_weight(b, i, "attn_gate", attended, p->embd, &l->attn_gate);
    if (rc == 0) rc = take_head_norm(b, i, "attn_q_norm", p->heads, &l->attn_q_norm);
    if (rc == 0) rc = take_head_norm(b, i, "attn_k_norm", h.kv_heads, &l->attn_k_norm);
    if (rc == 0) rc = take_vector(b, i, "attn_sinks", p->heads, &l->attn_sinks);
    if (rc == 0) rc = take_weight(b, i, "attn_output", p->embd, attended, &l->attn_output);
    if (rc == 0) rc = take_bias(b, i, "attn_output", p->embd, &l->attn_output_bias);
    return rc;
}

/* What comes into the sums and what gates them, the sums' weights, and the way out. */
static int take_convolution(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    int rc = take_weight(b, i, "shortconv.in_proj", 3ull * p->embd, p->embd, &l->convolution_in);
    if (rc == 0) rc = take_weight(b, i, "shortconv.conv", p->embd, p->convolution, &l->convolution);
    return rc == 0 ? take_weight(b, i, "shortconv.out_proj", p->embd, p->embd, &l->attn_output) : rc;
}

/* Without the suffix that all others have; one value of each head. */
static int take_bare(struct builder *b, uint32_t i, const char *role, uint32_t heads, struct model_tensor *out) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "blk.%u.%s", i, role);
    return take_needed(b, name, heads, 1, out);
}

/* What comes in gates the result, goes into the states and says how far a step goes, in this order (Mamba-2). */
static int take_recurrence(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    const struct model_recurrence *r = &p->recurrence;
    struct model_layer *l = &b->m->layers[i];
    uint64_t channels = model_recurrence_channels(r);
    char name[NAME_BYTES];
    int rc = take_weight(b, i, "ssm_in", r->inner + channels + r->heads, p->embd, &l->recurrence_in);
    if (rc == 0) rc = take_weight(b, i, "ssm_conv1d", channels, r->taps, &l->recurrence_taps);
    if (rc == 0) rc = take_bias(b, i, "ssm_conv1d", channels, &l->recurrence_taps_bias);
    if (rc == 0)
        rc = take_needed(b, layer_name(i, "ssm_dt", "bias", name), 1, r->heads, &l->recurrence_step_bias);
    if (rc == 0) rc = take_bare(b, i, "ssm_a", r->heads, &l->recurrence_decay);
    if (rc == 0) rc = take_bare(b, i, "ssm_d", r->heads, &l->recurrence_skip);
    if (rc == 0) rc = take_weight(b, i, "ssm_norm", r->groups, r->inner / r->groups, &l->recurrence_norm);
    return rc == 0 ? take_weight(b, i, "ssm_out", p->embd, r->inner, &l->attn_output) : rc;
}

static int take_attention(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    const char *own = has_weight(b, i, "attn_norm_2") ? "attn_norm_2" : "attn_norm";
    int rc = begins_normed(b, i) ? 0
             : norms_follow(b)   ? take_layer_norm(b, i - 1, "layer_output_norm", &l->attn_norm, &l->attn_norm_bias)
                                 : take_layer_norm(b, i, own, &l->attn_norm, &l->attn_norm_bias);
    if (rc < 0) return rc;
    if (l->headless) return 0;
    if (l->convolves) return take_convolution(b, i);
    if (l->recurs) return take_recurrence(b, i);
    return p->latent.kv_rank ? take_latent(b, i) : take_plain_attention(b, i);
}

/* ---- FFN ---- */

/* Gate and up in one matrix, gate first. */
static int take_fused_gate(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    struct model_tensor both;
    int rc = take_weight(b, i, "ffn_up", 2ull * l->ff, p->embd, &both);
    if (rc < 0) return rc;
    l->ffn_gate = part_of(&both, 0, l->ff);
    l->ffn_up = part_of(&both, l->ff, 2ull * l->ff);
    return 0;
}

/* Gate and up, together or apart, or up alone. */
static int take_gate_and_up(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    char name[NAME_BYTES];
    const struct gguf_tensor *up = gguf_tensor(&b->m->gguf, layer_name(i, "ffn_up", "weight", name));
    bool gated = has_weight(b, i, "ffn_gate");
    if (!gated && up && up->dims[1] == 2ull * l->ff) return take_fused_gate(b, i);
    int rc = take_weight(b, i, "ffn_up", l->ff, p->embd, &l->ffn_up);
    if (rc == 0 && gated) rc = take_weight(b, i, "ffn_gate", l->ff, p->embd, &l->ffn_gate);
    return rc;
}

static int take_dense_ffn(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    int rc = take_gate_and_up(b, i);
    if (rc == 0) rc = take_bias(b, i, "ffn_up", l->ff, &l->ffn_up_bias);
    if (rc == 0) rc = take_bias(b, i, "ffn_gate", l->ff, &l->ffn_gate_bias);
    if (rc == 0) rc = take_weight(b, i, "ffn_down", p->embd, l->ff, &l->ffn_down);
    if (rc == 0) rc = take_bias(b, i, "ffn_down", p->embd, &l->ffn_down_bias);
    return rc;
}

/* ---- mixtures ---- */

/* Activations that are nothing without a gate. */
static bool is_gated(enum model_activation a) { return a == MODEL_SILU || a == MODEL_SILU_CLAMPED; }

/* Gate and up of the experts, together (gate first in each) or apart, or up alone. */
static int take_expert_gates(struct builder *b, uint32_t i) {
    uint64_t count = b->m->params.experts.count, ff = b->m->params.experts.ff, embd = b->m->params.embd;
    struct model_layer *l = &b->m->layers[i];
    struct model_tensor both;
    if (!has_weight(b, i, "ffn_gate_up_exps")) {
        bool gated = has_weight(b, i, "ffn_gate_exps") || is_gated(b->m->params.activation);
        int rc = gated ? take_stack(b, i, "ffn_gate_exps", count, ff, embd, &l->expert_gate) : 0;
        return rc == 0 ? take_stack(b, i, "ffn_up_exps", count, ff, embd, &l->expert_up) : rc;
    }
    int rc = take_stack(b, i, "ffn_gate_up_exps", count, 2 * ff, embd, &both);
    if (rc < 0) return rc;
    l->expert_gate = part_of_groups(&both, 0, ff, 2 * ff);
    l->expert_up = part_of_groups(&both, ff, 2 * ff, 2 * ff);
    return 0;
}

static int take_expert_bias(struct builder *b, uint32_t i, const char *role, uint64_t count, struct model_tensor *out) {
    char name[NAME_BYTES];
    return take(b, layer_name(i, role, "bias", name), b->m->params.experts.count, count, out);
}

/* Some files name it without a suffix. */
static int take_choice_bias(struct builder *b, uint32_t i, uint64_t count, struct model_tensor *out) {
    char name[NAME_BYTES];
    int rc = take_bias(b, i, "exp_probs_b", count, out);
    if (rc < 0 || out->bytes > 0) return rc;
    snprintf(name, sizeof name, "blk.%u.exp_probs_b", i);
    return take(b, name, 1, count, out);
}

/* Gemma 4's router, experts and shared FFN each read the hidden state by a norm of its own, and what comes of them is
 * normed apart. */
static int take_expert_norms(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    char name[NAME_BYTES];
    if (!has_weight(b, i, "pre_ffw_norm_2")) return 0;
    int rc = take_needed(b, layer_name(i, "ffn_gate_inp", "scale", name), 1, p->embd, &l->router_norm);
    if (rc == 0) rc = take_weight(b, i, "pre_ffw_norm_2", 1, p->embd, &l->expert_norm);
    if (rc == 0) rc = take_weight(b, i, "post_ffw_norm_2", 1, p->embd, &l->expert_post_norm);
    if (rc == 0) rc = take_weight(b, i, "post_ffw_norm_1", 1, p->embd, &l->shared_post_norm);
    return rc == 0 ? take(b, layer_name(i, "ffn_down_exps", "scale", name), 1, p->experts.count, &l->expert_scale) : rc;
}

static int take_experts(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    const struct model_experts *e = &p->experts;
    struct model_layer *l = &b->m->layers[i];
    int rc = take_weight(b, i, "ffn_gate_inp", e->count, p->embd, &l->router);
    if (rc == 0) rc = take_bias(b, i, "ffn_gate_inp", e->count, &l->router_bias);
    if (rc == 0) rc = take_choice_bias(b, i, e->count, &l->router_choice_bias);
    if (rc == 0) rc = take_expert_gates(b, i);
    if (rc == 0) rc = take_stack(b, i, "ffn_down_exps", e->count, p->embd, e->ff, &l->expert_down);
    if (rc == 0) rc = take_expert_bias(b, i, "ffn_gate_exps", e->ff, &l->expert_gate_bias);
    if (rc == 0) rc = take_expert_bias(b, i, "ffn_up_exps", e->ff, &l->expert_up_bias);
    if (rc == 0) rc = take_expert_bias(b, i, "ffn_down_exps", p->embd, &l->expert_down_bias);
    return rc == 0 ? take_expert_norms(b, i) : rc;
}

/* The FFN that all positions run through beside their experts, perhaps with a gate of its own. */
static int take_shared_expert(struct builder *b, uint32_t i) {
    uint64_t embd = b->m->params.embd;
    struct model_layer *l = &b->m->layers[i];
    char name[NAME_BYTES];
    const struct gguf_tensor *up = gguf_tensor(&b->m->gguf, layer_name(i, "ffn_up_shexp", "weight", name));
    if (!up) return l->expert_norm.bytes ? take_dense_ffn(b, i) : 0;
    bool fused = !has_weight(b, i, "ffn_gate_shexp") && up->dims[1] % 2 == 0; /* gate first */
    uint64_t width = fused ? up->dims[1] / 2 : up->dims[1];
    if (width > WIDTH_MAX) return error_set(b->error, ERR_LIMIT, "tensor %s is too wide", name);
    int rc = take_weight(b, i, "ffn_up_shexp", up->dims[1], embd, &l->ffn_up);
    if (rc == 0 && !fused) rc = take_weight(b, i, "ffn_gate_shexp", width, embd, &l->ffn_gate);
    if (rc == 0 && fused) {
        l->ffn_gate = part_of(&l->ffn_up, 0, width);
        l->ffn_up = part_of(&l->ffn_up, width, 2 * width);
    }
    if (rc == 0) rc = take_weight(b, i, "ffn_down_shexp", embd, width, &l->ffn_down);
    if (rc == 0) rc = take_vector(b, i, "ffn_gate_inp_shexp", embd, &l->shared_gate);
    return rc;
}

static int take_ffn(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    bool behind = norms_follow(b) || has_weight(b, i, "attn_output_norm");
    const char *norm = behind                                   ? "attn_output_norm"
                       : b->family->traits & FAMILY_SECOND_NORM ? "post_attention_norm"
                       : has_weight(b, i, "attn_norm_2")        ? "attn_norm" /* Falcon's, the other is attention's */
                                                                : "ffn_norm";
    int rc = take_layer_norm(b, i, norm, &l->ffn_norm, &l->ffn_norm_bias);
    if (rc < 0) return rc;
    if (l->ff == 0) return 0;
    if (p->experts.count == 0 || !has_weight(b, i, "ffn_gate_inp")) return take_dense_ffn(b, i);
    rc = take_experts(b, i);
    return rc == 0 ? take_shared_expert(b, i) : rc;
}

/* ---- all of it ---- */

/* Side by side, but each with a norm of its own. */
static bool two_norms(const struct builder *b, uint32_t i) {
    return has_weight(b, i, "attn_norm_2") || b->family->traits & FAMILY_PARALLEL_SAID;
}

/* What a layer cannot do without, however its family arranges it. */
static int check_layer(struct builder *b, uint32_t i) {
    const struct model_layer *l = &b->m->layers[i];
    bool bare = b->m->params.norms_bare;
    if (!l->headless && !l->attn_norm.bytes && !l->attn_post_norm.bytes && !begins_normed(b, i) && !bare)
        return error_set(b->error, ERR_INVALID, "tensor blk.%u.attn_norm.weight is missing", i);
    if (l->ff > 0 && !l->ffn_norm.bytes && !l->ffn_post_norm.bytes && !b->m->params.parallel && !bare)
        return error_set(b->error, ERR_INVALID, "tensor blk.%u.ffn_norm.weight is missing", i);
    if (l->ffn_norm.bytes && b->m->params.parallel && !two_norms(b, i))
        return error_set(b->error, ERR_INVALID, "tensor blk.%u.ffn_norm.weight is not in the layers before", i);
    enum model_activation by = b->m->params.activation;
    bool never_gated = by == MODEL_RELU_SQUARED || by == MODEL_XIELU;
    if (is_gated(by) && l->ffn_up.bytes && !l->ffn_gate.bytes)
        return error_set(b->error, ERR_INVALID, "tensor blk.%u.ffn_gate.weight is missing", i);
    if (never_gated && (l->ffn_gate.bytes || l->expert_gate.bytes))
        return error_set(b->error, ERR_UNSUPPORTED, "a gate in block %u of a %s model is not supported", i,
                         b->m->params.architecture);
    if (l->ffn_gate_bias.bytes && !l->ffn_gate.bytes)
        return error_set(b->error, ERR_INVALID, "tensor blk.%u.ffn_gate.bias has no gate", i);
    return 0;
}

static int take_layer(struct builder *b, uint32_t i) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[i];
    int rc = take_attention(b, i);
    if (rc == 0) rc = take_ffn(b, i);
    if (rc == 0 && !(b->family->traits & FAMILY_SECOND_NORM))
        rc = take_vector(b, i, "post_attention_norm", p->embd, &l->attn_post_norm);
    if (rc == 0) rc = take_vector(b, i, "post_ffw_norm", p->embd, &l->ffn_post_norm);
    if (rc == 0) rc = take_vector(b, i, "layer_output_scale", 1, &l->layer_scale);
    return rc == 0 ? check_layer(b, i) : rc;
}

/* What is added to tokens: a vector for each position, and that of the first kind of text. */
static int take_additions(struct builder *b) {
    struct model *m = b->m;
    const struct model_params *p = &m->params;
    const struct gguf_tensor *types = gguf_tensor(&m->gguf, "token_types.weight");
    int rc = b->family->traits & FAMILY_POSITIONS
                 ? take_needed(b, "position_embd.weight", p->context, p->embd, &m->position_embd)
                 : 0;
    if (rc < 0 || !types) return rc;
    rc = take(b, "token_types.weight", types->dims[1], p->embd, &m->token_type);
    if (rc == 0 && m->token_type.rows > 1) m->token_type = part_of(&m->token_type, 0, 1);
    return rc;
}

static int take_last_norm(struct builder *b) {
    struct model *m = b->m;
    const char *name = b->family->traits & FAMILY_CONVOLVES ? "token_embd_norm" : "output_norm"; /* LFM2's own way */
    int rc = norms_follow(b) ? take_layer_norm(b, m->params.layers - 1, "layer_output_norm", &m->output_norm,
                                               &m->output_norm_bias)
                             : take_norm(b, name, &m->output_norm, &m->output_norm_bias);
    if (rc == 0 && m->output_norm.bytes == 0 && !m->params.norms_bare)
        rc = norms_follow(b)
                 ? error_set(b->error, ERR_INVALID, "tensor layer_output_norm.weight of the last layer is missing")
                 : error_set(b->error, ERR_INVALID, "tensor %s.weight is missing", name);
    return rc;
}

/* What an embedding passes in the end: out to another width and back, sentence-transformers' modules 2 and 3. */
static int take_pooled(struct builder *b) {
    struct model *m = b->m;
    const struct gguf_tensor *up = gguf_tensor(&m->gguf, "dense_2.weight");
    if (!up) return 0;
    uint64_t width = up->dims[1];
    if (width > WIDTH_MAX) return error_set(b->error, ERR_LIMIT, "tensor dense_2.weight is too wide");
    m->params.pooled_width = (uint32_t)width;
    int rc = take_needed(b, "dense_2.weight", width, m->params.embd, &m->pooled_up);
    return rc == 0 ? take_needed(b, "dense_3.weight", m->params.embd, width, &m->pooled_down) : rc;
}

static int take_ends(struct builder *b) {
    struct model *m = b->m;
    const struct model_params *p = &m->params;
    int rc = take_needed(b, "token_embd.weight", p->vocab, p->embd, &m->token_embd);
    if (rc == 0) rc = take_additions(b);
    if (rc == 0 && (begins_normed(b, 0) || b->family->traits & FAMILY_LEANS))
        rc = take_norm(b, "token_embd_norm", &m->embd_norm, &m->embd_norm_bias);
    if (rc == 0 && begins_normed(b, 0) && m->embd_norm.bytes == 0)
        rc = error_set(b->error, ERR_INVALID, "tensor token_embd_norm.weight is missing");
    if (rc == 0) rc = take_last_norm(b);
    if (rc == 0) rc = take(b, "output.weight", p->vocab, p->embd, &m->output);
    if (rc == 0) rc = take(b, "output.bias", 1, p->vocab, &m->output_bias);
    if (rc == 0 && p->encodes) rc = take_pooled(b);
    if (rc == 0) rc = take(b, "rope_freqs.weight", 1, p->rope_dims / 2, &m->rope_freqs);
    if (rc == 0) rc = take(b, "rope_factors_long.weight", 1, p->rope_dims / 2, &m->rope_long);
    if (rc == 0) rc = take(b, "rope_factors_short.weight", 1, p->rope_dims / 2, &m->rope_short);
    if (rc == 0 && !m->rope_long.bytes != !m->rope_short.bytes)
        rc = error_set(b->error, ERR_INVALID, "of rope_factors_long and rope_factors_short one is missing");
    m->params.tied = m->output.bytes == 0;
    return rc;
}

static bool lies_in(uint32_t layer, const struct gguf_string *name) {
    char prefix[NAME_BYTES];
    size_t len = (size_t)snprintf(prefix, sizeof prefix, "blk.%u.", layer);
    return name->len > len && memcmp(name->data, prefix, len) == 0;
}

static bool is_needless(const struct builder *b, const struct gguf_string *name) {
    for (uint32_t i = 0; i < b->layers_beyond; i++)
        if (lies_in(b->m->params.layers + i, name)) return true;
    return false;
}

static int refuse_unused(struct builder *b) {
    const struct gguf *g = &b->m->gguf;
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct gguf_string name = g->tensors[i].name;
        if (!b->used[i] && !is_needless(b, &name))
            return error_set(b->error, ERR_UNSUPPORTED, "tensor %.*s is not known in architecture %s",
                             name.len < 60 ? (int)name.len : 60, name.data, b->m->params.architecture);
    }
    return 0;
}

static void find_widest_ffn(struct model *m) {
    m->params.ff = 0;
    for (uint32_t i = 0; i < m->params.layers; i++)
        if (m->layers[i].ffn_up.rows > m->params.ff) m->params.ff = (uint32_t)m->layers[i].ffn_up.rows;
}

int builder_take_tensors(struct builder *b) {
    int rc = take_ends(b);
    for (uint32_t i = 0; rc == 0 && i < b->m->params.layers; i++) rc = take_layer(b, i);
    find_widest_ffn(b->m);
    return rc == 0 ? refuse_unused(b) : rc;
}
