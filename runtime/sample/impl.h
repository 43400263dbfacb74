/* What the files of the sampler (sample*.c) share: its state, and the set of tokens that are still in the
 * running while the chain works on it. Nobody else includes it. */
#ifndef LEAT_RUNTIME_SAMPLE_IMPL_H
#define LEAT_RUNTIME_SAMPLE_IMPL_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "runtime/rng.h"
#include "sample.h"
#include "runtime/grammar/grammar.h"

enum {
    SAMPLE_BINS = 2048,
    SAMPLE_BINS_PER_UNIT = 16, /* so the last bin takes what is 127.9 and more away */
    SAMPLE_DIGIT_BITS = 11,
    SAMPLE_DIGITS = 1 << SAMPLE_DIGIT_BITS,
    SAMPLE_PASSES = 3, /* 3 * 11 bits >= 32 */
    SAMPLE_HISTORY_MAX = 1 << 24,
    DRY_BREAKERS_MAX = 64,
    DRY_BREAKER_BYTES = 40, /* llama.cpp's two limits: longer breakers are cut, longer tails too */
    DRY_TAIL_TOKENS = 20
};

/* The tokens still in the running, in one of two forms. Dense: every token whose entry in sampler.logits is
 * above -Inf. Else the list c[0..n): n >= 1, every logit finite, in descending order (ties: lowest id first)
 * if `sorted`. The chain starts dense and becomes a list at the first step that leaves few. */
typedef struct sampler_set {
    sampler_candidate *c;
    size_t n;
    bool dense, sorted;
} sampler_set;

/* A token that a sequence breaker may start with, and what must follow it for the breaker to be whole. */
typedef struct dry_head {
    uint32_t token, tail; /* index in tails */
} dry_head;

typedef struct dry_state {
    uint8_t *kind;   /* (n_vocab) bit 0: holds a whole breaker; bit 1: is in heads */
    dry_head *heads; /* (n_heads), by token */
    int32_t (*tails)[DRY_TAIL_TOKENS];
    uint8_t *tail_length;
    size_t n_heads, n_tails;
    uint32_t *repeat; /* (history capacity) length of the repetition that ends there */
    uint32_t *
        longest; /* (n_vocab) 0 but while the step runs: longest repetition that the token would go on with */
    uint32_t *touched; /* (history capacity) tokens with an entry in longest */
} dry_state;

struct leat_sampler {
    leat_sampler_params params; /* seed: the one in use; pointers: NULL */
    leat_logit_bias *bias;      /* (params.n_logit_bias) */
    int32_t *ends;              /* (n_ends) tokens that end a generation; only for ignore_eos */
    size_t n_ends;
    uint32_t n_vocab;
    rng random, xtc_random;

    float *logits;               /* (n_vocab) */
    sampler_candidate *a, *b;    /* (n_vocab) each */
    uint64_t *keys, *keys_other; /* (n_vocab) each: for sorting */
    uint32_t count[SAMPLE_BINS];
    double mass[SAMPLE_BINS];
    uint32_t digits[SAMPLE_PASSES][SAMPLE_DIGITS];

    /* The last tokens, a ring: number i (counting from 0 since the start) is history[i % capacity]. */
    int32_t *history; /* NULL: nobody looks back */
    size_t history_capacity;
    uint64_t n_accepted;
    uint64_t *last_use;    /* (n_vocab) 1 + number of its last use; 0: never. NULL: no penalties */
    uint32_t *occurrences; /* (n_vocab) in the window. NULL: no penalties */
    size_t window;         /* tokens counted in occurrences; may be more than there are */
    dry_state dry;

    float mu;                             /* of mirostat */
    double adaptive_sum, adaptive_weight; /* adaptive_p: decayed sums of probabilities and of ones */
    int32_t adaptive_token;               /* picked and not yet accepted; -1: none */
    float adaptive_prob;                  /* its probability before the transformation */
    float *original;                      /* (n_vocab) adaptive_p: probabilities before it; NULL without */

    grammar_matcher *matcher;
    leat_token_prob *probs; /* (1 + params.n_probs) */
    size_t n_probs_known;   /* entries of probs that the last pick filled */
};

/* ---- arithmetic ---- */

/* exp(x) for x <= 0, relative error below 2e-7, zero from -87 down (no denormals). Own code so that the
 * compiler vectorizes it and that a text doesn't depend on the C library. exp(x) = 2^n * exp(r), |r| <= ln(2)
 * / 2; the polynomial is the Taylor series, whose first term left out is r^8 / 40320 < 6e-9. */
static inline float sample_exp(float x) {
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

static inline uint32_t sample_bin(float distance) {
    float at = distance * SAMPLE_BINS_PER_UNIT;
    return at < SAMPLE_BINS - 1 ? (uint32_t)at : SAMPLE_BINS - 1;
}

/* A key whose ascending order is the descending order of floats without NaN; +0 and -0 were made equal
 * before.
 */
static inline uint32_t sample_key(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u & 0x80000000u ? u : ~u & 0x7fffffffu;
}

/* A finite logit stays so: no penalty makes a token impossible or certain. */
static inline float sample_clamp(double x) {
    return (float)(x < -3.4028234663852886e38  ? -3.4028234663852886e38
                   : x > 3.4028234663852886e38 ? 3.4028234663852886e38
                                               : x) +
           0.0f;
}

/* ---- set.c ---- */

float sample_max(const float *l, uint32_t n); /* -Inf if all are */
float set_max(const leat_sampler *s, const sampler_set *set);
void set_list(leat_sampler *s, sampler_set *set);                /* makes it a list */
void set_floor(leat_sampler *s, sampler_set *set, double least); /* a list of those with logit >= least */
void set_sort(leat_sampler *s, sampler_set *set);                /* a sorted list */
void set_top(leat_sampler *s, sampler_set *set, size_t k);       /* the sorted list of the k >= 1 largest */
/* Keeps, in ascending order of score (ties as they stand), the fewest candidates whose mass exceeds (or, with
 * `reach`, reaches) p * total, but no fewer than min_keep. The set is a list; score and mass are functions of
 * a candidate's logit: mass exp(logit - max), score |max - logit - center|. */
void set_mass(leat_sampler *s, sampler_set *set, float max, double center, double p, bool reach,
              size_t min_keep);
/* Sum of exp(logit - max) over the set. */
double set_total(const leat_sampler *s, const sampler_set *set, float max);

/* ---- filters.c: one function per step; every set has at least one token, before and after ---- */

void step_top_n_sigma(leat_sampler *s, sampler_set *set);
void step_top_k(leat_sampler *s, sampler_set *set);
void step_typ_p(leat_sampler *s, sampler_set *set);
void step_top_p(leat_sampler *s, sampler_set *set);
void step_min_p(leat_sampler *s, sampler_set *set);
void step_xtc(leat_sampler *s, sampler_set *set);
void step_temperature(leat_sampler *s, sampler_set *set);
void set_best(leat_sampler *s, sampler_set *set); /* only the largest */

/* ---- penalties.c, dry.c ---- */

leat_status history_open(leat_sampler *s, uint32_t n_ctx, leat_error *e);
/* Makes room for a window of the whole context where one is asked for. */
leat_status history_context(leat_sampler *s, uint32_t n_ctx, leat_error *e);
void history_close(leat_sampler *s);
void history_reset(leat_sampler *s);
void history_add(leat_sampler *s, int32_t token);
/* The i-th last token; 0 is the last. i < history_size. */
static inline int32_t history_back(const leat_sampler *s, size_t i) {
    return s->history[(s->n_accepted - 1 - i) % s->history_capacity];
}
static inline size_t history_size(const leat_sampler *s) {
    return s->n_accepted < s->history_capacity ? (size_t)s->n_accepted : s->history_capacity;
}
bool penalties_on(const leat_sampler_params *p);
bool dry_on(const leat_sampler_params *p);
void step_penalties(leat_sampler *s, sampler_set *set);
leat_status dry_open(leat_sampler *s, const vocab *v, const leat_sampler_params *p, leat_error *e);
void dry_close(leat_sampler *s);
void step_dry(leat_sampler *s, sampler_set *set, uint32_t n_ctx);

/* ---- target.c: mirostat and adaptive_p, which steer by what was picked before ---- */

void target_reset(leat_sampler *s);
void mirostat_cut(leat_sampler *s, sampler_set *set);
void mirostat_learn(leat_sampler *s, double chance);
void adaptive_transform(leat_sampler *s, sampler_set *set);
void adaptive_picked(leat_sampler *s, size_t index, uint32_t id);
void adaptive_accept(leat_sampler *s, int32_t token);

/* ---- probs.c ---- */

/* Before the chain, whose arrays it uses as scratch. */
void probs_before(leat_sampler *s, const float *logits);
void probs_after(leat_sampler *s, const float *logits, const sampler_candidate *c, size_t n, double total,
                 uint32_t picked);

#endif
