/* Several residual streams of which one goes through a layer (AltUp, Baykal et al. 2023), and what else
 * Gemma 3n does row by row: streams brought to the size of another, and gates of which only the values far
 * above their mean stay. All of it is small beside the products around it. */
#include <math.h>

#include "stage.h"

enum { ROW_TOKENS = 4, PART = 1024 };

_Static_assert((int)PART <= (int)TILE_ROWS_MAX, "parts of a row are decoded into a worker's tile");

size_t altup_tiles(const stage *s, const run *r) {
    (void)s;
    return (r->n_tokens + ROW_TOKENS - 1) / ROW_TOKENS;
}

/* Row `row` of w times x. */
static double dot_row(const run *r, const weight *w, size_t row, const float *x, float *part) {
    const char *data = (const char *)w->data + row * w->row_bytes;
    double sum = 0.0;
    for (size_t at = 0; at < w->n_cols; at += PART) {
        size_t n = w->n_cols - at < PART ? w->n_cols - at : PART;
        r->k->decode[w->format](data + format_row_bytes(w->format, at), part, n);
        for (size_t i = 0; i < n; i++) sum += (double)part[i] * (double)x[at + i];
    }
    return sum;
}

/* out (rows of the coefficients) = coefficients . tanh(router . norm(x) / width) */
static void coefficients(const stage *s, const run *r, scratch *w, const float *x, float *out) {
    const plan_altup_step *a = &s->altup;
    float modality[ALTUP_STREAMS];
    stage_normalize(r, &s->norm, x, s->width, w->row);
    for (size_t k = 0; k < ALTUP_STREAMS; k++)
        modality[k] = (float)tanh(dot_row(r, a->router, k, w->row, w->tile) / (double)s->width);
    for (size_t i = 0; i < a->coefficients->n_rows; i++)
        out[i] = (float)dot_row(r, a->coefficients, i, modality, w->tile);
}

/* p_k = x_k + sum over j of c_kj x_j */
static void predict(const stage *s, const run *r, scratch *w, size_t t) {
    const plan_altup_step *a = &s->altup;
    float c[ALTUP_STREAMS * ALTUP_STREAMS];
    coefficients(s, r, w, buf_row(r, a->x[0], t), c);
    for (size_t k = 0; k < ALTUP_STREAMS; k++) {
        const float *own = buf_row(r, a->x[k], t);
        float *p = buf_row(r, a->p[k], t);
        for (size_t i = 0; i < s->width; i++) p[i] = own[i];
        for (size_t j = 0; j < ALTUP_STREAMS; j++) {
            const float *x = buf_row(r, a->x[j], t), share = c[k * ALTUP_STREAMS + j];
            for (size_t i = 0; i < s->width; i++) p[i] += share * x[i];
        }
    }
}

/* x_k = p_k + (1 + c_k) (y - p_0) */
static void correct(const stage *s, const run *r, scratch *w, size_t t) {
    const plan_altup_step *a = &s->altup;
    const float *y = buf_row(r, a->y, t), *active = buf_row(r, a->p[0], t);
    float c[ALTUP_STREAMS];
    coefficients(s, r, w, y, c);
    for (size_t k = 0; k < ALTUP_STREAMS; k++) {
        const float *p = buf_row(r, a->p[k], t);
        float *x = buf_row(r, a->x[k], t);
        for (size_t i = 0; i < s->width; i++) x[i] = p[i] + (1.0f + c[k]) * (y[i] - active[i]);
    }
}

void altup_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    for (size_t t = tile * ROW_TOKENS; t < r->n_tokens && t < (tile + 1) * ROW_TOKENS; t++)
        (s->altup.correct ? correct : predict)(s, r, w, t);
}

static double magnitude(const float *x, size_t n) {
    double square = 0.0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

void match_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    for (size_t t = tile * ROW_TOKENS; t < r->n_tokens && t < (tile + 1) * ROW_TOKENS; t++) {
        float *x = buf_row(r, s->part[0].out, t);
        const double own = magnitude(x, s->width), scale = magnitude(buf_row(r, s->in, t), s->width) / own;
        for (size_t i = 0; i < s->width; i++) x[i] = own > 0.0 ? (float)(x[i] * scale) : 0.0f;
    }
}

void multiply_vector_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    for (size_t t = tile * ROW_TOKENS; t < r->n_tokens && t < (tile + 1) * ROW_TOKENS; t++) {
        float *x = buf_row(r, s->part[0].out, t);
        for (size_t i = 0; i < s->width; i++) x[i] *= s->part[0].bias[i];
    }
}

void sparse_gate_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    const double n = (double)s->width;
    for (size_t t = tile * ROW_TOKENS; t < r->n_tokens && t < (tile + 1) * ROW_TOKENS; t++) {
        float *g = buf_row(r, s->part[0].out, t);
        double mean = 0.0, square = 0.0;
        for (size_t i = 0; i < s->width; i++) mean += (double)g[i] / n;
        for (size_t i = 0; i < s->width; i++) square += ((double)g[i] - mean) * ((double)g[i] - mean);
        const float least = (float)(mean + (double)s->scale * sqrt(square / (n - 1.0)));
        for (size_t i = 0; i < s->width; i++) {
            float above = g[i] - least;
            g[i] = above > 0.0f ? above : above * 0.0f; /* NaN stays */
        }
        stage_gate(r, ACTIVATION_GELU, g, buf_row(r, s->in, t), s->width);
    }
}
