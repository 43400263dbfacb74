/* The steps of the chain that look at nothing but the logits: top_n_sigma, top_k, typ_p, top_p, min_p, xtc
 * and temperature. Each takes a set that holds at least one token and leaves at least one. Called by sample.c
 * in the order the parameters say. */
#include "impl.h"

/* Standard deviation as of a population, over the tokens in the running. */
void step_top_n_sigma(leat_sampler *s, sampler_set *set) {
    double n_sigma = (double)s->params.top_n_sigma;
    if (!(n_sigma > 0) || (!set->dense && set->n <= 1)) return;
    float max = set_max(s, set);
    /* Two sums in one pass, of distances to the largest: they are of one sign and near what matters, so
     * nothing of note cancels in double precision. */
    double n = 0, sum = 0, squares = 0;
    if (set->dense) {
        double sums[4] = {0}, square_sums[4] = {0};
        uint32_t counts[4] = {0};
        for (uint32_t i = 0; i < s->n_vocab; i++) {
            bool in = s->logits[i] > -INFINITY;
            double d = in ? (double)max - (double)s->logits[i] : 0;
            sums[i % 4] += d;
            square_sums[i % 4] += d * d;
            counts[i % 4] += in;
        }
        for (int i = 0; i < 4; i++) {
            n += counts[i];
            sum += sums[i];
            squares += square_sums[i];
        }
    } else {
        n = (double)set->n;
        for (size_t i = 0; i < set->n; i++) {
            double d = (double)max - (double)set->c[i].logit;
            sum += d;
            squares += d * d;
        }
    }
    double variance = squares / n - sum / n * (sum / n);
    double least = (double)max - n_sigma * sqrt(variance > 0 ? variance : 0);
    if (least < (double)max)
        set_floor(s, set, least);
    else
        set_floor(s, set, (double)max);
}

void step_top_k(leat_sampler *s, sampler_set *set) {
    if (s->params.top_k <= 0) return;
    size_t k = (size_t)s->params.top_k;
    if (k < (set->dense ? s->n_vocab : set->n) || !set->dense) set_top(s, set, k);
}

void step_typ_p(leat_sampler *s, sampler_set *set) {
    if (s->params.typ_p >= 1) return;
    float max = set_max(s, set);
    set_list(s, set);
    double total = set_total(s, set, max), entropy = 0, log_total = log(total);
    for (size_t i = 0; i < set->n; i++) {
        double distance = (double)max - (double)set->c[i].logit;
        entropy += (double)sample_exp(set->c[i].logit - max) / total * (distance + log_total);
    }
    /* -log p = distance + log_total, so the score |-log p - entropy| has its center at this distance. It is
     * never below 0 but for rounding: the mean of the distances is what it is. */
    double center = entropy - log_total;
    set_mass(s, set, max, center > 1e-300 ? center : 1e-300, (double)s->params.typ_p, false,
             s->params.min_keep ? s->params.min_keep : 1);
}

void step_top_p(leat_sampler *s, sampler_set *set) {
    if (s->params.top_p >= 1) return;
    set_mass(s, set, set_max(s, set), 0, (double)s->params.top_p, true,
             s->params.min_keep ? s->params.min_keep : 1);
}

/* p(token) >= min_p * p(best), said in logits. */
void step_min_p(leat_sampler *s, sampler_set *set) {
    if (!(s->params.min_p > 0)) return;
    double least = (double)set_max(s, set) + log((double)s->params.min_p);
    if (s->params.min_keep > 1) {
        set_sort(s, set);
        size_t n = 1;
        while (n < set->n && ((double)set->c[n].logit >= least || n < s->params.min_keep)) n++;
        set->n = n;
    } else if (!set->dense && set->sorted) {
        while (set->n > 1 && (double)set->c[set->n - 1].logit < least) set->n--;
    } else {
        set_floor(s, set, least);
    }
}

/* With a chance of xtc_probability: of the tokens at least xtc_threshold likely, only the last stays. */
void step_xtc(leat_sampler *s, sampler_set *set) {
    const leat_sampler_params *p = &s->params;
    if (!(p->xtc_probability > 0) || p->xtc_threshold > 0.5f || (!set->dense && set->n < 2)) return;
    if (rng_unit(&s->xtc_random) > (double)p->xtc_probability) return;
    /* Only tokens that likely matter, and there are few of them; the rest keeps its place behind. */
    set_sort(s, set);
    float max = set->c[0].logit;
    double total = set_total(s, set, max);
    size_t n = 0;
    while (n < set->n && (double)sample_exp(set->c[n].logit - max) >= (double)p->xtc_threshold * total) n++;
    if (n < 2 || set->n - (n - 1) < p->min_keep) return;
    set->c += n - 1;
    set->n -= n - 1;
}

void set_best(leat_sampler *s, sampler_set *set) {
    size_t best = 0;
    if (set->dense) {
        float max = set_max(s, set);
        while (s->logits[best] < max) best++;
        set->c = s->a;
        set->c[0] = (sampler_candidate){.id = (uint32_t)best, .logit = max};
    } else {
        for (size_t i = 1; i < set->n; i++)
            if (set->c[i].logit > set->c[best].logit ||
                (set->c[i].logit >= set->c[best].logit && set->c[i].id < set->c[best].id))
                best = i;
        set->c[0] = set->c[best];
    }
    set->n = 1;
    set->dense = false;
    set->sorted = true;
}

/* temp - range .. temp + range, by how near the entropy of the set is to the largest a set of its size can
 * have. */
static double dynamic_temperature(leat_sampler *s, sampler_set *set) {
    double range = (double)s->params.dynatemp_range, temp = (double)s->params.temp;
    double low = temp - range > 0 ? temp - range : 0, high = temp + range;
    set_list(s, set);
    if (set->n <= 1) return temp;
    float max = set_max(s, set);
    double total = set_total(s, set, max), log_total = log(total), entropy = 0;
    for (size_t i = 0; i < set->n; i++)
        entropy += (double)sample_exp(set->c[i].logit - max) / total *
                   ((double)max - (double)set->c[i].logit + log_total);
    double part = entropy / log((double)set->n);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return low + (high - low) * pow(part, (double)s->params.dynatemp_exponent);
}

/* Do penalties look at what temperature leaves? */
static bool penalties_follow(const leat_sampler *s) {
    const uint8_t *order = s->params.order, *end = order + sizeof s->params.order;
    const uint8_t *temperature = memchr(order, LEAT_STEP_TEMPERATURE, sizeof s->params.order);
    return s->occurrences && temperature &&
           memchr(temperature, LEAT_STEP_PENALTIES, (size_t)(end - temperature));
}

void step_temperature(leat_sampler *s, sampler_set *set) {
    double temp = (double)s->params.temp;
    if (s->params.dynatemp_range > 0) {
        temp = dynamic_temperature(s, set);
        if (set->n == 1) return;
    }
    if (!(temp > 0)) {
        set_best(s, set);
        return;
    }
    if (temp >= 1 && temp <= 1) return;
    /* Distances to the largest lose least in rounding and can't overflow but to what has no probability. Only
     * a repeat penalty further on needs the logits themselves. */
    float t = (float)temp, max = set_max(s, set);
    float base = penalties_follow(s) && isfinite(max / t) ? 0 : max;
    if (set->dense) {
        float *l = s->logits;
        for (uint32_t i = 0; i < s->n_vocab; i++) l[i] = (l[i] - base) / t;
    } else {
        for (size_t i = 0; i < set->n; i++) {
            float x = (set->c[i].logit - base) / t;
            set->c[i].logit = x < -3.4028235e38f ? -3.4028235e38f : x;
        }
    }
}
