#include <string.h>

#include "kern/lanes/levels.h"
#include "kern/lanes/panels.h"
#include "kern/lanes/tiles.h"

/* The formula is in ref/matmul.c. A tile is one panel by up to TOKENS_MOST tokens, its accumulators stay in registers
 * over a chunk of K and wait in `out` between chunks. The chunk's activations are copied side by side, at a distance
 * known to the compiler, so that all of them are reached from one pointer; they stay in L1 while the panels go by. One
 * token is read where it is. */
enum {
    CHUNK_BLOCKS_ONE = 1024, /* of 32 columns, for one token */
    TOKENS_MOST = SIMD_TOKENS,
};

/* A chunk's activations; token t at distance t * CHUNK_BLOCKS blocks. */
struct side {
    const int8_t *q;         /* [token][block][32] */
    const float *scale;      /* [token][block] */
    const float *sum[2];     /* [token][block]: scale * sum of q; [1]: of the second half */
    const int32_t *start[2]; /* [token][block]: where sums begin; [1]: those of the second half */
};

struct tile {
    const uint8_t *group; /* the panel's first group of the chunk */
    size_t blocks, ahead; /* ahead: bytes from a block to what is fetched meanwhile; 0: nothing */
    struct side in;
    float *out; /* [token][out_stride] */
    size_t out_stride, rows;
    bool first; /* chunk of K: accumulators begin at zero */
};

#ifdef SIMD_PAIRS
SIMD_INLINE void add_pairs(struct layout l, int tokens, const uint8_t *block, int begin, int count, const int8_t *q,
                           struct dots dots[]) {
    const int distance = CHUNK_BLOCKS * KERN_BLOCK;
    UNROLLED (t, tokens / 2) dots_pair(&dots[2 * t]);
    UNROLLED (i, count / 2) {
        int j = begin + 2 * i;
        struct woven w = dots_weave(weight_vector(l, block, j), weight_vector(l, block, j + 1));
        UNROLLED (t, tokens / 2) {
            const int8_t *eight = q + 2 * t * distance + 4 * j;
            dots_add_pair(&dots[2 * t], w, eight, eight + distance);
        }
    }
    UNROLLED (t, tokens / 2) dots_unpair(&dots[2 * t]);
}
#endif

/* `count` vectors of a block from `begin` on times all tokens. */
SIMD_INLINE void add_vectors(struct layout l, int tokens, const uint8_t *block, int begin, int count, const int8_t *q,
                             struct dots dots[]) {
#ifdef SIMD_PAIRS
    if (tokens > 1) {
        add_pairs(l, tokens, block, begin, count, q, dots);
        return;
    }
#endif
    UNROLLED (i, count) {
        u8x64 w = weight_vector(l, block, begin + i);
        bool flush = !is_wide(l) && ((i + 1) % flush_interval(l) == 0 || i + 1 == count);
        UNROLLED (t, tokens) {
            const int8_t *four = q + t * CHUNK_BLOCKS * KERN_BLOCK + 4 * (begin + i);
            if (is_wide(l))
                dots_add_bytes(&dots[t], w, four);
            else
                dots_add(&dots[t], w, four);
            if (flush) dots_flush(&dots[t]);
        }
    }
}

SIMD_INLINE void block_one_scale(struct layout l, int tokens, const uint8_t *block, struct scales s, struct side in,
                                 f32x16 acc[]) {
    struct dots dots[TOKENS_MOST];
    UNROLLED (t, tokens) dots[t] = dots_begin(in.start[0] + t * CHUNK_BLOCKS);
    add_vectors(l, tokens, block, 0, LAYOUT_VECTORS, in.q, dots);
    UNROLLED (t, tokens) {
        f32x16 sum = scaled(l, dots_end(&dots[t], in.start[0] + t * CHUNK_BLOCKS), s);
        acc[t] = f32_fma(sum, f32_set(in.scale[t * CHUNK_BLOCKS]), acc[t]);
    }
}

SIMD_INLINE void block_two_scales(struct layout l, int tokens, const uint8_t *block, struct scales s, struct side in,
                                  f32x16 acc[]) {
    struct dots dots[TOKENS_MOST];
    f32x16 part[TOKENS_MOST];
    UNROLLED (half, 2) {
        const int32_t *start = in.start[half];
        UNROLLED (t, tokens) dots[t] = dots_begin(start + t * CHUNK_BLOCKS);
        add_vectors(l, tokens, block, 4 * half, 4, in.q, dots);
        UNROLLED (t, tokens) {
            i32x16 sum = dots_end(&dots[t], start + t * CHUNK_BLOCKS);
            part[t] = half ? f32_fma(f32_from_i32(sum), s.scale[1], part[t]) : scaled(l, sum, s);
        }
    }
    UNROLLED (t, tokens) acc[t] = f32_fma(part[t], f32_set(in.scale[t * CHUNK_BLOCKS]), acc[t]);
}

SIMD_INLINE void add_mins(struct layout l, int tokens, struct scales s, struct side in, f32x16 acc[]) {
    UNROLLED (t, tokens) {
        acc[t] = f32_fma(s.min[0], f32_set(in.sum[0][t * CHUNK_BLOCKS]), acc[t]);
        if (layout_has_halves(&l)) acc[t] = f32_fma(s.min[1], f32_set(in.sum[1][t * CHUNK_BLOCKS]), acc[t]);
    }
}

SIMD_INLINE void run_tile(struct layout l, int tokens, const struct tile *tile) {
    f32x16 acc[TOKENS_MOST];
    struct side in = tile->in;
    const uint8_t *group = tile->group;
    const unsigned group_blocks = layout_group_blocks(&l);
    UNROLLED (t, tokens)
        acc[t] = tile->first ? f32_set(0.0f) : f32_load_n(tile->out + (size_t)t * tile->out_stride, tile->rows);
    for (size_t done = 0; done < tile->blocks; done += group_blocks, group += layout_group_bytes(&l)) {
        const uint8_t *block = group + layout_head_bytes(&l);
        for (unsigned index = 0; index < group_blocks; index++, block += layout_block_bytes(&l)) {
            if (tokens > 1 || tile->ahead)
                prefetch(block + tile->ahead, layout_group_bytes(&l) / group_blocks, tokens == 1);
            struct scales s = load_scales(l, group, index);
            if (layout_has_halves(&l))
                block_two_scales(l, tokens, block, s, in, acc);
            else
                block_one_scale(l, tokens, block, s, in, acc);
            if (layout_has_min(&l)) add_mins(l, tokens, s, in, acc);
            in.q += KERN_BLOCK;
            in.scale++;
            in.sum[0]++;
            in.sum[1]++;
            in.start[0]++;
            in.start[1]++;
        }
    }
    UNROLLED (t, tokens) f32_store_n(tile->out + (size_t)t * tile->out_stride, acc[t], tile->rows);
}

SIMD_INLINE void run_panels(struct layout l, int tokens, const struct strip *s, size_t token, struct side in) {
    for (size_t panel = s->panel_begin; panel < s->panel_end; panel++) {
        size_t row = panel * KERN_LANES, left = s->rows - row;
        struct tile tile = {
            .group = s->panels + panel * s->panel_bytes,
            .blocks = s->blocks,
            .ahead = tokens > 1 ? s->panel_bytes : kern_read_ahead(),
            .in = in,
            .out = s->out + token * s->out_stride + row,
            .out_stride = s->out_stride,
            .rows = left < KERN_LANES ? left : KERN_LANES,
            .first = s->block_begin == 0,
        };
        run_tile(l, tokens, &tile);
    }
}

/* One token: read where it is. */
SIMD_INLINE void run_one(struct layout l, const struct strip *s, size_t token) {
    float sum[2][CHUNK_BLOCKS_ONE];
    int32_t start[2][CHUNK_BLOCKS_ONE];
    const struct kern_input *x = s->x;
    size_t at = kern_input_row(x, token) * x->q_stride + s->block_begin * KERN_BLOCK;
    struct side in = {x->q + at, x->scale + at / KERN_BLOCK, {sum[0], sum[1]}, {start[0], start[1]}};
    for (int half = 0; half < 1 + layout_has_halves(&l); half++)
        prepare_sums(l, half, x->sum16 + at / 16, in.scale, s->blocks, sum[half], start[half]);
    run_panels(l, 1, s, token, in);
}

/* Several tokens: copied side by side. */
SIMD_INLINE void run_several(struct layout l, int tokens, const struct strip *s, size_t token) {
    int8_t q[TOKENS_MOST][CHUNK_BLOCKS * KERN_BLOCK] __attribute__((aligned(KERN_ALIGN)));
    float scale[TOKENS_MOST][CHUNK_BLOCKS], sum[2][TOKENS_MOST][CHUNK_BLOCKS];
    int32_t start[2][TOKENS_MOST][CHUNK_BLOCKS];
    const struct kern_input *x = s->x;
    for (int t = 0; t < tokens; t++) {
        size_t at = kern_input_row(x, token + (size_t)t) * x->q_stride + s->block_begin * KERN_BLOCK;
        memcpy(q[t], x->q + at, s->blocks * KERN_BLOCK);
        memcpy(scale[t], x->scale + at / KERN_BLOCK, s->blocks * sizeof(float));
        for (int half = 0; half < 1 + layout_has_halves(&l); half++)
            prepare_sums(l, half, x->sum16 + at / 16, scale[t], s->blocks, sum[half][t], start[half][t]);
    }
    run_panels(l, tokens, s, token, (struct side){q[0], scale[0], {sum[0][0], sum[1][0]}, {start[0][0], start[1][0]}});
}

SIMD_INLINE size_t run_while(struct layout l, int tile, const struct strip *s, size_t token, size_t tokens) {
    for (; token + (size_t)tile <= tokens; token += (size_t)tile)
        if (tile == 1)
            run_one(l, s, token);
        else
            run_several(l, tile, s, token);
    return token;
}

SIMD_INLINE void run_strip(struct layout l, const struct strip *s, size_t tokens) {
    const int most = layout_has_halves(&l) ? SIMD_TOKENS_PARTS : SIMD_TOKENS;
    size_t token = 0;
#ifdef SIMD_AMX
    token = run_tiles(l, s, tokens);
#endif
    if (most >= 12) token = run_while(l, 12, s, token, tokens);
    if (most >= 8) token = run_while(l, 8, s, token, tokens);
    if (most >= 4) token = run_while(l, 4, s, token, tokens);
    token = run_while(l, 2, s, token, tokens);
    run_while(l, 1, s, token, tokens);
}

SIMD_INLINE void matmul(struct layout l, uint32_t type, const void *panels, size_t rows, size_t cols,
                        size_t panel_begin, size_t panel_end, const struct kern_input *x, size_t tokens, float *out,
                        size_t out_stride) {
    struct strip s = {.panel_bytes = kern_panel_bytes(type, cols),
                      .rows = rows,
                      .panel_begin = panel_begin,
                      .panel_end = panel_end,
                      .x = x,
                      .out = out,
                      .out_stride = out_stride};
    const size_t all = cols / KERN_BLOCK, chunk = tokens == 1 ? CHUNK_BLOCKS_ONE : CHUNK_BLOCKS;
    for (; s.block_begin < all; s.block_begin += chunk) {
        s.blocks = all - s.block_begin < chunk ? all - s.block_begin : chunk;
        s.panels = (const uint8_t *)panels + s.block_begin / layout_group_blocks(&l) * layout_group_bytes(&l);
        run_strip(l, &s, tokens);
    }
}

#define MATMUL(type, ...)                                                                                              \
    static void matmul_##type(const void *panels, size_t rows, size_t cols, size_t panel_begin, size_t panel_end,      \
                              const struct kern_input *x, size_t tokens, float *out, size_t out_stride) {              \
        matmul((struct layout)LAYOUT_INIT(__VA_ARGS__), TENSOR_##type, panels, rows, cols, panel_begin, panel_end, x,  \
               tokens, out, out_stride);                                                                               \
    }
LAYOUT_TYPES(MATMUL)

void LEVEL(matmul_int8_init)(struct kern *k) {
#define SET(type, ...) k->matmul[TENSOR_##type] = matmul_##type;
    LAYOUT_TYPES(SET)
#undef SET
}
