/* See stats.h. */
#include "stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mean_add(mean *m, double x) {
    m->sum += x;
    m->squares += x * x;
    m->n++;
}

static double variance_of_mean(const mean *m) {
    double n = (double)m->n, average = m->sum / n, v = m->squares / n - average * average;
    return m->n > 1 && v > 0 ? v / (n - 1) : 0;
}

estimate mean_of(const mean *m) {
    if (!m->n) return (estimate){NAN, NAN};
    return (estimate){m->sum / (double)m->n, sqrt(variance_of_mean(m))};
}

estimate perplexity_of(const mean *surprise) {
    estimate e = mean_of(surprise);
    double value = exp(e.value);
    return (estimate){value, value * e.error};
}

estimate share_of(size_t hits, size_t n) {
    double p = (double)hits / (double)n;
    if (!n) return (estimate){NAN, NAN};
    return (estimate){p, n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : 0};
}

bool divergence_add(divergence *d, const leat_difference *x) {
    if (d->n == d->capacity) {
        size_t more = d->capacity ? 2 * d->capacity : 4096;
        float *kls = realloc(d->kls, more * sizeof *kls);
        if (kls) d->kls = kls;
        float *dps = realloc(d->dps, more * sizeof *dps);
        if (dps) d->dps = dps;
        if (!kls || !dps) return false;
        d->capacity = more;
    }
    double dp = exp(x->log_prob) - exp(x->base_log_prob);
    mean_add(&d->surprise, -x->log_prob);
    mean_add(&d->base_surprise, -x->base_log_prob);
    d->both += x->log_prob * x->base_log_prob;
    mean_add(&d->kl, x->kl);
    mean_add(&d->dp, dp);
    mean_add(&d->dp_squared, dp * dp);
    d->same_top += x->same_top;
    d->kls[d->n] = (float)x->kl;
    d->dps[d->n] = (float)dp;
    d->n++;
    return true;
}

void divergence_free(divergence *d) {
    free(d->kls);
    free(d->dps);
    *d = (divergence){.n = 0};
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void divergence_sort(divergence *d) {
    if (!d->n) return;
    qsort(d->kls, d->n, sizeof *d->kls, by_size);
    qsort(d->dps, d->n, sizeof *d->dps, by_size);
}

double percentile(const float *sorted, size_t n, double fraction) {
    if (!n) return NAN;
    double at = fraction * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n) return (double)sorted[n - 1];
    return (1 - (at - (double)i)) * (double)sorted[i] + (at - (double)i) * (double)sorted[i + 1];
}

static double covariance_of_means(const divergence *d) {
    double n = (double)d->n;
    if (d->n < 2) return 0;
    return (d->both / n - d->surprise.sum / n * (d->base_surprise.sum / n)) / (n - 1);
}

static double root(double x) { /* of what is 0 but for rounding */
    return x > 0 ? sqrt(x) : 0;
}

estimate divergence_log_ratio(const divergence *d) {
    return (estimate){mean_of(&d->surprise).value - mean_of(&d->base_surprise).value,
                      root(variance_of_mean(&d->surprise) + variance_of_mean(&d->base_surprise) -
                           2 * covariance_of_means(d))};
}

static double correlation(const divergence *d) {
    return covariance_of_means(d) /
           root(variance_of_mean(&d->surprise) * variance_of_mean(&d->base_surprise));
}

static estimate ratio_of(const divergence *d) {
    estimate e = divergence_log_ratio(d);
    double value = exp(e.value);
    return (estimate){value, value * e.error};
}

static estimate difference_of(const divergence *d) {
    estimate a = perplexity_of(&d->surprise), b = perplexity_of(&d->base_surprise);
    double both = a.value * b.value * covariance_of_means(d);
    return (estimate){a.value - b.value, root(a.error * a.error + b.error * b.error - 2 * both)};
}

estimate divergence_dp_rms(const divergence *d) {
    estimate e = mean_of(&d->dp_squared);
    double value = sqrt(e.value);
    return (estimate){value, value > 0 ? e.error / (2 * value) : 0};
}

static const struct {
    const char *name, *key;
    double fraction;
} kl_rows[] = {
    {"max", "max", 1},    {"99.9 %", "p99_9", 0.999}, {"99 %", "p99", 0.99}, {"95 %", "p95", 0.95},
    {"90 %", "p90", 0.9}, {"median", "median", 0.5},  {"10 %", "p10", 0.1},  {"min", "min", 0},
};
enum { N_KL_ROWS = sizeof kl_rows / sizeof *kl_rows };

static void row(const char *name, estimate e, double scale, const char *unit) {
    printf("%-22s %12.6f ± %.6f%s\n", name, scale * e.value, scale * e.error, unit);
}

void divergence_print(divergence *d, const char *base) {
    divergence_sort(d);
    printf("Against %s, over %zu tokens:\n", base, d->n);
    row("perplexity", perplexity_of(&d->surprise), 1, "");
    row("  of the base", perplexity_of(&d->base_surprise), 1, "");
    row("  difference", difference_of(d), 1, "");
    row("  ratio", ratio_of(d), 1, "");
    row("  ln(ratio)", divergence_log_ratio(d), 1, "");
    printf("%-22s %12.2f %%\n", "  correlation of ln", 100 * correlation(d));
    row("KL divergence, mean", mean_of(&d->kl), 1, "");
    for (size_t i = 0; i < N_KL_ROWS; i++)
        printf("  %-20s %12.6f\n", kl_rows[i].name, percentile(d->kls, d->n, kl_rows[i].fraction));
    row("dp, mean", mean_of(&d->dp), 100, " %");
    row("dp, root mean square", divergence_dp_rms(d), 100, " %");
    row("same top token", share_of(d->same_top, d->n), 100, " %");
}

void json_estimate(json *j, const char *name, estimate e) {
    char error[80];
    snprintf(error, sizeof error, "%s_error", name);
    json_name(j, name);
    json_f64(j, e.value);
    json_name(j, error);
    json_f64(j, e.error);
}

void divergence_json(divergence *d, json *j) {
    divergence_sort(d);
    json_estimate(j, "base_perplexity", perplexity_of(&d->base_surprise));
    json_estimate(j, "perplexity_difference", difference_of(d));
    json_estimate(j, "perplexity_ratio", ratio_of(d));
    json_estimate(j, "log_perplexity_ratio", divergence_log_ratio(d));
    json_name(j, "correlation");
    json_f64(j, correlation(d));
    json_estimate(j, "kl_mean", mean_of(&d->kl));
    for (size_t i = 0; i < N_KL_ROWS; i++) {
        char key[16];
        snprintf(key, sizeof key, "kl_%s", kl_rows[i].key);
        json_name(j, key);
        json_f64(j, percentile(d->kls, d->n, kl_rows[i].fraction));
    }
    json_estimate(j, "dp_mean", mean_of(&d->dp));
    json_estimate(j, "dp_rms", divergence_dp_rms(d));
    static const struct {
        const char *key;
        double fraction;
    } dp_rows[] = {{"dp_min", 0},   {"dp_p1", 0.01},  {"dp_p10", 0.1}, {"dp_median", 0.5},
                   {"dp_p90", 0.9}, {"dp_p99", 0.99}, {"dp_max", 1}};
    for (size_t i = 0; i < sizeof dp_rows / sizeof *dp_rows; i++) {
        json_name(j, dp_rows[i].key);
        json_f64(j, percentile(d->dps, d->n, dp_rows[i].fraction));
    }
    json_estimate(j, "same_top", share_of(d->same_top, d->n));
}
