#include "engine/share.h"

#include "base/size.h"
#include "kern/kern.h"

static bool is_alone(const struct share *s) { return s->members <= 1; }

/* ---- one dimension, cut in the proportions of the members ---- */

/* Of `units`, how many come before this member; each gets one at least. */
static uint32_t boundary(const struct share *s, uint32_t units, uint32_t member) {
    uint64_t total = 0, before = 0, begin = 0;
    if (member == s->members) return units;
    for (uint32_t i = 0; i < s->members; i++) total += s->weights[i];
    for (uint32_t i = 0; i < member; i++) {
        before += s->weights[i];
        uint64_t fair = (2 * units * before + total) / (2 * total), least = begin + 1;
        uint64_t most = units - (s->members - 1 - i);
        begin = fair < least ? least : fair;
        if (begin > most) begin = most;
    }
    return (uint32_t)begin;
}

/* Of `size`, in multiples of `unit`. */
static struct range cut_evenly(const struct share *s, uint32_t size, uint32_t unit, uint32_t member) {
    if (is_alone(s)) return (struct range){0, size};
    uint32_t units = (size + unit - 1) / unit;
    uint32_t begin = boundary(s, units, member) * unit, end = boundary(s, units, member + 1) * unit;
    return (struct range){begin, end < size ? end : size};
}

struct range share_columns(const struct share *s, uint32_t size, uint32_t member) {
    return cut_evenly(s, size, KERN_BLOCK, member);
}

struct range share_hidden(const struct share *s, const struct model_params *p, uint32_t member) {
    return cut_evenly(s, p->embd, KERN_LANES, member);
}

struct range share_vocab(const struct share *s, const struct model_params *p, uint32_t member) {
    return cut_evenly(s, p->vocab, KERN_LANES, member);
}

/* ---- heads ---- */

static uint32_t heads_per_kv(const struct model_params *p) { return p->heads / p->kv_heads; }

struct range share_heads(const struct share *s, const struct model_params *p, uint32_t member) {
    bool by_groups = p->kv_heads >= 2 * s->members;
    return cut_evenly(s, p->heads, by_groups ? heads_per_kv(p) : 1, member);
}

struct range share_kv_heads(const struct share *s, const struct model_params *p) {
    uint32_t each = heads_per_kv(p);
    struct range heads = share_heads(s, p, s->member);
    return (struct range){heads.begin / each, (heads.end + each - 1) / each};
}

/* Does the norm of queries or keys go over all heads together? */
static bool norm_joins_heads(const struct model_params *p, const struct model_tensor *norm, uint32_t heads) {
    return norm->bytes > 0 && norm->rows == 1 && norm->cols > p->head_dim_k && heads > 1;
}

void share_init(struct share *s, const struct model *m, uint32_t member, uint32_t members, const uint32_t *weights) {
    const struct model_params *p = &m->params;
    *s = (struct share){.member = member, .members = members};
    for (uint32_t i = 0; weights && i < members; i++) s->weights[i] = weights[i];
    for (uint32_t i = 0; members > 1 && i < p->layers; i++) {
        s->all_queries |= norm_joins_heads(p, &m->layers[i].attn_q_norm, p->heads);
        s->all_keys |= norm_joins_heads(p, &m->layers[i].attn_k_norm, p->kv_heads);
    }
}

/* ---- a layer ---- */

#define WHOLE_MATRIX(name) out->name = (struct cut){1, {0, (uint32_t)from->name.rows}};
#define WHOLE_VECTOR(name) out->name = (struct cut){1, {0, (uint32_t)(from->name.rows * from->name.cols)}};

static struct range times(struct range r, uint32_t factor) { return (struct range){r.begin * factor, r.end * factor}; }

static void cut_attention(const struct share *s, const struct model_params *p, const struct model_layer *from,
                          struct share_layer *out) {
    struct range heads = share_heads(s, p, s->member), kv_heads = share_kv_heads(s, p);
    uint32_t query = p->latent.kv_rank ? p->latent.nope + p->rope_dims : p->head_dim_k;
    if (!s->all_queries) out->attn_q.rows = out->attn_q_bias.rows = times(heads, query);
    if (from->attn_q_norm.rows > 1) out->attn_q_norm.rows = times(heads, p->head_dim_k);
    out->attn_sinks.rows = heads;
    out->attn_output.rows = out->attn_output_bias.rows = share_hidden(s, p, s->member);
    if (p->latent.kv_rank) {
        out->attn_k_b.rows = times(heads, p->latent.kv_rank);
        out->attn_v_b.rows = times(heads, p->latent.value);
        return;
    }
    if (!s->all_keys) out->attn_k.rows = out->attn_k_bias.rows = times(kv_heads, p->head_dim_k);
    if (from->attn_k_norm.rows > 1) out->attn_k_norm.rows = times(kv_heads, p->head_dim_k);
    out->attn_v.rows = out->attn_v_bias.rows = times(kv_heads, p->head_dim_v);
    out->attn_gate.rows = times(heads, p->head_dim_v);
}

static void cut_ffn(const struct share *s, const struct model_params *p, const struct model_layer *from,
                    struct share_layer *out) {
    struct range inside = share_columns(s, (uint32_t)from->ffn_up.rows, s->member);
    out->ffn_gate.rows = out->ffn_up.rows = out->ffn_gate_bias.rows = out->ffn_up_bias.rows = inside;
    out->ffn_down.rows = out->ffn_down_bias.rows = share_hidden(s, p, s->member);
}

static void cut_experts(const struct share *s, const struct model_params *p, struct share_layer *out) {
    struct cut inside = {p->experts.count, share_columns(s, p->experts.ff, s->member)};
    out->expert_gate = out->expert_up = out->expert_gate_bias = out->expert_up_bias = inside;
    out->expert_down = out->expert_down_bias = (struct cut){p->experts.count, share_hidden(s, p, s->member)};
}

void share_layer(const struct share *s, const struct model *m, uint32_t layer, struct share_layer *out) {
    const struct model_layer *from = &m->layers[layer];
    *out = (struct share_layer){0};
    MODEL_LAYER_TENSORS(WHOLE_MATRIX, WHOLE_VECTOR)
    if (is_alone(s)) return;
    cut_attention(s, &m->params, from, out);
    if (from->ffn_up.bytes > 0) cut_ffn(s, &m->params, from, out);
    if (from->expert_up.bytes > 0) cut_experts(s, &m->params, out);
}

void share_sizes(const struct share *s, const struct model_params *p, struct share_sizes *out) {
    struct range kv_heads = share_kv_heads(s, p);
    *out = (struct share_sizes){.params = *p,
                                .heads = share_heads(s, p, s->member),
                                .hidden = share_hidden(s, p, s->member),
                                .expert = share_columns(s, p->experts.ff, s->member),
                                .queries = p->heads,
                                .keys = p->kv_heads,
                                .heads_per_kv = heads_per_kv(p),
                                .heads_of_model = p->heads,
                                .attended = p->heads * share_value_size(p),
                                .in_blocks = true};
    if (p->recurrence.inner > out->attended) out->attended = p->recurrence.inner;
    out->params.heads = range_length(out->heads);
    out->params.kv_heads = range_length(kv_heads);
    out->params.vocab = range_length(share_vocab(s, p, s->member));
    out->query_from = s->all_queries ? out->heads.begin : 0;
    out->key_from = s->all_keys ? kv_heads.begin : 0;
    if (!s->all_queries) out->queries = out->params.heads;
    if (!s->all_keys) out->keys = out->params.kv_heads;
    for (uint32_t i = 0; i < s->members; i++)
        out->in_blocks &= share_heads(s, p, i).begin * share_value_size(p) % KERN_BLOCK == 0;
}

void share_local_sizes(const struct share_sizes *s, struct share_sizes *out) {
    struct model_heads h = s->params.local;
    *out = *s;
    if (h.kv_heads == 0) return;
    out->params.kv_heads = out->keys = h.kv_heads;
    out->params.head_dim_k = h.dim_k;
    out->params.head_dim_v = h.dim_v;
    out->params.rope_dims = h.rope_dims;
    out->heads_per_kv = heads_per_kv(&out->params);
    out->attended = out->params.heads * h.dim_v;
}

/* ---- limits ---- */

static uint32_t blocks_of(uint64_t columns) { return (uint32_t)((columns + KERN_BLOCK - 1) / KERN_BLOCK); }

uint32_t share_members_max(const struct model *m) {
    const struct model_params *p = &m->params;
    uint32_t most = p->heads, lanes = (p->embd + KERN_LANES - 1) / KERN_LANES;
    if (lanes < most) most = lanes;
    if (p->convolution > 0 || p->recurrence.inner > 0) return 1; /* what is kept is not cut */
    if (p->local.kv_heads > 0) return 1; /* heads are cut in one way, and no norm stands amid the sums of members */
    if (p->encodes) return 1; /* its rows see each other, so they cannot be computed in parts */
    if (p->parallel && p->experts.count > 0) return 1; /* a mixture works on one part of a step at a time */
    if (p->experts.count > 0 && blocks_of(p->experts.ff) < most) most = blocks_of(p->experts.ff);
    for (uint32_t i = 0; i < p->layers; i++) {
        if (m->layers[i].headless) return 1; /* there would be nothing to tell each other of */
        uint32_t blocks = blocks_of(m->layers[i].ffn_up.rows);
        if (blocks > 0 && blocks < most) most = blocks;
    }
    return most < SHARE_MEMBERS_MAX ? most : SHARE_MEMBERS_MAX;
}

int share_check(const struct share *s, const struct model *m, struct error *error) {
    uint32_t most = share_members_max(m);
    if (is_alone(s) || s->members <= most) return 0;
    return error_set(error, ERR_LIMIT, "%u members cannot share layers of this model: %u at most", s->members, most);
}

/* A unit more than is due of rows that are cut into so many units. */
static uint64_t one_of(uint64_t bytes, uint64_t units) { return units ? (bytes + units - 1) / units : 0; }

#define ADD_VECTOR(name) bytes += l->name.rows * l->name.cols * sizeof(float);
#define NO_MATRIX(name)

struct share_slack share_slack(const struct model *m, uint32_t layer) {
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    struct share s;
    share_init(&s, m, 0, 2, (uint32_t[]){1, 1});
    uint64_t bytes = l->attn_q_a.bytes + l->attn_kv_a.bytes + l->router.bytes + l->shared_gate.bytes;
    MODEL_LAYER_TENSORS(NO_MATRIX, ADD_VECTOR)
    bytes += s.all_queries ? l->attn_q.bytes : one_of(l->attn_q.bytes, p->latent.kv_rank ? p->heads : p->kv_heads);
    bytes += one_of(l->attn_gate.bytes, p->kv_heads);
    bytes += s.all_keys ? l->attn_k.bytes : 2 * one_of(l->attn_k.bytes, p->kv_heads);
    bytes += 2 * one_of(l->attn_v.bytes, p->kv_heads) + one_of(l->attn_k_b.bytes + l->attn_v_b.bytes, p->heads);
    bytes += one_of(l->attn_output.bytes + l->ffn_down.bytes + l->expert_down.bytes, p->embd / KERN_LANES);
    bytes += one_of(l->ffn_gate.bytes + l->ffn_up.bytes, blocks_of(l->ffn_up.rows));
    bytes += one_of(l->expert_gate.bytes + l->expert_up.bytes, blocks_of(p->experts.ff));
    uint32_t kv_heads = p->kv_heads < 2 ? p->kv_heads : 2;
    return (struct share_slack){bytes + bytes / 16 + KERN_ALIGN * 64, kv_heads}; /* packed, and aligned */
}

uint32_t share_exchanges(const struct model *m) { return m->params.parallel ? 2 : 4; }

/* Columns as the matrix behind them reads them: int8 with a scale and two sums for each block, or f32. */
static uint64_t columns_bytes(uint64_t columns, const struct model_tensor *reader) {
    if (reader->bytes == 0) return 0;
    return kern_wants_int8(reader->type) ? columns + columns / KERN_BLOCK * 12 : columns * sizeof(float);
}

uint64_t share_exchange_bytes(const struct model *m, uint32_t layer) {
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    uint64_t sums = 2 * (uint64_t)p->embd * sizeof(float);
    return sums + columns_bytes((uint64_t)p->heads * share_value_size(p), &l->attn_output) +
           columns_bytes(l->ffn_up.rows, &l->ffn_down) +
           columns_bytes((uint64_t)p->experts.used * p->experts.ff, &l->expert_down);
}
