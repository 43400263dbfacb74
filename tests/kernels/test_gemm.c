/* Conformance of the path of many tokens: unpack and panel_mul, which belong together, and gemm_panels around
 * them. Every type of kernels.def on every instruction set of this machine, against the oracle. */
#include <math.h>
#include <stdlib.h>

#include "oracle.h"
#include "support.h"

static const struct type {
    const char *name;
    uint32_t format;
    act_kind act;
    panel_kind panel;
} types[] = {
#define W(name, NAME, act, panel) {#name, FORMAT_##NAME, act, panel},
#include "kernels/kernels.def"
#undef W
};
enum { N_TYPES = sizeof types / sizeof *types, K_MAX = 1100, TOKENS_MAX = 258, TOKENS_FEW = 40 };

/* Memory of one test: weights and activations end at a fence. */
typedef struct arena {
    fenced w, x;
    panel *p;
} arena;

static arena arena_new(void) {
    arena a = {fenced_map(PANEL_ROWS_MAX * (K_MAX * sizeof(double) + 64)),
               fenced_map(TOKENS_MAX * (act_row_bytes(ACT_Q8_32, K_MAX) * 2 + 64)),
               aligned_alloc(64, sizeof(panel))};
    return a;
}

static void arena_free(arena *a) {
    fenced_unmap(&a->w);
    fenced_unmap(&a->x);
    free(a->p);
}

/* A product of n_rows weight rows and m activation rows, both with gaps between the rows that hold NaN. */
typedef struct product {
    const struct type *type;
    act_kind act_form;
    size_t k, n_rows, m;
    size_t w_stride, act_stride;
    char *w, *act;
    int weights, vector;
} product;

static void product_fill(product *q, const kernels *c, rng *r, const arena *a) {
    static float x[K_MAX];
    size_t row_bytes = format_row_bytes(q->type->format, q->k), act_bytes = act_row_bytes(q->act_form, q->k);
    size_t w_bytes = q->w_stride * (q->n_rows - 1) + row_bytes;
    q->w = fenced_end(&a->w, w_bytes);
    memset(q->w, 0xff, w_bytes);
    for (size_t i = 0; i < q->n_rows; i++)
        fill_weights(r, q->type->format, q->weights, q->w + i * q->w_stride, q->k);
    q->act = fenced_end(&a->x, q->act_stride * (q->m - 1) + act_bytes);
    memset(q->act, 0xff, q->act_stride * (q->m - 1) + act_bytes);
    for (size_t i = 0; i < q->m; i++) {
        fill_vector(r, q->vector, x, q->k);
        make_activations(c, q->act_form, x, q->k, q->act + i * q->act_stride);
    }
}

static product product_new(const struct type *type, act_kind act_form, size_t k, size_t n_rows, size_t m,
                           size_t gap) {
    return (product){.type = type,
                     .act_form = act_form,
                     .k = k,
                     .n_rows = n_rows,
                     .m = m,
                     .w_stride = format_row_bytes(type->format, k) + gap,
                     .act_stride = act_row_bytes(act_form, k) + (gap ? 64 : 0),
                     .weights = WEIGHTS_RANDOM,
                     .vector = VECTOR_RANDOM};
}

/* Weights below 2^-126 count as zero in tiles. */
static double lost_denormals(const product *q, size_t token) {
    long double sum = 0;
    for (size_t i = 0; i < q->k; i++)
        sum += fabsl(oracle_activation(ACT_BF16, q->act + token * q->act_stride, q->k, i));
    return (double)sum * 0x1p-126;
}

/* c holds (m, rows) results that started from c0 (NULL: zero). Rows the weights don't have must not have
 * changed. */
static void check_results(test *t, const kernels *table, const product *q, size_t rows, const float *c,
                          const float *c0, const char *what) {
    static exact row[K_MAX];
    for (size_t r = 0; r < rows; r++) {
        if (r < q->n_rows) oracle_row(q->type->format, q->w + r * q->w_stride, q->k, row);
        for (size_t token = 0; token < q->m; token++) {
            float got = c[token * rows + r], start = c0 ? c0[token * rows + r] : 0;
            exact e = {0, 0, 0};
            if (r < q->n_rows) e = oracle_dot(row, q->act_form, q->act + token * q->act_stride, q->k);
            double bound =
                r < q->n_rows ? oracle_dot_bound(q->act_form, q->k, (double)e.magnitude + fabs(start)) : 0;
            if (r < q->n_rows && q->act_form == ACT_BF16) bound += lost_denormals(q, token);
            double error = (double)fabsl(got - (e.value + start));
            if (!(error <= bound))
                TEST_FAIL(t,
                          "%s of %s on %s, k %zu, %zu rows, %zu tokens, weights %d, vector %d: token %zu, "
                          "row %zu: %.9g, not "
                          "%.9Lg (%.2g > %.2g)",
                          what, q->type->name, table->isa, q->k, q->n_rows, q->m, q->weights, q->vector,
                          token, r, (double)got, e.value + start, error, bound);
        }
    }
}

static void check_gemm(test *t, const kernels *table, const product *q, panel *p) {
    size_t rows = table->panel_rows[q->type->panel];
    output c = output_new(q->m * rows * sizeof(float));
    memset(p, 0xff, sizeof *p);
    gemm_panels(table, q->type->format, q->act_form, q->w, q->w_stride, q->n_rows, q->k, q->act,
                q->act_stride, q->m, p, c.p);
    check_results(t, table, q, rows, c.p, NULL, "gemm_panels");
    if (!output_intact(&c))
        TEST_FAIL(t, "panel_mul of %s on %s writes outside c, %zu tokens", q->type->name, table->isa, q->m);
    output_free(&c);
}

/* One chunk straight through unpack and panel_mul, which must add to what c holds. */
static void check_panel(test *t, const kernels *table, const product *q, rng *r, panel *p) {
    uint8_t kind = q->type->panel;
    size_t rows = table->panel_rows[kind], n = q->m * rows;
    output c = output_new(n * sizeof(float));
    float *c0 = malloc(n * sizeof *c0);
    REQUIRE(t, c0);
    fill_vector(r, VECTOR_RANDOM, c0, n);
    memcpy(c.p, c0, n * sizeof *c0);
    memset(p, 0xff, sizeof *p);
    table->unpack[q->type->format](q->w, q->w_stride, q->n_rows, 0, q->k, p);
    table->panel_mul[kind](p, q->k, q->act, q->act_stride, q->k, 0, q->m, c.p);
    check_results(t, table, q, rows, c.p, c0, "panel_mul");
    if (!output_intact(&c))
        TEST_FAIL(t, "panel_mul of %s on %s writes outside c, %zu tokens", q->type->name, table->isa, q->m);
    free(c0);
    output_free(&c);
}

/* A row's result must not depend on the rows it shares a panel with. */
static void check_row_alone(test *t, const kernels *table, const product *q, panel *p) {
    size_t rows = table->panel_rows[q->type->panel];
    output all = output_new(q->m * rows * sizeof(float)), one = output_new(q->m * rows * sizeof(float));
    size_t last = q->n_rows - 1;
    gemm_panels(table, q->type->format, q->act_form, q->w, q->w_stride, q->n_rows, q->k, q->act,
                q->act_stride, q->m, p, all.p);
    gemm_panels(table, q->type->format, q->act_form, q->w + last * q->w_stride, q->w_stride, 1, q->k, q->act,
                q->act_stride, q->m, p, one.p);
    for (size_t token = 0; token < q->m; token++) {
        float together = ((float *)all.p)[token * rows + last], alone = ((float *)one.p)[token * rows];
        if (!same_float(together, alone))
            TEST_FAIL(t, "gemm_panels of %s on %s, k %zu: row %zu of token %zu is %a, alone %a",
                      q->type->name, table->isa, q->k, last, token, (double)together, (double)alone);
    }
    output_free(&all);
    output_free(&one);
}

static bool differs(const kernels *table, const kernels *below, const struct type *type) {
    return table->unpack[type->format] != below->unpack[type->format] ||
           table->panel_mul[type->panel] != below->panel_mul[type->panel];
}

static size_t next_k(size_t k, size_t block) {
    static const size_t large[] = {127, 255, 256, 257, 511, 1029};
    if (block > 1 && block < 256) {
        const size_t small = block == 32 ? 11 * 32 : 6 * block;
        return k < small ? k + block : k == small ? block == 32 ? 1056 : 1088 / block * block : 0;
    }
    if (block == 256) return k < 1024 ? k + 256 : 0;
    if (k < 70) return k + 1;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        if (large[i] > k) return large[i];
    return 0;
}

static void check_sizes(test *t, const kernels *table, const kernels *c, const struct type *type, arena *a) {
    size_t block = format_get(type->format)->block_elems, turn = 0;
    uint8_t kind = type->panel;
    size_t rows = table->panel_rows[kind], tokens = table->panel_tokens[kind];
    rng r = rng_seed(1000 + type->format);
    for (size_t k = block; k; k = next_k(k, block), turn++) {
        product q = product_new(type, type->act, k, 1 + turn * 5 % rows, 1 + turn * 3 % (tokens + 2),
                                turn % 3 ? 0 : 1 + turn % 64);
        product_fill(&q, c, &r, a);
        check_gemm(t, table, &q, a->p);
    }
    for (size_t n_rows = 1; n_rows <= rows; n_rows++) {
        product q = product_new(type, type->act, block == 1 ? 37 : block, n_rows, 1 + n_rows % tokens, 0);
        product_fill(&q, c, &r, a);
        check_panel(t, table, &q, &r, a->p);
        check_row_alone(t, table, &q, a->p);
    }
    /* each number of tokens that takes a tile of its own, then the largest */
    for (size_t m = 1; m <= tokens; m = m < TOKENS_FEW || m == tokens ? m + 1 : tokens) {
        product q = product_new(type, type->act, block == 1 ? 40 : 256, rows, m, 0);
        product_fill(&q, c, &r, a);
        check_panel(t, table, &q, &r, a->p);
    }
    for (size_t m = 1; m <= TOKENS_FEW; m++) {
        product q = product_new(type, type->act, block == 1 ? 19 : block, 1 + m % rows, m, 0);
        product_fill(&q, c, &r, a);
        check_gemm(t, table, &q, a->p);
    }
}

static void check_inputs(test *t, const kernels *table, const kernels *c, const struct type *type,
                         act_kind act_form, arena *a) {
    size_t block = format_get(type->format)->block_elems;
    rng r = rng_seed(2000 + type->format);
    for (int weights = 0; weights < WEIGHTS_WAYS; weights++)
        for (int vector = 0; vector < VECTOR_WAYS; vector++) {
            product q = product_new(type, act_form,
                                    block == 256 ? 512
                                    : block > 1  ? (288 / block | 1) * block
                                                 : 261,
                                    3, 2, 0);
            q.weights = weights;
            q.vector = vector;
            product_fill(&q, c, &r, a);
            check_gemm(t, table, &q, a->p);
        }
}

static void panels_are_near_the_oracle(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    arena a = arena_new();
    REQUIRE(t, a.p);
    for (size_t i = 0; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES; s++) {
            if (i && !differs(&tables[i], &tables[i - 1], &types[s])) continue;
            now_testing(tables[i].isa, types[s].name);
            check_sizes(t, &tables[i], &tables[0], &types[s], &a);
            check_inputs(t, &tables[i], &tables[0], &types[s], types[s].act, &a);
        }
    arena_free(&a);
}

/* The same with tiles, where there are any: all sizes of tokens and rows, all inputs. */
static void check_tiles(test *t, const kernels *table, const kernels *c, const struct type *type, arena *a) {
    size_t block = format_get(type->format)->block_elems, turn = 0;
    rng r = rng_seed(3000 + type->format);
    for (size_t k = block; k; k = next_k(k, block), turn++) {
        product q =
            product_new(type, ACT_BF16, k, 1 + turn * 5 % 32, 1 + turn * 7 % TOKENS_FEW, turn % 3 ? 0 : 64);
        product_fill(&q, c, &r, a);
        check_gemm(t, table, &q, a->p);
        check_row_alone(t, table, &q, a->p);
    }
    for (size_t m = 1; m <= TOKENS_FEW; m++) {
        product q = product_new(type, ACT_BF16, block, 1 + m % 32, m, 0);
        product_fill(&q, c, &r, a);
        check_gemm(t, table, &q, a->p);
    }
    check_inputs(t, table, c, type, ACT_BF16, a);
}

static void tiles_are_near_the_oracle(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    arena a = arena_new();
    REQUIRE(t, a.p);
    for (size_t i = 0; i < n_tables; i++)
        for (size_t s = 0; s < N_TYPES && tables[i].tiles_mul; s++) {
            if (gemm_act(&tables[i], types[s].format, GEMM_TILES_MIN) != ACT_BF16) continue;
            now_testing(tables[i].isa, types[s].name);
            CHECK_EQ(t, tables[i].panel_rows[types[s].panel], 32);
            check_tiles(t, &tables[i], &tables[0], &types[s], &a);
        }
    arena_free(&a);
}

#if defined(__x86_64__)
/* How the tile registers are configured: 0 the palette, from 16 on bytes of a row (16 bits), from 48 on rows.
 */
typedef struct tile_config {
    uint8_t bytes[64];
} tile_config;

static void tiles_configure(const tile_config *c) {
    if (c)
        __asm__ volatile("ldtilecfg %0" : : "m"(*c));
    else
        __asm__ volatile("tilerelease");
}

/* A library that configures the tiles of its thread once finds them so after we have used them, one that
 * doesn't carries no state of ours about. */
static void tiles_are_left_as_found(test *t) {
    static const tile_config none, theirs = {{[0] = 1, [16] = 32, [18] = 16, [48] = 8, [49] = 3}};
    static const uint8_t act[GEMM_TILES_MIN * 64];
    _Alignas(64) static float c[GEMM_TILES_MIN * PANEL_ROWS_MAX];
    kernels k;
    REQUIRE(t, kernels_init(&k, NULL));
    panel *p = aligned_alloc(64, sizeof *p);
    REQUIRE(t, p);
    memset(p, 0, sizeof *p);
    for (int way = 0; way < 4 && k.tiles_mul; way++) {
        tile_config after;
        tiles_configure(way % 2 ? &theirs : NULL);
        if (way < 2)
            k.tiles_mul(p, 32, act, 64, 0, GEMM_TILES_MIN, c);
        else
            k.tiles_peak(1);
        __asm__ volatile("sttilecfg %0" : "=m"(after));
        tiles_configure(NULL);
        CHECK(t, !memcmp(&after, way % 2 ? &theirs : &none, sizeof after));
    }
    free(p);
}
#else
static void tiles_are_left_as_found(test *t) {
    (void)t;
}
#endif

/* What gemm_panels and its callers rely on: c stays 64-byte aligned from tile to tile, and panels fit. */
static void panel_sizes_are_usable(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    for (size_t i = 0; i < n_tables; i++)
        for (int kind = 0; kind < PANEL_COUNT; kind++) {
            CHECK(t, tables[i].panel_mul[kind] != NULL);
            CHECK(t, tables[i].panel_tokens[kind] >= 1);
            CHECK(t, tables[i].panel_rows[kind] >= 1 && tables[i].panel_rows[kind] <= PANEL_ROWS_MAX);
            CHECK_EQ(t, tables[i].panel_rows[kind] % 16, 0);
        }
}

static void no_tokens_is_no_work(test *t) {
    kernels k;
    REQUIRE(t, kernels_init(&k, NULL));
    float w = 1, c = 5;
    panel *p = aligned_alloc(64, sizeof *p);
    REQUIRE(t, p);
    gemm_panels(&k, FORMAT_F32, ACT_F32, &w, 4, 1, 1, NULL, 0, 0, p, &c);
    CHECK(t, c == 5);
    free(p);
}

#define TESTS(X)                                                                                             \
    X(panels_are_near_the_oracle)                                                                            \
    X(tiles_are_near_the_oracle) X(tiles_are_left_as_found) X(panel_sizes_are_usable) X(no_tokens_is_no_work)
TEST_SUITE(TESTS)
