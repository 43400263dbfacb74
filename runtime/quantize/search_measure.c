/* search.h: what a type of a tensor costs, measured. A group of tensors (one, in a small model) is put into
 * the model as one type after the other, all else being the original, and the divergence divided by the
 * error: how much harm an error of that size does there. For types between those that are measured the ratio
 * is interpolated. */
#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "search.h"
#include "trial.h"

enum { MEASURED_DEFAULT = 3 };

leat_status search_put(search *s, size_t i, size_t choice, leat_error *e) {
    candidate *c = &s->c[i];
    const gguf_tensor *t = &s->plan->in->tensors[c->tensor];
    gguf_tensor *to = &s->tensors[c->tensor];
    uint32_t format = choice == SIZE_MAX ? t->format : c->type[choice];
    mem_free(s->blocks[i]);
    s->blocks[i] = NULL;
    *to = *t;
    if (format == t->format) return LEAT_OK;
    to->format = format;
    to->row_bytes = format_row_bytes(format, (size_t)t->ne[0]);
    to->bytes = to->row_bytes * t->n_rows; /* less than the original's */
    s->blocks[i] = mem_alloc(to->bytes + 64, 1);
    if (!s->blocks[i]) return error_set(e, LEAT_E_NOMEM, "out of memory for a quantized tensor");
    to->data = s->blocks[i];
    return trial_run(&(trial){.k = s->k,
                              .pool = s->pool,
                              .t = t,
                              .to = format,
                              .importance = c->importance,
                              .out = s->blocks[i],
                              .step = 1},
                     e);
}

leat_status search_divergence(search *s, double *mean, leat_error *e) {
    leat_model *changed = NULL;
    leat_status status = model_variant(s->model, &s->variant, &changed, e);
    if (!status) status = divergence_measure(s->divergence, changed, mean, e);
    model_release(changed);
    return status;
}

static size_t types_measured(const search *s) {
    return s->params->search_measured ? s->params->search_measured : MEASURED_DEFAULT;
}

size_t search_measurements(const search *s) {
    return s->n_groups * types_measured(s);
}

/* The m-th of n_measured types of a candidate, from the smallest to the largest; the original is none of
 * them. */
static size_t nth_type(const candidate *c, size_t m, size_t n_measured) {
    size_t last = c->n - 1;
    while (last && c->error[last] <= 0) last--;
    return n_measured < 2 ? last / 2 : (last * m + (n_measured - 1) / 2) / (n_measured - 1);
}

/* Puts the whole group in as its m-th types; the sum of their errors. */
static leat_status put_group(search *s, size_t group, size_t m, size_t n_measured, double *error,
                             leat_error *e) {
    leat_status status = LEAT_OK;
    *error = 0;
    for (size_t i = 0; i < s->n && !status; i++) {
        if (s->c[i].group != group) continue;
        size_t choice = m == SIZE_MAX ? SIZE_MAX : nth_type(&s->c[i], m, n_measured);
        status = search_put(s, i, choice, e);
        if (choice != SIZE_MAX) *error += s->c[i].error[choice];
    }
    return status;
}

/* Harm per error of type k, between those of the measured types on either side, in logarithms. */
static double ratio_at(const candidate *c, size_t k, const double *ratio, size_t n_measured) {
    size_t right = 0;
    while (right < n_measured && nth_type(c, right, n_measured) < k) right++;
    if (right == n_measured) return ratio[n_measured - 1];
    size_t b = nth_type(c, right, n_measured);
    if (!right || b == k) return ratio[right];
    size_t a = nth_type(c, right - 1, n_measured);
    double from = log(c->error[a]), to = log(c->error[b]);
    double part = from > to ? (from - log(c->error[k])) / (from - to) : 0;
    return exp(log(ratio[right - 1]) * (1 - part) + log(ratio[right]) * part);
}

static leat_status measure_group(search *s, size_t group, size_t n_measured, double *ratio, leat_error *e) {
    leat_status status = LEAT_OK;
    double error = 0, mean = 0;
    for (size_t m = 0; m < n_measured && !status; m++) {
        status = put_group(s, group, m, n_measured, &error, e);
        if (!status) status = search_divergence(s, &mean, e);
        ratio[m] = error > 0 && mean > 1e-12 ? mean / error : 1e-12;
        if (!status) status = search_report(s, e);
    }
    return status ? status : put_group(s, group, SIZE_MAX, n_measured, &error, e);
}

leat_status search_costs(search *s, leat_error *e) {
    leat_status status = LEAT_OK;
    size_t n_measured = types_measured(s);
    double *ratio = mem_alloc(n_measured, sizeof *ratio);
    if (!ratio) return error_set(e, LEAT_E_NOMEM, "out of memory for measuring");
    for (size_t g = 0; g < s->n_groups && !status; g++) {
        status = measure_group(s, g, n_measured, ratio, e);
        for (size_t i = 0; i < s->n && !status; i++) {
            candidate *c = &s->c[i];
            if (c->group != g) continue;
            for (size_t k = 0; k < c->n; k++)
                c->cost[k] = c->error[k] > 0 ? c->error[k] * ratio_at(c, k, ratio, n_measured) : 0;
        }
    }
    mem_free(ratio);
    return status;
}
