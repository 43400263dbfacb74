/* Every architecture of archs.def on random models (tests/harness/arch_spec.c): against double precision, one
 * batch size against another, after rewinding, quantized, and over lengths that leave windows behind. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "reference.h"
#include "tests/harness/fixture.h"

enum { N = 40, N_CTX = 64, N_LONG = 300, N_VOCAB = 300 };

/* A spec's model as a file, with what the reference makes of it. */
typedef struct subject {
    const arch_spec *spec;
    random_model shape;
    temp_file file;
    leat_token tokens[N_LONG];
    double *want; /* (n, N_VOCAB) */
} subject;

static bool subject_open(test *t, subject *s, const arch_spec *spec, const random_model *m, size_t n,
                         size_t n_ctx) {
    size_t n_vocab = 0;
    leat_error e = {LEAT_OK, ""};
    *s = (subject){.spec = spec, .shape = *m};
    fill_tokens(s->tokens, N_LONG, N_VOCAB, 7);
    if (!temp_make(&s->file, "m.gguf")) {
        TEST_FAIL(t, "no temporary folder");
        return false;
    }
    if (random_model_write(m, s->file.path, &e)) TEST_FAIL(t, "%s: %s", spec->arch, e.message);
    if (n) s->want = reference_logits_of(s->file.path, spec, s->tokens, n, n_ctx, &n_vocab);
    if (n && (!s->want || n_vocab != N_VOCAB)) TEST_FAIL(t, "%s: no reference", spec->arch);
    return !n || (s->want && n_vocab == N_VOCAB);
}

static void subject_close(subject *s) {
    temp_remove(&s->file);
    free(s->want);
}

static const char *variant(const arch_spec *s) {
    return s->variant ? s->variant : "plain";
}

static leat_model *open_on(test *t, const subject *s, const char *isa) {
    leat_model *m = NULL;
    leat_model_params p;
    leat_error e = {LEAT_OK, ""};
    leat_model_params_default(&p);
    p.isa = isa;
    if (leat_model_open(s->file.path, &p, &m, &e))
        TEST_FAIL(t, "%s, %s: %s", s->spec->arch, variant(s->spec), e.message);
    return m;
}

static leat_session *open_f32(test *t, leat_model *m, uint32_t n_ctx, uint32_t n_batch, uint32_t n_threads) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    p.k_type = p.v_type = LEAT_KV_F32;
    p.logits_all = true;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

/* Appends tokens [from, to) in batches and adds their logits at out + position * N_VOCAB. */
static bool eval(test *t, leat_session *s, const leat_token *tokens, size_t from, size_t to, size_t batch,
                 float *out) {
    leat_error e = {LEAT_OK, ""};
    for (size_t at = from; s && at < to;) {
        size_t n = to - at < batch ? to - at : batch;
        if (leat_session_eval(s, tokens + at, n, &e)) {
            TEST_FAIL(t, "%s", e.message);
            return false;
        }
        for (size_t i = 0; i < n; i++)
            memcpy(out + (at + i) * N_VOCAB, leat_session_logits(s, n - 1 - i), N_VOCAB * sizeof *out);
        at += n;
    }
    return s;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest of the values of tokens. Where quantization is compared and tokens choose experts, of two that
 * are as good as each other a token may get the other one, which makes its logits others: then the largest of
 * the better half. */
static double largest(double *values, size_t n, bool chosen) {
    qsort(values, n, sizeof *values, by_size);
    return values[chosen ? n / 2 : n - 1];
}

/* Largest relative error of the logits of any token in [from, to). */
static double worst_of(const float *got, const double *want, size_t from, size_t to, bool chosen) {
    double errors[N_LONG];
    for (size_t at = from; at < to; at++) {
        float expected[N_VOCAB];
        for (size_t v = 0; v < N_VOCAB; v++) expected[v] = (float)want[at * N_VOCAB + v];
        errors[at - from] = relative_error(got + at * N_VOCAB, expected, N_VOCAB);
        if (!(errors[at - from] < INFINITY)) return INFINITY;
    }
    return largest(errors, to - from, chosen);
}

static double worst(const float *got, const double *want, size_t from, size_t to) {
    return worst_of(got, want, from, to, false);
}

/* Kullback-Leibler divergence of softmax(got) from softmax(want), in nats. */
static double divergence(const float *got, const double *want) {
    double top_w = -INFINITY, top_g = -INFINITY, sum_w = 0, sum_g = 0, kl = 0;
    for (size_t i = 0; i < N_VOCAB; i++) top_w = fmax(top_w, want[i]), top_g = fmax(top_g, (double)got[i]);
    for (size_t i = 0; i < N_VOCAB; i++) sum_w += exp(want[i] - top_w), sum_g += exp((double)got[i] - top_g);
    for (size_t i = 0; i < N_VOCAB; i++) {
        double lw = want[i] - top_w - log(sum_w), lg = (double)got[i] - top_g - log(sum_g);
        kl += exp(lw) * (lw - lg);
    }
    return kl;
}

/* Float weights cost only rounding, int8 activations about 5e-3 of a vector's length per product: four
 * products in a row for each layer, whose errors add like their squares. */
static double quantized_bound(const random_model *m) {
    /* more products in a row, some of them of two quantized ones */
    bool more = m->spec && (m->spec->mixer || m->spec->latent || m->spec->gemma4 || m->spec->experts.n);
    return (more ? 0.09 : 0.045) * sqrt((double)m->n_layer);
}

static double bound_of(const random_model *m) {
    return kernels_traits(m->format).act == ACT_F32 ? 2e-4 * (1 + m->n_layer / 8) : quantized_bound(m);
}

static bool chooses(const random_model *m) {
    return kernels_traits(m->format).act != ACT_F32 && m->spec && m->spec->experts.n;
}

static void every_architecture_is_described(test *t) {
    for (size_t i = 0; leat_architecture(i); i++) {
        const arch_spec *s = arch_specs;
        while (s->arch && strcmp(s->arch, leat_architecture(i))) s++;
        if (!s->arch) s = embed_specs;
        while (s->arch && strcmp(s->arch, leat_architecture(i))) s++;
        if (!s->arch) TEST_FAIL(t, "%s has no random model in arch_spec.c", leat_architecture(i));
    }
}

static void agrees_with_reference(test *t) {
    static float got[N * N_VOCAB];
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        random_model m = random_model_of(spec, FORMAT_F32);
        subject s;
        if (subject_open(t, &s, spec, &m, N, N_CTX))
            for (size_t isa = 0; leat_isa(isa); isa++) {
                leat_model *model = open_on(t, &s, leat_isa(isa));
                for (uint32_t batch = leat_isa(isa + 1) ? 7 : 1; batch <= N; batch += 33) {
                    leat_session *session = open_f32(t, model, N_CTX, batch, 2);
                    double e = eval(t, session, s.tokens, 0, N, batch, got) ? worst(got, s.want, 0, N) : 0;
                    if (!(e < bound_of(&m)))
                        TEST_FAIL(t, "%s, %s, on %s in batches of %u: error %g", spec->arch, variant(spec),
                                  leat_isa(isa), batch, e);
                    leat_session_close(session);
                }
                leat_model_close(model);
            }
        subject_close(&s);
    }
}

/* Is bfloat16 used in a batch, for products or attention, and int8 one by one? */
static bool has_tiles(uint32_t format) {
    kernels k;
    return kernels_init(&k, NULL) && k.tiles_mul && kernels_traits(format).act != ACT_F32;
}

/* Token by token, in batches, and again after going back: the same, for float and quantized weights. */
static void check_decode(test *t, const subject *s) {
    static float one[N * N_VOCAB], many[N * N_VOCAB], again[N * N_VOCAB];
    leat_model *model = open_on(t, s, NULL);
    leat_session *a = open_f32(t, model, N_CTX, 1, 1), *b = open_f32(t, model, N_CTX, 35, 2);
    if (eval(t, a, s->tokens, 0, N, 1, one) && eval(t, b, s->tokens, 0, N, 35, many)) {
        double kl[N], kl_many[N], apart[N], limit = bound_of(&s->shape), mean_many = 0;
        for (size_t at = 0; at < N; at++) {
            apart[at] = relative_error(many + at * N_VOCAB, one + at * N_VOCAB, N_VOCAB);
            kl[at] = divergence(one + at * N_VOCAB, s->want + at * N_VOCAB);
            kl_many[at] = divergence(many + at * N_VOCAB, s->want + at * N_VOCAB);
        }
        double difference = largest(apart, N, chooses(&s->shape)), mean = 0;
        if (has_tiles(s->shape.format))
            limit *= 4; /* of the worst token of 35, each pass with its own errors */
        if (!(difference < limit))
            TEST_FAIL(t, "%s, %s, %s: a token in a batch differs by %g", s->spec->arch, variant(s->spec),
                      format_get(s->shape.format)->name, difference);
        largest(kl, N, false);
        largest(kl_many, N, false);
        size_t counted = chooses(&s->shape) ? N / 2 : N;
        for (size_t at = 0; at < counted; at++)
            mean += kl[at] / (double)counted, mean_many += kl_many[at] / (double)counted;
        /* logits of size 1 (6 where tied) with a relative error e are e^2 / 2 apart, times their size squared
         */
        double size = 0, e = bound_of(&s->shape);
        for (size_t i = 0; i < N * N_VOCAB; i++) size += s->want[i] * s->want[i] / (N * N_VOCAB);
        if (!(fmax(mean, mean_many) < e * e / 2 * size + 1e-7))
            TEST_FAIL(t, "%s, %s, %s: divergence %g, in a batch %g, from float64", s->spec->arch,
                      variant(s->spec), format_get(s->shape.format)->name, mean, mean_many);
        for (size_t length = 0; length < N; length += 13) {
            CHECK_EQ(t, leat_session_rewind(a, length), LEAT_OK);
            if (!eval(t, a, s->tokens, length, N, 1, again)) break;
            if (memcmp(again + length * N_VOCAB, one + length * N_VOCAB,
                       (N - length) * N_VOCAB * sizeof *one))
                TEST_FAIL(t, "%s, %s: not the same after going back to %zu", s->spec->arch, variant(s->spec),
                          length);
        }
    }
    leat_session_close(a);
    leat_session_close(b);
    leat_model_close(model);
}

static void decode_equals_prefill(test *t) {
    static const uint32_t formats[] = {FORMAT_F32, FORMAT_Q8_0, FORMAT_Q4_K, FORMAT_MXFP4};
    for (const arch_spec *spec = arch_specs; spec->arch; spec++)
        for (size_t f = 0; f < (spec->narrow ? 1 : spec->experts.oai ? 4 : 3); f++) { /* MXFP4: gpt-oss */
            random_model m = random_model_of(spec, formats[f]);
            subject s;
            if (subject_open(t, &s, spec, &m, N, N_CTX)) check_decode(t, &s);
            subject_close(&s);
        }
}

/* A float32 model and its copy in Q8_0: what storing weights in 8 bits costs, on top of computing with them.
 */
static void quantized_copies_are_near(test *t) {
    static float got[N * N_VOCAB];
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        random_model m = random_model_of(spec, FORMAT_F32);
        subject s;
        temp_file copy;
        leat_model *model = NULL;
        leat_error e = {LEAT_OK, ""};
        leat_quantize_params q;
        if (spec->narrow) continue;
        leat_quantize_params_default(&q);
        q.type = "q8_0";
        bool ready = subject_open(t, &s, spec, &m, N, N_CTX) && temp_make(&copy, "q.gguf");
        if (ready &&
            (leat_quantize(s.file.path, copy.path, &q, &e) || leat_model_open(copy.path, NULL, &model, &e)))
            TEST_FAIL(t, "%s, %s: %s", spec->arch, variant(spec), e.message);
        leat_session *session = model ? open_f32(t, model, N_CTX, N, 2) : NULL;
        if (session && eval(t, session, s.tokens, 0, N, N, got)) {
            double error = worst_of(got, s.want, 0, N, spec->experts.n);
            double limit = sqrt(2.0) * quantized_bound(&m); /* weights and activations */
            if (!(error < limit))
                TEST_FAIL(t, "%s, %s: Q8_0 differs by %g", spec->arch, variant(spec), error);
        }
        leat_session_close(session);
        leat_model_close(model);
        if (ready) temp_remove(&copy);
        subject_close(&s);
    }
}

/* A session far longer than its windows. The reference keeps all keys. */
static void check_long(test *t, const subject *s, leat_model *model, uint32_t batch, float *got) {
    leat_session *session = open_f32(t, model, 4096, batch, 1);
    const double limit = bound_of(&s->shape);
    if (!eval(t, session, s->tokens, 0, N_LONG, batch, got)) return;
    double e = worst(got, s->want, 0, N_LONG);
    if (!(e < limit)) TEST_FAIL(t, "%s, batches of %u: error %g", s->spec->arch, batch, e);

    size_t floor = leat_session_rewind_floor(session);
    if (floor > 1) {
        CHECK_EQ(t, leat_session_rewind(session, floor - 1), LEAT_E_STATE);
        CHECK_EQ(t, leat_session_rewind(session, 1), LEAT_E_STATE);
    }
    CHECK_EQ(t, leat_session_length(session), N_LONG);
    for (size_t back = floor; back < N_LONG; back += 17) {
        CHECK_EQ(t, leat_session_rewind(session, back), LEAT_OK);
        if (!eval(t, session, s->tokens, back, N_LONG, batch, got)) break;
        e = worst(got, s->want, back, N_LONG);
        if (!(e < limit))
            TEST_FAIL(t, "%s, batches of %u, back at %zu: error %g", s->spec->arch, batch, back, e);
        size_t now = leat_session_rewind_floor(session);
        if (now > back + 17) back = now;
    }
    CHECK_EQ(t, leat_session_rewind(session, 0), LEAT_OK);
    CHECK_EQ(t, leat_session_rewind_floor(session), 0);
    memset(got, 0, N_LONG * N_VOCAB * sizeof *got);
    if (eval(t, session, s->tokens, 0, N_LONG, batch, got) && !(worst(got, s->want, 0, N_LONG) < limit))
        TEST_FAIL(t, "%s, batches of %u: wrong from the start", s->spec->arch, batch);
    leat_session_close(session);
}

static void windows_slide(test *t) {
    static float got[N_LONG * N_VOCAB];
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        if (!spec->window || spec->narrow) continue;
        random_model m = random_model_of(spec, FORMAT_F32);
        m.n_embd = m.n_ff = 48, m.head_dim = 12, m.n_ctx = 4096;
        subject s;
        if (subject_open(t, &s, spec, &m, N_LONG, 4096)) {
            leat_model *model = open_on(t, &s, NULL);
            check_long(t, &s, model, 1, got);
            check_long(t, &s, model, 7, got);
            check_long(t, &s, model, 100, got);
            leat_session *whole = open_f32(t, model, 4096, 1, 1), *small = open_f32(t, model, 512, 1, 1);
            if (whole && small && !spec->gemma4) { /* of 4096 + 512 positions, full layers keep all and
                                                      windowed ones about 137 each */
                uint32_t full = 0;
                for (uint32_t i = 0; i < m.n_layer; i++) full += !spec_windowed(spec, i);
                uint64_t more = leat_session_bytes(whole) - leat_session_bytes(small),
                         each = (uint64_t)full * m.n_head_kv * m.head_dim * 2 * 4 + sizeof(leat_token);
                CHECK_EQ(t, more, (4096 - 512) * each);
                CHECK_EQ(t, leat_session_rewind_floor(whole), 0);
            }
            leat_session_close(whole);
            leat_session_close(small);
            leat_model_close(model);
        }
        subject_close(&s);
    }
}

/* Keys in place of a spec's own, and what must be said of them. */
static const struct {
    const char *arch;
    spec_key keys[3];
    leat_status status;
    const char *words;
} hostile[] = {
    {"cohere2", {{"logit_scale", 'f', 1}}, LEAT_E_HPARAM, "cohere2.attention.sliding_window"},
    {"cohere2", {{"attention.sliding_window", 'u', 9}}, LEAT_E_HPARAM, "cohere2.logit_scale"},
    {"cohere2",
     {{"logit_scale", 'f', 1}, {"attention.sliding_window", 'f', 9}},
     LEAT_E_TYPE,
     "sliding_window"},
    {"command-r", {{"logit_scale", 'f', NAN}}, LEAT_E_HPARAM, "command-r.logit_scale"},
    {"gemma2", {{"attention.sliding_window_pattern", 'u', 1025}}, LEAT_E_HPARAM, "sliding_window_pattern"},
    {"gemma2", {{"attention.sliding_window_pattern", 'a', 2}}, LEAT_E_HPARAM, "has 2 values for 3 layers"},
    {"gemma2", {{"attention.sliding_window_pattern", 'a', 3}}, LEAT_OK, ""},
    {"gemma2", {{"attention.sliding_window_pattern", 's', 0, "all"}}, LEAT_E_TYPE, "sliding_window_pattern"},
    {"gemma2",
     {{"attention.sliding_window", 'u', 4294967040.0f}},
     LEAT_E_HPARAM,
     "gemma2.attention.sliding_window"},
    {"gemma2", {{"attn_logit_softcapping", 'f', -1}}, LEAT_E_HPARAM, "attn_logit_softcapping"},
    {"gemma2", {{"rope.freq_base_swa", 'f', 0}}, LEAT_E_HPARAM, "rope.freq_base_swa"},
    {"gemma3", {{"final_logit_softcapping", 'f', INFINITY}}, LEAT_E_HPARAM, "final_logit_softcapping"},
    {"gptneox", {{"rope.dimension_count", 'u', 8}}, LEAT_E_HPARAM, "gptneox.use_parallel_residual"},
    {"gptneox", {{"use_parallel_residual", 'u', 1}}, LEAT_E_TYPE, "gptneox.use_parallel_residual"},
    {"granite", {{"logit_scale", 'f', 0}}, LEAT_E_HPARAM, "granite.logit_scale"},
    {"granite", {{"logit_scale", 'f', 8}, {"rope.scaling.finetuned", 'b', 0}}, LEAT_OK, ""},
    {"mistral3", {{"attention.temperature_scale", 'f', INFINITY}}, LEAT_E_HPARAM, "temperature_scale"},
    {"phi3", {{"rope.scaling.type", 's', 0, "longrope"}}, LEAT_OK, ""},
    {"qwen2", {{"attention.clamp_kqv", 'f', 8}}, LEAT_E_UNSUPPORTED, "attention.clamp_kqv"},
    {"qwen3", {{"rope.dimension_sections", 'u', 8}}, LEAT_E_UNSUPPORTED, "rope.dimension_sections"},
    {"glm4", {{"nextn_predict_layers", 'u', 1}}, LEAT_E_UNSUPPORTED, "glm4.nextn_predict_layers is 1"},
};

static void hostile_keys(test *t) {
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        const arch_spec *found = arch_specs;
        temp_file f;
        leat_model *model = NULL;
        leat_error e = {LEAT_OK, ""};
        while (strcmp(found->arch, hostile[i].arch)) found++;
        arch_spec spec = *found;
        memset(spec.keys, 0, sizeof spec.keys);
        memcpy(spec.keys, hostile[i].keys, sizeof hostile[i].keys);
        random_model m = random_model_of(&spec, FORMAT_F32);
        REQUIRE(t, temp_make(&f, "m.gguf") && !random_model_write(&m, f.path, &e));
        leat_status st = leat_model_open(f.path, NULL, &model, &e);
        if (st != hostile[i].status || (st && !strstr(e.message, hostile[i].words)))
            TEST_FAIL(t, "%s with %s: status %d \"%s\", wanted %d \"%s\"", spec.arch, spec.keys[0].name,
                      (int)st, e.message, (int)hostile[i].status, hostile[i].words);
        leat_model_close(model);
        temp_remove(&f);
    }
}

/* Positions that were learned end. */
static void learned_positions_end(test *t) {
    const arch_spec *spec = arch_specs;
    while (strcmp(spec->arch, "gpt2")) spec++;
    random_model m = random_model_of(spec, FORMAT_F32);
    leat_model *model = open_random(t, &m, NULL);
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = m.n_ctx + 1;
    CHECK_EQ(t, leat_session_open(model, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "128 positions"));
    p.n_ctx = m.n_ctx;
    CHECK_EQ(t, leat_session_open(model, &p, &s, &e), LEAT_OK);
    leat_session_close(s);
    leat_model_close(model);
}

#define TESTS(X)                                                                                             \
    X(every_architecture_is_described)                                                                       \
    X(agrees_with_reference)                                                                                 \
    X(decode_equals_prefill)                                                                                 \
    X(quantized_copies_are_near) X(windows_slide) X(hostile_keys) X(learned_positions_end)
TEST_SUITE(TESTS)
