/* Any bytes as a safetensors file: a header that is refused, or tensors that lie in the file. And as the index of
 * several: names of files of the folder. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "model/hf.h"
#include "model/safetensors.h"

static void read_index(const char *text, size_t len) {
    struct arena arena = {0};
    struct error error = {0};
    const char **names = NULL;
    size_t count = 0;
    if (hf_shard_names((struct hf_text){text, len}, &arena, &names, &count, &error) == 0) assert(count > 0);
    for (size_t i = 0; error.code == 0 && i < count; i++) {
        assert(names[i][0] != '\0' && names[i][0] != '.' && strchr(names[i], '/') == NULL);
        assert(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error error = {0};
    struct safetensors s;
    size_t len;
    if (size > 0 && data[0] == '{') read_index((const char *)data, size);
    if (size < SAFETENSORS_FRONT_BYTES || safetensors_header_bytes(data, size, &len, &error) < 0) return 0;
    if (safetensors_parse(&s, (const char *)data + SAFETENSORS_FRONT_BYTES, len, size, &error) < 0) return 0;
    for (size_t i = 0; i < s.count; i++) {
        assert(s.tensors[i].offset >= SAFETENSORS_FRONT_BYTES + len && s.tensors[i].offset <= size);
        assert(s.tensors[i].bytes <= size - s.tensors[i].offset);
        assert(safetensors_find(&s, s.tensors[i].name) == &s.tensors[i]);
    }
    safetensors_deinit(&s);
    return 0;
}
