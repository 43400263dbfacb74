/* The two hash tables of a vocabulary: from bytes to the token, and from a pair of tokens to their merge.
 * Filled by vocab_load.c, read by every merge. Time of each operation is bounded by VOCAB_PROBES_MAX, for any
 * file. */
#include "vocab_impl.h"

#include <string.h>

#include "loader/alloc.h"

leat_status index_open(vocab_index *x, size_t n_values, leat_error *e) {
    size_t slots = 64;
    while (slots / 4 * 3 < n_values) slots *= 2; /* chains are short, and what is cleared is little */
    x->slots = mem_alloc(slots, sizeof *x->slots);
    x->mask = slots - 1;
    if (!x->slots)
        return error_set(e, LEAT_E_NOMEM, "no memory for an index of %zu tokens or merges", n_values);
    return LEAT_OK;
}

static bool same_text(const vocab *v, uint32_t t, const char *p, size_t n) {
    str piece = piece_of(v, t);
    return piece.n == n && memcmp(piece.p, p, n) == 0;
}

uint32_t index_find_text(const vocab *v, const char *p, size_t n, uint64_t hash) {
    const vocab_index *x = &v->texts;
    uint64_t mixed = hash_mix(hash);
    uint32_t tag = (uint32_t)(mixed >> 32);
    size_t at = (size_t)mixed & x->mask;
    for (int i = 0; i < VOCAB_PROBES_MAX; i++, at = (at + 1) & x->mask) {
        struct vocab_slot slot = x->slots[at];
        if (slot.value == 0) return VOCAB_NONE;
        if (slot.tag == tag && same_text(v, slot.value - 1, p, n)) return slot.value - 1;
    }
    return VOCAB_NONE;
}

static uint64_t pair_hash(uint32_t left, uint32_t right) {
    return hash_mix((uint64_t)left << 32 | right);
}

uint32_t index_find_pair(const vocab *v, uint32_t left, uint32_t right) {
    const vocab_index *x = &v->pairs;
    uint64_t mixed = pair_hash(left, right);
    uint32_t tag = (uint32_t)(mixed >> 32);
    size_t at = (size_t)mixed & x->mask;
    for (int i = 0; i < VOCAB_PROBES_MAX; i++, at = (at + 1) & x->mask) {
        struct vocab_slot slot = x->slots[at];
        if (slot.value == 0) return VOCAB_NONE;
        if (slot.tag == tag) {
            const vocab_merge *m = &v->merges[slot.value - 1];
            if (m->left == left && m->right == right) return slot.value - 1;
        }
    }
    return VOCAB_NONE;
}

/* Puts a value that is known not to be there. */
static leat_status put(vocab_index *x, uint32_t value, uint64_t mixed, const char *what, leat_error *e) {
    size_t at = (size_t)mixed & x->mask;
    for (int i = 0; i < VOCAB_PROBES_MAX; i++, at = (at + 1) & x->mask)
        if (x->slots[at].value == 0) {
            x->slots[at] = (struct vocab_slot){value + 1, (uint32_t)(mixed >> 32)};
            return LEAT_OK;
        }
    return error_set(e, LEAT_E_VOCAB,
                     "%s %u has the same hash as a thousand others: this vocabulary is made to be slow", what,
                     (unsigned)value);
}

leat_status index_add_text(vocab *v, uint32_t t, leat_error *e) {
    str piece = piece_of(v, t);
    if (index_find_text(v, piece.p, piece.n, v->hash[t]) != VOCAB_NONE) return LEAT_OK;
    return put(&v->texts, t, hash_mix(v->hash[t]), "token", e);
}

leat_status index_add_pair(vocab *v, uint32_t rank, leat_error *e) {
    const vocab_merge *m = &v->merges[rank];
    if (index_find_pair(v, m->left, m->right) != VOCAB_NONE) return LEAT_OK;
    return put(&v->pairs, rank, pair_hash(m->left, m->right), "merge", e);
}
