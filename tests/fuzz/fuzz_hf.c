/* A model's folder of any texts: config.json, tokenizer.json, tokenizer_config.json, generation_config.json, a
 * template, the header of a shard and how positions are pooled, split by lines of "--". What comes of it is refused, or
 * a header that can be read. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "model/hf.h"
#include "model/tokenizer.h"

enum { TEXTS = 7, SHARD_BYTES = 1 << 20 };

static size_t split(const char *data, size_t size, struct hf_text out[TEXTS]) {
    size_t count = 0;
    while (count < TEXTS && size > 0) {
        const char *cut = memmem(data, size, "\n--\n", 4);
        size_t len = cut ? (size_t)(cut - data) : size;
        out[count++] = (struct hf_text){data, len};
        size_t used = cut ? len + 4 : len;
        data += used;
        size -= used;
    }
    return count;
}

/* Whatever steps the file says there are. */
static void tokenize(const struct gguf *g) {
    static const char text[] = "Don't ask 12345 times:\r\n  \xc3\xa9\xe6\x97\xa5\xe6\x9c\xac ``so'' <mask> \xff";
    struct error error = {0};
    struct tokenizer *t;
    struct token_list list = {0};
    if (tokenizer_new(&t, g, &error) < 0) return;
    tokenizer_encode(t, text, sizeof text - 1, true, true, &list);
    for (size_t i = 0; i < list.count; i++) assert(list.ids[i] < tokenizer_count(t));
    token_list_deinit(&list);
    tokenizer_free(t);
}

static void check(struct hf_result *r) {
    struct error error = {0};
    struct gguf g;
    uint8_t *header = NULL;
    size_t len = 0;
    if (gguf_writer_take(&r->writer, &header, &len, &error) < 0) return;
    uint64_t end = 0;
    for (size_t i = 0; i < r->parts.count; i++) {
        assert(r->parts.items[i].to_offset >= end);
        end = r->parts.items[i].to_offset;
    }
    if (gguf_parse(&g, header, len, len + r->writer.data_bytes, &error) == 0) {
        tokenize(&g);
        gguf_deinit(&g);
    }
    free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct hf_text texts[TEXTS] = {0};
    struct error error = {0};
    struct safetensors shard = {0};
    struct hf_result result;
    split((const char *)data, size, texts);
    struct hf_files files = {.config = texts[0],
                             .tokenizer = texts[1],
                             .tokenizer_config = texts[2],
                             .generation_config = texts[3],
                             .chat_template = texts[4],
                             .pooling = texts[6],
                             .shards = &shard,
                             .shard_count = 1};
    if (texts[5].data && safetensors_parse(&shard, texts[5].data, texts[5].len, SHARD_BYTES, &error) < 0)
        files.shard_count = 0;
    if (hf_convert(&files, size % 2 ? recipe_find("q4_k_m") : NULL, &result, &error) == 0) check(&result);
    hf_result_deinit(&result);
    safetensors_deinit(&shard);
    return 0;
}
