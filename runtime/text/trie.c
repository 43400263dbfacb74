/* Building the trie of trie.h. The table of edges is at most half full. Nodes are numbered as they come, so a
 * file has no say in where their edges hash to. */
#include "trie.h"

#include <string.h>

#include "loader/alloc.h"

enum { NODES_MAX = (1 << 28) - 1 };

static leat_status no_memory(const trie *x, leat_error *e) {
    return error_set(e, LEAT_E_NOMEM, "no memory for a trie of more than %zu nodes", x->n_nodes);
}

leat_status trie_open(trie *x, leat_error *e) {
    memset(x->first, 0xFF, sizeof x->first);
    x->capacity = 1024;
    x->mask = 2 * x->capacity - 1;
    x->slots = mem_alloc(x->mask + 1, sizeof *x->slots);
    x->values = mem_alloc(x->capacity, sizeof *x->values);
    if (!x->slots || !x->values) return no_memory(x, e);
    x->values[0] = TRIE_NONE;
    x->n_nodes = 1;
    return LEAT_OK;
}

void trie_close(trie *x) {
    mem_free(x->slots);
    mem_free(x->values);
    *x = (trie){0};
}

static void put(uint64_t *slots, size_t mask, uint64_t edge) {
    uint64_t key = edge >> 28;
    size_t at = (size_t)trie_hash((uint32_t)(key >> 8), (unsigned char)key) & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = edge;
}

static leat_status grow(trie *x, leat_error *e) {
    if (x->n_nodes >= NODES_MAX)
        return error_set(e, LEAT_E_VOCAB, "the texts in tokenizer.ggml.tokens need a trie of over %d nodes",
                         NODES_MAX);
    uint32_t *values = mem_resize(x->values, x->capacity, 2 * x->capacity, sizeof *values);
    if (!values) return no_memory(x, e);
    x->values = values;
    size_t mask = 4 * x->capacity - 1;
    uint64_t *slots = mem_alloc(mask + 1, sizeof *slots);
    if (!slots) return no_memory(x, e);
    for (size_t i = 0; i <= x->mask; i++)
        if (x->slots[i]) put(slots, mask, x->slots[i]);
    mem_free(x->slots);
    x->slots = slots;
    x->mask = mask;
    x->capacity *= 2;
    return LEAT_OK;
}

leat_status trie_add(trie *x, const char *p, size_t n, uint32_t value, leat_error *e) {
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)p[i];
        uint32_t child = trie_step(x, node, byte);
        if (child == TRIE_NONE) {
            if (x->n_nodes == x->capacity) {
                leat_status s = grow(x, e);
                if (s) return s;
            }
            child = (uint32_t)x->n_nodes++;
            x->values[child] = TRIE_NONE;
            if (node == TRIE_ROOT)
                x->first[byte] = child;
            else
                put(x->slots, x->mask, ((uint64_t)node << 8 | byte) << 28 | child);
        }
        node = child;
    }
    if (x->values[node] == TRIE_NONE) x->values[node] = value;
    return LEAT_OK;
}
