/* Sizes that come from input: sums and products that notice when they overflow. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False, and *out untouched, when the result does not fit. */
static inline bool size_add(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

static inline bool size_mul(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

/* `value` up to the next multiple of `step` (any step > 0). */
static inline uint64_t size_round_up(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
