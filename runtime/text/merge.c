/* The inner loop of both tokenizers: in a row of symbols, merge the two neighbours of best priority, the
 * leftmost on a tie, until no two neighbours merge. Called by spm.c and bpe.c for one stretch of text at a
 * time.
 *
 * Short stretches, nearly all in real text, look for the best pair by scanning; long ones keep a heap. A heap
 * entry is never removed when its pair disappears: it is out of date when the candidate at its offset is gone
 * or has another priority, and skipped when it comes up. (With the same priority at the same place it is as
 * good as new.) Each merge adds at most two entries, so there are at most 3 n in all and the time is O(n log
 * n); it never depends on what the text is. */
#include "vocab_impl.h"

#include <string.h>

#include "loader/alloc.h"

enum { SCAN_MAX = 32 }; /* bytes of a stretch up to which scanning beats a heap */

leat_status merger_reserve(merger *m, size_t n, leat_error *e) {
    if (n <= m->capacity) return LEAT_OK;
    if (n >= UINT32_MAX / 2)
        return error_set(e, LEAT_E_LIMIT,
                         "%zu bytes of text that can't be cut into words are too many; at most %u", n,
                         (unsigned)(UINT32_MAX / 2 - 1));
    size_t capacity = m->capacity < 256 ? 256 : m->capacity + m->capacity / 2;
    if (capacity < n) capacity = n;
    /* Each pointer is replaced as soon as it moved, so that a failure half way leaves nothing lost. */
    char *text = mem_resize(m->text, m->capacity, capacity, 1);
    if (text) m->text = text;
    uint32_t *length = mem_resize(m->length, m->capacity, capacity, sizeof *length);
    if (length) m->length = length;
    uint32_t *token = mem_resize(m->token, m->capacity, capacity, sizeof *token);
    if (token) m->token = token;
    uint32_t *candidate = mem_resize(m->candidate, m->capacity, capacity, sizeof *candidate);
    if (candidate) m->candidate = candidate;
    if (!text || !length || !token || !candidate)
        return error_set(e, LEAT_E_NOMEM, "no memory to tokenize a word of %zu bytes", n);
    m->capacity = capacity;
    return LEAT_OK;
}

void merger_free(merger *m) {
    mem_free(m->text);
    mem_free(m->length);
    mem_free(m->token);
    mem_free(m->candidate);
    mem_free(m->heap);
}

static uint64_t symbol_hash(const vocab *v, const merger *m, const char *text, size_t at) {
    uint32_t token = m->token[at];
    return token != VOCAB_NONE ? v->hash[token] : text_hash(text + at, m->length[at]);
}

/* What the symbol at `left` and its right neighbour at `right` merge into. */
static uint32_t join(const vocab *v, merger *m, const char *text, size_t left, size_t right) {
    m->work++;
    if (merges_by_rank(v)) {
        if (m->token[left] == VOCAB_NONE || m->token[right] == VOCAB_NONE) return VOCAB_NONE;
        return index_find_pair(v, m->token[left], m->token[right]);
    }
    size_t length = (size_t)m->length[left] + m->length[right];
    if (length > v->longest_text) return VOCAB_NONE;
    uint64_t hash =
        symbol_hash(v, m, text, left) * v->power[m->length[right]] + symbol_hash(v, m, text, right);
    return index_find_text(v, text + left, length, hash);
}

static uint32_t priority_of(const vocab *v, uint32_t candidate) {
    return merges_by_rank(v) ? candidate : v->priority[candidate];
}

/* Finds the candidate at `at` anew; its key, or UINT64_MAX when there is none. */
static uint64_t refresh(const vocab *v, merger *m, const char *text, size_t n, size_t at) {
    size_t right = at + m->length[at];
    uint32_t candidate = right < n ? join(v, m, text, at, right) : VOCAB_NONE;
    m->candidate[at] = candidate;
    return candidate == VOCAB_NONE ? UINT64_MAX : (uint64_t)priority_of(v, candidate) << 32 | at;
}

/* Carries out the merge at `at`; returns where the right one was. */
static size_t merge_at(const vocab *v, merger *m, size_t at) {
    uint32_t candidate = m->candidate[at];
    size_t right = at + m->length[at];
    m->candidate[right] = VOCAB_NONE;
    merger_symbol(m, at, (size_t)m->length[at] + m->length[right],
                  merges_by_rank(v) ? v->merges[candidate].token : candidate);
    return right;
}

static void run_scanning(const vocab *v, merger *m, const char *text, size_t n) {
    uint64_t keys[SCAN_MAX];
    for (size_t i = 0; i < n; i++) keys[i] = UINT64_MAX;
    for (size_t at = 0; at < n; at += m->length[at]) keys[at] = refresh(v, m, text, n, at);
    for (;;) {
        uint64_t best = UINT64_MAX;
        for (size_t i = 0; i < n; i++) best = keys[i] < best ? keys[i] : best;
        m->work += n;
        if (best == UINT64_MAX) return;
        size_t at = best & UINT32_MAX;
        keys[merge_at(v, m, at)] = UINT64_MAX;
        keys[at] = refresh(v, m, text, n, at);
        if (at > 0) {
            size_t left = at - m->length[at - 1];
            keys[left] = refresh(v, m, text, n, left);
        }
    }
}

/* The heap has four children per entry, all in one cache line: the root is at HEAP_ROOT, so that the children
 * of i start at 4 (i - 2), a multiple of four in memory that is aligned to 64 bytes. */
enum { HEAP_ROOT = 3 };

static size_t heap_parent(size_t at) {
    return at / 4 + 2;
}

static size_t heap_child(size_t at) {
    return 4 * (at - 2);
}

static leat_status push(merger *m, uint64_t key, leat_error *e) {
    if (key == UINT64_MAX) return LEAT_OK;
    m->work++;
    if (m->heap_end >= m->heap_capacity) {
        size_t capacity = m->heap_capacity + m->heap_capacity / 2 + 64;
        uint64_t *heap = mem_resize(m->heap, m->heap_capacity, capacity, sizeof *heap);
        if (!heap) return error_set(e, LEAT_E_NOMEM, "no memory to tokenize a long word");
        m->heap = heap;
        m->heap_capacity = capacity;
    }
    size_t at = m->heap_end++;
    while (at > HEAP_ROOT && m->heap[heap_parent(at)] > key) {
        m->heap[at] = m->heap[heap_parent(at)];
        at = heap_parent(at);
    }
    m->heap[at] = key;
    return LEAT_OK;
}

static uint64_t pop(merger *m) {
    uint64_t *heap = m->heap, top = heap[HEAP_ROOT], key = heap[--m->heap_end];
    size_t at = HEAP_ROOT, n = m->heap_end;
    m->work++;
    for (;;) {
        size_t child = heap_child(at), best = at, end = child + 4 < n ? child + 4 : n;
        uint64_t least = key;
        for (; child < end; child++)
            if (heap[child] < least) {
                least = heap[child];
                best = child;
            }
        if (best == at) break;
        heap[at] = least;
        at = best;
    }
    if (n > HEAP_ROOT) heap[at] = key;
    return top;
}

static leat_status run_heap(const vocab *v, merger *m, const char *text, size_t n, leat_error *e) {
    leat_status s = LEAT_OK;
    m->heap_end = HEAP_ROOT;
    for (size_t at = 0; at < n && s == LEAT_OK; at += m->length[at])
        s = push(m, refresh(v, m, text, n, at), e);
    while (s == LEAT_OK && m->heap_end > HEAP_ROOT) {
        uint64_t key = pop(m);
        size_t at = key & UINT32_MAX;
        uint32_t candidate = m->candidate[at];
        if (candidate == VOCAB_NONE || priority_of(v, candidate) != key >> 32) continue;
        merge_at(v, m, at);
        s = push(m, refresh(v, m, text, n, at), e);
        if (s == LEAT_OK && at > 0) s = push(m, refresh(v, m, text, n, at - m->length[at - 1]), e);
    }
    return s;
}

leat_status merger_run(const vocab *v, merger *m, const char *text, size_t n, leat_error *e) {
    if (n > SCAN_MAX) return run_heap(v, m, text, n, e);
    run_scanning(v, m, text, n);
    return LEAT_OK;
}
