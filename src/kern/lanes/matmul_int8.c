#include <string.h>

#include "kern/layout.h"
#include "kern/lanes/levels.h"
#include "kern/lanes/simd.h"

/* The formula is in ref/matmul.c. A tile is one panel by up to TOKENS_MOST tokens, its accumulators stay in registers
 * over a chunk of K and wait in `out` between chunks. The chunk's activations are copied side by side, at a distance
 * known to the compiler, so that all of them are reached from one pointer; they stay in L1 while the panels go by. One
 * token is read where it is. */
enum {
    CHUNK_BLOCKS = 40,       /* of 32 columns; whole super-blocks; 12 tokens of it fill half of L1 */
    CHUNK_BLOCKS_ONE = 1024, /* for one token */
#ifdef SIMD_TILE
    TOKENS_MOST = SIMD_TILE,
#else
    TOKENS_MOST = SIMD_TOKENS,
#endif
};

/* A chunk's activations; token t at distance t * CHUNK_BLOCKS blocks. */
struct side {
    const int8_t *q;         /* [token][block][32] */
    const float *scale;      /* [token][block] */
    const float *sum[2];     /* [token][block]: scale * sum of q; [1]: of the second half */
    const int32_t *start[2]; /* [token][block]: what the offset of the weights adds; [1]: to the second half */
};

struct tile {
    const uint8_t *group; /* the panel's first group of the chunk */
    size_t blocks, ahead; /* ahead: bytes from a block to what is fetched meanwhile; 0: nothing */
    struct side in;
    float *out; /* [token][out_stride] */
    size_t out_stride, rows;
    bool first; /* chunk of K: accumulators begin at zero */
};

/* Vector j of a part of a block (layout.h), moved to `to`. */
SIMD_INLINE u8x64 part_vector(const uint8_t *part, int bits, int j) {
    return u8_load(part + j % bits * LAYOUT_VECTOR_BYTES);
}

SIMD_INLINE u8x64 weight_vector(struct layout l, const uint8_t *block, int j) {
    u8x64 low = part_vector(block, l.bits_low, j);
    if (l.bits_low == 8) return low;
    int shift = l.bits_low * (j / l.bits_low);
    low = u8_and(shift ? u8_shift_right(low, shift) : low, u8_set((1 << l.bits_low) - 1));
    if (l.code) return u8_lookup(layout_codebooks[l.code], low);
    if (!l.bits_high) return low;
    u8x64 high = part_vector(block + l.bits_low * LAYOUT_VECTOR_BYTES, l.bits_high, j);
    int move = l.bits_low - l.bits_high * (j / l.bits_high);
    high = move > 0 ? u8_shift_left(high, move) : move < 0 ? u8_shift_right(high, -move) : high;
    return u8_or_and(low, high, u8_set(((1 << l.bits_high) - 1) << l.bits_low));
}

SIMD_INLINE bool is_wide(struct layout l) { return l.bits_low == 8 || l.code; }

/* Vectors of products that 16-bit sums can take. */
SIMD_INLINE int flush_interval(struct layout l) {
    int bits = l.bits_low + l.bits_high;
    return bits <= 4 ? 8 : 8 >> (bits - 4);
}

struct scales {
    f32x16 scale[2], min[2];
};

SIMD_INLINE struct scales load_scales(struct layout l, const uint8_t *group, unsigned index) {
    const uint16_t *d = (const uint16_t *)(const void *)group;
    const uint8_t *first = group + layout_scales_at(&l, index), *second = first + KERN_LANES;
    struct scales s = {.min[0] = f32_set(0.0f)};
    if (l.scales == LAYOUT_SCALES_E8M0) {
        s.scale[0] = f32_from_e8m0(first);
        return s;
    }
    s.scale[0] = s.scale[1] = f32_from_f16(d);
    if (layout_has_min(&l)) s.min[0] = s.min[1] = f32_from_f16(d + KERN_LANES);
    if (!layout_is_super(&l)) return s;
    s.min[0] = s.min[1] = f32_negate(s.min[0]);
    switch (l.scales) {
    case LAYOUT_SCALES_K32: s.scale[0] = f32_mul(s.scale[0], f32_from_i8(first)); break;
    case LAYOUT_SCALES_K32_MIN:
        s.scale[0] = f32_mul(s.scale[0], f32_from_u8(first));
        s.min[0] = f32_mul(s.min[0], f32_from_u8(second));
        break;
    case LAYOUT_SCALES_K16:
        s.scale[0] = f32_mul(s.scale[0], f32_from_i8(first));
        s.scale[1] = f32_mul(s.scale[1], f32_from_i8(second));
        break;
    default:
        s.scale[0] = f32_mul(s.scale[0], f32_from_u4(first, 0));
        s.scale[1] = f32_mul(s.scale[1], f32_from_u4(second, 0));
        s.min[0] = f32_mul(s.min[0], f32_from_u4(first, 4));
        s.min[1] = f32_mul(s.min[1], f32_from_u4(second, 4));
    }
    if (layout_unit(&l) == 1.0f) return s;
    s.scale[0] = f32_mul(s.scale[0], f32_set(layout_unit(&l)));
    s.scale[1] = f32_mul(s.scale[1], f32_set(layout_unit(&l)));
    return s;
}

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

#ifdef SIMD_TILE
SIMD_INLINE void add_tile(struct layout l, const uint8_t *block, int begin, int count, const int8_t *q,
                          struct dots dots[]) {
    struct tile_weights w;
    UNROLLED (i, count) w.vectors[i] = weight_vector(l, block, begin + i);
    dots_add_tile(dots, &w, count, q + 4 * begin, CHUNK_BLOCKS * KERN_BLOCK);
}
#endif

/* `count` vectors of a block from `begin` on times all tokens. */
SIMD_INLINE void add_vectors(struct layout l, int tokens, const uint8_t *block, int begin, int count, const int8_t *q,
                             struct dots dots[]) {
#ifdef SIMD_TILE
    if (tokens == SIMD_TILE) {
        add_tile(l, block, begin, count, q, dots);
        return;
    }
#endif
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
        f32x16 sum = f32_from_i32(dots_end(&dots[t], in.start[0] + t * CHUNK_BLOCKS));
        acc[t] = f32_fma(f32_mul(sum, s.scale[0]), f32_set(in.scale[t * CHUNK_BLOCKS]), acc[t]);
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
            f32x16 sum = f32_from_i32(dots_end(&dots[t], start + t * CHUNK_BLOCKS));
            part[t] = half ? f32_fma(sum, s.scale[1], part[t]) : f32_mul(sum, s.scale[0]);
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

/* Several tokens stay long at each panel: the next one is fetched meanwhile. One token reads panel after panel, which
 * most CPUs see coming. */
SIMD_INLINE void prefetch(const uint8_t *at, size_t bytes, bool near) {
    UNROLLED (i, (bytes + 63) / 64) {
        if (near)
            __builtin_prefetch(at + i * 64, 0, 3);
        else
            __builtin_prefetch(at + i * 64, 0, 2);
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

/* One chunk of K of a call: its panels by its tokens. The panels' chunks stay in L2 while the tokens go by. */
struct strip {
    const uint8_t *panels; /* at the chunk, of the first panel */
    size_t panel_bytes, rows, panel_begin, panel_end;
    size_t block_begin, blocks;
    const struct kern_input *x;
    float *out;
    size_t out_stride;
};

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

/* What `half` of one token's blocks (whole blocks where there are no halves) needs beside its quants. */
SIMD_INLINE void prepare_sums(struct layout l, int half, const int32_t *restrict sum16, const float *restrict scale,
                              size_t blocks, float *restrict sum, int32_t *restrict start) {
    int32_t offset = is_wide(l) && SIMD_SIGNED_BYTES ? 0 : l.offset;
    for (size_t i = 0; i < blocks; i++) {
        int32_t q_sum = layout_has_halves(&l) ? sum16[2 * i + half] : sum16[2 * i] + sum16[2 * i + 1];
        if (layout_has_min(&l)) sum[i] = scale[i] * (float)q_sum;
        start[i] = -offset * q_sum;
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
#ifdef SIMD_TILE
    if (tokens >= SIMD_TILE) {
        tiles_begin();
        token = run_while(l, SIMD_TILE, s, token, tokens);
        tiles_end();
    }
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
