/* Between the files of hf: what config.json says, in the form that tensors and vocabulary need. */
#pragma once
#include <jansson.h>

#include "model/hf.h"

enum hf_flag {
    HF_TURN = 1,            /* rows of Q and K in halves; GGUF has them in pairs */
    HF_ADD_ONE = 2,         /* norms multiply by 1 + weight */
    HF_POST_ATTENTION = 4,  /* post_attention_layernorm stands behind attention, not before the network */
    HF_WINDOW = 8,          /* the sliding window of the config is used */
    HF_WINDOW_PATTERN = 16, /* layer_types say where */
    HF_NO_HEAD = 32,        /* the head always is the embedding */
    HF_NO_BIAS = 64,        /* biases are zeroes that nobody reads */
    HF_LATENT = 128,        /* multi-head latent attention */
    HF_LONG_ROPE = 256,     /* its rope divisors are in the file even where they are not used */
    HF_ENCODER = 512,       /* it makes embeddings; a file beside the config says from which positions */
    HF_PADDED = 1024,       /* its table of positions begins with rows for padding */
    HF_SIGMOID = 2048,      /* experts are chosen by sigmoids; the config says whether their weights are normed */
    HF_TURNED = 4096,       /* matrices of stacks of experts, or named c_*, have what goes in as rows */
    HF_GATES_IN_TURN = 8192,  /* rows of gate and up in turn, where they are in one matrix of experts */
    HF_QUERIES_FIRST = 16384, /* in one matrix of queries, keys and values; otherwise those of each KV head together */
};

struct hf_family {
    const char *model_type, *architecture;
    unsigned flags;
};

struct hf_model {
    const struct hf_family *family;
    const json_t *outer,
        *text; /* of config.json: all of it, and what concerns text (the same where nothing else does) */
    uint32_t layers, heads, kv_heads, head_dim, embd, experts, vocab, rope_dims;
    uint32_t padding_rows; /* of the table of positions, in front */
    bool tied;
};

/* The value of the first of the keys ("a|b|c") that has one other than null; NULL: none has. */
const json_t *hf_get(const struct hf_model *m, const char *keys);
/* "llama.block_count" of "block_count". */
enum { HF_KEY_BYTES = 96 };
const char *hf_key(const struct hf_model *m, const char *name, char out[HF_KEY_BYTES]);

/* The JSON files, parsed; NULL: there is none. */
struct hf_json {
    json_t *config, *tokenizer, *tokenizer_config, *generation_config, *pooling;
};

int hf_read_config(const json_t *config, struct hf_model *m, struct error *error);
int hf_write_config(const struct hf_model *m, struct hf_result *out, struct error *error);
/* Nothing but for encoders. */
int hf_write_pooling(const struct hf_model *m, const json_t *pooling, struct hf_result *out, struct error *error);
int hf_write_tensors(const struct hf_model *m, const struct hf_files *files, const struct recipe *r,
                     struct hf_result *out, struct error *error);
int hf_write_vocab(const struct hf_model *m, const struct hf_json *json, struct hf_text chat_template,
                   struct hf_result *out, struct error *error);
/* A tensor whose values are here, not in a file. */
int hf_add_values(struct hf_result *out, const char *name, const float *values, size_t count, struct error *error);
/* The rope section of the config for layers that see everything; NULL: there is none. */
const json_t *hf_rope(const struct hf_model *m);
/* How a byte-level tokenizer.json cuts a text into words: the name that GGUF has for it, or steps, or both.
 * ERR_UNSUPPORTED names what it does that cannot be said so. */
int hf_write_pre(const json_t *tokenizer, struct gguf_writer *w, struct error *error);
/* Is a pre-tokenizer of that type, or a sequence with one? */
bool hf_is_type(const json_t *step, const char *type);
bool hf_has_step(const json_t *step, const char *type);
/* Raw: not byte-level, spaces are U+2581. */
int hf_write_steps(const json_t *tokenizer, bool raw, struct gguf_writer *w, struct error *error);
/* What it does to a text before. */
int hf_write_normal(const json_t *tokenizer, bool raw, struct gguf_writer *w, struct error *error);
/* Metaspace: texts that begin with a space get no other; only the beginning of the whole gets one. */
bool hf_adds_missing_space(const json_t *tokenizer);
bool hf_adds_first_space(const json_t *tokenizer);
/* Does every text get a space in front? */
bool hf_adds_space(const json_t *tokenizer);
/* Is white space only what lies between words? */
bool hf_merges_spaces(const json_t *tokenizer);
/* SentencePiece's compiled normalisation, in base64; NULL: there is none. */
const char *hf_charsmap(const json_t *tokenizer);
/* At most 3/4 of the text's length are written. False for what is not base64. */
bool hf_unbase64(const char *text, uint8_t *out, size_t *len);
