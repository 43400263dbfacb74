/* Everything that is not a product with weights: the reference. */
#include "c.h"

#include <math.h>
#include <string.h>

/* The largest |x| of a group by its bits, which order like the numbers they are, with Inf and then NaN on
 * top. */
static uint32_t largest_magnitude(const float *x, size_t n) {
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        if (bits > largest) largest = bits;
    }
    return largest;
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* One group: the codes to q, the scale as result. */
static float quantize_group(const float *x, size_t n, int8_t *q) {
    const uint32_t inf = 0x7f800000, quiet_nan = 0x7fc00000;
    uint32_t bits = largest_magnitude(x, n);
    float largest = float_of(bits);
    bool finite = bits < inf;
    if (!finite || largest < ACT_TINY) {
        memset(q, 0, n);
        return finite ? 0 : float_of(quiet_nan);
    }
    float inverse = 127.0f / largest;
    for (size_t i = 0; i < n; i++) q[i] = (int8_t)lrintf(x[i] * inverse);
    return largest / 127.0f;
}

static int sum_i8(const int8_t *q, size_t n) {
    int sum = 0;
    for (size_t i = 0; i < n; i++) sum += q[i];
    return sum;
}

/* The sections of one row to write to; act.h has those to read from. */
static void *section(void *row, size_t at) {
    return (char *)row + at;
}

static void quantize(const float *x, size_t k, size_t group, void *row) {
    int8_t *q = row;
    float *d = section(row, act_d_at(k)), *ds = section(row, act_ds_at(k));
    int32_t *z32 = section(row, act_z32_at(k)), *z16 = section(row, act_z16_at(k));
    int32_t *m32 = section(row, act_m32_at(k));
    int16_t *s16 = section(row, act_s16_at(k)), *s32 = section(row, act_s32_at(k));

    for (size_t g = 0; g < k / group; g++) d[g] = quantize_group(x + g * group, group, q + g * group);
    for (size_t i = 0; i < k / 16; i++) {
        int sum = sum_i8(q + 16 * i, 16);
        s16[i] = (int16_t)sum;
        z16[i] = -128 * sum;
    }
    for (size_t i = 0; i < k / 32; i++) {
        int sum = sum_i8(q + 32 * i, 32);
        s32[i] = (int16_t)sum;
        z32[i] = -128 * sum;
        m32[i] = ACT_MAGIC + z32[i];
        ds[i] = d[32 * i / group] * (float)sum;
    }
}

void quantize_q8_32_c(const float *x, size_t k, void *row) {
    quantize(x, k, 32, row);
}

void quantize_q8_256_c(const float *x, size_t k, void *row) {
    quantize(x, k, 256, row);
}

/* The sum of squares is kept in double: it can't overflow and its error is beyond what the float result
 * shows, so the reference has no error worth the name. A set of vector lanes may sum in float while the
 * squares are finite: no term is negative, hence the relative error stays below half of n rounding errors. */
void rms_norm_c(float *y, const float *x, const float *w, size_t n, float eps) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    float scale = (float)(1 / sqrt(sum / (double)n + eps));
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

/* In double for the same reason; the mean is taken away before squaring, so that a large one costs nothing.
 */
void layer_norm_c(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    double scale = 1 / sqrt(squares / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++) y[i] = (float)(((double)x[i] - mean) * scale) * w[i] + (b ? b[i] : 0);
}

void silu_c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] / (1 + expf(-x[i]));
}

static float gelu(float x) {
    const float twice_root = 1.5957691216f; /* 2 * sqrt(2 / pi) */
    return x / (1 + expf(-twice_root * (x + 0.044715f * x * x * x)));
}

void gelu_c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = gelu(x[i]);
}

void gelu_mul_c(float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i++) g[i] = gelu(g[i]) * u[i];
}

void softcap_c(float *x, size_t n, float cap) {
    for (size_t i = 0; i < n; i++) x[i] = cap * tanhf(x[i] / cap);
}

void silu_mul_c(float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i++) g[i] = g[i] / (1 + expf(-g[i])) * u[i];
}

static void rotate(float *a, float *b, const float *cs) {
    float x = *a, y = *b;
    *a = x * cs[0] - y * cs[1];
    *b = x * cs[1] + y * cs[0];
}

void rope_pairs_c(float *x, const float *cs, size_t n_dims) {
    for (size_t i = 0; i < n_dims / 2; i++) rotate(&x[2 * i], &x[2 * i + 1], &cs[2 * i]);
}

void rope_halves_c(float *x, const float *cs, size_t n_dims) {
    for (size_t i = 0; i < n_dims / 2; i++) rotate(&x[i], &x[i + n_dims / 2], &cs[2 * i]);
}
