/* The forward pass against references: double precision for every weight type on every ISA, one batch size
 * against another, one thread count against another. Types come from kernels.def, ISAs from the machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "reference.h"
#include "tests/harness/fixture.h"

enum { N = 40 };

static const uint32_t weight_formats[] = {
#define W(name, NAME, act, panel) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef W
};
enum { N_FORMATS = sizeof weight_formats / sizeof *weight_formats };

static bool eval(test *t, leat_session *s, const leat_token *tokens, size_t n) {
    leat_error e;
    leat_status st = leat_session_eval(s, tokens, n, &e);
    if (st) TEST_FAIL(t, "%s", e.message);
    return st == LEAT_OK;
}

/* Logits of the last of n tokens, evaluated in batches of `batch`; zeros after a failed check. */
static void logits_of_types(test *t, leat_model *m, leat_kv_type k, leat_kv_type v, size_t n, uint32_t batch,
                            uint32_t threads, float *out, size_t n_vocab) {
    leat_token tokens[N];
    memset(out, 0, n_vocab * sizeof *out);
    fill_tokens(tokens, n, (uint32_t)n_vocab, 7);
    leat_session_params p;
    leat_session *s = NULL;
    leat_session_params_default(&p);
    p.n_ctx = 64;
    p.n_batch = batch;
    p.n_threads = threads;
    p.k_type = k;
    p.v_type = v;
    if (m && leat_session_open(m, &p, &s, NULL)) TEST_FAIL(t, "no session");
    if (s && eval(t, s, tokens, n)) memcpy(out, leat_session_logits(s, 0), n_vocab * sizeof *out);
    leat_session_close(s);
}

static void last_logits(test *t, leat_model *m, leat_kv_type kv, size_t n, uint32_t batch, uint32_t threads,
                        float *out, size_t n_vocab) {
    logits_of_types(t, m, kv, kv, n, batch, threads, out, n_vocab);
}

/* Int8 activations cost about 5e-3 of a vector's length per product (a uniform error of half a step of
 * max/127); two layers of four products in a row, and float weights only rounding. The bound leaves a factor
 * of five. */
static double bound(uint32_t format) {
    return kernels_traits(format).act == ACT_F32 ? 2e-4 : 0.06;
}

/* The engine treats types alike that have the same activations and panels. What doesn't depend on the type is
 * tested with the first of each kind on every ISA, with the others on the best one only: their kernels have
 * tests of their own. */
static bool first_of_its_kind(size_t i) {
    const weight_traits own = kernels_traits(weight_formats[i]);
    for (size_t j = 0; j < i; j++) {
        const weight_traits other = kernels_traits(weight_formats[j]);
        if (other.act == own.act && other.panel == own.panel) return false;
    }
    return true;
}

static bool passed_over(size_t i, size_t isa) {
    return !first_of_its_kind(i) && leat_isa(isa + 1);
}

static void agrees_with_reference(test *t) {
    leat_token tokens[N];
    for (size_t i = 0; i < 2 * N_FORMATS; i++) {
        if (i % 2 && !first_of_its_kind(i / 2)) continue;
        random_model m = random_model_small(weight_formats[i / 2]);
        temp_file f;
        size_t n_vocab = 0;
        m.biased = i % 2;
        m.tied = i % 2;
        fill_tokens(tokens, N, m.n_vocab, 7);
        REQUIRE(t, temp_make(&f, "m.gguf"));
        REQUIRE(t, !random_model_write(&m, f.path, NULL));
        double *want = reference_logits(f.path, tokens, N, &n_vocab);
        temp_remove(&f);
        REQUIRE(t, want && n_vocab == m.n_vocab);
        float *expected = malloc(n_vocab * sizeof(float)), *got = malloc(n_vocab * sizeof(float));
        for (size_t v = 0; v < n_vocab; v++) expected[v] = (float)want[(N - 1) * n_vocab + v];
        for (size_t isa = 0; leat_isa(isa); isa++) {
            leat_model *model = open_random(t, &m, leat_isa(isa));
            for (uint32_t batch = 1; batch <= N; batch += N - 1) {
                last_logits(t, model, LEAT_KV_F32, N, batch, 2, got, n_vocab);
                double e = relative_error(got, expected, n_vocab);
                if (!(e < bound(m.format)))
                    TEST_FAIL(t, "%s%s on %s in batches of %u: error %g", format_get(m.format)->name,
                              i % 2 ? " biased, tied" : "", leat_isa(isa), batch, e);
            }
            leat_model_close(model);
        }
        free(want), free(expected), free(got);
    }
}

static void batches_agree(test *t) {
    static const uint32_t batches[] = {1, 2, 3, 7, 16, 35};
    for (size_t i = 0; i < N_FORMATS; i++) {
        random_model m = random_model_small(weight_formats[i]);
        float first[300], other[300];
        kernels k;
        for (size_t isa = 0; leat_isa(isa); isa++) {
            if (passed_over(i, isa)) continue;
            leat_model *model = open_random(t, &m, leat_isa(isa));
            last_logits(t, model, LEAT_KV_F16, 35, 1, 1, first, m.n_vocab);
            for (size_t b = 1; b < sizeof batches / sizeof *batches; b++) {
                last_logits(t, model, LEAT_KV_F16, 35, batches[b], 1, other, m.n_vocab);
                /* the same products in another order; what it costs is a rounding of an activation now and
                 * then. With tiles the activations of a large batch are rounded differently. */
                double e = relative_error(other, first, m.n_vocab);
                bool same = kernels_init(&k, leat_isa(isa)) && !k.tiles_mul;
                if (!(e < (same ? bound(m.format) / 2 : bound(m.format))))
                    TEST_FAIL(t, "%s on %s: batches of %u differ from 1 by %g", format_get(m.format)->name,
                              leat_isa(isa), batches[b], e);
            }
            leat_model_close(model);
        }
    }
}

static void threads_change_no_bit(test *t) {
    for (size_t i = 0; i < N_FORMATS; i++) {
        random_model m = random_model_small(weight_formats[i]);
        float one[2][300], many[300];
        for (size_t isa = 0; leat_isa(isa); isa++) {
            if (passed_over(i, isa)) continue;
            leat_model *model = open_random(t, &m, leat_isa(isa));
            last_logits(t, model, LEAT_KV_F16, 12, 1, 1, one[0], m.n_vocab);
            last_logits(t, model, LEAT_KV_F16, 12, 12, 1, one[1], m.n_vocab);
            for (uint32_t threads = 2; threads <= 8;
                 threads += leat_isa(isa + 1) ? 3 : 1) /* all counts on the best */
                for (int batched = 0; batched < 2; batched++) {
                    last_logits(t, model, LEAT_KV_F16, 12, batched ? 12 : 1, threads, many, m.n_vocab);
                    if (memcmp(many, one[batched], sizeof many))
                        TEST_FAIL(t, "%s on %s: %u threads differ from one (%s)", format_get(m.format)->name,
                                  leat_isa(isa), threads, batched ? "batch" : "token by token");
                }
            leat_model_close(model);
        }
    }
}

/* What a type of the cache costs in logits: two to three times its relative error on such numbers
 * (test_encode.c measures that), of which a seldom token may see more. */
static double cache_bound(leat_kv_type type) {
    switch (type) {
    case LEAT_KV_F32: return 1e-6;
    case LEAT_KV_F16: return 1e-3;
    case LEAT_KV_BF16: return 5e-3;
    case LEAT_KV_Q8_0: return 0.015;
    case LEAT_KV_Q5_0: return 0.12;
    default: return 0.24;
    }
}

static void check_cache(test *t, leat_model *model, const char *isa, leat_kv_type k, leat_kv_type v,
                        size_t n_vocab, const float *want) {
    float got[300], again[300];
    for (uint32_t batch = 1; batch <= N; batch += N - 1) {
        logits_of_types(t, model, k, v, N, batch, 1, got, n_vocab);
        double e = relative_error(got, want, n_vocab);
        if (!(e < cache_bound(k) + cache_bound(v)))
            TEST_FAIL(t, "%s with %s on %s, batches of %u: error %g", leat_kv_type_name(k),
                      leat_kv_type_name(v), isa, batch, e);
        if (k != v) continue;
        logits_of_types(t, model, k, v, N, batch, 2, again, n_vocab);
        if (memcmp(got, again, n_vocab * sizeof *got))
            TEST_FAIL(t, "%s on %s, batches of %u: threads change bits", leat_kv_type_name(k), isa, batch);
    }
}

/* Cache types are near float32, token by token and as a batch, and threads change no bit: every type on every
 * set of instructions, every pair on the best. */
static void cache_types_are_close(test *t) {
    random_model m = random_model_small(FORMAT_F32);
    float want[300];
    size_t n_types = 0;
    while (leat_kv_type_name(n_types)) n_types++;
    for (size_t isa = 0; leat_isa(isa); isa++) {
        leat_model *model = open_random(t, &m, leat_isa(isa));
        last_logits(t, model, LEAT_KV_F32, N, N, 1, want, m.n_vocab);
        for (size_t k = 0; k < n_types; k++)
            for (size_t v = 0; v < n_types; v++)
                if (k == v || !leat_isa(isa + 1))
                    check_cache(t, model, leat_isa(isa), (leat_kv_type)k, (leat_kv_type)v, m.n_vocab, want);
        leat_model_close(model);
    }
}

/* A shape that no vector length likes: odd head size, heads shared by three, sizes that are no multiple of a
 * block. */
static void odd_shapes(test *t) {
    random_model m = {.arch = "llama",
                      .n_vocab = 261,
                      .n_ctx = 64,
                      .n_embd = 36,
                      .n_layer = 2,
                      .n_ff = 70,
                      .n_head = 6,
                      .n_head_kv = 2,
                      .head_dim = 10,
                      .seed = 3};
    leat_token tokens[N];
    temp_file f;
    size_t n_vocab = 0;
    fill_tokens(tokens, N, m.n_vocab, 7);
    REQUIRE(t, temp_make(&f, "m.gguf"));
    REQUIRE(t, !random_model_write(&m, f.path, NULL));
    double *want = reference_logits(f.path, tokens, N, &n_vocab);
    temp_remove(&f);
    REQUIRE(t, want && n_vocab == m.n_vocab);
    float expected[261], got[261];
    for (size_t v = 0; v < n_vocab; v++) expected[v] = (float)want[(N - 1) * n_vocab + v];
    for (size_t isa = 0; leat_isa(isa); isa++) {
        leat_model *model = open_random(t, &m, leat_isa(isa));
        for (uint32_t batch = 1; batch <= 13; batch += 6) {
            last_logits(t, model, LEAT_KV_F32, N, batch, 3, got, n_vocab);
            double e = relative_error(got, expected, n_vocab);
            if (!(e < bound(FORMAT_F32)))
                TEST_FAIL(t, "%s, batches of %u: error %g", leat_isa(isa), batch, e);
        }
        leat_model_close(model);
    }
    free(want);
}

/* Every row that logits_all keeps is what a session of its own gives for that token. */
static void all_logits(test *t) {
    random_model m = random_model_small(FORMAT_Q8_0);
    leat_model *model = open_random(t, &m, NULL);
    leat_token tokens[12];
    leat_session_params p;
    leat_session *s = NULL;
    fill_tokens(tokens, 12, m.n_vocab, 5);
    leat_session_params_default(&p);
    p.logits_all = true;
    REQUIRE(t, !leat_session_open(model, &p, &s, NULL));
    CHECK(t, leat_session_logits(s, 0) == NULL);
    if (!eval(t, s, tokens, 12)) return;
    for (size_t back = 0; back < 12; back++) {
        leat_session *one = open_session(t, model, 64, 64, 1);
        if (eval(t, one, tokens, 12 - back))
            CHECK(t, relative_error(leat_session_logits(s, back), leat_session_logits(one, 0), m.n_vocab) <
                         0.03);
        leat_session_close(one);
    }
    CHECK(t, leat_session_logits(s, 12) == NULL);
    leat_session_close(s);
    leat_model_close(model);
}

#define TESTS(X)                                                                                             \
    X(agrees_with_reference)                                                                                 \
    X(batches_agree) X(threads_change_no_bit) X(cache_types_are_close) X(odd_shapes) X(all_logits)
TEST_SUITE(TESTS)
