/* Building the trie of trie.h: tokens sorted by their bytes, then one pass. Called by grammar.c. */
#include "trie.h"

#include <string.h>

#include "loader/alloc.h"

static bool copy_pieces(token_trie *t, const vocab *v) {
    size_t total = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++) total += vocab_piece(v, (int32_t)i, false).n;
    t->bytes = mem_alloc(total, 1);
    t->piece_at = mem_alloc((size_t)t->n_vocab + 1, sizeof *t->piece_at);
    t->sorted = mem_alloc(t->n_vocab, sizeof *t->sorted);
    t->ends = mem_alloc(t->words, sizeof *t->ends);
    if (!t->bytes || !t->piece_at || !t->sorted || !t->ends) return false;
    size_t at = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        str piece = vocab_piece(v, (int32_t)i, false);
        if (piece.n) memcpy(t->bytes + at, piece.p, piece.n);
        t->piece_at[i + 1] = (uint32_t)(at += piece.n);
        if (vocab_is_end(v, (int32_t)i)) {
            t->ends[i / 64] |= UINT64_C(1) << i % 64;
        } else if (piece.n) {
            t->sorted[t->n_sorted++] = i;
            if (piece.n > t->longest) t->longest = (uint32_t)piece.n;
        }
    }
    return true;
}

/* Does a come before b, or are they equal? Ties keep their order. */
static bool in_order(const token_trie *t, uint32_t a, uint32_t b) {
    str x = trie_piece(t, a), y = trie_piece(t, b);
    int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return c < 0 || (c == 0 && x.n <= y.n);
}

/* Merge sort, from pairs up. */
static bool sort_tokens(token_trie *t) {
    size_t n = t->n_sorted;
    uint32_t *from = t->sorted, *to = mem_alloc(t->n_vocab, sizeof *to);
    if (!to) return false;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t mid = low + width < n ? low + width : n, high = low + 2 * width < n ? low + 2 * width : n;
            size_t i = low, j = mid, k = low;
            while (i < mid && j < high) to[k++] = in_order(t, from[i], from[j]) ? from[i++] : from[j++];
            while (i < mid) to[k++] = from[i++];
            while (j < high) to[k++] = from[j++];
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    t->sorted = from;
    mem_free(to);
    return true;
}

static size_t common(str a, str b) {
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) n++;
    return n;
}

static leat_status build_nodes(token_trie *t, leat_error *e) {
    size_t total = 0;
    str before = {NULL, 0};
    for (size_t i = 0; i < t->n_sorted; i++) {
        str piece = trie_piece(t, t->sorted[i]);
        total += piece.n - common(before, piece);
        before = piece;
    }
    t->nodes = mem_alloc(total + 1, sizeof *t->nodes);
    uint32_t *open = mem_alloc((size_t)t->longest + 1, sizeof *open); /* node at each depth on the way here */
    if (!t->nodes || !open || total >= UINT32_MAX) {
        mem_free(open);
        return error_set(e, LEAT_E_NOMEM, "out of memory for the tokens of a grammar");
    }
    before = (str){NULL, 0};
    for (size_t i = 0; i < t->n_sorted; i++) {
        str piece = trie_piece(t, t->sorted[i]);
        size_t shared = common(before, piece);
        for (size_t depth = before.n; depth > shared; depth--)
            t->nodes[open[depth]].skip = (uint32_t)t->n_nodes;
        for (size_t depth = shared + 1; depth <= piece.n; depth++) {
            open[depth] = (uint32_t)t->n_nodes;
            t->nodes[t->n_nodes++] = (trie_node){
                .first = (uint32_t)i, .byte = (unsigned char)piece.p[depth - 1], .depth = (uint32_t)depth};
        }
        trie_node *own = &t->nodes[open[piece.n]];
        if (own->n < UINT16_MAX) own->n++;
        before = piece;
    }
    for (size_t depth = before.n; depth > 0; depth--) t->nodes[open[depth]].skip = (uint32_t)t->n_nodes;
    t->nodes[t->n_nodes].first = (uint32_t)t->n_sorted;
    mem_free(open);
    return LEAT_OK;
}

leat_status trie_build(token_trie *t, const vocab *v, leat_error *e) {
    t->n_vocab = vocab_size(v);
    t->words = ((size_t)t->n_vocab + 63) / 64;
    if (!copy_pieces(t, v) || !sort_tokens(t))
        return error_set(e, LEAT_E_NOMEM, "out of memory for the tokens of a grammar");
    return build_nodes(t, e);
}

void trie_free(token_trie *t) {
    mem_free(t->nodes);
    mem_free(t->sorted);
    mem_free(t->bytes);
    mem_free(t->piece_at);
    mem_free(t->ends);
}
