/* knapsack.h: dynamic programming over lists of states that no other state beats in both bytes and cost,
 * class by class (Nemhauser and Ullmann 1969). A list that grows too long is thinned to the cheapest state of
 * each of many equal ranges of bytes; bytes themselves are never rounded, so that the budget holds. */
#include "knapsack.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/alloc.h"

enum { STATES_TOTAL = 1 << 22, STATES_MAX = 1 << 16, STATES_MIN = 64 };

typedef struct state {
    uint64_t bytes;
    double cost;
} state;

/* How a state came about. */
typedef struct step {
    uint32_t before; /* index in the list of the class before */
    uint8_t item;
} step;

typedef struct found {
    state s;
    step by;
} found;

typedef struct solver {
    size_t max;    /* states kept */
    state *states; /* (max) of the classes so far, ascending in bytes, descending in cost */
    size_t n;
    found *merged; /* (max * items) */
    step **steps;  /* (classes) lists as long as needed */
} solver;

static int by_bytes(const void *a, const void *b) {
    const found *x = a, *y = b;
    if (x->s.bytes != y->s.bytes) return x->s.bytes < y->s.bytes ? -1 : 1;
    if (x->s.cost < y->s.cost || x->s.cost > y->s.cost) return x->s.cost < y->s.cost ? -1 : 1;
    if (x->by.before != y->by.before) return x->by.before < y->by.before ? -1 : 1;
    return x->by.item < y->by.item ? -1 : x->by.item > y->by.item;
}

/* Leaves the states that none beats; of n, sorted. */
static size_t keep_best(found *m, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || m[i].s.cost < m[kept - 1].s.cost) m[kept++] = m[i];
    return kept;
}

/* At most max of them: the last, and so the cheapest, of each range of bytes; and the very first. */
static size_t thin(found *m, size_t n, size_t max) {
    if (n <= max) return n;
    uint64_t from = m[0].s.bytes, width = (m[n - 1].s.bytes - from) / (max - 1) + 1;
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        bool last = i + 1 == n || (m[i].s.bytes - from) / width != (m[i + 1].s.bytes - from) / width;
        if (last) m[kept++] = m[i];
    }
    return kept;
}

/* Adds a class; `left` is what the classes after it take at least. */
static leat_status add_class(solver *k, size_t index, const knapsack_class *c, uint64_t budget, uint64_t left,
                             leat_error *e) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        for (size_t s = 0; s < k->n; s++) {
            uint64_t bytes = k->states[s].bytes + c->items[i].bytes;
            if (bytes > budget - left) break; /* the next states have more */
            k->merged[n++] =
                (found){{bytes, k->states[s].cost + c->items[i].cost}, {(uint32_t)s, (uint8_t)i}};
        }
    qsort(k->merged, n, sizeof *k->merged, by_bytes);
    n = thin(k->merged, keep_best(k->merged, n), k->max);
    k->steps[index] = mem_alloc(n, sizeof **k->steps);
    if (!k->steps[index]) return error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
    for (size_t i = 0; i < n; i++) {
        k->states[i] = k->merged[i].s;
        k->steps[index][i] = k->merged[i].by;
    }
    k->n = n;
    return LEAT_OK;
}

static uint64_t smallest(const knapsack_class *c) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].bytes < least) least = c->items[i].bytes;
    return least;
}

leat_status knapsack_solve(const knapsack_class *classes, size_t n, uint64_t budget, size_t states,
                           uint32_t *choice, uint64_t *least, leat_error *e) {
    solver k = {.max = states};
    leat_status status = LEAT_OK;
    size_t items = 1;
    uint64_t left = 0;
    for (size_t i = 0; i < n; i++) {
        left += smallest(&classes[i]);
        if (classes[i].n > items) items = classes[i].n;
    }
    *least = left;
    if (left > budget)
        return error_set(e, LEAT_E_LIMIT, "%" PRIu64 " bytes are the least, and %" PRIu64 " are wanted", left,
                         budget);
    if (!k.max) k.max = n ? STATES_TOTAL / n : 1;
    if (k.max > STATES_MAX) k.max = STATES_MAX;
    if (k.max < STATES_MIN) k.max = STATES_MIN;
    k.states = mem_alloc(k.max, sizeof *k.states);
    k.merged = mem_alloc(k.max, items * sizeof *k.merged);
    k.steps = mem_alloc(n, sizeof *k.steps);
    if (!k.states || !k.merged || !k.steps) {
        status = error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
        goto fail;
    }
    k.n = 1; /* nothing chosen yet */
    for (size_t i = 0; i < n && !status; i++) {
        left -= smallest(&classes[i]);
        status = add_class(&k, i, &classes[i], budget, left, e);
    }
    if (status) goto fail;
    for (size_t i = n, s = k.n - 1; i-- > 0;) { /* the last state is the cheapest */
        choice[i] = k.steps[i][s].item;
        s = k.steps[i][s].before;
    }
fail:
    for (size_t i = 0; i < n && k.steps; i++) mem_free(k.steps[i]);
    mem_free(k.steps);
    mem_free(k.states);
    mem_free(k.merged);
    return status;
}
