/* What a hub, a disk, a person and other programs may give the store: a list of files, a manifest, a map of chunks, a
 * name; manifests of Ollama and llama.cpp, and their names. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/caches.h"
#include "store/chunks.h"
#include "store/listing.h"
#include "store/manifest.h"
#include "store/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void list_files(const char *text, size_t len) {
    static const struct origin any = {"org/repo", "main", "", "", ""}, one = {"org/repo", "main", "", "Q4_K_M", ""};
    struct listing l = {0};
    if (listing_read(&l, text, len, NULL) == 0 && listing_choose(&l, len % 2 ? &any : &one, NULL) == 0) {
        struct manifest m = {.origin = any};
        struct error error = {0};
        assert(l.count > 0);
        if (manifest_take_files(&m, &l, &error) == 0)
            for (size_t i = 0; i < m.file_count; i++) assert(origin_plain_name(manifest_file_name(&m, i)));
        manifest_deinit(&m);
    }
    listing_deinit(&l);
}

/* What can be read can be written and read again. */
static void read_manifest(const char *text, size_t len) {
    struct manifest m, again;
    struct text out = {0};
    if (manifest_read(&m, text, len, NULL) != 0) return;
    manifest_write(&m, &out);
    if (manifest_read(&again, text_str(&out), out.len, NULL) != 0 || again.file_count != m.file_count) abort();
    manifest_deinit(&again);
    manifest_deinit(&m);
    text_deinit(&out);
}

static void read_map(const uint8_t *data, size_t size) {
    struct chunks c;
    if (size < 2 || chunks_init(&c, (uint64_t)data[0] << 13 | data[1], CHUNKS_BYTES_MIN) != 0) return;
    if (chunks_adopt(&c, data + 2, size - 2)) assert(chunks_have_bytes(&c) <= c.bytes);
    if (chunks_read(&c, data + 2, size - 2, NULL) == 0) assert(chunks_have_bytes(&c) <= c.bytes);
    uint64_t offset, len;
    chunks_want(&c, data[0], (uint64_t)data[1] << 12);
    while (chunks_next_run(&c, 1 << 16, &offset, &len)) {
        assert(len > 0 && offset + len <= c.bytes);
        chunks_fill(&c, offset, len);
        chunks_release(&c, offset, len);
    }
    assert(chunks_missing_bytes(&c) == 0);
    chunks_deinit(&c);
}

static void read_name(const char *name) {
    struct origin o;
    char folder[ORIGIN_FOLDER_BYTES];
    struct text url = {0};
    if (origin_parse(&o, name, NULL) != 0) return;
    origin_folder(&o, folder);
    if (!origin_plain_name(folder)) abort();
    origin_tree_url(&o, "http://hub", &url);
    text_deinit(&url);
}

/* What is made of them is a file of their cache. */
static void read_caches(const char *text, size_t len) {
    char digest[CACHES_DIGEST_BYTES], file[2 * ORIGIN_NAME_BYTES];
    if (caches_ollama_digest(text, len, digest)) assert(strspn(digest, "0123456789abcdefABCDEF") == 64 && !digest[64]);
    if (caches_llamacpp_file(text, len, "org/repo", file)) assert(origin_plain_name(file));
}

static void read_cached_name(const char *name) {
    char repo[ORIGIN_NAME_BYTES], meant[ORIGIN_NAME_BYTES], quant[CACHES_QUANT_BYTES];
    struct origin o;
    if (caches_llamacpp_name(name, repo, meant)) assert(origin_parse(&o, meant, NULL) == 0);
    caches_quant(name, quant);
    assert(strlen(quant) <= strlen(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 6) {
    case 0: list_files(text, size - 1); break;
    case 1: read_manifest(text, size - 1); break;
    case 2: read_map(data + 1, size - 1); break;
    case 3: read_name(text); break;
    case 4: read_caches(text, size - 1); break;
    case 5: read_cached_name(text); break;
    }
    free(text);
    return 0;
}
