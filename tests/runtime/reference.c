/* The decoder of Touvron et al. 2023 (RMS norm, rotary positions on pairs, grouped-query attention, SwiGLU),
 * and what other architectures have in its place, as arch_spec.h says it; written as the formulas stand. */
#include "reference_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static reference_inputs *watching;

void reference_watch(reference_inputs *to) {
    watching = to;
}

void reference_inputs_free(reference_inputs *r) {
    for (size_t i = 0; i < r->n; i++) free(r->of[i].sums), free(r->of[i].counts);
    r->n = 0;
}

/* The number of the tensor's entry, made where there is none. */
static size_t watch_tensor(const char *name, size_t n_mat, size_t cols) {
    if (!watching) return 0;
    for (size_t i = 0; i < watching->n; i++)
        if (!strcmp(watching->of[i].name, name)) return i + 1;
    if (watching->n == REFERENCE_INPUTS_MAX) return 0;
    reference_input *x = &watching->of[watching->n++];
    *x = (reference_input){
        .n_mat = n_mat, .cols = cols, .sums = numbers(n_mat * cols), .counts = numbers(n_mat)};
    snprintf(x->name, sizeof x->name, "%s", name);
    return watching->n;
}

void ref_watch(const matrix *w, size_t mat, const double *x) {
    if (!watching || !w->watched) return;
    reference_input *to = &watching->of[w->watched - 1];
    to->counts[mat]++;
    for (size_t c = 0; c < to->cols; c++) to->sums[mat * to->cols + c] += x[c] * x[c];
}

matrix ref_load(const leat_file *f, const char *format, unsigned layer) {
    char name[64];
    size_t index;
    matrix m = {0};
    leat_tensor_info info;
    snprintf(name, sizeof name, format, layer);
    if (leat_file_tensor_find(f, name, &index) || leat_file_tensor(f, index, &info)) return m;
    m.cols = info.dims[0];
    m.rows = info.n_elements / info.dims[0];
    m.watched = watch_tensor(name, info.dims[2], m.cols);
    m.v = malloc(m.rows * m.cols * sizeof *m.v);
    float *row = malloc(m.cols * sizeof *row);
    for (size_t r = 0; m.v && row && r < m.rows; r++) {
        leat_tensor_decode(f, index, r, row, NULL);
        for (size_t c = 0; c < m.cols; c++) m.v[r * m.cols + c] = row[c];
    }
    free(row);
    return m;
}

/* Rows first .. first + n of a matrix, or the values of a vector, as a matrix of its own. */
static matrix part(const matrix *all, size_t first, size_t n) {
    matrix m = *all;
    if (!all->v) return m;
    size_t width = all->rows == 1 ? 1 : all->cols;
    if (all->rows == 1)
        m.cols = n;
    else
        m.rows = n;
    m.v = malloc(n * width * sizeof *m.v);
    if (m.v) memcpy(m.v, all->v + first * width, n * width * sizeof *m.v);
    return m;
}

static double number(const leat_file *f, const char *key) {
    char name[96];
    size_t index;
    leat_meta meta;
    leat_value v;
    if (leat_file_meta_find(f, "general.architecture", &index) || leat_file_meta_value(f, index, 0, NULL, &v))
        return NAN;
    snprintf(name, sizeof name, "%.*s.%s", (int)v.str.size, v.str.data, key);
    if (leat_file_meta_find(f, name, &index) || leat_file_meta(f, index, &meta) ||
        leat_file_meta_value(f, index, 0, NULL, &v))
        return NAN;
    return meta.type == LEAT_META_F32 ? v.f64 : (double)v.u64;
}

void ref_multiply(const matrix *w, const matrix *bias, const double *x, double *y) {
    ref_watch(w, 0, x);
    for (size_t r = 0; r < w->rows; r++) {
        double s = bias && bias->v ? bias->v[r] : 0.0;
        for (size_t c = 0; c < w->cols; c++) s += w->v[r * w->cols + c] * x[c];
        y[r] = s;
    }
}

/* y = norm(x) for n values with the gain w; y may be x. */
void ref_norm_values(const shape *s, const double *w, const matrix *bias, size_t n, const double *x,
                     double *y) {
    double mean = 0.0, square = 0.0;
    for (size_t i = 0; s->spec->layer_norm && i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(square + s->eps) * w[i] + (bias && bias->v ? bias->v[i] : 0.0);
}

/* A norm without weights leaves x as it is. */
static void norm(const shape *s, const matrix *w, const matrix *bias, const double *x, double *y) {
    if (w->v)
        ref_norm_values(s, w->v, bias, w->cols, x, y);
    else
        memmove(y, x, s->embd * sizeof *y);
}

void ref_rotate(const shape *s, double *x, size_t layer, double position) {
    const arch_spec *a = s->spec;
    size_t n = a->rope_dims ? a->rope_dims : s->dim;
    bool windowed = spec_windowed(a, (uint32_t)layer), local = windowed && a->local_base > 0.0;
    double base = local ? a->local_base : s->base, factor = local ? a->local_factor : a->rope_factor;
    if (a->positions || (a->rotate_windowed_only && a->window && !windowed) ||
        (a->unrotated_period && layer % a->unrotated_period == a->unrotated_period - 1))
        return;
    for (size_t i = 0; i < n / 2; i++) {
        double angle = position / (factor > 0.0 ? factor : 1.0) * pow(base, -2.0 * (double)i / (double)n) /
                       s->divisor[i];
        double *p = a->halves ? &x[i] : &x[2 * i], *q = a->halves ? &x[i + n / 2] : &x[2 * i + 1];
        double x0 = *p, x1 = *q;
        *p = x0 * cos(angle) - x1 * sin(angle);
        *q = x0 * sin(angle) + x1 * cos(angle);
    }
}

/* Norm and rotation of the heads of q or k. */
void ref_place(const shape *s, const matrix *w, size_t heads, size_t layer, double position, double *x) {
    const arch_spec *a = s->spec;
    if (a->heads == HEADS_ROW) ref_norm_values(s, w->v, NULL, heads * s->dim, x, x);
    for (size_t h = 0; h < heads; h++) {
        double *head = x + h * s->dim;
        const double *gain = w->v ? w->v + (a->heads == HEADS_EACH ? h * s->dim : 0) : NULL;
        bool normed = a->heads == HEADS_SHARED || a->heads == HEADS_EACH;
        if (normed && !a->heads_rotated) ref_norm_values(s, gain, NULL, s->dim, head, head);
        ref_rotate(s, head, layer, position);
        if (normed && a->heads_rotated) ref_norm_values(s, gain, NULL, s->dim, head, head);
    }
}

static double score_scale(const shape *s) {
    if (s->spec->attention_scale > 0.0) return s->spec->attention_scale;
    return 1.0 / sqrt((double)(s->spec->scale_by_width ? s->embd / s->heads : s->dim));
}

/* a = attention of one query head of token t over keys and values that lie `stride` apart. */
static void attend(const shape *s, size_t layer, size_t t, const double *q, const double *k, const double *v,
                   size_t stride, const double *sink, double *p, double *a) {
    const arch_spec *spec = s->spec;
    bool windowed = spec_windowed(spec, (uint32_t)layer);
    size_t first = windowed && t + 1 > spec->window ? t + 1 - spec->window : 0, last = t;
    if (spec->both_ways) {
        size_t half = spec->window / 2;
        first = windowed && t > half ? t - half : 0;
        last = windowed && t + half < s->n ? t + half : s->n - 1;
    }
    double top = -INFINITY, sum = 0.0, warm = 1.0;
    if (spec->temperature_length)
        warm += spec->temperature_scale * log(1.0 + floor((double)t / spec->temperature_length));
    for (size_t j = first; j <= last; j++) {
        p[j] = 0.0;
        for (size_t d = 0; d < s->dim; d++) p[j] += q[d] * k[j * stride + d];
        p[j] *= score_scale(s) * warm;
        if (spec->attention_cap > 0.0) p[j] = spec->attention_cap * tanh(p[j] / spec->attention_cap);
        top = fmax(top, p[j]);
    }
    if (sink) sum += exp(*sink - top);
    for (size_t j = first; j <= last; j++) sum += p[j] = exp(p[j] - top);
    memset(a, 0, s->dim * sizeof *a);
    for (size_t j = first; j <= last; j++)
        for (size_t d = 0; d < s->dim; d++) a[d] += p[j] / sum * v[j * stride + d];
}

/* x = norm(x) of all tokens, by a norm behind a block */
static void behind(const shape *s, const leat_file *f, const char *name, unsigned layer, double *x) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    matrix w = ref_load(f, full, layer);
    snprintf(full, sizeof full, "%s.bias", name);
    matrix bias = ref_load(f, full, layer);
    for (size_t t = 0; t < s->n; t++) norm(s, &w, &bias, x + t * s->embd, x + t * s->embd);
    free(w.v), free(bias.v);
}

/* out += residual_scale * norm(h) */
void ref_add(const shape *s, const matrix *post, double *h, double *out) {
    double scale = s->spec->residual_scale != 0.0 ? s->spec->residual_scale : 1.0;
    if (post->v) ref_norm_values(s, post->v, NULL, s->embd, h, h);
    for (size_t i = 0; i < s->embd; i++) out[i] += scale * h[i];
}

enum {
    NORM,
    NORM_BIAS,
    Q,
    K,
    V,
    Q_BIAS,
    K_BIAS,
    V_BIAS,
    Q_NORM,
    K_NORM,
    OUT,
    OUT_BIAS,
    POST,
    SINKS,
    N_ATTENTION
};

static void load_attention(const shape *s, const leat_file *f, unsigned layer, matrix w[N_ATTENTION]) {
    static const char *const names[N_ATTENTION] = {"attn_norm.weight",
                                                   "attn_norm.bias",
                                                   "attn_q.weight",
                                                   "attn_k.weight",
                                                   "attn_v.weight",
                                                   "attn_q.bias",
                                                   "attn_k.bias",
                                                   "attn_v.bias",
                                                   "attn_q_norm.weight",
                                                   "attn_k_norm.weight",
                                                   "attn_output.weight",
                                                   "attn_output.bias",
                                                   "post_attention_norm.weight",
                                                   "attn_sinks.weight"};
    size_t rows[3] = {s->heads * s->dim, s->kv_heads * s->dim, s->kv_heads * s->dim}, at = 0;
    for (size_t i = 0; i < N_ATTENTION; i++) {
        char name[64];
        if (i <= NORM_BIAS && s->spec->attn_norm)
            snprintf(name, sizeof name, "blk.%%u.%s%s", s->spec->attn_norm, names[i] + strlen("attn_norm"));
        else
            snprintf(name, sizeof name, "blk.%%u.%s", names[i]);
        w[i] = ref_load(f, name, layer);
    }
    if (!s->spec->post_norm) free(w[POST].v), w[POST].v = NULL; /* seed_oss has another norm of that name */
    if (w[Q].v) return;
    matrix all = ref_load(f, "blk.%u.attn_qkv.weight", layer),
           bias = ref_load(f, "blk.%u.attn_qkv.bias", layer);
    for (size_t i = 0; i < 3; at += rows[i++]) {
        w[Q + i] = part(&all, at, rows[i]);
        w[Q_BIAS + i] = part(&bias, at, rows[i]);
    }
    free(all.v), free(bias.v);
}

/* out += attention of x. */
static void attention(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    matrix w[N_ATTENTION];
    load_attention(s, f, layer, w);
    size_t nq = s->heads * s->dim, nk = s->kv_heads * s->dim;
    double *h = malloc(s->embd * sizeof *h), *q = malloc(nq * sizeof *q), *a = malloc(nq * sizeof *a);
    double *k = malloc(s->n * nk * sizeof *k), *v = malloc(s->n * nk * sizeof *v),
           *p = malloc(s->n * sizeof *p);
    for (size_t t = 0; t < s->n; t++) {
        norm(s, &w[NORM], &w[NORM_BIAS], x + t * s->embd, h);
        ref_multiply(&w[K], &w[K_BIAS], h, k + t * nk);
        ref_multiply(&w[V], &w[V_BIAS], h, v + t * nk);
        ref_place(s, &w[K_NORM], s->kv_heads, layer, (double)t, k + t * nk);
    }
    for (size_t t = 0; t < s->n; t++) {
        norm(s, &w[NORM], &w[NORM_BIAS], x + t * s->embd, h);
        ref_multiply(&w[Q], &w[Q_BIAS], h, q);
        ref_place(s, &w[Q_NORM], s->heads, layer, (double)t, q);
        for (size_t i = 0; i < s->heads; i++) {
            size_t kv = i / (s->heads / s->kv_heads) * s->dim;
            attend(s, layer, t, q + i * s->dim, k + kv, v + kv, nk, w[SINKS].v ? w[SINKS].v + i : NULL, p,
                   a + i * s->dim);
        }
        ref_multiply(&w[OUT], &w[OUT_BIAS], a, h);
        ref_add(s, &w[POST], h, out + t * s->embd);
    }
    for (size_t i = 0; i < N_ATTENTION; i++) free(w[i].v);
    free(h), free(q), free(a), free(k), free(v), free(p);
}

double ref_activate(const shape *s, double x) {
    if (s->spec->relu_sqr) return x > 0.0 ? x * x : 0.0;
    if (!s->spec->gelu) return x / (1.0 + exp(-x));
    return x / 2.0 * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

enum { FFN_NORM, FFN_NORM_BIAS, GATE, UP, DOWN, GATE_BIAS, UP_BIAS, DOWN_BIAS, FFN_POST, N_FFN };

/* out += feed-forward of x. */
static void feed_forward(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    static const char *const names[N_FFN] = {"%s.weight",     "%s.bias",         "ffn_gate.weight",
                                             "ffn_up.weight", "ffn_down.weight", "ffn_gate.bias",
                                             "ffn_up.bias",   "ffn_down.bias",   "post_ffw_norm.weight"};
    matrix w[N_FFN];
    const char *ffn_norm = s->spec->no_ffn_norm ? "attn_norm"
                           : s->spec->ffn_norm  ? s->spec->ffn_norm
                                                : "ffn_norm";
    for (size_t i = 0; i < N_FFN; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%%u.%s%s", i < GATE ? ffn_norm : "", names[i] + (i < GATE ? 2 : 0));
        w[i] = ref_load(f, name, layer);
    }
    if (s->spec->fused_gate) {
        matrix both = w[UP], bias = w[UP_BIAS];
        w[GATE] = part(&both, 0, s->ff), w[UP] = part(&both, s->ff, s->ff);
        w[GATE_BIAS] = part(&bias, 0, s->ff), w[UP_BIAS] = part(&bias, s->ff, s->ff);
        free(both.v), free(bias.v);
    }
    double *h = malloc(s->embd * sizeof *h), *g = malloc(s->ff * sizeof *g), *u = malloc(s->ff * sizeof *u);
    for (size_t t = 0; t < s->n; t++) {
        norm(s, &w[FFN_NORM], &w[FFN_NORM_BIAS], x + t * s->embd, h);
        ref_multiply(&w[UP], &w[UP_BIAS], h, u);
        if (w[GATE].v) ref_multiply(&w[GATE], &w[GATE_BIAS], h, g);
        for (size_t i = 0; i < s->ff; i++)
            g[i] = w[GATE].v ? ref_activate(s, g[i]) * u[i] : ref_activate(s, u[i]);
        ref_multiply(&w[DOWN], &w[DOWN_BIAS], g, h);
        ref_add(s, &w[FFN_POST], h, out + t * s->embd);
    }
    for (size_t i = 0; i < N_FFN; i++) free(w[i].v);
    free(h), free(g), free(u);
}

static void layers(shape *s, const leat_file *f, double *x) {
    size_t bytes = s->n * s->embd * sizeof *x;
    bool parallel = s->spec->parallel || s->spec->no_ffn_norm;
    double *before = malloc(bytes);
    for (unsigned i = 0; before && i < s->n_layer; i++) {
        memcpy(before, x, bytes);
        if (spec_mixes(s->spec, i) || s->spec->latent || s->spec->gated || s->spec->gemma4)
            ref_mix(s, f, i, before, x);
        else
            attention(s, f, i, before, x);
        if (s->spec->behind) behind(s, f, "blk.%u.attn_output_norm", i, x);
        if (!parallel) memcpy(before, x, bytes);
        if (s->spec->gemma4 && s->spec->experts.n)
            ref_beside(s, f, i, before, x);
        else if (spec_expert_layer(s->spec, i))
            ref_experts(s, f, i, before, x);
        else if (s->spec->mixer != MIXER_MAMBA || s->spec->attention_period)
            feed_forward(s, f, i, before, x);
        if (s->spec->behind) behind(s, f, "blk.%u.layer_output_norm", i, x);
        if (s->inputs) ref_layer_end(s, f, i, x);
    }
    free(before);
    for (size_t i = 0; i < 64; i++) free(s->kept[i][0]), free(s->kept[i][1]);
}

/* 0 for what the file does not have */
static size_t count_of(const leat_file *f, const char *key) {
    double value = number(f, key);
    return isnan(value) ? 0 : (size_t)value;
}

static shape shape_of(const leat_file *f, const arch_spec *spec, size_t n, size_t n_ctx) {
    static const arch_spec plain = {0};
    if (!spec) spec = &plain;
    shape s = {.spec = spec,
               .n = n,
               .n_layer = count_of(f, "block_count"),
               .embd = count_of(f, "embedding_length"),
               .heads = count_of(f, "attention.head_count"),
               .kv_heads = count_of(f, "attention.head_count_kv"),
               .dim = count_of(f, "attention.key_length"),
               .ff = count_of(f, "feed_forward_length"),
               .eps = number(f, spec->layer_norm ? "attention.layer_norm_epsilon"
                                                 : "attention.layer_norm_rms_epsilon"),
               .base = number(f, "rope.freq_base")};
    if (spec->latent)
        s.dim = count_of(f, spec->absorbed ? "attention.key_length_mla" : "attention.key_length");
    if (isnan(number(f, "attention.head_count_kv")) || spec->mixer || spec->gemma4) s.kv_heads = 2;
    matrix divisors = {0};
    if (spec->long_factors)
        divisors = ref_load(f,
                            (double)n_ctx > number(f, "rope.scaling.original_context_length")
                                ? "rope_factors_long.weight"
                                : "rope_factors_short.weight",
                            0);
    for (size_t i = 0; i < 256; i++) s.divisor[i] = divisors.v && i < divisors.cols ? divisors.v[i] : 1.0;
    free(divisors.v);
    return s;
}

/* What tokens are before the first layer. */
static double *embeddings(const shape *s, const leat_file *f, const leat_token *tokens) {
    matrix embed = ref_load(f, "token_embd.weight", 0), positions = ref_load(f, "position_embd.weight", 0);
    matrix kinds = ref_load(f, "token_types.weight", 0);
    double *x = malloc(s->n * s->embd * sizeof *x);
    double scale = s->spec->embed_root           ? sqrt((double)s->embd)
                   : s->spec->embed_scale != 0.0 ? s->spec->embed_scale
                                                 : 1.0;
    for (size_t i = 0; i < s->n * s->embd; i++) {
        size_t t = i / s->embd, c = i % s->embd;
        x[i] = embed.v[(size_t)tokens[t] * s->embd + c] * scale + (positions.v ? positions.v[i] : 0.0) +
               (kinds.v ? kinds.v[c] : 0.0);
    }
    if (s->spec->embed_norm) behind(s, f, "token_embd_norm", 0, x);
    free(embed.v), free(positions.v), free(kinds.v);
    return x;
}

/* All layers and the norm behind them: (n, embd). */
static double *hidden_of(shape *s, const leat_file *f, const leat_token *tokens) {
    double *x = embeddings(s, f, tokens);
    if (s->spec->gemma4 || s->spec->altup) s->inputs = ref_inputs(s, f, tokens, x);
    if (s->spec->altup)
        ref_streams(s, f, x);
    else
        layers(s, f, x);
    free(s->inputs);
    behind(s, f, s->spec->output_norm ? s->spec->output_norm : "output_norm", 0, x);
    return x;
}

double *reference_hidden_of(const char *path, const arch_spec *spec, const leat_token *tokens, size_t n,
                            size_t *width) {
    leat_file *f;
    if (leat_file_open(path, &f, NULL)) return NULL;
    shape s = shape_of(f, spec, n, n);
    double *x = hidden_of(&s, f, tokens);
    *width = s.embd;
    leat_file_close(f);
    return x;
}

double *reference_logits_of(const char *path, const arch_spec *spec, const leat_token *tokens, size_t n,
                            size_t n_ctx, size_t *n_vocab) {
    leat_file *f;
    if (leat_file_open(path, &f, NULL)) return NULL;
    shape s = shape_of(f, spec, n, n_ctx);
    matrix out = ref_load(f, "output.weight", 0), out_bias = ref_load(f, "output.bias", 0),
           embed = ref_load(f, "token_embd.weight", 0);
    const matrix *head = out.v ? &out : &embed;
    double *x = hidden_of(&s, f, tokens), *logits = malloc(n * head->rows * sizeof *logits);
    for (size_t t = 0; t < n; t++) {
        double *y = logits + t * head->rows, cap = s.spec->logit_cap;
        ref_multiply(head, &out_bias, x + t * s.embd, y);
        for (size_t i = 0; i < head->rows; i++) {
            if (s.spec->logit_scale != 0.0) y[i] *= s.spec->logit_scale;
            if (cap > 0.0) y[i] = cap * tanh(y[i] / cap);
        }
    }
    *n_vocab = head->rows;
    free(embed.v), free(out.v), free(out_bias.v), free(x);
    leat_file_close(f);
    return logits;
}

double *reference_logits(const char *path, const leat_token *tokens, size_t n, size_t *n_vocab) {
    return reference_logits_of(path, NULL, tokens, n, n, n_vocab);
}
