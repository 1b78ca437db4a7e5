#include "model/family.h"

#include <string.h>

#include "base/size.h"

#define PAIRS  MODEL_ROPE_PAIRS
#define HALVES MODEL_ROPE_HALVES
#define RMS    MODEL_NORM_RMS
#define LAYER  MODEL_NORM_LAYER
#define SILU   MODEL_SILU
#define GELU   MODEL_GELU
#define NORMED FAMILY_EXPERTS_NORMED
#define ENCODER FAMILY_ENCODER
#define FOLLOW FAMILY_NORMS_FOLLOW
#define LLAMA4 (FAMILY_CHUNKED | FAMILY_GLOBAL_STILL | FAMILY_EXPERTS_SIGMOID | FAMILY_EXPERTS_INWARD)

#define GEMMA4                                                                                                    \
    (FAMILY_EMBEDDING_ROOT | FAMILY_LOCAL_UNSCALED | FAMILY_LOCAL_HEADS | FAMILY_VALUES_NORMED | NORMED)
#define COHERE2_MOE                                                                                               \
    (FAMILY_PARALLEL | FAMILY_GLOBAL_STILL | FAMILY_GLOBAL_FIRST | FAMILY_EXPERTS_SIGMOID | FAMILY_EXPERTS_AVERAGED)

static const struct model_family families[] = {
    {"llama", PAIRS, RMS, SILU, NORMED},
    {"mistral3", PAIRS, RMS, SILU},
    {"qwen2", HALVES, RMS, SILU},
    {"qwen2moe", HALVES, RMS, SILU},
    {"qwen3", HALVES, RMS, SILU},
    {"qwen3moe", HALVES, RMS, SILU, NORMED},
    {"phi2", HALVES, LAYER, GELU, FAMILY_PARALLEL},
    {"phi3", HALVES, RMS, SILU},
    {"gemma", HALVES, RMS, GELU, FAMILY_EMBEDDING_ROOT},
    {"gemma2", HALVES, RMS, GELU, FAMILY_EMBEDDING_ROOT | FAMILY_SOFTCAPS, .global_every = 2},
    {"gemma3", HALVES, RMS, GELU, FAMILY_EMBEDDING_ROOT | FAMILY_LOCAL_UNSCALED, 10000, .global_every = 6},
    {"gemma4", HALVES, RMS, GELU, GEMMA4, 10000, .global_every = 6},
    {"deepseek2", PAIRS, RMS, SILU, FAMILY_LATENT},
    {"gpt-oss", HALVES, RMS, MODEL_SILU_CLAMPED, FAMILY_SECOND_NORM | FAMILY_EXPERTS_CHOSEN, .global_every = 2},
    {"granite", PAIRS, RMS, SILU, FAMILY_LOGITS_DIVIDED},
    {"granitemoe", PAIRS, RMS, SILU, FAMILY_LOGITS_DIVIDED | NORMED},
    {"granite_swa", PAIRS, RMS, SILU, FAMILY_LOGITS_DIVIDED | NORMED, .global_every = 4},
    {"granitehybrid", PAIRS, RMS, SILU, FAMILY_LOGITS_DIVIDED | NORMED | FAMILY_RECURS},
    {"olmo2", HALVES, RMS, SILU, FAMILY_LOCAL_UNSCALED, .global_every = 4},
    {"smollm3", PAIRS, RMS, SILU, .still_every = 4},
    {"glm4", PAIRS, RMS, SILU},
    {"cohere2", PAIRS, LAYER, SILU, FAMILY_PARALLEL | FAMILY_GLOBAL_STILL, .global_every = 4},
    {"cohere2moe", PAIRS, LAYER, SILU, COHERE2_MOE, .global_every = 4},
    {"starcoder2", HALVES, LAYER, GELU},
    {"stablelm", HALVES, LAYER, SILU, FAMILY_PARALLEL},
    {"internlm2", PAIRS, RMS, SILU},
    {"exaone4", HALVES, RMS, SILU, FAMILY_GLOBAL_STILL, .global_every = 4, .window_layers = 64},
    {"seed_oss", HALVES, RMS, SILU, FAMILY_SECOND_NORM},
    {"ernie4_5", PAIRS, RMS, SILU},
    {"ernie4_5-moe", PAIRS, RMS, SILU, NORMED},
    {"command-r", PAIRS, LAYER, SILU, FAMILY_PARALLEL},
    {"olmoe", HALVES, RMS, SILU},
    {"deepseek", PAIRS, RMS, SILU},
    {"dots1", HALVES, RMS, SILU},
    {"exaone", HALVES, RMS, SILU},
    {"glm4moe", HALVES, RMS, SILU, FAMILY_SECOND_NORM},
    {"minimax-m2", HALVES, RMS, SILU, NORMED},
    {"bailingmoe2", HALVES, RMS, SILU},
    {"qwen2vl", HALVES, RMS, SILU},
    {"qwen3vl", HALVES, RMS, SILU},
    {"qwen3vlmoe", HALVES, RMS, SILU, NORMED},
    {"paddleocr", HALVES, RMS, SILU},
    {"hunyuan_vl", HALVES, RMS, SILU, FAMILY_HEADS_NORMED_LAST},
    {"minicpm", PAIRS, RMS, SILU, FAMILY_LOGITS_DIVIDED},
    {"baichuan", PAIRS, RMS, SILU, FAMILY_LEANS}, /* if it is big */
    {"mpt", HALVES, LAYER, GELU, FAMILY_LEANS, .still_every = 1},
    {"refact", HALVES, RMS, SILU, FAMILY_LEANS, .still_every = 1},
    {"bloom", HALVES, LAYER, GELU, FAMILY_LEANS, .still_every = 1},
    {"xverse", PAIRS, RMS, SILU},
    {"orion", HALVES, LAYER, SILU},
    {"qwen", HALVES, RMS, SILU, FAMILY_FF_HALVED},
    {"chatglm", PAIRS, RMS, SILU},
    {"plamo", HALVES, RMS, SILU, FAMILY_PARALLEL},
    {"codeshell", HALVES, LAYER, GELU},
    {"bailingmoe", PAIRS, RMS, SILU},
    {"exaone-moe", HALVES, RMS, SILU, FAMILY_GLOBAL_STILL, .global_every = 4},
    {"mellum", HALVES, RMS, SILU, FAMILY_LOCAL_UNSCALED | NORMED, .global_every = 4},
    {"pangu-embedded", HALVES, RMS, SILU},
    {"phimoe", HALVES, RMS, SILU, NORMED},
    {"hunyuan-dense", HALVES, RMS, SILU, FAMILY_HEADS_NORMED_LAST},
    {"hunyuan-moe", HALVES, RMS, SILU, FAMILY_HEADS_NORMED_LAST | NORMED},
    {"maincoder", PAIRS, RMS, SILU, FAMILY_HEADS_NORMED_LAST},
    {"arcee", PAIRS, RMS, MODEL_RELU_SQUARED},
    {"apertus", HALVES, RMS, MODEL_XIELU},
    {"nemotron", HALVES, LAYER, MODEL_RELU_SQUARED},
    {"jais", HALVES, LAYER, SILU, FAMILY_LEANS, .still_every = 1},
    {"jais2", HALVES, LAYER, MODEL_RELU_SQUARED},
    {"gpt2", HALVES, LAYER, GELU, FAMILY_POSITIONS, .still_every = 1},
    {"starcoder", HALVES, LAYER, GELU, FAMILY_POSITIONS, .still_every = 1},
    {"gptneox", HALVES, LAYER, GELU, FAMILY_PARALLEL_SAID},
    {"falcon", HALVES, LAYER, GELU, FAMILY_PARALLEL},
    {"minicpm3", HALVES, RMS, SILU, FAMILY_LATENT | FAMILY_LOGITS_DIVIDED},
    {"plm", PAIRS, RMS, MODEL_RELU_SQUARED, FAMILY_LATENT},
    {"mistral4", PAIRS, RMS, SILU, FAMILY_LATENT},
    {"llama4", PAIRS, RMS, SILU, LLAMA4, .global_every = 4},
    {"olmo", PAIRS, LAYER, SILU, FAMILY_NORMS_BARE},
    {"dbrx", HALVES, LAYER, SILU, NORMED},
    {"lfm2", HALVES, RMS, SILU, FAMILY_CONVOLVES},
    {"lfm2moe", HALVES, RMS, SILU, FAMILY_CONVOLVES | NORMED},
    {"afmoe", HALVES, RMS, SILU, FAMILY_EMBEDDING_ROOT | FAMILY_EXPERTS_SIGMOID | FAMILY_HEADS_GATED, .global_every = 4,
     .still_every = 4},
    {"mimo2", HALVES, RMS, SILU, FAMILY_LOCAL_HEADS | FAMILY_LOCAL_UNSCALED | FAMILY_EXPERTS_SIGMOID | NORMED,
     .global_every = 6},
    {"deci", PAIRS, RMS, SILU, FAMILY_LAYERS_VARY},
    {"hy_v3", HALVES, RMS, SILU, FAMILY_EXPERTS_SIGMOID},
    {"bert", HALVES, LAYER, MODEL_GELU_ERF, ENCODER | FOLLOW | FAMILY_POSITIONS, .still_every = 1},
    {"nomic-bert", HALVES, LAYER, SILU, ENCODER | FOLLOW},
    {"nomic-bert-moe", HALVES, LAYER, MODEL_GELU_ERF, ENCODER | FOLLOW},
    {"jina-bert-v2", HALVES, LAYER, MODEL_GELU_ERF, ENCODER | FOLLOW | FAMILY_LEANS, .still_every = 1},
    {"jina-bert-v3", HALVES, LAYER, MODEL_GELU_ERF, ENCODER | FOLLOW},
    {"eurobert", HALVES, RMS, SILU, ENCODER},
    {"llama-embed", PAIRS, RMS, SILU, ENCODER | NORMED},
    {"gemma-embedding", HALVES, RMS, GELU, ENCODER | FAMILY_EMBEDDING_ROOT | FAMILY_LOCAL_UNSCALED, 10000,
     .global_every = 6},
    {"modern-bert", HALVES, LAYER, MODEL_GELU_ERF,
     ENCODER | FAMILY_EMBEDDING_NORMED | FAMILY_LOCAL_UNSCALED | FAMILY_GLOBAL_FIRST, 10000, .global_every = 3},
};

const struct model_family *model_family_find(struct gguf_string architecture) {
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (gguf_string_is(architecture, families[i].architecture)) return &families[i];
    return NULL;
}

void model_family_list(struct text *out) {
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        text_printf(out, "%s%s", i > 0 ? ", " : "", families[i].architecture);
}
