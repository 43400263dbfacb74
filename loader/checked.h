/* Arithmetic on numbers that come from a file: each function returns false instead of wrapping, and then
 * leaves *out alone. One portable definition, so that the code that is tested is the code that runs
 * everywhere. */
#ifndef LEAT_LOADER_CHECKED_H
#define LEAT_LOADER_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

static inline bool checked_mul(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

static inline bool checked_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (b != 0 && a > UINT64_MAX / b) return false;
    *out = a * b;
    return true;
}

/* The smallest multiple of `align`, a power of two, that is not below a. False as well when align is no power
 * of two: 0 is none. */
static inline bool checked_align_up(size_t a, size_t align, size_t *out) {
    if (align == 0 || (align & (align - 1)) != 0) return false;
    if (a > SIZE_MAX - (align - 1)) return false;
    *out = (a + (align - 1)) & ~(align - 1);
    return true;
}

/* A count from a file as a size in memory; on 64-bit machines always true. */
static inline bool checked_size(uint64_t a, size_t *out) {
#if SIZE_MAX < UINT64_MAX
    if (a > SIZE_MAX) return false;
#endif
    *out = (size_t)a;
    return true;
}

#endif
