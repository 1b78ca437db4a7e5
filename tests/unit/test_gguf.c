/* GGUF headers: good ones are read, every kind of bad one is refused with a text that names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "gguf_maker.h"
#include "model/model.h"

static struct error error;

/* A parser that reads too far is seen by the sanitizers: the bytes lie at the very end of a block. */
static int parse_len(struct gguf *g, const struct maker *m, size_t len, uint64_t file_bytes) {
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len) memcpy(copy, m->data, len);
    error = (struct error){0};
    int rc = gguf_parse(g, copy, len, file_bytes, &error);
    assert_int_equal(rc, error.code);
    if (rc < 0) assert_true(error.text[0] != '\0');
    free(copy); /* views into it must not be followed after this */
    return rc;
}

static void assert_refused(struct maker *m, int code, const char *text) {
    struct gguf g;
    int rc = parse_len(&g, m, m->len, m->len);
    if (rc != code || !strstr(error.text, text)) fail_msg("%d \"%s\" instead of %d \"%s\"", rc, error.text, code, text);
    maker_free(m);
}

static void good_files_are_read(void **state) {
    for (uint32_t version = 2; version <= 3; version++) {
        struct maker m = {0};
        struct gguf g;
        struct gguf_string text;
        uint64_t number;
        float real;
        bool flag;
        maker_header(&m, version, 1, 5);
        maker_key_text(&m, "text", "hello");
        maker_key_u32(&m, "number", 7);
        maker_key_f32(&m, "real", 0.5f);
        maker_key(&m, "flag", GGUF_BOOL);
        maker_put(&m, "\1", 1);
        maker_key(&m, "list", GGUF_ARRAY);
        maker_u32(&m, GGUF_I32);
        maker_u64(&m, 2);
        maker_u32(&m, (uint32_t)-5);
        maker_u32(&m, 6);
        maker_tensor(&m, "t", TENSOR_Q4_0, 64, 3, 0);
        size_t header = m.len;
        maker_align(&m);
        size_t begin = m.len;
        maker_put(&m, (uint8_t[3 * 36]){0}, 3 * 36);
        assert_int_equal(gguf_parse(&g, m.data, m.len, m.len, &error), 0);
        assert_int_equal(g.version, version);
        assert_int_equal(g.header_bytes, header);
        assert_true(gguf_str(&g, "text", &text) && text.len == 5 && memcmp(text.data, "hello", 5) == 0);
        assert_true(gguf_u64(&g, "number", &number) && number == 7);
        assert_true(gguf_f32(&g, "real", &real) && real == 0.5f);
        assert_true(gguf_bool(&g, "flag", &flag) && flag);
        assert_false(gguf_u64(&g, "text", &number) || gguf_str(&g, "number", &text) || gguf_u64(&g, "list", &number));
        int64_t item;
        assert_true(gguf_item_i64(gguf_find(&g, "list"), 0, &item) && item == -5);
        assert_false(gguf_item_u64(gguf_find(&g, "list"), 0, &number)); /* negative */
        assert_false(gguf_item_i64(gguf_find(&g, "list"), 2, &item));   /* past the end */
        const struct gguf_tensor *t = gguf_tensor(&g, "t");
        assert_non_null(t);
        assert_int_equal(t->offset, begin);
        assert_int_equal(t->bytes, 3 * 36);
        assert_null(gguf_tensor(&g, "u"));
        gguf_deinit(&g);
        maker_free(&m);
    }
}

/* A prefix of a bigger file asks for more; the same prefix as the whole file is refused. Never a crash, never a read
 * past the end. */
static void every_truncation_is_noticed(void **state) {
    struct maker m = tiny_model(&tiny_default);
    struct gguf g;
    assert_int_equal(gguf_parse(&g, m.data, m.len, m.len, &error), 0);
    size_t header = g.header_bytes;
    gguf_deinit(&g);
    for (size_t len = 0; len < header; len++) {
        assert_int_equal(parse_len(&g, &m, len, m.len), ERR_AGAIN);
        assert_int_equal(parse_len(&g, &m, len, len), ERR_INVALID);
    }
    for (size_t len = header; len < m.len; len += 997) assert_int_equal(parse_len(&g, &m, len, len), ERR_INVALID);
    assert_non_null(strstr(error.text, "is the file whole?"));
    maker_free(&m);
}

static void flipped_bytes_do_no_harm(void **state) {
    struct maker good = tiny_model(&tiny_default);
    struct gguf g;
    assert_int_equal(gguf_parse(&g, good.data, good.len, good.len, &error), 0);
    size_t header = g.header_bytes;
    gguf_deinit(&g);
    uint64_t random = 7;
    for (int i = 0; i < 5000; i++) {
        struct model model;
        uint8_t *copy = malloc(header);
        memcpy(copy, good.data, header);
        for (uint64_t flips = 1 + prng_below(&random, 4); flips > 0; flips--)
            copy[prng_below(&random, header)] = (uint8_t)prng_next(&random);
        if (model_init(&model, copy, header, good.len, &error) == 0) model_deinit(&model);
    }
    maker_free(&good);
}

static void wrong_beginnings(void **state) {
    struct maker m = {0};
    assert_refused(&m, ERR_INVALID, "runs past the end");
    maker_put(&m, "GGML0000", 8);
    assert_refused(&m, ERR_INVALID, "not a GGUF file");
    for (uint32_t version = 0; version < 6; version++) {
        if (version == 2 || version == 3) continue;
        maker_header(&m, version, 0, 0);
        assert_refused(&m, ERR_UNSUPPORTED, "version");
    }
    maker_header(&m, 0x03000000, 0, 0);
    assert_refused(&m, ERR_UNSUPPORTED, "big-endian");
}

static void huge_counts(void **state) {
    static const uint64_t many[] = {1 << 20, UINT32_MAX, 1ull << 40, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        struct maker m = {0};
        maker_header(&m, 3, many[i], 0);
        assert_refused(&m, ERR_INVALID, "more than any model has");
        maker_header(&m, 3, 0, many[i]);
        assert_refused(&m, ERR_INVALID, "more than any model has");
        maker_header(&m, 3, 0, 1);
        maker_u64(&m, many[i]); /* the key's length */
        assert_refused(&m, ERR_INVALID, "key number 0");
        maker_header(&m, 3, 0, 1);
        maker_key(&m, "text", GGUF_STRING);
        maker_u64(&m, many[i]);
        assert_refused(&m, ERR_INVALID, "key text");
        for (uint32_t type = GGUF_U8; type <= GGUF_F64; type++) {
            if (type == GGUF_ARRAY) continue;
            maker_header(&m, 3, 0, 1);
            maker_key(&m, "list", GGUF_ARRAY);
            maker_u32(&m, type);
            maker_u64(&m, many[i]);
            assert_refused(&m, ERR_INVALID, "key list");
        }
    }
}

static void wrong_keys(void **state) {
    struct maker m = {0};
    maker_header(&m, 3, 0, 2);
    maker_key_u32(&m, "same", 1);
    maker_key_u32(&m, "same", 2);
    assert_refused(&m, ERR_INVALID, "key same: appears twice");
    maker_header(&m, 3, 0, 1);
    maker_key(&m, "odd", 13);
    maker_u64(&m, 0);
    assert_refused(&m, ERR_INVALID, "key odd: unknown type");
    maker_header(&m, 3, 0, 1);
    maker_key(&m, "nested", GGUF_ARRAY);
    maker_u32(&m, GGUF_ARRAY);
    maker_u64(&m, 1);
    maker_u64(&m, 0);
    assert_refused(&m, ERR_INVALID, "arrays of arrays");
    for (uint32_t alignment = 0; alignment < 1u << 31; alignment = alignment * 3 + 3) {
        maker_header(&m, 3, 0, 1);
        maker_key_u32(&m, "general.alignment", alignment);
        assert_refused(&m, ERR_INVALID, "power of two");
    }
    maker_header(&m, 3, 0, 1);
    maker_key_text(&m, "general.alignment", "32");
    assert_refused(&m, ERR_INVALID, "must be a number");
    maker_header(&m, 3, 0, 1);
    maker_key(&m, "evil\n\x1b[2J", 99);
    assert_refused(&m, ERR_INVALID, "key evil??[2J:"); /* nothing that a terminal obeys */
}

/* A file with `count` tensors named a, b, c, ... and `data` bytes of data. */
struct table {
    uint32_t type;
    uint64_t cols, rows, offset;
};

static struct maker table_file(const struct table *tensors, size_t count, size_t data) {
    struct maker m = {0};
    maker_header(&m, 3, count, 0);
    for (size_t i = 0; i < count; i++)
        maker_tensor(&m, (char[]){(char)('a' + i), '\0'}, tensors[i].type, tensors[i].cols, tensors[i].rows,
                     tensors[i].offset);
    maker_align(&m);
    for (size_t i = 0; i < data; i++) maker_put(&m, "x", 1);
    return m;
}

static void refuse_table(const struct table *tensors, size_t count, size_t data, int code, const char *text) {
    struct maker m = table_file(tensors, count, data);
    assert_refused(&m, code, text);
}

static void wrong_tensors(void **state) {
    const struct table over[] = {{TENSOR_F32, 16, 0, 0}, {TENSOR_F32, 16, 0, 32}};
    const struct table same[] = {{TENSOR_F32, 16, 0, 0}, {TENSOR_F32, 1, 0, 0}};
    refuse_table(over, 2, 128, ERR_INVALID, "tensor b: lies over another");
    refuse_table(same, 2, 128, ERR_INVALID, "lies over another");
    refuse_table(&(struct table){TENSOR_F32, 8, 0, 4}, 1, 64, ERR_INVALID, "tensor a: its offset is not aligned");
    refuse_table(&(struct table){TENSOR_F32, 8, 0, 64}, 1, 64, ERR_INVALID, "ends at byte");
    refuse_table(&(struct table){TENSOR_F32, 8, 0, UINT64_MAX - 31}, 1, 64, ERR_INVALID, "tensor a:");
    refuse_table(&(struct table){TENSOR_F32, 8, 0, UINT64_MAX / 2 + 1}, 1, 64, ERR_INVALID, "tensor a: ends at byte");
    refuse_table(&(struct table){TENSOR_F32, 1ull << 62, 0, 0}, 1, 64, ERR_INVALID, "overflows");
    refuse_table(&(struct table){TENSOR_F32, 1ull << 32, 1ull << 32, 0}, 1, 64, ERR_INVALID, "overflows");
    refuse_table(&(struct table){TENSOR_F32, 0, 0, 0}, 1, 64, ERR_INVALID, "dimension of 0");
    refuse_table(&(struct table){TENSOR_Q4_K, 128, 2, 0}, 1, 512, ERR_INVALID, "not whole blocks");
    refuse_table(&(struct table){31, 32, 0, 0}, 1, 512, ERR_UNSUPPORTED, "tensor a: type 31 is not known");
    refuse_table(&(struct table){UINT32_MAX, 32, 0, 0}, 1, 512, ERR_UNSUPPORTED, "is not known");

    struct maker m = {0};
    maker_header(&m, 3, 2, 0);
    maker_tensor(&m, "same", TENSOR_F32, 8, 0, 0);
    maker_tensor(&m, "same", TENSOR_F32, 8, 0, 32);
    maker_put(&m, (uint8_t[128]){0}, 128);
    assert_refused(&m, ERR_INVALID, "tensor same: appears twice");
    for (uint32_t dims = 0; dims < 9; dims += dims == 0 ? 5 : 1) {
        maker_header(&m, 3, 1, 0);
        maker_text(&m, "odd");
        maker_u32(&m, dims);
        maker_put(&m, (uint8_t[128]){1}, 128);
        assert_refused(&m, ERR_INVALID, "tensor odd: must have 1 to 4 dimensions");
    }
}

/* ---- as a model ---- */

/* The tiny model with one change. */
static void refuse_model(struct maker *m, int code, const char *text) {
    struct model model;
    error = (struct error){0};
    int rc = model_init(&model, m->data, m->len, m->len, &error);
    if (rc == 0) model_deinit(&model);
    if (rc != code || !strstr(error.text, text)) fail_msg("%d \"%s\" instead of %d \"%s\"", rc, error.text, code, text);
    *m = (struct maker){0}; /* the model took it */
}

/* The value that follows the key's name and type. */
static uint8_t *value_of(const struct maker *m, const char *key) {
    uint8_t *at = memmem(m->data, m->len, key, strlen(key));
    assert_non_null(at);
    return at + strlen(key) + 4;
}

static void refuse_value(const char *key, uint32_t value, int code, const char *text) {
    struct maker m = tiny_model(&tiny_default);
    memcpy(value_of(&m, key), &value, sizeof value);
    refuse_model(&m, code, text);
}

static void refuse_type(const char *key, uint32_t type, int code, const char *text) {
    struct maker m = tiny_model(&tiny_default);
    memcpy(value_of(&m, key) - 4, &type, sizeof type);
    refuse_model(&m, code, text);
}

static void refuse_renamed(const char *from, const char *to, int code, const char *text) {
    struct maker m = tiny_model(&tiny_default);
    uint8_t *at = memmem(m.data, m.len, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(from));
    refuse_model(&m, code, text);
}

static void wrong_parameters(void **state) {
    static const char *const counts[] = {"llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
                                         "llama.attention.head_count", "llama.attention.head_count_kv",
                                         "llama.context_length"};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        const char *key = counts[i] + strlen("llama.");
        refuse_value(counts[i], 0, ERR_INVALID, key);
        if (strcmp(key, "context_length") != 0) refuse_value(counts[i], UINT32_MAX, ERR_INVALID, key);
        refuse_type(counts[i], GGUF_F32, ERR_UNSUPPORTED, key);
    }
    refuse_value("llama.block_count", 3, ERR_INVALID, "tensor blk.2.attn_q.weight is missing");
    refuse_value("llama.block_count", 1, ERR_UNSUPPORTED, "tensor blk.1.attn_norm.weight is not known");
    refuse_value("llama.attention.head_count_kv", 3, ERR_INVALID, "cannot share 3");
    refuse_value("llama.embedding_length", 32, ERR_INVALID, "expected [32, ");
    refuse_value("llama.feed_forward_length", 97, ERR_INVALID, "ffn_");
    uint32_t nan = 0x7fc00000, minus_zero = 0x80000000;
    refuse_value("llama.attention.layer_norm_rms_epsilon", nan, ERR_INVALID, "must be a positive number");
    refuse_value("llama.attention.layer_norm_rms_epsilon", minus_zero, ERR_INVALID, "must be a positive number");
    refuse_renamed("llama.context_length", "llama.contents_total", ERR_INVALID, "key llama.context_length is missing");
    refuse_renamed("general.architecture", "general.archetecture", ERR_INVALID, "key general.architecture is missing");
}

static void wrong_architectures_and_tensors(void **state) {
    struct maker m = tiny_model(&tiny_default);
    uint8_t *at = value_of(&m, "general.architecture") + 8;
    memcpy(at, "lamar", 5);
    refuse_model(&m, ERR_UNSUPPORTED, "architecture \"lamar\" is not supported; supported are: ");
    refuse_renamed("blk.0.attn_q.weight", "blk.0.attn_x.weight", ERR_INVALID, "tensor blk.0.attn_q.weight is missing");
    refuse_renamed("output.weight", "outpat.weight", ERR_UNSUPPORTED, "tensor outpat.weight is not known");
    refuse_renamed("token_embd.weight", "token_embx.weight", ERR_INVALID, "vocab_size");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(flipped_bytes_do_no_harm),
        cmocka_unit_test(wrong_beginnings),
        cmocka_unit_test(huge_counts),
        cmocka_unit_test(wrong_keys),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_parameters),
        cmocka_unit_test(wrong_architectures_and_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
