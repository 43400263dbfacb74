/* What the suites of the sampler share: random numbers that are the same on every run, and parameters that
 * leave a distribution as it is. */
#ifndef LEAT_TESTS_UNIT_SAMPLE_SUPPORT_H
#define LEAT_TESTS_UNIT_SAMPLE_SUPPORT_H

#include "runtime/sample/sample.h"

static uint64_t state;
static uint64_t random_u64(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
static double random_unit(void) {
    return (double)(random_u64() >> 11) * 0x1p-53;
}

/* All steps off, temperature 1. */
static leat_sampler_params neutral(void) {
    leat_sampler_params p = sampler_defaults;
    p.seed = 1;
    p.temp = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    return p;
}

#endif
