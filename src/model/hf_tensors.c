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

enum piece { WHOLE, FIRST_HALF, SECOND_HALF, UNPADDED }; /* of the rows (of each expert) */

/* `from` behind "layers.N." or, without `layered`, behind "model."; '#' stands for a number: pieces are stacked. */
static const struct rule {
    const char *from, *to;
    enum piece piece;
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
};

/* A tensor of a shard, and which target takes (a half of) it at which place of its stack. */
struct source {
    const struct safetensors_tensor *tensor;
    uint32_t shard, layer, order, index; /* order: of the rule; index: of the stack */
    enum piece piece;
    bool bias, stacked;
    char name[NAME_BYTES]; /* of the target */
};

struct sources {
    struct source *items;
    size_t count, capacity;
};

struct work {
    const struct hf_model *m;
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
                                        "position_ids",  "cls.predictions.",    "cls.seq_relationship."};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strstr(name, parts[i])) return true;
    return false;
}

static const char *without_prefixes(const char *name) {
    static const char *const prefixes[] = {"model.", "language_model.", "bert.", "roberta.", "encoder."};
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
    const char *to = target_of(m, r), *kind = strchr(to, '.') ? "" : s->bias ? ".bias" : ".weight";
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
    return bias && (m->family->flags & HF_NO_BIAS);
}

static int place_tensor(struct work *w, uint32_t shard, const struct safetensors_tensor *t) {
    const char *name = without_prefixes(t->name);
    struct source s = {.tensor = t, .shard = shard};
    size_t front = strncmp(name, "layers.", 7) == 0 ? 7 : strncmp(name, "layer.", 6) == 0 ? 6 : 0;
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
    for (uint32_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct source one = s;
        if (rules[i].layered != layered || !follows(rules[i].from, name, len, &one)) continue;
        one.order = i;
        one.piece = rules[i].piece;
        name_target(w->m, &rules[i], &one);
        int rc = add_source(w, one);
        if (rc < 0) return rc;
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

/* Rows and columns of one tensor of the stack, as a list of matrices: [matrices][rows][cols]. */
struct shape {
    uint64_t matrices, rows, cols;
};

static int shape_of(const struct work *w, const struct source *s, struct shape *out) {
    const struct safetensors_tensor *t = s->tensor;
    uint32_t n = t->dim_count;
    if (n == 0 || n > 3 || t->type == TENSOR_TYPE_MAX || t->bytes == 0)
        return error_set(w->error, ERR_UNSUPPORTED, "tensor %.80s of type %s and %u dimensions cannot be used", t->name,
                         t->dtype, n);
    *out = (struct shape){n == 3 ? t->dims[0] : 1, n >= 2 ? t->dims[n - 2] : 1, t->dims[n - 1]};
    if (s->piece == WHOLE) return 0;
    if (s->piece == UNPADDED) {
        if (out->rows <= w->m->padding_rows)
            return error_set(w->error, ERR_INVALID, "tensor %.80s has no row behind its padding", t->name);
        out->rows -= w->m->padding_rows;
        return 0;
    }
    if (out->rows % 2 != 0) return error_set(w->error, ERR_INVALID, "tensor %.80s cannot be halved", t->name);
    out->rows /= 2;
    return 0;
}

/* Where the piece of its i-th matrix begins in a tensor. */
static uint64_t first_row(const struct work *w, const struct source *s, const struct shape *shape, uint64_t i) {
    if (s->piece == WHOLE) return i * shape->rows;
    if (s->piece == UNPADDED) return w->m->padding_rows;
    return (2 * i + (s->piece == SECOND_HALF)) * shape->rows;
}

static uint64_t row_bytes(const struct safetensors_tensor *t) {
    uint64_t rows = 1;
    for (uint32_t i = 0; i + 1 < t->dim_count; i++) rows *= t->dims[i];
    return t->bytes / rows;
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
    for (uint64_t i = 0; i < shape->matrices; i++) {
        struct part part = {.file = s->shard,
                            .from = t->type,
                            .to = to,
                            .rows = shape->rows,
                            .cols = shape->cols,
                            .from_offset = t->offset + first_row(w, s, shape, i) * row_bytes(t),
                            .to_offset = *offset,
                            .added = (w->m->family->flags & HF_ADD_ONE) && is_norm(s->name) ? 1.0f : 0.0f,
                            .head = is_turned(w, s) ? w->m->head_dim : 0};
        if (part.head && t->dim_count == 1) { /* a bias: its values are the rows */
            part.rows = shape->cols;
            part.cols = 1;
        }
        if (part.head && (part.head % 2 != 0 || part.rows % part.head != 0))
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
    return plain && recipe_changes(&t) ? s->tensor->type : TENSOR_F32;
}

/* Sources [first, end) make one target. */
static int write_target(struct work *w, size_t first, size_t end) {
    const struct source *s = &w->sources.items[first];
    struct shape shape, other;
    int rc = shape_of(w, s, &shape);
    if (rc < 0) return rc;
    uint64_t count = s->stacked ? end - first : shape.matrices;
    if (!s->stacked && end - first != 1)
        return error_set(w->error, ERR_INVALID, "tensor %.80s is there twice", s->tensor->name);
    bool flat = s->tensor->dim_count == 1 || (shape.rows == 1 && shape.matrices == 1 && !s->stacked);
    uint64_t dims[GGUF_DIMS_MAX] = {shape.cols, flat ? count : shape.rows, flat ? 1 : count, 1};
    uint32_t dim_count = flat ? (s->stacked ? 2 : 1) : (s->stacked || s->tensor->dim_count == 3) ? 3 : 2;
    uint32_t type = type_of(w, s, dims, dim_count);
    uint64_t offset =
        gguf_write_tensor(&w->out->writer, (struct gguf_string){s->name, strlen(s->name)}, type, dims, dim_count);
    for (size_t i = first; rc == 0 && i < end; i++) {
        const struct source *one = &w->sources.items[i];
        rc = shape_of(w, one, &other);
        if (rc == 0 && (memcmp(&shape, &other, sizeof shape) != 0 || (s->stacked && one->index != i - first)))
            rc = error_set(w->error, ERR_INVALID, "tensor %.80s does not fit to its neighbours", one->tensor->name);
        if (rc == 0) rc = add_parts(w, one, &shape, type, &offset);
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
    struct work w = {.m = m, .recipe = r, .out = out, .error = error};
    w.recipe_model = (struct recipe_model){m->layers, m->experts, m->heads / m->kv_heads, m->tied};
    int rc = 0;
    for (uint32_t shard = 0; rc == 0 && shard < files->shard_count; shard++)
        for (size_t i = 0; rc == 0 && i < files->shards[shard].count; i++)
            rc = place_tensor(&w, shard, &files->shards[shard].tensors[i]);
    if (rc == 0) rc = write_targets(&w);
    free(w.sources.items);
    return rc;
}
