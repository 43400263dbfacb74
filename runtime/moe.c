/* Routing; see moe.h. A logit that is not a number can make any choice, but a valid one: what comes out of
 * the experts is then no number either, and the pass says so at its end. */
#include "moe.h"

#include <math.h>
#include <string.h>

/* weights: of all experts, by softmax or sigmoid; the plain logits where softmax waits for the choice. */
static void gate(const moe_routing *m, const float *logits, float *weights) {
    size_t n = m->n_expert;
    float top = logits[0], sum = 0.0f;
    switch (m->gating) {
    case MOE_SOFTMAX:
        for (size_t i = 1; i < n; i++) top = logits[i] > top ? logits[i] : top;
        for (size_t i = 0; i < n; i++) sum += weights[i] = expf(logits[i] - top);
        for (size_t i = 0; i < n; i++) weights[i] /= sum;
        break;
    case MOE_SIGMOID:
        for (size_t i = 0; i < n; i++) weights[i] = 1.0f / (1.0f + expf(-logits[i]));
        break;
    case MOE_SOFTMAX_CHOSEN: memcpy(weights, logits, n * sizeof *weights); break;
    }
}

/* The k largest of n scores, largest first; of equals the first. */
static void largest(const float *scores, size_t n, size_t k, uint32_t *out) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (found == k && !(scores[i] > scores[out[k - 1]])) continue;
        size_t at = found < k ? found++ : k - 1;
        for (; at > 0 && scores[i] > scores[out[at - 1]]; at--) out[at] = out[at - 1];
        out[at] = (uint32_t)i;
    }
}

/* Leaves only the best groups in the scores; a group is as good as its two best experts together. */
static void keep_groups(const moe_routing *m, float *scores) {
    float of_group[MOE_EXPERTS_MAX];
    uint32_t kept[MOE_EXPERTS_MAX], best[2];
    size_t size = m->n_expert / m->n_groups;
    for (size_t g = 0; g < m->n_groups; g++) {
        const float *s = scores + g * size;
        largest(s, size, size < 2 ? 1 : 2, best);
        of_group[g] = s[best[0]] + (size < 2 ? 0.0f : s[best[1]]);
    }
    largest(of_group, m->n_groups, m->n_groups_used, kept);
    for (uint32_t g = 0; g < m->n_groups; g++) {
        bool keep = false;
        for (size_t i = 0; i < m->n_groups_used; i++) keep |= kept[i] == g;
        for (size_t i = 0; !keep && i < size; i++) scores[g * size + i] = -INFINITY;
    }
}

void moe_route(const moe_routing *m, const float *logits, const float *select_bias, const float *expert_scale,
               moe_choice *out) {
    const float tiny = 0x1p-14f; /* the smallest normal number of half precision, below which models clamp */
    float weights[MOE_EXPERTS_MAX], scores[MOE_EXPERTS_MAX], sum = 0.0f;
    size_t k = m->n_used;
    if (m->logit_scale != 0.0f) {
        for (size_t i = 0; i < m->n_expert; i++) scores[i] = logits[i] * m->logit_scale;
        logits = scores;
    }
    gate(m, logits, weights);
    for (size_t i = 0; i < m->n_expert; i++) scores[i] = weights[i] + (select_bias ? select_bias[i] : 0.0f);
    if (m->n_groups > 1) keep_groups(m, scores);
    largest(scores, m->n_expert, k, out->expert);
    float top = weights[out->expert[0]];
    for (size_t i = 1; i < k; i++) { /* ascending: the order of sums must not hang on how close weights are */
        uint32_t expert = out->expert[i];
        size_t at = i;
        for (; at > 0 && out->expert[at - 1] > expert; at--) out->expert[at] = out->expert[at - 1];
        out->expert[at] = expert;
    }
    for (size_t i = 0; i < k; i++) {
        float w = weights[out->expert[i]];
        if (m->gating == MOE_SOFTMAX_CHOSEN) w = expf(w - top);
        out->weight[i] = w;
        sum += w;
    }
    if (m->gating == MOE_SOFTMAX_CHOSEN)
        for (size_t i = 0; i < k; i++) out->weight[i] /= sum;
    else if (m->normalise)
        for (size_t i = 0; i < k; i++) out->weight[i] /= sum > tiny ? sum : tiny;
    if (m->scale != 0.0f)
        for (size_t i = 0; i < k; i++) out->weight[i] *= m->scale;
    for (size_t i = 0; expert_scale && i < k; i++) out->weight[i] *= expert_scale[out->expert[i]];
}
