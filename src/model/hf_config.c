/* config.json to metadata keys. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "model/hf_private.h"
#include "model/model.h"

static const struct hf_family families[] = {
    {"llama", "llama", HF_TURN},
    {"mistral", "llama", HF_TURN},
    {"mixtral", "llama", HF_TURN},
    {"smollm3", "smollm3", HF_TURN},
    {"granite", "granite", HF_TURN},
    {"granitemoe", "granitemoe", HF_TURN},
    {"qwen2", "qwen2", 0},
    {"qwen2_moe", "qwen2moe", 0},
    {"qwen3", "qwen3", 0},
    {"qwen3_moe", "qwen3moe", 0},
    {"gemma", "gemma", HF_ADD_ONE | HF_NO_HEAD},
    {"gemma2", "gemma2", HF_ADD_ONE | HF_POST_ATTENTION | HF_WINDOW | HF_NO_HEAD},
    {"gemma3", "gemma3", HF_ADD_ONE | HF_POST_ATTENTION | HF_WINDOW},
    {"gemma4", "gemma4", HF_POST_ATTENTION | HF_WINDOW | HF_WINDOW_PATTERN},
    {"gemma4_text", "gemma4", HF_POST_ATTENTION | HF_WINDOW | HF_WINDOW_PATTERN},
    {"gemma3_text", "gemma3", HF_ADD_ONE | HF_POST_ATTENTION | HF_WINDOW},
    {"phi", "phi2", 0},
    {"phi3", "phi3", HF_WINDOW | HF_LONG_ROPE},
    {"olmo2", "olmo2", HF_POST_ATTENTION},
    {"olmo3", "olmo2", HF_POST_ATTENTION | HF_WINDOW | HF_WINDOW_PATTERN},
    {"cohere2", "cohere2", HF_WINDOW | HF_NO_HEAD | HF_NO_BIAS},
    {"starcoder2", "starcoder2", 0},
    {"stablelm", "stablelm", 0},
    {"glm4", "glm4", 0},
    {"exaone4", "exaone4", HF_POST_ATTENTION | HF_WINDOW | HF_WINDOW_PATTERN},
    {"seed_oss", "seed_oss", HF_POST_ATTENTION},
    {"ernie4_5", "ernie4_5", 0},
    {"deepseek_v2", "deepseek2", HF_LATENT},
    {"deepseek_v3", "deepseek2", HF_LATENT},
    {"cohere", "command-r", HF_NO_HEAD | HF_NO_BIAS},
    {"olmoe", "olmoe", 0},
    {"arcee", "arcee", HF_TURN},
    {"nemotron", "nemotron", HF_ADD_ONE},
    {"minicpm", "minicpm", HF_TURN | HF_LONG_ROPE},
    {"hunyuan_v1_dense", "hunyuan-dense", 0},
    {"glm4_moe", "glm4moe", HF_POST_ATTENTION | HF_SIGMOID},
    {"dots1", "dots1", HF_SIGMOID},
    {"bert", "bert", HF_ENCODER},
    {"roberta", "bert", HF_ENCODER | HF_PADDED},
    {"xlm-roberta", "bert", HF_ENCODER | HF_PADDED},
    {"nomic_bert", "nomic-bert", HF_ENCODER},
    {"modernbert", "modern-bert", HF_ENCODER | HF_WINDOW},
    {"nomic_bert_moe", "nomic-bert-moe", HF_ENCODER},
    {"eurobert", "eurobert", HF_ENCODER},
    {"gpt_oss", "gpt-oss", HF_POST_ATTENTION | HF_WINDOW | HF_TURNED | HF_GATES_IN_TURN},
    {"ministral3", "mistral3", HF_TURN},
    {"mistral4", "mistral4", HF_LATENT},
    {"llama4", "llama4", HF_TURN | HF_TURNED},
    {"qwen2_vl", "qwen2vl", 0},
    {"qwen2_5_vl", "qwen2vl", 0},
    {"qwen3_vl", "qwen3vl", 0},
    {"qwen3_vl_moe", "qwen3vlmoe", HF_TURNED},
    {"lfm2", "lfm2", 0},
    {"lfm2_moe", "lfm2moe", HF_SIGMOID},
    {"phimoe", "phimoe", HF_WINDOW | HF_LONG_ROPE},
    {"ernie4_5_moe", "ernie4_5-moe", 0},
    {"hunyuan_v1_moe", "hunyuan-moe", 0},
    {"granitemoeshared", "granitemoe", HF_TURN},
    {"minimax_m2", "minimax-m2", HF_SIGMOID},
    {"afmoe", "afmoe", HF_POST_ATTENTION | HF_WINDOW | HF_SIGMOID},
    {"bailing_moe", "bailingmoe", HF_TURN | HF_QUERIES_FIRST},
    {"bailing_moe_v2", "bailingmoe2", HF_SIGMOID | HF_QUERIES_FIRST},
    {"exaone", "exaone", 0},
    {"exaone_moe", "exaone-moe", HF_WINDOW | HF_WINDOW_PATTERN | HF_SIGMOID},
    {"minicpm3", "minicpm3", HF_LATENT | HF_LONG_ROPE},
    {"plm", "plm", HF_LATENT},
    {"internlm2", "internlm2", HF_TURN},
    {"olmo", "olmo", HF_TURN},
    {"dbrx", "dbrx", 0},
    {"mpt", "mpt", 0},
    {"falcon", "falcon", 0},
    {"bloom", "bloom", HF_NO_HEAD},
    {"gpt2", "gpt2", HF_TURNED | HF_QUERIES_FIRST},
    {"gpt_neox", "gptneox", 0},
    {"gpt_bigcode", "starcoder", 0},
};

enum kind { COUNT, REAL, FLAG };

#define LAYERS "num_hidden_layers|n_layer|n_layers|num_layers"
#define CONTEXT "max_position_embeddings|n_positions|n_ctx|max_seq_len|seq_length"
#define WIDTH "hidden_size|n_embd|d_model|n_embed"
#define HEADS "num_attention_heads|n_head|n_heads"
#define KV_HEADS "num_key_value_heads|num_kv_heads|n_head_kv|kv_n_heads"
#define FF "intermediate_size_mlp|intermediate_size|n_inner|ffn_hidden_size"
#define EXPERTS "num_local_experts|num_experts|n_routed_experts|moe_num_experts"

/* Keys that mean the same in all families; more than one name in the config: "a|b". */
static const struct {
    const char *from, *to;
    enum kind kind;
} keys[] = {
    {LAYERS, "block_count", COUNT},
    {CONTEXT, "context_length", COUNT},
    {WIDTH, "embedding_length", COUNT},
    {HEADS, "attention.head_count", COUNT},
    {"global_attn_every_n_layers", "attention.sliding_window_pattern", COUNT},
    {"rms_norm_eps|norm_eps|layer_norm_epsilon", "attention.layer_norm_rms_epsilon", REAL},
    {"layer_norm_eps|layer_norm_epsilon|norm_epsilon|norm_eps", "attention.layer_norm_epsilon", REAL},
    {EXPERTS, "expert_count", COUNT},
    {"num_experts_per_tok|moe_k|moe_topk|moe_top_k|top_k_experts", "expert_used_count", COUNT},
    {"moe_intermediate_size", "expert_feed_forward_length", COUNT},
    {"shared_expert_intermediate_size|shared_intermediate_size", "expert_shared_feed_forward_length", COUNT},
    {"n_shared_experts|num_shared_experts|moe_num_shared_experts|num_shared_expert", "expert_shared_count", COUNT},
    {"n_group", "expert_group_count", COUNT},
    {"topk_group", "expert_group_used_count", COUNT},
    {"routed_scaling_factor|route_scale", "expert_weights_scale", REAL},
    {"first_k_dense_replace|num_dense_layers|moe_layer_start_index", "leading_dense_block_count", COUNT},
    {"moe_layer_interval|interleave_moe_layer_step", "interleave_moe_layer_step", COUNT},
    {"moe_every_n_layers", "moe_every_n_layers", COUNT},
    {"hidden_size_per_layer_input", "embedding_length_per_layer_input", COUNT},
    {"num_kv_shared_layers", "attention.shared_kv_layers", COUNT},
    {"conv_L_cache", "shortconv.l_cache", COUNT},
    {"clip_qkv", "attention.clamp_kqv", REAL},
    {"attn_logit_softcapping", "attn_logit_softcapping", REAL},
    {"final_logit_softcapping", "final_logit_softcapping", REAL},
    {"logit_scale|logits_scaling", "logit_scale", REAL},
    {"embedding_multiplier|scale_emb", "embedding_scale", REAL},
    {"residual_multiplier", "residual_scale", REAL},
    {"attention_multiplier", "attention.scale", REAL},
    {"use_parallel_residual", "use_parallel_residual", FLAG},
    {"kv_lora_rank", "attention.kv_lora_rank", COUNT},
    {"q_lora_rank", "attention.q_lora_rank", COUNT},
};

static const json_t *get(const json_t *object, const char *name, size_t len) {
    char key[HF_KEY_BYTES];
    snprintf(key, sizeof key, "%.*s", (int)len, name);
    const json_t *v = json_object_get(object, key);
    return json_is_null(v) ? NULL : v;
}

static const json_t *first_of(const json_t *object, const char *names) {
    for (size_t len; *names; names += len + (names[len] == '|')) {
        len = strcspn(names, "|");
        const json_t *v = get(object, names, len);
        if (v) return v;
    }
    return NULL;
}

const json_t *hf_get(const struct hf_model *m, const char *names) {
    const json_t *parts[] = {m->text, m->outer, json_object_get(m->text, "attn_config"),
                             json_object_get(m->text, "ffn_config")}; /* MPT's and DBRX's */
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const json_t *v = first_of(parts[i], names);
        if (v) return v;
    }
    return NULL;
}

const char *hf_key(const struct hf_model *m, const char *name, char out[HF_KEY_BYTES]) {
    snprintf(out, HF_KEY_BYTES, "%s.%s", m->family->architecture, name);
    return out;
}

static void write_count(const struct hf_model *m, struct hf_result *out, const char *name, uint32_t value) {
    char key[HF_KEY_BYTES];
    gguf_write_u32(&out->writer, hf_key(m, name, key), value);
}

static void write_real(const struct hf_model *m, struct hf_result *out, const char *name, double value) {
    char key[HF_KEY_BYTES];
    gguf_write_f32(&out->writer, hf_key(m, name, key), (float)value);
}

static void write_str(const struct hf_model *m, struct hf_result *out, const char *name, const char *value) {
    char key[HF_KEY_BYTES];
    gguf_write_str(&out->writer, hf_key(m, name, key), value, strlen(value));
}

/* Some configs tell for each layer what is the same in all. */
static const json_t *one_of_all(const json_t *v) {
    const json_t *first = json_array_get(v, 0);
    for (size_t i = 1; i < json_array_size(v); i++)
        if (!json_equal(first, json_array_get(v, i))) return v;
    return first ? first : v;
}

/* A whole number from 0 to 2^32 - 1; `otherwise` where the config has none. */
static int read_count(const struct hf_model *m, const char *names, uint32_t otherwise, uint32_t *out,
                      struct error *error) {
    const json_t *v = one_of_all(hf_get(m, names));
    *out = otherwise;
    if (!v) return 0;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
        return error_set(error, ERR_INVALID, "config.json: %.*s must be a positive number", (int)strcspn(names, "|"),
                         names);
    *out = (uint32_t)json_integer_value(v);
    return 0;
}

/* ---- reading ---- */

static const struct hf_family *find_family(const char *model_type) {
    for (size_t i = 0; model_type && i < ARRAY_LEN(families); i++)
        if (strcmp(families[i].model_type, model_type) == 0) return &families[i];
    return NULL;
}

static int refuse_family(const char *model_type, struct error *error) {
    struct text known = {0};
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        text_printf(&known, "%s%s", i > 0 ? ", " : "", families[i].model_type);
    error_set(error, ERR_UNSUPPORTED, "config.json: model_type \"%.40s\" is not supported; supported are: %s",
              model_type ? model_type : "", text_str(&known));
    text_deinit(&known);
    return ERR_UNSUPPORTED;
}

/* 0 for what is no number of a head's channels. */
static uint32_t channels_of(const json_t *v) {
    json_int_t count = json_integer_value(v);
    return count > 0 && count <= UINT16_MAX ? (uint32_t)count : 0;
}

/* Channels of a head that are rotated. */
static uint32_t rope_dims(const struct hf_model *m) {
    const json_t *rope = hf_rope(m), *part = rope ? json_object_get(rope, "partial_rotary_factor") : NULL;
    const json_t *dims = hf_get(m, "rotary_dim"), *all = hf_get(m, "global_head_dim");
    if (json_is_integer(all)) return channels_of(all);
    if (!part) part = hf_get(m, "partial_rotary_factor|rotary_pct|rope_pct");
    if (!part && json_is_integer(dims)) return channels_of(dims);
    if (m->family->flags & HF_LATENT) return (uint32_t)json_integer_value(hf_get(m, "qk_rope_head_dim"));
    bool half = strcmp(m->family->architecture, "glm4") == 0 || strcmp(m->family->architecture, "bailingmoe2") == 0;
    double share = json_is_number(part) ? json_number_value(part) : half ? 0.5 : 1;
    return share > 0 && share <= 1 ? (uint32_t)(share * m->head_dim) : 0;
}

/* RoBERTa counts positions from behind the number of its padding token. */
static int read_padding(struct hf_model *m, struct error *error) {
    uint32_t positions, token;
    if (!(m->family->flags & HF_PADDED)) return 0;
    int rc = read_count(m, "max_position_embeddings", 0, &positions, error);
    if (rc == 0) rc = read_count(m, "pad_token_id", 1, &token, error);
    if (rc < 0) return rc;
    if (token >= positions)
        return error_set(error, ERR_INVALID, "config.json: pad_token_id %u leaves none of %u positions", token,
                         positions);
    m->padding_rows = token + 1;
    return 0;
}

int hf_read_config(const json_t *config, struct hf_model *m, struct error *error) {
    const json_t *text = json_object_get(config, "text_config");
    *m = (struct hf_model){.outer = config, .text = json_is_object(text) ? text : config};
    if (!json_is_object(config)) return error_set(error, ERR_INVALID, "config.json is not a JSON object");
    const char *type = json_string_value(json_object_get(m->text, "model_type"));
    bool mixed = type && strcmp(type, "nomic_bert") == 0 && json_integer_value(hf_get(m, "moe_every_n_layers")) > 0;
    m->family = find_family(mixed ? "nomic_bert_moe" : type);
    if (!m->family) m->family = find_family(json_string_value(json_object_get(config, "model_type")));
    if (!m->family) return refuse_family(type, error);
    if (json_is_true(hf_get(m, "use_bidirectional_attention")) && !(m->family->flags & HF_ENCODER))
        return error_set(error, ERR_UNSUPPORTED,
                         "config.json: use_bidirectional_attention is not supported in a folder; take a GGUF file");
    int rc = read_count(m, LAYERS, 0, &m->layers, error);
    if (rc == 0) rc = read_count(m, HEADS, 0, &m->heads, error);
    if (rc == 0) rc = read_count(m, KV_HEADS, m->heads, &m->kv_heads, error);
    if (rc == 0) rc = read_count(m, WIDTH, 0, &m->embd, error);
    if (rc == 0) rc = read_count(m, EXPERTS, 0, &m->experts, error);
    if (rc == 0) rc = read_count(m, "vocab_size", 0, &m->vocab, error);
    if (rc < 0) return rc;
    if (json_is_true(hf_get(m, "multi_query")) && !json_is_true(hf_get(m, "new_decoder_architecture"))) m->kv_heads = 1;
    if (m->layers == 0 || m->heads == 0 || m->kv_heads == 0 || m->embd == 0)
        return error_set(error, ERR_INVALID, "config.json does not say how many layers, heads or channels there are");
    if ((rc = read_count(m, "head_dim", m->embd / m->heads, &m->head_dim, error)) < 0) return rc;
    if ((rc = read_padding(m, error)) < 0) return rc;
    if (strcmp(m->family->architecture, "falcon") == 0 && json_is_true(hf_get(m, "alibi")))
        return error_set(error, ERR_UNSUPPORTED, "config.json: a Falcon with alibi is not supported");
    m->rope_dims = rope_dims(m);
    m->tied = (m->family->flags & HF_NO_HEAD) || json_is_true(hf_get(m, "tie_word_embeddings"));
    return 0;
}

/* ---- rope ---- */

const json_t *hf_rope(const struct hf_model *m) {
    const json_t *rope = hf_get(m, "rope_parameters|rope_scaling"), *all = json_object_get(rope, "full_attention");
    return json_is_object(all) ? all : json_is_object(rope) ? rope : NULL;
}

static double rope_real(const json_t *rope, const char *names, double otherwise) {
    const json_t *v = first_of(rope, names);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

/* Divisors of the rotation frequencies (the rule of Llama 3.1's config: long waves are stretched, short ones are not).
 */
static int write_llama3(const struct hf_model *m, const json_t *rope, double base, struct hf_result *out,
                        struct error *error) {
    double factor = rope_real(rope, "factor", 8), low = rope_real(rope, "low_freq_factor", 1);
    double high = rope_real(rope, "high_freq_factor", 4);
    double original = rope_real(rope, "original_max_position_embeddings", 8192);
    float *values = arena_array(&out->arena, m->rope_dims / 2 + 1, sizeof *values);
    if (!values) return error_set(error, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < m->rope_dims / 2; i++) {
        float frequency = 1.0f / powf((float)base, 2.0f * (float)i / (float)m->rope_dims);
        double wave = 2 * M_PI / frequency, smooth = (original / wave - low) / (high - low);
        values[i] = (float)(wave < original / high  ? 1
                            : wave > original / low ? factor
                                                    : 1 / ((1 - smooth) / factor + smooth));
    }
    return hf_add_values(out, "rope_freqs.weight", values, m->rope_dims / 2, error);
}

/* 0 for what is no count. */
static uint32_t count_of(double number) { return number >= 1 && number <= UINT32_MAX ? (uint32_t)number : 0; }

static void write_yarn(const struct hf_model *m, const json_t *rope, struct hf_result *out) {
    static const struct {
        const char *from, *to;
    } reals[] = {{"extrapolation_factor", "rope.scaling.yarn_ext_factor"},
                 {"attention_factor|attn_factor", "rope.scaling.yarn_attn_factor"},
                 {"beta_fast", "rope.scaling.yarn_beta_fast"},
                 {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    write_str(m, out, "rope.scaling.type", "yarn");
    write_real(m, out, "rope.scaling.factor", rope_real(rope, "factor", 1));
    write_count(m, out, "rope.scaling.original_context_length",
                count_of(rope_real(rope, "original_max_position_embeddings", 0)));
    for (size_t i = 0; i < ARRAY_LEN(reals); i++)
        if (json_is_number(first_of(rope, reals[i].from)))
            write_real(m, out, reals[i].to, rope_real(rope, reals[i].from, 0));
    bool ministral = strcmp(m->family->architecture, "mistral3") == 0;
    if (m->family->flags & HF_LATENT || ministral)
        write_real(m, out, "rope.scaling.yarn_log_multiplier",
                   (ministral ? 1 : 0.1) * rope_real(rope, "mscale_all_dim", 0));
    if (json_is_number(json_object_get(rope, "llama_4_scaling_beta")))
        write_real(m, out, "attention.temperature_scale", rope_real(rope, "llama_4_scaling_beta", 0));
}

static int write_divisors(const struct hf_model *m, const json_t *list, const char *name, struct hf_result *out,
                          struct error *error) {
    size_t count = json_array_size(list);
    float *values = arena_array(&out->arena, count + 1, sizeof *values);
    if (!values) return error_set(error, ERR_NOMEM, "out of memory");
    if (count != m->rope_dims / 2)
        return error_set(error, ERR_INVALID, "config.json has %zu rope factors, expected %u", count, m->rope_dims / 2);
    for (size_t i = 0; i < count; i++) values[i] = (float)json_number_value(json_array_get(list, i));
    return hf_add_values(out, name, values, count, error);
}

/* Phi's: short and long divisors, and how much louder attention is for having been stretched. */
static int write_longrope(const struct hf_model *m, const json_t *rope, struct hf_result *out, struct error *error) {
    double context = json_number_value(hf_get(m, "max_position_embeddings"));
    const json_t *first = hf_get(m, "original_max_position_embeddings");
    double original =
        json_is_number(first) ? json_number_value(first) : rope_real(rope, "original_max_position_embeddings", context);
    double scale = original > 1 ? context / original : 1, loud = scale > 1 ? sqrt(1 + log(scale) / log(original)) : 1;
    write_count(m, out, "rope.scaling.original_context_length", count_of(original));
    if (!rope || !json_is_array(json_object_get(rope, "long_factor"))) return 0;
    write_real(m, out, "rope.scaling.attn_factor", rope_real(rope, "long_mscale", loud)); /* Phi 3.5 MoE says it */
    int rc = write_divisors(m, json_object_get(rope, "long_factor"), "rope_factors_long.weight", out, error);
    return rc ? rc : write_divisors(m, json_object_get(rope, "short_factor"), "rope_factors_short.weight", out, error);
}

/* Hunyuan: how much slower all pairs turn, as the NTK-aware scaling has it. */
static double slowed(const struct hf_model *m, const json_t *rope, const char *type) {
    const json_t *alpha = json_object_get(rope, "alpha");
    if (!type || strcmp(type, "dynamic") != 0 || !json_is_number(alpha) || m->head_dim <= 2) return 1;
    return pow(json_number_value(alpha), m->head_dim / (m->head_dim - 2.0));
}

/* Gemma 4's: only the first pairs turn, by frequencies as if all did. */
static int write_proportional(const struct hf_model *m, const json_t *rope, struct hf_result *out,
                              struct error *error) {
    const float hardly = 1e30f; /* the converter's divisor for what does not turn */
    uint32_t pairs = m->rope_dims / 2;
    double turned = rope_real(rope, "partial_rotary_factor", 1) * pairs;
    float *values = arena_array(&out->arena, pairs + 1, sizeof *values);
    if (!values) return error_set(error, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < pairs; i++) values[i] = i + 1 <= turned ? 1 : hardly;
    return hf_add_values(out, "rope_freqs.weight", values, pairs, error);
}

/* Of models that see: which pairs of a head turn with time, height and width. In a text they are all the same. */
static void write_sections(const struct hf_model *m, const json_t *rope, struct hf_result *out) {
    enum { SECTIONS = 4 };
    const json_t *sections = json_object_get(rope, "mrope_section");
    char key[HF_KEY_BYTES];
    if (!json_is_array(sections)) return;
    gguf_write_array(&out->writer, hf_key(m, "rope.dimension_sections", key), GGUF_I32, SECTIONS);
    for (size_t i = 0; i < SECTIONS; i++)
        gguf_write_item_u32(&out->writer, (uint32_t)json_integer_value(json_array_get(sections, i)));
}

static int write_rope(const struct hf_model *m, struct hf_result *out, struct error *error) {
    const json_t *rope = hf_rope(m), *outer = hf_get(m, "rope_parameters");
    const json_t *local = hf_get(m, "rope_local_base_freq|local_rope_theta");
    const char *type = rope ? json_string_value(first_of(rope, "rope_type|type")) : NULL;
    double base = rope_real(rope, "rope_theta", 0);
    const json_t *plain = hf_get(m, "rope_theta|rotary_emb_base|global_rope_theta");
    if (base == 0 && json_is_number(plain)) base = json_number_value(plain);
    if (base > 0) write_real(m, out, "rope.freq_base", base * slowed(m, rope, type));
    if (!local) local = json_object_get(json_object_get(outer, "sliding_attention"), "rope_theta");
    if (json_is_number(local)) write_real(m, out, "rope.freq_base_swa", json_number_value(local));
    if (m->rope_dims > 0) write_count(m, out, "rope.dimension_count", m->rope_dims);
    if (type && strcmp(type, "dynamic") == 0 && json_is_number(json_object_get(rope, "alpha"))) return 0;
    if (m->family->flags & HF_LONG_ROPE) return write_longrope(m, rope, out, error);
    write_sections(m, rope, out);
    if (!type || strcmp(type, "default") == 0 || strcmp(type, "mrope") == 0) return 0;
    if (strcmp(type, "proportional") == 0) return write_proportional(m, rope, out, error);
    if (strcmp(type, "llama3") == 0) return write_llama3(m, rope, base > 0 ? base : 10000, out, error);
    if (strcmp(type, "yarn") == 0) {
        write_yarn(m, rope, out);
        return 0;
    }
    if (strcmp(type, "linear") != 0)
        return error_set(error, ERR_UNSUPPORTED, "config.json: rope scaling \"%.40s\" is not supported", type);
    write_str(m, out, "rope.scaling.type", "linear");
    write_real(m, out, "rope.scaling.factor", rope_real(rope, "factor", 1));
    return 0;
}

/* ---- the rest ---- */

static void write_window(const struct hf_model *m, struct hf_result *out) {
    const json_t *window = hf_get(m, "sliding_window|local_attention"), *types = hf_get(m, "layer_types");
    char key[HF_KEY_BYTES];
    if (!(m->family->flags & HF_WINDOW)) return;
    if (m->family->flags & HF_LONG_ROPE) /* Phi: 0 is none */
        write_count(m, out, "attention.sliding_window", (uint32_t)json_integer_value(window));
    else if (json_is_integer(window) && !json_is_false(hf_get(m, "use_sliding_window")))
        write_count(m, out, "attention.sliding_window", (uint32_t)json_integer_value(window));
    if (!(m->family->flags & HF_WINDOW_PATTERN) || !json_is_integer(window)) return;
    gguf_write_array(&out->writer, hf_key(m, "attention.sliding_window_pattern", key), GGUF_BOOL, m->layers);
    for (uint32_t i = 0; i < m->layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        gguf_write_item_bool(&out->writer, types ? type && strcmp(type, "sliding_attention") == 0 : (i + 1) % 4 != 0);
    }
}

/* ModernBERT's, which is not the same in all of its kin. */
static void write_activation(const struct hf_model *m, struct hf_result *out) {
    const char *name = json_string_value(hf_get(m, "hidden_activation"));
    if (name) write_str(m, out, "hidden_activation", name);
}

/* DeepSeek, with K and V unpacked in one matrix as its file has them. */
static void write_latent(const struct hf_model *m, struct hf_result *out) {
    const char *scoring = json_string_value(hf_get(m, "scoring_func"));
    uint32_t nope = (uint32_t)json_integer_value(hf_get(m, "qk_nope_head_dim"));
    write_count(m, out, "attention.head_count_kv", m->heads);
    write_count(m, out, "attention.key_length", nope + m->rope_dims);
    write_count(m, out, "attention.value_length", (uint32_t)json_integer_value(hf_get(m, "v_head_dim")));
    if (scoring) write_count(m, out, "expert_gating_func", strcmp(scoring, "sigmoid") == 0 ? 2 : 1);
}

static void write_gating(const struct hf_model *m, struct hf_result *out) {
    char key[HF_KEY_BYTES];
    if (m->family->flags & HF_SIGMOID) write_count(m, out, "expert_gating_func", MODEL_GATING_SIGMOID);
    if (json_is_true(hf_get(m, "norm_topk_prob|route_norm")))
        gguf_write_bool(&out->writer, hf_key(m, "expert_weights_norm", key), true);
}

/* MiniCPM's, which are the widths that they were found for. */
static void write_depth_scales(const struct hf_model *m, struct hf_result *out) {
    const json_t *depth = hf_get(m, "scale_depth"), *base = hf_get(m, "dim_model_base");
    if (json_is_number(depth)) write_real(m, out, "residual_scale", json_number_value(depth) / sqrt(m->layers));
    if (json_is_number(base) && json_number_value(base) > 0)
        write_real(m, out, "logit_scale", m->embd / json_number_value(base));
}

/* LFM2's, whose other layers convolve. */
static void write_kv_heads_of_layers(const struct hf_model *m, struct hf_result *out) {
    const json_t *types = hf_get(m, "layer_types");
    char key[HF_KEY_BYTES];
    gguf_write_array(&out->writer, hf_key(m, "attention.head_count_kv", key), GGUF_U32, m->layers);
    for (uint32_t i = 0; i < m->layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        gguf_write_item_u32(&out->writer, type && strcmp(type, "full_attention") == 0 ? m->kv_heads : 0);
    }
}

/* Gemma 4's: head_dim is that of layers with a window. */
static int write_heads_of_kinds(const struct hf_model *m, struct hf_result *out, struct error *error) {
    const json_t *types = hf_get(m, "layer_types");
    uint32_t all = m->rope_dims, kv_heads;
    char key[HF_KEY_BYTES];
    int rc = read_count(m, "num_global_key_value_heads", m->kv_heads, &kv_heads, error);
    if (rc < 0) return rc;
    gguf_write_array(&out->writer, hf_key(m, "attention.head_count_kv", key), GGUF_U32, m->layers);
    for (uint32_t i = 0; i < m->layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        gguf_write_item_u32(&out->writer, type && strcmp(type, "full_attention") == 0 ? kv_heads : m->kv_heads);
    }
    write_count(m, out, "attention.key_length", all);
    write_count(m, out, "attention.value_length", all);
    write_count(m, out, "attention.key_length_swa", m->head_dim);
    write_count(m, out, "attention.value_length_swa", m->head_dim);
    write_count(m, out, "rope.dimension_count_swa", m->head_dim);
    return 0;
}

/* How far ALiBi reaches, where it is said. */
static void write_slopes(const struct hf_model *m, struct hf_result *out) {
    const json_t *config = json_object_get(m->text, "attn_config"), *most = json_object_get(config, "alibi_bias_max");
    if (strcmp(m->family->architecture, "mpt") != 0) return;
    bool leans = json_is_true(json_object_get(config, "alibi"));
    write_real(m, out, "attention.max_alibi_bias", !leans ? 0 : json_is_number(most) ? json_number_value(most) : 8);
}

static int write_heads(const struct hf_model *m, struct hf_result *out, struct error *error) {
    if (hf_get(m, "global_head_dim")) return write_heads_of_kinds(m, out, error);
    if (m->family->flags & HF_LATENT) {
        write_latent(m, out);
        return 0;
    }
    if (hf_get(m, "conv_L_cache"))
        write_kv_heads_of_layers(m, out);
    else
        write_count(m, out, "attention.head_count_kv", m->kv_heads);
    if (m->head_dim == m->embd / m->heads && hf_get(m, "head_dim") == NULL) return 0;
    write_count(m, out, "attention.key_length", m->head_dim);
    write_count(m, out, "attention.value_length", m->head_dim);
    return 0;
}

/* LFM2's config may have it before it is cut to two thirds, for there is a gate, and rounded up. */
static uint32_t adjusted_ff(const struct hf_model *m, uint32_t ff) {
    const json_t *factor = hf_get(m, "block_ffn_dim_multiplier");
    int64_t multiple = json_integer_value(hf_get(m, "block_multiple_of"));
    if (!json_is_true(hf_get(m, "block_auto_adjust_ff_dim")) || multiple <= 0 || multiple > UINT16_MAX) return ff;
    uint64_t width = 2ull * ff / 3, step = (uint64_t)multiple;
    if (json_is_number(factor) && json_number_value(factor) > 0 && json_number_value(factor) < UINT16_MAX)
        width = (uint64_t)(json_number_value(factor) * (double)width);
    return (uint32_t)((width + step - 1) / step * step);
}

/* The FFN of all positions, and that of experts where the config has one width for both. */
static int write_ff(const struct hf_model *m, struct hf_result *out, struct error *error) {
    uint32_t ff, one;
    int rc = read_count(m, FF, 4 * m->embd, &ff, error);
    if (rc == 0) rc = read_count(m, "intermediate_size", 0, &one, error);
    if (rc < 0) return rc;
    write_count(m, out, "feed_forward_length", adjusted_ff(m, ff));
    if (m->experts > 0 && one > 0 && !hf_get(m, "moe_intermediate_size"))
        write_count(m, out, "expert_feed_forward_length", one);
    return 0;
}

static int write_key(const struct hf_model *m, size_t i, struct hf_result *out, struct error *error) {
    const json_t *v = hf_get(m, keys[i].from);
    uint32_t count;
    char key[HF_KEY_BYTES];
    if (!v) return 0;
    if (keys[i].kind == FLAG) {
        gguf_write_bool(&out->writer, hf_key(m, keys[i].to, key), json_is_true(v));
        return 0;
    }
    if (keys[i].kind == REAL) {
        if (!json_is_number(v))
            return error_set(error, ERR_INVALID, "config.json: %.*s must be a number", (int)strcspn(keys[i].from, "|"),
                             keys[i].from);
        write_real(m, out, keys[i].to, json_number_value(v));
        return 0;
    }
    int rc = read_count(m, keys[i].from, 0, &count, error);
    if (strcmp(keys[i].to, "context_length") == 0) count -= m->padding_rows;
    if (rc == 0) write_count(m, out, keys[i].to, count);
    return rc;
}

/* sentence-transformers' file: one of its flags is true. */
int hf_write_pooling(const struct hf_model *m, const json_t *pooling, struct hf_result *out, struct error *error) {
    static const struct {
        const char *flag;
        enum model_pooling pooling;
    } known[] = {{"pooling_mode_mean_tokens", MODEL_POOLING_MEAN},
                 {"pooling_mode_cls_token", MODEL_POOLING_FIRST},
                 {"pooling_mode_lasttoken", MODEL_POOLING_LAST}};
    const char *positions = json_string_value(hf_get(m, "position_embedding_type"));
    if (!(m->family->flags & HF_ENCODER)) return 0;
    if (positions && strcmp(positions, "absolute") != 0)
        return error_set(error, ERR_UNSUPPORTED, "config.json: position_embedding_type \"%.40s\" is not supported",
                         positions);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!json_is_true(json_object_get(pooling, known[i].flag))) continue;
        write_count(m, out, "pooling_type", known[i].pooling);
        return 0;
    }
    return error_set(error, pooling ? ERR_UNSUPPORTED : ERR_NOT_FOUND,
                     pooling ? "1_Pooling/config.json: its kind of pooling is not supported; supported are mean, cls "
                               "and last tokens"
                             : "there is no 1_Pooling/config.json: it says from which positions embeddings are made");
}

int hf_write_config(const struct hf_model *m, struct hf_result *out, struct error *error) {
    int rc = 0;
    gguf_write_str(&out->writer, "general.architecture", m->family->architecture, strlen(m->family->architecture));
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(keys); i++) rc = write_key(m, i, out, error);
    if (rc < 0) return rc;
    if ((rc = write_ff(m, out, error)) < 0) return rc;
    if (!hf_get(m, CONTEXT)) write_count(m, out, "context_length", 2048); /* Falcon's and BLOOM's */
    if (m->vocab > 0) write_count(m, out, "vocab_size", m->vocab);
    if ((rc = write_heads(m, out, error)) < 0) return rc;
    write_slopes(m, out);
    write_gating(m, out);
    write_depth_scales(m, out);
    write_window(m, out);
    if (m->family->flags & HF_ENCODER) write_activation(m, out);
    return write_rope(m, out, error);
}
