/* Samplers and grammars through leat.h, with a real (small, random) model: what a file recommends, ends of
 * generations, texts by grammars to the end with every kind of sampler, resets, arguments that make no sense.
 */
#include <math.h>
#include <stdlib.h>

#include "json_check.h"
#include "kernels/formats.h"
#include "runtime/leat.h"
#include "tests/harness/fixture.h"
#include "tests/harness/test.h"
#include "tests/loader/gguf_build.h"

static void recommendations(test *t) {
    temp_file f;
    leat_model *m;
    leat_error e;
    leat_sampler_params p, d;
    REQUIRE(t, temp_make(&f, "model.gguf"));
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a"};
    const float scores[4] = {0};
    const int32_t types[4] = {2, 3, 3, 1};
    build *b = build_open();
    build_str(b, "general.architecture", "llama");
    build_str(b, "tokenizer.ggml.model", "llama");
    build_str_array(b, "tokenizer.ggml.tokens", tokens, 4);
    build_array(b, "tokenizer.ggml.scores", GGUF_F32, scores, 4);
    build_array(b, "tokenizer.ggml.token_type", GGUF_I32, types, 4);
    build_str(b, "general.sampling.sequence", "top_k;unheard_of;temp;top_k");
    build_i32(b, "general.sampling.top_k", 20);
    build_f32(b, "general.sampling.top_p", 0.8f);
    build_f64(b, "general.sampling.min_p", 0.01);
    build_u8(b, "general.sampling.temp", 1);
    build_i32(b, "general.sampling.penalty_last_n", -1);
    build_f32(b, "general.sampling.penalty_repeat", NAN); /* no value: passed over */
    build_str(b, "general.sampling.xtc_probability", "0.5");
    build_f32(b, "general.sampling.xtc_threshold", 0.2f);
    build_i32(b, "general.sampling.mirostat", 2);
    build_f32(b, "general.sampling.mirostat_tau", 4);
    build_f32(b, "general.sampling.mirostat_eta", 0.05f);
    bool saved = build_save(b, f.path);
    build_close(b);
    leat_model_params vocab_only = {.vocab_only = true};
    leat_status status = leat_model_open(f.path, &vocab_only, &m, &e);
    temp_remove(&f);
    REQUIRE(t, saved && !status);
    leat_sampler_params_default(&d);
    leat_sampler_params_model(m, &p);
    CHECK(t, p.order[0] == LEAT_STEP_TOP_K && p.order[1] == LEAT_STEP_TEMPERATURE && !p.order[2]);
    CHECK(t, p.top_k == 20 && fabsf(p.top_p - 0.8f) < 1e-6f && fabsf(p.min_p - 0.01f) < 1e-6f);
    CHECK(t, fabsf(p.temp - 1) < 1e-6f && p.repeat_last_n == -1 &&
                 fabsf(p.repeat_penalty - d.repeat_penalty) < 1e-6f);
    CHECK(t, fabsf(p.xtc_probability) < 1e-6f && fabsf(p.xtc_threshold - 0.2f) < 1e-6f);
    CHECK(t, p.mirostat == 2 && fabsf(p.mirostat_tau - 4) < 1e-6f && fabsf(p.mirostat_eta - 0.05f) < 1e-6f);
    leat_sampler_params_model(NULL, &p);
    CHECK(t, !memcmp(&p, &d, sizeof p));
    leat_model_close(m);
}

/* Samples from a session until the end; the text's length. */
static size_t run(test *t, leat_session *session, leat_sampler *sampler, unsigned most, char *text,
                  size_t room) {
    leat_model *m = leat_session_model(session);
    leat_token token = leat_token_bos(m);
    leat_error e;
    size_t n = 0;
    leat_session_rewind(session, 0);
    for (unsigned i = 0; i < most; i++) {
        if (leat_session_eval(session, &token, 1, &e) || leat_sampler_next(sampler, session, &token, &e)) {
            TEST_FAIL(t, "after %.*s: %s", (int)n, text, e.message);
            break;
        }
        if (leat_token_is_end(m, token)) break;
        leat_str piece = leat_token_text(m, token, false);
        if (n + piece.size > room) break;
        memcpy(text + n, piece.data, piece.size);
        n += piece.size;
        if (leat_sampler_must_end(sampler)) break;
    }
    return n;
}

static void constrained_by_every_sampler(test *t) {
    random_model r = random_model_small(FORMAT_F32);
    leat_model *m = open_random(t, &r, NULL);
    REQUIRE(t, m != NULL);
    leat_session *session = open_session(t, m, 120, 8, 1);
    leat_grammar *schema, *date;
    leat_error e;
    const char *json =
        "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":999},"
        "\"s\":{\"type\":\"string\",\"maxLength\":4},\"b\":{\"type\":\"array\",\"items\":{\"enum\":[true,"
        "false]},\"maxItems\":3}},\"required\":[\"n\",\"s\",\"b\"]}";
    const char *regex = "20\\d\\d-(0[1-9]|1[0-2])";
    REQUIRE(t, session && !leat_grammar_open_schema(m, json, strlen(json), &schema, &e));
    REQUIRE(t, !leat_grammar_open_regex(m, regex, strlen(regex), &date, &e));
    for (int kind = 0; kind < 9; kind++) {
        leat_sampler_params p;
        leat_sampler *sampler;
        leat_sampler_params_default(&p);
        p.seed = 100 + (uint32_t)kind;
        if (kind == 1) p.temp = 0;
        if (kind == 2) p.mirostat = 1;
        if (kind == 3) p.mirostat = 2;
        if (kind == 4) p.typ_p = 0.5f;
        if (kind == 5) p.xtc_probability = 1;
        if (kind == 6) p.dry_multiplier = p.repeat_penalty = 2;
        if (kind == 7) p.adaptive_target = 0.4f;
        if (kind == 7) CHECK_EQ(t, leat_sampler_order(&p, "ma", true, NULL), LEAT_OK);
        p.ignore_eos = kind == 8;
        p.n_probs = 3;
        REQUIRE(t, !leat_sampler_open(m, &p, &sampler, &e));
        CHECK(t, leat_sampler_can_end(sampler) && !leat_sampler_must_end(sampler));
        char text[2][2000];
        size_t n[2], where;
        CHECK_EQ(t, leat_sampler_set_grammar(sampler, schema, &e), LEAT_OK);
        for (int again = 0; again < 2; again++) {
            n[again] = run(t, session, sampler, 115, text[again], sizeof text[0]);
            if (leat_sampler_can_end(sampler)) CHECK(t, json_valid(text[again], n[again], &where));
            leat_sampler_reset(sampler);
        }
        if (n[0] != n[1] || memcmp(text[0], text[1], n[0]))
            TEST_FAIL(t, "%d: %.*s and %.*s from one seed", kind, (int)n[0], text[0], (int)n[1], text[1]);
        CHECK_EQ(t, leat_sampler_set_grammar(sampler, date, &e), LEAT_OK);
        n[0] = run(t, session, sampler, 100, text[0], sizeof text[0]);
        CHECK(t, n[0] == 7 && leat_sampler_can_end(sampler) && leat_sampler_must_end(sampler));
        CHECK_EQ(t, leat_sampler_set_grammar(sampler, NULL, &e), LEAT_OK);
        leat_sampler_close(sampler);
    }
    leat_grammar_close(schema);
    leat_grammar_close(date);
    leat_session_close(session);
    leat_model_close(m);
}

/* Never the end with ignore_eos; exactly the end where a grammar leaves nothing else. */
static void ends(test *t) {
    random_model r = random_model_small(FORMAT_F32);
    leat_model *m = open_random(t, &r, NULL);
    REQUIRE(t, m != NULL);
    leat_session *session = open_session(t, m, 32, 8, 1);
    leat_sampler_params p;
    leat_sampler *sampler;
    leat_grammar *g;
    leat_error e;
    leat_token token = leat_token_bos(m);
    const leat_logit_bias end = {leat_token_eos(m), 1000};
    REQUIRE(t, session && !leat_session_eval(session, &token, 1, &e));
    leat_sampler_params_default(&p);
    p.logit_bias = &end;
    p.n_logit_bias = 1;
    for (int ignore = 0; ignore < 2; ignore++) {
        p.ignore_eos = ignore;
        REQUIRE(t, !leat_sampler_open(m, &p, &sampler, &e));
        for (int i = 0; i < 50; i++) {
            CHECK_EQ(t, leat_sampler_next(sampler, session, &token, &e), LEAT_OK);
            CHECK_EQ(t, leat_token_is_end(m, token), !ignore);
        }
        REQUIRE(t, !leat_grammar_open(m, "root ::= \"\"", 11, &g, &e));
        CHECK_EQ(t, leat_sampler_set_grammar(sampler, g, &e), LEAT_OK);
        leat_grammar_close(g); /* the sampler holds it */
        CHECK_EQ(t, leat_sampler_next(sampler, session, &token, &e), LEAT_OK);
        CHECK(t, leat_token_is_end(m, token));
        leat_sampler_close(sampler);
    }
    leat_session_close(session);
    leat_model_close(m);
}

static void bad_calls(test *t) {
    random_model r = random_model_small(FORMAT_F32);
    leat_model *m = open_random(t, &r, NULL);
    leat_grammar *g = NULL;
    leat_error e;
    REQUIRE(t, m != NULL);
    CHECK_EQ(t, leat_grammar_open(NULL, "root ::= \"a\"", 12, &g, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_grammar_open(m, NULL, 12, &g, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_grammar_open(m, "root ::= \"a\"", 12, NULL, &e), LEAT_E_ARG);
    CHECK_EQ(t, leat_grammar_open(m, NULL, 0, &g, &e), LEAT_E_ARG);    /* no root */
    CHECK_EQ(t, leat_grammar_open_regex(m, NULL, 0, &g, &e), LEAT_OK); /* the empty text */
    CHECK_EQ(t, leat_sampler_set_grammar(NULL, g, &e), LEAT_E_ARG);
    leat_grammar_close(g);
    leat_grammar_close(NULL);
    leat_sampler_reset(NULL);
    leat_sampler_params_model(m, NULL);
    CHECK(t, leat_sampler_can_end(NULL) && !leat_sampler_must_end(NULL));
    size_t n = 7;
    CHECK(t, !leat_sampler_probs(NULL, &n) && n == 0);
    leat_model_close(m);
}

/* clang-format off */
#define TESTS(X) X(recommendations) X(constrained_by_every_sampler) X(ends) X(bad_calls)
/* clang-format on */
TEST_SUITE(TESTS)
