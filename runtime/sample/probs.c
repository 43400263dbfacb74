/* What programs can be told of a pick: the probabilities the model gave to the likeliest tokens and to the
 * one picked, and the chances they had in the draw. Called by sample.c around the chain, when n_probs asks
 * for it.
 */
#include "impl.h"

/* s->logits holds the model's own logits then, before biases and grammar. */
void probs_before(leat_sampler *s, const float *logits) {
    uint32_t k = s->params.n_probs < s->n_vocab ? s->params.n_probs : s->n_vocab;
    for (uint32_t i = 0; i < s->n_vocab; i++)
        s->logits[i] = logits[i] >= -INFINITY ? logits[i] + 0.0f : -INFINITY;
    sampler_set set = {.dense = true};
    float max = set_max(s, &set);
    if (!(max > -INFINITY)) return;
    for (uint32_t i = 0; max > 3.4028235e38f && i < s->n_vocab; i++)
        s->logits[i] = s->logits[i] >= max ? 0 : -INFINITY;
    if (max > 3.4028235e38f) max = 0;
    double total = set_total(s, &set, max);
    set_top(s, &set, k);
    size_t n = set.n < k ? set.n : k;
    for (size_t i = 0; i < n; i++) {
        float p = (float)((double)sample_exp(set.c[i].logit - max) / total);
        s->probs[1 + i] = (leat_token_prob){.token = (leat_token)set.c[i].id, .prob = p};
    }
    s->probs[0] = (leat_token_prob){.token = -1, .prob = max, .chance = (float)log(total)};
    s->n_probs_known = 1 + n;
}

void probs_after(leat_sampler *s, const float *logits, const sampler_candidate *c, size_t n, double total,
                 uint32_t picked) {
    /* until now the first entry held what the softmax needs */
    double max = (double)s->probs[0].prob, log_total = (double)s->probs[0].chance,
           logit = (double)logits[picked];
    double p = logit > 3.5e38 ? exp(-log_total) : logit >= -3.5e38 ? exp(logit - max - log_total) : 0;
    s->probs[0] = (leat_token_prob){.token = (leat_token)picked, .prob = (float)(p < 1 ? p : 1)};
    for (size_t i = 0; i < s->n_probs_known; i++)
        for (size_t j = 0; j < n; j++)
            if (c[j].id == (uint32_t)s->probs[i].token)
                s->probs[i].chance = (float)((double)c[j].weight / total);
}

const leat_token_prob *leat_sampler_probs(const leat_sampler *sampler, size_t *n) {
    if (n) *n = sampler ? sampler->n_probs_known : 0;
    return sampler && sampler->n_probs_known ? sampler->probs : NULL;
}
