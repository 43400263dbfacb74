/* Causal attention of one KV head: the reference. Softmax is taken online, key by key: the output row is the
 * sum so far of exp(score - maximum) * V, shrunk whenever the maximum grows, and divided by the sum of the
 * weights at the end. Nothing grows with the number of keys, and the scratch memory that faster versions use
 * is not needed. */
#include "c.h"

#include <math.h>

/* By type; those that can be kept. */
static decode_fn *const decoders[FORMAT_COUNT] = {
#define E(name, NAME) [FORMAT_##NAME] = decode_##name##_c,
#include "kernels/kernels.def"
#undef E
};

static float score(const attend_args *a, const float *q, size_t key) {
    float k[ATTEND_HEAD_DIM_MAX], sum = 0;
    decoders[a->k_format]((const char *)a->k + key * a->k_stride, k, a->head_dim_k);
    for (size_t i = 0; i < a->head_dim_k; i++) sum += q[i] * k[i];
    sum *= a->scale;
    return a->softcap > 0 ? a->softcap * tanhf(sum / a->softcap) : sum;
}

/* out (head_dim_v) = softmax over the last keys of 0 .. n_keys - 1 of one query row q (head_dim_k). */
static void attend_row(const attend_args *a, const float *q, size_t n_keys, float *out) {
    float maximum = -INFINITY, total = 0;
    for (size_t i = 0; i < a->head_dim_v; i++) out[i] = 0;
    for (size_t key = a->window && n_keys > a->window ? n_keys - a->window : 0; key < n_keys; key++) {
        float v[ATTEND_HEAD_DIM_MAX], s = score(a, q, key);
        if (s > maximum) {
            float shrink = expf(maximum - s);
            total *= shrink;
            for (size_t i = 0; i < a->head_dim_v; i++) out[i] *= shrink;
            maximum = s;
        }
        float weight = expf(s - maximum);
        total += weight;
        decoders[a->v_format]((const char *)a->v + key * a->v_stride, v, a->head_dim_v);
        for (size_t i = 0; i < a->head_dim_v; i++) out[i] += weight * v[i];
    }
    for (size_t i = 0; i < a->head_dim_v; i++) out[i] /= total;
}

void attend_c(const attend_args *a) {
    for (size_t t = 0; t < a->n_tokens; t++)
        for (size_t h = 0; h < a->n_heads; h++)
            attend_row(a, a->q + t * a->q_stride + h * a->head_dim_k, a->n_keys + t,
                       a->out + t * a->out_stride + h * a->head_dim_v);
}
