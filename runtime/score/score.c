/* See score.h. Sums run over a whole vocabulary for every token of a text, so the inner loops are free of
 * branches and calls: compilers turn them into vector code, which is as fast as is needed beside a model. */
#include "score.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,  /* sums side by side */
    BLOCK = 1024 /* values summed up in float32 before they go to a double */
};

#define EXP_MIN (-87.0f) /* what is rarer than exp of this adds nothing to a sum */
#define LOG_MIN (-1e6f)  /* and stands for -INFINITY, which can't be subtracted */

/* exp(x) for x <= 0, relative error about 1e-7. x = n log 2 + r, |r| <= log(2) / 2; log 2 in two parts, the
 * first with so few bits that n times it is exact. */
static inline float exp_down(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number, in the lowest bits */
    x = x < EXP_MIN ? EXP_MIN : x;
    float shifted = x * 1.44269504f + magic, n = shifted - magic;
    float r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1.0f / 720;
    uint32_t bits;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3F800000u;
    memcpy(&r, &bits, sizeof r);
    return p * r;
}

static double add_up(const float lane[LANES]) {
    double sum = 0.0;
    for (size_t i = 0; i < LANES; i++) sum += (double)lane[i];
    return sum;
}

static float largest(const float *x, size_t n) {
    float lane[LANES], max = x[0];
    size_t i = 0;
    for (size_t j = 0; j < LANES; j++) lane[j] = max;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++) max = x[i] > max ? x[i] : max;
    for (size_t j = 0; j < LANES; j++) max = lane[j] > max ? lane[j] : max;
    return max;
}

double score_log_sum(const float *x, size_t n) {
    float max = largest(x, n);
    double sum = 0.0;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t i = first, end = n - first < BLOCK ? n : first + BLOCK;
        float lane[LANES] = {0};
        for (; i + LANES <= end; i += LANES)
            for (size_t j = 0; j < LANES; j++) lane[j] += exp_down(x[i + j] - max);
        for (; i < end; i++) lane[0] += exp_down(x[i] - max);
        sum += add_up(lane);
    }
    return (double)max + log(sum);
}

/* p (d - 1) + q for logarithms of probabilities a and b, p = exp a, q = exp b, d = a - b. Summed up over a
 * vocabulary that is the divergence, as the sums of p and of q are 1; no term is negative, and where a and b
 * are near each other nothing cancels: p (d - 1 + exp(-d)) is a series then. */
static inline float kl_term(float a, float b) {
    a = a < LOG_MIN ? LOG_MIN : a;
    b = b < LOG_MIN ? LOG_MIN : b;
    float p = exp_down(a < 0 ? a : 0), q = exp_down(b < 0 ? b : 0), d = a - b;
    float series =
        p * d * d * (0.5f + d * (-1.0f / 6 + d * (1.0f / 24 + d * (-1.0f / 120 + d * (1.0f / 720)))));
    float far = p * (d - 1.0f) + q;
    return d < 0.25f && d > -0.25f ? series : far;
}

/* With `part`, over the values only that base knows: what p and q lack to add up to 1 is about the same. */
static inline double kl_of(const float *base, double base_sum, const float *logits, double sum, size_t n,
                           bool part) {
    float base_shift = (float)base_sum, shift = (float)sum;
    double kl = 0.0;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t i = first, end = n - first < BLOCK ? n : first + BLOCK;
        float lane[LANES] = {0};
        for (; i + LANES <= end; i += LANES)
            for (size_t j = 0; j < LANES; j++)
                lane[j] += part && base[i + j] < LOG_MIN
                               ? 0.0f
                               : kl_term(base[i + j] - base_shift, logits[i + j] - shift);
        for (; i < end; i++)
            if (!part || base[i] >= LOG_MIN) lane[0] += kl_term(base[i] - base_shift, logits[i] - shift);
        kl += add_up(lane);
    }
    return kl > 0.0 || kl != kl ? kl : 0.0;
}

double score_kl(const float *base, const float *logits, size_t n) {
    return kl_of(base, score_log_sum(base, n), logits, score_log_sum(logits, n), n, false);
}

/* The first of the largest. */
static size_t top(const float *x, size_t n) {
    float max = largest(x, n);
    size_t i = 0;
    while (i + 1 < n && x[i] != max) i++;
    return i;
}

void score_compare(const float *base, bool log_probs, const float *logits, size_t n, size_t token,
                   leat_difference *out) {
    double base_sum = log_probs ? 0.0 : score_log_sum(base, n), sum = score_log_sum(logits, n);
    *out = (leat_difference){.log_prob = (double)logits[token] - sum,
                             .base_log_prob = (double)base[token] - base_sum,
                             .kl = log_probs ? kl_of(base, base_sum, logits, sum, n, true)
                                             : kl_of(base, base_sum, logits, sum, n, false),
                             .same_top = top(base, n) == top(logits, n)};
}
