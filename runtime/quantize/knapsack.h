/* Which type for which tensor: of each class exactly one item, so that the sum of costs is as small as it can
 * be while the sum of bytes stays within a budget (the multiple-choice knapsack problem). Used by
 * search.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_KNAPSACK_H
#define LEAT_RUNTIME_QUANTIZE_KNAPSACK_H

#include <stddef.h>
#include <stdint.h>

#include "loader/error.h"

typedef struct knapsack_item {
    uint64_t bytes;
    double cost; /* finite, not negative */
} knapsack_item;

typedef struct knapsack_class {
    const knapsack_item *items;
    size_t n; /* 1 .. 255 */
} knapsack_class;

/* choice[c] becomes the index of the item of class c. LEAT_E_LIMIT if even the smallest items do not fit;
 * *least is what they take. Exact while no more than `states` combinations are worth keeping, and then as
 * good as that many let it be; states 0: enough for a few hundred classes. The sum of bytes is always within
 * the budget, and the result depends on nothing but the arguments. */
leat_status knapsack_solve(const knapsack_class *classes, size_t n, uint64_t budget, size_t states,
                           uint32_t *choice, uint64_t *least, leat_error *e);

#endif
