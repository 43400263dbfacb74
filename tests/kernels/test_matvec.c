/* Conformance of decode and matvec: every type of kernels.def on every instruction set of this machine.
 * decode must have the bits of the C reference, matvec stay within the derived bound of the oracle. */
#include <math.h>
#include <stdlib.h>

#include "oracle.h"
#include "support.h"

static const struct type {
    const char *name;
    uint32_t format;
    act_kind act;
} types[] = {
#define W(name, NAME, act, panel) {#name, FORMAT_##NAME, act},
#include "kernels/kernels.def"
#undef W
};
enum { N_TYPES = sizeof types / sizeof *types, K_MAX = 4352, ROWS_MAX = PANEL_ROWS_MAX + 3 };

/* ---- decode ---- */

static void check_decode(test *t, const kernels *k, const kernels *c, const struct type *type, rng *r,
                         int way, size_t n, const fenced *in) {
    void *w = fenced_end(in, format_row_bytes(type->format, n));
    if (way < WEIGHTS_WAYS)
        fill_weights(r, type->format, way, w, n);
    else
        rng_fill(r, w, format_row_bytes(type->format, n)); /* any bits: scales of Inf and NaN too */
    output y = output_new(n * sizeof(float)), expected = output_new(n * sizeof(float));
    c->decode[type->format](w, expected.p, n);
    k->decode[type->format](w, y.p, n);
    size_t wrong = 0, first = 0;
    for (size_t i = n; i-- > 0;)
        if (!same_float(((float *)y.p)[i], ((float *)expected.p)[i])) wrong++, first = i;
    if (wrong)
        TEST_FAIL(t, "decode_%s on %s, n %zu, way %d: %zu differ, the first is [%zu]: %a, not %a", type->name,
                  k->isa, n, way, wrong, first, (double)((float *)y.p)[first],
                  (double)((float *)expected.p)[first]);
    if (!output_intact(&y)) TEST_FAIL(t, "decode_%s on %s writes outside y, n %zu", type->name, k->isa, n);
    output_free(&y);
    output_free(&expected);
}

static void decode_has_the_bits_of_c(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    fenced in = fenced_map(K_MAX * sizeof(float));
    for (size_t i = 0; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            const struct type *type = &types[s];
            if (i && tables[i].decode[type->format] == tables[i - 1].decode[type->format]) continue;
            rng r = rng_seed(100 + s);
            size_t block = format_get(type->format)->block_elems;
            now_testing(tables[i].isa, type->name);
            for (int way = 0; way <= WEIGHTS_WAYS; way++)
                for (size_t blocks = 0; blocks <= (block == 1 ? 70 : 9); blocks++)
                    check_decode(t, &tables[i], &tables[0], type, &r, way, blocks * block, &in);
        }
    fenced_unmap(&in);
}

/* Decoded values against the oracle: d * sc, times q, minus dmin * mn, each rounded, of which at most two
 * matter to a term, and once more for the sum. Checks the reference; the other sets have its bits. */
static void decode_is_near_the_oracle(test *t) {
    kernels c;
    REQUIRE(t, kernels_init(&c, "c"));
    fenced in = fenced_map(K_MAX * sizeof(float));
    for (size_t s = 0; s < N_TYPES; s++)
        for (int way = 0; way < WEIGHTS_WAYS; way++) {
            enum { N = 1024 };
            float y[N];
            rng r = rng_seed(200 + s);
            void *w = fenced_end(&in, format_row_bytes(types[s].format, N));
            fill_weights(&r, types[s].format, way, w, N);
            c.decode[types[s].format](w, y, N);
            for (size_t i = 0; i < N; i++) {
                exact e = oracle_weight(types[s].format, w, i);
                long double error = fabsl(y[i] - e.value);
                if (!(error <= rounding_bound(3, (double)e.magnitude)))
                    TEST_FAIL(t, "decode_%s, way %d: [%zu] is %g, not %Lg", types[s].name, way, i,
                              (double)y[i], e.value);
            }
        }
    fenced_unmap(&in);
}

/* ---- matvec ---- */

typedef struct arena {
    fenced w, x;
} arena;

typedef struct matvec_case {
    size_t k, n_rows, gap; /* gap: bytes between rows that belong to nobody */
    int weights, vector;
} matvec_case;

static void check_matvec(test *t, const kernels *table, const kernels *c, const struct type *type, rng *r,
                         const matvec_case *m, const arena *a) {
    static float x[K_MAX];
    static exact row[K_MAX];
    size_t row_bytes = format_row_bytes(type->format, m->k), stride = row_bytes + m->gap;
    char *w = fenced_end(&a->w, stride * (m->n_rows - 1) + row_bytes);
    memset(w, 0xff, stride * (m->n_rows - 1) + row_bytes);
    for (size_t i = 0; i < m->n_rows; i++) fill_weights(r, type->format, m->weights, w + i * stride, m->k);
    fill_vector(r, m->vector, x, m->k);
    const void *act = fenced_activations(c, type->act, x, m->k, &a->x);

    output y = output_new(m->n_rows * sizeof(float));
    table->matvec[type->format](w, stride, m->n_rows, m->k, act, y.p);
    if (!output_intact(&y))
        TEST_FAIL(t, "matvec_%s on %s writes outside y, k %zu", type->name, table->isa, m->k);
    for (size_t i = 0; i < m->n_rows; i++) {
        float got = ((float *)y.p)[i], alone;
        oracle_row(type->format, w + i * stride, m->k, row);
        exact e = oracle_dot(row, type->act, act, m->k);
        double bound = oracle_dot_bound(type->act, m->k, (double)e.lanes),
               error = (double)fabsl(got - e.value);
        if (!(error <= bound))
            TEST_FAIL(t,
                      "matvec_%s on %s, k %zu, row %zu of %zu, gap %zu, weights %d, vector %d: %.9g, not "
                      "%.9Lg (%.2g > %.2g)",
                      type->name, table->isa, m->k, i, m->n_rows, m->gap, m->weights, m->vector, (double)got,
                      e.value, error, bound);
        table->matvec[type->format](w + i * stride, stride, 1, m->k, act, &alone);
        if (!same_float(got, alone))
            TEST_FAIL(t, "matvec_%s on %s, k %zu: row %zu of %zu is %a, alone %a", type->name, table->isa,
                      m->k, i, m->n_rows, (double)got, (double)alone);
    }
    output_free(&y);
}

/* Every small k, and some that are large or odd. */
static size_t next_k(size_t k, size_t block) {
    static const size_t large[] = {127, 128, 129, 255, 256, 257, 511, 1000, 4099};
    size_t small = block == 1 ? 70 : block < 256 ? 20 * block : 5 * 256;
    if (k < small) return k + block;
    if (block > 1 && block < 256) return k == small ? (block == 32 ? 67 : 33) * block : 0;
    if (block == 256) return k == small ? 17 * 256 : 0;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        if (large[i] > k) return large[i];
    return 0;
}

static void check_matvec_type(test *t, const kernels *table, const kernels *c, const struct type *type,
                              const arena *a) {
    rng r = rng_seed(type->format);
    size_t block = format_get(type->format)->block_elems, turn = 0;
    for (size_t k = block; k; k = next_k(k, block), turn++) {
        matvec_case m = {k, 1 + turn % ROWS_MAX, turn % 3 ? 0 : 1 + turn, WEIGHTS_RANDOM, VECTOR_RANDOM};
        check_matvec(t, table, c, type, &r, &m, a);
    }
    for (size_t n_rows = 1; n_rows <= ROWS_MAX; n_rows++) {
        matvec_case m = {block * (1 + n_rows % 3), n_rows, 0, WEIGHTS_RANDOM, VECTOR_RANDOM};
        check_matvec(t, table, c, type, &r, &m, a);
    }
    for (int weights = 0; weights < WEIGHTS_WAYS; weights++)
        for (int vector = 0; vector < VECTOR_WAYS; vector++) {
            matvec_case m = {block == 256 ? 768
                             : block > 1  ? (416 / block | 1) * block
                                          : 131,
                             2, 0, weights, vector};
            check_matvec(t, table, c, type, &r, &m, a);
        }
}

static void matvec_is_near_the_oracle(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    arena a = {fenced_map(ROWS_MAX * (K_MAX * sizeof(double) + 128)),
               fenced_map(act_row_bytes(ACT_Q8_32, K_MAX) * 4)};
    for (size_t i = 0; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            if (i && tables[i].matvec[types[s].format] == tables[i - 1].matvec[types[s].format]) continue;
            now_testing(tables[i].isa, types[s].name);
            check_matvec_type(t, &tables[i], &tables[0], &types[s], &a);
        }
    fenced_unmap(&a.w);
    fenced_unmap(&a.x);
}

/* A row that holds a NaN or an Inf must not come out as a number. */
static void a_poisoned_vector_gives_nan(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    fenced area = fenced_map(act_row_bytes(ACT_Q8_32, 1024) * 4);
    for (size_t i = 0; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            enum { K = 512 };
            float x[K], y;
            char w[K * sizeof(double)];
            rng r = rng_seed(300);
            fill_vector(&r, VECTOR_RANDOM, x, K);
            x[300] = NAN;
            fill_weights(&r, types[s].format, WEIGHTS_ONES, w, K);
            const void *act = fenced_activations(&tables[0], types[s].act, x, K, &area);
            tables[i].matvec[types[s].format](w, format_row_bytes(types[s].format, K), 1, K, act, &y);
            if (y == y)
                TEST_FAIL(t, "matvec_%s on %s: %g from a NaN", types[s].name, tables[i].isa, (double)y);
        }
    fenced_unmap(&area);
}

#define TESTS(X)                                                                                             \
    X(decode_has_the_bits_of_c)                                                                              \
    X(decode_is_near_the_oracle)                                                                             \
    X(matvec_is_near_the_oracle)                                                                             \
    X(a_poisoned_vector_gives_nan)
TEST_SUITE(TESTS)
