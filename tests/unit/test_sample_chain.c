/* The whole chain of runtime/sample against its definition: every step written down once more, naively and in
 * double precision, over a plain list; steps in any order with random parameters, each alone, with a past of
 * tokens; mirostat and adaptive_p over many picks. */
#include <math.h>
#include <stdlib.h>

#include "runtime/sample/sample.h"
#include "tests/harness/test.h"

#include "sample_support.h"

/* ---- the definition ---- */

typedef struct entry {
    double logit, p, score;
    uint32_t id;
} entry;

typedef struct candidates {
    entry *e;
    size_t n;
    double close; /* how near the nearest decision was to going the other way, relative */
} candidates;

static int by_logit(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->logit > y->logit) return -1;
    if (x->logit < y->logit) return 1;
    return (x->id > y->id) - (x->id < y->id);
}
static int by_score(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->score > y->score) - (x->score < y->score);
}

static void softmax(candidates *l) {
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < l->n; i++) max = fmax(max, l->e[i].logit);
    for (size_t i = 0; i < l->n; i++) sum += l->e[i].p = exp(l->e[i].logit - max);
    for (size_t i = 0; i < l->n; i++) l->e[i].p /= sum;
}
static void sort(candidates *l) {
    qsort(l->e, l->n, sizeof *l->e, by_logit);
}
static void near(candidates *l, double a, double b) {
    l->close = fmin(l->close, fabs(a - b) / fmax(1e-12, fmax(fabs(a), fabs(b))));
}
static double entropy(const candidates *l) {
    double h = 0;
    for (size_t i = 0; i < l->n; i++) h -= l->e[i].p > 0 ? l->e[i].p * log(l->e[i].p) : 0;
    return h;
}

static void def_penalties(candidates *l, const leat_sampler_params *p, const int32_t *past, size_t n_past) {
    size_t window =
        p->repeat_last_n < 0 || (size_t)p->repeat_last_n > n_past ? n_past : (size_t)p->repeat_last_n;
    for (size_t i = 0; i < l->n; i++) {
        unsigned count = 0;
        for (size_t j = 0; j < window; j++) count += past[n_past - 1 - j] == (int32_t)l->e[i].id;
        if (!count) continue;
        double *x = &l->e[i].logit;
        *x = *x > 0 ? *x / (double)p->repeat_penalty : *x * (double)p->repeat_penalty;
        *x -= count * (double)p->frequency_penalty + (double)p->presence_penalty;
    }
}

/* For each token: the longest suffix of the window that also stands right before an earlier place of it. */
static void def_dry(candidates *l, const leat_sampler_params *p, const int32_t *past, size_t n_past) {
    size_t n = p->dry_last_n < 0 || (size_t)p->dry_last_n > n_past ? n_past : (size_t)p->dry_last_n;
    const int32_t *w = past + n_past - n;
    if (!(p->dry_multiplier > 0) || n <= (size_t)p->dry_allowed_length) return;
    for (size_t i = 0; i < l->n; i++) {
        size_t longest = 0;
        bool any = false;
        for (size_t at = 1; at < n; at++) {
            if (w[at] != (int32_t)l->e[i].id) continue;
            size_t k = 0;
            while (k < at && w[at - 1 - k] == w[n - 1 - k]) k++;
            if (k >= (size_t)p->dry_allowed_length && (!any || k > longest)) longest = k;
            any |= k >= (size_t)p->dry_allowed_length;
        }
        if (any)
            l->e[i].logit -= (double)p->dry_multiplier *
                             pow((double)p->dry_base, (double)longest - (double)p->dry_allowed_length);
    }
}

static void def_top_n_sigma(candidates *l, const leat_sampler_params *p) {
    if (!(p->top_n_sigma > 0) || l->n <= 1) return;
    double max = -INFINITY, mean = 0, variance = 0;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) max = fmax(max, l->e[i].logit), mean += l->e[i].logit / (double)l->n;
    for (size_t i = 0; i < l->n; i++) variance += pow(l->e[i].logit - mean, 2) / (double)l->n;
    for (size_t i = 0; i < l->n; i++) {
        double below = max - l->e[i].logit, most = (double)p->top_n_sigma * sqrt(variance);
        near(l, below, most);
        l->e[kept] = l->e[i];
        kept += below <= most;
    }
    l->n = kept;
}

static void def_typ_p(candidates *l, const leat_sampler_params *p) {
    if (p->typ_p >= 1) return;
    softmax(l);
    double h = entropy(l), mass = 0;
    for (size_t i = 0; i < l->n; i++) l->e[i].score = fabs(-log(fmax(l->e[i].p, 1e-300)) - h);
    sort(l);
    qsort(l->e, l->n, sizeof *l->e, by_score);
    for (size_t i = 0; i < l->n; i++) {
        mass += l->e[i].p;
        near(l, mass, (double)p->typ_p);
        if (mass > (double)p->typ_p && i + 1 >= p->min_keep) {
            /* two equally typical tokens at the cut: either may stay */
            if (i + 1 < l->n) near(l, l->e[i].score, l->e[i + 1].score);
            l->n = i + 1;
        }
    }
}

static void def_top_p(candidates *l, const leat_sampler_params *p) {
    double mass = 0;
    if (p->top_p >= 1) return;
    sort(l);
    softmax(l);
    for (size_t i = 0; i < l->n; i++) {
        mass += l->e[i].p;
        near(l, mass, (double)p->top_p);
        if (mass >= (double)p->top_p && i + 1 >= p->min_keep) l->n = i + 1;
    }
}

static void def_min_p(candidates *l, const leat_sampler_params *p) {
    size_t n = 0;
    if (!(p->min_p > 0)) return;
    sort(l);
    softmax(l);
    for (size_t i = 0; i < l->n; i++) {
        near(l, l->e[i].p / l->e[0].p, (double)p->min_p);
        if (l->e[i].p >= (double)p->min_p * l->e[0].p || i < p->min_keep) n = i + 1;
    }
    l->n = n;
}

/* Only with a chance of 0 or 1. */
static void def_xtc(candidates *l, const leat_sampler_params *p) {
    if (p->xtc_probability < 1 || p->xtc_threshold > 0.5f || l->n < 2) return;
    sort(l);
    softmax(l);
    size_t above = 0;
    for (size_t i = 0; i < l->n; i++) {
        near(l, l->e[i].p, (double)p->xtc_threshold);
        above += l->e[i].p >= (double)p->xtc_threshold;
    }
    if (above < 2 || l->n - (above - 1) < p->min_keep) return;
    l->n -= above - 1;
    memmove(l->e, l->e + above - 1, l->n * sizeof *l->e);
}

static void def_temperature(candidates *l, const leat_sampler_params *p) {
    double temp = (double)p->temp;
    if (p->dynatemp_range > 0) {
        if (l->n <= 1) return;
        softmax(l);
        double low = fmax(0, temp - (double)p->dynatemp_range), high = temp + (double)p->dynatemp_range;
        temp = low + (high - low) * pow(entropy(l) / log((double)l->n), (double)p->dynatemp_exponent);
    }
    if (temp <= 0) {
        sort(l);
        l->n = 1;
    }
    for (size_t i = 0; i < l->n && temp > 0; i++) l->e[i].logit /= temp;
}

static void define(candidates *l, const leat_sampler_params *p, const int32_t *past, size_t n_past) {
    for (size_t i = 0; i < sizeof p->order && p->order[i]; i++) {
        switch (p->order[i]) {
        case LEAT_STEP_PENALTIES: def_penalties(l, p, past, n_past); break;
        case LEAT_STEP_DRY: def_dry(l, p, past, n_past); break;
        case LEAT_STEP_TOP_N_SIGMA: def_top_n_sigma(l, p); break;
        case LEAT_STEP_TOP_K:
            sort(l);
            if (p->top_k > 0 && (size_t)p->top_k < l->n) l->n = (size_t)p->top_k;
            break;
        case LEAT_STEP_TYP_P: def_typ_p(l, p); break;
        case LEAT_STEP_TOP_P: def_top_p(l, p); break;
        case LEAT_STEP_MIN_P: def_min_p(l, p); break;
        case LEAT_STEP_XTC: def_xtc(l, p); break;
        case LEAT_STEP_TEMPERATURE: def_temperature(l, p); break;
        default: break;
        }
    }
    softmax(l);
}

/* ---- against it ---- */

enum { VOCAB_MAX = 6000, PAST_MAX = 300 };

/* Does the sampler keep exactly what the definition keeps, with the same probabilities? */
static void compare(test *t, const float *logits, size_t n_vocab, const leat_sampler_params *p,
                    const int32_t *past, size_t n_past, const char *what) {
    static entry entries[VOCAB_MAX];
    static double got[VOCAB_MAX];
    candidates l = {entries, n_vocab, 1};
    leat_sampler *s = NULL;
    leat_error e;
    const sampler_candidate *c;
    size_t n;
    double total;
    for (size_t i = 0; i < n_vocab; i++) entries[i] = (entry){.logit = (double)logits[i], .id = (uint32_t)i};
    define(&l, p, past, n_past);
    REQUIRE(t, sampler_open((uint32_t)n_vocab, NULL, 0, p, &s, &e) == LEAT_OK);
    for (size_t i = 0; i < n_past; i++) sampler_accept(s, past[i]);
    CHECK_EQ(t, sampler_distribution(s, logits, PAST_MAX, &c, &n, &total, &e), LEAT_OK);
    memset(got, 0, sizeof got);
    for (size_t i = 0; i < n; i++) {
        if (c[i].id >= n_vocab || got[c[i].id] > 0)
            TEST_FAIL(t, "%s: token %u is there twice", what, (unsigned)c[i].id);
        got[c[i].id] = (double)c[i].weight / total + 1e-300;
    }
    if (n != l.n && l.close > 1e-5) TEST_FAIL(t, "%s: kept %zu, not %zu (closest %g)", what, n, l.n, l.close);
    for (size_t i = 0; i < l.n && n == l.n; i++) {
        double want = l.e[i].p, have = got[l.e[i].id];
        /* Logits are rounded to float after each step that changes them: an error of some 2^-24 of the
         * largest logit, which the temperature multiplies. */
        if (fabs(want - have) > 1e-4 * want + 1e-7 && l.close > 1e-5) {
            TEST_FAIL(t, "%s: token %u has probability %.9g, not %.9g", what, (unsigned)l.e[i].id, have,
                      want);
            break;
        }
    }
    sampler_close(s);
}

static void fill(float *logits, size_t n) {
    double scale = (const double[]){0.3, 1, 3, 8}[random_u64() % 4];
    for (size_t i = 0; i < n; i++)
        logits[i] = (float)((random_unit() + random_unit() + random_unit() - 1.5) * scale + 0.5);
}

static size_t fill_past(int32_t *past, size_t n_vocab) {
    size_t n = random_u64() % PAST_MAX;
    for (size_t i = 0; i < n; i++) {
        past[i] = (int32_t)(random_u64() % (n_vocab < 8 ? n_vocab : 8));
        if (i > 20 && random_u64() % 3) past[i] = past[i - 7]; /* repetitions */
    }
    return n;
}

#define PICK(...)                                                                                            \
    ((const double[]){__VA_ARGS__}[random_u64() % (sizeof((const double[]){__VA_ARGS__}) / sizeof(double))])

static void randomize(leat_sampler_params *p, leat_sampler_step step) {
    switch (step) {
    case LEAT_STEP_PENALTIES:
        p->repeat_penalty = (float)PICK(1, 1.1, 1.5, 0.8);
        p->frequency_penalty = (float)PICK(0, 0.3, -0.1);
        p->presence_penalty = (float)PICK(0, 0.5, 1.5);
        p->repeat_last_n = (int32_t)PICK(-1, 0, 1, 10, 64, 500);
        break;
    case LEAT_STEP_DRY:
        p->dry_multiplier = (float)PICK(0, 0.8, 0.1);
        p->dry_base = (float)PICK(1.75, 1, 1.1);
        p->dry_allowed_length = (int32_t)PICK(2, 0, 1, 5);
        p->dry_last_n = (int32_t)PICK(-1, 64, 3, 200, 0);
        p->n_dry_breakers = 0;
        break;
    case LEAT_STEP_TOP_N_SIGMA: p->top_n_sigma = (float)PICK(-1, 0.5, 1, 2.5); break;
    case LEAT_STEP_TOP_K: p->top_k = (int32_t)PICK(0, 1, 5, 40, 1000); break;
    case LEAT_STEP_TYP_P: p->typ_p = (float)PICK(1, 0.5, 0.95, 0.1); break;
    case LEAT_STEP_TOP_P: p->top_p = (float)PICK(1, 0.5, 0.95, 0.1); break;
    case LEAT_STEP_MIN_P: p->min_p = (float)PICK(0, 0.05, 0.3); break;
    case LEAT_STEP_XTC:
        p->xtc_probability = (float)PICK(0, 1);
        p->xtc_threshold = (float)PICK(0.1, 0.01, 0.3, 0.6);
        break;
    case LEAT_STEP_TEMPERATURE:
        p->temp = (float)PICK(0.8, 1, 0.3, 1.7, 0);
        p->dynatemp_range = (float)PICK(0, 0.4, 2);
        p->dynatemp_exponent = (float)PICK(1, 0.5, 2);
        break;
    default: break;
    }
}

static void each_step_alone(test *t) {
    static float logits[VOCAB_MAX];
    int32_t past[PAST_MAX];
    state = 21;
    for (int step = LEAT_STEP_PENALTIES; step <= LEAT_STEP_TEMPERATURE; step++)
        for (int trial = 0; trial < 60; trial++) {
            size_t n = trial % 4 == 0 ? VOCAB_MAX : 1 + random_u64() % 300;
            leat_sampler_params p = neutral();
            fill(logits, n);
            randomize(&p, (leat_sampler_step)step);
            p.min_keep = trial % 5 == 0 ? (uint32_t)(random_u64() % 12) : 0;
            compare(t, logits, n, &p, past, fill_past(past, n), leat_sampler_step_name((size_t)step));
        }
}

static void all_steps_in_any_order(test *t) {
    static float logits[VOCAB_MAX];
    int32_t past[PAST_MAX];
    state = 22;
    for (int trial = 0; trial < 500; trial++) {
        size_t n = trial % 6 == 0 ? VOCAB_MAX : 2 + random_u64() % 500;
        leat_sampler_params p = neutral();
        fill(logits, n);
        for (int step = LEAT_STEP_PENALTIES; step <= LEAT_STEP_TEMPERATURE; step++)
            if (random_u64() % 3) randomize(&p, (leat_sampler_step)step);
        p.min_keep = trial % 5 == 0 ? (uint32_t)(random_u64() % 12) : 0;
        if (trial % 2) {
            size_t m = 9;
            for (size_t i = m; i > 1; i--) {
                size_t j = random_u64() % i;
                uint8_t swap = p.order[i - 1];
                p.order[i - 1] = p.order[j];
                p.order[j] = swap;
            }
            p.order[random_u64() % 4 ? 9 : random_u64() % 9] = LEAT_STEP_END;
        }
        compare(t, logits, n, &p, past, fill_past(past, n), "chain");
    }
}

/* Sets known by heart: probabilities 0.4 0.3 0.2 0.1. */
static void worked_examples(test *t) {
    const float logits[4] = {logf(0.2f), logf(0.4f), logf(0.1f), logf(0.3f)};
    const sampler_candidate *c;
    size_t n;
    double total;
    leat_sampler *s;
    leat_sampler_params p = neutral();
    p.xtc_probability = 1;
    p.xtc_threshold = 0.15f;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
    CHECK(t, n == 2 && c[0].id == 0 && c[1].id == 2); /* 0.2 is the last above the threshold */
    sampler_close(s);
    p = neutral();
    p.typ_p = 0.35f; /* the entropy is 1.28: 0.3, of surprise 1.20, is the most typical, then 0.2 */
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
    CHECK(t, n == 2 && c[0].id == 3 && c[1].id == 0);
    sampler_close(s);
}

/* A token that goes on with "a b c", seen before, is punished by its length; a breaker shortens it. */
static void dry_by_hand(test *t) {
    enum { A, B, C, X, Y };
    const int32_t past[] = {A, B, C, X, Y, A, B, C};
    const float logits[6] = {0};
    leat_sampler_params p = neutral();
    const sampler_candidate *c;
    size_t n;
    double total;
    leat_sampler *s;
    p.dry_multiplier = 1;
    p.dry_base = 2;
    p.n_dry_breakers = 0;
    REQUIRE(t, sampler_open(6, NULL, 0, &p, &s, NULL) == LEAT_OK);
    for (size_t i = 0; i < 8; i++) sampler_accept(s, past[i]);
    CHECK_EQ(t, sampler_distribution(s, logits, 100, &c, &n, &total, NULL), LEAT_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(t, fabs((double)c[i].weight - (c[i].id == X ? exp(-2) : 1)) < 1e-6); /* 2^(3 - 2) */
    sampler_reset(s);
    CHECK_EQ(t, sampler_distribution(s, logits, 100, &c, &n, &total, NULL), LEAT_OK);
    for (size_t i = 0; i < n; i++) CHECK(t, fabs((double)c[i].weight - 1) < 1e-6);
    sampler_close(s);
}

/* ---- steering by what was picked ---- */

static void mirostat_versions(test *t) {
    enum { N = 800, STEPS = 200 };
    static float logits[N];
    static entry entries[N];
    for (int version = 1; version <= 2; version++) {
        leat_sampler_params p = neutral();
        leat_sampler *s;
        p.mirostat = version;
        p.mirostat_tau = 3;
        p.temp = 0.9f;
        REQUIRE(t, sampler_open(N, NULL, 0, &p, &s, NULL) == LEAT_OK);
        double mu = 6, surprises = 0;
        state = 23;
        for (int step = 0; step < STEPS; step++) {
            fill(logits, N);
            candidates l = {entries, N, 1};
            for (int i = 0; i < N; i++)
                entries[i] = (entry){.logit = (double)logits[i] / 0.9, .id = (uint32_t)i};
            sort(&l);
            softmax(&l);
            double edge = 1;
            if (version == 1) {
                double products = 0, squares = 0;
                for (int i = 0; i < 99; i++) {
                    double ratio = log((i + 2.0) / (i + 1.0));
                    products += ratio * log(entries[i].p / entries[i + 1].p);
                    squares += ratio * ratio;
                }
                double zipf = products / squares, eps = zipf - 1;
                double k = pow(eps * pow(2, mu) / (1 - pow(N, -eps)), 1 / zipf);
                edge = fabs(k - floor(k + 0.5)) / k;
                l.n = k < 1 ? 1 : k > N ? N : (size_t)k;
            } else {
                size_t kept = 1;
                while (kept < N && -log2(entries[kept].p) <= mu) kept++;
                for (size_t i = 0; i < N; i++) edge = fmin(edge, fabs(-log2(entries[i].p) - mu));
                l.n = kept;
            }
            softmax(&l);
            const sampler_candidate *c;
            size_t n;
            double total;
            int32_t token;
            CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
            if (edge > 1e-4 && n != l.n) TEST_FAIL(t, "mirostat %d kept %zu, not %zu", version, n, l.n);
            CHECK_EQ(t, sampler_pick(s, logits, 1, &token, NULL), LEAT_OK);
            for (size_t i = 0; i < l.n; i++)
                if (entries[i].id == (uint32_t)token) {
                    surprises += -log2(entries[i].p);
                    mu -= 0.1 * (-log2(entries[i].p) - 3);
                }
            sampler_accept(s, token);
            if (edge <= 1e-4) break; /* from here on the two may differ */
        }
        (void)surprises;
        sampler_close(s);
    }
}

static void adaptive_p(test *t) {
    enum { N = 300, STEPS = 100 };
    static float logits[N];
    leat_sampler_params p = neutral();
    leat_sampler *s;
    CHECK_EQ(t, leat_sampler_order(&p, "min_p;adaptive-p", false, NULL), LEAT_OK);
    p.min_p = 0.02f;
    p.adaptive_target = 0.3f;
    p.adaptive_decay = 0.8f;
    REQUIRE(t, sampler_open(N, NULL, 0, &p, &s, NULL) == LEAT_OK);
    double sum = 0.3 / 0.2, weight = 1 / 0.2;
    state = 24;
    for (int step = 0; step < STEPS; step++) {
        static entry entries[N];
        static double original[N];
        fill(logits, N);
        candidates l = {entries, N, 1};
        for (int i = 0; i < N; i++) entries[i] = (entry){.logit = (double)logits[i], .id = (uint32_t)i};
        def_min_p(&l, &p);
        softmax(&l);
        double target = fmin(1, fmax(0, 2 * (double)0.3f - sum / weight));
        for (size_t i = 0; i < l.n; i++) {
            double d = fabs(l.e[i].p - target) / 0.3;
            original[l.e[i].id] = l.e[i].p;
            l.e[i].logit = 5 - 10 * d * d / (1 + d);
        }
        softmax(&l);
        const sampler_candidate *c;
        size_t n;
        double total;
        int32_t token;
        CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
        if (l.close > 1e-5) CHECK_EQ(t, n, l.n);
        for (size_t i = 0; i < n && l.close > 1e-5; i++)
            for (size_t j = 0; j < l.n; j++)
                if (l.e[j].id == c[i].id) CHECK(t, fabs((double)c[i].weight / total - l.e[j].p) < 1e-5);
        CHECK_EQ(t, sampler_pick(s, logits, 1, &token, NULL), LEAT_OK);
        sampler_accept(s, token);
        sum = original[token] + (double)0.8f * sum;
        weight = 1 + (double)0.8f * weight;
    }
    sampler_close(s);
}

/* ---- what is around the chain ---- */

static void biases(test *t) {
    const leat_logit_bias list_of[] = {{2, 5}, {1, -INFINITY}, {0, 0.5f}, {0, 0.25f}};
    const float logits[4] = {0, 9, 0, NAN};
    leat_sampler_params p = neutral();
    leat_sampler *s;
    const sampler_candidate *c;
    size_t n;
    double total;
    p.logit_bias = list_of;
    p.n_logit_bias = 4;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
    CHECK_EQ(t, n, 2);
    for (size_t i = 0; i < n; i++) {
        CHECK(t, c[i].id == 0 || c[i].id == 2);
        CHECK(t, fabs((double)c[i].weight - (c[i].id == 2 ? 1 : exp(0.75 - 5))) < 1e-6);
    }
    sampler_close(s);
    const leat_logit_bias none[] = {{0, -INFINITY}, {1, -INFINITY}, {2, -INFINITY}};
    p.logit_bias = none;
    p.n_logit_bias = 3;
    leat_error e;
    REQUIRE(t, sampler_open(4, NULL, 0, &p, &s, NULL) == LEAT_OK);
    CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, &e), LEAT_E_STATE);
    CHECK(t, strstr(e.message, "bias") != NULL);
    sampler_close(s);
}

static void probabilities(test *t) {
    enum { N = 500 };
    static float logits[N];
    state = 25;
    for (int trial = 0; trial < 20; trial++) {
        static entry entries[N];
        candidates l = {entries, N, 1};
        leat_sampler_params p = neutral();
        leat_sampler *s;
        int32_t token;
        size_t n;
        fill(logits, N);
        p.n_probs = (uint32_t)PICK(1, 5, 40, 500, 1000);
        p.top_k = 3;
        for (int i = 0; i < N; i++) entries[i] = (entry){.logit = (double)logits[i], .id = (uint32_t)i};
        sort(&l);
        softmax(&l);
        REQUIRE(t, sampler_open(N, NULL, 0, &p, &s, NULL) == LEAT_OK);
        CHECK(t, !leat_sampler_probs(s, &n) && n == 0);
        CHECK_EQ(t, sampler_pick(s, logits, 1, &token, NULL), LEAT_OK);
        const leat_token_prob *probs = leat_sampler_probs(s, &n);
        CHECK_EQ(t, n, 1 + (p.n_probs < N ? p.n_probs : N));
        CHECK(t, probs && probs[0].token == token && probs[0].chance > 0);
        double top3 = entries[0].p + entries[1].p + entries[2].p;
        for (size_t i = 1; i < n; i++) {
            CHECK_EQ(t, probs[i].token, entries[i - 1].id);
            CHECK(t, fabs((double)probs[i].prob - entries[i - 1].p) < 1e-6);
            CHECK(t, fabs((double)probs[i].chance - (i <= 3 ? entries[i - 1].p / top3 : 0)) < 1e-5);
            if (probs[i].token == token) CHECK(t, fabsf(probs[i].prob - probs[0].prob) < 1e-6f);
        }
        sampler_close(s);
    }
}

static void xtc_now_and_then(test *t) {
    const float logits[3] = {2, 1, 0};
    leat_sampler_params p = neutral();
    leat_sampler *s;
    const sampler_candidate *c;
    size_t n, cut = 0;
    double total;
    p.xtc_probability = 0.3f;
    REQUIRE(t, sampler_open(3, NULL, 0, &p, &s, NULL) == LEAT_OK);
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(t, sampler_distribution(s, logits, 1, &c, &n, &total, NULL), LEAT_OK);
        cut += n < 3;
    }
    CHECK(t, cut > 500 && cut < 700); /* 600 expected, standard deviation 20 */
    sampler_close(s);
}

static void orders(test *t) {
    leat_sampler_params p;
    leat_error e;
    leat_sampler_params_default(&p);
    CHECK_EQ(t, leat_sampler_order(&p, "edskypmxt", true, &e), LEAT_OK);
    CHECK(t, !memcmp(p.order, sampler_defaults.order, sizeof p.order));
    CHECK_EQ(t,
             leat_sampler_order(&p, "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
                                false, &e),
             LEAT_OK);
    CHECK(t, !memcmp(p.order, sampler_defaults.order, sizeof p.order));
    CHECK_EQ(t, leat_sampler_order(&p, "top-k;nucleus;typical-p;min-p;temp", false, &e), LEAT_OK);
    const uint8_t want[] = {LEAT_STEP_TOP_K, LEAT_STEP_TOP_P,       LEAT_STEP_TYP_P,
                            LEAT_STEP_MIN_P, LEAT_STEP_TEMPERATURE, 0};
    CHECK(t, !memcmp(p.order, want, sizeof want));
    CHECK_EQ(t, leat_sampler_order(&p, "", false, &e), LEAT_OK);
    CHECK_EQ(t, p.order[0], LEAT_STEP_END);
    leat_sampler_params before = p;
    CHECK_EQ(t, leat_sampler_order(&p, "top_k;tpo_p", false, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "\"tpo_p\"") != NULL);
    CHECK_EQ(t, leat_sampler_order(&p, "kz", true, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "\"z\"") != NULL);
    CHECK_EQ(t, leat_sampler_order(&p, "top_k;dry;top-k", false, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "twice") != NULL);
    CHECK_EQ(t, leat_sampler_order(&p, "top_k;;dry", false, &e), LEAT_E_ARG);
    CHECK(t, !memcmp(&before, &p, sizeof p));
    CHECK_EQ(t, leat_sampler_order(NULL, "k", true, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_sampler_order(&p, NULL, true, &e), LEAT_E_ARG);
    CHECK(t, !leat_sampler_step_name(LEAT_STEP_END) && !leat_sampler_step_name(LEAT_STEP_COUNT));
}

/* clang-format off */
#define TESTS(X) \
    X(each_step_alone) X(all_steps_in_any_order) X(worked_examples) X(dry_by_hand) X(mirostat_versions) \
    X(adaptive_p) X(biases) X(probabilities) X(xtc_now_and_then) X(orders)
/* clang-format on */
TEST_SUITE(TESTS)
