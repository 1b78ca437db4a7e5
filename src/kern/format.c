#include "kern/format.h"

static const struct {
    const char *name;
    uint16_t block, bytes;
} types[TENSOR_TYPE_MAX] = {
#define X(name, value, text, block, bytes) [value] = {text, block, bytes},
    TENSOR_TYPES(X)
#undef X
};

size_t tensor_type_block(uint32_t type) { return type < TENSOR_TYPE_MAX ? types[type].block : 0; }
size_t tensor_type_block_bytes(uint32_t type) { return type < TENSOR_TYPE_MAX ? types[type].bytes : 0; }
const char *tensor_type_name(uint32_t type) { return type < TENSOR_TYPE_MAX ? types[type].name : NULL; }
