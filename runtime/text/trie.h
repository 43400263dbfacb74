/* A trie of byte strings: from where a walk stands, one byte leads on or it ends. For the tokenizers that
 * need all tokens which begin at a place: wordpiece.c, unigram.c, greedy.c, plamo2.c. Built once by
 * vocab_load.c, never changed after. Edges are in one hash table: memory follows the texts, and a step costs
 * one look-up. */
#ifndef LEAT_RUNTIME_TEXT_TRIE_H
#define LEAT_RUNTIME_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

enum { TRIE_ROOT = 0 };
#define TRIE_NONE UINT32_MAX /* no edge, no value */

typedef struct trie {
    uint64_t *slots; /* open addressing: node (28 bits), byte (8), child (28); 0: free, since no child is the
                        root */
    size_t mask;
    uint32_t *values; /* (n_nodes): of the text that ends there, or TRIE_NONE */
    size_t n_nodes, capacity;
    uint32_t first[256]; /* the root's edges, without a look-up */
} trie;

leat_status trie_open(trie *x, leat_error *e);
void trie_close(trie *x); /* a zeroed one is fine */
/* A text that is there already keeps its value. n > 0. */
leat_status trie_add(trie *x, const char *p, size_t n, uint32_t value, leat_error *e);

static inline uint64_t trie_hash(uint32_t node, unsigned char byte) {
    uint64_t h = ((uint64_t)node << 8 | byte) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* The node one byte further, or TRIE_NONE. */
static inline uint32_t trie_step(const trie *x, uint32_t node, unsigned char byte) {
    if (node == TRIE_ROOT) return x->first[byte];
    uint64_t key = (uint64_t)node << 8 | byte;
    for (size_t at = (size_t)trie_hash(node, byte) & x->mask;; at = (at + 1) & x->mask) {
        uint64_t slot = x->slots[at];
        if (slot == 0) return TRIE_NONE;
        if (slot >> 28 == key) return (uint32_t)(slot & 0xFFFFFFF);
    }
}

#endif
