/* Activations in float32: a quantized model computes what its decoded weights say, within float rounding, for
 * every type, on every ISA, for every architecture, in any batches and with the same bits for any number of
 * threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "reference.h"
#include "tests/harness/fixture.h"

enum { N = 24, N_CTX = 64, N_VOCAB_MAX = 512 };

static const uint32_t weight_formats[] = {
#define W(name, NAME, act, panel) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef W
};
enum { N_FORMATS = sizeof weight_formats / sizeof *weight_formats };

typedef struct subject {
    const char *name;
    random_model shape;
    temp_file file;
    leat_token tokens[N];
    double *want; /* (N, n_vocab) */
    size_t n_vocab;
} subject;

static bool subject_open(test *t, subject *s, const random_model *m) {
    leat_error e = {LEAT_OK, ""};
    *s = (subject){.name = format_get(m->format)->name, .shape = *m};
    fill_tokens(s->tokens, N, m->n_vocab, 7);
    if (!temp_make(&s->file, "m.gguf")) {
        TEST_FAIL(t, "no temporary folder");
        return false;
    }
    if (random_model_write(m, s->file.path, &e)) TEST_FAIL(t, "%s: %s", s->name, e.message);
    s->want = reference_logits_of(s->file.path, m->spec, s->tokens, N, N_CTX, &s->n_vocab);
    if (!s->want || s->n_vocab > N_VOCAB_MAX) TEST_FAIL(t, "%s: no reference", s->name);
    return s->want && s->n_vocab <= N_VOCAB_MAX;
}

static void subject_close(subject *s) {
    temp_remove(&s->file);
    free(s->want);
}

static leat_model *open_on(test *t, const subject *s, const char *isa) {
    leat_model *m = NULL;
    leat_model_params p;
    leat_error e = {LEAT_OK, ""};
    leat_model_params_default(&p);
    p.isa = isa;
    if (leat_model_open(s->file.path, &p, &m, &e)) TEST_FAIL(t, "%s: %s", s->name, e.message);
    return m;
}

/* Logits of all tokens, evaluated in batches; false after a failed check. */
static bool logits(test *t, const subject *s, leat_model *m, uint32_t batch, uint32_t threads, float *out) {
    leat_session_params p;
    leat_session *session = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = N_CTX;
    p.n_batch = batch;
    p.n_threads = threads;
    p.k_type = p.v_type = LEAT_KV_F32;
    p.logits_all = true;
    p.activations = LEAT_ACTIVATIONS_F32;
    if (!m || leat_session_open(m, &p, &session, &e)) TEST_FAIL(t, "%s: %s", s->name, e.message);
    for (size_t at = 0; session && at < N && !e.code;) {
        size_t n = N - at < batch ? N - at : batch;
        if (leat_session_eval(session, s->tokens + at, n, &e)) {
            TEST_FAIL(t, "%s: %s", s->name, e.message);
            break;
        }
        for (size_t i = 0; i < n; i++)
            memcpy(out + (at + i) * s->n_vocab, leat_session_logits(session, n - 1 - i),
                   s->n_vocab * sizeof *out);
        at += n;
    }
    leat_session_close(session);
    return session && !e.code;
}

static double worst(const subject *s, const float *got) {
    double max = 0;
    for (size_t at = 0; at < N; at++) {
        float expected[N_VOCAB_MAX];
        for (size_t v = 0; v < s->n_vocab; v++) expected[v] = (float)s->want[at * s->n_vocab + v];
        double e = relative_error(got + at * s->n_vocab, expected, s->n_vocab);
        if (!(e <= max)) max = e;
    }
    return max;
}

/* On one ISA: near the reference in batches of 1 and of N, and the same bits with two threads. */
static void check(test *t, const subject *s, const char *isa, double bound) {
    static float one[N * N_VOCAB_MAX], two[N * N_VOCAB_MAX];
    leat_model *m = open_on(t, s, isa);
    for (uint32_t batch = 1; m && batch <= N; batch += N - 1) {
        if (!logits(t, s, m, batch, 1, one) || !logits(t, s, m, batch, 2, two)) break;
        double e = worst(s, one);
        if (!(e < bound)) TEST_FAIL(t, "%s on %s in batches of %u: error %g", s->name, isa, batch, e);
        if (memcmp(one, two, N * s->n_vocab * sizeof *one))
            TEST_FAIL(t, "%s on %s in batches of %u: threads change bits", s->name, isa, batch);
    }
    leat_model_close(m);
}

static void every_type(test *t) {
    for (size_t i = 0; i < N_FORMATS; i++) {
        random_model m = random_model_small(weight_formats[i]);
        subject s;
        /* types differ in how they are decoded only, which has tests of its own */
        bool everywhere = m.format == FORMAT_Q8_0 || m.format == FORMAT_Q4_K;
        if (subject_open(t, &s, &m))
            for (size_t isa = 0; leat_isa(isa); isa++)
                if (everywhere || !leat_isa(isa + 1)) check(t, &s, leat_isa(isa), 2e-4);
        subject_close(&s);
    }
}

static void every_architecture(test *t) {
    size_t last = 0;
    while (leat_isa(last + 1)) last++;
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        if (spec->narrow) continue;
        random_model m = random_model_of(spec, FORMAT_Q8_0);
        subject s;
        if (subject_open(t, &s, &m)) {
            s.name = spec->arch;
            check(t, &s, leat_isa(last), 2e-4 * (1 + m.n_layer / 8));
        }
        subject_close(&s);
    }
}

static void bad_parameter(test *t) {
    random_model m = random_model_small(FORMAT_Q8_0);
    leat_model *model = open_random(t, &m, NULL);
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e;
    leat_session_params_default(&p);
    CHECK_EQ(t, p.activations, LEAT_ACTIVATIONS_INT8);
    p.activations = (leat_activations)2;
    CHECK_EQ(t, leat_session_open(model, &p, &s, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "activations") && !s);
    leat_model_close(model);
}

/* Only the logits of the last tokens of each batch, the same ones as when all are kept. */
static void last_logits_only(test *t) {
    random_model m = random_model_small(FORMAT_Q8_0);
    leat_model *model = open_random(t, &m, NULL);
    leat_session_params p;
    leat_session *all = NULL, *last = NULL;
    leat_token tokens[N];
    leat_error e;
    fill_tokens(tokens, N, m.n_vocab, 5);
    leat_session_params_default(&p);
    p.n_batch = 16;
    p.logits_all = true;
    REQUIRE(t, !leat_session_open(model, &p, &all, &e));
    p.n_logits = 5;
    REQUIRE(t, !leat_session_open(model, &p, &last, &e));
    CHECK(t, leat_session_bytes(last) < leat_session_bytes(all));
    REQUIRE(t, !leat_session_eval(all, tokens, N, &e) && !leat_session_eval(last, tokens, N, &e));
    for (size_t back = 0; back < 5; back++)
        CHECK(t, !memcmp(leat_session_logits(all, back), leat_session_logits(last, back),
                         m.n_vocab * sizeof(float)));
    CHECK(t, leat_session_logits(all, 5) && !leat_session_logits(last, 5));
    REQUIRE(t, !leat_session_eval(last, tokens, 2, &e));
    CHECK(t, leat_session_logits(last, 1) && !leat_session_logits(last, 2));
    leat_session_close(all);
    leat_session_close(last);
    leat_model_close(model);
}

#define TESTS(X) X(every_type) X(every_architecture) X(bad_parameter) X(last_logits_only)
TEST_SUITE(TESTS)
