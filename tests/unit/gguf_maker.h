/* GGUF files for tests, written byte by byte so that every field can be wrong: a growing buffer and, on top of it, a
 * tiny model of the Llama kind with made-up weights. */
#pragma once
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "kern/format.h"
#include "model/gguf.h"

struct maker {
    uint8_t *data;
    size_t len, capacity;
};

static inline void maker_put(struct maker *m, const void *data, size_t len) {
    if (m->len + len > m->capacity) {
        m->capacity = 2 * (m->len + len);
        m->data = realloc(m->data, m->capacity);
        assert(m->data);
    }
    if (len > 0) memcpy(m->data + m->len, data, len);
    m->len += len;
}

static inline void maker_free(struct maker *m) {
    free(m->data);
    *m = (struct maker){0};
}

static inline void maker_u32(struct maker *m, uint32_t value) { maker_put(m, &value, sizeof value); }
static inline void maker_u64(struct maker *m, uint64_t value) { maker_put(m, &value, sizeof value); }

static inline void maker_text(struct maker *m, const char *text) {
    maker_u64(m, strlen(text));
    maker_put(m, text, strlen(text));
}

static inline void maker_header(struct maker *m, uint32_t version, uint64_t tensors, uint64_t values) {
    maker_put(m, "GGUF", 4);
    maker_u32(m, version);
    maker_u64(m, tensors);
    maker_u64(m, values);
}

static inline void maker_key(struct maker *m, const char *key, uint32_t type) {
    maker_text(m, key);
    maker_u32(m, type);
}

static inline void maker_key_u32(struct maker *m, const char *key, uint32_t value) {
    maker_key(m, key, GGUF_U32);
    maker_u32(m, value);
}

static inline void maker_key_f32(struct maker *m, const char *key, float value) {
    maker_key(m, key, GGUF_F32);
    maker_put(m, &value, sizeof value);
}

static inline void maker_key_text(struct maker *m, const char *key, const char *value) {
    maker_key(m, key, GGUF_STRING);
    maker_text(m, value);
}

static inline void maker_tensor(struct maker *m, const char *name, uint32_t type, uint64_t cols, uint64_t rows,
                                uint64_t offset) {
    maker_text(m, name);
    maker_u32(m, rows > 0 ? 2 : 1);
    maker_u64(m, cols);
    if (rows > 0) maker_u64(m, rows);
    maker_u32(m, type);
    maker_u64(m, offset);
}

static inline void maker_align(struct maker *m) {
    static const uint8_t zeroes[32];
    maker_put(m, zeroes, (32 - m->len % 32) % 32);
}

/* ---- a tiny model ---- */

struct tiny {
    uint32_t layers, embd, ff, heads, kv_heads, vocab, context;
    uint32_t type; /* of the matrices: F32 or Q8_0 */
};

static const struct tiny tiny_default = {2, 64, 96, 4, 2, 50, 256, TENSOR_F32};

struct tiny_tensor {
    const char *name; /* NULL ends the list; "%u" is the layer */
    uint64_t rows, cols;
};

static inline uint64_t tiny_bytes(uint32_t type, uint64_t rows, uint64_t cols) {
    uint64_t bytes = (rows ? rows : 1) * cols / tensor_type_block(type) * tensor_type_block_bytes(type);
    return (bytes + 31) / 32 * 32;
}

/* Small random numbers; in Q8_0: a scale and codes. */
static inline void tiny_values(struct maker *m, uint32_t type, uint64_t rows, uint64_t cols, uint64_t *random) {
    uint64_t count = (rows ? rows : 1) * cols;
    for (uint64_t i = 0; i < count; i++) {
        float value = (float)prng_below(random, 2001) / 1000.0f - 1.0f;
        if (type == TENSOR_F32) {
            if (rows == 0) value = 1 + value / 4; /* a norm */
            maker_put(m, &value, sizeof value);
            continue;
        }
        int8_t code = (int8_t)(value * 127);
        uint16_t scale = 0x2000; /* 2^-7 as binary16 */
        if (i % 32 == 0) maker_put(m, &scale, sizeof scale);
        maker_put(m, &code, 1);
    }
    maker_align(m);
}

static inline void tiny_keys(struct maker *m, const struct tiny *t) {
    maker_key_text(m, "general.architecture", "llama");
    maker_key_u32(m, "llama.block_count", t->layers);
    maker_key_u32(m, "llama.embedding_length", t->embd);
    maker_key_u32(m, "llama.feed_forward_length", t->ff);
    maker_key_u32(m, "llama.attention.head_count", t->heads);
    maker_key_u32(m, "llama.attention.head_count_kv", t->kv_heads);
    maker_key_u32(m, "llama.context_length", t->context);
    maker_key_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

enum { TINY_KEYS = 8, TINY_LAYER_TENSORS = 9, TINY_END_TENSORS = 3 };

/* The whole file. */
static inline struct maker tiny_model(const struct tiny *t) {
    uint64_t kv = (uint64_t)t->embd / t->heads * t->kv_heads, random = 1, offset = 0;
    const struct tiny_tensor ends[] = {{"token_embd.weight", t->vocab, t->embd},
                                       {"output_norm.weight", 0, t->embd},
                                       {"output.weight", t->vocab, t->embd}};
    const struct tiny_tensor layer[] = {
        {"blk.%u.attn_norm.weight", 0, t->embd},           {"blk.%u.attn_q.weight", t->embd, t->embd},
        {"blk.%u.attn_k.weight", kv, t->embd},             {"blk.%u.attn_v.weight", kv, t->embd},
        {"blk.%u.attn_output.weight", t->embd, t->embd},   {"blk.%u.ffn_norm.weight", 0, t->embd},
        {"blk.%u.ffn_gate.weight", t->ff, t->embd},        {"blk.%u.ffn_up.weight", t->ff, t->embd},
        {"blk.%u.ffn_down.weight", t->embd, t->ff}};
    struct maker m = {0};
    maker_header(&m, 3, TINY_END_TENSORS + (uint64_t)TINY_LAYER_TENSORS * t->layers, TINY_KEYS);
    tiny_keys(&m, t);
    for (int pass = 0; pass < 2; pass++) { /* the table, then the data */
        if (pass == 1) maker_align(&m);
        for (uint32_t i = 0; i < TINY_END_TENSORS + TINY_LAYER_TENSORS * t->layers; i++) {
            uint32_t at = i < TINY_END_TENSORS ? i : (i - TINY_END_TENSORS) % TINY_LAYER_TENSORS;
            const struct tiny_tensor *tensor = i < TINY_END_TENSORS ? &ends[at] : &layer[at];
            uint32_t type = tensor->rows ? t->type : TENSOR_F32;
            char name[64];
            snprintf(name, sizeof name, tensor->name, (i - TINY_END_TENSORS) / TINY_LAYER_TENSORS);
            if (pass == 0)
                maker_tensor(&m, name, type, tensor->cols, tensor->rows, offset);
            else
                tiny_values(&m, type, tensor->rows, tensor->cols, &random);
            offset += tiny_bytes(type, tensor->rows, tensor->cols);
        }
    }
    return m;
}
