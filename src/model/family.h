/* The families of models that this program knows, one line each: what the file does not say because the architecture's
 * name implies it. Pure, static storage. */
#pragma once
#include "base/text.h"
#include "model/gguf.h"
#include "model/model.h"

enum model_trait {
    FAMILY_EMBEDDING_ROOT = 1 << 0,     /* embeddings are multiplied by the root of their length */
    FAMILY_PARALLEL = 1 << 1,           /* attention and FFN side by side, if the FFN has no norm of its own */
    FAMILY_LOGITS_DIVIDED = 1 << 2,     /* logit_scale divides */
    FAMILY_SECOND_NORM = 1 << 3,        /* post_attention_norm is the FFN's input norm */
    FAMILY_LOCAL_UNSCALED = 1 << 4,     /* layers with a window have rotations of their own, which are not scaled */
    FAMILY_GLOBAL_STILL = 1 << 5,       /* layers that see everything do not rotate */
    FAMILY_SOFTCAPS = 1 << 6,           /* soft caps of 50 and 30 unless the file says otherwise */
    FAMILY_EXPERTS_NORMED = 1 << 7,     /* weights of the chosen experts sum up to 1 */
    FAMILY_EXPERTS_CHOSEN = 1 << 8,     /* their softmax is over the chosen only */
    FAMILY_LATENT = 1 << 9,             /* latent attention */
    FAMILY_ENCODER = 1 << 10,           /* each position sees those behind it too */
    FAMILY_EXPERTS_SIGMOID = 1 << 11,   /* their weights come of sigmoids unless the file says otherwise */
    FAMILY_FF_HALVED = 1 << 12,         /* gate and up are each half as wide as the file says */
    FAMILY_HEADS_NORMED_LAST = 1 << 13, /* queries and keys are normed behind their rotation */
    FAMILY_PARALLEL_SAID = 1 << 14,     /* as the file says; each of the two with a norm of its own */
    FAMILY_POSITIONS = 1 << 15,         /* each position has a vector that is added to its token's */
    FAMILY_NORMS_FOLLOW = 1 << 16,      /* norms stand behind what they norm */
    FAMILY_EMBEDDING_NORMED = 1 << 17,  /* as it is embedded: the first layer has no norm of its own */
    FAMILY_GLOBAL_FIRST = 1 << 18,      /* of every so many layers the first one sees everything, not the last */
    FAMILY_CHUNKED = 1 << 19,           /* windows begin at multiples of their size */
    FAMILY_EXPERTS_INWARD = 1 << 20,    /* weights of experts are on what goes into them */
    FAMILY_LEANS = 1 << 21,             /* positions are told by ALiBi, not by rotation */
    FAMILY_NORMS_BARE = 1 << 22,        /* norms of the hidden state have no weights */
    FAMILY_HEADS_GATED = 1 << 23,       /* what attention leaves is gated by sigmoids of what came into it */
    FAMILY_LOCAL_HEADS = 1 << 25,       /* layers with a window have heads of their own number and size */
    FAMILY_VALUES_NORMED = 1 << 26,     /* values are normed, by no weights; queries and keys are not scaled */
    FAMILY_LAYERS_VARY = 1 << 27,       /* layers may lack attention or the FFN, which is not as wide in all of them */
    FAMILY_EXPERTS_AVERAGED = 1 << 28,  /* of what experts and the shared FFN make it takes the mean */
    FAMILY_CONVOLVES = 1 << 24,         /* layers without KV heads convolve instead of attending */
    FAMILY_RECURS = 1 << 29,            /* layers without KV heads have a state */
};

struct model_family {
    const char *architecture; /* general.architecture */
    enum model_pairing pairing;
    enum model_norm norm;
    enum model_activation activation;
    unsigned traits;        /* enum model_trait */
    float local_base;       /* of the rotations of layers with a window; 0: as that of the others */
    uint32_t global_every;  /* every nth layer sees everything, the others a window; 0: no windows */
    uint32_t still_every;   /* every nth layer does not rotate; 0: all do */
    uint32_t window_layers; /* windows only in models of so many layers; 0: any */
};

/* NULL for an architecture that is not known. */
const struct model_family *model_family_find(struct gguf_string architecture);
/* "llama, qwen2": all of them, for messages. */
void model_family_list(struct text *out);
