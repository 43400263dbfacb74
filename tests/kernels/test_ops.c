/* Conformance of the operations that are no products with weights: quantizing to the bit, the
 * others within derived bounds of a long double calculation. */
#include <math.h>
#include <stdlib.h>

#include "support.h"

enum { N_MAX = 4352 };

/* Sizes with every tail of a vector, and some large ones. */
static size_t next_size(size_t n) {
    return n < 70 ? n + 1 : n == 70 ? 257 : n == 257 ? 4096 : n == 4096 ? 4099 : 0;
}

/* Runs f for each table whose kernel `member` is not that of the table below. */
#define FOR_EACH_NEW(member, table, below)                                                                   \
    kernels tables[ISA_MAX];                                                                                 \
    const size_t n_tables = tables_of_this_machine(tables);                                                  \
    for (const kernels *table = tables, *below = NULL; table < tables + n_tables; below = table++)           \
        if ((!below || table->member != below->member) && (now_testing(table->isa, #member), true))

/* ---- quantize ---- */

/* Two rows, section by section. */
static void check_same_row(test *t, const char *isa, size_t k, size_t group, int way, const void *got,
                           const void *expected) {
    const struct {
        const char *name;
        size_t at, bytes;
    } sections[] = {{"q", 0, k},
                    {"d", act_d_at(k), k / group * 4},
                    {"ds", act_ds_at(k), k / 32 * 4},
                    {"z32", act_z32_at(k), k / 32 * 4},
                    {"z16", act_z16_at(k), k / 16 * 4},
                    {"m32", act_m32_at(k), k / 32 * 4},
                    {"s16", act_s16_at(k), k / 16 * 2},
                    {"s32", act_s32_at(k), k / 32 * 2}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (memcmp((const char *)got + sections[i].at, (const char *)expected + sections[i].at,
                   sections[i].bytes) != 0)
            TEST_FAIL(t, "quantize_q8_%zu on %s, k %zu, vector %d: section %s differs from C", group, isa, k,
                      way, sections[i].name);
}

/* The definition in act.h, checked on a row that C made. */
static void check_definition(test *t, const float *x, size_t k, size_t group, const void *row) {
    for (size_t g = 0; g < k / group; g++) {
        float largest = 0, d = act_d(row, k)[g];
        for (size_t i = 0; i < group; i++) largest = fmaxf(largest, fabsf(x[g * group + i]));
        CHECK(t, largest < ACT_TINY ? d == 0 : d == largest / 127);
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            /* half a step, and the roundings of 127 / max, of the product and of d */
            float error = fabsf(x[i] - d * act_q(row)[i]);
            if (!(error <= d * 0.5001f || d == 0))
                TEST_FAIL(t, "x %g, d %g, q %d", (double)x[i], (double)d, act_q(row)[i]);
        }
    }
    for (size_t i = 0; i < k / 16; i++) {
        int sum = 0;
        for (size_t j = 16 * i; j < 16 * i + 16; j++) sum += act_q(row)[j];
        CHECK_EQ(t, act_s16(row, k)[i], sum);
        CHECK_EQ(t, act_z16(row, k)[i], -128 * sum);
    }
    for (size_t i = 0; i < k / 32; i++) {
        int sum = act_s16(row, k)[2 * i] + act_s16(row, k)[2 * i + 1];
        CHECK_EQ(t, act_s32(row, k)[i], sum);
        CHECK_EQ(t, act_z32(row, k)[i], -128 * sum);
        CHECK_EQ(t, act_m32(row, k)[i], ACT_MAGIC - 128 * sum);
        CHECK(t, act_ds(row, k)[i] == act_d(row, k)[32 * i / group] * (float)sum);
    }
}

/* Beyond fill_vector: one Inf or NaN, maxima around ACT_TINY, numbers halfway between two codes. */
enum { QUANTIZE_INF = VECTOR_WAYS, QUANTIZE_NAN, QUANTIZE_EDGE, QUANTIZE_TIES, QUANTIZE_BITS, QUANTIZE_WAYS };

static void fill_to_quantize(rng *r, int way, float *x, size_t k) {
    fill_vector(r, way < VECTOR_WAYS ? way : VECTOR_RANDOM, x, k);
    if (way == QUANTIZE_INF) x[rng_below(r, k)] = rng_below(r, 2) ? INFINITY : -INFINITY;
    if (way == QUANTIZE_NAN) x[rng_below(r, k)] = rng_below(r, 2) ? NAN : -NAN;
    for (size_t i = 0; i < k; i++) {
        if (way == QUANTIZE_EDGE) x[i] *= i % 512 < 256 ? ACT_TINY : ACT_TINY * 2;
        if (way == QUANTIZE_EDGE && i % 512 == 5) x[i] = ACT_TINY;
        if (way == QUANTIZE_EDGE && i % 512 == 300) x[i] = nextafterf(ACT_TINY, 0);
        if (way == QUANTIZE_TIES) x[i] = i % 32 == 7 ? 127 : (float)((int)rng_below(r, 254) - 127) + 0.5f;
    }
    if (way == QUANTIZE_BITS) rng_fill(r, x, k * sizeof *x);
}

static void check_quantize(test *t, const kernels *table, const kernels *c, size_t group) {
    rng r = rng_seed(group);
    fenced in = fenced_map(N_MAX * sizeof(float));
    for (int way = 0; way < QUANTIZE_WAYS; way++)
        for (size_t k = group; k <= N_MAX; k = k < 20 * group && k < 2048 ? k + group : k + 1024 + group) {
            size_t bytes = act_row_bytes(group == 32 ? ACT_Q8_32 : ACT_Q8_256, k);
            float *x = fenced_end(&in, k * sizeof *x);
            fill_to_quantize(&r, way, x, k);
            output got = output_new(bytes), expected = output_new(bytes);
            (group == 32 ? table->quantize_q8_32 : table->quantize_q8_256)(x, k, got.p);
            (group == 32 ? c->quantize_q8_32 : c->quantize_q8_256)(x, k, expected.p);
            check_same_row(t, table->isa, k, group, way, got.p, expected.p);
            if (table == c && way != QUANTIZE_INF && way != QUANTIZE_NAN && way != QUANTIZE_BITS)
                check_definition(t, x, k, group, expected.p);
            if (!output_intact(&got))
                TEST_FAIL(t, "quantize_q8_%zu on %s writes outside the row, k %zu", group, table->isa, k);
            output_free(&got);
            output_free(&expected);
        }
    fenced_unmap(&in);
}

static void quantize_q8_32_has_the_bits_of_c(test *t) {
    FOR_EACH_NEW(quantize_q8_32, table, below) check_quantize(t, table, tables, 32);
}

static void quantize_q8_256_has_the_bits_of_c(test *t) {
    FOR_EACH_NEW(quantize_q8_256, table, below) check_quantize(t, table, tables, 256);
}

static void quantize_marks_what_is_not_finite(test *t) {
    kernels c;
    REQUIRE(t, kernels_init(&c, "c"));
    float x[64] = {1, 2, [40] = NAN};
    output row = output_new(act_row_bytes(ACT_Q8_32, 64));
    c.quantize_q8_32(x, 64, row.p);
    CHECK(t, act_d(row.p, 64)[0] == 2.0f / 127);
    CHECK(t, isnan(act_d(row.p, 64)[1]) && isnan(act_ds(row.p, 64)[1]));
    CHECK_EQ(t, act_q(row.p)[1], 127);
    CHECK_EQ(t, act_q(row.p)[0], 64); /* 63.5, to even */
    CHECK_EQ(t, act_q(row.p)[40], 0);
    output_free(&row);
}

static void quantize_ties_go_to_even(test *t) {
    kernels c;
    REQUIRE(t, kernels_init(&c, "c"));
    float x[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f};
    static const int expected[] = {127, 0, 2, 2, 0, -2, -2};
    output row = output_new(act_row_bytes(ACT_Q8_32, 32));
    c.quantize_q8_32(x, 32, row.p);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) CHECK_EQ(t, act_q(row.p)[i], expected[i]);
    output_free(&row);
}

/* ---- rms_norm ---- */

/* A float sum of n squares without cancellation is off by at most n + 1 roundings, its root by half of them;
 * then the mean,
 * + eps, root and reciprocal, each again halved or whole, and two products: 6. */
static void check_rms_norm(test *t, const kernels *table, rng *r, size_t n, int way, bool in_place,
                           const fenced *in) {
    float *x = fenced_end(&in[0], n * sizeof *x), *w = fenced_end(&in[1], n * sizeof *w), eps = 1e-5f;
    fill_vector(r, way, x, n);
    fill_vector(r, VECTOR_RANDOM, w, n);
    if (way == VECTOR_HUGE)
        for (size_t i = 0; i < n; i++) x[i] *= 1e-4f; /* squares stay finite in float */
    long double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (long double)x[i] * x[i];
    long double scale = 1 / sqrtl(sum / n + eps);

    output y = output_new(n * sizeof(float));
    if (in_place) memcpy(y.p, x, n * sizeof *x);
    table->rms_norm(y.p, in_place ? (const float *)y.p : x, w, n, eps);
    for (size_t i = 0; i < n; i++) {
        long double e = x[i] * scale * w[i];
        float got = ((float *)y.p)[i];
        if (!(fabsl(got - e) <= rounding_bound((n + 1) / 2 + 6, (double)fabsl(e)) + 0x1p-148))
            TEST_FAIL(t, "rms_norm on %s, n %zu, vector %d: [%zu] is %.9g, not %.9Lg", table->isa, n, way, i,
                      (double)got, e);
    }
    if (!output_intact(&y)) TEST_FAIL(t, "rms_norm on %s writes outside y, n %zu", table->isa, n);
    output_free(&y);
}

static void rms_norm_is_near_the_oracle(test *t) {
    fenced in[2] = {fenced_map(N_MAX * 4), fenced_map(N_MAX * 4)};
    FOR_EACH_NEW(rms_norm, table, below) {
        rng r = rng_seed(2);
        for (int way = 0; way < VECTOR_WAYS; way++)
            for (size_t n = 1; n; n = next_size(n)) check_rms_norm(t, table, &r, n, way, n % 2, in);
    }
    fenced_unmap(&in[0]);
    fenced_unmap(&in[1]);
}

/* ---- layer_norm ---- */

/* What x - mean is off by: a rounding of the mean's sum for each of n / 32 steps of a lane and its last 5
 * (sums in lanes are at least 4 wide; C and double do better), the quotient and the difference, all relative
 * to the largest |x|. The variance sees that twice; then as for rms_norm, and the bias. */
static void check_layer_norm(test *t, const kernels *table, rng *r, size_t n, int way, const fenced *in) {
    const bool in_place = n % 2, biased = n % 3;
    float *x = fenced_end(&in[0], n * sizeof *x), *w = fenced_end(&in[1], n * sizeof *w),
          *b = fenced_end(&in[2], n * sizeof *b), eps = 1e-5f;
    fill_vector(r, way, x, n);
    fill_vector(r, VECTOR_RANDOM, w, n);
    fill_vector(r, VECTOR_RANDOM, b, n);
    if (way == VECTOR_HUGE)
        for (size_t i = 0; i < n; i++) x[i] *= 1e-4f; /* squares stay finite in float */
    long double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (long double)x[i];
        largest = fmaxl(largest, fabsl((long double)x[i]));
    }
    long double mean = sum / n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    long double deviation = sqrtl(squares / n + eps);

    output y = output_new(n * sizeof(float));
    if (in_place) memcpy(y.p, x, n * sizeof *x);
    table->layer_norm(y.p, in_place ? (const float *)y.p : x, w, biased ? b : NULL, n, eps);
    const double off = rounding_bound(n / 16 + 8, (double)largest) / (double)deviation; /* in deviations */
    for (size_t i = 0; i < n; i++) {
        long double unit = (x[i] - mean) / deviation, e = unit * w[i] + (biased ? b[i] : 0);
        float got = ((float *)y.p)[i];
        double scale = fabs((double)w[i]), size = scale * (double)fabsl(unit);
        double bound =
            off * (scale + size) + rounding_bound((n + 1) / 2 + 8, size + (biased ? fabs((double)b[i]) : 0));
        if (!(fabsl(got - e) <= bound + 0x1p-148))
            TEST_FAIL(t, "layer_norm on %s, n %zu, vector %d: [%zu] is %.9g, not %.9Lg (%g > %g)", table->isa,
                      n, way, i, (double)got, e, (double)fabsl(got - e), bound);
    }
    if (!output_intact(&y)) TEST_FAIL(t, "layer_norm on %s writes outside y, n %zu", table->isa, n);
    output_free(&y);
}

static void layer_norm_is_near_the_oracle(test *t) {
    fenced in[3] = {fenced_map(N_MAX * 4), fenced_map(N_MAX * 4), fenced_map(N_MAX * 4)};
    FOR_EACH_NEW(layer_norm, table, below) {
        rng r = rng_seed(5);
        for (int way = 0; way < VECTOR_WAYS; way++)
            for (size_t n = 1; n; n = next_size(n)) check_layer_norm(t, table, &r, n, way, in);
    }
    for (size_t i = 0; i < 3; i++) fenced_unmap(&in[i]);
}

/* ---- gelu, silu, softcap ---- */

/* What a function of one value does in double, and by how much it may be off. The exponent of exp has
 * `rounded` roundings, each worth its own size in what comes out of exp. */
typedef struct expected {
    long double value;
    double bound;
} expected;

static expected sigmoid_times(long double x, long double exponent, int rounded) {
    expected e = {.value = x / (1 + expl(-exponent))};
    /* d/dz of 1 / (1 + e^-z) relative to itself is below min(1, e^-z) * |error of z| */
    long double share = exponent > 0 ? expl(-exponent) : 1;
    double relative = EXP_ERROR + 4 * 0x1p-24 + (double)(share * fabsl(exponent)) * rounded * 0x1p-24;
    e.bound = relative * (double)fabsl(e.value) + (double)fabsl(x) * 0x1p-125 + 0x1p-148;
    return e;
}

static expected expect_silu(float x) {
    return sigmoid_times(x, x, 0);
}

static expected expect_gelu(float x) {
    const long double c = sqrtl(8 / acosl(-1)); /* 2 * sqrt(2 / pi) */
    return sigmoid_times(x, c * (x + 0.044715L * x * x * x), 8);
}

/* 2 / (1 + e^2z) is off by a few roundings of at most 2, the argument of exp by two of its size; cap times
 * all. */
static expected expect_softcap(float x, float cap) {
    expected e = {.value = cap * tanhl((long double)x / cap)};
    long double z = 2 * fabsl((long double)x / cap), slope = 1 - tanhl(z / 2) * tanhl(z / 2);
    e.bound = (double)cap * (2 * EXP_ERROR + 6 * 0x1p-24 + (double)(z * slope) * 3 * 0x1p-24);
    return e;
}

typedef enum unary { UNARY_SILU, UNARY_GELU, UNARY_GELU_MUL, UNARY_SOFTCAP, UNARY_COUNT } unary;

static void run_unary(const kernels *table, unary f, float *x, const float *u, size_t n, float cap) {
    switch (f) {
    case UNARY_SILU: table->silu(x, n); break;
    case UNARY_GELU: table->gelu(x, n); break;
    case UNARY_GELU_MUL: table->gelu_mul(x, u, n); break;
    default: table->softcap(x, n, cap);
    }
}

static expected expect_unary(unary f, float x, float u, float cap) {
    expected e = f == UNARY_SILU      ? expect_silu(x)
                 : f == UNARY_SOFTCAP ? expect_softcap(x, cap)
                                      : expect_gelu(x);
    if (f != UNARY_GELU_MUL) return e;
    e.value *= u;
    e.bound = e.bound * fabs((double)u) + rounding_bound(1, (double)fabsl(e.value)) + 0x1p-148;
    return e;
}

static void check_unary(test *t, const kernels *table, unary f, rng *r, size_t n, const fenced *u_area) {
    static const char *const names[] = {"silu", "gelu", "gelu_mul", "softcap"};
    output o = output_new(n * sizeof(float));
    float *x = o.p, *u = fenced_end(u_area, n * sizeof *u), *x0 = malloc(n * sizeof *x0);
    const float cap = n % 2 ? 30 : 50;
    REQUIRE(t, x0);
    fill_vector(r, VECTOR_RANDOM, u, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_float(r) * (n % 3 ? 12 : 110);
        if (i % 50 == 49) x[i] = rng_float(r) * 1e6f;
        if (i % 50 == 48) x[i] = 0;
        if (i % 50 == 47) x[i] *= 1e-6f;
        x0[i] = x[i];
    }
    run_unary(table, f, x, u, n, cap);
    for (size_t i = 0; i < n; i++) {
        expected e = expect_unary(f, x0[i], u[i], cap);
        if (!(fabsl(x[i] - e.value) <= e.bound))
            TEST_FAIL(t, "%s on %s, n %zu: of %.9g is %.9g, not %.9Lg (%g > %g)", names[f], table->isa, n,
                      (double)x0[i], (double)x[i], e.value, (double)fabsl(x[i] - e.value), e.bound);
    }
    if (!output_intact(&o)) TEST_FAIL(t, "%s on %s writes outside, n %zu", names[f], table->isa, n);
    free(x0);
    output_free(&o);
    float nan = NAN, one = 1;
    run_unary(table, f, &nan, &one, 1, cap);
    CHECK(t, isnan(nan));
}

static void activations_are_near_the_oracle(test *t) {
    fenced u_area = fenced_map(N_MAX * 4);
    FOR_EACH_NEW(gelu_mul, table, below) {
        for (unary f = 0; f < UNARY_COUNT; f++) {
            rng r = rng_seed(8 + f);
            for (size_t n = 1; n; n = next_size(n)) check_unary(t, table, f, &r, n, &u_area);
        }
    }
    fenced_unmap(&u_area);
}

/* ---- silu_mul ---- */

/* exp with its own error, then 1 +, the quotient and the product: three roundings. Where exp(-x) overflows or
 * is cut off (x below -87), silu is smaller than |x| * 2^-125 and so may be the error. */
static void silu_mul_is_near_the_oracle(test *t) {
    fenced u_area = fenced_map(N_MAX * 4);
    FOR_EACH_NEW(silu_mul, table, below) {
        rng r = rng_seed(3);
        for (size_t n = 1; n; n = next_size(n)) {
            output g = output_new(n * sizeof(float));
            float *x = g.p, *u = fenced_end(&u_area, n * sizeof *u), *x0 = malloc(n * sizeof *x0);
            REQUIRE(t, x0);
            fill_vector(&r, VECTOR_RANDOM, u, n);
            fill_vector(&r, VECTOR_MIXED, x, n);
            for (size_t i = 0; i < n; i++) {
                x[i] = n % 3 ? rng_float(&r) * 110 : x[i];
                x[i] = i % 50 == 49 ? rng_float(&r) * 1e30f : x[i];
                x0[i] = i % 50 == 48 ? (x[i] = 0) : x[i];
            }
            table->silu_mul(x, u, n);
            for (size_t i = 0; i < n; i++) {
                long double e = x0[i] / (1 + expl(-(long double)x0[i])) * u[i];
                double bound =
                    (EXP_ERROR + 4 * 0x1p-24) * (double)fabsl(e) + fabs((double)x0[i] * u[i]) * 0x1p-125;
                if (!(fabsl(x[i] - e) <= bound + 0x1p-148))
                    TEST_FAIL(t, "silu_mul on %s, n %zu: silu(%.9g) * %.9g is %.9g, not %.9Lg", table->isa, n,
                              (double)x0[i], (double)u[i], (double)x[i], e);
            }
            if (!output_intact(&g)) TEST_FAIL(t, "silu_mul on %s writes outside g, n %zu", table->isa, n);
            free(x0);
            output_free(&g);
        }
        float nan = NAN, one = 1;
        table->silu_mul(&nan, &one, 1);
        CHECK(t, isnan(nan));
    }
    fenced_unmap(&u_area);
}

/* ---- rope ---- */

/* Two products and their sum: two roundings for each term. */
static void check_rope(test *t, const kernels *table, rope_pairs_fn *rope, size_t step, size_t pair,
                       const char *name) {
    fenced cs_area = fenced_map(1024 * 4);
    rng r = rng_seed(4);
    for (size_t n = 2; n <= 512; n = n < 130 ? n + 2 : n + 126) {
        output o = output_new(n * sizeof(float));
        float *x = o.p, x0[512], *cs = fenced_end(&cs_area, n * sizeof *cs);
        fill_vector(&r, n % 3 ? VECTOR_RANDOM : VECTOR_MIXED, x, n);
        fill_vector(&r, VECTOR_RANDOM, cs, n);
        memcpy(x0, x, n * sizeof *x);
        rope(x, cs, n);
        size_t second = pair ? pair : n / 2;
        for (size_t i = 0; i < n / 2; i++) {
            long double a = x0[i * step], b = x0[i * step + second], c = cs[2 * i], s = cs[2 * i + 1];
            double bound = rounding_bound(2, (double)(fabsl(a) + fabsl(b))) + 0x1p-148;
            if (!(fabsl(x[i * step] - (a * c - b * s)) <= bound) ||
                !(fabsl(x[i * step + second] - (a * s + b * c)) <= bound))
                TEST_FAIL(t, "%s on %s, n_dims %zu: pair %zu is wrong", name, table->isa, n, i);
        }
        if (!output_intact(&o)) TEST_FAIL(t, "%s on %s writes outside x, n_dims %zu", name, table->isa, n);
        output_free(&o);
    }
    fenced_unmap(&cs_area);
}

static void rope_pairs_is_near_the_oracle(test *t) {
    FOR_EACH_NEW(rope_pairs, table, below) check_rope(t, table, table->rope_pairs, 2, 1, "rope_pairs");
}

static void rope_halves_is_near_the_oracle(test *t) {
    FOR_EACH_NEW(rope_halves, table, below) check_rope(t, table, table->rope_halves, 1, 0, "rope_halves");
}

#define TESTS(X)                                                                                             \
    X(quantize_q8_32_has_the_bits_of_c)                                                                      \
    X(quantize_q8_256_has_the_bits_of_c)                                                                     \
    X(quantize_marks_what_is_not_finite)                                                                     \
    X(quantize_ties_go_to_even)                                                                              \
    X(rms_norm_is_near_the_oracle)                                                                           \
    X(layer_norm_is_near_the_oracle)                                                                         \
    X(activations_are_near_the_oracle)                                                                       \
    X(silu_mul_is_near_the_oracle)                                                                           \
    X(rope_pairs_is_near_the_oracle)                                                                         \
    X(rope_halves_is_near_the_oracle)
TEST_SUITE(TESTS)
