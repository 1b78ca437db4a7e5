/* Any bytes as a safetensors file: a header that is refused, or tensors that lie in the file. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error error = {0};
    struct safetensors s;
    size_t len;
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
