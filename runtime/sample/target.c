/* Steps that steer by what was picked before: mirostat (Basu et al., 2021), which keeps the surprise of the
 * text near a target, in its two versions, and adaptive_p, which keeps the probability of the picked tokens
 * near one. They come last in a chain and remember between calls. Called by sample.c. */
#include "impl.h"

enum { MIROSTAT_SAMPLES = 100 }; /* tokens that the exponent of Zipf's law is estimated from */

void target_reset(leat_sampler *s) {
    const leat_sampler_params *p = &s->params;
    double decay = (double)p->adaptive_decay;
    s->mu = 2 * p->mirostat_tau;
    s->adaptive_sum = (double)p->adaptive_target / (1 - decay);
    s->adaptive_weight = 1 / (1 - decay);
    s->adaptive_token = -1;
}

/* Version 1: as many tokens as have, by a Zipf distribution fitted to the likeliest, a surprise below mu. */
static size_t mirostat_count(const leat_sampler *s, const sampler_set *set) {
    double products = 0, squares = 0;
    for (size_t i = 0; i + 1 < set->n && i + 1 < MIROSTAT_SAMPLES; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));
        double b = (double)set->c[i].logit - (double)set->c[i + 1].logit;
        products += t * b;
        squares += t * t;
    }
    double exponent = products / squares, epsilon = exponent - 1;
    double k = pow(epsilon * pow(2, (double)s->mu) / (1 - pow((double)s->n_vocab, -epsilon)), 1 / exponent);
    return !(k >= 1) ? 1 : k >= (double)s->n_vocab ? s->n_vocab : (size_t)k;
}

void mirostat_cut(leat_sampler *s, sampler_set *set) {
    if (s->params.mirostat == 1) {
        sampler_set likeliest = *set;
        if (!set->dense && set->n <= 1) return;
        if (set->dense && s->n_vocab > MIROSTAT_SAMPLES) {
            set_top(s, &likeliest, MIROSTAT_SAMPLES); /* leaves the dense form as it was */
        } else {
            set_sort(s, set);
            likeliest = *set;
        }
        set_top(s, set, likeliest.n > 1 ? mirostat_count(s, &likeliest) : 1);
        return;
    }
    /* Version 2: those with a surprise, -log2(p), of at most mu; the likeliest in any case. */
    float max = set_max(s, set);
    double least = (double)max + log(set_total(s, set, max)) - (double)s->mu * 0.69314718055994530942;
    set_floor(s, set, least < (double)max ? least : (double)max);
}

void mirostat_learn(leat_sampler *s, double chance) {
    double surprise = -log2(chance);
    s->mu =
        (float)((double)s->mu - (double)s->params.mirostat_eta * (surprise - (double)s->params.mirostat_tau));
}

/* Logits become a function of the distance of a token's probability from the target: a parabola near it, a
 * straight line far from it. */
void adaptive_transform(leat_sampler *s, sampler_set *set) {
    const double width = 0.3, peak = 5, sharpness = 10;
    double target = (double)s->params.adaptive_target;
    set_list(s, set);
    float max = set_max(s, set);
    double total = set_total(s, set, max);
    for (size_t i = 0; i < set->n; i++)
        s->original[i] = (float)((double)sample_exp(set->c[i].logit - max) / total);
    if (target < 0) return;
    target = target > 1 ? 1 : target;
    double adapted = s->adaptive_weight > 0 ? 2 * target - s->adaptive_sum / s->adaptive_weight : target;
    adapted = adapted < 0 ? 0 : adapted > 1 ? 1 : adapted;
    for (size_t i = 0; i < set->n; i++) {
        double distance = fabs((double)s->original[i] - adapted) / width;
        set->c[i].logit = (float)(peak - sharpness * distance * distance / (1 + distance));
    }
    set->sorted = false;
}

void adaptive_picked(leat_sampler *s, size_t index, uint32_t id) {
    if (s->params.adaptive_target < 0) return;
    s->adaptive_token = (int32_t)id;
    s->adaptive_prob = s->original[index];
}

void adaptive_accept(leat_sampler *s, int32_t token) {
    if (s->adaptive_token >= 0 && s->adaptive_token == token) {
        double decay = (double)s->params.adaptive_decay;
        s->adaptive_sum = (double)s->adaptive_prob + decay * s->adaptive_sum;
        s->adaptive_weight = 1 + decay * s->adaptive_weight;
    }
    s->adaptive_token = -1;
}
