#include <stdlib.h>
#include <string.h>

#include "check.h"

struct golden {
    uint32_t type;
    const uint8_t *block;
    const uint32_t *value_bits;
    size_t count;
};

#include "golden.h"

static void check_block(const struct golden *g) {
    float *values = malloc(g->count * sizeof *values);
    kern_dequantize(g->type, g->block, g->count, values);
    CHECK(memcmp(values, g->value_bits, g->count * sizeof *values) == 0, "%s is not read as gguf-py does",
          tensor_type_name(g->type));
    free(values);
}

static void check_plain(void) {
    static const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000};
    static const float half_values[] = {1.0f, -2.0f, 0x1p-24f, 65504.0f, -0.0f};
    static const uint16_t bfloats[] = {0x3f80, 0xc000, 0x0001};
    static const float bfloat_values[] = {1.0f, -2.0f, 0x1p-133f};
    float out[5];
    kern_dequantize(TENSOR_F16, halves, 5, out);
    CHECK(memcmp(out, half_values, sizeof half_values) == 0, "F16 is not read right");
    kern_dequantize(TENSOR_BF16, bfloats, 3, out);
    CHECK(memcmp(out, bfloat_values, sizeof bfloat_values) == 0, "BF16 is not read right");
}

void check_formats(void) {
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) check_block(&golden[i]);
    for (uint32_t type = 0; type < TENSOR_TYPE_MAX; type++) {
        size_t known = kern_wants_int8(type) ? 0 : 1;
        for (size_t i = 0; i < ARRAY_LEN(golden); i++) known += golden[i].type == type;
        CHECK(known > 0, "%s has no golden block", tensor_type_name(type));
    }
    check_plain();
}
