/* The multiplier roof of plain C: the sums of products that the reference panel_mul is made of, on arrays
 * that stay in the first-level cache. What the compiler makes of it is what it makes of the reference. */
#include "c.h"

enum { LANES = 64 };

uint64_t peak_f32_c(uint64_t rounds) {
    float sum[LANES] = {0}, w[LANES] = {0}, x = 0.5f;
    for (uint64_t i = 0; i < rounds; i++) {
        for (int j = 0; j < LANES; j++) sum[j] += w[j] * x;
        __asm__ volatile("" ::"r"(sum), "r"(w) : "memory"); /* each round is done, and anew */
    }
    return rounds * LANES * 2;
}

uint64_t peak_q8_c(uint64_t rounds) {
    int32_t sum[LANES] = {0};
    int8_t q[LANES] = {1};
    uint8_t w[LANES] = {1};
    for (uint64_t i = 0; i < rounds; i++) {
        for (int j = 0; j < LANES; j++) sum[j] += w[j] * q[j];
        __asm__ volatile("" ::"r"(sum), "r"(w), "r"(q) : "memory");
    }
    return rounds * LANES * 2;
}
