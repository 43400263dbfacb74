/* The sampler of sample.h: checks parameters, takes memory, runs the chain on a set of tokens, draws. What
 * the steps do is in filters.c, penalties.c, dry.c and target.c; how a set is
 * kept, in set.c. Called once per token. */
#include "sample.h"

#include <stdlib.h>

#include "loader/alloc.h"
#include "loader/error.h"
#include "runtime/os.h"
#include "impl.h"

static const char *const default_breakers[] = {"\n", ":", "\"", "*"};

const leat_sampler_params sampler_defaults = {
    .seed = LEAT_SEED_RANDOM,
    .temp = 0.8f,
    .top_k = 40,
    .top_p = 0.95f,
    .min_p = 0.05f,
    .repeat_penalty = 1.0f,
    .repeat_last_n = 64,
    .dry_base = 1.75f,
    .dry_allowed_length = 2,
    .dry_last_n = 64,
    .dry_breakers = default_breakers,
    .n_dry_breakers = 4,
    .top_n_sigma = -1,
    .typ_p = 1,
    .xtc_threshold = 0.1f,
    .dynatemp_exponent = 1,
    .mirostat_tau = 5,
    .mirostat_eta = 0.1f,
    .adaptive_target = -1,
    .adaptive_decay = 0.9f,
    .order = {LEAT_STEP_PENALTIES, LEAT_STEP_DRY, LEAT_STEP_TOP_N_SIGMA, LEAT_STEP_TOP_K, LEAT_STEP_TYP_P,
              LEAT_STEP_TOP_P, LEAT_STEP_MIN_P, LEAT_STEP_XTC, LEAT_STEP_TEMPERATURE}};

/* Every number of the parameters with its bounds; NaN is outside of all of them. */
static leat_status check_numbers(const leat_sampler_params *p, leat_error *e) {
    const float most = 3.4028235e38f, any = INFINITY, tiny = 1e-45f;
    const struct {
        const char *name;
        float value, min, max;
    } rows[] = {{"temp", p->temp, -most, most},
                {"top_p", p->top_p, 0, any},
                {"min_p", p->min_p, -any, 1},
                {"repeat_penalty", p->repeat_penalty, tiny, most},
                {"frequency_penalty", p->frequency_penalty, -most, most},
                {"presence_penalty", p->presence_penalty, -most, most},
                {"dry_multiplier", p->dry_multiplier, -most, most},
                {"dry_base", p->dry_base, -most, most},
                {"top_n_sigma", p->top_n_sigma, -any, any},
                {"typ_p", p->typ_p, 0, any},
                {"xtc_probability", p->xtc_probability, -any, any},
                {"xtc_threshold", p->xtc_threshold, -any, any},
                {"dynatemp_range", p->dynatemp_range, -most, most},
                {"dynatemp_exponent", p->dynatemp_exponent, -most, most},
                {"mirostat_tau", p->mirostat_tau, -most, most},
                {"mirostat_eta", p->mirostat_eta, -most, most},
                {"adaptive_target", p->adaptive_target, -most, most},
                {"adaptive_decay", p->adaptive_decay, 0, 0.99f}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max))
            return error_set(e, LEAT_E_ARG, "%s must be a number from %g to %g, not %g", rows[i].name,
                             (double)rows[i].min, (double)rows[i].max, (double)rows[i].value);
    return LEAT_OK;
}

static leat_status check_params(const leat_sampler_params *p, uint32_t n_vocab, leat_error *e) {
    leat_status status = check_numbers(p, e);
    if (status) return status;
    if (p->repeat_last_n < -1)
        return error_set(e, LEAT_E_ARG, "repeat_last_n must be at least -1, not %d", (int)p->repeat_last_n);
    if (p->dry_last_n < -1)
        return error_set(e, LEAT_E_ARG, "dry_last_n must be at least -1, not %d", (int)p->dry_last_n);
    if (p->dry_allowed_length < 0)
        return error_set(e, LEAT_E_ARG, "dry_allowed_length must be at least 0, not %d",
                         (int)p->dry_allowed_length);
    if (p->mirostat < 0 || p->mirostat > 2)
        return error_set(e, LEAT_E_ARG, "mirostat must be 0, 1 or 2, not %d", (int)p->mirostat);
    if (p->n_dry_breakers > DRY_BREAKERS_MAX)
        return error_set(e, LEAT_E_ARG, "%zu sequence breakers are too many; %d are the most",
                         p->n_dry_breakers, DRY_BREAKERS_MAX);
    for (size_t i = 0; i < p->n_dry_breakers; i++)
        if (!p->dry_breakers || !p->dry_breakers[i] || !*p->dry_breakers[i])
            return error_set(e, LEAT_E_ARG, "sequence breaker %zu is empty", i);
    if (p->n_logit_bias && !p->logit_bias) return error_set(e, LEAT_E_ARG, "logit_bias is NULL");
    for (size_t i = 0; i < p->n_logit_bias; i++) {
        if (p->logit_bias[i].token < 0 || (uint32_t)p->logit_bias[i].token >= n_vocab)
            return error_set(e, LEAT_E_ARG, "a logit bias names token %d; the model has tokens 0 to %u",
                             (int)p->logit_bias[i].token, (unsigned)(n_vocab - 1));
        if (isnan(p->logit_bias[i].bias))
            return error_set(e, LEAT_E_ARG, "the logit bias of token %d is no number",
                             (int)p->logit_bias[i].token);
    }
    uint32_t seen = 0;
    for (size_t i = 0; i < sizeof p->order && p->order[i]; i++) {
        if (p->order[i] >= LEAT_STEP_COUNT || seen >> p->order[i] & 1)
            return error_set(e, LEAT_E_ARG, "order has %u at %zu, which is unknown or there twice",
                             (unsigned)p->order[i], i);
        seen |= 1u << p->order[i];
    }
    return LEAT_OK;
}

static bool has_step(const leat_sampler_params *p, leat_sampler_step step) {
    const uint8_t *end = memchr(p->order, LEAT_STEP_END, sizeof p->order);
    return memchr(p->order, step, end ? (size_t)(end - p->order) : sizeof p->order) != NULL;
}

/* What the chain will never do needs no memory. */
static leat_sampler_params effective(const leat_sampler_params *params) {
    leat_sampler_params p = *params;
    if (p.mirostat) {
        memset(p.order, 0, sizeof p.order);
        p.order[0] = LEAT_STEP_TEMPERATURE;
        p.dynatemp_range = 0;
    }
    if (!has_step(&p, LEAT_STEP_PENALTIES)) p.repeat_last_n = 0;
    if (!has_step(&p, LEAT_STEP_DRY)) p.dry_multiplier = 0;
    return p;
}

static leat_status copy_tokens(leat_sampler *s, const vocab *v, const leat_sampler_params *p, leat_error *e) {
    if (p->n_logit_bias) {
        s->bias = mem_alloc(p->n_logit_bias, sizeof *s->bias);
        if (!s->bias)
            return error_set(e, LEAT_E_NOMEM, "out of memory for %zu logit biases", p->n_logit_bias);
        memcpy(s->bias, p->logit_bias, p->n_logit_bias * sizeof *s->bias);
    }
    if (!p->ignore_eos || !v) return LEAT_OK;
    for (uint32_t t = 0; t < s->n_vocab; t++) s->n_ends += vocab_is_end(v, (int32_t)t);
    s->ends = mem_alloc(s->n_ends, sizeof *s->ends);
    if (!s->ends) return error_set(e, LEAT_E_NOMEM, "out of memory for %zu tokens", s->n_ends);
    size_t n = 0;
    for (uint32_t t = 0; t < s->n_vocab; t++)
        if (vocab_is_end(v, (int32_t)t)) s->ends[n++] = (int32_t)t;
    return LEAT_OK;
}

leat_status sampler_open(uint32_t n_vocab, const vocab *v, uint32_t n_ctx, const leat_sampler_params *params,
                         leat_sampler **out, leat_error *e) {
    leat_sampler *s = NULL;
    *out = NULL;
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return error_set(e, LEAT_E_ARG, "a vocabulary of %u tokens can't be sampled", (unsigned)n_vocab);
    leat_status status = check_params(params ? params : &sampler_defaults, n_vocab, e);
    if (status) return status;
    leat_sampler_params p = effective(params ? params : &sampler_defaults);

    status = LEAT_E_NOMEM;
    error_set(e, LEAT_E_NOMEM, "out of memory for a sampler of %u tokens", (unsigned)n_vocab);
    s = mem_alloc(1, sizeof *s);
    if (!s) goto fail;
    s->n_vocab = n_vocab;
    s->params = p;
    s->logits = mem_alloc(n_vocab, sizeof *s->logits);
    s->a = mem_alloc(n_vocab, sizeof *s->a);
    s->b = mem_alloc(n_vocab, sizeof *s->b);
    s->keys = mem_alloc(n_vocab, sizeof *s->keys);
    s->keys_other = mem_alloc(n_vocab, sizeof *s->keys_other);
    if (!s->logits || !s->a || !s->b || !s->keys || !s->keys_other) goto fail;
    if (has_step(&p, LEAT_STEP_ADAPTIVE_P) && !(s->original = mem_alloc(n_vocab, sizeof *s->original)))
        goto fail;
    size_t n_probs = p.n_probs < n_vocab ? p.n_probs : n_vocab;
    if (n_probs && !(s->probs = mem_alloc(1 + n_probs, sizeof *s->probs))) goto fail;
    if ((status = copy_tokens(s, v, &p, e)) || (status = history_open(s, n_ctx, e)) ||
        (status = dry_open(s, v, &p, e)))
        goto fail;

    if (p.seed == LEAT_SEED_RANDOM) do
            p.seed = os_random_u32();
        while (p.seed == LEAT_SEED_RANDOM); /* so that asking for the seed in use repeats the run */
    s->params.seed = p.seed;
    s->params.dry_breakers = NULL;
    s->params.logit_bias = NULL;
    sampler_reset(s);
    *out = s;
    return error_set(e, LEAT_OK, "%s", "");
fail:
    sampler_close(s);
    return status;
}

void sampler_close(leat_sampler *s) {
    if (!s) return;
    mem_free(s->logits);
    mem_free(s->a);
    mem_free(s->b);
    mem_free(s->keys);
    mem_free(s->keys_other);
    mem_free(s->original);
    mem_free(s->probs);
    mem_free(s->bias);
    mem_free(s->ends);
    history_close(s);
    dry_close(s);
    grammar_matcher_close(s->matcher);
    mem_free(s);
}

void sampler_reset(leat_sampler *s) {
    s->random = rng_seed(s->params.seed);
    /* The numbers of xtc come from a stream of their own, so that they don't depend on what is drawn. */
    s->xtc_random = rng_seed((uint64_t)s->params.seed | UINT64_C(1) << 32);
    s->n_probs_known = 0;
    history_reset(s);
    target_reset(s);
    if (s->matcher) grammar_matcher_reset(s->matcher);
}

uint32_t sampler_n_vocab(const leat_sampler *s) {
    return s->n_vocab;
}
uint32_t sampler_seed(const leat_sampler *s) {
    return s->params.seed;
}

void sampler_accept(leat_sampler *s, int32_t token) {
    if (token < 0 || (uint32_t)token >= s->n_vocab) return;
    history_add(s, token);
    adaptive_accept(s, token);
}

leat_status sampler_grammar_accept(leat_sampler *s, int32_t token, leat_error *e) {
    return s->matcher ? grammar_matcher_accept(s->matcher, token, e) : LEAT_OK;
}

/* ---- the chain ---- */

/* Logits of tokens that the grammar rules out become -Inf. */
static void apply_mask(float *l, const uint64_t *mask, uint32_t n) {
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t word = mask[i / 64];
        uint32_t end = n - i < 64 ? n : i + 64;
        if (word == UINT64_MAX) continue;
        for (uint32_t j = i; j < end; j++, word >>= 1) l[j] = word & 1 ? l[j] : -INFINITY;
    }
}

static leat_status nothing_left(const leat_sampler *s, leat_error *e) {
    if (s->matcher && grammar_matcher_can_end(s->matcher))
        return error_set(e, LEAT_E_STATE, "the grammar has ended: no token of this model may follow");
    if (s->matcher)
        return error_set(e, LEAT_E_STATE, "the grammar allows no token of this model that its logits allow");
    return error_set(e, LEAT_E_STATE, "logit biases rule out every token");
}

/* Copies the logits, with NaN as -Inf, and applies what comes before the chain. After it at least one is
 * finite and none is +Inf. */
static leat_status prepare(leat_sampler *s, const float *logits, leat_error *e) {
    float *l = s->logits;
    uint32_t n = s->n_vocab;
    for (uint32_t i = 0; i < n; i++) l[i] = logits[i] >= -INFINITY ? logits[i] + 0.0f : -INFINITY;
    float max = sample_max(l, n);
    if (!(max > -INFINITY))
        return error_set(e, LEAT_E_NUMERIC, "none of the %u logits is a number: the weights are damaged",
                         (unsigned)n);
    if (s->matcher) {
        const uint64_t *mask;
        leat_status status = grammar_matcher_mask(s->matcher, &mask, e);
        if (status) return status;
        apply_mask(l, mask, n);
    }
    for (size_t i = 0; i < s->params.n_logit_bias; i++) {
        float *at = &l[s->bias[i].token], sum = *at + s->bias[i].bias;
        *at = sum >= -INFINITY ? sum + 0.0f : -INFINITY;
    }
    if (s->matcher || s->params.n_logit_bias) max = sample_max(l, n);
    if (s->n_ends) {
        for (size_t i = 0; i < s->n_ends; i++) l[s->ends[i]] = -INFINITY;
        float others = sample_max(l, n);
        if (others > -INFINITY)
            max = others;
        else if (s->matcher && grammar_matcher_can_end(s->matcher)) /* nothing but the end is possible */
            for (size_t i = 0; i < s->n_ends; i++) {
                l[s->ends[i]] = logits[s->ends[i]] >= -INFINITY ? logits[s->ends[i]] + 0.0f : -INFINITY;
                max = l[s->ends[i]] > max ? l[s->ends[i]] : max;
            }
        else
            max = -INFINITY;
    }
    if (!(max > -INFINITY)) return nothing_left(s, e);
    if (max > 3.4028235e38f) /* +Inf: those share all of the probability */
        for (uint32_t i = 0; i < n; i++) l[i] = l[i] >= max ? 0 : -INFINITY;
    return LEAT_OK;
}

/* Will the largest logit win anyway, whatever the steps from here on do? */
static bool greedy_from(const leat_sampler *s, size_t step) {
    const leat_sampler_params *p = &s->params;
    if (p->temp > 0 || p->dynatemp_range > 0) return false;
    for (; step < sizeof p->order && p->order[step]; step++) switch ((leat_sampler_step)p->order[step]) {
        case LEAT_STEP_TEMPERATURE: return true;
        case LEAT_STEP_PENALTIES:
            if (s->occurrences) return false;
            break;
        case LEAT_STEP_DRY:
            if (s->dry.longest) return false;
            break;
        case LEAT_STEP_TYP_P:
            if (p->typ_p < 1) return false;
            break;
        case LEAT_STEP_XTC:
            if (p->xtc_probability > 0 && p->xtc_threshold <= 0.5f) return false;
            break;
        default: break; /* keeps the largest */
        }
    return false;
}

static void run_step(leat_sampler *s, sampler_set *set, leat_sampler_step step, uint32_t n_ctx) {
    switch (step) {
    case LEAT_STEP_PENALTIES: step_penalties(s, set); break;
    case LEAT_STEP_DRY: step_dry(s, set, n_ctx); break;
    case LEAT_STEP_TOP_N_SIGMA: step_top_n_sigma(s, set); break;
    case LEAT_STEP_TOP_K: step_top_k(s, set); break;
    case LEAT_STEP_TYP_P: step_typ_p(s, set); break;
    case LEAT_STEP_TOP_P: step_top_p(s, set); break;
    case LEAT_STEP_MIN_P: step_min_p(s, set); break;
    case LEAT_STEP_XTC: step_xtc(s, set); break;
    case LEAT_STEP_TEMPERATURE: step_temperature(s, set); break;
    case LEAT_STEP_ADAPTIVE_P:
    case LEAT_STEP_END:
    case LEAT_STEP_COUNT: break;
    }
}

static leat_status run_chain(leat_sampler *s, const float *logits, uint32_t n_ctx, sampler_set *set,
                             leat_error *e) {
    *set = (sampler_set){.dense = true};
    leat_status status = history_context(s, n_ctx, e);
    if (!status) status = prepare(s, logits, e);
    if (status) return status;
    for (size_t i = 0; i < sizeof s->params.order && s->params.order[i]; i++) {
        if (greedy_from(s, i)) {
            set_best(s, set);
            break;
        }
        run_step(s, set, (leat_sampler_step)s->params.order[i], n_ctx);
    }
    if (s->params.mirostat)
        mirostat_cut(s, set);
    else if (s->original)
        adaptive_transform(s, set);
    return LEAT_OK;
}

leat_status sampler_distribution(leat_sampler *s, const float *logits, uint32_t n_ctx,
                                 const sampler_candidate **out, size_t *n, double *total, leat_error *e) {
    os_fp fp;
    sampler_set set;
    os_fp_default(&fp); /* the caller's rounding mode must not change the text */
    leat_status status = run_chain(s, logits, n_ctx, &set, e);
    if (!status) {
        set_list(s, &set);
        float max = set_max(s, &set);
        double sum = 0;
        for (size_t i = 0; i < set.n; i++) set.c[i].weight = sample_exp(set.c[i].logit - max);
        for (size_t i = 0; i < set.n; i++) sum += (double)set.c[i].weight;
        *out = set.c;
        *n = set.n;
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
    s->n_probs_known = 0;
    if (s->probs) probs_before(s, logits);
    leat_status status = sampler_distribution(s, logits, n_ctx, &c, &n, &total, e);
    if (status) {
        s->n_probs_known = 0;
        goto fail;
    }
    if (n > 1) {
        double at = rng_unit(&s->random) * total, sum = (double)c[0].weight;
        while (sum <= at && i + 1 < n) sum += (double)c[++i].weight;
        while (c[i].weight <= 0)
            i--; /* rounding made `at` the total, and the last candidates have no weight */
    }
    if (s->params.mirostat)
        mirostat_learn(s, (double)c[i].weight / total);
    else if (s->original)
        adaptive_picked(s, i, c[i].id);
    if (s->probs) probs_after(s, logits, c, n, total, c[i].id);
    *out = (int32_t)c[i].id;
fail:
    os_fp_restore(&fp);
    return status;
}
