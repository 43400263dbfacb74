/* What a matcher keeps: the sets of tokens that tops of stacks allow. A tree of states from the top down, its
 * children found through one hash table. Bounded: when it holds too much it starts afresh. Called by
 * match.c only. */
#include <string.h>

#include "match.h"
#include "loader/alloc.h"

enum { FIRST_SLOTS = 1 << 10 };

bool cache_open(grammar_matcher *m) {
    m->cache_room = 256;
    m->n_cache = 1;
    m->cache = mem_alloc(m->cache_room, sizeof *m->cache);
    m->cache_slots_n = FIRST_SLOTS;
    m->cache_slots = mem_alloc(FIRST_SLOTS, sizeof *m->cache_slots);
    return m->cache && m->cache_slots;
}

static void drop_sets(grammar_matcher *m) {
    for (size_t i = 0; m->cache && i < m->n_cache; i++) {
        token_set *set = m->cache[i].set;
        if (!set) continue;
        mem_free(set->bits);
        mem_free(set->list);
        mem_free(set);
    }
}

void cache_close(grammar_matcher *m) {
    drop_sets(m);
    mem_free(m->cache);
    mem_free(m->cache_slots);
}

void cache_limit(grammar_matcher *m) {
    if (m->cache_bytes < CACHE_BYTES_MAX) return;
    drop_sets(m);
    m->n_cache = 1;
    m->cache_bytes = 0;
    memset(m->cache_slots, 0, m->cache_slots_n * sizeof *m->cache_slots);
}

static size_t slot_of(const grammar_matcher *m, uint32_t parent, uint32_t symbol) {
    uint64_t hash = ((uint64_t)parent << 32 | symbol) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & (m->cache_slots_n - 1);
}

uint32_t cache_find(const grammar_matcher *m, uint32_t parent, uint32_t symbol) {
    size_t at = slot_of(m, parent, symbol);
    for (uint32_t i; (i = m->cache_slots[at]); at = (at + 1) & (m->cache_slots_n - 1))
        if (m->cache[i].parent == parent && m->cache[i].symbol == symbol) return i;
    return 0;
}

static void put_slot(grammar_matcher *m, uint32_t node) {
    size_t at = slot_of(m, m->cache[node].parent, m->cache[node].symbol);
    while (m->cache_slots[at]) at = (at + 1) & (m->cache_slots_n - 1);
    m->cache_slots[at] = node;
}

uint32_t cache_add(grammar_matcher *m, uint32_t parent, uint32_t symbol) {
    uint32_t found = cache_find(m, parent, symbol);
    if (found) return found;
    if (m->n_cache == m->cache_room) {
        cache_node *grown = mem_resize(m->cache, m->cache_room, 2 * m->cache_room, sizeof *grown);
        if (!grown) return 0;
        m->cache = grown;
        m->cache_room *= 2;
    }
    if (2 * m->n_cache >= m->cache_slots_n) {
        uint32_t *slots = mem_alloc(2 * m->cache_slots_n, sizeof *slots);
        if (!slots) return 0;
        mem_free(m->cache_slots);
        m->cache_slots = slots;
        m->cache_slots_n *= 2;
        for (uint32_t i = 1; i < m->n_cache; i++) put_slot(m, i);
    }
    m->cache[m->n_cache] = (cache_node){.parent = parent, .symbol = symbol};
    m->cache_bytes += sizeof(cache_node);
    put_slot(m, (uint32_t)m->n_cache);
    return (uint32_t)m->n_cache++;
}

const token_set *cache_keep(grammar_matcher *m, uint32_t node) {
    size_t words = m->g->trie.words, n = 0;
    for (size_t i = 0; i < words; i++) n += (size_t)__builtin_popcountll(m->scratch[i]);
    token_set *set = mem_alloc(1, sizeof *set);
    if (!set) return NULL;
    if (n * sizeof *set->list < words * sizeof *set->bits) {
        set->list = mem_alloc(n, sizeof *set->list);
        if (!set->list) goto fail;
        for (size_t i = 0; i < words; i++)
            for (uint64_t word = m->scratch[i]; word; word &= word - 1)
                set->list[set->n++] = (uint32_t)(i * 64 + (size_t)__builtin_ctzll(word));
    } else {
        set->bits = mem_alloc(words, sizeof *set->bits);
        if (!set->bits) goto fail;
        memcpy(set->bits, m->scratch, words * sizeof *set->bits);
    }
    m->cache_bytes += sizeof *set + (set->bits ? words * sizeof *set->bits : n * sizeof *set->list);
    m->cache[node].set = set;
    return set;
fail:
    mem_free(set);
    return NULL;
}
