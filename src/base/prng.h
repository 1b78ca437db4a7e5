/* Pseudo-random numbers as data: the state is one word that its owner keeps, so every run can be replayed.
 *
 * SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). For jitter,
 * simulation and sampling noise; secrets come from the TLS library. */
#pragma once
#include <stdint.h>

/* A bijection of 64-bit words whose output looks random: also the hash for noise by (seed, position, token). */
static inline uint64_t prng_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t prng_next(uint64_t *state) {
    uint64_t value = prng_mix(*state);
    *state += 0x9e3779b97f4a7c15u;
    return value;
}

/* Uniform in [0, bound); bound > 0. The bias is below 2^-32 for the bounds used here. */
static inline uint64_t prng_below(uint64_t *state, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)prng_next(state) * bound) >> 64);
}
