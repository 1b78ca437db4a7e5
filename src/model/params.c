#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/builder.h"

enum { WIDTH_MAX = 1 << 20, VOCAB_MAX = 1 << 24, KEY_BYTES = 96, HEAD_DIM_MAX = 576 };
enum { CHUNK = 8192, CONVOLUTION_MAX = 64, STATE_MAX = 1024 };

/* "llama.block_count" of "block_count". */
static const char *full_key(const struct builder *b, const char *name, char out[KEY_BYTES]) {
    snprintf(out, KEY_BYTES, "%s.%s", b->m->params.architecture, name);
    return out;
}

static bool has_key(const struct builder *b, const char *name) {
    char key[KEY_BYTES];
    return gguf_find(&b->m->gguf, full_key(b, name, key)) != NULL;
}

/* A number from 1 to max that the file must have. */
static int read_count(struct builder *b, const char *name, uint64_t max, uint32_t *out) {
    char key[KEY_BYTES];
    uint64_t value;
    if (!gguf_find(&b->m->gguf, full_key(b, name, key)))
        return error_set(b->error, ERR_INVALID, "key %s is missing", key);
    if (!gguf_u64(&b->m->gguf, key, &value))
        return error_set(b->error, ERR_UNSUPPORTED, "key %s is not one positive number", key);
    if (value == 0 || value > max)
        return error_set(b->error, ERR_INVALID, "key %s is %" PRIu64 ", it must be 1 to %" PRIu64, key, value, max);
    *out = (uint32_t)value;
    return 0;
}

/* The same, but an absent key means `otherwise`. */
static int read_count_or(struct builder *b, const char *name, uint64_t max, uint64_t otherwise, uint32_t *out) {
    char key[KEY_BYTES];
    if (has_key(b, name)) return read_count(b, name, max, out);
    if (otherwise == 0 || otherwise > max)
        return error_set(b->error, ERR_INVALID, "key %s is missing and cannot be derived", full_key(b, name, key));
    *out = (uint32_t)otherwise;
    return 0;
}

/* A number up to UINT32_MAX that may be 0, which is also what an absent key leaves. */
static int read_optional(struct builder *b, const char *name, uint32_t *out) {
    char key[KEY_BYTES];
    uint64_t value = 0;
    if (!has_key(b, name)) return 0;
    if (!gguf_u64(&b->m->gguf, full_key(b, name, key), &value) || value > UINT32_MAX)
        return error_set(b->error, ERR_INVALID, "key %s is not one number up to %u", key, UINT32_MAX);
    *out = (uint32_t)value;
    return 0;
}

/* A finite number above 0 (or 0 itself), or what *out already holds where the key is absent. */
static int read_number(struct builder *b, const char *name, bool zero_too, float *out) {
    char key[KEY_BYTES];
    if (!has_key(b, name)) return 0;
    if (!gguf_f32(&b->m->gguf, full_key(b, name, key), out) || !isfinite(*out) || *out < 0 || (*out == 0 && !zero_too))
        return error_set(b->error, ERR_INVALID, "key %s must be a positive number", key);
    return 0;
}

static int read_positive(struct builder *b, const char *name, float *out) { return read_number(b, name, false, out); }

/* Are attention and FFN side by side? */
static void read_order(struct builder *b) {
    bool *parallel = &b->m->params.parallel;
    char key[KEY_BYTES];
    *parallel = (b->family->traits & FAMILY_PARALLEL) && !gguf_tensor(&b->m->gguf, "blk.0.ffn_norm.weight");
    if (b->family->traits & FAMILY_PARALLEL_SAID)
        gguf_bool(&b->m->gguf, full_key(b, "use_parallel_residual", key), parallel);
}

static int read_family(struct builder *b) {
    struct gguf_string name;
    struct model_params *p = &b->m->params;
    if (!gguf_str(&b->m->gguf, "general.architecture", &name))
        return error_set(b->error, ERR_INVALID, "key general.architecture is missing");
    b->family = model_family_find(name);
    if (b->family) {
        snprintf(p->architecture, sizeof p->architecture, "%s", b->family->architecture);
        p->pairing = b->family->pairing;
        p->norm = b->family->norm;
        p->activation = b->family->activation;
        p->heads_normed_last = b->family->traits & FAMILY_HEADS_NORMED_LAST;
        p->values_normed = b->family->traits & FAMILY_VALUES_NORMED;
        p->heads_gated = b->family->traits & FAMILY_HEADS_GATED;
        read_order(b);
        return 0;
    }
    struct text known = {0};
    model_family_list(&known);
    error_set(b->error, ERR_UNSUPPORTED, "architecture \"%.*s\" is not supported; supported are: %s",
              name.len < 40 ? (int)name.len : 40, name.data, text_str(&known));
    text_deinit(&known);
    return ERR_UNSUPPORTED;
}

static int read_vocab(struct builder *b) {
    const struct gguf *g = &b->m->gguf;
    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    const struct gguf_tensor *embedding = gguf_tensor(g, "token_embd.weight");
    uint64_t vocab = embedding ? embedding->dims[1] : 0;
    if (tokens && tokens->type == GGUF_ARRAY && tokens->count > 0) {
        if (tokens->count > VOCAB_MAX)
            return error_set(b->error, ERR_LIMIT, "a vocabulary of %" PRIu64 " tokens is too big", tokens->count);
        b->m->params.vocab = (uint32_t)tokens->count;
        return 0;
    }
    return read_count_or(b, "vocab_size", VOCAB_MAX, vocab, &b->m->params.vocab);
}

/* The biggest of gemma 2 and 3 scale by another width than that of their heads. */
static float default_attention_scale(const struct builder *b) {
    const struct model_params *p = &b->m->params;
    if (b->family->traits & FAMILY_VALUES_NORMED) return 1;
    if (strcmp(p->architecture, "jais") == 0) return 1.0f / (float)p->head_dim_k;
    bool gemma2 = strcmp(p->architecture, "gemma2") == 0 && p->layers == 46;
    bool gemma3 = strcmp(p->architecture, "gemma3") == 0 && p->layers == 62;
    return 1.0f / sqrtf(gemma2 || gemma3 ? (float)p->embd / (float)p->heads : (float)p->head_dim_k);
}

/* Files give the size of what is cached as that of keys and values, and beside it that of real heads; older ones knew
 * only the latter. */
static int read_latent_heads(struct builder *b) {
    struct model_params *p = &b->m->params;
    struct model_latent *l = &p->latent;
    bool both = has_key(b, "attention.key_length_mla");
    uint32_t key = 0, rope = 0;
    const char *value_key = both ? "attention.value_length_mla" : "attention.value_length";
    int rc = read_count(b, "attention.kv_lora_rank", HEAD_DIM_MAX, &l->kv_rank);
    if (rc == 0) rc = read_optional(b, "attention.q_lora_rank", &l->q_rank);
    if (rc == 0) rc = read_count(b, both ? "attention.key_length_mla" : "attention.key_length", WIDTH_MAX, &key);
    if (rc == 0) rc = read_count_or(b, value_key, WIDTH_MAX, p->embd / p->heads, &l->value);
    if (rc == 0) rc = read_count(b, "rope.dimension_count", WIDTH_MAX, &rope);
    if (rc < 0) return rc;
    if (l->kv_rank % 64 != 0 || l->value % 16 != 0 || rope >= key || l->q_rank > WIDTH_MAX)
        return error_set(b->error, ERR_UNSUPPORTED,
                         "latent attention of rank %u with keys of %u + %u and values of %u channels is not supported",
                         l->kv_rank, key > rope ? key - rope : 0, rope, l->value);
    l->nope = key - rope;
    p->kv_heads = 1;
    p->head_dim_k = l->kv_rank + rope;
    p->head_dim_v = l->kv_rank;
    p->attention_scale = 1.0f / sqrtf((float)key);
    return 0;
}

/* NULL: layers do not differ in it. */
static const struct gguf_value *kv_heads_of_layers(const struct builder *b) {
    char key[KEY_BYTES];
    const struct gguf_value *list = gguf_find(&b->m->gguf, full_key(b, "attention.head_count_kv", key));
    bool may_differ = b->family->traits & (FAMILY_CONVOLVES | FAMILY_RECURS | FAMILY_LAYERS_VARY);
    return may_differ && list && list->type == GGUF_ARRAY ? list : NULL;
}

/* One number, or one of each layer: 0 or always the same. */
static int read_kv_heads(struct builder *b) {
    struct model_params *p = &b->m->params;
    const struct gguf_value *list = kv_heads_of_layers(b);
    uint64_t most = 0, count;
    if (!list) return read_count_or(b, "attention.head_count_kv", WIDTH_MAX, p->heads, &p->kv_heads);
    for (uint32_t i = 0; i < p->layers; i++) {
        if (!gguf_item_u64(list, i, &count) || count > WIDTH_MAX || (count > 0 && most > 0 && count != most))
            return error_set(b->error, ERR_UNSUPPORTED, "KV heads of block %u: none, or as many as in others", i);
        if (count > 0) most = count;
    }
    if (most == 0) return error_set(b->error, ERR_UNSUPPORTED, "a model without KV heads is not supported");
    p->kv_heads = (uint32_t)most;
    return 0;
}

/* KV heads of Gemma 4: as many in all layers with a window, and in all others. */
static int read_kv_heads_of_kinds(struct builder *b) {
    struct model_params *p = &b->m->params;
    char key[KEY_BYTES];
    const struct gguf_value *windows = gguf_find(&b->m->gguf, full_key(b, "attention.sliding_window_pattern", key));
    if (!windows || windows->type != GGUF_ARRAY)
        return error_set(b->error, ERR_UNSUPPORTED, "key %s is no list: which layers have a window is not known", key);
    const struct gguf_value *list = gguf_find(&b->m->gguf, full_key(b, "attention.head_count_kv", key));
    for (uint32_t i = 0; i < p->layers; i++) {
        int64_t window = 0;
        uint64_t count = 0;
        bool each = list && list->type == GGUF_ARRAY;
        bool found = each ? gguf_item_u64(list, i, &count) : gguf_u64(&b->m->gguf, key, &count);
        if (!gguf_item_i64(windows, i, &window) || !found || count == 0 || count > p->heads || p->heads % count != 0)
            return error_set(b->error, ERR_INVALID, "KV heads of block %u are not known, or do not divide %u", i,
                             p->heads);
        uint32_t *kept = window ? &p->local.kv_heads : &p->kv_heads;
        if (*kept > 0 && *kept != count)
            return error_set(b->error, ERR_UNSUPPORTED, "KV heads of block %u: %" PRIu64 ", of others of its kind %u",
                             i, count, *kept);
        *kept = (uint32_t)count;
    }
    if (p->local.kv_heads == 0 || p->kv_heads == 0)
        return error_set(b->error, ERR_UNSUPPORTED, "all layers have a window, or none has: that is not supported");
    return 0;
}

/* Their sizes; p->head_dim_k and head_dim_v are known. */
static int read_local_heads(struct builder *b) {
    struct model_params *p = &b->m->params;
    struct model_heads *l = &p->local;
    uint32_t shared = 0, more = 0;
    int rc = read_count_or(b, "attention.key_length_swa", HEAD_DIM_MAX, p->head_dim_k, &l->dim_k);
    if (rc == 0) rc = read_count_or(b, "attention.value_length_swa", HEAD_DIM_MAX, p->head_dim_v, &l->dim_v);
    if (rc == 0) rc = read_count_or(b, "rope.dimension_count", WIDTH_MAX, p->head_dim_k, &l->rope_dims);
    if (rc == 0) rc = read_count_or(b, "rope.dimension_count_swa", l->dim_k, l->rope_dims, &l->rope_dims);
    if (rc == 0) rc = read_optional(b, "attention.shared_kv_layers", &shared);
    if (rc == 0) rc = read_optional(b, "embedding_length_per_layer_input", &more);
    if (rc < 0) return rc;
    if (shared > 0 || more > 0)
        return error_set(b->error, ERR_UNSUPPORTED,
                         "%u layers without keys of their own, %u channels of embeddings for each layer: that is not "
                         "supported",
                         shared, more);
    if (l->dim_k % 8 != 0 || l->dim_v % 8 != 0 || l->rope_dims % 2 != 0)
        return error_set(b->error, ERR_UNSUPPORTED, "heads of %u and %u channels in layers with a window: they must be "
                         "multiples of 8",
                         l->dim_k, l->dim_v);
    return 0;
}

static int read_plain_heads(struct builder *b) {
    struct model_params *p = &b->m->params;
    bool of_kinds = b->family->traits & FAMILY_LOCAL_HEADS;
    int rc;
    if ((rc = of_kinds ? read_kv_heads_of_kinds(b) : read_kv_heads(b)) < 0) return rc;
    if (p->heads % p->kv_heads != 0)
        return error_set(b->error, ERR_INVALID, "%u heads cannot share %u key/value heads evenly", p->heads,
                         p->kv_heads);
    if ((rc = read_count_or(b, "attention.key_length", WIDTH_MAX, p->embd / p->heads, &p->head_dim_k)) < 0) return rc;
    if ((rc = read_count_or(b, "attention.value_length", WIDTH_MAX, p->embd / p->heads, &p->head_dim_v)) < 0) return rc;
    if (of_kinds && (rc = read_local_heads(b)) < 0) return rc;
    p->attention_scale = default_attention_scale(b);
    return read_positive(b, "attention.scale", &p->attention_scale);
}

/* A number, or the greatest of all layers' numbers. */
static int read_greatest(struct builder *b, const char *name, uint64_t max, uint32_t *out) {
    char key[KEY_BYTES];
    const struct gguf_value *list = gguf_find(&b->m->gguf, full_key(b, name, key));
    uint64_t count;
    if (!(b->family->traits & FAMILY_LAYERS_VARY) || !list || list->type != GGUF_ARRAY)
        return read_count(b, name, max, out);
    *out = 0;
    for (uint32_t i = 0; i < b->m->params.layers; i++) {
        if (!gguf_item_u64(list, i, &count) || count > max)
            return error_set(b->error, ERR_INVALID, "key %s does not tell of block %u, or too much", key, i);
        if (count > *out) *out = (uint32_t)count;
    }
    return *out > 0 ? 0 : error_set(b->error, ERR_UNSUPPORTED, "key %s: none in any block", key);
}

static int read_heads(struct builder *b) {
    struct model_params *p = &b->m->params;
    int rc = read_greatest(b, "attention.head_count", WIDTH_MAX, &p->heads);
    if (rc == 0) rc = b->family->traits & FAMILY_LATENT ? read_latent_heads(b) : read_plain_heads(b);
    if (rc < 0) return rc;
    uint64_t width = p->heads * ((uint64_t)p->latent.nope + p->latent.value + p->head_dim_k + p->head_dim_v);
    if (width > WIDTH_MAX)
        return error_set(b->error, ERR_LIMIT, "%u heads of %u and %u channels are too wide", p->heads, p->head_dim_k,
                         p->head_dim_v);
    if (p->head_dim_k > HEAD_DIM_MAX || p->head_dim_v > HEAD_DIM_MAX || p->head_dim_k % 8 || p->head_dim_v % 8)
        return error_set(b->error, ERR_UNSUPPORTED, "heads of %u and %u channels: they must be multiples of 8 up to %u",
                         p->head_dim_k, p->head_dim_v, HEAD_DIM_MAX);
    return 0;
}

/* ---- rotation ---- */

static int read_scaling_type(struct builder *b, enum model_rope_scaling *out) {
    static const struct {
        const char *name;
        enum model_rope_scaling scaling;
    } known[] = {{"none", MODEL_SCALING_NONE},
                 {"linear", MODEL_SCALING_LINEAR},
                 {"yarn", MODEL_SCALING_YARN},
                 {"longrope", MODEL_SCALING_LONGROPE}};
    char key[KEY_BYTES];
    struct gguf_string type = {"linear", 6}; /* counts where there is a factor */
    gguf_str(&b->m->gguf, full_key(b, "rope.scaling.type", key), &type);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!gguf_string_is(type, known[i].name)) continue;
        *out = known[i].scaling;
        return 0;
    }
    return error_set(b->error, ERR_UNSUPPORTED, "key %s is \"%.*s\"; supported are none, linear, yarn and longrope",
                     key, type.len < 40 ? (int)type.len : 40, type.data);
}

static int read_scaling(struct builder *b) {
    struct model_rope *r = &b->m->params.rope;
    r->factor = r->magnitude = 1;
    r->beta_fast = 32;
    r->beta_slow = 1;
    int rc = read_scaling_type(b, &r->scaling);
    if (rc == 0) rc = read_positive(b, "rope.scale_linear", &r->factor);
    if (rc == 0) rc = read_positive(b, "rope.scaling.factor", &r->factor);
    if (rc == 0) rc = read_positive(b, "rope.scaling.attn_factor", &r->magnitude);
    if (rc == 0) rc = read_positive(b, "rope.scaling.yarn_beta_fast", &r->beta_fast);
    if (rc == 0) rc = read_positive(b, "rope.scaling.yarn_beta_slow", &r->beta_slow);
    if (rc == 0) rc = read_number(b, "rope.scaling.yarn_log_multiplier", true, &r->log_multiplier);
    if (r->scaling == MODEL_SCALING_NONE || r->scaling == MODEL_SCALING_LONGROPE) r->factor = 1;
    return rc;
}

/* DeepSeek stores a tenth of its multiplier, and has it act on q.k instead of on cosines and sines. */
static void take_latent_multiplier(struct model_params *p) {
    if (p->latent.kv_rank == 0 || p->rope.scaling != MODEL_SCALING_YARN) return;
    p->latent.yarn_multiplier = p->rope.log_multiplier / 0.1f;
    p->rope.log_multiplier = 1;
}

/* Layers with a window turn as all others do, unless the family has them stay as they were before the stretch. */
static int read_local_rope(struct builder *b) {
    struct model_params *p = &b->m->params;
    p->rope_local = p->rope;
    if (!(b->family->traits & FAMILY_LOCAL_UNSCALED)) return 0;
    p->rope_local = (struct model_rope){.base = p->rope.base, .factor = 1, .magnitude = 1};
    if (b->family->local_base > 0) p->rope_local.base = b->family->local_base;
    return read_positive(b, "rope.freq_base_swa", &p->rope_local.base);
}

static int read_rope(struct builder *b) {
    struct model_params *p = &b->m->params;
    float alpha = 1; /* of Hunyuan: a slower turn of all pairs */
    int rc = read_count_or(b, "rope.dimension_count", p->head_dim_k, p->head_dim_k, &p->rope_dims);
    if (rc < 0) return rc;
    if (p->rope_dims % 2 != 0)
        return error_set(b->error, ERR_INVALID, "an odd number of channels (%u) cannot be rotated", p->rope_dims);
    p->rope.base = 10000;
    if ((rc = read_positive(b, "rope.freq_base", &p->rope.base)) < 0) return rc;
    if ((rc = read_positive(b, "rope.scaling.alpha", &alpha)) < 0) return rc;
    if (alpha != 1) p->rope.base *= powf(alpha, (float)p->head_dim_k / ((float)p->head_dim_k - 2));
    rc = read_count_or(b, "rope.scaling.original_context_length", UINT32_MAX, p->context, &p->original_context);
    if (rc == 0) rc = read_scaling(b);
    if (rc == 0) take_latent_multiplier(p);
    return rc == 0 ? read_local_rope(b) : rc;
}

/* ---- scales, norms, windows ---- */

/* What holds where the file does not say it. */
static void default_scales(const struct builder *b) {
    struct model_params *p = &b->m->params;
    bool root = b->family->traits & FAMILY_EMBEDDING_ROOT, caps = b->family->traits & FAMILY_SOFTCAPS;
    p->embedding_scale = root ? sqrtf((float)p->embd) : 1;
    p->residual_scale = p->logit_scale = p->value_scale = 1;
    p->attention_softcap = caps ? 50 : 0;
    p->logit_softcap = caps ? 30 : 0;
    if (strcmp(p->architecture, "minicpm") != 0 && strcmp(p->architecture, "minicpm3") != 0) return;
    p->embedding_scale = 12; /* of files that do not have them, as MiniCPM's first */
    p->residual_scale = 1.4f / sqrtf((float)p->layers);
    p->logit_scale = (float)p->embd / 256;
}

static int read_scales(struct builder *b) {
    struct model_params *p = &b->m->params;
    default_scales(b);
    int rc = read_positive(b, "embedding_scale", &p->embedding_scale);
    if (rc == 0) rc = read_positive(b, "residual_scale", &p->residual_scale);
    if (rc == 0) rc = read_positive(b, "logit_scale", &p->logit_scale);
    if (rc == 0) rc = read_number(b, "attn_logit_softcapping", true, &p->attention_softcap);
    if (rc == 0) rc = read_number(b, "final_logit_softcapping", true, &p->logit_softcap);
    if (rc == 0) rc = read_positive(b, "attention.value_scale", &p->value_scale);
    if (rc == 0) rc = read_number(b, "attention.clamp_kqv", true, &p->qkv_limit);
    if (rc == 0) rc = read_number(b, "attention.temperature_scale", true, &p->temperature_scale);
    if (rc == 0)
        rc = read_count_or(b, "attention.temperature_length", UINT32_MAX, p->original_context, &p->temperature_length);
    if (b->family->traits & FAMILY_LOGITS_DIVIDED) p->logit_scale = 1 / p->logit_scale;
    return rc;
}

/* ALiBi. The bigger Baichuan has it, and does not say so but by its size. */
static int read_slopes(struct builder *b) {
    struct model_params *p = &b->m->params;
    bool baichuan = strcmp(p->architecture, "baichuan") == 0;
    float most = baichuan && p->layers != 40 ? 0 : 8;
    if (!(b->family->traits & FAMILY_LEANS)) return 0;
    int rc = read_number(b, "attention.max_alibi_bias", true, &most);
    if (rc == 0 && (most > 64 || most != floorf(most)))
        return error_set(b->error, ERR_UNSUPPORTED, "an ALiBi bias of at most %g is not supported", (double)most);
    p->bias_octaves = (uint32_t)most;
    return rc;
}

static int read_norm(struct builder *b) {
    struct model_params *p = &b->m->params;
    p->norm_epsilon = 1e-5f;
    p->norms_bare = b->family->traits & FAMILY_NORMS_BARE;
    if (!has_key(b, "attention.layer_norm_epsilon") && has_key(b, "attention.layer_norm_rms_epsilon"))
        p->norm = MODEL_NORM_RMS; /* some Cohere 2 MoE */
    const char *key = p->norm == MODEL_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    return read_positive(b, key, &p->norm_epsilon);
}

/* Llama 4 keeps their size and its temperatures to itself. */
static int read_chunks(struct builder *b) {
    struct model_params *p = &b->m->params;
    p->window = CHUNK;
    int rc = read_optional(b, "attention.sliding_window", &p->window);
    if (rc < 0 || p->window == 0) return rc;
    p->chunked = p->temperature_still = true;
    p->temperature_scale = 0.1f;
    p->temperature_length = CHUNK;
    p->temperature_shift = 1;
    return 0;
}

/* A convolution sees a window; there cannot be windows of attention beside it. */
static int read_convolution(struct builder *b) {
    struct model_params *p = &b->m->params;
    uint32_t window = 0;
    int rc = read_count(b, "shortconv.l_cache", CONVOLUTION_MAX, &p->convolution);
    if (rc == 0) rc = read_optional(b, "attention.sliding_window", &window);
    if (rc < 0) return rc;
    if (window > 0 || (uint64_t)p->heads * p->head_dim_v != p->embd)
        return error_set(b->error, ERR_UNSUPPORTED, "convolutions beside a window of %u, or %u heads of %u channels",
                         window, p->heads, p->head_dim_v);
    p->window = p->convolution;
    return 0;
}

/* A state tells of all positions before, as a window of two does of the one before: there cannot be other windows. */
static int read_recurrence(struct builder *b) {
    struct model_params *p = &b->m->params;
    struct model_recurrence *r = &p->recurrence;
    int rc = read_count(b, "ssm.inner_size", WIDTH_MAX, &r->inner);
    if (rc == 0) rc = read_count(b, "ssm.time_step_rank", WIDTH_MAX, &r->heads);
    if (rc == 0) rc = read_count(b, "ssm.state_size", STATE_MAX, &r->size);
    if (rc == 0) rc = read_count(b, "ssm.group_count", WIDTH_MAX, &r->groups);
    if (rc == 0) rc = read_count(b, "ssm.conv_kernel", CONVOLUTION_MAX, &r->taps);
    if (rc < 0) return rc;
    bool even = r->inner % r->heads == 0 && r->inner % r->groups == 0 && r->heads % r->groups == 0;
    if (!even || r->inner % 16 != 0 || r->size % 16 != 0 || model_recurrence_channels(r) > 2 * WIDTH_MAX)
        return error_set(b->error, ERR_UNSUPPORTED, "states of %u channels x %u in %u heads of %u groups", r->inner,
                         r->size, r->heads, r->groups);
    p->window = 2;
    return 0;
}

static int read_window(struct builder *b) {
    struct model_params *p = &b->m->params;
    uint32_t only = b->family->window_layers;
    if (b->family->traits & FAMILY_CONVOLVES) return read_convolution(b);
    if (b->family->traits & FAMILY_RECURS) return read_recurrence(b);
    if (b->family->traits & FAMILY_CHUNKED) return read_chunks(b);
    if (b->family->global_every == 0 || (only > 0 && only != p->layers)) return 0;
    return read_optional(b, "attention.sliding_window", &p->window);
}

/* ---- experts ---- */

static int read_gating(struct builder *b, enum model_gating *out) {
    unsigned traits = b->family->traits;
    uint32_t gating = traits & FAMILY_EXPERTS_CHOSEN    ? MODEL_GATING_CHOSEN
                      : traits & FAMILY_EXPERTS_SIGMOID ? MODEL_GATING_SIGMOID
                                                        : MODEL_GATING_SOFTMAX;
    int rc = read_optional(b, "expert_gating_func", &gating);
    if (rc == 0 && (gating < MODEL_GATING_SOFTMAX || gating > MODEL_GATING_CHOSEN))
        return error_set(b->error, ERR_UNSUPPORTED, "the experts' gating function %u is not supported", gating);
    *out = (enum model_gating)gating;
    return rc;
}

static int read_groups(struct builder *b) {
    struct model_experts *e = &b->m->params.experts;
    int rc = read_optional(b, "expert_group_count", &e->groups);
    if (rc == 0) rc = read_optional(b, "expert_group_used_count", &e->groups_used);
    if (rc < 0 || e->groups <= 1) return rc;
    if (e->count % e->groups != 0 || e->groups_used == 0 || e->groups_used > e->groups ||
        e->used > e->count / e->groups * e->groups_used)
        return error_set(b->error, ERR_INVALID, "%u of %u experts cannot be chosen from %u of %u groups", e->used,
                         e->count, e->groups_used, e->groups);
    return 0;
}

static int read_experts(struct builder *b) {
    struct model_params *p = &b->m->params;
    struct model_experts *e = &p->experts;
    char key[KEY_BYTES];
    int rc = read_optional(b, "expert_count", &e->count);
    if (rc < 0 || e->count == 0) return rc;
    if (e->count > MODEL_EXPERTS_MAX)
        return error_set(b->error, ERR_LIMIT, "%u experts are more than %u", e->count, MODEL_EXPERTS_MAX);
    e->normed = b->family->traits & FAMILY_EXPERTS_NORMED;
    e->averaged = b->family->traits & FAMILY_EXPERTS_AVERAGED;
    e->inward = b->family->traits & FAMILY_EXPERTS_INWARD;
    p->heads_normed_bare = (b->family->traits & FAMILY_CHUNKED) && e->count != 128; /* not in Maverick */
    gguf_bool(&b->m->gguf, full_key(b, "expert_weights_norm", key), &e->normed);
    rc = read_count(b, "expert_used_count", e->count < MODEL_EXPERTS_USED_MAX ? e->count : MODEL_EXPERTS_USED_MAX,
                    &e->used);
    if (rc == 0) rc = read_count_or(b, "expert_feed_forward_length", WIDTH_MAX * 4, p->ff, &e->ff);
    if (rc == 0) rc = read_number(b, "expert_weights_scale", true, &e->scale);
    if (rc == 0) rc = read_gating(b, &e->gating);
    if (rc == 0) rc = read_groups(b);
    if (rc == 0 && e->scale == 0.0f) e->scale = 1;
    if (rc == 0 && (e->ff % 16 != 0 || p->embd % 16 != 0))
        rc = error_set(b->error, ERR_UNSUPPORTED, "experts of %u x %u: both must be multiples of 16", e->ff, p->embd);
    return rc;
}

static int read_ffn(struct builder *b) {
    uint32_t *ff = &b->m->params.ff;
    int rc = read_greatest(b, "feed_forward_length", WIDTH_MAX * 4, ff);
    if (rc == 0 && b->family->traits & FAMILY_FF_HALVED) *ff /= 2;
    return rc;
}

static int read_encoder(struct builder *b) {
    struct model_params *p = &b->m->params;
    char key[KEY_BYTES];
    bool causal = !(b->family->traits & FAMILY_ENCODER), both_sides = !causal;
    p->norms_stay = b->family->traits & FAMILY_NORMS_FOLLOW;
    gguf_bool(&b->m->gguf, full_key(b, "attention.causal", key), &causal);
    p->encodes = !causal;
    if (p->encodes && both_sides) {
        p->reach = p->window / 2;
        p->window = 0;
    }
    if (p->encodes && p->window > 0)
        return error_set(b->error, ERR_UNSUPPORTED, "an encoder with a window of %u positions is not supported",
                         p->window);
    return 0;
}

/* Some of a family are gated by another function than all others. */
static int read_activation(struct builder *b) {
    char key[KEY_BYTES];
    struct gguf_string name;
    if (!gguf_str(&b->m->gguf, full_key(b, "hidden_activation", key), &name)) return 0;
    if (gguf_string_is(name, "silu"))
        b->m->params.activation = MODEL_SILU;
    else if (name.len < 4 || memcmp(name.data, "gelu", 4) != 0)
        return error_set(b->error, ERR_UNSUPPORTED, "key %s is \"%.*s\"; supported are silu and gelu", key,
                         name.len < 40 ? (int)name.len : 40, name.data);
    return 0;
}

static int read_layers(struct builder *b) {
    uint32_t *layers = &b->m->params.layers;
    int rc = read_count(b, "block_count", MODEL_LAYERS_MAX, layers);
    if (rc == 0) rc = read_optional(b, "nextn_predict_layers", &b->layers_beyond);
    if (rc < 0) return rc;
    if (b->layers_beyond >= *layers)
        return error_set(b->error, ERR_INVALID, "key %s.nextn_predict_layers is %u, of %u layers",
                         b->m->params.architecture, b->layers_beyond, *layers);
    *layers -= b->layers_beyond;
    return 0;
}

int builder_read_params(struct builder *b) {
    struct model_params *p = &b->m->params;
    int rc = read_family(b);
    if (rc == 0) rc = read_layers(b);
    if (rc == 0) rc = read_count(b, "embedding_length", WIDTH_MAX, &p->embd);
    if (rc == 0) rc = read_ffn(b);
    if (rc == 0) rc = read_experts(b);
    if (rc == 0) rc = read_count(b, "context_length", UINT32_MAX, &p->context);
    if (rc == 0) rc = read_heads(b);
    if (rc == 0) rc = read_rope(b);
    if (rc == 0) rc = read_scales(b);
    if (rc == 0) rc = read_slopes(b);
    if (rc == 0) rc = read_norm(b);
    if (rc == 0) rc = read_window(b);
    if (rc == 0) rc = read_encoder(b);
    if (rc == 0) rc = read_activation(b);
    if (rc == 0) rc = read_vocab(b);
    return rc;
}

/* ---- what differs from layer to layer ---- */

/* Which layers have a window: the file's own list, or every nth has none. */
static int read_pattern(struct builder *b, const struct gguf_value **list, uint32_t *every) {
    char key[KEY_BYTES];
    *list = gguf_find(&b->m->gguf, full_key(b, "attention.sliding_window_pattern", key));
    *every = b->family->global_every;
    if (!*list) return 0;
    if ((*list)->type != GGUF_ARRAY) {
        *list = NULL;
        return read_count(b, "attention.sliding_window_pattern", UINT32_MAX, every);
    }
    if ((*list)->count < b->m->params.layers || (*list)->item_type == GGUF_STRING)
        return error_set(b->error, ERR_INVALID, "key %s does not tell of all %u layers", key, b->m->params.layers);
    return 0;
}

/* A number of each layer, or of all of them. */
static int read_curve_part(struct builder *b, uint32_t layer, const char *key, float *out) {
    const struct gguf_value *v = gguf_find(&b->m->gguf, key);
    bool each = v && v->type == GGUF_ARRAY;
    bool found = each ? gguf_item_f32(v, layer, out) : gguf_f32(&b->m->gguf, key, out);
    if (found && isfinite(*out)) return 0;
    return error_set(b->error, ERR_INVALID, "key %s does not give block %u a number", key, layer);
}

static int read_curve(struct builder *b, uint32_t layer) {
    struct model_layer *l = &b->m->layers[layer];
    if (b->m->params.activation != MODEL_XIELU) return 0;
    int rc = read_curve_part(b, layer, "xielu.alpha_p", &l->xielu.alpha_p);
    if (rc == 0) rc = read_curve_part(b, layer, "xielu.alpha_n", &l->xielu.alpha_n);
    if (rc == 0) rc = read_curve_part(b, layer, "xielu.beta", &l->xielu.beta);
    return rc == 0 ? read_curve_part(b, layer, "xielu.eps", &l->xielu.eps) : rc;
}

/* What the file says of a layer where they vary; `otherwise` where it says it of all of them. */
static uint32_t of_layer(const struct builder *b, const char *name, uint32_t layer, uint32_t otherwise) {
    char key[KEY_BYTES];
    const struct gguf_value *list = gguf_find(&b->m->gguf, full_key(b, name, key));
    uint64_t count = otherwise;
    if (list && list->type == GGUF_ARRAY) gguf_item_u64(list, layer, &count);
    return (uint32_t)count;
}

/* Heads are as many in every layer that has any. */
static int read_variation(struct builder *b, uint32_t layer) {
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layers[layer];
    l->ff = p->ff;
    if (!(b->family->traits & FAMILY_LAYERS_VARY)) return 0;
    uint32_t heads = of_layer(b, "attention.head_count", layer, p->heads);
    uint32_t kv_heads = of_layer(b, "attention.head_count_kv", layer, heads > 0 ? p->kv_heads : 0);
    l->ff = of_layer(b, "feed_forward_length", layer, p->ff);
    l->headless = heads == 0;
    if ((heads > 0 && heads != p->heads) || (heads > 0) != (kv_heads > 0))
        return error_set(b->error, ERR_UNSUPPORTED, "block %u has %u heads and %u KV heads, others %u", layer, heads,
                         kv_heads, p->heads);
    return 0;
}

int builder_read_layers(struct builder *b) {
    const struct model_params *p = &b->m->params;
    const struct gguf_value *list = NULL, *kv_heads = kv_heads_of_layers(b);
    uint32_t every = 0, still = b->family->still_every;
    bool windows = p->window > 0 || p->reach > 0;
    bool first = b->family->traits & FAMILY_GLOBAL_FIRST;
    uint32_t turning = 0; /* so many layers without experts rotate, whatever they see */
    bool turns = true;
    char key[KEY_BYTES];
    if (b->family->traits & FAMILY_RECURS) gguf_bool(&b->m->gguf, full_key(b, "rope.scaling.finetuned", key), &turns);
    int rc = windows ? read_pattern(b, &list, &every) : 0;
    if (rc == 0) rc = read_optional(b, "leading_dense_block_count", &turning);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < p->layers; i++) {
        struct model_layer *l = &b->m->layers[i];
        int64_t local = every > 0 && (first ? i : i + 1) % every != 0;
        uint64_t heads = 1;
        if (list) gguf_item_i64(list, i, &local);
        if (kv_heads) gguf_item_u64(kv_heads, i, &heads);
        if ((rc = read_curve(b, i)) < 0 || (rc = read_variation(b, i)) < 0) return rc;
        l->convolves = heads == 0 && b->family->traits & FAMILY_CONVOLVES;
        l->recurs = heads == 0 && b->family->traits & FAMILY_RECURS;
        if (l->convolves || l->recurs) local = true;
        l->window = local ? p->window : 0;
        l->reach = local ? p->reach : 0;
        bool still_here = still > 0 && (i + 1) % still == 0;
        bool still_global = (b->family->traits & FAMILY_GLOBAL_STILL) && windows && !local && i >= turning;
        bool turns_here = turns && of_layer(b, "attention.rope_pattern", i, 1);
        l->rotates = turns_here && !still_here && !still_global && p->bias_octaves == 0;
    }
    return 0;
}
