/* See hash.h. Names of constants are the specification's. */
#include "hash.h"

#include <string.h>

#include "loader/cursor.h"

#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotate(uint64_t x, unsigned by) {
    return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t lane, uint64_t input) {
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t sum, uint64_t lane) {
    return (sum ^ mix(0, lane)) * PRIME_1 + PRIME_4;
}

void hash64_begin(hash64 *h) {
    *h = (hash64){.lane = {PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1}};
}

static void stripe(uint64_t lane[4], const uint8_t *p) {
    for (size_t i = 0; i < 4; i++) lane[i] = mix(lane[i], load_u64(p + 8 * i));
}

void hash64_add(hash64 *h, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    size_t held = h->n % sizeof h->pending;
    h->n += n;
    if (held) {
        size_t more = sizeof h->pending - held < n ? sizeof h->pending - held : n;
        memcpy(h->pending + held, p, more);
        p += more;
        n -= more;
        if (held + more < sizeof h->pending) return;
        stripe(h->lane, h->pending);
    }
    uint64_t lane[4]; /* a copy: what p points to might else be h's */
    memcpy(lane, h->lane, sizeof lane);
    for (; n >= sizeof h->pending; p += sizeof h->pending, n -= sizeof h->pending) stripe(lane, p);
    memcpy(h->lane, lane, sizeof lane);
    if (n) memcpy(h->pending, p, n);
}

void hash64_add_u64(hash64 *h, uint64_t value) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    hash64_add(h, bytes, sizeof bytes);
}

uint64_t hash64_value(const hash64 *h) {
    const uint8_t *p = h->pending;
    size_t n = h->n % sizeof h->pending;
    uint64_t sum = PRIME_5;
    if (h->n >= sizeof h->pending) {
        sum = rotate(h->lane[0], 1) + rotate(h->lane[1], 7) + rotate(h->lane[2], 12) + rotate(h->lane[3], 18);
        for (size_t i = 0; i < 4; i++) sum = merge(sum, h->lane[i]);
    }
    sum += h->n;
    for (; n >= 8; p += 8, n -= 8) sum = rotate(sum ^ mix(0, load_u64(p)), 27) * PRIME_1 + PRIME_4;
    for (; n >= 4; p += 4, n -= 4) sum = rotate(sum ^ load_u32(p) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; n; p++, n--) sum = rotate(sum ^ *p * PRIME_5, 11) * PRIME_1;
    sum = (sum ^ sum >> 33) * PRIME_2;
    sum = (sum ^ sum >> 29) * PRIME_3;
    return sum ^ sum >> 32;
}
