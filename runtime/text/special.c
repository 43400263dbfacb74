/* Special tokens inside a text: a sorted list of their texts, searched like a trie by narrowing the range of
 * those that share the bytes read so far. User-defined tokens always match; control and unknown ones only
 * when the caller said that the text may hold them, since otherwise a stranger's text could end a message.
 * Used by vocab_load.c and vocab.c. */
#include "vocab_impl.h"

#include <string.h>

#include "loader/alloc.h"

/* Order by text, then id. */
static bool before(const vocab *v, uint32_t a, uint32_t b) {
    str x = piece_of(v, a), y = piece_of(v, b);
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    if (order) return order < 0;
    return x.n != y.n ? x.n < y.n : a < b;
}

static void sink(const vocab *v, uint32_t *list, size_t n, size_t at) {
    uint32_t value = list[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && before(v, list[child], list[child + 1])) child++;
        if (!before(v, value, list[child])) break;
        list[at] = list[child];
        at = child;
    }
    list[at] = value;
}

/* Heapsort: no recursion, no memory, no bad case. */
static void sort(const vocab *v, uint32_t *list, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sink(v, list, n, i);
    for (size_t end = n; end > 1;) {
        uint32_t last = list[--end];
        list[end] = list[0];
        list[0] = last;
        sink(v, list, end, 0);
    }
}

/* Of tokens with the same text only the first user-defined and the first other one can ever match: forgets
 * the rest, so that matching is bounded by the length of texts, not by the number of copies. */
static uint32_t drop_copies(const vocab *v, uint32_t *list, uint32_t n) {
    uint32_t kept = 0;
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < n; i++) {
        str text = piece_of(v, list[i]);
        if (kept > 0) {
            str last = piece_of(v, list[kept - 1]);
            if (last.n != text.n || memcmp(last.p, text.p, text.n) != 0) seen[0] = seen[1] = false;
        }
        bool *mine = &seen[v->type[list[i]] == TOKEN_USER_DEFINED];
        if (!*mine) list[kept++] = list[i];
        *mine = true;
    }
    return kept;
}

leat_status special_load(vocab *v, leat_error *e) {
    size_t n = 0;
    for (uint32_t t = 0; t < v->n; t++) {
        str piece = piece_of(v, t);
        if (!is_special(v, t) || piece.n == 0) continue;
        if (piece.n > VOCAB_SPECIAL_TEXT_MAX)
            return error_set(e, LEAT_E_VOCAB, "special token %u has a text of %zu bytes; at most %d",
                             (unsigned)t, piece.n, VOCAB_SPECIAL_TEXT_MAX);
        n++;
    }
    v->special = mem_alloc(n, sizeof *v->special);
    if (!v->special) return error_set(e, LEAT_E_NOMEM, "no memory for %zu special tokens", n);
    for (uint32_t t = 0; t < v->n; t++)
        if (is_special(v, t) && piece_of(v, t).n > 0) v->special[v->n_special++] = t;
    sort(v, v->special, v->n_special);
    v->n_special = drop_copies(v, v->special, v->n_special);
    for (uint32_t i = 0; i < v->n_special; i++) {
        unsigned char first = (unsigned char)*piece_of(v, v->special[i]).p;
        v->special_first[first + 1]++;
        v->special_starts[1][first] = true;
        if (v->type[v->special[i]] == TOKEN_USER_DEFINED) v->special_starts[0][first] = true;
    }
    for (int b = 0; b < 256; b++) v->special_first[b + 1] += v->special_first[b];
    return LEAT_OK;
}

/* The first of special[low..high) whose byte at `depth` is at least `byte`; all are longer than `depth`. */
static uint32_t lower_bound(const vocab *v, uint32_t low, uint32_t high, size_t depth, unsigned byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((unsigned char)piece_of(v, v->special[middle]).p[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t special_match(const vocab *v, const char *p, size_t n, bool all) {
    uint32_t low = v->special_first[(unsigned char)*p], high = v->special_first[(unsigned char)*p + 1];
    uint32_t best = VOCAB_NONE;
    for (size_t depth = 1; low < high; depth++) {
        /* Texts that end here sort first, at most two; the lowest id that may match counts. */
        bool found = false;
        for (; low < high && piece_of(v, v->special[low]).n == depth; low++) {
            uint32_t t = v->special[low];
            if (found || !(all || v->type[t] == TOKEN_USER_DEFINED)) continue;
            best = t;
            found = true;
        }
        if (depth == n) break;
        unsigned byte = (unsigned char)p[depth];
        low = lower_bound(v, low, high, depth, byte);
        high = lower_bound(v, low, high, depth, byte + 1);
    }
    return best;
}
