/* Any bytes as a model file, and as the beginning of a bigger one: a model within its bounds, or an error with a text.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

/* What is promised of a tensor: it lies in the data of the file. */
static void check_tensors(const struct gguf *g) {
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        assert(t->bytes > 0 && t->offset >= g->data_offset && t->bytes <= g->file_bytes - t->offset);
    }
}

/* Every byte that a value points at may be read. */
static void read_values(const struct gguf *g) {
    volatile uint8_t sink = 0; /* keeps the compiler from dropping the reads */
    for (size_t i = 0; i < g->value_count; i++) {
        const struct gguf_value *v = &g->values[i];
        for (size_t j = 0; j < v->bytes; j++) sink ^= v->data[j];
        for (uint64_t j = 0; v->strings && j < v->count; j++)
            if (v->strings[j].len > 0) sink ^= (uint8_t)v->strings[j].data[v->strings[j].len - 1];
    }
    (void)sink;
}

static void read_model(const uint8_t *data, size_t size, uint64_t file_bytes) {
    struct error error = {0};
    struct model m;
    uint8_t *header = malloc(size + 1);
    assert(header);
    memcpy(header, data, size);
    int rc = model_init(&m, header, size, file_bytes, &error);
    assert(rc == 0 || (rc == error.code && error.text[0] != '\0'));
    assert(rc != ERR_AGAIN || size < file_bytes);
    if (rc < 0) return;
    uint8_t fingerprint[MODEL_FINGERPRINT_BYTES];
    model_fingerprint(&m, fingerprint);
    check_tensors(&m.gguf);
    read_values(&m.gguf);
    assert(model_layers_bytes(&m, 0, m.params.layers) + model_ends_bytes(&m) <= file_bytes);
    model_deinit(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gguf g;
    if (gguf_parse(&g, data, size, size, NULL) == 0) {
        check_tensors(&g);
        read_values(&g);
        gguf_deinit(&g);
    }
    read_model(data, size, size);
    read_model(data, size, 1ull << 40);
    return 0;
}
