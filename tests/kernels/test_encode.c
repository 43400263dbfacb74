/* What is written: every encoder on every instruction set of this machine has the bits of the reference,
 * decoding gives back the input within a bound, ggml's own output comes out of the golden data, and nothing
 * that is no number becomes one. */
#include <math.h>
#include <stdlib.h>

#include "kernels/blocks.h"
#include "kernels/codebooks.h"
#include "support.h"

static const struct type {
    const char *name;
    uint32_t format;
} types[] = {
#define E(name, NAME) {#name, FORMAT_##NAME},
#include "kernels/kernels.def"
#undef E
};
enum { N_TYPES = sizeof types / sizeof *types, N_MAX = 1 << 16 };

static size_t block_of(uint32_t format) {
    return format_get(format)->block_elems;
}

/* ---- the bits of C ---- */

static void check_bits(test *t, const kernels *c, const kernels *k, const struct type *type, const float *x,
                       size_t n, const char *what) {
    size_t bytes = format_row_bytes(type->format, n), first = 0;
    output want = output_new(bytes), got = output_new(bytes);
    memset(want.p, 0x11, bytes);
    memset(got.p, 0xee, bytes);
    c->encode[type->format](x, want.p, n);
    k->encode[type->format](x, got.p, n);
    if (memcmp(want.p, got.p, bytes)) {
        while (((unsigned char *)want.p)[first] == ((unsigned char *)got.p)[first]) first++;
        TEST_FAIL(t, "encode_%s on %s, n %zu, %s: byte %zu is %02x, not %02x", type->name, k->isa, n, what,
                  first, ((unsigned char *)got.p)[first], ((unsigned char *)want.p)[first]);
    }
    if (!output_intact(&got)) TEST_FAIL(t, "encode_%s on %s writes outside, n %zu", type->name, k->isa, n);
    output_free(&want);
    output_free(&got);
}

/* Numbers that lie on, or a breath beside, the borders between codes of a scale that is a power of two. */
static void fill_borders(rng *r, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float max = (float)((i / 32 % 3 == 0) ? 127 : (i / 32 % 3 == 1) ? 8 : 16);
        if (i % 32 == (i / 32) % 29)
            x[i] = rng_below(r, 2) ? max : -max;
        else
            x[i] = nextafterf((float)rng_below(r, (size_t)(4 * max) + 1) / 2 - max,
                              (float)rng_below(r, 3) * 1000 - 1000);
    }
}

static void fill_specials(rng *r, float *x, size_t n) {
    static const float specials[] = {NAN, -NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 8.4e6f, -1e-44f};
    for (size_t i = 0; i < n; i++) x[i] = rng_below(r, 50) ? rng_float(r) : specials[rng_below(r, 8)];
}

static void check_against_c(test *t, const kernels *c, const kernels *k, const struct type *type,
                            const fenced *in) {
    rng r = rng_seed(11);
    size_t block = block_of(type->format);
    for (size_t n = 0; n <= 70 * block && n <= 320; n += block) { /* every tail, and nothing read beyond it */
        float *x = fenced_end(in, n * sizeof *x);
        for (size_t i = 0; i < n; i++) x[i] = rng_float(&r);
        check_bits(t, c, k, type, x, n, "random");
    }
    float *x = fenced_end(in, N_MAX * sizeof *x);
    for (int way = 0; way < VECTOR_WAYS; way++) {
        fill_vector(&r, way, x, N_MAX / 8);
        check_bits(t, c, k, type, x, N_MAX / 8, "vectors");
    }
    fill_borders(&r, x, N_MAX);
    check_bits(t, c, k, type, x, N_MAX, "borders");
    fill_specials(&r, x, N_MAX);
    check_bits(t, c, k, type, x, N_MAX, "specials");
    rng_fill(&r, x, N_MAX * sizeof *x);
    check_bits(t, c, k, type, x, N_MAX, "any bits");
    for (uint32_t h = 0; h < N_MAX; h++) x[h] = f16_to_f32((uint16_t)h);
    check_bits(t, c, k, type, x, N_MAX, "halves");
    for (uint32_t h = 0; h < N_MAX - 1; h++) x[h] = x[h] / 2 + x[h + 1] / 2; /* halfway between two halves */
    check_bits(t, c, k, type, x, N_MAX, "between halves");
    for (uint32_t h = 0; h < N_MAX; h++) {
        uint32_t bits = h << 16 | 0x8000; /* halfway between two bfloat16 */
        memcpy(&x[h], &bits, sizeof bits);
    }
    check_bits(t, c, k, type, x, N_MAX, "between bfloat16");
}

static void every_set_has_the_bits_of_c(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    fenced in = fenced_map(N_MAX * sizeof(float));
    for (size_t i = 1; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            uint32_t format = types[s].format;
            if (tables[i].encode[format] == tables[i - 1].encode[format]) continue;
            now_testing(tables[i].isa, types[s].name);
            check_against_c(t, &tables[0], &tables[i], &types[s], &in);
        }
    fenced_unmap(&in);
}

/* Any bits, scales of Inf and NaN too. The types that are weights have this test in test_matvec.c as well. */
static void decoding_has_the_bits_of_c(test *t) {
    enum { N = 2048 };
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    fenced in = fenced_map(N * sizeof(float));
    rng r = rng_seed(14);
    for (size_t i = 1; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            uint32_t format = types[s].format;
            void *w = fenced_end(&in, format_row_bytes(format, N));
            float want[N], got[N];
            now_testing(tables[i].isa, types[s].name);
            rng_fill(&r, w, format_row_bytes(format, N));
            tables[0].decode[format](w, want, N);
            tables[i].decode[format](w, got, N);
            for (size_t j = 0; j < N; j++)
                if (!same_float(want[j], got[j])) {
                    TEST_FAIL(t, "decode_%s on %s: [%zu] is %a, not %a", types[s].name, tables[i].isa, j,
                              (double)got[j], (double)want[j]);
                    break;
                }
        }
    fenced_unmap(&in);
}

/* ---- values ---- */

/* How far a decoded value may be from the input, in a block whose largest magnitude is max: half a step, or a
 * whole one where the step beyond the last code is missing; the scale's rounding to half precision (2^-11, or
 * 2^-25 where halves are denormal) times the code; some float roundings. */
static double error_bound(uint32_t format, double x, double max) {
    switch (format) {
    case FORMAT_F32: return 0;
    case FORMAT_F16: return fmax(fabs(x) * 0x1p-11, 0x1p-25);
    case FORMAT_BF16: return fabs(x) * 0x1p-8;
    case FORMAT_Q8_0: return max / 127 * 0.5001 + fmax(fabs(x) * 0x1.1p-11, 127 * 0x1p-25);
    case FORMAT_Q4_0: return max / 8 * 1.0001 + fmax(max * 0x1.1p-11, 8 * 0x1p-25);
    case FORMAT_Q5_0: return max / 16 * 1.0001 + fmax(max * 0x1.1p-11, 16 * 0x1p-25);
    /* the widest half step is 12 of 127, beyond the last code there are 14; the fitted scale moves the rest
     */
    default: return max * 28 / 127 + fmax(max * 0x1.1p-11, 127 * 0x1p-25);
    }
}

static void values_come_back(test *t) {
    kernels k;
    REQUIRE(t, kernels_init(&k, NULL));
    rng r = rng_seed(12);
    for (size_t s = 0; s < N_TYPES; s++)
        for (int trial = 0; trial < 3000; trial++) {
            uint32_t format = types[s].format;
            float x[32], y[32], w[32], max = 0;
            float size = ldexpf(1, (int)rng_below(&r, 40) - 26);
            for (int i = 0; i < 32; i++) {
                x[i] = rng_float(&r) * rng_float(&r) * size;
                max = fmaxf(max, fabsf(x[i]));
            }
            k.encode[format](x, w, 32);
            k.decode[format](w, y, 32);
            for (int i = 0; i < 32; i++) {
                double error = fabs((double)y[i] - (double)x[i]);
                double bound = error_bound(format, (double)x[i], (double)max);
                if (!(error <= bound))
                    TEST_FAIL(t, "%s: %g became %g, off by more than %g", types[s].name, (double)x[i],
                              (double)y[i], bound);
            }
        }
}

/* Error of a type on normal numbers, relative to their root mean square. */
static double quality(const kernels *k, uint32_t format) {
    rng r = rng_seed(13);
    double error = 0, power = 0;
    for (int trial = 0; trial < 2000; trial++) {
        float x[32], y[32], w[32];
        for (int i = 0; i < 32; i++) {
            x[i] = 0;
            for (int j = 0; j < 12; j++) x[i] += rng_float(&r);
        }
        k->encode[format](x, w, 32);
        k->decode[format](w, y, 32);
        for (int i = 0; i < 32; i++) {
            error += pow((double)x[i] - (double)y[i], 2);
            power += (double)x[i] * (double)x[i];
        }
    }
    return sqrt(error / power);
}

/* A scheme that wastes a code, or its sign, is no longer this good. Of 2^b even steps over +-2.1 sigma, the
 * usual largest of 32, the error is near 2 * 2.1 / 2^b / sqrt(12): 0.078 for 4 bits, 0.039 for 5, 0.0048
 * for 8. */
static void errors_are_as_small_as_the_type_allows(test *t) {
    kernels k;
    REQUIRE(t, kernels_init(&k, NULL));
    double q4_0 = quality(&k, FORMAT_Q4_0), iq4_nl = quality(&k, FORMAT_IQ4_NL);
    CHECK(t, q4_0 < 0.095);
    CHECK(t, iq4_nl < 0.95 * q4_0);
    CHECK(t, quality(&k, FORMAT_Q5_0) < 0.047);
    CHECK(t, quality(&k, FORMAT_Q8_0) < 0.0055);
    CHECK(t, quality(&k, FORMAT_BF16) < 0.002);
    CHECK(t, quality(&k, FORMAT_F16) < 0.0003);
}

static void known_blocks(test *t) {
    for (size_t i = 0; kernels_isa(i); i++) {
        kernels k;
        REQUIRE(t, kernels_init(&k, kernels_isa(i)));
        float x[32] = {-8, 1, [15] = 7, 7.5f, -0.5f, [31] = 8};
        block_q4_0 q4;
        block_q5_0 q5;
        block_iq4_nl nl;
        k.encode[FORMAT_Q4_0](x, &q4, 32);
        CHECK_EQ(t, q4.d, 0x3c00);
        CHECK_EQ(t, q4.qs[0], 0xf0); /* -8; 7.5 + 8.5 is cut to 15 */
        CHECK_EQ(t, q4.qs[1], 0x89); /* 1; -0.5 goes up */
        CHECK_EQ(t, q4.qs[15], 0xff);
        x[0] = -16;
        k.encode[FORMAT_Q5_0](x, &q5, 32);
        CHECK_EQ(t, q5.d, 0x3c00);
        CHECK_EQ(t, q5.qs[0], 0x80);
        CHECK_EQ(t, q5.qs[1], 0x01);
        CHECK_EQ(t, q5.qs[15], 0x87);
        CHECK_EQ(t, q5.qh[0], 0xfe);
        CHECK_EQ(t, q5.qh[3], 0xff);
        for (int j = 0; j < 32; j++) x[j] = iq4_nl_codebook[j % 16];
        k.encode[FORMAT_IQ4_NL](x, &nl, 32); /* what it can say exactly stays as it is */
        CHECK_EQ(t, nl.d, 0x3c00);
        for (int j = 0; j < 16; j++) CHECK_EQ(t, nl.qs[j], j | j << 4);
        x[0] = 127; /* a positive extreme makes the scale negative */
        for (int j = 1; j < 32; j++) x[j] = 0;
        k.encode[FORMAT_IQ4_NL](x, &nl, 32);
        CHECK_EQ(t, nl.d, 0xbc00);
        CHECK_EQ(t, nl.qs[0] & 15, 0);
    }
}

/* Inf, NaN and what a half can't scale never become a number. */
static void no_number_from_none(test *t) {
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 1e38f, -1e30f};
    kernels k;
    REQUIRE(t, kernels_init(&k, NULL));
    for (size_t s = 0; s < N_TYPES; s++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            for (size_t at = 0; at < 32; at++) {
                uint32_t format = types[s].format;
                float x[32], y[32], w[32];
                for (size_t j = 0; j < 32; j++) x[j] = (float)j - 16;
                x[at] = bad[i];
                k.encode[format](x, w, 32);
                k.decode[format](w, y, 32);
                bool wide = format == FORMAT_F32 || format == FORMAT_BF16;
                if (isfinite(y[at]) != (wide && isfinite(bad[i])))
                    TEST_FAIL(t, "%s: %g became %g", types[s].name, (double)bad[i], (double)y[at]);
            }
}

/* ---- golden data ---- */

static size_t read_golden(const char *name, void *to, size_t size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/../shared/formats/%s", LEAT_SOURCE_ROOT, name);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

static void equals_ggml(test *t) {
    enum { N = 6144 };
    static float x[N];
    static unsigned char want[4 * N], got[4 * N];
    static const char *const exact[] = {"f16", "bf16", "q8_0", "q4_0", "q5_0"};
    kernels k;
    if (read_golden("source.f32", x, sizeof x) != sizeof x)
        SKIP(t, "no golden data at %s/../shared/formats", LEAT_SOURCE_ROOT);
    for (size_t isa = 0; kernels_isa(isa); isa++)
        for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
            char name[32];
            uint32_t format = (uint32_t)format_find(exact[i]);
            size_t bytes = format_row_bytes(format, N), wrong = 0;
            REQUIRE(t, kernels_init(&k, kernels_isa(isa)));
            snprintf(name, sizeof name, "%s.bin", exact[i]);
            REQUIRE(t, read_golden(name, want, sizeof want) == bytes);
            k.encode[format](x, got, N);
            for (size_t j = 0; j < bytes; j++) wrong += got[j] != want[j];
            if (wrong)
                TEST_FAIL(t, "%s on %s: %zu of %zu bytes differ from ggml's", exact[i], k.isa, wrong, bytes);
        }
}

#define TESTS(X)                                                                                             \
    X(every_set_has_the_bits_of_c)                                                                           \
    X(decoding_has_the_bits_of_c)                                                                            \
    X(values_come_back)                                                                                      \
    X(errors_are_as_small_as_the_type_allows) X(known_blocks) X(no_number_from_none) X(equals_ggml)
TEST_SUITE(TESTS)
