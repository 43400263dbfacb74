/* Half precision and bfloat16 in integer arithmetic: exact, and the same with every compiler and CPU. A
 * signalling NaN becomes quiet and keeps the rest of its payload, which is what conversion instructions do
 * too. */
#include "kernels.h"

#include <string.h>

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t to_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
    if (exponent == 0x1f) return from_bits(sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0));
    if (exponent) return from_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
    /* zero or subnormal: mantissa * 2^-24, exact in float */
    return from_bits(sign | to_bits((float)mantissa * 0x1p-24f));
}

/* value / 2^s to the nearest integer, ties to even; 1 <= s <= 24. */
static uint32_t shift_nearest_even(uint32_t value, unsigned s) {
    uint32_t half = 1u << (s - 1), odd = value >> s & 1;
    return (value + half - 1 + odd) >> s;
}

uint16_t f16_from_f32(float f) {
    uint32_t u = to_bits(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff, h;
    if (magnitude > 0x7f800000) {
        h = 0x7e00 | (magnitude >> 13 & 0x1ff); /* NaN, made quiet */
    } else if (magnitude >= 0x47800000) {
        h = 0x7c00; /* 2^16 and beyond, Inf included */
    } else if (magnitude >= 0x38800000) {
        /* normal, from 2^-14: move the exponent's bias from 127 to 15; a carry out of the mantissa goes where
         * it should, up to Inf from 65520 on */
        h = shift_nearest_even(magnitude - ((127u - 15) << 23), 13);
    } else if (magnitude >= 0x33000000) {
        /* subnormal: the mantissa with its leading one in units of 2^-24; shift is 14 .. 24 */
        h = shift_nearest_even((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >> 23));
    } else {
        h = 0; /* below 2^-25, half of the smallest */
    }
    return (uint16_t)(sign | h);
}

float bf16_to_f32(uint16_t h) {
    return from_bits((uint32_t)h << 16);
}

uint16_t bf16_from_f32(float f) {
    uint32_t u = to_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); /* NaN, made quiet */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
