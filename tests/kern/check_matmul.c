#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* One packed matrix, the same rows as f32, and inputs for it. */
struct fixture {
    uint32_t type;
    size_t rows, cols, tokens, panels, panel_bytes, out_stride;
    struct guarded packed, x, q, scale, sum16;
    float *dense; /* [rows][cols] */
    struct kern_input input;
};

enum input_kind { INPUT_RANDOM, INPUT_ZERO, INPUT_OUTLIER, INPUT_EXTREME, INPUT_TINY, INPUT_KINDS };

static void fill_input(uint64_t *random, enum input_kind kind, float *x, size_t n) {
    random_floats(random, x, n);
    switch (kind) {
    case INPUT_ZERO: memset(x, 0, n * sizeof *x); break;
    case INPUT_OUTLIER:
        for (size_t i = 0; i < n; i += 97) x[i] = 1e4f;
        break;
    case INPUT_EXTREME: /* q is 127 or -127 everywhere */
        for (size_t i = 0; i < n; i++) x[i] = i % 64 < 32 || x[i] > 0 ? 3e20f : -3e20f;
        break;
    case INPUT_TINY:
        for (size_t i = 0; i < n; i++) x[i] *= 1e-39f;
        break;
    default: break;
    }
}

/* Anything, or every byte of the quants at its least or at its most. */
static void fill_weights(uint64_t *random, const struct fixture *f, int pattern, uint8_t *file, size_t row_blocks) {
    if (pattern == 0 || tensor_type_block(f->type) == 1)
        random_blocks(random, f->type, file, f->rows * row_blocks);
    else
        fill_blocks(random, f->type, pattern == 1 ? 0x00 : 0xff, file, f->rows * row_blocks);
}

static void make_weights(uint64_t *random, struct fixture *f, int pattern) {
    size_t row_blocks = f->cols / tensor_type_block(f->type);
    size_t row_bytes = row_blocks * tensor_type_block_bytes(f->type);
    uint8_t *file = malloc(f->rows * row_bytes);
    fill_weights(random, f, pattern, file, row_blocks);
    f->packed = guarded_new(f->panels * f->panel_bytes);
    f->dense = malloc(f->rows * f->cols * sizeof *f->dense);
    for (size_t panel = 0; panel < f->panels; panel++) {
        size_t row = panel * KERN_LANES, left = f->rows - row;
        kern_pack_panel(f->type, file + row * row_bytes, row_bytes, left < KERN_LANES ? left : KERN_LANES, f->cols,
                        (uint8_t *)f->packed.data + panel * f->panel_bytes);
    }
    for (size_t row = 0; row < f->rows; row++) {
        float *dense = f->dense + row * f->cols, *read = malloc(f->cols * sizeof *read);
        kern_dequantize(f->type, file + row * row_bytes, f->cols, dense);
        kern_row_read(f->type, f->packed.data, row, f->cols, read);
        CHECK(memcmp(read, dense, f->cols * sizeof *read) == 0, "%s row %zu: packed and read is not what was packed",
              tensor_type_name(f->type), row);
        free(read);
    }
    free(file);
}

static void make_input(uint64_t *random, const struct kern *ref, struct fixture *f, enum input_kind kind) {
    size_t stride = size_round_up(f->cols, KERN_ALIGN);
    f->x = guarded_new(f->tokens * f->cols * sizeof(float));
    f->q = guarded_new(f->tokens * stride);
    f->scale = guarded_new(f->tokens * stride / KERN_BLOCK * sizeof(float));
    f->sum16 = guarded_new(f->tokens * stride / 16 * sizeof(int32_t));
    f->input = (struct kern_input){f->x.data, f->cols, f->q.data, f->scale.data, f->sum16.data, stride, NULL};
    fill_input(random, kind, f->x.data, f->tokens * f->cols);
    for (size_t token = 0; token < f->tokens; token++)
        ref->quantize((float *)f->x.data + token * f->cols, f->cols, (int8_t *)f->q.data + token * stride,
                      (float *)f->scale.data + token * stride / KERN_BLOCK,
                      (int32_t *)f->sum16.data + token * stride / 16);
}

static void fixture_init(uint64_t *random, const struct kern *ref, struct fixture *f, uint32_t type, size_t rows,
                         size_t cols, size_t tokens, int variant) {
    *f = (struct fixture){.type = type, .rows = rows, .cols = cols, .tokens = tokens, .out_stride = rows + 3};
    f->panels = (rows + KERN_LANES - 1) / KERN_LANES;
    f->panel_bytes = kern_panel_bytes(type, cols);
    make_weights(random, f, variant % 3);
    make_input(random, ref, f, (enum input_kind)(variant % INPUT_KINDS));
}

static void fixture_deinit(struct fixture *f) {
    guarded_free(&f->packed);
    guarded_free(&f->x);
    guarded_free(&f->q);
    guarded_free(&f->scale);
    guarded_free(&f->sum16);
    free(f->dense);
}

/* The product in double, from dequantised weights and inputs; its error is bounded by what the terms sum up to. */
static void check_truth(const struct fixture *f, const float *out) {
    bool int8 = kern_wants_int8(f->type);
    for (size_t token = 0; token < f->tokens; token++)
        for (size_t row = 0; row < f->rows; row++) {
            double sum = 0, magnitude = 0;
            for (size_t col = 0; col < f->cols; col++) {
                size_t at = token * f->input.q_stride + col;
                double x = int8 ? (double)f->input.q[at] * f->input.scale[at / KERN_BLOCK]
                                : f->input.f32[token * f->cols + col];
                sum += x * f->dense[row * f->cols + col];
                magnitude += fabs(x * f->dense[row * f->cols + col]);
            }
            float got = out[token * f->out_stride + row];
            if (magnitude > 1e38 || magnitude < 1e-30) continue; /* f32 overflows or underflows on the way */
            /* K-quants with minima subtract sums that are larger than the difference */
            CHECK(fabs(got - sum) <= 1e-4 * magnitude + 1e-30, "%s %zux%zu token %zu row %zu: %.9g, should be %.9g",
                  tensor_type_name(f->type), f->rows, f->cols, token, row, got, sum);
        }
}

static void run(const struct kern *k, const struct fixture *f, size_t panel_begin, size_t panel_end, size_t tokens,
                float *out) {
    k->matmul[f->type](f->packed.data, f->rows, f->cols, panel_begin, panel_end, &f->input, tokens, out, f->out_stride);
}

/* A NaN has no one bit pattern: which operand's payload comes out is the CPU's choice. */
static bool same_bits(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

/* Tokens that are picked from the rows of the input, the last row first. */
static void check_picked_rows(const struct kern *level, const struct fixture *f, const float *want) {
    size_t count = (f->tokens - 1) * f->out_stride + f->rows;
    struct guarded rows = guarded_new(f->tokens * sizeof(uint32_t)), got = guarded_new(count * sizeof(float));
    struct fixture picked = *f;
    for (size_t i = 0; i < f->tokens; i++) ((uint32_t *)rows.data)[i] = (uint32_t)(f->tokens - 1 - i);
    picked.input.rows = rows.data;
    run(level, &picked, 0, f->panels, f->tokens, got.data);
    for (size_t i = 0; i < f->tokens; i++)
        CHECK(same_bits(want + (f->tokens - 1 - i) * f->out_stride, (float *)got.data + i * f->out_stride, f->rows),
              "%s %s %zux%zu: another result for picked rows", kern_isa_name(level->isa), tensor_type_name(f->type),
              f->rows, f->cols);
    guarded_free(&rows);
    guarded_free(&got);
}

static void check_level(const struct kern *ref, const struct kern *level, const struct fixture *f) {
    size_t count = (f->tokens - 1) * f->out_stride + f->rows;
    struct guarded want = guarded_new(count * sizeof(float)), got = guarded_new(count * sizeof(float));
    run(ref, f, 0, f->panels, f->tokens, want.data);
    if (ref->isa == level->isa) check_truth(f, want.data);
    run(level, f, 0, f->panels, f->tokens, got.data);
    CHECK(same_bits(want.data, got.data, count), "%s %s %zux%zu, %zu tokens: not the bits of ref",
          kern_isa_name(level->isa), tensor_type_name(f->type), f->rows, f->cols, f->tokens);
    check_picked_rows(level, f, want.data);
    if (f->panels > 1) { /* part of the panels changes part of the rows, to the same values */
        struct guarded part = guarded_new(count * sizeof(float));
        run(level, f, 1, f->panels, 1, part.data);
        CHECK(same_bits((float *)want.data + KERN_LANES, (float *)part.data + KERN_LANES, f->rows - KERN_LANES),
              "%s %s %zux%zu: another result for some panels and one token", kern_isa_name(level->isa),
              tensor_type_name(f->type), f->rows, f->cols);
        for (size_t i = 0; i < KERN_LANES * sizeof(float); i++)
            CHECK(((uint8_t *)part.data)[i] == 0xa5, "%s: rows of other panels were changed",
                  kern_isa_name(level->isa));
        guarded_free(&part);
    }
    guarded_free(&want);
    guarded_free(&got);
}

void check_matmul(const struct kern *ref, const struct kern *level) {
    static const struct {
        size_t rows, cols, tokens;
    } sizes[] = {{1, 256, 1},   {16, 256, 3},   {37, 512, 5},  {48, 1536, 1},
                 {31, 2816, 2}, {16, 1280, 14}, {33, 768, 27}, {18, 512, 36}};
    static const size_t odd_cols[] = {32, 96, 576, 1056};
    uint64_t random = 1;
    for (uint32_t type = 0; type < TENSOR_TYPE_MAX; type++) {
        if (!kern_supports(type)) continue;
        CHECK(level->matmul[type], "%s has no product", tensor_type_name(type));
        int variant = 0;
        struct fixture f;
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            for (int repeat = 0; repeat < 3; repeat++) {
                fixture_init(&random, ref, &f, type, sizes[i].rows, sizes[i].cols, sizes[i].tokens, variant++);
                check_level(ref, level, &f);
                fixture_deinit(&f);
            }
        for (size_t i = 0; i < ARRAY_LEN(odd_cols) && tensor_type_block(type) <= KERN_BLOCK; i++) {
            fixture_init(&random, ref, &f, type, 20, odd_cols[i] + (tensor_type_block(type) == 1 ? 5 : 0), 1 + 4 * i,
                         variant++);
            check_level(ref, level, &f);
            fixture_deinit(&f);
        }
    }
}
