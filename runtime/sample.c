/* The sampler of sample.h. Each filter keeps a prefix of the tokens in descending order of their logits
 * (ties: lowest id first), so only the prefix that can survive is ever sorted: a histogram of the distance to
 * the largest logit says in which bin the prefix ends, what lies in the bins up to it is gathered, and that
 * is radix sorted. Everything is linear in the vocabulary, whatever the logits are. Called once per token. */
#include "sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "os.h"
#include "rng.h"

enum {
    BINS = 2048,
    BINS_PER_UNIT = 16, /* so the last bin takes what is less likely than exp(-127.9) times the best */
    DIGIT_BITS = 11,
    DIGITS = 1 << DIGIT_BITS,
    PASSES = 3, /* 3 * 11 bits >= 32 */
    SHORT_SORT = 48,
    CHUNK = 256
};

struct leat_sampler {
    leat_sampler_params params; /* seed: the one in use */
    uint32_t n_vocab;
    rng random;
    uint64_t n_accepted;
    uint64_t *last_use; /* (n_vocab) how many tokens had been accepted when this one last was; 0: never. NULL:
                           no penalty */
    float *logits;      /* (n_vocab) after NaN and penalty */
    sampler_candidate *a, *b; /* (n_vocab) each */
    uint32_t count[BINS];
    double mass[BINS];
    uint32_t digits[PASSES][DIGITS];
};

const leat_sampler_params sampler_defaults = {.seed = LEAT_SEED_RANDOM,
                                              .temp = 0.8f,
                                              .top_k = 40,
                                              .top_p = 0.95f,
                                              .min_p = 0.05f,
                                              .repeat_penalty = 1.0f,
                                              .repeat_last_n = 64};

static leat_status check_params(const leat_sampler_params *p, leat_error *e) {
    if (!isfinite(p->temp))
        return error_set(e, LEAT_E_ARG, "temperature must be a finite number, not %g", (double)p->temp);
    if (isnan(p->top_p) || p->top_p < 0)
        return error_set(e, LEAT_E_ARG, "top_p must be a number of at least 0, not %g", (double)p->top_p);
    if (isnan(p->min_p) || p->min_p > 1)
        return error_set(e, LEAT_E_ARG, "min_p must be a number of at most 1, not %g", (double)p->min_p);
    if (!isfinite(p->repeat_penalty) || p->repeat_penalty <= 0)
        return error_set(e, LEAT_E_ARG, "repeat_penalty must be a finite number above 0, not %g",
                         (double)p->repeat_penalty);
    if (p->repeat_last_n < -1)
        return error_set(e, LEAT_E_ARG, "repeat_last_n must be at least -1, not %d", (int)p->repeat_last_n);
    return LEAT_OK;
}

leat_status sampler_open(uint32_t n_vocab, const leat_sampler_params *params, leat_sampler **out,
                         leat_error *e) {
    leat_sampler_params p = params ? *params : sampler_defaults;
    leat_sampler *s = NULL;
    *out = NULL;
    leat_status status = check_params(&p, e);
    if (status) return status;
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return error_set(e, LEAT_E_ARG, "a vocabulary of %u tokens can't be sampled", (unsigned)n_vocab);

    s = mem_alloc(1, sizeof *s);
    if (!s) goto fail;
    s->logits = mem_alloc(n_vocab, sizeof *s->logits);
    s->a = mem_alloc(n_vocab, sizeof *s->a);
    s->b = mem_alloc(n_vocab, sizeof *s->b);
    if (!s->logits || !s->a || !s->b) goto fail;
    bool penalty = (p.repeat_penalty < 1 || p.repeat_penalty > 1) && p.repeat_last_n != 0;
    if (penalty && !(s->last_use = mem_alloc(n_vocab, sizeof *s->last_use))) goto fail;

    if (p.seed == LEAT_SEED_RANDOM) do
            p.seed = os_random_u32();
        while (p.seed == LEAT_SEED_RANDOM); /* so that asking for the seed in use repeats the run */
    s->params = p;
    s->n_vocab = n_vocab;
    s->random = rng_seed(p.seed);
    *out = s;
    return LEAT_OK;
fail:
    sampler_close(s);
    return error_set(e, LEAT_E_NOMEM, "out of memory for a sampler of %u tokens", (unsigned)n_vocab);
}

void sampler_close(leat_sampler *s) {
    if (!s) return;
    mem_free(s->logits);
    mem_free(s->a);
    mem_free(s->b);
    mem_free(s->last_use);
    mem_free(s);
}

uint32_t sampler_n_vocab(const leat_sampler *s) {
    return s->n_vocab;
}
uint32_t sampler_seed(const leat_sampler *s) {
    return s->params.seed;
}

void sampler_accept(leat_sampler *s, int32_t token) {
    if (token < 0 || (uint32_t)token >= s->n_vocab) return;
    s->n_accepted++;
    if (s->last_use) s->last_use[token] = s->n_accepted;
}

/* ---- arithmetic ---- */

/* exp(x) for x <= 0, relative error below 2e-7, zero from -87 down (no denormals). Own code so that the
 * compiler vectorizes it and that a text doesn't depend on the C library. exp(x) = 2^n * exp(r), |r| <= ln(2)
 * / 2; the polynomial is the Taylor series, whose first term left out is r^8 / 40320 < 6e-9. */
static inline float exp_nonpositive(float x) {
    float t = x < -87.0f ? -87.0f : x;
    int32_t n = (int32_t)(t * 1.44269504f - 0.5f);
    float fn = (float)n;
    float r =
        (t - fn * 0.693359375f) + fn * 2.12194440e-4f; /* ln(2) in two parts, the first exact in a product */
    float y =
        1.0f +
        r * (1.0f +
             r * (0.5f + r * (1.0f / 6 +
                              r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))))));
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : y * scale;
}

/* Distance to the largest logit: 0 for it, also when both are +Inf; +Inf for -Inf. */
static inline float distance(float max, float logit) {
    return logit >= max ? 0.0f : max - logit;
}

static inline uint32_t bin_of(float d) {
    float at = d * BINS_PER_UNIT;
    return at < BINS - 1 ? (uint32_t)at : BINS - 1;
}

/* A key whose ascending order is the descending order of floats without NaN; +0 and -0 are made equal before.
 */
static inline uint32_t key_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? u : ~u & 0x7fffffffu;
}

/* ---- the steps ---- */

/* Copies the logits, with NaN as -Inf and the repeat penalty applied; returns the lowest id of the largest.
 */
static uint32_t prepare(leat_sampler *s, const float *logits, uint32_t n_ctx) {
    float *l = s->logits;
    uint32_t n = s->n_vocab;
    for (uint32_t i = 0; i < n; i++) l[i] = logits[i] >= -INFINITY ? logits[i] + 0.0f : -INFINITY;

    if (s->last_use) {
        float penalty = s->params.repeat_penalty;
        uint64_t window = s->params.repeat_last_n < 0 ? n_ctx : (uint64_t)s->params.repeat_last_n;
        for (uint32_t i = 0; i < n; i++) {
            if (!s->last_use[i] || s->n_accepted - s->last_use[i] >= window) continue;
            bool infinite = isinf(l[i]);
            l[i] = l[i] > 0 ? l[i] / penalty : l[i] * penalty;
            /* a finite logit stays so: a penalty can't make a token impossible or certain */
            if (!infinite) l[i] = fmaxf(-FLT_MAX, fminf(FLT_MAX, l[i]));
        }
    }
    /* lanes, because a single running maximum is a chain that the compiler may not reorder */
    float lane[16], max = -INFINITY;
    uint32_t i = 0;
    for (int j = 0; j < 16; j++) lane[j] = -INFINITY;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] = l[i + j] > lane[j] ? l[i + j] : lane[j];
    for (int j = 0; j < 16; j++) max = lane[j] > max ? lane[j] : max;
    for (; i < n; i++) max = l[i] > max ? l[i] : max;
    uint32_t best = 0;
    while (l[best] < max) best++;
    return best;
}

/* The bin in which the kept prefix ends: the first at which the bins so far hold k tokens (k < n_vocab), else
 * a share p of the whole mass, which is put into *total. */
static uint32_t find_last_bin(leat_sampler *s, float max, uint32_t k, double p, double *total) {
    const float *l = s->logits;
    bool by_mass = k == s->n_vocab;
    memset(s->count, 0, sizeof s->count);
    memset(s->mass, 0, sizeof s->mass);
    for (uint32_t i = 0; i < s->n_vocab; i += CHUNK) {
        uint32_t m = s->n_vocab - i < CHUNK ? s->n_vocab - i : CHUNK;
        uint32_t bin[CHUNK];
        float d[CHUNK], w[CHUNK];
        for (uint32_t j = 0; j < m; j++) d[j] = distance(max, l[i + j]);
        for (uint32_t j = 0; j < m; j++) bin[j] = bin_of(d[j]);
        if (by_mass) {
            for (uint32_t j = 0; j < m; j++) w[j] = exp_nonpositive(-d[j]);
            for (uint32_t j = 0; j < m; j++) s->mass[bin[j]] += (double)w[j];
        } else {
            for (uint32_t j = 0; j < m; j++) s->count[bin[j]]++;
        }
    }
    *total = 0;
    for (uint32_t i = 0; i < BINS; i++) *total += s->mass[i];
    uint32_t tokens = 0, last = 0;
    double mass = 0;
    for (; last < BINS - 1; last++) {
        tokens += s->count[last];
        mass += s->mass[last];
        if (by_mass ? mass >= p * *total : tokens >= k) break;
    }
    return last;
}

/* Sorts by key, keeping the order of equal ones; returns whichever of the two arrays holds the result. */
static sampler_candidate *sort(leat_sampler *s, size_t n) {
    sampler_candidate *from = s->a, *to = s->b;
    if (n <= SHORT_SORT) {
        for (size_t i = 1; i < n; i++) {
            sampler_candidate c = from[i];
            size_t j = i;
            for (; j > 0 && from[j - 1].key > c.key; j--) from[j] = from[j - 1];
            from[j] = c;
        }
        return from;
    }
    memset(s->digits, 0, sizeof s->digits);
    for (size_t i = 0; i < n; i++)
        for (int pass = 0; pass < PASSES; pass++)
            s->digits[pass][from[i].key >> (pass * DIGIT_BITS) & (DIGITS - 1)]++;
    for (int pass = 0; pass < PASSES; pass++) {
        uint32_t *start = s->digits[pass], sum = 0;
        int shift = pass * DIGIT_BITS;
        if (start[from[0].key >> shift & (DIGITS - 1)] == n) continue; /* all the same digit */
        for (int i = 0; i < DIGITS; i++) {
            uint32_t here = start[i];
            start[i] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++) to[start[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
        sampler_candidate *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* How many of the n sorted candidates top-p keeps: the fewest whose mass reaches the share p of total (total
 * < 0: of these candidates'). */
static size_t keep_top_p(const leat_sampler *s, const sampler_candidate *c, size_t n, float max, double p,
                         double total) {
    if (total < 0) {
        total = 0;
        for (size_t i = 0; i < n; i++) total += (double)exp_nonpositive(-distance(max, s->logits[c[i].id]));
    }
    double mass = 0;
    for (size_t i = 0; i < n; i++) {
        mass += (double)exp_nonpositive(-distance(max, s->logits[c[i].id]));
        if (mass >= p * total) return i + 1;
    }
    return n;
}

/* Applies top-k, top-p and min-p; returns the survivors (n >= 1), weights not yet set. */
static sampler_candidate *filter(leat_sampler *s, float max, size_t *n) {
    const leat_sampler_params *p = &s->params;
    const float *l = s->logits;
    uint32_t k = p->top_k > 0 && (uint32_t)p->top_k < s->n_vocab ? (uint32_t)p->top_k : s->n_vocab;
    bool top_k = k < s->n_vocab, top_p = p->top_p < 1;
    /* p(token) >= min_p * p(best), said in logits */
    double least = p->min_p > 0 ? (double)max + log((double)p->min_p) : -(double)INFINITY;
    uint32_t last_bin = BINS - 1;
    double total = -1;
    if (top_k || top_p) last_bin = find_last_bin(s, max, k, (double)p->top_p, &total);

    /* With top-k, top-p is a share of what top-k leaves, so min-p must wait until that is known. */
    bool early = !(top_k && top_p);
    size_t m = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        bool in =
            l[i] > -INFINITY && bin_of(distance(max, l[i])) <= last_bin && (!early || (double)l[i] >= least);
        s->a[m].id = i;
        s->a[m].key = key_of(l[i]);
        m += in; /* m <= i before, so the slot written is there */
    }
    sampler_candidate *c = s->a;
    if (top_k || top_p) c = sort(s, m);
    if (m > k) m = k;
    if (top_p) m = keep_top_p(s, c, m, max, (double)p->top_p, top_k ? -1 : total);
    if (!early)
        while (m > 1 && (double)l[c[m - 1].id] < least) m--;
    *n = m;
    return c;
}

leat_status sampler_distribution(leat_sampler *s, const float *logits, uint32_t n_ctx,
                                 const sampler_candidate **out, size_t *n, double *total, leat_error *e) {
    os_fp fp;
    os_fp_default(&fp); /* the caller's rounding mode must not change the text */
    uint32_t best = prepare(s, logits, n_ctx);
    float max = s->logits[best], temp = s->params.temp;
    leat_status status = LEAT_OK;
    if (max <= -INFINITY) {
        status = error_set(e, LEAT_E_NUMERIC, "none of the %u logits is a number: the weights are damaged",
                           (unsigned)s->n_vocab);
    } else if (temp <= 0) {
        s->a[0] = (sampler_candidate){.id = best, .weight = 1};
        *out = s->a;
        *n = 1;
        *total = 1;
    } else {
        sampler_candidate *c = filter(s, max, n);
        double sum = 0;
        for (size_t i = 0; i < *n; i++)
            c[i].weight = exp_nonpositive(-(distance(max, s->logits[c[i].id]) / temp));
        for (size_t i = 0; i < *n; i++) sum += (double)c[i].weight;
        *out = c;
        *total = sum;
    }
    os_fp_restore(&fp);
    return status;
}

leat_status sampler_pick(leat_sampler *s, const float *logits, uint32_t n_ctx, int32_t *out, leat_error *e) {
    const sampler_candidate *c;
    size_t n, i = 0;
    double total;
    os_fp fp;
    os_fp_default(&fp);
    leat_status status = sampler_distribution(s, logits, n_ctx, &c, &n, &total, e);
    if (status) goto fail;
    if (s->params.temp > 0) {
        double at = rng_unit(&s->random) * total, sum = (double)c[0].weight;
        while (sum <= at && i + 1 < n) sum += (double)c[++i].weight;
        while (c[i].weight <= 0)
            i--; /* rounding made `at` the total, and the last candidates have no weight */
    }
    *out = (int32_t)c[i].id;
fail:
    os_fp_restore(&fp);
    return status;
}
