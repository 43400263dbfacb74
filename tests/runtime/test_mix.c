/* Experts and recurrent layers: what chooses experts, models whose numbers of experts are wrong, thread
 * counts that must not show, and recurrent sessions of several turns that go back, are cancelled, and go on.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/moe.h"
#include "runtime/state.h"
#include "tests/harness/fixture.h"

enum { N_VOCAB = 300, N = 40, N_LONG = 1400 };

/* ---- routing ---- */

static void ties_go_to_the_first(test *t) {
    float logits[8] = {1, 2, 2, 0, 2, 1, 1, 1};
    moe_choice c;
    moe_route(&(moe_routing){.n_expert = 8, .n_used = 4, .gating = MOE_SOFTMAX}, logits, NULL, NULL, &c);
    CHECK_EQ(t, c.expert[0], 0);
    CHECK_EQ(t, c.expert[1], 1);
    CHECK_EQ(t, c.expert[2], 2);
    CHECK_EQ(t, c.expert[3], 4);
    CHECK(t, c.weight[1] == c.weight[3] && c.weight[0] < c.weight[1]);
}

static void bias_chooses_but_does_not_weigh(test *t) {
    const float logits[4] = {3, 0, 0, 0}, bias[4] = {-5, 0, 0.1f, 0.2f};
    moe_choice c;
    moe_route(
        &(moe_routing){.n_expert = 4, .n_used = 2, .gating = MOE_SIGMOID, .normalise = true, .scale = 3},
        logits, bias, NULL, &c);
    CHECK_EQ(t, c.expert[0], 2);
    CHECK_EQ(t, c.expert[1], 3);
    CHECK(t, fabsf(c.weight[0] - 1.5f) < 1e-6f && fabsf(c.weight[1] - 1.5f) < 1e-6f);
}

static void groups_come_first(test *t) {
    /* the best expert is alone in a weak group */
    const float logits[8] = {5, -9, 3, 3, 2, 2.5f, -9, -9};
    moe_choice c;
    moe_route(
        &(moe_routing){.n_expert = 8, .n_used = 2, .n_groups = 4, .n_groups_used = 1, .gating = MOE_SIGMOID},
        logits, NULL, NULL, &c);
    CHECK_EQ(t, c.expert[0], 2);
    CHECK_EQ(t, c.expert[1], 3);
}

static void any_logits_choose_valid_experts(test *t) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, 1e30f, -1e30f};
    uint32_t state = 1;
    for (int turn = 0; turn < 3000; turn++) {
        float logits[24], bias[24];
        moe_choice c;
        for (size_t i = 0; i < 24; i++) {
            state = state * 1664525u + 1013904223u;
            logits[i] = odd[state >> 8 & 7 ? 3 : (state >> 16) % 6] + (float)(state >> 20 & 3);
            bias[i] = odd[(state >> 24) % 6];
        }
        moe_routing r = {.n_expert = 24,
                         .n_used = 1 + (uint32_t)turn % 12,
                         .gating = (moe_gating)(1 + turn % 3),
                         .normalise = turn % 2,
                         .scale = turn % 5 ? 0 : 2};
        if (turn % 4 == 3) r.n_groups = 6, r.n_groups_used = 3;
        moe_route(&r, logits, turn % 7 ? NULL : bias, NULL, &c);
        for (size_t i = 0; i < r.n_used; i++)
            if (c.expert[i] >= 24 || (i && c.expert[i] <= c.expert[i - 1])) {
                TEST_FAIL(t, "turn %d: expert %u at %zu", turn, c.expert[i], i);
                return;
            }
    }
}

/* ---- wrong models ---- */

static const arch_spec *spec_named(const char *name, const char *variant) {
    const arch_spec *s = arch_specs;
    while (s->arch && (strcmp(s->arch, name) || (variant && (!s->variant || strcmp(s->variant, variant)))))
        s++;
    return s;
}

/* Sets the value of an integer key of a written file. */
static bool patch(const char *path, const char *key, uint32_t value) {
    FILE *f = fopen(path, "r+b");
    static char all[1 << 22];
    size_t n = f ? fread(all, 1, sizeof all, f) : 0, length = strlen(key);
    bool found = false;
    for (size_t i = 0; i + length + 8 < n && !found; i++)
        if (!memcmp(all + i, key, length) && all[i + length] == 4 && !all[i + length + 1]) {
            found = !fseek(f, (long)(i + length + 4), SEEK_SET) && fwrite(&value, 4, 1, f) == 1;
        }
    if (f) fclose(f);
    return found;
}

static void check_refused(test *t, const char *name, const char *variant, const char *key, uint32_t value,
                          leat_status want, const char *says) {
    random_model m = random_model_of(spec_named(name, variant), FORMAT_F32);
    temp_file f;
    leat_model *model = NULL;
    leat_error e = {LEAT_OK, ""};
    REQUIRE(t, temp_make(&f, "m.gguf"));
    if (random_model_write(&m, f.path, &e)) TEST_FAIL(t, "%s", e.message);
    if (!patch(f.path, key, value)) TEST_FAIL(t, "%s has no %s", name, key);
    leat_status got = leat_model_open(f.path, NULL, &model, &e);
    if (got != want || !strstr(e.message, says))
        TEST_FAIL(t, "%s with %s = %u: %d, \"%s\"", name, key, value, (int)got, got ? e.message : "");
    leat_model_close(model);
    temp_remove(&f);
}

static void wrong_numbers_are_refused(test *t) {
    const leat_status hparam = LEAT_E_HPARAM, tensor = LEAT_E_TENSOR;
    check_refused(t, "qwen3moe", NULL, "expert_used_count", 9, hparam, "expert_used_count is 9");
    check_refused(t, "qwen3moe", NULL, "expert_used_count", 0, hparam, "expert_used_count");
    check_refused(t, "qwen3moe", NULL, "expert_used_count", 65, hparam, "expert_used_count");
    check_refused(t, "qwen3moe", NULL, "expert_count", 0, hparam, "expert_count");
    check_refused(t, "qwen3moe", NULL, "expert_count", 7, tensor, "ffn_gate_inp");
    check_refused(t, "qwen3moe", NULL, "expert_count", 4000000000u, hparam, "expert_count");
    check_refused(t, "qwen3moe", NULL, "expert_feed_forward_length", 64, tensor, "ffn_gate_exps");
    check_refused(t, "qwen3moe", NULL, "expert_feed_forward_length", 4000000000u, hparam, "feed_forward");
    check_refused(t, "qwen2moe", NULL, "expert_shared_feed_forward_length", 32, tensor, "shexp");
    check_refused(t, "glm4moe", NULL, "expert_shared_count", 0, tensor, "shexp");
    check_refused(t, "glm4moe", NULL, "expert_shared_count", 2, tensor, "shexp");
    check_refused(t, "glm4moe", NULL, "leading_dense_block_count", 3, hparam, "leading_dense_block_count");
    check_refused(t, "deepseek2", NULL, "expert_group_count", 3, hparam, "expert_group_count");
    check_refused(t, "deepseek2", NULL, "expert_group_count", 8, hparam, "expert_group_count");
    check_refused(t, "deepseek2", NULL, "expert_group_used_count", 0, hparam, "expert_group_used_count");
    check_refused(t, "deepseek2", NULL, "expert_group_used_count", 1, hparam, "expert_group_used_count");
    check_refused(t, "deepseek2", NULL, "expert_gating_func", 9, LEAT_E_UNSUPPORTED, "expert_gating_func");
    check_refused(t, "deepseek2", NULL, "kv_lora_rank", 64, tensor, "attn_kv_a_mqa");
    check_refused(t, "deepseek2", NULL, "kv_lora_rank", 60000, hparam, "kv_lora_rank");
    check_refused(t, "deepseek2", NULL, "key_length_mla", 8, hparam, "key lengths");
    check_refused(t, "deepseek2", NULL, "value_length_mla", 0, hparam, "value_length_mla");
    check_refused(t, "mamba2", NULL, "ssm.inner_size", 130, hparam, "inner_size");
    check_refused(t, "mamba2", NULL, "ssm.group_count", 3, hparam, "group_count");
    check_refused(t, "mamba2", NULL, "ssm.conv_kernel", 1, hparam, "conv_kernel");
    check_refused(t, "mamba2", NULL, "ssm.state_size", 32, tensor, "ssm_in");
    check_refused(t, "qwen35", NULL, "ssm.state_size", 32, hparam, "state_size");
    check_refused(t, "qwen35", NULL, "ssm.time_step_rank", 0, hparam, "time_step_rank");
    check_refused(t, "lfm2", NULL, "shortconv.l_cache", 4, tensor, "shortconv.conv");
    check_refused(t, "lfm2", NULL, "shortconv.l_cache", 1, hparam, "l_cache");
}

/* ---- sessions ---- */

static leat_session *open_f32(test *t, leat_model *m, uint32_t n_batch, uint32_t n_threads) {
    leat_session_params p;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    leat_session_params_default(&p);
    p.n_ctx = 2048;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    p.k_type = p.v_type = LEAT_KV_F32;
    if (m && leat_session_open(m, &p, &s, &e)) TEST_FAIL(t, "%s", e.message);
    return s;
}

static bool eval(test *t, leat_session *s, const leat_token *tokens, size_t n, float *out) {
    leat_error e = {LEAT_OK, ""};
    if (!s || leat_session_eval(s, tokens, n, &e)) {
        TEST_FAIL(t, "%s", s ? e.message : "no session");
        return false;
    }
    memcpy(out, leat_session_logits(s, 0), N_VOCAB * sizeof *out);
    return true;
}

/* A prompt, then tokens one by one: the same bits for any number of threads. */
static void threads_do_not_show(test *t) {
    static const uint32_t formats[] = {FORMAT_F32, FORMAT_Q8_0};
    static float want[5][N_VOCAB], got[5][N_VOCAB];
    leat_token tokens[N];
    fill_tokens(tokens, N, N_VOCAB, 3);
    for (const arch_spec *spec = arch_specs; spec->arch; spec++)
        for (size_t f = 0; f < 2; f++) {
            random_model m = random_model_of(spec, formats[f]);
            if (spec->narrow) continue;
            m.n_ctx = 2048;
            leat_model *model = open_random(t, &m, NULL);
            for (uint32_t threads = 1; threads <= 5; threads += 2) {
                leat_session *s = open_f32(t, model, 35, threads);
                bool fine = eval(t, s, tokens, 35, got[0]);
                for (size_t i = 1; fine && i < 5; i++) fine = eval(t, s, tokens + 34 + i, 1, got[i]);
                if (threads == 1) memcpy(want, got, sizeof got);
                if (fine && memcmp(want, got, sizeof got))
                    TEST_FAIL(t, "%s, %s, %s: %u threads give other logits", spec->arch,
                              spec->variant ? spec->variant : "plain", format_get(formats[f])->name, threads);
                leat_session_close(s);
            }
            leat_model_close(model);
        }
}

/* Logits after tokens [0, n) from an empty session. */
static void fresh(test *t, leat_model *m, const leat_token *tokens, size_t n, float *out) {
    leat_session *s = open_f32(t, m, 100, 2);
    eval(t, s, tokens, n, out);
    leat_session_close(s);
}

static void check_near(test *t, const char *what, const float *got, const float *want) {
    double e = relative_error(got, want, N_VOCAB);
    if (!(e < 2e-4)) TEST_FAIL(t, "%s: error %g", what, e);
}

/* A chat goes on, goes back to the start of an answer, to the middle of a long one, and changes its mind. */
static void turns(test *t, const char *name, const char *variant) {
    static float got[N_VOCAB], want[N_VOCAB];
    leat_token tokens[N_LONG], other[N_LONG];
    random_model m = random_model_of(spec_named(name, variant), FORMAT_F32);
    m.n_ctx = 2048;
    leat_model *model = open_random(t, &m, NULL);
    leat_session *s = open_f32(t, model, 100, 2);
    fill_tokens(tokens, N_LONG, N_VOCAB, 5);
    if (!eval(t, s, tokens, 150, got)) return;
    for (size_t i = 150; i < 180; i++) eval(t, s, tokens + i, 1, got);
    eval(t, s, tokens + 180, N_LONG - 180, got);
    fresh(t, model, tokens, N_LONG, want);
    check_near(t, "three turns", got, want);

    static const size_t places[] = {1399, 1200, 700, 180, 165, 150, 99, 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        memcpy(other, tokens, sizeof tokens);
        for (size_t at = places[i]; at < N_LONG; at++) other[at] = (tokens[at] + 11) % N_VOCAB;
        CHECK_EQ(t, leat_session_rewind(s, places[i]), LEAT_OK);
        CHECK_EQ(t, leat_session_length(s), places[i]);
        CHECK(t, !leat_session_logits(s, 0));
        if (!eval(t, s, other + places[i], 1, got)) break;
        fresh(t, model, other, places[i] + 1, want);
        check_near(t, name, got, want);
        CHECK_EQ(t, leat_session_rewind(s, places[i]), LEAT_OK);
        eval(t, s, tokens + places[i], N_LONG - places[i], got);
        fresh(t, model, tokens, N_LONG, want);
        check_near(t, "back on the way", got, want);
    }
    CHECK_EQ(t, leat_session_rewind(s, 0), LEAT_OK);
    eval(t, s, tokens, 30, got);
    fresh(t, model, tokens, 30, want);
    check_near(t, "from the start", got, want);
    leat_session_close(s);
    leat_model_close(model);
}

static void recurrent_sessions_go_back(test *t) {
    turns(t, "mamba2", NULL);
    turns(t, "qwen3next", NULL);
    turns(t, "lfm2", NULL);
}

/* A pass that was given up leaves no trace. */
static void cancelled_passes_leave_no_trace(test *t) {
    static float got[N_VOCAB], want[N_VOCAB];
    leat_token tokens[N];
    leat_error e;
    fill_tokens(tokens, N, N_VOCAB, 9);
    random_model m = random_model_of(spec_named("qwen35", NULL), FORMAT_F32);
    leat_model *model = open_random(t, &m, NULL);
    leat_session *s = open_f32(t, model, 16, 2);
    if (!eval(t, s, tokens, 10, got)) return;
    for (int i = 0; i < 5; i++) {
        leat_session_cancel(s);
        CHECK_EQ(t, leat_session_eval(s, tokens + 10, 20, &e), LEAT_E_CANCELLED);
        CHECK_EQ(t, leat_session_length(s), 10);
    }
    CHECK_EQ(t, leat_session_rewind(s, 5), LEAT_OK);
    leat_session_cancel(s); /* while it catches up */
    CHECK_EQ(t, leat_session_eval(s, tokens + 5, 3, &e), LEAT_E_CANCELLED);
    eval(t, s, tokens + 5, N - 5, got);
    fresh(t, model, tokens, N, want);
    check_near(t, "after cancelling", got, want);
    leat_session_close(s);
    leat_model_close(model);
}

/* Copies: as many as fit, spread over the session, the last always there. */
static void copies_are_spread(test *t) {
    state_cache c;
    REQUIRE(t, !state_open(&c, 100, NULL));
    CHECK_EQ(t, c.n_copies, STATE_COPIES_MAX);
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < 100; j++) c.side[c.now ^ 1][j] = (float)i;
        state_commit(&c, 64);
        state_keep(&c);
    }
    CHECK_EQ(t, c.n_copied, STATE_COPIES_MAX);
    CHECK_EQ(t, c.copied[STATE_COPIES_MAX - 1], 500 * 64);
    for (size_t i = 1; i < c.n_copied; i++) CHECK(t, c.copied[i] > c.copied[i - 1]);
    state_rewind(&c, 20000);
    CHECK(t, c.length <= 20000 && c.length > 10000);
    CHECK(t, c.side[c.now][7] == (float)(c.length / 64 - 1));
    state_rewind(&c, 10);
    CHECK_EQ(t, c.length, 0);
    CHECK(t, c.side[c.now][0] == 0.0f);
    state_close(&c);
    CHECK_EQ(t, state_bytes(0), 0);
    CHECK_EQ(t, state_bytes(SIZE_MAX / 2), SIZE_MAX);
}

#define TESTS(X)                                                                                             \
    X(ties_go_to_the_first)                                                                                  \
    X(bias_chooses_but_does_not_weigh)                                                                       \
    X(groups_come_first)                                                                                     \
    X(any_logits_choose_valid_experts)                                                                       \
    X(wrong_numbers_are_refused)                                                                             \
    X(threads_do_not_show)                                                                                   \
    X(recurrent_sessions_go_back) X(cancelled_passes_leave_no_trace) X(copies_are_spread)
TEST_SUITE(TESTS)
