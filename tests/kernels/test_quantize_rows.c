/* Quantizers: every one on every instruction set of this machine has the bits of the reference; errors are at
 * most those of ggml's quantizers (golden data); and rows of all kinds come back as well as the type allows:
 * never worse than if nothing had been written, whatever is in them. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

#define GOLDEN LEAT_SOURCE_ROOT "/../shared/formats/"

static const struct type {
    const char *name;
    uint32_t format;
    float largest;
} types[] = {
#define Z(name, NAME, largest) {#name, FORMAT_##NAME, largest},
#include "kernels/kernels.def"
#undef Z
};
enum { N_TYPES = sizeof types / sizeof *types, ROWS = 6, COLS = 1024, N_MAX = 4096 };

/* A multiple of the block, at least n. */
static size_t whole(const struct type *type, size_t n) {
    size_t block = format_get(type->format)->block_elems;
    return (n + block - 1) / block * block;
}

/* ---- the bits of C ---- */

static void check_bits(test *t, const kernels *c, const kernels *k, const struct type *type, const float *x,
                       const float *importance, size_t n, const char *what) {
    size_t bytes = format_row_bytes(type->format, n), first = 0;
    output want = output_new(bytes), got = output_new(bytes);
    memset(want.p, 0x11, bytes);
    memset(got.p, 0xee, bytes);
    c->quantize_rows[type->format](x, importance, n, 1, want.p);
    k->quantize_rows[type->format](x, importance, n, 1, got.p);
    if (memcmp(want.p, got.p, bytes)) {
        while (((unsigned char *)want.p)[first] == ((unsigned char *)got.p)[first]) first++;
        TEST_FAIL(t, "quantize_rows_%s on %s, %s, n %zu: byte %zu differs", type->name, k->isa, what, n,
                  first);
    }
    if (!output_intact(&got) || !output_intact(&want))
        TEST_FAIL(t, "quantize_rows_%s on %s writes outside, n %zu", type->name, k->isa, n);
    output_free(&want);
    output_free(&got);
}

/* Slow without optimization: the reference searches for real. */
static void every_set_has_the_bits_of_c(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    fenced in = fenced_map(N_MAX * sizeof(float)), in2 = fenced_map(N_MAX * sizeof(float));
    for (size_t i = 1; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            const struct type *type = &types[s];
            rng r = rng_seed(31 + s);
            if (tables[i].quantize_rows[type->format] == tables[i - 1].quantize_rows[type->format]) continue;
            now_testing(tables[i].isa, type->name);
            size_t block = format_get(type->format)->block_elems;
            for (size_t n = block; n <= 1024; n += block * (1 + n / block / 2)) { /* every number of lanes */
                float *x = fenced_end(&in, n * sizeof *x), *w = fenced_end(&in2, n * sizeof *w);
                for (size_t j = 0; j < n; j++) {
                    x[j] = rng_float(&r);
                    w[j] = rng_float(&r) + 1;
                }
                check_bits(t, &tables[0], &tables[i], type, x, n % 3 ? NULL : w, n, "random");
            }
            for (int way = 0; way < VECTOR_WAYS; way++) {
                size_t n = whole(type, 512);
                float *x = fenced_end(&in, n * sizeof *x), *w = fenced_end(&in2, n * sizeof *w);
                fill_vector(&r, way, x, n);
                for (size_t j = 0; j < n; j++) {
                    x[j] = fmaxf(fminf(x[j], type->largest), -type->largest);
                    w[j] = rng_below(&r, 3) ? fabsf(rng_float(&r)) : 0;
                }
                check_bits(t, &tables[0], &tables[i], type, x, NULL, n, "vectors");
                check_bits(t, &tables[0], &tables[i], type, x, w, n, "vectors with importance");
            }
        }
    fenced_unmap(&in);
    fenced_unmap(&in2);
}

/* ---- ggml's errors ---- */

static float *read_floats(const char *path, size_t n) {
    FILE *f = fopen(path, "rb");
    float *x = malloc(n * sizeof *x);
    if (!f || !x || fread(x, sizeof *x, n, f) != n) {
        free(x);
        x = NULL;
    }
    if (f) fclose(f);
    return x;
}

/* sum(w * (x - y)^2), w 1 when NULL; rows of COLS. */
static double error_sum(const float *x, const float *y, const float *w, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        sum += d * d * (w ? (double)w[i % COLS] : 1);
    }
    return sum;
}

static void errors_are_at_most_ggmls(test *t) {
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    float *x = read_floats(GOLDEN "source.f32", ROWS * COLS), *w = read_floats(GOLDEN "importance.f32", COLS);
    FILE *table = fopen(GOLDEN "formats.tsv", "r");
    if (!x || !w || !table) {
        free(x);
        free(w);
        if (table) fclose(table);
        SKIP(t, "no golden data beside the project (../shared/formats)");
    }
    static float y[ROWS * COLS];
    static uint8_t blocks[ROWS * COLS * 4];
    double weights = 0;
    char line[256];
    size_t compared = 0;
    for (size_t i = 0; i < COLS; i++) weights += (double)w[i] * ROWS;
    while (fgets(line, sizeof line, table)) {
        char name[32], plain[32], weighted[32];
        unsigned id, block, bytes;
        if (sscanf(line, "%u %31s %u %u %31s %31s", &id, name, &block, &bytes, plain, weighted) != 6)
            continue;
        if (id >= FORMAT_COUNT || !k->quantize_rows[id]) {
            TEST_FAIL(t, "%s: no quantizer", name);
            continue;
        }
        for (int with = 0; with < 2; with++) {
            double theirs = strtod(with ? weighted : plain, NULL);
            size_t row = format_row_bytes(id, COLS);
            for (size_t r = 0; r < ROWS; r++)
                k->quantize_rows[id](x + r * COLS, with ? w : NULL, COLS, 1, blocks + r * row);
            k->decode[id](blocks, y, ROWS * COLS);
            double ours =
                sqrt(error_sum(x, y, with ? w : NULL, ROWS * COLS) / (with ? weights : ROWS * COLS));
            /* the table has six digits */
            if (!(ours <= theirs * 1.000005) && !isnan(theirs))
                TEST_FAIL(t, "%s: %s error %g, ggml's is %g", name, with ? "weighted" : "plain", ours,
                          theirs);
            compared++;
        }
    }
    CHECK(t, compared >= 50);
    free(x);
    free(w);
    fclose(table);
}

/* ---- rows of all kinds ---- */

enum {
    ZEROS,
    CONSTANT,
    NEGATIVE,
    ONE_LARGE,
    SUBNORMAL,
    STEPS,
    ALTERNATING,
    LARGEST,
    SMALL_AND_LARGE,
    N_KINDS
};

static void fill_kind(rng *r, int kind, float largest, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) switch (kind) {
        case ZEROS: x[i] = i % 2 ? 0.0f : -0.0f; break;
        case CONSTANT: x[i] = -0.37f; break;
        case NEGATIVE: x[i] = -fabsf(rng_float(r)) - 0.1f; break;
        case ONE_LARGE: x[i] = i == n / 3 ? 1000 : 1e-3f * rng_float(r); break;
        case SUBNORMAL: x[i] = 1e-40f * rng_float(r); break;
        case STEPS: x[i] = (float)((int)rng_below(r, 16) - 8) * 0.125f; break;
        case ALTERNATING: x[i] = i % 2 ? 1 : -1; break;
        case LARGEST: x[i] = rng_below(r, 2) ? largest : -largest; break;
        case SMALL_AND_LARGE: x[i] = i / 32 % 2 ? 1e-6f * rng_float(r) : 100 * rng_float(r); break;
        }
}

static void rows_of_all_kinds_survive(test *t) {
    enum { N = 1024 };
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    static float x[N], y[N], w[N];
    static uint8_t blocks[N * 4];
    for (size_t s = 0; s < N_TYPES; s++)
        for (int kind = 0; kind < N_KINDS; kind++)
            for (int with = 0; with < 3; with++) {
                const struct type *type = &types[s];
                rng r = rng_seed(77 + (uint64_t)kind);
                fill_kind(&r, kind, type->largest, x, N);
                for (size_t i = 0; i < N; i++)
                    w[i] = with == 2 ? 0 : rng_below(&r, 4) ? fabsf(rng_float(&r)) : 0;
                k->quantize_rows[type->format](x, with ? w : NULL, N, 1, blocks);
                k->decode[type->format](blocks, y, N);
                double error = 0, energy = 0;
                for (size_t i = 0; i < N; i++) {
                    double weight = with == 1 ? (double)w[i] + 1e-6 : 1, d = (double)x[i] - (double)y[i];
                    if (!isfinite(y[i]))
                        TEST_FAIL(t, "%s, kind %d: value %zu is not finite", type->name, kind, i);
                    error += weight * d * d;
                    energy += weight * (double)x[i] * (double)x[i];
                }
                /* A scale's rounding to half precision may cost a little; what it can't hold at all is 2^-25.
                 */
                if (!(error <= energy * 1.001 + N * 0x1p-46))
                    TEST_FAIL(t, "%s, kind %d, importance %d: error %g of %g", type->name, kind, with, error,
                              energy);
                if (kind == ZEROS && type->format != FORMAT_Q1_0)
                    for (size_t i = 0; i < N; i++) CHECK(t, y[i] == 0);
                if (kind == ALTERNATING && error > 0.15 * energy)
                    TEST_FAIL(t, "%s: two values, error %g of %g", type->name, error, energy);
            }
}

/* With importance the weighted error is no larger than without (but for the odd search that ends elsewhere);
 * only its proportions count; none at all is the same as equal ones. */
static void importance_is_minded(test *t) {
    enum { N = 4096 };
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    static float x[N], y[N], w[N], w4[N];
    static uint8_t blocks[N * 4], again[N * 4];
    for (size_t s = 0; s < N_TYPES; s++) {
        const struct type *type = &types[s];
        size_t bytes = format_row_bytes(type->format, N);
        rng r = rng_seed(5);
        double error[2];
        for (size_t i = 0; i < N; i++) {
            x[i] = rng_float(&r) + rng_float(&r) + rng_float(&r);
            w[i] = expf(3 * rng_float(&r));
            w4[i] = w[i] * 4;
        }
        for (int with = 0; with < 2; with++) {
            k->quantize_rows[type->format](x, with ? w : NULL, N, 1, blocks);
            k->decode[type->format](blocks, y, N);
            error[with] = 0;
            for (size_t i = 0; i < N; i++)
                error[with] += (double)w[i] * ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        }
        if (!(error[1] <= error[0]))
            TEST_FAIL(t, "%s: %g with importance, %g without", type->name, error[1], error[0]);
        k->quantize_rows[type->format](x, w4, N, 1, again);
        CHECK(t, memcmp(blocks, again, bytes) == 0);
        memset(w4, 0, sizeof w4);
        k->quantize_rows[type->format](x, w4, N, 1, again);
        k->decode[type->format](again, y, N);
        for (size_t i = 0; i < N; i++) CHECK(t, isfinite(y[i]));
    }
}

/* What a type can hold is found again, almost: the search may settle beside it, by less than a twentieth of
 * the error that the first quantizing made. */
static void what_fits_is_kept(test *t) {
    enum { N = 4096 };
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    static float x[N], y[N], z[N];
    static uint8_t blocks[N * 4];
    for (size_t s = 0; s < N_TYPES; s++) {
        const struct type *type = &types[s];
        rng r = rng_seed(6);
        for (size_t i = 0; i < N; i++) x[i] = rng_float(&r) + rng_float(&r) + rng_float(&r);
        k->quantize_rows[type->format](x, NULL, N, 1, blocks);
        k->decode[type->format](blocks, y, N);
        k->quantize_rows[type->format](y, NULL, N, 1, blocks);
        k->decode[type->format](blocks, z, N);
        double first = error_sum(x, y, NULL, N), second = error_sum(y, z, NULL, N);
        if (!(second <= 0.05 * first)) TEST_FAIL(t, "%s: error %g, then %g", type->name, first, second);
    }
}

/* Scales are raised by what least squares take away: what is written has the energy of the weights, or a
 * little more, but not so much that it would be better to write nothing. */
static void energy_is_kept(test *t) {
    static const uint32_t lifted[] = {
        FORMAT_Q4_0,   FORMAT_Q4_1,   FORMAT_Q5_0,   FORMAT_Q5_1,  FORMAT_Q2_K,   FORMAT_Q3_K,
        FORMAT_Q4_K,   FORMAT_IQ4_NL, FORMAT_IQ4_XS, FORMAT_IQ1_S, FORMAT_IQ1_M,  FORMAT_IQ2_XXS,
        FORMAT_IQ2_XS, FORMAT_IQ2_S,  FORMAT_Q5_K,   FORMAT_IQ3_S, FORMAT_IQ3_XXS};
    enum { N = 4096 };
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    static float x[N], y[N], w[N];
    static uint8_t blocks[N * 4];
    rng r = rng_seed(8);
    for (size_t i = 0; i < N; i++) {
        x[i] = rng_float(&r) + rng_float(&r) + rng_float(&r);
        w[i] = 0.1f + fabsf(rng_float(&r));
    }
    for (size_t s = 0; s < sizeof lifted / sizeof *lifted; s++)
        for (int with = 0; with < 2; with++) {
            double before = 0, after = 0;
            k->quantize_rows[lifted[s]](x, with ? w : NULL, N, 1, blocks);
            k->decode[lifted[s]](blocks, y, N);
            for (size_t i = 0; i < N; i++) {
                double v = with ? (double)w[i] : 1;
                before += v * (double)x[i] * (double)x[i];
                after += v * (double)y[i] * (double)y[i];
            }
            if (!(after > 0.998 * before && after < 1.25 * before))
                TEST_FAIL(t, "%s%s: energy %g becomes %g", format_get(lifted[s])->name,
                          with ? " with importance" : "", before, after);
        }
}

/* Rows share lanes, and each has its columns' importance: bits as row by row. */
static void rows_at_once(test *t) {
    enum { MOST = 5 };
    kernels tables[ISA_MAX];
    const kernels *k = &tables[tables_of_this_machine(tables) - 1];
    fenced in = fenced_map(MOST * 512 * sizeof(float)), in2 = fenced_map(512 * sizeof(float));
    rng r = rng_seed(36);
    for (size_t s = 0; s < N_TYPES; s++) {
        const struct type *type = &types[s];
        size_t block = format_get(type->format)->block_elems;
        for (size_t n = whole(type, 1); n <= 512; n += block * (1 + n / block))
            for (size_t rows = 1; rows <= MOST; rows += 2) {
                float *x = fenced_end(&in, n * rows * sizeof *x), *w = fenced_end(&in2, n * sizeof *w);
                size_t bytes = format_row_bytes(type->format, n);
                output want = output_new(bytes * rows), got = output_new(bytes * rows);
                for (size_t i = 0; i < n * rows; i++) x[i] = rng_float(&r);
                for (size_t i = 0; i < n; i++) w[i] = rng_float(&r) + 1;
                for (int with = 0; with < 2; with++) {
                    const float *importance = with ? w : NULL;
                    for (size_t i = 0; i < rows; i++)
                        k->quantize_rows[type->format](x + i * n, importance, n, 1,
                                                       (char *)want.p + i * bytes);
                    k->quantize_rows[type->format](x, importance, n, rows, got.p);
                    if (memcmp(want.p, got.p, bytes * rows) || !output_intact(&got))
                        TEST_FAIL(t, "quantize_rows_%s, %zu rows of %zu%s", type->name, rows, n,
                                  with ? " with importance" : "");
                }
                output_free(&want);
                output_free(&got);
            }
    }
    fenced_unmap(&in);
    fenced_unmap(&in2);
}

/* clang-format off */
#define TESTS(X) \
    X(every_set_has_the_bits_of_c) X(errors_are_at_most_ggmls) X(rows_of_all_kinds_survive) X(importance_is_minded) \
    X(what_fits_is_kept) X(energy_is_kept) X(rows_at_once)
/* clang-format on */
TEST_SUITE(TESTS)
