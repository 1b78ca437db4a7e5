/* Names of Hugging Face's modules to tensors of GGUF. Every tensor of the shards finds its target by a table; targets
 * that are stacked from many (experts) or cut out of a bigger one collect pieces. Order is the table's, layer by layer,
 * so that it does not depend on how a model was cut into shards. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kern/format.h"
#include "model/hf_private.h"

enum { NAME_BYTES = 96, INDEX_MAX = 4096 };

/* What is taken of the rows (of each expert). Queries, keys and values lie together: those of a KV head, and then those
 * of the next one, or all queries first. */
enum piece { WHOLE, FIRST_HALF, SECOND_HALF, UNPADDED, EVEN, ODD, QUERIES, KEYS, VALUES };
enum {
    PIECES = 15,
    BY_EXPERT = 16, /* rows of all experts make one matrix; there, a matrix of each */
    FLAT = 32,      /* each matrix is one row */
    TURNED = 64,    /* columns are what is wanted as rows */
    COLUMNS = 128,  /* the piece is of the columns */
};

/* `from` behind "layers.N." or, without `layered`, behind "model."; '#' stands for a number: pieces are stacked. */
static const struct rule {
    const char *from, *to;
    unsigned piece; /* and how it lies there */
    bool layered;
} rules[] = {
    {"embed_tokens", "token_embd", WHOLE, false},
    {"norm", "output_norm", WHOLE, false},
    {"final_layernorm", "output_norm", WHOLE, false},
    {"lm_head", "output", WHOLE, false},
    {"embeddings.word_embeddings", "token_embd", WHOLE, false},
    {"embeddings.position_embeddings", "position_embd", UNPADDED, false},
    {"embeddings.token_type_embeddings", "token_types", WHOLE, false},
    {"embeddings.LayerNorm", "token_embd_norm", WHOLE, false},
    {"emb_ln", "token_embd_norm", WHOLE, false},
    {"embeddings.tok_embeddings", "token_embd", WHOLE, false},
    {"embeddings.norm", "token_embd_norm", WHOLE, false},
    {"final_norm", "output_norm", WHOLE, false},
    {"tok_embeddings", "token_embd", WHOLE, false},
    {"output", "output", WHOLE, false},
    {"embed_in", "token_embd", WHOLE, false},
    {"final_layer_norm", "output_norm", WHOLE, false},
    {"embed_out", "output", WHOLE, false},
    {"word_embeddings", "token_embd", WHOLE, false},
    {"word_embeddings_layernorm", "token_embd_norm", WHOLE, false},
    {"wte", "token_embd", WHOLE, false},
    {"wpe", "position_embd", WHOLE, false},
    {"ln_f", "output_norm", WHOLE, false},
    {"norm_f", "output_norm", WHOLE, false},
    {"embedding_norm", "token_embd_norm", WHOLE, false},
    {"input_layernorm", "attn_norm", WHOLE, true},
    {"self_attn.q_proj", "attn_q", WHOLE, true},
    {"self_attn.k_proj", "attn_k", WHOLE, true},
    {"self_attn.v_proj", "attn_v", WHOLE, true},
    {"self_attn.qkv_proj", "attn_qkv", WHOLE, true},
    {"self_attn.q_norm", "attn_q_norm", WHOLE, true},
    {"self_attn.query_layernorm", "attn_q_norm", WHOLE, true},
    {"self_attn.key_layernorm", "attn_k_norm", WHOLE, true},
    {"self_attn.k_norm", "attn_k_norm", WHOLE, true},
    {"self_attn.q_layernorm.norms.#", "attn_q_norm", WHOLE, true},
    {"self_attn.k_layernorm.norms.#", "attn_k_norm", WHOLE, true},
    {"self_attn.q_a_proj", "attn_q_a", WHOLE, true},
    {"self_attn.q_a_layernorm", "attn_q_a_norm", WHOLE, true},
    {"self_attn.q_b_proj", "attn_q_b", WHOLE, true},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa", WHOLE, true},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm", WHOLE, true},
    {"self_attn.kv_b_proj", "attn_kv_b", WHOLE, true},
    {"self_attn.o_proj", "attn_output", WHOLE, true},
    {"self_attn.dense", "attn_output", WHOLE, true},
    {"post_attention_layernorm", "post_attention_norm", WHOLE, true}, /* or ffn_norm, by family */
    {"post_self_attn_layernorm", "post_attention_norm", WHOLE, true},
    {"pre_feedforward_layernorm", "ffn_norm", WHOLE, true},
    {"mlp.gate", "ffn_gate_inp", WHOLE, true},
    {"block_sparse_moe.gate", "ffn_gate_inp", WHOLE, true},
    {"block_sparse_moe.router.layer", "ffn_gate_inp", WHOLE, true},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias", WHOLE, true},
    {"mlp.gate_proj", "ffn_gate", WHOLE, true},
    {"mlp.up_proj", "ffn_up", WHOLE, true},
    {"mlp.gate_up_proj", "ffn_up", WHOLE, true},
    {"mlp.c_fc", "ffn_up", WHOLE, true},
    {"mlp.fc1", "ffn_up", WHOLE, true},
    {"mlp.down_proj", "ffn_down", WHOLE, true},
    {"mlp.c_proj", "ffn_down", WHOLE, true},
    {"mlp.fc2", "ffn_down", WHOLE, true},
    {"mlp.experts.#.gate_proj", "ffn_gate_exps", WHOLE, true},
    {"mlp.experts.#.up_proj", "ffn_up_exps", WHOLE, true},
    {"mlp.experts.#.down_proj", "ffn_down_exps", WHOLE, true},
    {"mlp.experts.gate_up_proj", "ffn_gate_exps", FIRST_HALF, true},
    {"mlp.experts.gate_up_proj", "ffn_up_exps", SECOND_HALF, true},
    {"mlp.experts.down_proj", "ffn_down_exps", WHOLE, true},
    {"block_sparse_moe.experts.#.w1", "ffn_gate_exps", WHOLE, true},
    {"block_sparse_moe.experts.#.w3", "ffn_up_exps", WHOLE, true},
    {"block_sparse_moe.experts.#.w2", "ffn_down_exps", WHOLE, true},
    {"block_sparse_moe.input_linear", "ffn_gate_exps", FIRST_HALF, true},
    {"block_sparse_moe.input_linear", "ffn_up_exps", SECOND_HALF, true},
    {"block_sparse_moe.output_linear", "ffn_down_exps", WHOLE, true},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp", WHOLE, true},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp", WHOLE, true},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp", WHOLE, true},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp", WHOLE, true},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp", WHOLE, true},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp", WHOLE, true},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp", WHOLE, true},
    {"post_feedforward_layernorm", "post_ffw_norm", WHOLE, true},
    {"post_mlp_layernorm", "post_ffw_norm", WHOLE, true},
    {"attention.self.query", "attn_q", WHOLE, true},
    {"attention.self.key", "attn_k", WHOLE, true},
    {"attention.self.value", "attn_v", WHOLE, true},
    {"attention.output.dense", "attn_output", WHOLE, true},
    {"attention.output.LayerNorm", "attn_output_norm", WHOLE, true},
    {"intermediate.dense", "ffn_up", WHOLE, true},
    {"output.dense", "ffn_down", WHOLE, true},
    {"output.LayerNorm", "layer_output_norm", WHOLE, true},
    {"attn.Wqkv", "attn_qkv", WHOLE, true},
    {"attn.out_proj", "attn_output", WHOLE, true},
    {"norm1", "attn_output_norm", WHOLE, true},
    {"mlp.fc11", "ffn_up", WHOLE, true},
    {"mlp.fc12", "ffn_gate", WHOLE, true},
    {"norm2", "layer_output_norm", WHOLE, true},
    {"attn_norm", "attn_norm", WHOLE, true},
    {"attn.Wo", "attn_output", WHOLE, true},
    {"mlp_norm", "ffn_norm", WHOLE, true},
    {"mlp.Wi", "ffn_up", WHOLE, true},
    {"mlp.Wo", "ffn_down", WHOLE, true},
    /* GPT-2 and those after it: GPT-BigCode, GPT-NeoX, Falcon, BLOOM, MPT, DBRX, EXAONE 3 */
    {"ln_1", "attn_norm", WHOLE, true},
    {"ln_2", "ffn_norm", WHOLE, true},
    {"attn.c_attn", "attn_q", QUERIES, true},
    {"attn.c_attn", "attn_k", KEYS, true},
    {"attn.c_attn", "attn_v", VALUES, true},
    {"attn.c_proj", "attn_output", WHOLE, true},
    {"attention.query_key_value", "attn_q", QUERIES, true},
    {"attention.query_key_value", "attn_k", KEYS, true},
    {"attention.query_key_value", "attn_v", VALUES, true},
    {"attention.dense", "attn_output", WHOLE, true},
    {"attention.query_layernorm", "attn_q_norm", WHOLE, true},
    {"attention.key_layernorm", "attn_k_norm", WHOLE, true},
    {"self_attention.query_key_value", "attn_q", QUERIES, true},
    {"self_attention.query_key_value", "attn_k", KEYS, true},
    {"self_attention.query_key_value", "attn_v", VALUES, true},
    {"self_attention.dense", "attn_output", WHOLE, true},
    {"ln_attn", "attn_norm_2", WHOLE, true},
    {"ln_mlp", "attn_norm", WHOLE, true},
    {"mlp.dense_h_to_4h", "ffn_up", WHOLE, true},
    {"mlp.dense_4h_to_h", "ffn_down", WHOLE, true},
    {"norm_1", "attn_norm", WHOLE, true},
    {"norm_2", "ffn_norm", WHOLE, true},
    {"ffn.up_proj", "ffn_up", WHOLE, true},
    {"ffn.down_proj", "ffn_down", WHOLE, true},
    {"norm_attn_norm.norm_1", "attn_norm", WHOLE, true},
    {"norm_attn_norm.attn.Wqkv", "attn_qkv", WHOLE, true},
    {"norm_attn_norm.attn.out_proj", "attn_output", WHOLE, true},
    {"norm_attn_norm.norm_2", "attn_output_norm", WHOLE, true},
    {"ffn.router.layer", "ffn_gate_inp", WHOLE, true},
    {"ffn.experts.mlp.w1", "ffn_gate_exps", BY_EXPERT, true},
    {"ffn.experts.mlp.v1", "ffn_up_exps", BY_EXPERT, true},
    {"ffn.experts.mlp.w2", "ffn_down_exps", BY_EXPERT | TURNED, true},
    {"attn.attention.q_proj", "attn_q", WHOLE, true},
    {"attn.attention.k_proj", "attn_k", WHOLE, true},
    {"attn.attention.v_proj", "attn_v", WHOLE, true},
    {"attn.attention.out_proj", "attn_output", WHOLE, true},
    {"mlp.c_fc_0", "ffn_gate", WHOLE, true},
    {"mlp.c_fc_1", "ffn_up", WHOLE, true},
    /* InternLM 2, LFM2, Llama 4 */
    {"attention_norm", "attn_norm", WHOLE, true},
    {"attention.wqkv", "attn_q", QUERIES, true},
    {"attention.wqkv", "attn_k", KEYS, true},
    {"attention.wqkv", "attn_v", VALUES, true},
    {"attention.wo", "attn_output", WHOLE, true},
    {"operator_norm", "attn_norm", WHOLE, true},
    {"self_attn.out_proj", "attn_output", WHOLE, true},
    {"self_attn.q_layernorm", "attn_q_norm", WHOLE, true},
    {"self_attn.k_layernorm", "attn_k_norm", WHOLE, true},
    {"conv.in_proj", "shortconv.in_proj", WHOLE, true},
    {"conv.conv", "shortconv.conv", FLAT, true},
    {"conv.out_proj", "shortconv.out_proj", WHOLE, true},
    {"ffn_norm", "ffn_norm", WHOLE, true},
    {"feed_forward.w1", "ffn_gate", WHOLE, true},
    {"feed_forward.w3", "ffn_up", WHOLE, true},
    {"feed_forward.w2", "ffn_down", WHOLE, true},
    {"feed_forward.gate", "ffn_gate_inp", WHOLE, true},
    {"feed_forward.router", "ffn_gate_inp", WHOLE, true},
    {"feed_forward.expert_bias", "exp_probs_b.bias", WHOLE, true},
    {"feed_forward.experts.#.w1", "ffn_gate_exps", WHOLE, true},
    {"feed_forward.experts.#.w3", "ffn_up_exps", WHOLE, true},
    {"feed_forward.experts.#.w2", "ffn_down_exps", WHOLE, true},
    {"feed_forward.experts.gate_up_proj", "ffn_gate_exps", FIRST_HALF, true},
    {"feed_forward.experts.gate_up_proj", "ffn_up_exps", SECOND_HALF, true},
    {"feed_forward.experts.down_proj", "ffn_down_exps", WHOLE, true},
    {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp", WHOLE, true},
    {"feed_forward.shared_expert.up_proj", "ffn_up_shexp", WHOLE, true},
    {"feed_forward.shared_expert.down_proj", "ffn_down_shexp", WHOLE, true},
    {"feed_forward.gate_proj", "ffn_gate", WHOLE, true},
    {"feed_forward.up_proj", "ffn_up", WHOLE, true},
    {"feed_forward.down_proj", "ffn_down", WHOLE, true},
    /* other mixtures: AFMoE, Ling, ERNIE, Hunyuan, MiniMax, Granite, Nomic */
    {"self_attn.gate_proj", "attn_gate", WHOLE, true},
    {"pre_mlp_layernorm", "ffn_norm", WHOLE, true},
    {"mlp.router.gate", "ffn_gate_inp", WHOLE, true},
    {"mlp.expert_bias", "exp_probs_b.bias", WHOLE, true},
    {"mlp.gate.expert_bias", "exp_probs_b.bias", WHOLE, true},
    {"mlp.e_score_correction_bias", "exp_probs_b.bias", WHOLE, true},
    {"mlp.moe_statics.e_score_correction_bias", "exp_probs_b.bias", WHOLE, true},
    {"mlp.gate.wg", "ffn_gate_inp", WHOLE, true},
    {"mlp.shared_mlp.gate_proj", "ffn_gate_shexp", WHOLE, true},
    {"mlp.shared_mlp.up_proj", "ffn_up_shexp", WHOLE, true},
    {"mlp.shared_mlp.down_proj", "ffn_down_shexp", WHOLE, true},
    {"block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias", WHOLE, true},
    {"shared_mlp.input_linear", "ffn_gate_shexp", FIRST_HALF, true},
    {"shared_mlp.input_linear", "ffn_up_shexp", SECOND_HALF, true},
    {"shared_mlp.output_linear", "ffn_down_shexp", WHOLE, true},
    {"mlp.router.layer", "ffn_gate_inp", WHOLE, true},
    {"mlp.experts.mlp.w1", "ffn_up_exps", BY_EXPERT, true},
    {"mlp.experts.mlp.w2", "ffn_down_exps", BY_EXPERT | TURNED, true},
    /* Gemma 4 */
    {"router.proj", "ffn_gate_inp", WHOLE, true},
    {"router.scale", "ffn_gate_inp.scale", WHOLE, true},
    {"router.per_expert_scale", "ffn_down_exps.scale", WHOLE, true},
    {"experts.gate_up_proj", "ffn_gate_exps", FIRST_HALF, true},
    {"experts.gate_up_proj", "ffn_up_exps", SECOND_HALF, true},
    {"experts.down_proj", "ffn_down_exps", WHOLE, true},
    {"pre_feedforward_layernorm_2", "pre_ffw_norm_2", WHOLE, true},
    {"post_feedforward_layernorm_1", "post_ffw_norm_1", WHOLE, true},
    {"post_feedforward_layernorm_2", "post_ffw_norm_2", WHOLE, true},
    {"layer_scalar", "layer_output_scale", WHOLE, true},
    /* gpt-oss, with experts in MXFP4 or not: gate and up in turn */
    {"self_attn.sinks", "attn_sinks", WHOLE, true},
    {"mlp.router", "ffn_gate_inp", WHOLE, true},
    {"mlp.experts.gate_up_proj_blocks", "ffn_gate_exps", EVEN, true},
    {"mlp.experts.gate_up_proj_blocks", "ffn_up_exps", ODD, true},
    {"mlp.experts.gate_up_proj_bias", "ffn_gate_exps.bias", EVEN | COLUMNS, true},
    {"mlp.experts.gate_up_proj_bias", "ffn_up_exps.bias", ODD | COLUMNS, true},
    {"mlp.experts.down_proj_blocks", "ffn_down_exps", WHOLE, true},
    {"mlp.experts.down_proj_bias", "ffn_down_exps.bias", WHOLE, true},
};

/* A tensor of a shard, and which target takes (a half of) it at which place of its stack. */
struct source {
    const struct safetensors_tensor *tensor, *scales; /* scales: of MXFP4 blocks; NULL: it has none */
    uint32_t shard, scales_shard, layer, order, index; /* order: of the rule; index: of the stack */
    unsigned piece;
    bool bias, stacked;
    char name[NAME_BYTES]; /* of the target */
};

struct sources {
    struct source *items;
    size_t count, capacity;
};

struct work {
    const struct hf_model *m;
    const struct hf_files *files;
    const struct recipe *recipe;
    struct recipe_model recipe_model;
    struct hf_result *out;
    struct error *error;
    struct sources sources;
};

static int no_memory(struct error *error) { return error_set(error, ERR_NOMEM, "out of memory"); }

/* ---- finding the target ---- */

/* What is no part of the language model. */
static bool is_foreign(const char *name) {
    static const char *const parts[] = {"vision_tower.", "vision_model.",       "visual.", "multi_modal_projector.",
                                        "audio_tower.",  "rotary_emb.inv_freq", "mtp.",    "pooler.dense.",
                                        "position_ids",  "cls.predictions.",    "cls.seq_relationship.",
                                        "masked_bias",   ".mtp_",               "experts.bias",
                                        "embed_vision.", "embed_audio.",        "vision_embedder."};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strstr(name, parts[i])) return true;
    return false;
}

static const char *without_prefixes(const char *name) {
    static const char *const prefixes[] = {"model.",   "language_model.", "bert.",    "roberta.",
                                           "encoder.", "transformer.",    "gpt_neox.", "ernie."};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], len) == 0) return without_prefixes(name + len);
    }
    return name;
}

/* Length of a number of at most INDEX_MAX at the start of the text; 0: none. */
static size_t take_number(const char *text, uint32_t *out) {
    size_t len = 0;
    for (*out = 0; isdigit((unsigned char)text[len]) && *out < INDEX_MAX; len++)
        *out = *out * 10 + (uint32_t)(text[len] - '0');
    return len;
}

/* Does the name, up to `len`, follow the pattern? */
static bool follows(const char *pattern, const char *name, size_t len, struct source *s) {
    size_t at = 0;
    for (; *pattern; pattern++) {
        size_t step = *pattern == '#' ? take_number(name + at, &s->index) : name[at] == *pattern;
        if (step == 0) return false;
        s->stacked |= *pattern == '#';
        at += step;
    }
    return at == len;
}

/* Length of the module's name: without ".weight" or ".bias" (some parameters have neither). */
static size_t module_len(const char *name, bool *bias) {
    size_t len = strlen(name);
    *bias = len > 5 && strcmp(name + len - 5, ".bias") == 0;
    if (*bias) return len - 5;
    return len > 7 && strcmp(name + len - 7, ".weight") == 0 ? len - 7 : len;
}

static const char *target_of(const struct hf_model *m, const struct rule *r) {
    bool before = strcmp(r->from, "post_attention_layernorm") == 0 && !(m->family->flags & HF_POST_ATTENTION);
    return before ? "ffn_norm" : r->to;
}

static void name_target(const struct hf_model *m, const struct rule *r, struct source *s) {
    const char *to = target_of(m, r), *kind = s->bias ? ".bias" : ".weight";
    if (strstr(to, ".bias") || strstr(to, ".scale")) kind = "";
    if (r->layered)
        snprintf(s->name, sizeof s->name, "blk.%u.%s%s", s->layer, to, kind);
    else
        snprintf(s->name, sizeof s->name, "%s%s", to, kind);
}

static int add_source(struct work *w, struct source source) {
    struct sources *s = &w->sources;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        struct source *items = realloc(s->items, capacity * sizeof *items);
        if (!items) return no_memory(w->error);
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->count++] = source;
    return 0;
}

static bool is_dropped(const struct hf_model *m, const char *name, bool bias) {
    if (m->tied && strncmp(name, "lm_head.", 8) == 0) return true;
    if (strcmp(name, "attn.bias") == 0 || strcmp(name, "attention.bias") == 0) return true; /* GPT's masks */
    size_t len = strlen(name);
    if (len > 7 && strcmp(name + len - 7, "_scales") == 0) return true; /* found by their blocks */
    return bias && (m->family->flags & HF_NO_BIAS);
}

/* Where a layer's number begins in a name; 0: it is of no layer. */
static size_t layer_front(const char *name) {
    static const char *const fronts[] = {"layers.", "layer.", "h.", "blocks."};
    for (size_t i = 0; i < ARRAY_LEN(fronts); i++) {
        size_t len = strlen(fronts[i]);
        if (strncmp(name, fronts[i], len) == 0 && isdigit((unsigned char)name[len])) return len;
    }
    return 0;
}

/* Some families' matrices have what goes in as rows. */
static bool lies_turned(const struct hf_model *m, const struct rule *r, const struct source *s) {
    if (!(m->family->flags & HF_TURNED) || s->bias || s->tensor->dim_count < 2) return false;
    return strstr(r->from, ".c_") || strstr(r->from, ".experts.gate_up_proj") ||
           strstr(r->from, ".experts.down_proj");
}

static unsigned piece_of(const struct hf_model *m, const struct rule *r, const struct source *s) {
    unsigned piece = r->piece;
    if (!lies_turned(m, r, s) || s->scales || piece & COLUMNS || strstr(r->from, "_bias")) return piece;
    bool in_turn = m->family->flags & HF_GATES_IN_TURN;
    if (in_turn && piece == FIRST_HALF) piece = EVEN;
    if (in_turn && piece == SECOND_HALF) piece = ODD;
    return piece | TURNED;
}

/* MXFP4: "..._blocks" have "..._scales", perhaps in another shard. */
static int find_scales(const struct work *w, struct source *s) {
    char name[2 * NAME_BYTES];
    const char *blocks = s->tensor->name;
    size_t len = strlen(blocks);
    if (len < 7 || len >= sizeof name || strcmp(blocks + len - 7, "_blocks") != 0) return 0;
    snprintf(name, sizeof name, "%.*s_scales", (int)len - 7, blocks);
    for (uint32_t i = 0; i < w->files->shard_count && !s->scales; i++) {
        s->scales = safetensors_find(&w->files->shards[i], name);
        s->scales_shard = i;
    }
    const struct safetensors_tensor *a = s->tensor, *b = s->scales;
    bool fit = b && a->dim_count == 4 && a->dims[3] == 16 && b->dim_count == 3 && a->bytes == 16 * b->bytes &&
               strcmp(a->dtype, "U8") == 0 && strcmp(b->dtype, "U8") == 0 && memcmp(a->dims, b->dims, 24) == 0;
    return fit ? 0 : error_set(w->error, ERR_INVALID, "tensor %.80s has no scales that fit to it", blocks);
}

static int place_tensor(struct work *w, uint32_t shard, const struct safetensors_tensor *t) {
    const char *name = without_prefixes(t->name);
    struct source s = {.tensor = t, .shard = shard};
    size_t front = layer_front(name);
    bool layered = front > 0, found = false;
    if (is_foreign(t->name)) return 0;
    if (layered) {
        size_t digits = take_number(name + front, &s.layer);
        if (digits == 0 || name[front + digits] != '.')
            return error_set(w->error, ERR_UNSUPPORTED, "tensor %.80s is not known", t->name);
        name += front + digits + 1;
    }
    if (layered && s.layer >= w->m->layers) return 0; /* layers for drafting */
    size_t len = module_len(name, &s.bias);
    if (is_dropped(w->m, name, s.bias)) return 0;
    int rc = find_scales(w, &s);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct source one = s;
        if (rules[i].layered != layered || !follows(rules[i].from, name, len, &one)) continue;
        one.order = i;
        one.piece = piece_of(w->m, &rules[i], &one);
        name_target(w->m, &rules[i], &one);
        if ((rc = add_source(w, one)) < 0) return rc;
        found = true;
    }
    return found ? 0
                 : error_set(w->error, ERR_UNSUPPORTED, "tensor %.80s is not known in model_type %s", t->name,
                             w->m->family->model_type);
}

/* By layer, target, place in the stack; the ends come first. */
static int by_place(const void *a, const void *b) {
    const struct source *x = a, *y = b;
    bool x_layered = rules[x->order].layered, y_layered = rules[y->order].layered;
    if (x_layered != y_layered) return x_layered ? 1 : -1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    if (x->bias != y->bias) return x->bias ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* ---- writing targets ---- */

/* A tensor as it is taken: so many matrices, and where they lie, counted in values. */
struct shape {
    uint64_t matrices, rows, cols;
    uint64_t begin, apart;          /* of the first one; from one to the next */
    uint64_t row_step, column_step; /* from a row to the next, from a column to the next */
    bool listed, joined; /* listed: a stack, even of one; joined: all matrices are the rows of one */
};

static bool fits(const struct shape *a, const struct shape *b) {
    return a->matrices == b->matrices && a->rows == b->rows && a->cols == b->cols;
}

static int whole_shape(const struct work *w, const struct source *s, struct shape *out) {
    const struct safetensors_tensor *t = s->tensor;
    uint32_t n = t->dim_count;
    if (s->scales) {
        *out = (struct shape){.matrices = t->dims[0], .rows = t->dims[1], .cols = t->dims[2] * 32, .listed = true};
    } else if (n == 0 || n > 3 || t->type == TENSOR_TYPE_MAX || t->bytes == 0) {
        return error_set(w->error, ERR_UNSUPPORTED, "tensor %.80s of type %s and %u dimensions cannot be used", t->name,
                         t->dtype, n);
    } else {
        *out = (struct shape){.matrices = n == 3 ? t->dims[0] : 1,
                              .rows = n >= 2 ? t->dims[n - 2] : 1,
                              .cols = t->dims[n - 1],
                              .listed = n == 3};
    }
    out->row_step = out->cols;
    out->column_step = 1;
    out->apart = out->rows * out->cols;
    return 0;
}

static void swap_sides(struct shape *x) {
    struct shape y = *x;
    x->rows = y.cols;
    x->cols = y.rows;
    x->row_step = y.column_step;
    x->column_step = y.row_step;
}

static int cut_experts(const struct work *w, const struct source *s, struct shape *x) {
    uint64_t count = w->m->experts;
    if (count == 0 || x->rows % count != 0)
        return error_set(w->error, ERR_INVALID, "tensor %.80s cannot be shared by %" PRIu64 " experts", s->tensor->name,
                         count);
    x->matrices = count;
    x->rows /= count;
    x->apart = x->rows * x->cols;
    x->listed = true;
    return 0;
}

/* Rows of queries, keys or values: of each group in turn. */
static int cut_heads(const struct work *w, const struct source *s, struct shape *x) {
    const struct hf_model *m = w->m;
    uint64_t groups = m->family->flags & HF_QUERIES_FIRST ? 1 : m->kv_heads;
    uint64_t queries = m->heads / groups * m->head_dim, keys = m->kv_heads / groups * m->head_dim;
    enum piece piece = s->piece & PIECES;
    if (s->tensor->dim_count == 1) swap_sides(x);
    if (m->heads % groups != 0 || x->rows != groups * (queries + 2 * keys))
        return error_set(w->error, ERR_INVALID, "tensor %.80s does not have the rows of %u and twice %u heads",
                         s->tensor->name, m->heads, m->kv_heads);
    x->matrices = groups;
    x->rows = piece == QUERIES ? queries : keys;
    x->apart = (queries + 2 * keys) * x->row_step;
    x->begin = (piece == QUERIES ? 0 : piece == KEYS ? queries : queries + keys) * x->row_step;
    x->joined = true;
    return 0;
}

static int cut_rows(const struct work *w, const struct source *s, struct shape *x) {
    enum piece piece = s->piece & PIECES;
    if (piece == WHOLE) return 0;
    if (piece >= QUERIES) return cut_heads(w, s, x);
    if (piece == UNPADDED) {
        if (x->rows <= w->m->padding_rows)
            return error_set(w->error, ERR_INVALID, "tensor %.80s has no row behind its padding", s->tensor->name);
        x->rows -= w->m->padding_rows;
        x->begin = w->m->padding_rows * x->row_step;
        return 0;
    }
    if (x->rows % 2 != 0) return error_set(w->error, ERR_INVALID, "tensor %.80s cannot be halved", s->tensor->name);
    x->rows /= 2;
    x->begin = piece == SECOND_HALF ? x->rows * x->row_step : piece == ODD ? x->row_step : 0;
    if (piece == EVEN || piece == ODD) x->row_step *= 2;
    return 0;
}

static int shape_of(const struct work *w, const struct source *s, struct shape *out) {
    int rc = whole_shape(w, s, out);
    if (rc == 0 && s->piece & BY_EXPERT) rc = cut_experts(w, s, out);
    if (rc == 0 && s->piece & FLAT) {
        out->rows *= out->matrices;
        out->matrices = 1;
        out->listed = false;
    }
    if (rc == 0 && s->piece & (TURNED | COLUMNS)) swap_sides(out);
    if (rc == 0) rc = cut_rows(w, s, out);
    if (rc == 0 && s->piece & COLUMNS) swap_sides(out);
    return rc;
}

/* Bytes before value `at`, which begins a block where values come in blocks. */
static uint64_t bytes_before(const struct source *s, uint64_t at) {
    return s->scales ? at / 2 : at / tensor_type_block(s->tensor->type) * tensor_type_block_bytes(s->tensor->type);
}

static bool is_turned(const struct work *w, const struct source *s) {
    const char *role = strchr(s->name + 4, '.');
    if (!(w->m->family->flags & HF_TURN) || strncmp(s->name, "blk.", 4) != 0 || !role) return false;
    return strncmp(role, ".attn_q.", 8) == 0 || strncmp(role, ".attn_k.", 8) == 0;
}

static bool is_norm(const char *name) { return strstr(name, "norm.weight") != NULL; }

/* The parts of one tensor: a run of rows for each of its matrices. */
static int add_parts(struct work *w, const struct source *s, const struct shape *shape, uint32_t to, uint64_t *offset) {
    const struct safetensors_tensor *t = s->tensor;
    uint64_t bytes = shape->rows * (shape->cols / tensor_type_block(to) * tensor_type_block_bytes(to));
    bool apart = shape->row_step != shape->cols || shape->column_step != 1;
    for (uint64_t i = 0; i < shape->matrices; i++) {
        uint64_t at = shape->begin + i * shape->apart;
        struct part part = {.file = s->shard,
                            .from = s->scales ? TENSOR_MXFP4 : t->type,
                            .to = to,
                            .rows = shape->rows,
                            .cols = shape->cols,
                            .from_offset = t->offset + bytes_before(s, at),
                            .to_offset = *offset,
                            .added = (w->m->family->flags & HF_ADD_ONE) && is_norm(s->name) ? 1.0f : 0.0f,
                            .head = is_turned(w, s) ? w->m->head_dim : 0,
                            .row_step = apart ? shape->row_step : 0,
                            .column_step = apart ? shape->column_step : 0,
                            .scales_apart = s->scales != NULL,
                            .scales_file = s->scales_shard,
                            .scales_offset = s->scales ? s->scales->offset + at / 32 : 0};
        if (t->dim_count == 1) { /* any part of it may be read: its values are the rows */
            part.rows = shape->rows * shape->cols;
            part.cols = 1;
            part.row_step = part.column_step = 0;
        }
        if (part.head && (part.head % 2 != 0 || part.rows % part.head != 0 || part.row_step > 0))
            return error_set(w->error, ERR_INVALID, "tensor %.80s has no whole heads", t->name);
        if (parts_add(&w->out->parts, part) < 0) return no_memory(w->error);
        *offset += bytes;
    }
    return 0;
}

/* A matrix keeps its type, or gets the recipe's; all else is F32. */
static uint32_t type_of(const struct work *w, const struct source *s, const uint64_t *dims, uint32_t dim_count) {
    struct gguf_tensor t = {.name = {s->name, strlen(s->name)}, .type = TENSOR_F32, .dim_count = dim_count};
    memcpy(t.dims, dims, sizeof t.dims);
    if (w->recipe) return recipe_type(w->recipe, &w->recipe_model, &t);
    bool plain = s->tensor->type == TENSOR_F16 || s->tensor->type == TENSOR_BF16;
    if (s->scales) return TENSOR_MXFP4;
    return plain && recipe_changes(&t) ? s->tensor->type : TENSOR_F32;
}

/* The target's sizes, rows' lengths first; returns how many there are. */
static uint32_t sizes_of(const struct source *s, const struct shape *shape, uint64_t stack, uint64_t *dims) {
    uint64_t count = s->stacked ? stack : shape->matrices;
    bool vector = s->tensor->dim_count == 1, row = shape->rows == 1 && shape->matrices == 1 && !s->stacked;
    dims[0] = shape->cols;
    dims[1] = shape->rows;
    if (shape->joined) {
        dims[vector ? 0 : 1] = shape->rows * shape->matrices;
        dims[1] = vector ? 1 : dims[1];
        return vector ? 1 : 2;
    }
    if (vector || row) {
        dims[1] = count;
        return s->stacked ? 2 : 1;
    }
    dims[2] = count;
    return s->stacked || shape->listed ? 3 : 2;
}

/* Sources [first, end) make one target. */
static int write_target(struct work *w, size_t first, size_t end) {
    const struct source *s = &w->sources.items[first];
    uint64_t dims[GGUF_DIMS_MAX] = {1, 1, 1, 1};
    struct shape shape, other;
    int rc = shape_of(w, s, &shape);
    if (rc < 0) return rc;
    if (!s->stacked && end - first != 1)
        return error_set(w->error, ERR_INVALID, "tensor %.80s is there twice", s->tensor->name);
    uint32_t dim_count = sizes_of(s, &shape, end - first, dims), type = type_of(w, s, dims, dim_count);
    uint64_t offset =
        gguf_write_tensor(&w->out->writer, (struct gguf_string){s->name, strlen(s->name)}, type, dims, dim_count);
    for (size_t i = first; rc == 0 && i < end; i++) {
        const struct source *one = &w->sources.items[i];
        rc = shape_of(w, one, &other);
        if (rc == 0 && (!fits(&shape, &other) || (s->stacked && one->index != i - first)))
            rc = error_set(w->error, ERR_INVALID, "tensor %.80s does not fit to its neighbours", one->tensor->name);
        if (rc == 0) rc = add_parts(w, one, &other, type, &offset);
    }
    return rc;
}

static int write_targets(struct work *w) {
    struct sources *s = &w->sources;
    int rc = 0;
    if (s->count > 0) qsort(s->items, s->count, sizeof *s->items, by_place);
    for (size_t first = 0, end; rc == 0 && first < s->count; first = end) {
        for (end = first + 1; end < s->count && strcmp(s->items[end].name, s->items[first].name) == 0;) end++;
        rc = write_target(w, first, end);
    }
    return rc;
}

int hf_add_values(struct hf_result *out, const char *name, const float *values, size_t count, struct error *error) {
    uint64_t dims[GGUF_DIMS_MAX] = {count, 1, 1, 1};
    struct part part = {
        .file = PART_OF_MEMORY, .from = TENSOR_F32, .to = TENSOR_F32, .rows = 1, .cols = count, .values = values};
    part.to_offset = gguf_write_tensor(&out->writer, (struct gguf_string){name, strlen(name)}, TENSOR_F32, dims, 1);
    return parts_add(&out->parts, part) < 0 ? no_memory(error) : 0;
}

int hf_write_tensors(const struct hf_model *m, const struct hf_files *files, const struct recipe *r,
                     struct hf_result *out, struct error *error) {
    struct work w = {.m = m, .files = files, .recipe = r, .out = out, .error = error};
    w.recipe_model = (struct recipe_model){m->layers, m->experts, m->heads / m->kv_heads, m->tied};
    int rc = 0;
    for (uint32_t shard = 0; rc == 0 && shard < files->shard_count; shard++)
        for (size_t i = 0; rc == 0 && i < files->shards[shard].count; i++)
            rc = place_tensor(&w, shard, &files->shards[shard].tensors[i]);
    if (rc == 0) rc = write_targets(&w);
    free(w.sources.items);
    return rc;
}
