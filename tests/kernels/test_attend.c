/* Conformance of attention on every instruction set of this machine, against softmax in double. */
#include <math.h>
#include <stdlib.h>

#include "oracle.h"
#include "support.h"

enum { KEYS_MAX = 400, DIM_MAX = ATTEND_HEAD_DIM_MAX };

typedef struct problem {
    size_t n_tokens, n_heads, n_keys, dim_k, dim_v;
    uint32_t k_format, v_format;
    size_t gap; /* bytes (K, V) or floats (q, out) between rows that belong to nobody */
    float q_size;
    size_t window;
    float softcap;
    float sinks; /* size of the sinks of heads; 0: none */
} problem;

typedef struct arena {
    fenced q, k, v;
    output scratch;
    kernels reference;
} arena;

/* Rows of K or V as floats, DIM_MAX apart. */
typedef float rows_f32[KEYS_MAX][DIM_MAX];

static void to_floats(const kernels *c, const void *rows, size_t stride, uint32_t format, size_t n,
                      size_t dim, rows_f32 out) {
    for (size_t row = 0; row < n; row++) c->decode[format]((const char *)rows + row * stride, out[row], dim);
}

/* n rows of random numbers at the end of an area, what lies between them NaN. */
static void *random_rows(rng *r, const kernels *c, const fenced *area, uint32_t format, size_t n, size_t dim,
                         size_t stride, float size) {
    size_t bytes = stride * (n - 1) + format_row_bytes(format, dim);
    char *rows = fenced_end(area, bytes);
    float *x = malloc(dim * sizeof *x);
    memset(rows, 0xff, bytes);
    for (size_t row = 0; row < n && x; row++) {
        for (size_t i = 0; i < dim; i++) x[i] = rng_float(r) * size;
        c->encode[format](x, rows + row * stride, dim);
    }
    free(x);
    return rows;
}

/* The softmax of one query row: weights (relative to the largest) of its keys, and how wrong each may be.
 *
 * A score is a float sum of dim_k products times scale, and what goes into exp is it less the maximum, in a
 * kernel's own units: dim_k + 8 roundings of scale * sum |q k|, for the score and again for the maximum. exp
 * adds EXP_ERROR. Each time the maximum grows what was summed up is multiplied by another exp, hence as many
 * EXP_ERRORs and roundings. Sums over keys are rounded once per key. Weights so small that exp is cut off at
 * 2^-126 are off by that at most. */
typedef struct softmax {
    double weight[KEYS_MAX], total;
    double relative_error;
} softmax;

/* A kernel with tiles of bfloat16 rounds q, k, weights and v to them, by this much at most, unless the cache
 * has floats or there are few rows. */
static double rounding_of(const char *isa, const attend_args *a) {
    bool tiles = !strcmp(isa, "amx") && a->coarse && a->k_format != FORMAT_F32 && a->v_format != FORMAT_F32 &&
                 a->n_tokens * a->n_heads >= 32;
    return tiles ? 0x1.02p-8 : 0;
}

static void oracle_softmax(const attend_args *a, size_t head, const float *q, rows_f32 k, size_t n_keys,
                           double unit, softmax *s) {
    double maximum = -INFINITY, largest = 0, spread = 0, rescales = 0;
    const size_t first = a->window && n_keys > a->window ? n_keys - a->window : 0;
    /* softcap * tanh shrinks errors of its argument; its own is that of test_ops.c */
    const double cap = (double)a->softcap, cap_error = cap * (2 * EXP_ERROR + 12 * 0x1p-24);
    for (size_t key = 0; key < first; key++) s->weight[key] = -INFINITY;
    for (size_t key = first; key < n_keys; key++) {
        double sum = 0, magnitude = 0, squares = 0;
        for (size_t i = 0; i < a->head_dim_k; i++) {
            double term = (double)q[i] * k[key][i];
            sum += term;
            magnitude += fabs(term);
            squares += term * term;
        }
        spread = fmax(spread, sqrt(squares) * fabs((double)a->scale));
        s->weight[key] = sum * a->scale;
        if (cap > 0) s->weight[key] = cap * tanh(s->weight[key] / cap);
        largest = fmax(largest, magnitude * fabs((double)a->scale));
        if (s->weight[key] >= maximum - 2 * rounding_bound(a->head_dim_k + 8, largest)) rescales++;
        maximum = fmax(maximum, s->weight[key]);
    }
    s->total = 0;
    for (size_t key = 0; key < n_keys; key++) s->total += s->weight[key] = exp(s->weight[key] - maximum);
    if (a->sinks) s->total += exp((double)a->sinks[head] - maximum);
    /* the roundings of a score's terms are independent: five times their standard deviation */
    double score_error = 4 * unit * spread + 2 * (rounding_bound(a->head_dim_k + 8, largest) + cap_error);
    s->relative_error =
        expm1(score_error) + (rescales + 1) * (EXP_ERROR + 0x1p-24) + rounding_bound(n_keys + 2, 1) + unit;
}

static void check_row(test *t, const char *isa, const problem *p, const attend_args *a, rows_f32 k,
                      rows_f32 v, size_t token, size_t head) {
    static softmax s;
    size_t n_keys = a->n_keys + token;
    const double unit = rounding_of(isa, a);
    oracle_softmax(a, head, a->q + token * a->q_stride + head * a->head_dim_k, k, n_keys, unit, &s);
    double value[DIM_MAX] = {0}, magnitude[DIM_MAX] = {0}, largest = 0;
    for (size_t key = 0; key < n_keys; key++)
        for (size_t i = 0; i < a->head_dim_v; i++) {
            double term = s.weight[key] * v[key][i];
            value[i] += term;
            magnitude[i] += fabs(term);
            largest = fmax(largest, fabs((double)v[key][i]));
        }
    for (size_t i = 0; i < a->head_dim_v; i++) {
        double got = (double)a->out[token * a->out_stride + head * a->head_dim_v + i];
        /* numerator and denominator are both off by relative_error, and the quotient is rounded */
        double bound =
            (2 * s.relative_error / (1 - s.relative_error) + 0x1p-24 + unit) * magnitude[i] / s.total +
            (double)n_keys * 0x1p-125 * largest + 0x1p-148;
        double error = fabs(got - value[i] / s.total);
        if (!(error <= bound))
            TEST_FAIL(
                t,
                "attend on %s, %zu tokens, %zu heads, %zu keys, window %zu, cap %g, dims %zu %zu, %s and "
                "%s: token %zu, head %zu, [%zu] is %.9g, not %.9g (%.2g > %.2g)",
                isa, p->n_tokens, p->n_heads, p->n_keys, p->window, (double)p->softcap, p->dim_k, p->dim_v,
                format_get(p->k_format)->name, format_get(p->v_format)->name, token, head, i, got,
                value[i] / s.total, error, bound);
    }
}

/* The reference writes and reads the rows: what matters here is the sum made of them. */
static void check_attend(test *t, const kernels *table, rng *r, const problem *p, const arena *m) {
    const kernels *c = &m->reference;
    size_t n_kv = p->n_keys + p->n_tokens - 1;
    attend_args a = {.q_stride = p->n_heads * p->dim_k + p->gap,
                     .out_stride = p->n_heads * p->dim_v + p->gap,
                     .k_stride = format_row_bytes(p->k_format, p->dim_k) + p->gap * 4,
                     .v_stride = format_row_bytes(p->v_format, p->dim_v) + p->gap * 4,
                     .n_tokens = p->n_tokens,
                     .n_heads = p->n_heads,
                     .n_keys = p->n_keys,
                     .window = p->window,
                     .softcap = p->softcap,
                     .head_dim_k = p->dim_k,
                     .head_dim_v = p->dim_v,
                     .k_format = p->k_format,
                     .v_format = p->v_format,
                     .scale = 1 / sqrtf((float)p->dim_k),
                     .coarse = p->n_keys % 4 != 1,
                     .scratch = m->scratch.p};
    a.q = random_rows(r, c, &m->q, FORMAT_F32, p->n_tokens, p->n_heads * p->dim_k, a.q_stride * 4, p->q_size);
    a.k = random_rows(r, c, &m->k, p->k_format, n_kv, p->dim_k, a.k_stride, 2);
    a.v = random_rows(r, c, &m->v, p->v_format, n_kv, p->dim_v, a.v_stride, 1);
    memset(a.scratch, 0xff, ATTEND_SCRATCH);
    output out = output_new((a.out_stride * (p->n_tokens - 1) + p->n_heads * p->dim_v) * sizeof(float));
    a.out = out.p;
    float sinks[ATTEND_ROWS_MAX];
    for (size_t i = 0; i < p->n_heads; i++) sinks[i] = rng_float(r) * p->sinks;
    if (p->sinks > 0) a.sinks = sinks;
    table->attend(&a);
    static rows_f32 k, v;
    to_floats(c, a.k, a.k_stride, p->k_format, n_kv, p->dim_k, k);
    to_floats(c, a.v, a.v_stride, p->v_format, n_kv, p->dim_v, v);
    for (size_t token = 0; token < p->n_tokens; token++) {
        for (size_t head = 0; head < p->n_heads; head++) check_row(t, table->isa, p, &a, k, v, token, head);
        const unsigned char *gap =
            (const unsigned char *)(a.out + token * a.out_stride + p->n_heads * p->dim_v);
        for (size_t i = 0; token + 1 < p->n_tokens && i < p->gap * 4; i++)
            if (gap[i] != 0xa5) {
                TEST_FAIL(t, "attend on %s writes between rows of out", table->isa);
                break;
            }
    }
    if (!output_intact(&out)) TEST_FAIL(t, "attend on %s writes outside out", table->isa);
    if (!output_intact(&m->scratch)) TEST_FAIL(t, "attend on %s writes outside scratch", table->isa);
    output_free(&out);
}

/* Every pair of types that can be kept, streamed and in tiles, with head sizes that are whole blocks. */
static void check_pairs(test *t, const kernels *table, const arena *m) {
    static const uint32_t formats[] = {
#define E(name, NAME) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef E
    };
    enum { N = sizeof formats / sizeof *formats };
    static const size_t dims[] = {32, 64, 96, 128, 160, 256, 512}, heads[] = {1, 2, 3, 4, 7, 8, 12, 24};
    rng r = rng_seed(7);
    size_t turn = 0;
    for (size_t pair = 0; pair < N * N; pair++)
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++, turn++) {
            size_t dim = dims[turn % 5];
            problem p = {
                1 + turn % 2,      heads[h],          1 + turn * 37 % 140,        dim, turn % 3 ? dim : 64,
                formats[pair / N], formats[pair % N], turn % 2 * (1 + turn % 16), 2};
            check_attend(t, table, &r, &p, m);
        }
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t f = 0; f < N; f++) {
            problem p = {1 + d * 2, 4, 70 + f, dims[d], dims[d], formats[f], formats[f], 0, 2};
            check_attend(t, table, &r, &p, m);
        }
    for (size_t dim = 1; dim <= 40; dim++) { /* bfloat16 has no blocks: every tail */
        problem p = {1 + dim % 2, 5, 67, dim, 41 - dim, FORMAT_BF16, FORMAT_BF16, 1, 2};
        check_attend(t, table, &r, &p, m);
    }
}

/* Windows of every length around the blocks of keys, with and without a cap, streamed and in tiles. */
static void check_windows(test *t, const kernels *table, const arena *m) {
    static const size_t shapes[][2] = {{1, 1}, {1, 4},  {2, 3}, {3, 2},
                                       {6, 4}, {20, 1}, {64, 2}}; /* tokens, heads */
    rng r = rng_seed(9);
    size_t turn = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t window = 0; window <= 150; window += window < 5    ? 1
                                                         : window < 60 ? 13
                                                         : window < 70 ? 1
                                                                       : 20)
            for (size_t cap = 0; cap < 2; cap++, turn++) {
                problem p = {.n_tokens = shapes[i][0],
                             .n_heads = shapes[i][1],
                             .n_keys = 1 + turn * 29 % 150,
                             .dim_k = 32,
                             .dim_v = 48,
                             .k_format = turn % 3 ? FORMAT_F16 : FORMAT_F32,
                             .v_format = turn % 2 ? FORMAT_F16 : FORMAT_F32,
                             .q_size = cap ? 20 : 3,
                             .window = window,
                             .softcap = cap ? 20.0f + (float)(turn % 40) : 0};
                check_attend(t, table, &r, &p, m);
            }
}

/* One token that sees so many keys that they may be read at several places. */
static void check_many_keys(test *t, const kernels *table, const arena *m) {
    static const uint32_t formats[] = {FORMAT_F16, FORMAT_F32, FORMAT_Q8_0, FORMAT_BF16};
    rng r = rng_seed(10);
    for (size_t n_keys = 250, turn = 0; n_keys <= 390; n_keys += 1 + turn % 7, turn++) {
        problem p = {.n_tokens = 1,
                     .n_heads = 1 + turn % 6,
                     .n_keys = n_keys,
                     .dim_k = turn % 3 ? 64 : 96,
                     .dim_v = turn % 4 ? 64 : 32,
                     .k_format = formats[turn % 4],
                     .v_format = formats[turn / 2 % 4],
                     .gap = turn % 5,
                     .q_size = 3,
                     .window = turn % 8 == 7   ? n_keys - 20
                               : turn % 8 == 6 ? n_keys
                                               : 0,
                     .sinks = turn % 9 == 8 ? 3 : 0};
        check_attend(t, table, &r, &p, m);
    }
}

static void check_table(test *t, const kernels *table, const arena *m) {
    static const size_t dims[] = {1, 8, 32, 64, 80, 96, 128, 192, 256, 512, 576}, heads[] = {1, 3, 4, 8};
    static const uint32_t formats[] = {FORMAT_F16, FORMAT_F32};
    rng r = rng_seed(6);
    now_testing(table->isa, "attend");
    /* every head size with every number of heads and every pair of types; tokens and keys go round */
    size_t turn = 0;
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
            for (size_t f = 0; f < 4; f++, turn++) {
                problem p = {1 + turn % 3,   heads[h],       1 + turn * 7 % 70,          dims[d], dims[d],
                             formats[f % 2], formats[f / 2], turn % 2 * (1 + turn % 16), 2};
                check_attend(t, table, &r, &p, m);
            }
    for (size_t n_tokens = 1; n_tokens <= 17; n_tokens++) {
        problem p = {n_tokens, 3, 1 + n_tokens * 13 % 80, 32, 32, FORMAT_F16, FORMAT_F16, 0, 3};
        check_attend(t, table, &r, &p, m);
    }
    for (size_t n_keys = 1; n_keys <= 200; n_keys++) {
        problem p = {1 + n_keys % 5 % 3, 1 + n_keys % 4, n_keys, 16, 16, FORMAT_F16, FORMAT_F16, 0, 3};
        check_attend(t, table, &r, &p, m);
    }
    for (size_t dim = 1; dim <= 70; dim++) { /* every tail; K and V rows of different sizes */
        problem p = {2, 2, 9, dim, 71 - dim, FORMAT_F16, FORMAT_F32, dim % 2, 3};
        check_attend(t, table, &r, &p, m);
    }
    problem decode = {1, 64, 150, 64, 64, FORMAT_F16, FORMAT_F16, 0, 4},
            prefill = {64, 4, 130, 64, 64, FORMAT_F16, FORMAT_F16, 0, 4};
    problem sharp = {4, 4, 190, 64, 64, FORMAT_F32, FORMAT_F32, 0, 100},
            flat = {3, 4, 190, 64, 64, FORMAT_F32, FORMAT_F32, 0, 0};
    problem widest = {1, ATTEND_ROWS_MAX, 5, 64, 64, FORMAT_F16, FORMAT_F16, 0, 4};
    for (size_t i = 0; i < 8; i++) { /* streamed and in tiles, sinks below and far above the scores */
        problem sunk = {.n_tokens = 1 + i % 4 * 5,
                        .n_heads = 1 + i,
                        .n_keys = 60 + i * 9,
                        .dim_k = 64,
                        .dim_v = 64,
                        .k_format = formats[i % 2],
                        .v_format = formats[i / 4],
                        .q_size = 2,
                        .sinks = i % 3 == 2 ? 200 : 3};
        check_attend(t, table, &r, &sunk, m);
    }
    check_attend(t, table, &r, &decode, m);
    check_attend(t, table, &r, &prefill, m);
    check_attend(t, table, &r, &sharp, m);
    check_attend(t, table, &r, &flat, m);
    check_attend(t, table, &r, &widest, m);
}

static void attend_is_near_the_oracle(test *t) {
    kernels tables[ISA_MAX];
    size_t n_tables = tables_of_this_machine(tables);
    arena m = {fenced_map(ATTEND_ROWS_MAX * DIM_MAX * 8),
               fenced_map(KEYS_MAX * (DIM_MAX + 32) * 4),
               fenced_map(KEYS_MAX * (DIM_MAX + 32) * 4),
               output_new(ATTEND_SCRATCH),
               {0}};
    REQUIRE(t, kernels_init(&m.reference, "c"));
    for (size_t i = 0; i < n_tables; i++)
        if (!i || tables[i].attend != tables[i - 1].attend) {
            check_table(t, &tables[i], &m);
            check_pairs(t, &tables[i], &m);
            check_windows(t, &tables[i], &m);
            check_many_keys(t, &tables[i], &m);
        }
    fenced_unmap(&m.q);
    fenced_unmap(&m.k);
    fenced_unmap(&m.v);
    output_free(&m.scratch);
}

#define TESTS(X) X(attend_is_near_the_oracle)
TEST_SUITE(TESTS)
