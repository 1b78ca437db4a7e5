#include "model/recipe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "kern/format.h"

enum { NAME_BYTES = 128, GROUPED = 4, EXPERTS_FEW = 8 };

/* Layers that deserve better. */
enum which { NONE, ALL, MORE, FIRST_2, FIRST_4, FIRST_8TH, FIRST_16TH };

/* Other types for one role: `type` in the layers of `which`, `rest` (if not 0) in the others. */
struct raise {
    enum which which;
    uint32_t type, rest;
};

struct recipe {
    const char *name;
    uint32_t file_type; /* llama.h's enum llama_ftype */
    uint32_t type;
    struct raise value, down, output, qkv;
    uint32_t grouped_value; /* of values that GROUPED or more queries share; 0: as `value` says */
};

#define T(name) TENSOR_##name
static const struct recipe recipes[] = {
    {"f32", 0, T(F32)},
    {"f16", 1, T(F16)},
    {"bf16", 32, T(BF16)},
    {"q8_0", 7, T(Q8_0)},
    {"q6_k", 18, T(Q6_K)},
    {"q5_k_m", 17, T(Q5_K), .value = {MORE, T(Q6_K)}, .down = {MORE, T(Q6_K)}, .qkv = {ALL, T(Q6_K)}},
    {"q5_k_s", 16, T(Q5_K)},
    {"q5_1", 9, T(Q5_1)},
    {"q5_0", 8, T(Q5_0)},
    {"q4_k_m", 15, T(Q4_K), .value = {MORE, T(Q6_K)}, .down = {MORE, T(Q6_K)}, .qkv = {ALL, T(Q5_K)}},
    {"q4_k_s", 14, T(Q4_K), .value = {FIRST_4, T(Q5_K)}, .down = {FIRST_8TH, T(Q5_K)}},
    {"q4_1", 3, T(Q4_1)},
    {"q4_0", 2, T(Q4_0)},
    {"iq4_nl", 25, T(IQ4_NL), .down = {FIRST_8TH, T(Q5_K)}, .grouped_value = T(Q5_K)},
    {"iq4_xs", 30, T(IQ4_XS), .down = {FIRST_8TH, T(Q5_K)}, .grouped_value = T(Q5_K)},
    {"mxfp4", 38, T(MXFP4)},
    {"q3_k_l", 13, T(Q3_K), .value = {ALL, T(Q5_K)}, .down = {ALL, T(Q5_K)}, .output = {ALL, T(Q5_K)},
     .qkv = {ALL, T(Q4_K)}},
    {"q3_k_m", 12, T(Q3_K), .value = {FIRST_2, T(Q5_K), T(Q4_K)}, .down = {FIRST_16TH, T(Q5_K), T(Q4_K)},
     .output = {ALL, T(Q4_K)}, .qkv = {ALL, T(Q4_K)}},
    {"q3_k_s", 11, T(Q3_K)},
    {"q2_k", 10, T(Q2_K), .value = {ALL, T(Q3_K)}, .down = {ALL, T(Q3_K)}, .output = {ALL, T(Q3_K)},
     .grouped_value = T(Q4_K)},
};

static const struct recipe *find(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++)
        if (strcasecmp(recipes[i].name, name) == 0) return &recipes[i];
    return NULL;
}

const struct recipe *recipe_find(const char *name) {
    char medium[NAME_BYTES];
    snprintf(medium, sizeof medium, "%s_m", name);
    const struct recipe *r = find(name);
    return r ? r : find(medium);
}

const char *recipe_suffix(const char *name) {
    const char *at = strrchr(name, '@');
    return at && recipe_find(at + 1) ? at : name + strlen(name);
}

void recipe_list(struct text *out) {
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) text_printf(out, "%s%s", i > 0 ? ", " : "", recipes[i].name);
}

const char *recipe_name(const struct recipe *r) { return r->name; }
uint32_t recipe_file_type(const struct recipe *r) { return r->file_type; }

static bool is_chosen(enum which which, uint32_t layer, uint32_t layers) {
    switch (which) {
    case ALL: return true;
    case MORE: return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    case FIRST_2: return layer < 2;
    case FIRST_4: return layer < 4;
    case FIRST_8TH: return layer < layers / 8;
    case FIRST_16TH: return layer < layers / 16;
    default: return false;
    }
}

static uint32_t raised(const struct raise *raise, uint32_t layer, uint32_t layers, uint32_t type) {
    if (is_chosen(raise->which, layer, layers)) return raise->type;
    return raise->rest ? raise->rest : type;
}

/* Not small, and for a matrix product. */
static bool changes(const char *name, const struct gguf_tensor *t) {
    static const char *const parts[] = {"_norm.weight",  "ffn_gate_inp", "ssm_conv1d", "shortconv.conv",
                                        "position_embd", "token_types",  "attn_rel_b", "per_layer_model_proj",
                                        "altup",         "laurel"};
    size_t len = strlen(name);
    if (t->dim_count < 2 || len < 6 || strcmp(name + len - 6, "weight") != 0) return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strstr(name, parts[i])) return false;
    return true;
}

static const char *name_of(const struct gguf_tensor *t, char out[NAME_BYTES]) {
    snprintf(out, NAME_BYTES, "%.*s", (int)(t->name.len < NAME_BYTES ? t->name.len : NAME_BYTES), t->name.data);
    return out;
}

bool recipe_changes(const struct gguf_tensor *t) {
    char name[NAME_BYTES];
    return changes(name_of(t, name), t);
}

/* Types of small blocks for rows that are not whole blocks of 256. */
static uint32_t fitting(uint32_t type, uint64_t cols) {
    if (cols % tensor_type_block(type) == 0) return type;
    switch (type) {
    case TENSOR_Q2_K:
    case TENSOR_Q3_K: type = TENSOR_Q4_0; break;
    case TENSOR_Q4_K: type = TENSOR_Q5_0; break;
    case TENSOR_Q5_K: type = TENSOR_Q5_1; break;
    case TENSOR_Q6_K: type = TENSOR_Q8_0; break;
    case TENSOR_IQ4_XS: type = TENSOR_IQ4_NL; break;
    default: break;
    }
    return cols % tensor_type_block(type) == 0 ? type : TENSOR_F16;
}

static uint32_t layer_type(const struct recipe *r, const struct recipe_model *m, const char *name) {
    unsigned layer = 0;
    char role[NAME_BYTES] = "";
    if (sscanf(name, "blk.%u.%127s", &layer, role) != 2) return r->type;
    bool value = strcmp(role, "attn_v.weight") == 0;
    if (m->experts == EXPERTS_FEW && (value || strcmp(role, "attn_k.weight") == 0)) return TENSOR_Q8_0;
    if (value && r->grouped_value && m->heads_per_kv >= GROUPED) return r->grouped_value;
    if (value) return raised(&r->value, layer, m->layers, r->type);
    if (strncmp(role, "ffn_down", 8) == 0) return raised(&r->down, layer, m->layers, r->type);
    if (strcmp(role, "attn_output.weight") == 0) return raised(&r->output, layer, m->layers, r->type);
    if (strcmp(role, "attn_qkv.weight") == 0) return raised(&r->qkv, layer, m->layers, r->type);
    return r->type;
}

uint32_t recipe_type(const struct recipe *r, const struct recipe_model *m, const struct gguf_tensor *t) {
    char name[NAME_BYTES];
    if (!changes(name_of(t, name), t)) return t->type;
    if (tensor_type_block(r->type) == 1) return r->type;
    bool head = strcmp(name, "output.weight") == 0 || (m->tied && strcmp(name, "token_embd.weight") == 0);
    if (head) return fitting(r->type == TENSOR_Q8_0 ? TENSOR_Q8_0 : TENSOR_Q6_K, t->dims[0]);
    return fitting(layer_type(r, m, name), t->dims[0]);
}
