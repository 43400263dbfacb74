/* Judging logits, against double precision sums written down as they are defined. */
#include <math.h>
#include <stdlib.h>

#include "runtime/score/score.h"
#include "tests/harness/test.h"

enum { N_MAX = 5000 };

static double log_sum(const float *x, size_t n) {
    double sum = 0, max = -INFINITY;
    for (size_t i = 0; i < n; i++) max = x[i] > max ? (double)x[i] : max;
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static double kl(const float *p, const float *q, size_t n) {
    double sum = 0, p_sum = log_sum(p, n), q_sum = log_sum(q, n);
    for (size_t i = 0; i < n; i++) {
        double a = (double)p[i] - p_sum, b = (double)q[i] - q_sum;
        if (isfinite(a)) sum += exp(a) * (a - b);
    }
    return sum;
}

static float noise(uint32_t *state) { /* about normal */
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) / 16777216.0f - 0.5f;
    }
    return sum * 1.7f;
}

static void against_doubles(test *t) {
    static const size_t sizes[] = {1, 2, 15, 16, 17, 1023, 1024, 1025, N_MAX};
    static const float differences[] = {0, 1e-4f, 1e-2f, 0.3f, 3, 30}, scales[] = {0.1f, 3, 12};
    static float p[N_MAX], q[N_MAX];
    uint32_t state = 7;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof differences / sizeof *differences; j++)
            for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
                size_t n = sizes[i], token = (i * 7 + j * 3 + k) % n;
                leat_difference d;
                for (size_t v = 0; v < n; v++) {
                    p[v] = scales[k] * noise(&state) - 20;
                    q[v] = p[v] + differences[j] * noise(&state) + 5;
                }
                double want = kl(p, q, n);
                score_compare(p, false, q, n, token, &d);
                CHECK(t, fabs(d.log_prob - ((double)q[token] - log_sum(q, n))) < 1e-6);
                CHECK(t, fabs(d.base_log_prob - ((double)p[token] - log_sum(p, n))) < 1e-6);
                if (!(fabs(d.kl - want) <= 1e-9 + 3e-6 * want))
                    TEST_FAIL(t, "n %zu, difference %g: %.12g, not %.12g", n, (double)differences[j], d.kl,
                              want);
                CHECK(t, d.kl >= 0 && d.kl == score_kl(p, q, n));
                if (j == 0) CHECK(t, d.same_top);
            }
}

/* Tokens that can't come, and values as extreme as float32 has. */
static void extremes(test *t) {
    float p[] = {0, -INFINITY, -1, 3e38f}, q[] = {0, -INFINITY, -1, -3e38f};
    leat_difference d;
    score_compare(p, false, p, 3, 0, &d);
    CHECK(t, d.kl == 0 && d.same_top && fabs(d.log_prob + log(1 + exp(-1))) < 1e-6);
    score_compare(p, false, q, 4, 3, &d);
    CHECK(t, isfinite(d.kl) && d.kl > 80 && !d.same_top);
    score_compare(q, false, p, 4, 1, &d);
    CHECK(t, isfinite(d.kl) && d.kl > 80 && d.log_prob == -INFINITY);
    p[1] = NAN;
    CHECK(t, isnan(score_log_sum(p, 3)));
}

/* Probabilities of which the rare ones were not kept: nearly the same divergence as with all of them. */
static void parts(test *t) {
    static float p[N_MAX], q[N_MAX];
    uint32_t state = 3;
    leat_difference all, part;
    for (size_t i = 0; i < N_MAX; i++) {
        p[i] = 6 * noise(&state);
        q[i] = p[i] + 0.05f * noise(&state);
    }
    double sum = score_log_sum(p, N_MAX), kept = 0;
    score_compare(p, false, q, N_MAX, 1, &all);
    for (size_t i = 0; i < N_MAX; i++) p[i] = (float)((double)p[i] - sum);
    score_compare(p, true, q, N_MAX, 1, &part);
    CHECK(t, fabs(part.kl - all.kl) < 1e-5 * all.kl && fabs(part.base_log_prob - all.base_log_prob) < 1e-5);
    for (size_t i = 0; i < N_MAX; i++) {
        if (p[i] < -14) p[i] = -INFINITY;
        kept += exp((double)p[i]);
    }
    CHECK(t, kept < 1 - 1e-4 && kept > 0.99);
    score_compare(p, true, q, N_MAX, 1, &part);
    CHECK(t, fabs(part.kl - all.kl) < 0.02 * all.kl);
}

static void arguments(test *t) {
    float x[] = {1, 2};
    leat_difference d;
    leat_error e;
    CHECK(t, isnan(leat_log_prob(NULL, 2, 0)) && isnan(leat_log_prob(x, 2, 2)) &&
                 isnan(leat_log_prob(x, 2, -1)) && isnan(leat_log_prob(x, 0, 0)));
    CHECK(t, fabs(leat_log_prob(x, 2, 1) + log(1 + exp(-1))) < 1e-6);
    CHECK_EQ(t, leat_logits_compare(NULL, false, x, 2, 0, &d, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_logits_compare(x, false, NULL, 2, 0, &d, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_logits_compare(x, false, x, 2, 0, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_logits_compare(x, false, x, 2, 2, &d, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_logits_compare(x, false, x, 0, 0, &d, NULL), LEAT_E_ARG);
    CHECK_EQ(t, leat_logits_compare(x, false, x, 2, 0, &d, &e), LEAT_OK);
    CHECK_EQ(t, e.code, LEAT_OK);
}

#define TESTS(X) X(against_doubles) X(extremes) X(parts) X(arguments)
TEST_SUITE(TESTS)
