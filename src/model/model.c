#include "model/model.h"

#include <assert.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "model/builder.h"

static uint64_t count_parameters(const struct gguf *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < g->tensor_count; i++) {
        const uint64_t *dims = g->tensors[i].dims;
        sum += dims[0] * dims[1] * dims[2] * dims[3];
    }
    return sum;
}

/* `pooling_type` of llama.cpp's converter; what else there is (none, ranks) has no number here. */
static enum model_pooling pooling_of(const struct model *m) {
    char key[64];
    uint64_t type = 0;
    snprintf(key, sizeof key, "%s.pooling_type", m->params.architecture);
    bool known = gguf_u64(&m->gguf, key, &type) && type >= MODEL_POOLING_MEAN && type <= MODEL_POOLING_LAST;
    return known ? (enum model_pooling)type : MODEL_POOLING_MEAN;
}

static int build(struct builder *b) {
    struct model *m = b->m;
    int rc = builder_read_params(b);
    if (rc < 0) return rc;
    b->used = arena_array(&m->gguf.arena, m->gguf.tensor_count + 1, sizeof *b->used);
    m->layers = arena_array(&m->gguf.arena, m->params.layers, sizeof *m->layers);
    if (!b->used || !m->layers) return error_set(b->error, ERR_NOMEM, "out of memory");
    rc = builder_read_layers(b);
    if (rc == 0) rc = builder_take_tensors(b);
    if (m->params.encodes && m->params.context > MODEL_ENCODED_MAX) m->params.context = MODEL_ENCODED_MAX;
    return rc;
}

int model_init(struct model *m, uint8_t *header, size_t header_len, uint64_t file_bytes, struct error *error) {
    *m = (struct model){.header = header, .header_len = header_len};
    struct builder b = {.m = m, .error = error};
    int rc = gguf_parse(&m->gguf, header, header_len, file_bytes, error);
    if (rc == 0) rc = build(&b);
    if (rc < 0) {
        model_deinit(m);
        return rc;
    }
    m->parameters = count_parameters(&m->gguf);
    m->pooling = pooling_of(m);
    return 0;
}

void model_deinit(struct model *m) {
    gguf_deinit(&m->gguf);
    free(m->header);
    *m = (struct model){0};
}

void model_fingerprint(const struct model *m, uint8_t out[MODEL_FINGERPRINT_BYTES]) {
    static_assert(MODEL_FINGERPRINT_BYTES == SHA256_DIGEST_SIZE, "a fingerprint is a SHA-256");
    uint8_t size[8];
    struct bytes_writer w = bytes_writer(size, sizeof size);
    bytes_put_u64(&w, m->gguf.file_bytes);
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, m->gguf.header_bytes, m->header);
    sha256_update(&hash, sizeof size, size);
    sha256_digest(&hash, SHA256_DIGEST_SIZE, out);
}

#define ADD_BYTES(name) +of->name.bytes

uint64_t model_layers_bytes(const struct model *m, uint32_t begin, uint32_t end) {
    assert(begin <= end && end <= m->params.layers);
    uint64_t sum = 0;
    for (uint32_t i = begin; i < end; i++) {
        const struct model_layer *of = &m->layers[i];
        sum += 0 MODEL_LAYER_TENSORS(ADD_BYTES, ADD_BYTES);
    }
    return begin < end ? sum + m->rope_freqs.bytes + m->rope_long.bytes + m->rope_short.bytes : 0;
}

uint64_t model_ends_bytes(const struct model *m) {
    const struct model *of = m;
    return 0 MODEL_END_TENSORS(ADD_BYTES, ADD_BYTES);
}

static struct model_work work_of(const struct model_tensor *t) {
    return (struct model_work){t->bytes, t->rows * t->cols};
}

static void add_work(struct model_work *sum, struct model_work more) {
    sum->bytes += more.bytes;
    sum->madds += more.madds;
}

/* Experts that a token does not use. */
static struct model_work idle_work(const struct model *m, const struct model_layer *l) {
    const struct model_experts *e = &m->params.experts;
    struct model_work idle = {0};
    if (!l->router.bytes) return idle;
    add_work(&idle, work_of(&l->expert_gate));
    add_work(&idle, work_of(&l->expert_up));
    add_work(&idle, work_of(&l->expert_down));
    uint64_t unused = e->count - e->used;
    return (struct model_work){idle.bytes / e->count * unused, idle.madds / e->count * unused};
}

#define ADD_WORK(name) add_work(&sum, work_of(&l->name));
#define NO_WORK(name)

struct model_work model_layers_work(const struct model *m, uint32_t begin, uint32_t end) {
    struct model_work sum = {0};
    assert(begin <= end && end <= m->params.layers);
    for (uint32_t i = begin; i < end; i++) {
        const struct model_layer *l = &m->layers[i];
        MODEL_LAYER_TENSORS(ADD_WORK, NO_WORK)
        struct model_work idle = idle_work(m, l);
        sum.bytes -= idle.bytes;
        sum.madds -= idle.madds;
    }
    return sum;
}

static uint64_t kv_bytes(struct model_heads h, unsigned value_bytes) {
    return (uint64_t)h.kv_heads * (h.dim_k + h.dim_v) * value_bytes;
}

uint64_t model_kv_bytes(const struct model *m, unsigned value_bytes) {
    return kv_bytes(model_heads(&m->params, false), value_bytes);
}

uint64_t model_window_bytes(const struct model *m, unsigned value_bytes) {
    return kv_bytes(model_heads(&m->params, true), value_bytes);
}
