/* Writing the file's formats: blocks come back as they were, and the error is what a good search reaches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kern/layout.h"
#include "kern/quantize.h"

enum { VALUES = 1 << 14 };

/* Blocks of any bits are read and written without a change. */
static void check_encoding(uint64_t *random, uint32_t type) {
    size_t bytes = tensor_type_block_bytes(type);
    uint8_t block[512], again[512];
    for (int i = 0; i < 100; i++) {
        struct layout_row rows[LAYOUT_SUPER / KERN_BLOCK];
        random_blocks(random, type, block, 1);
        for (unsigned index = 0; index < layout_group_blocks(layout_of(type)); index++)
            layout_decode(type, block, index, &rows[index]);
        layout_encode(type, rows, again);
        CHECK(memcmp(block, again, bytes) == 0, "%s is not written as it was read", tensor_type_name(type));
    }
}

/* Root of the mean squared error of normal values, relative to them. */
static double error_of(uint64_t *random, uint32_t type) {
    float *x = malloc(VALUES * sizeof *x), *y = malloc(VALUES * sizeof *y);
    size_t bytes = VALUES / tensor_type_block(type) * tensor_type_block_bytes(type);
    struct guarded out = guarded_new(bytes);
    double off = 0, all = 0;
    random_floats(random, x, VALUES);
    kern_quantize(type, x, VALUES, out.data);
    kern_dequantize(type, out.data, VALUES, y);
    for (size_t i = 0; i < VALUES; i++) off += (x[i] - y[i]) * (double)(x[i] - y[i]), all += x[i] * (double)x[i];
    guarded_free(&out);
    free(x);
    free(y);
    return sqrt(off / all);
}

static const struct {
    uint32_t type;
    double error_max;
} bounds[] = {
    {TENSOR_F32, 0},      {TENSOR_F16, 3e-4},     {TENSOR_BF16, 2e-3},    {TENSOR_Q4_0, 0.084},
    {TENSOR_Q4_1, 0.073}, {TENSOR_Q5_0, 0.042},   {TENSOR_Q5_1, 0.036},   {TENSOR_Q8_0, 0.0053},
    {TENSOR_Q2_K, 0.28},  {TENSOR_Q3_K, 0.151},   {TENSOR_Q4_K, 0.073},   {TENSOR_Q5_K, 0.036},
    {TENSOR_Q6_K, 0.018}, {TENSOR_IQ4_NL, 0.078}, {TENSOR_IQ4_XS, 0.078}, {TENSOR_MXFP4, 0.115},
};

static void check_errors(uint64_t *random) {
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        double error = error_of(random, bounds[i].type);
        CHECK(error <= bounds[i].error_max, "%s has an error of %g, not %g", tensor_type_name(bounds[i].type), error,
              bounds[i].error_max);
    }
    for (uint32_t type = 0; type < TENSOR_TYPE_MAX; type++) {
        size_t known = kern_can_quantize(type) ? 0 : 1;
        for (size_t i = 0; i < ARRAY_LEN(bounds); i++) known += bounds[i].type == type;
        CHECK(known > 0, "%s has no bound", tensor_type_name(type));
    }
}

/* What a plain quantiser made stays as it is: whole multiples of a scale, the extreme at the end of the range. */
static void check_grid(uint64_t *random) {
    static const struct {
        uint32_t type;
        int low, high;
        bool min;
    } grids[] = {{TENSOR_Q4_0, -8, 7, false},
                 {TENSOR_Q5_0, -16, 15, false},
                 {TENSOR_Q8_0, -127, 127, false},
                 {TENSOR_Q4_1, 0, 15, true},
                 {TENSOR_Q5_1, 0, 31, true}};
    float x[KERN_BLOCK], y[KERN_BLOCK];
    uint8_t block[64];
    for (size_t i = 0; i < ARRAY_LEN(grids) * 100; i++) {
        size_t g = i % ARRAY_LEN(grids);
        float scale = ldexpf((float)(1 + prng_below(random, 1023)), -18), min = grids[g].min ? -scale * 8 : 0;
        int span = grids[g].high - grids[g].low + 1;
        for (size_t k = 0; k < KERN_BLOCK; k++)
            x[k] = scale * (float)(grids[g].low + (int)prng_below(random, (uint64_t)span)) + min;
        x[3] = scale * (float)grids[g].low + min;
        x[20] = scale * (float)grids[g].high + min;
        kern_quantize(grids[g].type, x, KERN_BLOCK, block);
        kern_dequantize(grids[g].type, block, KERN_BLOCK, y);
        for (size_t k = 0; k < KERN_BLOCK; k++)
            CHECK(x[k] == y[k], "%s makes %g of %g on its grid", tensor_type_name(grids[g].type), y[k], x[k]);
    }
}

/* Values that no format is made for give numbers all the same. */
static void check_extremes(uint32_t type) {
    static const float values[] = {0, -0.0f, 1, -1, 1e-30f, -1e-42f, 3e38f, -3e38f, 65504, INFINITY, -INFINITY, NAN};
    float x[LAYOUT_SUPER], y[LAYOUT_SUPER];
    uint8_t block[LAYOUT_SUPER * sizeof(float)];
    for (size_t a = 0; a < ARRAY_LEN(values); a++) {
        for (size_t b = 0; b < ARRAY_LEN(values); b++) {
            for (size_t i = 0; i < LAYOUT_SUPER; i++) x[i] = values[i % 3 ? a : b];
            kern_quantize(type, x, LAYOUT_SUPER, block);
            kern_dequantize(type, block, LAYOUT_SUPER, y);
            for (size_t i = 0; i < LAYOUT_SUPER; i++) {
                CHECK(isfinite(y[i]), "%s makes no number of %g and %g", tensor_type_name(type), values[a], values[b]);
                if (values[a] == 0 && values[b] == 0)
                    CHECK(y[i] == 0, "%s makes something of nothing", tensor_type_name(type));
            }
        }
    }
}

void check_writing(void) {
    uint64_t random = 7;
    for (uint32_t type = 0; type < TENSOR_TYPE_MAX; type++) {
        if (layout_of(type) == NULL || !kern_can_quantize(type)) continue;
        check_encoding(&random, type);
        check_extremes(type);
    }
    check_errors(&random);
    check_grid(&random);
}
