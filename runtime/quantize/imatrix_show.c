/* imatrix.h: what an entry amounts to in a few numbers, as llama.cpp's --show-statistics defines them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "imatrix.h"

/* A mean below this is a column that nothing comes through. */
static const double active_from = 1e-5;

/* The mean square of column i; false for an expert that no token used. */
static bool mean_of(const imatrix_entry *x, size_t i, double *out) {
    double count = x->counts[i / (x->n / x->n_count)];
    *out = count > 0 ? x->sums[i] / count : 0;
    return count > 0;
}

/* The entry of the same kind one layer before: blk.N-1. for blk.N. */
static const imatrix_entry *previous(const leat_imatrix *m, const imatrix_entry *x, uint32_t *layer) {
    char name[160];
    unsigned number = 0;
    int rest = 0;
    *layer = UINT32_MAX;
    if (sscanf(x->name, "blk.%9u%n", &number, &rest) != 1 || x->name[rest] != '.') return NULL;
    *layer = number;
    if (!number || strlen(x->name) > 120) return NULL;
    snprintf(name, sizeof name, "blk.%u%s", number - 1, x->name + rest);
    return imatrix_find(m, name, strlen(name));
}

static double cosine(const imatrix_entry *a, const imatrix_entry *b) {
    double ab = 0, aa = 0, bb = 0, x, y;
    if (!b || a->n != b->n) return NAN;
    for (size_t i = 0; i < a->n; i++) {
        mean_of(a, i, &x);
        mean_of(b, i, &y);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa > 0 || bb > 0 ? 0 : 1;
}

void imatrix_describe(const leat_imatrix *m, size_t index, leat_imatrix_entry *out) {
    const imatrix_entry *x = &m->entries[index];
    double v, squares = 0, beyond = 0, used = 0, active = 0;
    *out = (leat_imatrix_entry){.name = {x->name, strlen(x->name)},
                                .n_values = x->n,
                                .n_experts = x->n_count,
                                .min = INFINITY,
                                .max = -INFINITY};
    out->cosine = cosine(x, previous(m, x, &out->layer));
    for (size_t i = 0; i < x->n_count; i++) {
        out->count = x->counts[i] > out->count ? x->counts[i] : out->count;
        out->n_unused += x->counts[i] <= 0;
    }
    for (size_t i = 0; i < x->n; i++) {
        if (!mean_of(x, i, &v)) continue;
        used++;
        out->sum += v;
        squares += v * v;
        active += v > active_from;
        if (v < out->min) out->min = v;
        if (v > out->max) out->max = v;
    }
    if (used < 1) {
        out->min = out->max = 0;
        return;
    }
    out->mean = out->sum / used;
    double variance = squares / used - out->mean * out->mean;
    out->deviation = variance > 0 ? sqrt(variance) : 0;
    out->active = active / used;
    for (size_t i = 0; i < x->n; i++) {
        if (!mean_of(x, i, &v)) continue;
        if (v > 0 && out->sum > 0) out->entropy -= v / out->sum * log2(v / out->sum);
        beyond += out->deviation > 0 && fabs(v - out->mean) > out->deviation;
    }
    out->zd_score = beyond / used;
}
