/* runtime/sample against its definition: every filter written down naively in double precision over a fully
 * sorted list, the draw by counting, the penalty by hand, and logits of arbitrary bits. */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "runtime/rng.h"
#include "runtime/sample/sample.h"
#include "tests/harness/test.h"

#include "sample_support.h"

/* ---- the definition ---- */

typedef struct entry {
    double logit;
    uint32_t id;
    double p;
} entry;

static int descending(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->logit > y->logit) return -1;
    if (x->logit < y->logit) return 1;
    return (x->id > y->id) - (x->id < y->id);
}

static double softmax(entry *l, size_t n, double temp) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += l[i].p = exp((l[i].logit - l[0].logit) / temp);
    for (size_t i = 0; i < n; i++) l[i].p /= sum;
    return sum;
}

/* Sorted survivors of finite logits with their final probabilities. *close: how near the nearest decision was
 * to going the other way, relative. */
static size_t define(const float *logits, size_t n, const leat_sampler_params *p, entry *l, double *close) {
    for (size_t i = 0; i < n; i++) l[i] = (entry){(double)logits[i], (uint32_t)i, 0};
    qsort(l, n, sizeof *l, descending);
    *close = 1;
    if (p->top_k > 0 && (size_t)p->top_k < n) n = (size_t)p->top_k;
    if (p->top_p < 1) {
        softmax(l, n, 1);
        double mass = 0;
        for (size_t i = 0; i < n; i++) {
            mass += l[i].p;
            *close = fmin(*close, fabs(mass - (double)p->top_p));
            if (mass >= (double)p->top_p) n = i + 1;
        }
    }
    if (p->min_p > 0) {
        softmax(l, n, 1);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            double ratio = l[i].p / l[0].p;
            *close = fmin(*close, fabs(ratio / (double)p->min_p - 1));
            kept += ratio >= (double)p->min_p;
        }
        n = kept;
    }
    softmax(l, n, (double)p->temp);
    return n;
}

/* Does the sampler keep exactly what the definition keeps, with the same probabilities? */
static void compare(test *t, const float *logits, size_t n_vocab, const leat_sampler_params *p) {
    leat_sampler *s = NULL;
    leat_error e;
    entry *want = malloc(n_vocab * sizeof *want);
    double *got = calloc(n_vocab, sizeof *got);
    REQUIRE(t, want && got);
    REQUIRE(t, sampler_open((uint32_t)n_vocab, NULL, 0, p, &s, &e) == LEAT_OK);
    const sampler_candidate *c;
    size_t n;
    double total, close;
    size_t wanted = define(logits, n_vocab, p, want, &close);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, &e), LEAT_OK);
    if (close > 1e-6 || n == wanted) {
        if (n != wanted)
            TEST_FAIL(t, "kept %zu, not %zu (top_k %d top_p %g min_p %g temp %g)", n, wanted, p->top_k,
                      (double)p->top_p, (double)p->min_p, (double)p->temp);
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            CHECK(t, c[i].id < n_vocab && got[c[i].id] <= 0);
            got[c[i].id] = (double)c[i].weight / total;
            sum += (double)c[i].weight / total;
        }
        CHECK(t, fabs(sum - 1) < 1e-9);
        for (size_t i = 0; i < wanted && n == wanted; i++) {
            double p_want = want[i].p, p_got = got[want[i].id];
            /* The exponent (difference and quotient, each rounded to float) is off by 2 * 2^-24 of itself,
             * exp by a few ulp; below exp(-87) of the best the sampler rounds to zero. */
            double bound = p_want * (1e-6 + 1.2e-7 * fabs(log(p_want / want[0].p + 1e-300))) + 1e-36;
            if (fabs(p_want - p_got) > bound)
                TEST_FAIL(t, "token %u: probability %.9g, not %.9g", (unsigned)want[i].id, p_got, p_want);
        }
    }
    sampler_close(s);
    free(want);
    free(got);
}

static void matches_definition(test *t) {
    enum { N = 5000 };
    static float logits[N];
    static const int32_t ks[] = {0, 1, 2, 7, 40, 49, 300, N - 1, N, N + 1, -5};
    static const float top_ps[] = {0, 1e-6f, 0.1f, 0.5f, 0.95f, 0.9999f, 1, 2};
    static const float min_ps[] = {0, -1, 1e-30f, 0.001f, 0.05f, 0.7f, 1};
    static const float temps[] = {0.8f, 1, 0.05f, 20};
    state = 11;
    for (int trial = 0; trial < 400; trial++) {
        size_t n = trial % 3 == 0 ? N : 1 + random_u64() % 200;
        double scale = (const double[]){0.01, 1, 5, 40, 500}[random_u64() % 5];
        for (size_t i = 0; i < n; i++) {
            double g = random_unit() + random_unit() + random_unit() - 1.5;
            logits[i] = (float)(g * scale + 3);
            if (trial % 4 == 1) logits[i] = roundf(logits[i]); /* many ties */
        }
        leat_sampler_params p = neutral();
        p.top_k = ks[random_u64() % (sizeof ks / sizeof *ks)];
        p.top_p = top_ps[random_u64() % (sizeof top_ps / sizeof *top_ps)];
        p.min_p = min_ps[random_u64() % (sizeof min_ps / sizeof *min_ps)];
        p.temp = temps[random_u64() % (sizeof temps / sizeof *temps)];
        compare(t, logits, n, &p);
    }
}

static void each_filter_alone(test *t) {
    /* probabilities 0.4 0.3 0.2 0.1, out of order */
    float logits[4] = {logf(0.2f), logf(0.4f), logf(0.1f), logf(0.3f)};
    static const struct {
        int32_t top_k;
        float top_p, min_p;
        size_t n;
    } cases[] = {{0, 1, 0, 4},     {1, 1, 0, 1},        {3, 1, 0, 3},        {9, 1, 0, 4},
                 {0, 0.35f, 0, 1}, {0, 0.5f, 0, 2},     {0, 0.69f, 0, 2},    {0, 0.71f, 0, 3},
                 {0, 0.95f, 0, 4}, {0, 0, 0, 1},        {0, 1, 0.24f, 4},    {0, 1, 0.3f, 3},
                 {0, 1, 0.6f, 2},  {0, 1, 0.76f, 1},    {0, 1, 1, 1},        {2, 0.55f, 0, 1},
                 {2, 0.6f, 0, 2},  {3, 0.95f, 0.6f, 2}, {0, 0.65f, 0.6f, 2}, {0, 0.35f, 0.6f, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_sampler_params p = neutral();
        p.top_k = cases[i].top_k;
        p.top_p = cases[i].top_p;
        p.min_p = cases[i].min_p;
        leat_sampler *s;
        const sampler_candidate *c;
        size_t n = 0;
        double total;
        REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
        CHECK_EQ(t, n, cases[i].n);
        sampler_close(s);
        compare(t, logits, 4, &p);
    }
}

/* Frequencies of draws against the probabilities: chi square, 0.999 quantile of 9 degrees of freedom
 * is 27.88. */
static void draws_follow_probabilities(test *t) {
    enum { N = 10, DRAWS = 100000 };
    float logits[N];
    for (int i = 0; i < N; i++) logits[i] = (float)(i * 7 % N) * 0.37f;
    for (int sorted = 0; sorted < 2; sorted++) {
        leat_sampler_params p = neutral();
        p.temp = 0.7f;
        p.seed = 42;
        if (sorted) p.top_p = 0.99999f;
        leat_sampler *s;
        entry want[N];
        double close, chi = 0;
        unsigned count[N] = {0};
        REQUIRE(t, sampler_open(N, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK_EQ(t, define(logits, N, &p, want, &close), N);
        for (int i = 0; i < DRAWS; i++) {
            int32_t token = -1;
            REQUIRE(t, sampler_pick(s, logits, 1, &token, NULL) == LEAT_OK && token >= 0 && token < N);
            count[token]++;
        }
        for (int i = 0; i < N; i++) {
            double expected = want[i].p * DRAWS, d = count[want[i].id] - expected;
            chi += d * d / expected;
        }
        if (!(chi < 27.88)) TEST_FAIL(t, "chi square %g", chi);
        sampler_close(s);
    }
}

static void same_seed_same_tokens(test *t) {
    enum { N = 1000, STEPS = 300 };
    static float logits[N];
    int32_t picks[4][STEPS];
    int rounding = fegetround();
    for (int run = 0; run < 4; run++) {
        leat_sampler_params p = sampler_defaults;
        p.seed = run == 2 ? 8 : 7;
        p.repeat_penalty = 1.3f;
        leat_sampler *s;
        REQUIRE(t, sampler_open(N, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK_EQ(t, sampler_seed(s), p.seed);
        state = 5;
        for (int i = 0; i < STEPS; i++) {
            for (int j = 0; j < N; j++) logits[j] = (float)(random_unit() * 4);
            if (run == 3) fesetround(FE_UPWARD); /* the host's business, not the text's */
            CHECK_EQ(t, sampler_pick(s, logits, 64, &picks[run][i], NULL), LEAT_OK);
            CHECK_EQ(t, fegetround(), run == 3 ? FE_UPWARD : rounding);
            fesetround(rounding);
            sampler_accept(s, picks[run][i]);
        }
        sampler_close(s);
    }
    CHECK(t, memcmp(picks[0], picks[1], sizeof picks[0]) == 0);
    CHECK(t, memcmp(picks[0], picks[2], sizeof picks[0]) != 0);
    CHECK(t, memcmp(picks[0], picks[3], sizeof picks[0]) == 0);
}

/* The seed's meaning is a promise to users: the first numbers after seed 0, worked out from the published
 * algorithms. */
static void generator_is_pinned(test *t) {
    rng r = rng_seed(0);
    CHECK(t, r.s[0] == 0xe220a8397b1dcdafu &&
                 r.s[1] == 0x6e789e6aa1b965f4u); /* splitmix64's own first outputs */
    uint64_t first = rng_u64(&r);
    CHECK(t, first == rng_rotate(0x6e789e6aa1b965f4u * 5, 7) * 9);
    for (int i = 0; i < 1000; i++) {
        double u = rng_unit(&r);
        CHECK(t, u >= 0 && u < 1);
    }
}

static void random_seed(test *t) {
    leat_sampler *a, *b, *c;
    REQUIRE(t, sampler_open(3, NULL, 0, NULL, &a, NULL) == LEAT_OK);
    REQUIRE(t, sampler_open(3, NULL, 0, NULL, &b, NULL) == LEAT_OK);
    REQUIRE(t, sampler_open(3, NULL, 0, NULL, &c, NULL) == LEAT_OK);
    CHECK(t, sampler_seed(a) != sampler_seed(b) || sampler_seed(b) != sampler_seed(c));
    CHECK(t, sampler_seed(a) != LEAT_SEED_RANDOM);
    sampler_close(a);
    sampler_close(b);
    sampler_close(c);
    sampler_close(NULL);
}

/* ---- penalty ---- */

static int32_t pick(test *t, leat_sampler *s, const float *logits, uint32_t n_ctx) {
    int32_t token = -1;
    CHECK_EQ(t, sampler_pick(s, logits, n_ctx, &token, NULL), LEAT_OK);
    return token;
}

static void repeat_penalty(test *t) {
    leat_sampler_params p = neutral();
    p.repeat_penalty = 2;
    p.repeat_last_n = 3;
    leat_sampler *s;
    const sampler_candidate *c;
    size_t n;
    double total;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    sampler_accept(s, 0);
    sampler_accept(s, 0); /* twice in the window counts once */
    sampler_accept(s, 2);
    const float logits[4] = {2, 0.5f, -1, -1.5f};
    CHECK_EQ(t, sampler_distribution(s, logits, 9, &c, &n, &total, NULL), LEAT_OK);
    const double want[4] = {1, 0.5, -2, -1.5};
    for (size_t i = 0; i < n; i++) CHECK(t, fabs((double)c[i].weight - exp(want[c[i].id] - 1)) < 1e-6);
    /* a token leaves the window after exactly repeat_last_n others */
    sampler_accept(s, 3);
    CHECK_EQ(t, sampler_distribution(s, logits, 9, &c, &n, &total, NULL), LEAT_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(t, c[i].id != 0 || fabs((double)c[i].weight - 1) < 1e-6); /* still in: 1 is the best */
    sampler_accept(s, 3);
    CHECK_EQ(t, sampler_distribution(s, logits, 9, &c, &n, &total, NULL), LEAT_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(t, c[i].id != 1 || fabs((double)c[i].weight - exp(-1.5)) < 1e-6); /* 0 is back at 2 */
    sampler_accept(s, -1);
    sampler_accept(s, 4);
    sampler_accept(s, INT32_MAX);
    sampler_accept(s, INT32_MIN);
    sampler_close(s);

    /* -1 looks back as far as the context, 0 nowhere */
    p.temp = 0;
    p.repeat_last_n = -1;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    sampler_accept(s, 0);
    for (int i = 0; i < 9; i++) sampler_accept(s, 3);
    const float near[4] = {1, 0.9f, 0, 0};
    CHECK_EQ(t, pick(t, s, near, 10), 1);
    CHECK_EQ(t, pick(t, s, near, 9), 0);
    sampler_close(s);
    p.repeat_last_n = 0;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    sampler_accept(s, 0);
    CHECK_EQ(t, pick(t, s, near, 10), 0);
    sampler_close(s);

    /* a penalty may overflow, but it rules nothing out */
    p.repeat_penalty = FLT_MAX;
    p.repeat_last_n = 5;
    REQUIRE(t, sampler_open(2, NULL, 0, &p, &s, NULL) == LEAT_OK);
    sampler_accept(s, 0);
    sampler_accept(s, 1);
    CHECK_EQ(t, pick(t, s, (const float[]){-3, -2}, 10), 0);
    sampler_close(s);
    p.repeat_penalty = FLT_MIN;
    REQUIRE(t, sampler_open(2, NULL, 0, &p, &s, NULL) == LEAT_OK);
    sampler_accept(s, 1);
    CHECK_EQ(t, pick(t, s, (const float[]){5, 5}, 10), 1);
    sampler_close(s);
}

/* ---- odd logits ---- */

static void greedy(test *t) {
    static const float temps[] = {0, -1, -0.0f};
    for (int i = 0; i < 3; i++) {
        leat_sampler_params p = neutral();
        p.temp = temps[i];
        leat_sampler *s;
        REQUIRE(t, sampler_open(5, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK_EQ(t, pick(t, s, (const float[]){1, 3, 3, 2, 3}, 1), 1);
        CHECK_EQ(t, pick(t, s, (const float[]){-0.0f, 0.0f, -1, -2, 0}, 1), 0);
        CHECK_EQ(t, pick(t, s, (const float[]){NAN, -INFINITY, -FLT_MAX, NAN, -FLT_MAX}, 1), 2);
        CHECK_EQ(t, pick(t, s, (const float[]){9, FLT_MAX, INFINITY, INFINITY, NAN}, 1), 2);
        sampler_close(s);
    }
    leat_sampler_params p = neutral();
    p.top_k = 1;
    leat_sampler *s;
    REQUIRE(t, sampler_open(5, NULL, 0, &p, &s, NULL) == LEAT_OK);
    for (int i = 0; i < 20; i++) CHECK_EQ(t, pick(t, s, (const float[]){1, 3, 3, 2, 3}, 1), 1);
    sampler_close(s);
}

static void no_number_at_all(test *t) {
    for (int greedy_run = 0; greedy_run < 2; greedy_run++) {
        leat_sampler_params p = neutral();
        p.temp = greedy_run ? 0 : 1;
        leat_sampler *s;
        leat_error e;
        int32_t token = 77;
        REQUIRE(t, sampler_open(3, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK_EQ(t, sampler_pick(s, (const float[]){NAN, -INFINITY, NAN}, 1, &token, &e), LEAT_E_NUMERIC);
        CHECK_EQ(t, e.code, LEAT_E_NUMERIC);
        CHECK(t, strlen(e.message) > 10);
        CHECK_EQ(t, token, 77);
        /* the sampler is usable afterwards */
        CHECK_EQ(t, pick(t, s, (const float[]){NAN, -INFINITY, 1}, 1), 2);
        sampler_close(s);
    }
}

static void infinities_share(test *t) {
    leat_sampler_params rows[4];
    for (int r = 0; r < 4; r++) rows[r] = neutral();
    rows[1].temp = 0.1f;
    rows[1].top_k = 40;
    rows[1].top_p = 0.95f;
    rows[1].min_p = 0.05f;
    rows[2].temp = 5;
    rows[2].top_k = 3;
    rows[2].min_p = 0.5f;
    rows[3].top_p = 0.99f;
    rows[3].min_p = 1;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        leat_sampler *s;
        unsigned count[4] = {0};
        REQUIRE(t, sampler_open(4, NULL, 0, &rows[r], &s, NULL) == LEAT_OK);
        for (int i = 0; i < 2000; i++)
            count[pick(t, s, (const float[]){INFINITY, FLT_MAX, INFINITY, NAN}, 1) & 3]++;
        CHECK_EQ(t, count[1] + count[3], 0);
        CHECK(t, count[0] > 900 && count[2] > 900);
        sampler_close(s);
    }
}

static void extreme_temperatures(test *t) {
    static const float logits[3] = {1, 1.5f, -FLT_MAX};
    leat_sampler_params p = neutral();
    leat_sampler *s;
    const sampler_candidate *c;
    size_t n;
    double total;
    p.temp = 1e-45f;
    REQUIRE(t, sampler_open(3, NULL, 0, &p, &s, NULL) == LEAT_OK);
    for (int i = 0; i < 10; i++) CHECK_EQ(t, pick(t, s, logits, 1), 1);
    sampler_close(s);
    p.temp = FLT_MAX;
    REQUIRE(t, sampler_open(3, NULL, 0, &p, &s, NULL) == LEAT_OK);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
    CHECK(t, n == 3 && fabs(total - (2 + exp(-1))) < 1e-6);
    sampler_close(s);
}

static void any_bits(test *t) {
    enum { N = 600 };
    static float logits[N];
    state = 99;
    for (int trial = 0; trial < 600; trial++) {
        uint32_t n = 1 + (uint32_t)(random_u64() % N);
        leat_sampler_params p = neutral();
        p.seed = (uint32_t)trial;
        p.temp = (const float[]){0, 1e-30f, 0.7f, 1e30f}[random_u64() % 4];
        p.top_k = (const int32_t[]){0, 1, 40, 599, INT32_MAX, INT32_MIN}[random_u64() % 6];
        p.top_p = (const float[]){0, 0.5f, 0.999f, 1, INFINITY}[random_u64() % 5];
        p.min_p = (const float[]){-INFINITY, 0, 0.1f, 1}[random_u64() % 4];
        p.repeat_penalty = (const float[]){1, 0.5f, 1.1f, 1e38f, 1e-38f}[random_u64() % 5];
        p.repeat_last_n = (const int32_t[]){-1, 0, 3, INT32_MAX}[random_u64() % 4];
        leat_sampler *s;
        REQUIRE(t, sampler_open(n, NULL, 0, &p, &s, NULL) == LEAT_OK);
        for (int step = 0; step < 5; step++) {
            bool any = false;
            for (uint32_t i = 0; i < n; i++) {
                uint32_t bits = (uint32_t)random_u64();
                if (trial % 3 == 1) bits |= 0x7f800000u; /* infinities and NaN */
                if (trial % 3 == 2) bits &= 0x807fffffu; /* denormals */
                if (trial % 30 == 1 && random_u64() % 2) bits &= 0xff800000u;
                memcpy(&logits[i], &bits, 4);
                any |= logits[i] > -INFINITY;
            }
            int32_t token = -1;
            leat_status status = sampler_pick(s, logits, (uint32_t)random_u64(), &token, NULL);
            CHECK_EQ(t, status, any ? LEAT_OK : LEAT_E_NUMERIC);
            if (!any) continue;
            CHECK(t, token >= 0 && (uint32_t)token < n && logits[token] > -INFINITY);
            sampler_accept(s, token);
        }
        sampler_close(s);
    }
}

/* Big vocabularies whose logits are all alike, all far apart, or already sorted: the sort must cope with all
 * of it. */
static void large_vocabulary(test *t) {
    enum { N = 60000 };
    float *logits = malloc(N * sizeof *logits);
    REQUIRE(t, logits != NULL);
    leat_sampler_params p = neutral();
    p.top_p = 0.5f;
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < N; i++)
            logits[i] = kind == 0   ? 2.5f
                        : kind == 1 ? (float)i * 1e-5f
                        : kind == 2 ? (float)-i
                                    : (float)(i * 7919 % N) * 1e-4f;
        p.top_k = 0;
        compare(t, logits, N, &p);
        p.top_k = N / 2;
        compare(t, logits, N, &p);
        p.top_k = 40;
        compare(t, logits, N, &p);
        p.top_k = 1000;
        compare(t, logits, N, &p);
    }
    free(logits);
}

static void bad_parameters(test *t) {
    static const struct {
        size_t at; /* of the float in the parameters */
        float value;
        const char *names;
    } rows[] = {
#define ROW(field, value) {offsetof(leat_sampler_params, field), value, #field}
        ROW(temp, NAN),
        ROW(temp, INFINITY),
        ROW(temp, -INFINITY),
        ROW(top_p, NAN),
        ROW(top_p, -0.1f),
        ROW(min_p, NAN),
        ROW(min_p, 1.5f),
        ROW(repeat_penalty, NAN),
        ROW(repeat_penalty, 0),
        ROW(repeat_penalty, -1),
        ROW(repeat_penalty, INFINITY),
        ROW(frequency_penalty, NAN),
        ROW(presence_penalty, INFINITY),
        ROW(dry_multiplier, NAN),
        ROW(dry_base, INFINITY),
        ROW(top_n_sigma, NAN),
        ROW(typ_p, NAN),
        ROW(typ_p, -0.5f),
        ROW(xtc_probability, NAN),
        ROW(xtc_threshold, NAN),
        ROW(dynatemp_range, NAN),
        ROW(dynatemp_exponent, INFINITY),
        ROW(mirostat_tau, NAN),
        ROW(mirostat_eta, NAN),
        ROW(adaptive_target, NAN),
        ROW(adaptive_decay, 1),
#undef ROW
    };
    leat_sampler *s;
    leat_error e;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        leat_sampler_params p = neutral();
        memcpy((char *)&p + rows[i].at, &rows[i].value, sizeof rows[i].value);
        s = (leat_sampler *)&e;
        CHECK_EQ(t, sampler_open(10, NULL, 0, &p, &s, &e), LEAT_E_ARG);
        CHECK(t, s == NULL && strstr(e.message, rows[i].names));
        CHECK_EQ(t, sampler_open(10, NULL, 0, &p, &s, NULL), LEAT_E_ARG);
    }
    static const char *const broken[] = {"", NULL};
    static const leat_logit_bias biases[] = {{10, 1}, {-1, 1}, {3, NAN}};
    for (int i = 0; i < 12; i++) {
        static const char *const names[] = {
            "repeat_last_n", "repeat_last_n", "dry_last_n", "dry_allowed_length", "mirostat",  "mirostat",
            "breaker",       "breaker",       "token 10",   "token -1",           "no number", "order"};
        leat_sampler_params p = neutral();
        if (i < 2) p.repeat_last_n = i ? INT32_MIN : -2;
        if (i == 2) p.dry_last_n = -2;
        if (i == 3) p.dry_allowed_length = -1;
        if (i == 4 || i == 5) p.mirostat = i == 4 ? 3 : -1;
        if (i == 6 || i == 7) p.dry_breakers = &broken[i - 6];
        if (i == 6 || i == 7) p.n_dry_breakers = 1;
        if (i >= 8 && i <= 10) p.logit_bias = &biases[i - 8];
        if (i >= 8 && i <= 10) p.n_logit_bias = 1;
        if (i == 11) p.order[1] = p.order[0];
        CHECK_EQ(t, sampler_open(10, NULL, 0, &p, &s, &e), LEAT_E_ARG);
        if (!strstr(e.message, names[i])) TEST_FAIL(t, "%d: %s", i, e.message);
    }
    CHECK_EQ(t, sampler_open(0, NULL, 0, NULL, &s, &e), LEAT_E_ARG);
    CHECK_EQ(t, sampler_open(UINT32_MAX, NULL, 0, NULL, &s, &e), LEAT_E_ARG);
}

/* clang-format off */
#define TESTS(X) \
    X(matches_definition) X(each_filter_alone) X(draws_follow_probabilities) \
    X(same_seed_same_tokens) X(generator_is_pinned) X(random_seed) X(repeat_penalty) X(greedy) \
    X(no_number_at_all) X(infinities_share) X(extreme_temperatures) X(any_bits) X(large_vocabulary) \
    X(bad_parameters)
/* clang-format on */
TEST_SUITE(TESTS)
