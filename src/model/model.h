/* A model as its file describes it: hyper-parameters, tensors by role, vocabulary and template.
 *
 * The one place that knows metadata keys and tensor names of families. The engine sees hyper-parameters and roles;
 * adding a family of the known kind is a few lines in family.c plus its golden. Immutable once opened: any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/gguf.h"
#include "model/params.h"

enum { MODEL_LAYERS_MAX = 1024, MODEL_EXPERTS_MAX = 1024, MODEL_EXPERTS_USED_MAX = 64, MODEL_FINGERPRINT_BYTES = 32 };
enum { MODEL_ENCODED_MAX = 2048 }; /* positions of a text that an encoder sees: they go through it in one step */

/* A tensor in the file, as the engine needs it: `rows` x `cols`, or a vector with rows = 1. type/offset/bytes as in
 * gguf_tensor; bytes == 0 means the model has none. Experts lie one behind the other: theirs are the rows
 * [e * rows / experts, ...). */
struct model_tensor {
    uint32_t type;
    uint64_t rows, cols, offset, bytes;
    uint64_t group_rows, group_stride; /* groups of so many rows (whole panels) begin so many bytes apart; 0: no gaps */
    uint64_t turned; /* 0: no; else each group is stored as `cols` rows of so many columns, and wanted the other way */
};

/* The one list of what a layer may consist of: M(matrix), V(vector); biases belong to the matrix of their name. What a
 * family lacks is absent. A norm without a tensor is no norm at all. */
#define MODEL_LAYER_TENSORS(M, V)                                                                                      \
    V(attn_norm)                                                                                                       \
    V(attn_norm_bias)                                                                                                  \
    V(layer_scale)                                                                                                     \
    V(ffn_gate_bias)                                                                                                   \
    V(router_norm)                                                                                                     \
    V(expert_norm)                                                                                                     \
    V(expert_scale)                                                                                                    \
    V(expert_post_norm)                                                                                                \
    V(shared_post_norm)                                                                                                \
    M(attn_q_a)                                                                                                        \
    V(attn_q_a_norm)                                                                                                   \
    M(attn_kv_a)                                                                                                       \
    V(attn_kv_a_norm)                                                                                                  \
    M(convolution_in)                                                                                                  \
    V(convolution)                                                                                                     \
    M(recurrence_in)                                                                                                   \
    V(recurrence_taps)                                                                                                 \
    V(recurrence_taps_bias)                                                                                            \
    V(recurrence_step_bias)                                                                                            \
    V(recurrence_decay)                                                                                                \
    V(recurrence_skip)                                                                                                 \
    V(recurrence_norm)                                                                                                 \
    M(attn_k_b) M(attn_v_b) M(attn_q) M(attn_k) M(attn_v) M(attn_gate) M(attn_output) V(attn_q_bias) V(attn_k_bias)    \
        V(attn_v_bias) V(attn_output_bias) V(attn_q_norm) V(attn_k_norm) V(attn_sinks) V(attn_post_norm) V(ffn_norm)   \
            V(ffn_norm_bias) M(ffn_gate) M(ffn_up) M(ffn_down) V(ffn_up_bias) V(ffn_down_bias) V(ffn_post_norm)        \
                M(router) V(router_bias) V(router_choice_bias) M(expert_gate) M(expert_up) M(expert_down)              \
                    V(expert_gate_bias) V(expert_up_bias) V(expert_down_bias) M(shared_gate)

/* The same of the model outside of its layers. */
#define MODEL_END_TENSORS(M, V)                                                                                        \
    M(token_embd) M(position_embd) V(token_type) V(embd_norm) V(embd_norm_bias) V(output_norm) V(output_norm_bias)     \
        M(output) V(output_bias) M(pooled_up) M(pooled_down)

/* Divisors of the rotation frequencies, which every slice with layers has. */
#define MODEL_ROPE_TENSORS(V) V(rope_freqs) V(rope_long) V(rope_short)

#define MODEL_TENSOR_MEMBER(name) struct model_tensor name;

struct model_layer {
    uint32_t window; /* positions that it sees; 0: all */
    uint32_t reach;  /* of an encoder: positions that it sees on either side; 0: all */
    uint32_t ff;     /* its FFN's width as the file says it; 0: it has none */
    bool headless;   /* it does not attend, nor does it anything instead */
    bool rotates;    /* false: positions are not told to it (NoPE) */
    struct {
        float alpha_p, alpha_n, beta, eps;
    } xielu;         /* the curve of its activation, if that is xIELU, as it was learned (engine/products.c) */
    bool convolves;  /* it does not attend: what its window shows is summed up by weights of each channel */
    bool recurs;     /* nor does it here: a state tells it of all that was before; its window is what that needs */
    MODEL_LAYER_TENSORS(MODEL_TENSOR_MEMBER, MODEL_TENSOR_MEMBER)
};

struct model {
    char path[4096]; /* of the file, on this machine; "" when only the header is here */
    uint8_t *header; /* owned; the bytes that gguf's views point into */
    size_t header_len;
    struct gguf gguf;
    struct model_params params;
    MODEL_END_TENSORS(MODEL_TENSOR_MEMBER, MODEL_TENSOR_MEMBER) /* output.bytes == 0: tied */
    MODEL_ROPE_TENSORS(MODEL_TENSOR_MEMBER)
    struct model_layer *layers; /* params.layers of them, in the gguf arena */
    uint64_t parameters;        /* number of weights */
    enum model_pooling pooling;
};

/* Take over `header` (malloc'ed, at least gguf.header_bytes long; taken on success and on failure) of a file of
 * file_bytes bytes and read everything from it. Errors name the key or tensor, its found and its expected value:
 * unknown architecture, missing tensor, wrong shape, unsupported type. */
int model_init(struct model *m, uint8_t *header, size_t header_len, uint64_t file_bytes, struct error *error);
void model_deinit(struct model *m);

/* What makes two files the same model to a cluster: SHA-256 (FIPS 180-4) over the header (magic to the end of the
 * tensor table) and the file's size. */
void model_fingerprint(const struct model *m, uint8_t out[MODEL_FINGERPRINT_BYTES]);

/* Bytes in the file (and in memory, packed) of the matrices and vectors of layers [begin, end), and of the ends
 * (embedding, final norm, head). */
uint64_t model_layers_bytes(const struct model *m, uint32_t begin, uint32_t end);
uint64_t model_ends_bytes(const struct model *m);
/* What a token takes of layers [begin, end): bytes of matrices that are read, and multiply-adds. Of the experts, those
 * that it uses. */
struct model_work {
    uint64_t bytes, madds;
};
struct model_work model_layers_work(const struct model *m, uint32_t begin, uint32_t end);
/* Bytes of K and V of one position in one layer, at `value_bytes` a value. */
uint64_t model_kv_bytes(const struct model *m, unsigned value_bytes);
/* The same in a layer with a window that attends. */
uint64_t model_window_bytes(const struct model *m, unsigned value_bytes);
