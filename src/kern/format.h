/* How tensors are stored in model files: the types, their block sizes and names.
 *
 * Values are ggml's (the GGUF specification's table of tensor types). A type that is known here can be named in
 * an error; whether it can be computed with is kern_supports()'s answer. Pure, any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* X(enum name, value, text, values per block, bytes per block) */
#define TENSOR_TYPES(X)                                                                                                \
    X(F32, 0, "F32", 1, 4)                                                                                             \
    X(F16, 1, "F16", 1, 2)                                                                                             \
    X(Q4_0, 2, "Q4_0", 32, 18)                                                                                         \
    X(Q4_1, 3, "Q4_1", 32, 20)                                                                                         \
    X(Q5_0, 6, "Q5_0", 32, 22)                                                                                         \
    X(Q5_1, 7, "Q5_1", 32, 24)                                                                                         \
    X(Q8_0, 8, "Q8_0", 32, 34)                                                                                         \
    X(Q8_1, 9, "Q8_1", 32, 36)                                                                                         \
    X(Q2_K, 10, "Q2_K", 256, 84)                                                                                       \
    X(Q3_K, 11, "Q3_K", 256, 110)                                                                                      \
    X(Q4_K, 12, "Q4_K", 256, 144)                                                                                      \
    X(Q5_K, 13, "Q5_K", 256, 176)                                                                                      \
    X(Q6_K, 14, "Q6_K", 256, 210)                                                                                      \
    X(Q8_K, 15, "Q8_K", 256, 292)                                                                                      \
    X(IQ2_XXS, 16, "IQ2_XXS", 256, 66)                                                                                 \
    X(IQ2_XS, 17, "IQ2_XS", 256, 74)                                                                                   \
    X(IQ3_XXS, 18, "IQ3_XXS", 256, 98)                                                                                 \
    X(IQ1_S, 19, "IQ1_S", 256, 50)                                                                                     \
    X(IQ4_NL, 20, "IQ4_NL", 32, 18)                                                                                    \
    X(IQ3_S, 21, "IQ3_S", 256, 110)                                                                                    \
    X(IQ2_S, 22, "IQ2_S", 256, 82)                                                                                     \
    X(IQ4_XS, 23, "IQ4_XS", 256, 136)                                                                                  \
    X(I8, 24, "I8", 1, 1)                                                                                              \
    X(I16, 25, "I16", 1, 2)                                                                                            \
    X(I32, 26, "I32", 1, 4)                                                                                            \
    X(I64, 27, "I64", 1, 8)                                                                                            \
    X(F64, 28, "F64", 1, 8)                                                                                            \
    X(IQ1_M, 29, "IQ1_M", 256, 56)                                                                                     \
    X(BF16, 30, "BF16", 1, 2)                                                                                          \
    X(TQ1_0, 34, "TQ1_0", 256, 54)                                                                                     \
    X(TQ2_0, 35, "TQ2_0", 256, 66)                                                                                     \
    X(MXFP4, 39, "MXFP4", 32, 17)

enum tensor_type {
#define X(name, value, text, block, bytes) TENSOR_##name = value,
    TENSOR_TYPES(X)
#undef X
    TENSOR_TYPE_MAX = 40
};

/* Values per block; 0 for a number that is no type. */
size_t tensor_type_block(uint32_t type);
/* Bytes per block; 0 for a number that is no type. */
size_t tensor_type_block_bytes(uint32_t type);
/* "Q4_K"; "type 97" is not invented: NULL for a number that is no type. */
const char *tensor_type_name(uint32_t type);
