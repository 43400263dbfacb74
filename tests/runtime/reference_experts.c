/* The reference of mixtures of experts (Shazeer et al. 2017), with what models do differently: how weights
 * come from the router, groups (DeepSeek-V3), shared experts, gpt-oss's gate, Gemma 4's pair of networks. */
#include <string.h>

#include "reference_impl.h"

enum { EXPERTS_MAX = 16 };

/* share[e] of each expert, 0 for those not chosen. */
static void choose(const spec_experts *x, const double *logits, const double *select, double *share) {
    double weight[EXPERTS_MAX], score[EXPERTS_MAX], sum = 0;
    for (size_t e = 0; e < x->n; e++) sum += exp(logits[e]);
    for (size_t e = 0; e < x->n; e++) {
        weight[e] = x->gating == 's'   ? sigmoid(logits[e])
                    : x->gating == 'c' ? exp(logits[e])
                                       : exp(logits[e]) / sum;
        score[e] = (x->gating == 'c' ? logits[e] : weight[e]) + (select ? select[e] : 0);
        share[e] = 0;
    }
    if (x->groups) { /* only the best groups stay, by the sum of their two best */
        size_t size = x->n / x->groups;
        double of_group[EXPERTS_MAX] = {0};
        for (size_t e = 0; e < x->n; e++) {
            size_t better = 0;
            for (size_t o = e / size * size; o < (e / size + 1) * size; o++) better += score[o] > score[e];
            if (better < 2) of_group[e / size] += score[e];
        }
        for (size_t e = 0; e < x->n; e++) {
            size_t better = 0;
            for (size_t g = 0; g < x->groups; g++) better += of_group[g] > of_group[e / size];
            if (better >= x->groups_used) score[e] = -INFINITY;
        }
    }
    sum = 0;
    for (size_t e = 0; e < x->n; e++) {
        size_t better = 0;
        for (size_t o = 0; o < x->n; o++) better += score[o] > score[e];
        if (better < x->used) sum += share[e] = weight[e];
    }
    for (size_t e = 0; e < x->n; e++) {
        if (x->norm || x->gating == 'c') share[e] /= sum;
        if (x->scale > 0) share[e] *= x->scale;
    }
}

/* One expert's matrices and biases: rows from `at` on of those of all. */
typedef struct expert {
    matrix gate, up, down, gate_bias, up_bias, down_bias;
} expert;

/* out += share * expert(x) */
static void apply(const shape *s, const expert *m, size_t e, const double *x, double share, double *out) {
    size_t ff = s->ff, n = s->embd;
    double *g = numbers(ff);
    ref_watch(&m->gate, e, x);
    ref_watch(&m->up, e, x);
    for (size_t r = 0; r < ff; r++) {
        double gate = m->gate_bias.v ? m->gate_bias.v[e * ff + r] : 0,
               up = m->up_bias.v ? m->up_bias.v[e * ff + r] : 0;
        for (size_t c = 0; c < n; c++) {
            if (m->gate.v) gate += m->gate.v[(e * ff + r) * n + c] * x[c];
            up += m->up.v[(e * ff + r) * n + c] * x[c];
        }
        if (s->spec->experts.oai) {
            gate = fmin(gate, 7), up = fmax(-7, fmin(up, 7));
            g[r] = gate * sigmoid(1.702 * gate) * (up + 1);
        } else
            g[r] = m->gate.v ? ref_activate(s, gate) * up : ref_activate(s, up);
    }
    ref_watch(&m->down, e, g);
    for (size_t r = 0; r < n; r++) {
        double sum = m->down_bias.v ? m->down_bias.v[e * n + r] : 0;
        for (size_t c = 0; c < ff; c++) sum += m->down.v[(e * n + r) * ff + c] * g[c];
        out[r] += share * sum;
    }
    free(g);
}

static expert load_expert(const leat_file *f, unsigned layer, const char *end) {
    matrix *to[6];
    expert m;
    static const char *const names[] = {"ffn_gate", "ffn_up", "ffn_down"};
    to[0] = &m.gate, to[1] = &m.up, to[2] = &m.down;
    to[3] = &m.gate_bias, to[4] = &m.up_bias, to[5] = &m.down_bias;
    for (size_t i = 0; i < 6; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s_%s.%s", names[i % 3], end, i < 3 ? "weight" : "bias");
        *to[i] = of_layer(f, layer, name);
    }
    return m;
}

/* Gate and up as the halves of each expert's part of one tensor. */
static void split_gate_up(const leat_file *f, unsigned layer, size_t n, size_t ff, size_t embd, expert *m) {
    matrix both = of_layer(f, layer, "ffn_gate_up_exps.weight");
    if (!both.v) return;
    m->gate = (matrix){n * ff, embd, numbers(n * ff * embd), both.watched};
    m->up = (matrix){n * ff, embd, numbers(n * ff * embd), both.watched};
    for (size_t e = 0; e < n; e++) {
        memcpy(m->gate.v + e * ff * embd, both.v + 2 * e * ff * embd, ff * embd * sizeof(double));
        memcpy(m->up.v + e * ff * embd, both.v + (2 * e + 1) * ff * embd, ff * embd * sizeof(double));
    }
    free(both.v);
}

static void free_expert(expert *m) {
    free(m->gate.v), free(m->up.v), free(m->down.v);
    free(m->gate_bias.v), free(m->up_bias.v), free(m->down_bias.v);
}

void ref_experts(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    const spec_experts *a = &s->spec->experts;
    char norm[48];
    snprintf(norm, sizeof norm, "%s.weight", s->spec->ffn_norm ? s->spec->ffn_norm : "ffn_norm");
    expert routed = load_expert(f, layer, "exps"), shared = load_expert(f, layer, "shexp");
    matrix gain = of_layer(f, layer, norm), router = of_layer(f, layer, "ffn_gate_inp.weight"),
           bias = of_layer(f, layer, "ffn_gate_inp.bias"), select = of_layer(f, layer, "exp_probs_b.bias"),
           shared_router = of_layer(f, layer, "ffn_gate_inp_shexp.weight");
    double *h = numbers(s->embd), *y = numbers(s->embd), share[EXPERTS_MAX], logits[EXPERTS_MAX];
    for (size_t t = 0; t < s->n; t++) {
        memcpy(h, x + t * s->embd, s->embd * sizeof *h);
        if (gain.v) ref_norm_values(s, gain.v, NULL, s->embd, h, h);
        ref_multiply(&router, &bias, h, logits);
        choose(a, logits, select.v, share);
        memset(y, 0, s->embd * sizeof *y);
        for (size_t e = 0; e < a->n; e++)
            if (share[e] != 0) apply(s, &routed, e, h, share[e], y);
        if (shared.gate.v) {
            double part = 1, logit = 0;
            if (shared_router.v) ref_multiply(&shared_router, NULL, h, &logit), part = sigmoid(logit);
            apply(s, &shared, 0, h, part, y);
        }
        ref_add(s, &(matrix){0}, y, out + t * s->embd);
    }
    free_expert(&routed), free_expert(&shared);
    free(gain.v), free(router.v), free(bias.v), free(select.v), free(shared_router.v), free(h), free(y);
}

/* y = norm(w . (activation(gate . h) * (up . h))) */
static void dense(const shape *s, const leat_file *f, unsigned layer, const double *x, double *y) {
    matrix norm = of_layer(f, layer, "ffn_norm.weight"), gate = of_layer(f, layer, "ffn_gate.weight"),
           up = of_layer(f, layer, "ffn_up.weight"), down = of_layer(f, layer, "ffn_down.weight"),
           post = of_layer(f, layer, "post_ffw_norm_1.weight");
    double *h = numbers(s->embd), *g = numbers(s->ff), *u = numbers(s->ff);
    ref_norm_values(s, norm.v, NULL, s->embd, x, h);
    ref_multiply(&gate, NULL, h, g);
    ref_multiply(&up, NULL, h, u);
    for (size_t i = 0; i < s->ff; i++) g[i] = ref_activate(s, g[i]) * u[i];
    ref_multiply(&down, NULL, g, y);
    ref_norm_values(s, post.v, NULL, s->embd, y, y);
    free(norm.v), free(gate.v), free(up.v), free(down.v), free(post.v), free(h), free(g), free(u);
}

void ref_beside(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    const spec_experts *a = &s->spec->experts;
    expert routed = load_expert(f, layer, "exps");
    split_gate_up(f, layer, a->n, s->ff, s->embd, &routed);
    matrix pre = of_layer(f, layer, "pre_ffw_norm_2.weight"),
           post = of_layer(f, layer, "post_ffw_norm_2.weight"),
           last = of_layer(f, layer, "post_ffw_norm.weight"),
           router = of_layer(f, layer, "ffn_gate_inp.weight"),
           gain = of_layer(f, layer, "ffn_gate_inp.scale"),
           factor = of_layer(f, layer, "ffn_down_exps.scale");
    double *h = numbers(s->embd), *y = numbers(s->embd), *d = numbers(s->embd), share[EXPERTS_MAX],
           logits[EXPERTS_MAX];
    for (size_t t = 0; t < s->n; t++) {
        const double *in = x + t * s->embd;
        ref_norm_values(s, gain.v, NULL, s->embd, in, h);
        ref_multiply(&router, NULL, h, logits);
        for (size_t e = 0; e < a->n; e++) logits[e] /= sqrt((double)s->embd);
        choose(a, logits, NULL, share);
        ref_norm_values(s, pre.v, NULL, s->embd, in, h);
        memset(y, 0, s->embd * sizeof *y);
        for (size_t e = 0; e < a->n; e++)
            if (share[e] != 0) apply(s, &routed, e, h, share[e] * factor.v[e], y);
        ref_norm_values(s, post.v, NULL, s->embd, y, y);
        dense(s, f, layer, in, d);
        for (size_t i = 0; i < s->embd; i++) y[i] += d[i];
        ref_add(s, &last, y, out + t * s->embd);
    }
    free_expert(&routed);
    free(pre.v), free(post.v), free(last.v), free(router.v), free(gain.v), free(factor.v);
    free(h), free(y), free(d);
}
