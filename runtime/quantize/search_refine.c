/* search.h: the mix as a whole, measured. Costs that were measured tensor by tensor are added up as if they
 * did not meet; where they do, exchanging bits between two tensors may help. The most promising exchanges by
 * their costs are tried, and those that lower the measured divergence stay. */
#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "search.h"

/* Candidate `up` gets a larger type, `down` a smaller one (SIZE_MAX: none has to). */
typedef struct exchange {
    size_t up, down;
    uint32_t up_to, down_to;
    double cost; /* change of the sum of costs */
} exchange;

static uint64_t bytes_of(const search *s) {
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n; i++) sum += s->c[i].bytes[s->c[i].choice];
    return sum;
}

static bool tried_before(const exchange *tried, size_t n, const exchange *x) {
    for (size_t i = 0; i < n; i++)
        if (tried[i].up == x->up && tried[i].down == x->down && tried[i].up_to == x->up_to &&
            tried[i].down_to == x->down_to)
            return true;
    return false;
}

static void consider(exchange *best, const exchange *x, const exchange *tried, size_t n_tried) {
    if (x->cost < best->cost && !tried_before(tried, n_tried, x)) *best = *x;
}

/* The exchange with the least sum of costs that keeps to the budget and was not tried yet; false if there is
 * none. */
static bool next_exchange(const search *s, const exchange *tried, size_t n_tried, exchange *best) {
    uint64_t left = s->budget - bytes_of(s);
    best->cost = INFINITY;
    for (size_t up = 0; up < s->n; up++) {
        const candidate *a = &s->c[up];
        for (uint32_t k = a->choice + 1; k < a->n && k <= a->choice + 2; k++) {
            uint64_t more = a->bytes[k] - a->bytes[a->choice];
            double gain = a->cost[k] - a->cost[a->choice];
            if (more <= left) consider(best, &(exchange){up, SIZE_MAX, k, 0, gain}, tried, n_tried);
            for (size_t down = 0; down < s->n; down++) {
                const candidate *b = &s->c[down];
                if (down == up) continue;
                for (uint32_t j = b->choice; j-- > 0 && j + 2 >= b->choice;)
                    if (more <= left + (b->bytes[b->choice] - b->bytes[j]))
                        consider(best, &(exchange){up, down, k, j, gain + b->cost[j] - b->cost[b->choice]},
                                 tried, n_tried);
            }
        }
    }
    return best->cost < INFINITY;
}

static leat_status apply(search *s, const exchange *x, uint32_t was[2], leat_error *e) {
    was[0] = s->c[x->up].choice;
    s->c[x->up].choice = x->up_to;
    leat_status status = search_put(s, x->up, x->up_to, e);
    if (status || x->down == SIZE_MAX) return status;
    was[1] = s->c[x->down].choice;
    s->c[x->down].choice = x->down_to;
    return search_put(s, x->down, x->down_to, e);
}

static leat_status take_back(search *s, const exchange *x, const uint32_t was[2], leat_error *e) {
    s->c[x->up].choice = was[0];
    leat_status status = search_put(s, x->up, was[0], e);
    if (status || x->down == SIZE_MAX) return status;
    s->c[x->down].choice = was[1];
    return search_put(s, x->down, was[1], e);
}

leat_status search_refine(search *s, size_t trials, leat_error *e) {
    leat_status status = LEAT_OK;
    uint32_t was[2] = {0, 0};
    double best = 0, mean = 0;
    size_t n_tried = 0;
    exchange x, *tried = mem_alloc(trials, sizeof *tried);
    if (!tried) return error_set(e, LEAT_E_NOMEM, "out of memory for choosing types");
    for (size_t i = 0; i < s->n && !status; i++) status = search_put(s, i, s->c[i].choice, e);
    if (!status) status = search_divergence(s, &best, e);
    for (size_t i = 0; i < trials && !status && next_exchange(s, tried, n_tried, &x); i++) {
        tried[n_tried++] = x;
        if ((status = apply(s, &x, was, e)) || (status = search_divergence(s, &mean, e))) break;
        if (mean < best) {
            best = mean;
            n_tried = 0; /* from here, what failed may help */
        } else
            status = take_back(s, &x, was, e);
        if (!status) status = search_report(s, e);
    }
    s->plan->measured = best;
    mem_free(tried);
    return status;
}
