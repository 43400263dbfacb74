/* Forgetting from the middle of a session: keys are what they would be at their new positions, for every
 * architecture and kind of rotation, and the session goes on sensibly. Models of random weights; fed with one
 * token again and again, all that a layer keeps of it differs by the position's rotation only, so that before
 * and after must be the same at the same place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "runtime/session.h"
#include "tests/harness/fixture.h"

enum { N_VOCAB = 300, N = 60, FROM = 5, TO = 28, LEFT = N - (TO - FROM), DIM_MAX = 600 };

static leat_session *open_types(test *t, leat_model *m, uint32_t n_ctx, leat_kv_type type) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = n_ctx;
    p.n_batch = 32;
    p.n_threads = 1;
    p.k_type = p.v_type = type;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

static leat_model *open_spec(test *t, const arch_spec *spec) {
    random_model m = random_model_of(spec, FORMAT_F32);
    m.n_ctx = 4096;
    return open_random(t, &m, NULL);
}

static const arch_spec *spec_named(const char *name) {
    const arch_spec *s = arch_specs;
    while (s->arch && strcmp(s->arch, name)) s++;
    return s;
}

/* All keys and values of a layer as floats, (n_head, LEFT, row). */
static size_t snapshot(const leat_session *s, size_t layer, bool values, float *out) {
    const kv_layer *l = &s->kv.layer[layer];
    const kv_shape *shape = &s->plan.kv[layer];
    size_t dim = values ? shape->dim_v : shape->dim_k, at = 0;
    for (size_t h = 0; h < l->n_head; h++)
        for (size_t p = 0; p < LEFT; p++, at += dim)
            s->model->kernels.decode[values ? s->kv.v_format : s->kv.k_format](
                values ? kv_value(&s->kv, layer, h, p) : kv_key(&s->kv, layer, h, p), out + at, dim);
    return at;
}

/* The same token all along. `bound`: of the relative error. */
static void same_places(test *t, const char *what, leat_model *m, leat_kv_type type, size_t n_layer,
                        double bound) {
    leat_token tokens[N];
    leat_error e = {LEAT_OK, ""};
    leat_session *s = open_types(t, m, 128, type);
    static float before[8 * LEFT * DIM_MAX], after[8 * LEFT * DIM_MAX];
    for (size_t i = 0; i < N; i++) tokens[i] = 7;
    REQUIRE(t, s && !leat_session_eval(s, tokens, N, &e));
    if (n_layer > s->kv.n_layer) n_layer = s->kv.n_layer;
    leat_session *moved = open_types(t, m, 128, type);
    REQUIRE(t, moved && !leat_session_eval(moved, tokens, N, &e));
    leat_status st = leat_session_drop(moved, FROM, TO, &e);
    if (st) TEST_FAIL(t, "%s: %s", what, e.message);
    CHECK_EQ(t, leat_session_length(moved), LEFT);
    for (size_t i = 0; !st && i < n_layer; i++)
        for (int values = 0; values < 2; values++) {
            size_t n = snapshot(s, i, values, before);
            snapshot(moved, i, values, after);
            double error = n ? relative_error(after, before, n) : 0.0, largest = 0.0;
            for (size_t k = 0; k < n; k++) largest = fmax(largest, fabs((double)after[k] - before[k]));
            if (!(error <= bound) || (bound < 1e-5 && largest > 1e-5 * fmax(1.0, fabs((double)before[0]))))
                TEST_FAIL(t, "%s: %s of layer %zu differ by %g, at most %g", what, values ? "values" : "keys",
                          i, error, largest);
        }
    leat_session_close(s);
    leat_session_close(moved);
}

static void every_architecture_turns_keys(test *t) {
    size_t turned = 0;
    for (const arch_spec *spec = arch_specs; spec->arch; spec++) {
        if (spec->narrow || spec->mixer || spec->positions) continue;
        char what[100];
        snprintf(what, sizeof what, "%s %s", spec->arch, spec->variant ? spec->variant : "");
        leat_model *m = open_spec(t, spec);
        /* sinks take a share of the attention that depends on how many keys there are */
        same_places(t, what, m, LEAT_KV_F32, spec->sinks ? 1 : 100, 3e-6);
        leat_model_close(m);
        turned++;
    }
    CHECK(t, turned > 30);
}

static void every_type_turns_keys(test *t) {
    static const double bounds[] = {
        [LEAT_KV_F16] = 1e-3, [LEAT_KV_F32] = 3e-6, [LEAT_KV_BF16] = 8e-3,  [LEAT_KV_Q8_0] = 0.02,
        [LEAT_KV_Q4_0] = 0.2, [LEAT_KV_Q5_0] = 0.1, [LEAT_KV_IQ4_NL] = 0.2,
    };
    random_model shape = random_model_small(FORMAT_F32);
    leat_model *m = open_random(t, &shape, NULL);
    for (size_t type = 0; leat_kv_type_name(type); type++)
        same_places(t, leat_kv_type_name(type), m, (leat_kv_type)type, 100, bounds[type]);
    leat_model_close(m);
}

/* With one layer nothing of a forgotten token stays anywhere: what is left is what a session would be that
 * never saw it. */
static void one_layer_forgets_without_trace(test *t) {
    random_model shape = random_model_small(FORMAT_F32);
    leat_token tokens[N + 3], kept[N];
    leat_error e = {LEAT_OK, ""};
    shape.n_layer = 1;
    leat_model *m = open_random(t, &shape, NULL);
    leat_session *s = open_types(t, m, 128, LEAT_KV_F32), *fresh = open_types(t, m, 128, LEAT_KV_F32);
    fill_tokens(tokens, N + 3, N_VOCAB, 5);
    memcpy(kept, tokens, FROM * sizeof *kept);
    memcpy(kept + FROM, tokens + TO, (N - TO) * sizeof *kept);
    REQUIRE(t, s && fresh && !leat_session_eval(s, tokens, N, &e));
    CHECK_EQ(t, leat_session_drop(s, FROM, TO, &e), LEAT_OK);
    size_t n;
    const leat_token *held = leat_session_tokens(s, &n);
    CHECK(t, n == LEFT && !memcmp(held, kept, n * sizeof *kept));
    CHECK(t, leat_session_logits(s, 0)); /* of a token that is still the last */
    CHECK_EQ(t, leat_session_eval(fresh, kept, LEFT, &e), LEAT_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(t, leat_session_eval(s, tokens + N + i, 1, &e), LEAT_OK);
        CHECK_EQ(t, leat_session_eval(fresh, tokens + N + i, 1, &e), LEAT_OK);
        double error = relative_error(leat_session_logits(s, 0), leat_session_logits(fresh, 0), N_VOCAB);
        if (!(error < 1e-5)) TEST_FAIL(t, "token %zu: logits differ by %g", i, error);
    }
    leat_session_close(s);
    leat_session_close(fresh);
    leat_model_close(m);
}

static void what_can_not_move_says_so(test *t) {
    static const struct {
        const char *arch, *says;
    } cases[] = {{"gpt2", "learned positions"}, {"mamba2", "recurrent"}, {"qwen3next", "recurrent"}};
    leat_token tokens[N];
    leat_error e = {LEAT_OK, ""};
    fill_tokens(tokens, N, N_VOCAB, 5);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        leat_model *m = open_spec(t, spec_named(cases[i].arch));
        leat_session *s = open_types(t, m, 128, LEAT_KV_F16);
        REQUIRE(t, s && !leat_session_eval(s, tokens, N, &e));
        CHECK_EQ(t, leat_session_drop(s, FROM, TO, &e), LEAT_E_UNSUPPORTED);
        if (!strstr(e.message, cases[i].says)) TEST_FAIL(t, "%s: %s", cases[i].arch, e.message);
        CHECK_EQ(t, leat_session_length(s), N);
        CHECK_EQ(t, leat_session_drop(s, FROM, N, &e), LEAT_OK); /* the end can always go */
        CHECK_EQ(t, leat_session_length(s), FROM);
        leat_session_close(s);
        leat_model_close(m);
    }
    leat_model *m = open_spec(t, spec_named("llama"));
    leat_session *s = open_types(t, m, 128, LEAT_KV_F16);
    REQUIRE(t, s && !leat_session_eval(s, tokens, N, &e));
    CHECK_EQ(t, leat_session_drop(s, 5, N + 1, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_drop(s, 6, 5, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_drop(s, 6, 6, &e), LEAT_OK);
    CHECK_EQ(t, leat_session_drop(NULL, 6, 6, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_session_length(s), N);
    CHECK_EQ(t, leat_session_drop(s, 0, N, &e), LEAT_OK);
    CHECK_EQ(t, leat_session_length(s), 0);
    leat_session_close(s);
    leat_model_close(m);
}

/* Layers whose windows have moved on keep their last rows, turned; where these are not enough, nothing
 * changes. */
static void windows_that_moved(test *t) {
    enum { LONG = 600 };
    leat_token *tokens = malloc(LONG * sizeof *tokens);
    leat_error e = {LEAT_OK, ""};
    leat_model *m = open_spec(t, spec_named("gemma2"));
    leat_session *s = open_types(t, m, 1024, LEAT_KV_F32), *same = open_types(t, m, 1024, LEAT_KV_F32);
    REQUIRE(t, tokens && s && same);
    for (size_t i = 0; i < LONG; i++) tokens[i] = 9;
    CHECK_EQ(t, leat_session_eval(s, tokens, LONG, &e), LEAT_OK);
    CHECK_EQ(t, leat_session_eval(same, tokens, LONG, &e), LEAT_OK);
    CHECK(t, s->kv.layer[0].base > 200);
    /* the last tokens but one: the window of the next would reach what is gone */
    CHECK_EQ(t, leat_session_drop(s, 300, LONG - 1, &e), LEAT_E_STATE);
    CHECK(t, strstr(e.message, "window") && leat_session_length(s) == LONG);
    size_t base = s->kv.layer[0].base;
    CHECK_EQ(t, leat_session_drop(s, 10, 110, &e), LEAT_OK);
    CHECK_EQ(t, s->kv.layer[0].base, base - 100);
    for (size_t i = 0; i < s->kv.n_layer; i++) {
        const kv_layer *a = &s->kv.layer[i], *b = &same->kv.layer[i];
        for (size_t p = a->base > b->base ? a->base : b->base; p < LONG - 100; p++) {
            double error = relative_error(kv_key(&s->kv, i, 0, p), kv_key(&same->kv, i, 0, p), a->k_row / 4);
            if (!(error < 1e-5)) TEST_FAIL(t, "layer %zu, key %zu differs by %g", i, p, error);
        }
    }
    /* all tokens being the same, so is what follows */
    CHECK_EQ(t, leat_session_eval(s, tokens, 3, &e), LEAT_OK);
    CHECK_EQ(t, leat_session_eval(same, tokens, 3, &e), LEAT_OK);
    CHECK(t, relative_error(leat_session_logits(s, 0), leat_session_logits(same, 0), N_VOCAB) < 1e-4);
    leat_session_close(s);
    leat_session_close(same);
    leat_model_close(m);
    free(tokens);
}

#define TESTS(X)                                                                                             \
    X(every_architecture_turns_keys)                                                                         \
    X(every_type_turns_keys)                                                                                 \
    X(one_layer_forgets_without_trace) X(what_can_not_move_says_so) X(windows_that_moved)
TEST_SUITE(TESTS)
