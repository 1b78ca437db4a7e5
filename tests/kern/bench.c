#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

/* A matrix far larger than the caches for one token, one that fits for many. Best of several short runs: the other
 * programs of this machine only ever make it slower. */
enum { COLS = 2048, TOKENS_MAX = 64, STREAM_BYTES = 96 << 20, RESIDENT_BYTES = 1 << 20, RUNS = 5 };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double read_bandwidth(const uint8_t *data, size_t bytes) {
    typedef uint64_t words __attribute__((vector_size(64)));
    const words *at = (const void *)data;
    words sum[8] = {0};
    double begin = now_s();
    for (size_t i = 0; i < bytes / sizeof *at / 8; i++)
        for (int j = 0; j < 8; j++) sum[j] ^= at[i * 8 + j];
    double seconds = now_s() - begin;
    volatile uint64_t sink = 0;
    for (int j = 0; j < 8; j++) sink ^= sum[j][0];
    (void)sink;
    return (double)bytes / seconds;
}

static double peak(enum kern_isa isa) {
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        double begin = now_s();
        uint64_t done = kern_peak_int8(isa, 500000);
        double rate = (double)done / (now_s() - begin);
        if (rate > best) best = rate;
    }
    return best;
}

struct fixture {
    uint8_t *panels;
    float *x, *scale, *out;
    int8_t *q;
    int32_t *sum16;
    struct kern_input input;
};

/* Denormal scales, which tests want and no model has, would be all that is measured. */
static void set_ordinary_scales(uint8_t *mxfp4, size_t blocks) {
    for (size_t i = 0; i < blocks; i++) mxfp4[i * tensor_type_block_bytes(TENSOR_MXFP4)] = 120;
}

static void fixture_init(struct fixture *f, const struct kern *k, uint32_t type) {
    uint64_t random = 5;
    size_t blocks = COLS / tensor_type_block(type), row_bytes = blocks * tensor_type_block_bytes(type);
    size_t panel_bytes = kern_panel_bytes(type, COLS), panels = STREAM_BYTES / panel_bytes + 1;
    uint8_t *rows = malloc(KERN_LANES * row_bytes);
    random_blocks(&random, type, rows, KERN_LANES * blocks);
    if (type == TENSOR_MXFP4) set_ordinary_scales(rows, KERN_LANES * blocks);
    f->panels = aligned_alloc(2 << 20, STREAM_BYTES + (2 << 20));
    for (size_t i = 0; i < panels; i++)
        if (i == 0)
            kern_pack_panel(type, rows, row_bytes, KERN_LANES, COLS, f->panels);
        else
            memcpy(f->panels + i * panel_bytes, f->panels, panel_bytes);
    free(rows);
    f->x = aligned_alloc(KERN_ALIGN, TOKENS_MAX * COLS * sizeof(float));
    f->q = aligned_alloc(KERN_ALIGN, TOKENS_MAX * COLS);
    f->scale = aligned_alloc(KERN_ALIGN, TOKENS_MAX * COLS / KERN_BLOCK * sizeof(float));
    f->sum16 = aligned_alloc(KERN_ALIGN, TOKENS_MAX * COLS / 16 * sizeof(int32_t));
    f->out = aligned_alloc(KERN_ALIGN, TOKENS_MAX * panels * KERN_LANES * sizeof(float));
    random_floats(&random, f->x, TOKENS_MAX * COLS);
    k->quantize(f->x, TOKENS_MAX * COLS, f->q, f->scale, f->sum16);
    f->input = (struct kern_input){f->x, COLS, f->q, f->scale, f->sum16, COLS};
}

static void fixture_deinit(struct fixture *f) {
    free(f->panels);
    free(f->x);
    free(f->q);
    free(f->scale);
    free(f->sum16);
    free(f->out);
}

/* Seconds of the fastest of a few products of `panels` panels, 16 at a call as the engine's threads take them. */
static double best_seconds(const struct kern *k, uint32_t type, struct fixture *f, size_t panels, size_t tokens,
                           double *bandwidth) {
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double begin = now_s();
        for (size_t panel = 0; panel < panels; panel += 16)
            k->matmul[type](f->panels, panels * KERN_LANES, COLS, panel, panel + 16 < panels ? panel + 16 : panels,
                            &f->input, tokens, f->out, panels * KERN_LANES);
        double seconds = now_s() - begin;
        if (seconds < best) best = seconds;
        double rate = read_bandwidth(f->panels, STREAM_BYTES);
        if (rate > *bandwidth) *bandwidth = rate;
    }
    return best;
}

/* Bytes of the file per second. */
static double pack_rate(uint32_t type) {
    enum { REPEATS = 20 };
    size_t row_bytes = COLS / tensor_type_block(type) * tensor_type_block_bytes(type);
    uint8_t *rows = calloc(KERN_LANES, row_bytes), *panel = aligned_alloc(KERN_ALIGN, kern_panel_bytes(type, COLS));
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        double begin = now_s();
        for (int i = 0; i < REPEATS; i++) kern_pack_panel(type, rows, row_bytes, KERN_LANES, COLS, panel);
        double rate = (double)(REPEATS * KERN_LANES * row_bytes) / (now_s() - begin);
        if (rate > best) best = rate;
    }
    free(rows);
    free(panel);
    return best;
}

static void bench_type(const struct kern *k, uint32_t type, double peak_rate) {
    static const size_t token_counts[] = {1, 2, 4, 8, 64};
    struct fixture f;
    fixture_init(&f, k, type);
    size_t panel_bytes = kern_panel_bytes(type, COLS);
    printf("%-7s %-5s", kern_isa_name(k->isa), tensor_type_name(type));
    for (size_t i = 0; i < ARRAY_LEN(token_counts); i++) {
        size_t tokens = token_counts[i], bytes = tokens == 1 ? STREAM_BYTES : RESIDENT_BYTES;
        size_t panels = (k->isa == KERN_REF ? bytes / 16 : bytes) / panel_bytes + 1;
        double bandwidth = 0, seconds = best_seconds(k, type, &f, panels, tokens, &bandwidth);
        double rate = (double)panels * KERN_LANES * COLS * (double)tokens / seconds;
        double stream = (double)(panels * panel_bytes) / seconds;
        printf("  %2zu: %6.1f GMA/s (%.2f)", tokens, rate * 1e-9, rate / peak_rate);
        if (tokens == 1) printf(" %5.1f GB/s (%.2f of %.1f)", stream * 1e-9, stream / bandwidth, bandwidth * 1e-9);
        fflush(stdout);
    }
    printf("  pack: %.2f GB/s\n", pack_rate(type) * 1e-9);
    fixture_deinit(&f);
}

static double seconds_of(void (*run)(const struct kern *k, void *context), const struct kern *k, void *context) {
    double best = 1e9;
    for (int i = 0; i < RUNS; i++) {
        double begin = now_s();
        for (int j = 0; j < 1000; j++) run(k, context);
        double seconds = (now_s() - begin) / 1000;
        if (seconds < best) best = seconds;
    }
    return best;
}

struct small {
    float x[2048], y[2048], z[2048], scale[64];
    int8_t q[2048];
    int32_t sum16[128];
    struct kern_attention a;
    const void *pages[8];
    float out[9 * 64];
};

static void small_quantize(const struct kern *k, void *c) {
    struct small *s = c;
    k->quantize(s->x, 576, s->q, s->scale, s->sum16);
}
static void small_rms_norm(const struct kern *k, void *c) {
    struct small *s = c;
    k->rms_norm(s->x, s->y, 576, 1e-5f, s->z);
}
static void small_silu(const struct kern *k, void *c) {
    struct small *s = c;
    k->silu_mul(s->x, s->y, 1536, s->z);
}
static void small_rope(const struct kern *k, void *c) {
    struct small *s = c;
    for (int head = 0; head < 12; head++) k->rope(s->z + head * 64, s->x, s->y, 32, true);
}
static void small_attention(const struct kern *k, void *c) {
    struct small *s = c;
    static const uint32_t begin[3] = {0}, end[3] = {512, 512, 512};
    k->attention[KERN_KV_F16](&s->a, s->x, 64, 3, begin, end, NULL, s->out, 64);
}

static void bench_small(const struct kern *k) {
    static const struct {
        const char *name;
        void (*run)(const struct kern *k, void *context);
    } functions[] = {{"quantize 576", small_quantize},
                     {"rms_norm 576", small_rms_norm},
                     {"silu_mul 1536", small_silu},
                     {"rope 12 x 64", small_rope},
                     {"attention 3 x 64 over 512", small_attention}};
    struct small *s = aligned_alloc(64, size_round_up(sizeof *s, 64));
    uint64_t random = 7;
    random_floats(&random, s->x, 2048);
    random_floats(&random, s->y, 2048);
    memset(s->z, 0, sizeof s->z);
    void *page = calloc(1, kern_kv_page_bytes(KERN_KV_F16, 64));
    for (size_t i = 0; i < ARRAY_LEN(s->pages); i++) s->pages[i] = page;
    s->a = (struct kern_attention){s->pages, s->pages, 64, 64, 0.125f, 0.0f};
    printf("%-7s", kern_isa_name(k->isa));
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        printf("  %s: %.2f us", functions[i].name, seconds_of(functions[i].run, k, s) * 1e6);
    printf("\n");
    free(page);
    free(s);
}

void bench_kernels(const struct kern *level, const char *only) {
    enum kern_isa isa;
    bool one_level = only && kern_isa_parse(only, &isa);
    if (one_level && isa != level->isa) return;
    double peak_rate = peak(level->isa);
    printf("%-7s peak %.1f GMA/s of int8 in registers\n", kern_isa_name(level->isa), peak_rate * 1e-9);
    bench_small(level);
    for (uint32_t type = 0; type < TENSOR_TYPE_MAX; type++)
        if (kern_supports(type) && (!only || one_level || strcmp(only, tensor_type_name(type)) == 0))
            bench_type(level, type, peak_rate);
}
