/* Hyper-parameters of a model: all that its file says besides tensors and vocabulary. Plain values. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum model_pairing { MODEL_ROPE_PAIRS, MODEL_ROPE_HALVES }; /* (2i, 2i+1) or (i, i + n/2) */
enum model_norm { MODEL_NORM_RMS, MODEL_NORM_LAYER };       /* LayerNorm: the mean goes; a bias where there is one */
/* kern.h's. */
enum model_activation {
    MODEL_SILU,
    MODEL_GELU,
    MODEL_GELU_ERF,
    MODEL_SILU_CLAMPED,
    MODEL_RELU_SQUARED,
    MODEL_XIELU
};
/* How a router's logits become the weights of experts: by softmax or sigmoid over all, or softmax over the chosen. */
enum model_gating { MODEL_GATING_SOFTMAX = 1, MODEL_GATING_SIGMOID, MODEL_GATING_CHOSEN };
/* What an embedding is made of: the mean of all hidden states, the first or the last one. */
enum model_pooling { MODEL_POOLING_MEAN = 1, MODEL_POOLING_FIRST, MODEL_POOLING_LAST };
enum model_rope_scaling { MODEL_SCALING_NONE, MODEL_SCALING_LINEAR, MODEL_SCALING_YARN, MODEL_SCALING_LONGROPE };

/* How fast the pairs of a head turn with the position (engine/rope.h). */
struct model_rope {
    enum model_rope_scaling scaling;
    float base;
    float factor;               /* how far the context is stretched; 1: not at all */
    float magnitude;            /* on cosines and sines */
    float beta_fast, beta_slow; /* YaRN: turns in the original context; pairs that turn more keep their speed, ... */
    float log_multiplier;       /* YaRN: part of its own magnitude that is taken back; 0: none */
};

/* A mixture: each position runs through some of a layer's experts, and through a shared FFN where there is one. */
struct model_experts {
    uint32_t count, used, ff;     /* count 0: there are none */
    uint32_t groups, groups_used; /* experts are chosen from the best groups only; 0 or 1: from all */
    enum model_gating gating;
    bool normed; /* the weights of the chosen are made to sum up to 1 */
    bool averaged; /* half of their sum, half of what the shared FFN makes */
    bool inward; /* weights are on what goes into an expert, not on what comes out */
    float scale; /* on the weights, after that */
};

/* Latent attention (engine/latent.c): sizes of what is cached, of what queries are made of (0: of the hidden state),
 * and of a head's key without its rotated part and its value. To the cache there is one KV head of kv_rank + rope_dims
 * and kv_rank channels: that is what kv_heads, head_dim_k and head_dim_v then tell. */
struct model_latent {
    uint32_t kv_rank, q_rank, nope, value; /* kv_rank 0: heads are ordinary */
    float yarn_multiplier;                 /* m: YaRN by f multiplies q.k by (1 + 0.1 m ln f)^2 */
};

/* Heads of a kind of layer. */
struct model_heads {
    uint32_t kv_heads, dim_k, dim_v, rope_dims;
};

/* Layers with a state instead of a cache (engine/recurrence.c): what comes into a layer is convolved over `taps`
 * positions and goes into states of inner x size values, those of a head decaying together; heads of a group share what
 * writes into the states and what reads them. */
struct model_recurrence {
    uint32_t inner, heads, size, groups, taps; /* inner 0: there are none */
};

struct model_params {
    char architecture[32];
    uint32_t layers, embd, heads, kv_heads, head_dim_k, head_dim_v, vocab;
    uint32_t ff; /* of the widest FFN for all positions; 0: there are only experts */
    struct model_experts experts;
    struct model_latent latent;
    struct model_recurrence recurrence;
    uint32_t context;          /* as trained */
    uint32_t original_context; /* before its extension by YaRN or LongRoPE */
    uint32_t rope_dims;        /* channels rotated */
    enum model_pairing pairing;
    struct model_rope rope, rope_local; /* of layers that see everything, of those with a window */
    uint32_t window;                    /* positions that a layer with a window sees; 0: no layer has one */
    uint32_t convolution;               /* some layers have a window of so many and no heads; 0: none */
    bool chunked;                       /* such a layer sees from the last multiple of `window` on */
    struct model_heads local;           /* of layers with a window, where theirs are others; kv_heads 0: the same */
    uint32_t reach;                     /* of an encoder, instead: how far it sees to either side */
    enum model_norm norm;
    float norm_epsilon;
    enum model_activation activation;
    bool heads_normed_bare; /* where a layer rotates, its queries and keys are normed behind that, by no weights */
    bool values_normed; /* values too, by no weights */
    bool heads_gated; /* what attention leaves is gated by sigmoids of products of what came into it */
    bool parallel, heads_normed_last; /* attention and FFN read the same input; queries and keys are normed turned */
    bool tied;                                          /* the head is the embedding */
    uint32_t pooled_width; /* of an embedding between the two last matrices that it passes; 0: there are none */
    bool encodes;     /* each position sees the whole text: there are embeddings, and no next token */
    bool norms_stay;  /* what a norm makes of the hidden state is the hidden state from then on */
    bool norms_bare;  /* norms of the hidden state have no weights */
    float embedding_scale, residual_scale, logit_scale; /* factors; 1: none */
    float attention_scale;                  /* on q.k; 1 / sqrt(head_dim_k) unless the file says otherwise */
    uint32_t bias_octaves; /* ALiBi: heads' slopes are powers of two from 2^0 down to 2^-this; 0: there are none */
    float attention_softcap, logit_softcap; /* cap * tanh(x / cap); 0: none */
    float value_scale; /* on values; 1: none */
    float qkv_limit; /* of queries, keys and values as they come of their products, to either side; 0: none */
    /* b: q grows by 1 + b ln(1 + floor((position + shift) / length)), in all layers or in those that do not rotate */
    float temperature_scale; /* 0: it does not */
    uint32_t temperature_length, temperature_shift;
    bool temperature_still;
};

/* Heads of layers that see everything, or of those with a window. */
static inline struct model_heads model_heads(const struct model_params *p, bool local) {
    if (local && p->local.kv_heads > 0) return p->local;
    return (struct model_heads){p->kv_heads, p->head_dim_k, p->head_dim_v, p->rope_dims};
}

/* Channels that are convolved: the values of all heads, then what writes into and what reads each group's states. */
static inline uint64_t model_recurrence_channels(const struct model_recurrence *r) {
    return r->inner + 2ull * r->groups * r->size;
}

/* What such a layer keeps of all that was before: the last inputs of the convolution, the states. */
static inline uint64_t model_recurrence_values(const struct model_recurrence *r) {
    return r->inner ? (r->taps - 1) * model_recurrence_channels(r) + (uint64_t)r->inner * r->size : 0;
}
