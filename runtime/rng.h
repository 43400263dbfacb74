/* The random numbers of sampling: xoshiro256** (Blackman and Vigna, 2018), its state filled from a 32-bit
 * seed by splitmix64, as its authors advise. The same seed gives the same numbers on every machine and in
 * every build: texts depend on it, so the algorithm may not change without saying so to users. Not for
 * secrets. */
#ifndef LEAT_RUNTIME_RNG_H
#define LEAT_RUNTIME_RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t s[4]; /* never all zero: splitmix64 visits zero only once in its period */
} rng;

static inline rng rng_seed(uint64_t seed) {
    rng r;
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r.s[i] = z ^ z >> 31;
    }
    return r;
}

static inline uint64_t rng_rotate(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

static inline uint64_t rng_u64(rng *r) {
    uint64_t *s = r->s, result = rng_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotate(s[3], 45);
    return result;
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static inline double rng_unit(rng *r) {
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

#endif
