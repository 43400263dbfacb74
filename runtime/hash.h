/* A 64-bit hash of bytes, for telling models apart and for finding damage in files: XXH64 with seed 0, as its
 * specification has it (Yann Collet, doc/xxhash_spec.md). Not for secrets: who wants to can make two inputs
 * of the same hash. Bytes may come in any pieces. Owns no memory, never fails. */
#ifndef LEAT_RUNTIME_HASH_H
#define LEAT_RUNTIME_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hash64 {
    uint64_t lane[4];
    uint64_t n;          /* bytes so far */
    uint8_t pending[32]; /* the last n % 32 of them */
} hash64;

void hash64_begin(hash64 *h);
void hash64_add(hash64 *h, const void *bytes, size_t n);
void hash64_add_u64(hash64 *h, uint64_t value); /* as 8 bytes, little endian */
/* Of all bytes added; more may follow. */
uint64_t hash64_value(const hash64 *h);

#endif
