/* A reader that can't leave its buffer: every read asks whether `need <= n - pos` first, in that form,
 * because pos <= n always holds and so nothing in it can wrap. A read that fails returns false and moves
 * nothing. All bytes of a file are read through this, little endian, whatever the machine is. */
#ifndef LEAT_LOADER_CURSOR_H
#define LEAT_LOADER_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cursor {
    const uint8_t *p;
    size_t n, pos;
} cursor;

static inline uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *p) {
    return (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static inline size_t cursor_left(const cursor *c) {
    return c->n - c->pos;
}

/* The next `need` bytes as a view. */
static inline bool cursor_take(cursor *c, uint64_t need, const uint8_t **out) {
    if (need > cursor_left(c)) return false;
    *out = c->p + c->pos;
    c->pos += (size_t)need;
    return true;
}

static inline bool cursor_u32(cursor *c, uint32_t *out) {
    const uint8_t *p;
    if (!cursor_take(c, 4, &p)) return false;
    *out = load_u32(p);
    return true;
}

static inline bool cursor_u64(cursor *c, uint64_t *out) {
    const uint8_t *p;
    if (!cursor_take(c, 8, &p)) return false;
    *out = load_u64(p);
    return true;
}

#endif
