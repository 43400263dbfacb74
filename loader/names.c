/* Open addressing with linear probing over a table at most half full, holding index + 1 (0 is empty). Names
 * come from untrusted files, so the hash is keyed (SipHash-1-3 by Aumasson and Bernstein, the variant hash
 * tables use): the key is the address of the array, which who wrote the file can't know, so that nobody can
 * prepare 65,536 names for one slot. The key decides only the order of probing, never a result. */
#include "names.h"

#include <stddef.h>
#include <string.h>

#include "alloc.h"
#include "cursor.h"
#include "limits.h"

_Static_assert(offsetof(gguf_kv, key) == 0, "names_at reads the name at the start of a record");
_Static_assert(offsetof(gguf_tensor, name) == 0, "names_at reads the name at the start of a record");

static uint64_t rotate(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash(const void *key, str s) {
    uint64_t k0 = (uint64_t)(uintptr_t)key, k1 = k0 * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    const uint8_t *p = (const uint8_t *)s.p;
    size_t left = s.n;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word = load_u64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.n << 56;
    for (size_t i = 0; i < left; i++) last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static str names_at(names list, size_t i) {
    return *(const str *)((const char *)list.base + i * list.stride);
}

static bool same(str a, str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* The slot that holds `name`, or the empty one where it belongs. Ends, because at least half of the slots are
 * empty. */
static size_t slot_of(names list, const uint32_t *table, size_t table_size, str name) {
    size_t slot = (size_t)hash(list.base, name) & (table_size - 1);
    while (table[slot] && !same(names_at(list, table[slot] - 1), name)) slot = (slot + 1) & (table_size - 1);
    return slot;
}

leat_status names_index(names list, uint32_t **table, size_t *table_size, size_t *first, size_t *second) {
    _Static_assert(LIMIT_TENSORS < 1 << 30 && LIMIT_KV < 1 << 30, "indices and twice the size fit 32 bits");
    size_t size = 2;
    while (size < 2 * list.n) size *= 2;
    uint32_t *slots = mem_alloc(size, sizeof *slots);
    if (!slots) return LEAT_E_NOMEM;
    for (size_t i = 0; i < list.n; i++) {
        size_t slot = slot_of(list, slots, size, names_at(list, i));
        if (slots[slot]) {
            *first = slots[slot] - 1;
            *second = i;
            mem_free(slots);
            return LEAT_E_DUPLICATE;
        }
        slots[slot] = (uint32_t)(i + 1);
    }
    *table = slots;
    *table_size = size;
    return LEAT_OK;
}

size_t names_find(names list, const uint32_t *table, size_t table_size, str name) {
    if (!table_size) return SIZE_MAX;
    uint32_t entry = table[slot_of(list, table, table_size, name)];
    return entry ? entry - 1 : SIZE_MAX;
}
