/* Embeddings of all kinds of models (tests/harness/embed_spec.c): against double precision, texts together
 * against each alone, poolings, heads, lengths, thread counts, and what must be refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "reference.h"
#include "tests/harness/fixture.h"

enum { N_VOCAB = 300, N_TEXTS = 7, N_TOKENS = 128, WIDTH_MAX = 512 };

static const size_t lengths[N_TEXTS] = {5, 1, 40, 17, 2, 33, 30}; /* N_TOKENS together */

typedef struct subject {
    const arch_spec *spec;
    random_model shape;
    temp_file file;
    leat_model *model;
    leat_token tokens[N_TOKENS];
} subject;

static bool subject_open(test *t, subject *s, const arch_spec *spec, uint32_t format) {
    leat_error e = {LEAT_OK, ""};
    *s = (subject){.spec = spec, .shape = random_model_of(spec, format)};
    fill_tokens(s->tokens, N_TOKENS, N_VOCAB, 11);
    if (!temp_make(&s->file, "m.gguf")) return false;
    if (random_model_write(&s->shape, s->file.path, &e) || leat_model_open(s->file.path, NULL, &s->model, &e))
        TEST_FAIL(t, "%s, %s: %s", spec->arch, spec->variant ? spec->variant : "plain", e.message);
    return s->model;
}

static void subject_close(subject *s) {
    leat_model_close(s->model);
    temp_remove(&s->file);
}

static leat_embedder *open_as(test *t, const subject *s, leat_pooling pooling, uint32_t n_batch,
                              uint32_t n_threads, bool normalize) {
    leat_embed_params p;
    leat_embedder *em = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_embed_params_default(&p);
    CHECK(t, p.normalize && !p.truncate);
    p.n_ctx = 64;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    p.pooling = pooling;
    p.normalize = normalize;
    if (leat_embedder_open(s->model, &p, &em, &e)) TEST_FAIL(t, "%s: %s", s->spec->arch, e.message);
    return em;
}

static bool embed(test *t, leat_embedder *em, const leat_token *tokens, const size_t *n, size_t n_texts,
                  float *out) {
    leat_error e = {LEAT_OK, ""};
    if (em && !leat_embed(em, tokens, n, n_texts, out, NULL, NULL, &e)) return true;
    TEST_FAIL(t, "%s", em ? e.message : "no embedder");
    return false;
}

/* As in test_archs.c; behind norms of sums the residual is no larger than what is added. */
static double bound_of(const subject *s) {
    if (kernels_traits(s->shape.format).act == ACT_F32)
        return s->spec->both_ways ? 2e-4 : 1e-3; /* f16 cache */
    return 0.09 * sqrt((double)s->shape.n_layer);
}

/* Where quantization is compared and tokens choose experts, one may get another. */
static bool chooses(const subject *s) {
    return kernels_traits(s->shape.format).act != ACT_F32 && s->spec->experts.n;
}

static void check_hidden(test *t, const subject *s) {
    static float got[N_TOKENS * WIDTH_MAX];
    leat_embedder *em = open_as(t, s, LEAT_POOLING_NONE, 100, 2, false);
    size_t width = 0, at = 0, wrong = 0;
    if (embed(t, em, s->tokens, lengths, N_TEXTS, got))
        for (size_t i = 0; i < N_TEXTS; at += lengths[i++]) {
            double *want = reference_hidden_of(s->file.path, s->spec, s->tokens + at, lengths[i], &width);
            REQUIRE(t, want && width == leat_embedder_dims(em) && width <= WIDTH_MAX);
            for (size_t k = 0; k < lengths[i]; k++) {
                float expected[WIDTH_MAX];
                for (size_t c = 0; c < width; c++) expected[c] = (float)want[k * width + c];
                double error = relative_error(got + (at + k) * width, expected, width);
                wrong += !(error < bound_of(s));
                if (!(error < bound_of(s)) && !chooses(s))
                    TEST_FAIL(t, "%s, %s, %s: text %zu, token %zu: error %g", s->spec->arch,
                              s->spec->variant ? s->spec->variant : "plain",
                              format_get(s->shape.format)->name, i, k, error);
            }
            free(want);
        }
    if (wrong > N_TOKENS / 3) TEST_FAIL(t, "%s: %zu tokens differ", s->spec->arch, wrong);
    leat_embedder_close(em);
}

static void agrees_with_reference(test *t) {
    static const uint32_t formats[] = {FORMAT_F32, FORMAT_Q8_0, FORMAT_Q4_K};
    for (const arch_spec *spec = embed_specs; spec->arch; spec++)
        for (size_t f = 0; f < 3; f++) {
            subject s;
            if (subject_open(t, &s, spec, formats[f])) check_hidden(t, &s);
            subject_close(&s);
        }
}

/* Together, in passes of any size, by any number of threads, and each alone: the same bits. */
static void check_alone(test *t, const subject *s, leat_pooling pooling) {
    static float all[N_TOKENS * WIDTH_MAX], again[N_TOKENS * WIDTH_MAX];
    leat_embedder *em = open_as(t, s, pooling, 100, 1, true);
    size_t dims = leat_embedder_dims(em), at = 0, row = 0;
    bool scores = leat_embedder_pooling(em) == LEAT_POOLING_RANK;
    if (!embed(t, em, s->tokens, lengths, N_TEXTS, all)) return;
    for (size_t i = 0; i < N_TEXTS; at += lengths[i++]) {
        size_t rows = pooling == LEAT_POOLING_NONE ? lengths[i] : 1;
        if (!embed(t, em, s->tokens + at, &lengths[i], 1, again)) break;
        if (memcmp(again, all + row * dims, rows * dims * sizeof *all))
            TEST_FAIL(t, "%s, %s: text %zu alone is another", s->spec->arch, leat_pooling_name(pooling), i);
        row += rows;
    }
    leat_embedder_close(em);
    for (uint32_t threads = 2; threads <= 5; threads += 3) {
        em = open_as(t, s, pooling, threads == 2 ? 100 : 97, threads, true);
        if (embed(t, em, s->tokens, lengths, N_TEXTS, again) && memcmp(all, again, row * dims * sizeof *all))
            TEST_FAIL(t, "%s, %s: %u threads make another", s->spec->arch, leat_pooling_name(pooling),
                      threads);
        leat_embedder_close(em);
    }
    for (size_t i = 0; !scores && i < row; i++) {
        double square = 0;
        for (size_t c = 0; c < dims; c++) square += (double)all[i * dims + c] * (double)all[i * dims + c];
        CHECK(t, fabs(square - 1) < 1e-5);
    }
}

static void texts_do_not_see_each_other(test *t) {
    static const uint32_t formats[] = {FORMAT_F32, FORMAT_Q8_0};
    for (const arch_spec *spec = embed_specs; spec->arch; spec++)
        for (size_t f = 0; f < 2; f++) {
            subject s;
            if (subject_open(t, &s, spec, formats[f])) {
                check_alone(t, &s, LEAT_POOLING_MODEL);
                check_alone(t, &s, LEAT_POOLING_NONE);
            }
            subject_close(&s);
        }
}

/* Long texts of causal models take several passes. */
static void long_texts_are_cut_into_passes(test *t) {
    static float small[N_TEXTS * WIDTH_MAX], large[N_TEXTS * WIDTH_MAX];
    for (const arch_spec *spec = embed_specs; spec->arch; spec++) {
        subject s;
        if (!spec->both_ways && subject_open(t, &s, spec, FORMAT_F32)) {
            leat_embedder *a = open_as(t, &s, LEAT_POOLING_MEAN, 16, 2, true),
                          *b = open_as(t, &s, LEAT_POOLING_MEAN, 128, 2, true);
            if (embed(t, a, s.tokens, lengths, N_TEXTS, small) &&
                embed(t, b, s.tokens, lengths, N_TEXTS, large)) {
                double e = relative_error(small, large, N_TEXTS * leat_embedder_dims(a));
                if (!(e < 2e-3))
                    TEST_FAIL(t, "%s: cut into passes differs by %g", spec->arch, e); /* f16 cache */
            }
            leat_embedder_close(a);
            leat_embedder_close(b);
        }
        if (!spec->both_ways) subject_close(&s);
    }
}

/* Each pooling, from the vectors of tokens. */
static void poolings_pool(test *t) {
    static float tokens[N_TOKENS * WIDTH_MAX], got[N_TEXTS * WIDTH_MAX];
    subject s;
    REQUIRE(t, subject_open(t, &s, embed_specs, FORMAT_F32));
    leat_embedder *em = open_as(t, &s, LEAT_POOLING_NONE, 0, 2, false);
    size_t dims = leat_embedder_dims(em);
    embed(t, em, s.tokens, lengths, N_TEXTS, tokens);
    leat_embedder_close(em);
    for (leat_pooling p = LEAT_POOLING_MEAN; p <= LEAT_POOLING_LAST; p++) {
        em = open_as(t, &s, p, 0, 2, false);
        CHECK_EQ(t, leat_embedder_pooling(em), p);
        embed(t, em, s.tokens, lengths, N_TEXTS, got);
        for (size_t i = 0, at = 0; i < N_TEXTS; at += lengths[i++]) {
            float want[WIDTH_MAX];
            for (size_t c = 0; c < dims; c++) {
                double sum = 0;
                for (size_t k = 0; k < lengths[i]; k++) sum += (double)tokens[(at + k) * dims + c];
                want[c] = p == LEAT_POOLING_MEAN
                              ? (float)(sum / (double)lengths[i])
                              : tokens[(at + (p == LEAT_POOLING_CLS ? 0 : lengths[i] - 1)) * dims + c];
            }
            CHECK(t, relative_error(got + i * dims, want, dims) < 1e-6);
        }
        leat_embedder_close(em);
    }
    em = open_as(t, &s, LEAT_POOLING_MODEL, 0, 2, false); /* the file says cls */
    CHECK_EQ(t, leat_embedder_pooling(em), LEAT_POOLING_CLS);
    leat_embedder_close(em);
    subject_close(&s);
}

static const arch_spec *spec_named(const char *name, const char *variant) {
    const arch_spec *s = embed_specs;
    while (s->arch && (strcmp(s->arch, name) || (variant && (!s->variant || strcmp(s->variant, variant)))))
        s++;
    return s;
}

/* y (rows) = w . x + bias, of tensors by name */
static size_t product(const leat_file *f, const char *name, const char *bias_name, const double *x,
                      double *y) {
    size_t index, bias;
    leat_tensor_info info;
    static float row[4 * WIDTH_MAX], offset[4 * WIDTH_MAX];
    bool has_bias = bias_name && !leat_file_tensor_find(f, bias_name, &bias) &&
                    !leat_tensor_decode(f, bias, 0, offset, NULL);
    if (leat_file_tensor_find(f, name, &index) || leat_file_tensor(f, index, &info)) return 0;
    for (size_t r = 0; r < info.dims[1]; r++) {
        leat_tensor_decode(f, index, r, row, NULL);
        y[r] = has_bias ? (double)offset[r] : 0;
        for (size_t c = 0; c < info.dims[0]; c++) y[r] += (double)row[c] * x[c];
    }
    return info.dims[1];
}

static void heads_follow(test *t) {
    for (int rank = 0; rank < 2; rank++) {
        subject s;
        float got[WIDTH_MAX], want[WIDTH_MAX];
        double x[WIDTH_MAX] = {0}, between[4 * WIDTH_MAX], y[4 * WIDTH_MAX];
        size_t n = 30, width, rows;
        leat_file *f;
        const arch_spec *spec = rank ? spec_named("bert", "reranker") : spec_named("gemma-embedding", NULL);
        REQUIRE(t, subject_open(t, &s, spec, FORMAT_F32));
        double *hidden = reference_hidden_of(s.file.path, spec, s.tokens, n, &width);
        for (size_t k = 0; k < n; k++)
            for (size_t c = 0; c < width; c++)
                x[c] += rank ? (k == 0) * hidden[c] : hidden[k * width + c] / (double)n;
        REQUIRE(t, !leat_file_open(s.file.path, &f, NULL));
        rows = product(f, rank ? "cls.weight" : "dense_2.weight", "cls.bias", x, between);
        for (size_t c = 0; rank && c < rows; c++) between[c] = tanh(between[c]);
        rows = product(f, rank ? "cls.output.weight" : "dense_3.weight", "cls.output.bias", between, y);
        leat_embedder *em = open_as(t, &s, LEAT_POOLING_MODEL, 0, 2, false);
        CHECK_EQ(t, leat_embedder_dims(em), rows);
        CHECK_EQ(t, rows, rank ? 1 : width);
        for (size_t c = 0; c < rows; c++) want[c] = (float)y[c];
        if (embed(t, em, s.tokens, &n, 1, got)) CHECK(t, relative_error(got, want, rows) < 2e-4);
        leat_embedder_close(em);
        leat_file_close(f);
        free(hidden);
        subject_close(&s);
    }
}

static bool count_calls(void *user, size_t done, size_t total) {
    size_t *calls = user;
    ++*calls;
    return done <= total && *calls < 3;
}

static void lengths_end(test *t) {
    subject s;
    float out[WIDTH_MAX * 4], same[WIDTH_MAX];
    leat_embed_params p;
    leat_embedder *em = NULL;
    leat_error e;
    size_t calls = 0, n[4] = {30, 64, 65, 3}, few[6] = {40, 40, 40, 1, 1, 1};
    leat_token many[200];
    fill_tokens(many, 200, N_VOCAB, 4);
    REQUIRE(t, subject_open(t, &s, embed_specs, FORMAT_F32));
    leat_embed_params_default(&p);
    p.n_ctx = s.shape.n_ctx + 1;
    CHECK_EQ(t, leat_embedder_open(s.model, &p, &em, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "129") && strstr(e.message, "128") && !em);
    p.n_ctx = 64;
    REQUIRE(t, !leat_embedder_open(s.model, &p, &em, &e));
    CHECK_EQ(t, leat_embedder_n_ctx(em), 64);
    CHECK_EQ(t, leat_embed(em, many, n, 4, out, NULL, NULL, &e), LEAT_E_CONTEXT);
    CHECK(t, strstr(e.message, "text 2 has 65 tokens"));
    n[1] = 0;
    CHECK_EQ(t, leat_embed(em, many, n, 4, out, NULL, NULL, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "text 1 has no tokens"));
    many[35] = N_VOCAB;
    n[1] = 20;
    CHECK_EQ(t, leat_embed(em, many, n, 2, out, NULL, NULL, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "token 5 of text 1 is 300"));
    many[35] = 7;
    CHECK_EQ(t, leat_embed(em, many, n, 0, out, NULL, NULL, &e), LEAT_OK);
    CHECK_EQ(t, leat_embed(NULL, many, n, 1, out, NULL, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_embed(em, many, NULL, 1, out, NULL, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_embed(em, many, n, 1, NULL, NULL, NULL, &e), LEAT_E_ARG);
    leat_embedder_cancel(em);
    CHECK_EQ(t, leat_embed(em, many, n, 1, out, NULL, NULL, &e), LEAT_E_CANCELLED);
    CHECK_EQ(t, leat_embed(em, many, n, 1, out, NULL, NULL, &e), LEAT_OK);
    leat_embedder_close(em);

    /* the first 64 tokens of 100, and the last in place of the 64th where it is the end of sequence */
    p.truncate = true;
    REQUIRE(t, !leat_embedder_open(s.model, &p, &em, &e));
    for (int with_end = 0; with_end < 2; with_end++) {
        n[0] = 100, n[1] = 64;
        if (with_end) many[99] = leat_token_eos(s.model);
        CHECK_EQ(t, leat_embed(em, many, n, 1, out, NULL, NULL, &e), LEAT_OK);
        if (with_end) many[63] = many[99];
        CHECK_EQ(t, leat_embed(em, many, n + 1, 1, same, NULL, NULL, &e), LEAT_OK);
        CHECK(t, !memcmp(out, same, leat_embedder_dims(em) * sizeof *out));
    }
    leat_embedder_close(em);

    /* progress, and stopping by it: three passes */
    p.n_batch = 64;
    static float rows[6 * WIDTH_MAX];
    REQUIRE(t, !leat_embedder_open(s.model, &p, &em, &e));
    CHECK_EQ(t, leat_embed(em, many, few, 2, rows, count_calls, &calls, &e), LEAT_OK);
    CHECK_EQ(t, calls, 2);
    calls = 1;
    CHECK_EQ(t, leat_embed(em, many, few, 6, rows, count_calls, &calls, &e), LEAT_E_CANCELLED);
    leat_embedder_close(em);
    subject_close(&s);
}

static void encoders_write_no_text(test *t) {
    for (const arch_spec *spec = embed_specs; spec->arch; spec++) {
        subject s;
        leat_session *session = NULL;
        leat_error e = {LEAT_OK, ""};
        if (!subject_open(t, &s, spec, FORMAT_F32)) continue;
        leat_status st = leat_session_open(s.model, NULL, &session, &e);
        if (st != (spec->both_ways ? LEAT_E_UNSUPPORTED : LEAT_OK))
            TEST_FAIL(t, "%s: a session to write text: %d", spec->arch, (int)st);
        if (spec->both_ways) CHECK(t, strstr(e.message, "leat embed"));
        leat_session_close(session);
        subject_close(&s);
    }
}

static void wrong_wishes_are_refused(test *t) {
    subject s;
    leat_embed_params p;
    leat_embedder *em = NULL;
    leat_error e;
    REQUIRE(t, subject_open(t, &s, embed_specs, FORMAT_F32));
    leat_embed_params_default(&p);
    p.pooling = LEAT_POOLING_RANK;
    CHECK_EQ(t, leat_embedder_open(s.model, &p, &em, &e), LEAT_E_ARG);
    CHECK(t, strstr(e.message, "classifier"));
    p.pooling = (leat_pooling)77;
    CHECK_EQ(t, leat_embedder_open(s.model, &p, &em, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_embedder_open(NULL, NULL, &em, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_embedder_open(s.model, NULL, NULL, &e), LEAT_E_ARG);
    CHECK(t, !strcmp(leat_pooling_name(LEAT_POOLING_RANK), "rank") && !leat_pooling_name(6));
    leat_embedder_close(NULL);
    subject_close(&s);
}

/* Texts as they come, tokenized by the library. */
static void texts_as_they_are(test *t) {
    const leat_str texts[] = {{"w270 w280", 9}, {"", 0}, {"\xff\x00!", 3}};
    static float out[3 * WIDTH_MAX], want[WIDTH_MAX];
    leat_token tokens[32];
    size_t n = 0;
    subject s;
    leat_error e = {LEAT_OK, ""};
    REQUIRE(t, subject_open(t, &s, spec_named("llama", NULL), FORMAT_F32));
    leat_embedder *em = open_as(t, &s, LEAT_POOLING_MODEL, 0, 1, true);
    CHECK_EQ(t, leat_embed_texts(em, texts, 3, out, &e), LEAT_OK);
    REQUIRE(t, !leat_tokenize(s.model, texts[0].data, 9, LEAT_TOKENIZE_BOS, tokens, 32, &n, &e));
    if (embed(t, em, tokens, &n, 1, want)) CHECK(t, !memcmp(out, want, leat_embedder_dims(em) * sizeof *out));
    CHECK_EQ(t, leat_embed_texts(em, NULL, 1, out, &e), LEAT_E_ARG);
    leat_embedder_close(em);
    em = open_as(t, &s, LEAT_POOLING_NONE, 0, 1, true);
    CHECK_EQ(t, leat_embed_texts(em, texts, 1, out, &e), LEAT_E_ARG);
    leat_embedder_close(em);
    subject_close(&s);
}

#define TESTS(X)                                                                                             \
    X(agrees_with_reference)                                                                                 \
    X(texts_do_not_see_each_other)                                                                           \
    X(long_texts_are_cut_into_passes)                                                                        \
    X(poolings_pool)                                                                                         \
    X(heads_follow)                                                                                          \
    X(lengths_end) X(encoders_write_no_text) X(wrong_wishes_are_refused) X(texts_as_they_are)
TEST_SUITE(TESTS)
