/* Mixes of tensor types: that their rules give what llama.cpp v0.5.0 gives (types of known models' tensors),
 * what is never quantized, types for odd widths, and the options of leat_quantize: overrides by pattern,
 * importance matrices (whole and broken), requantizing, split files. */
#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "loader/file.h"
#include "runtime/leat.h"
#include "runtime/quantize/pattern.h"
#include "runtime/quantize/recipe.h"
#include "tests/harness/test.h"
#include "tests/loader/folder.h"
#include "tests/loader/gguf_build.h"

/* ---- patterns ---- */

static void patterns_find(test *t) {
    static const struct {
        const char *pattern, *text;
        bool found;
    } rows[] = {{"attn_q", "blk.0.attn_q.weight", true},
                {"ATTN_Q", "blk.0.attn_q.weight", true},
                {"^attn_q", "blk.0.attn_q.weight", false},
                {"weight$", "blk.0.attn_q.weight", true},
                {"attn_q$", "blk.0.attn_q.weight", false},
                {"", "anything", true},
                {"^$", "", true},
                {"^$", "x", false},
                {"blk\\.(0|1|12)\\.", "blk.12.ffn_up.weight", true},
                {"blk\\.(0|1|12)\\.", "blk.112.ffn_up.weight", false},
                {"blk.[3-5].*down", "blk.4.ffn_down.weight", true},
                {"blk.[3-5].*down", "blk.6.ffn_down.weight", false},
                {"blk.[^3-5]\\.", "blk.6.ffn_down.weight", true},
                {"blk.[^3-5]\\.", "blk.4.ffn_down.weight", false},
                {"^blk\\.\\d+\\.ffn_(up|gate)(_exps)?\\.weight$", "blk.17.ffn_gate_exps.weight", true},
                {"^blk\\.\\d+\\.ffn_(up|gate)(_exps)?\\.weight$", "blk.17.ffn_gate_inp.weight", false},
                {"^blk\\.\\d{2}\\.", "blk.17.x", true},
                {"^blk\\.\\d{2}\\.", "blk.7.x", false},
                {"^blk\\.\\d{1,2}\\.", "blk.7.x", true},
                {"^a{2,}$", "a", false},
                {"^a{2,}$", "aaaa", true},
                {"^(?:ab|c)+$", "abcab", true},
                {"^(?:ab|c)+$", "abcb", false},
                {"^x*y?$", "xxy", true},
                {"^x*y?$", "xyy", false},
                {"^(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false}, /* no way back, so no explosion */
                {"(a|b)|c", "c", true},
                {"[]x]", "]", true},
                {"[a-]", "-", true},
                {"\\w\\W\\s", "a- ", true},
                {"a|", "", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pattern *p = NULL;
        leat_error e = {LEAT_OK, ""};
        if (pattern_open(rows[i].pattern, strlen(rows[i].pattern), &p, &e))
            TEST_FAIL(t, "%s", e.message);
        else if (pattern_found(p, rows[i].text, strlen(rows[i].text)) != rows[i].found)
            TEST_FAIL(t, "\"%s\" in \"%s\": not %d", rows[i].pattern, rows[i].text, rows[i].found);
        pattern_close(p);
    }
    static const char *const wrong[] = {
        "(",   ")",      "a(b", "[",     "[a", "*",  "a**",    "a{",
        "a{2", "a{3,2}", "\\",  "[z-a]", "+",  "|*", "a{999}", "((((a{99}){99}){99}){99})"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pattern *p = NULL;
        leat_error e = {LEAT_OK, ""};
        CHECK_EQ(t, pattern_open(wrong[i], strlen(wrong[i]), &p, &e), LEAT_E_ARG);
        if (!strstr(e.message, wrong[i])) TEST_FAIL(t, "\"%s\" is not in: %s", wrong[i], e.message);
        pattern_close(p);
    }
    char deep[400];
    memset(deep, '(', sizeof deep);
    pattern *p = NULL;
    CHECK_EQ(t, pattern_open(deep, sizeof deep, &p, NULL), LEAT_E_ARG);
}

/* ---- rules ---- */

typedef struct known {
    const char *mix, *name;
    uint32_t layers, heads, heads_kv, experts;
    bool output, importance;
    uint64_t columns;
    uint32_t format;
} known;

static uint32_t ask(test *t, const known *k) {
    static uint8_t zeros[1 << 16];
    size_t n;
    leat_error e = {LEAT_OK, ""};
    gguf g;
    build *b = build_open();
    build_str(b, "general.architecture", "llama");
    build_u32(b, "llama.block_count", k->layers);
    build_u32(b, "llama.attention.head_count", k->heads);
    build_u32(b, "llama.attention.head_count_kv", k->heads_kv);
    if (k->experts) build_u32(b, "llama.expert_count", k->experts);
    for (uint32_t i = 0; i < k->layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.attn_v.weight", i);
        if (strcmp(name, k->name) != 0) build_tensor(b, name, FORMAT_F32, 1, 0, zeros);
    }
    if (k->output && strcmp(k->name, "output.weight") != 0)
        build_tensor(b, "output.weight", FORMAT_F32, 1, 0, zeros);
    build_tensor_nd(b, k->name, FORMAT_F32, 3,
                    (const uint64_t[]){k->columns, 2, strstr(k->name, "exps") ? 8 : 1}, NULL);
    const uint8_t *bytes = build_finish(b, &n);
    uint32_t format = FORMAT_COUNT;
    if (gguf_parse(bytes, n, &g, &e)) {
        TEST_FAIL(t, "%s", e.message);
    } else {
        model_facts f;
        const mix *m = mix_find(k->mix);
        const gguf_tensor *tensor = gguf_find_tensor(&g, k->name);
        model_facts_read(&f, &g, k->importance);
        if (m && tensor) format = recipe_fallback(recipe_format(m, &f, tensor), k->columns);
        gguf_free(&g);
    }
    build_close(b);
    return format;
}

static void mixes_are_llama_cpps(test *t) {
    /* mix, tensor, layers, heads, key heads, experts, has an output matrix, importance, columns, type */
    static const known rows[] = {
        {"Q4_K_M", "output.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q6_K},
        {"Q4_K_M", "token_embd.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q4_K_M", "token_embd.weight", 32, 32, 8, 0, false, false, 4096, FORMAT_Q6_K},
        {"Q4_K_M", "blk.0.attn_q.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q4_K_M", "blk.3.attn_v.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q6_K},
        {"Q4_K_M", "blk.4.attn_v.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q4_K_M", "blk.6.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q6_K},
        {"Q4_K_M", "blk.7.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q4_K_M", "blk.28.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q6_K},
        {"Q4_K_S", "blk.3.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q5_K},
        {"Q4_K_S", "blk.4.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"q5_k", "blk.31.attn_v.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q6_K},
        {"q5_k_s", "blk.31.attn_v.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q5_K},
        {"Q4_K_M", "blk.9.attn_v.weight", 80, 64, 8, 0, true, false, 8192, FORMAT_Q6_K}, /* 70B */
        {"Q4_K_S", "blk.9.attn_v.weight", 80, 64, 8, 0, true, false, 8192, FORMAT_Q5_K},
        {"Q4_K_M", "blk.9.attn_v.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_Q8_0}, /* 8 experts */
        {"Q4_K_M", "blk.9.attn_k.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_Q8_0},
        {"Q4_K_M", "blk.9.attn_output.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_Q5_K},
        {"Q3_K_M", "blk.1.attn_v.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q5_K},
        {"Q3_K_M", "blk.2.attn_v.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q3_K_M", "blk.1.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q5_K},
        {"Q3_K_M", "blk.2.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q3_K_M", "blk.2.attn_output.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q3_K_L", "blk.2.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q5_K},
        {"Q3_K_S", "blk.2.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q3_K},
        {"Q2_K", "blk.2.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q3_K},
        {"Q2_K", "blk.2.attn_v.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        {"Q2_K", "blk.2.attn_v.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q3_K},
        {"Q2_K_S", "blk.2.ffn_down.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q4_K},
        {"Q2_K_S", "blk.9.ffn_down.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q2_K},
        {"IQ4_XS", "blk.9.attn_v.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q5_K},
        {"IQ4_XS", "blk.1.ffn_down.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q5_K},
        {"IQ4_XS", "blk.1.ffn_down.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ4_XS},
        {"IQ3_XXS", "blk.1.attn_q.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ2_S},
        {"IQ3_XXS", "blk.1.attn_v.weight", 32, 32, 32, 0, true, true, 4096, FORMAT_IQ3_XXS},
        {"IQ3_XXS", "blk.1.attn_v.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_IQ3_S},
        {"IQ3_XXS", "blk.1.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_K},
        {"IQ3_XXS", "output.weight", 32, 32, 32, 0, true, true, 4096, FORMAT_Q5_K},
        {"IQ3_XS", "blk.9.ffn_gate.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ3_XXS},
        {"IQ3_XS", "blk.1.ffn_up.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ3_S},
        {"IQ3_M", "blk.9.attn_output.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q4_K},
        {"IQ2_S", "blk.9.ffn_up.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ2_XS},
        {"IQ2_M", "blk.9.attn_output.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ3_S},
        {"IQ2_XXS", "blk.1.ffn_down.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q2_K},
        {"IQ2_XXS", "blk.9.ffn_down.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_IQ2_XXS},
        {"IQ2_XXS", "token_embd.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q2_K},
        {"IQ1_S", "blk.9.attn_v.weight", 32, 32, 8, 0, true, true, 4096, FORMAT_Q4_K},
        {"IQ1_S", "blk.9.attn_v.weight", 32, 32, 32, 0, true, true, 4096, FORMAT_Q2_K},
        {"IQ1_M", "blk.9.attn_output.weight", 32, 32, 32, 0, true, true, 4096, FORMAT_IQ2_XXS},
        {"Q4_0", "blk.1.ffn_down.weight", 32, 32, 32, 0, true, true, 4096, FORMAT_Q4_1},
        {"Q4_0", "blk.1.ffn_down.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_0},
        {"TQ1_0", "token_embd.weight", 32, 32, 32, 0, true, false, 4096, FORMAT_Q4_K},
        {"MXFP4_MOE", "blk.1.ffn_up_exps.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_MXFP4},
        {"MXFP4_MOE", "blk.1.attn_q.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_Q8_0},
        {"38", "blk.1.ffn_up.weight", 32, 32, 8, 8, true, false, 4096, FORMAT_MXFP4},
        {"F16", "blk.1.ffn_up.weight", 32, 32, 8, 8, true, false, 100, FORMAT_F16},
        {"15", "blk.1.attn_k.weight", 32, 32, 8, 0, true, false, 4096, FORMAT_Q4_K},
        /* rows that are no whole blocks */
        {"Q4_K_M", "blk.1.attn_k.weight", 32, 32, 8, 0, true, false, 4096 + 32, FORMAT_Q5_0},
        {"Q5_K_M", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 96, FORMAT_Q5_1},
        {"Q6_K", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 96, FORMAT_Q8_0},
        {"IQ2_XS", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 96, FORMAT_IQ4_NL},
        {"Q2_K", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 96, FORMAT_Q4_0},
        {"Q2_K", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 100, FORMAT_F16},
        {"NVFP4", "blk.9.attn_k.weight", 32, 32, 8, 0, true, false, 96, FORMAT_Q4_0},
        {"Q4_0", "output.weight", 32, 32, 8, 0, true, false, 96, FORMAT_Q8_0 /* of Q6_K */}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t format = ask(t, &rows[i]);
        if (format != rows[i].format)
            TEST_FAIL(t, "row %zu, %s, %s: type %u, not %s", i, rows[i].mix, rows[i].name, format,
                      format_get(rows[i].format)->name);
    }
}

static void mixes_are_listed(test *t) {
    size_t n = 0;
    for (; mix_get(n); n++) {
        CHECK_STR(t, leat_quantize_type(n), mix_get(n)->name);
        CHECK(t, mix_find(mix_get(n)->name) == mix_get(n));
        CHECK(t, quantize_largest(mix_get(n)->base) > 0 && quantize_largest(mix_get(n)->output) > 0 &&
                     quantize_largest(mix_get(n)->embedding) > 0);
    }
    CHECK(t, n > 30 && !leat_quantize_type(n) && !mix_find("q4_k_x") && !mix_find("") && !mix_find("4"));
}

static void special_tensors_are_kept(test *t) {
    static const char *const kept[] = {
        "blk.0.attn_norm.weight",      "blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight",
        "position_embd.weight",        "token_types.weight",        "blk.0.attn_q.bias",
        "blk.0.shortconv.conv.weight", "blk.0.time_mix_w1.weight",  "rope_freqs"};
    static const char *const taken[] = {"blk.0.attn_q.weight", "token_embd.weight", "output.weight",
                                        "blk.0.ffn_up_exps.weight", "blk.0.ssm_in.weight"};
    gguf_tensor x = {.ne = {64, 2, 1, 1}, .n_rows = 2};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        x.name = (str){kept[i], strlen(kept[i])};
        if (recipe_allows(&x)) TEST_FAIL(t, "%s is not kept", kept[i]);
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        x.name = (str){taken[i], strlen(taken[i])};
        if (!recipe_allows(&x)) TEST_FAIL(t, "%s is kept", taken[i]);
    }
    x.n_rows = 1;
    CHECK(t, !recipe_allows(&x));
}

/* ---- files ---- */

enum { WIDE = 256, TALL = 8, EXPERTS = 3 };
static float values[WIDE * TALL * EXPERTS];

static void fill(void) {
    uint32_t s = 1;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        s = s * 1664525 + 1013904223;
        values[i] = ((float)(s >> 8) / (1 << 23) - 1) * (1 + (float)(s >> 28));
    }
}

static bool write_model(const char *path) {
    fill();
    build *b = build_open();
    build_str(b, "general.architecture", "llama");
    build_u32(b, "llama.block_count", 1);
    build_tensor(b, "token_embd.weight", FORMAT_F32, WIDE, TALL, values);
    build_tensor(b, "output.weight", FORMAT_F32, WIDE, TALL, values);
    build_tensor(b, "blk.0.attn_norm.weight", FORMAT_F32, WIDE, 0, values);
    build_tensor(b, "blk.0.attn_q.weight", FORMAT_F32, WIDE, TALL, values);
    build_tensor(b, "blk.0.attn_k.weight", FORMAT_F32, WIDE, TALL, values);
    build_tensor_nd(b, "blk.0.ffn_up_exps.weight", FORMAT_F32, 3, (const uint64_t[]){WIDE, TALL, EXPERTS},
                    values);
    bool ok = build_save(b, path);
    build_close(b);
    return ok;
}

static uint32_t format_in(test *t, const char *path, const char *name) {
    model_file *f = NULL;
    leat_error e = {LEAT_OK, ""};
    uint32_t format = FORMAT_COUNT;
    if (file_open(path, &f, &e)) {
        TEST_FAIL(t, "%s", e.message);
        return format;
    }
    const gguf_tensor *x = gguf_find_tensor(file_gguf(f), name);
    if (x) format = x->format;
    file_close(f);
    return format;
}

static leat_status run(folder *f, const leat_quantize_params *p, leat_error *e) {
    return leat_quantize(folder_file(f, "in.gguf"), folder_file(f, "out.gguf"), p, e);
}

static void overrides(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    leat_quantize_summary made;
    static const char *const types[] = {"attn_(q|v)=q8_0", "attn=iq4_nl", "exps=tq2_0"};
    REQUIRE(t, folder_make(&f) && write_model(folder_file(&f, "in.gguf")));
    leat_quantize_params_default(&p);
    p.type = "q4_k_m";
    p.tensor_types = types;
    p.n_tensor_types = 3;
    p.output_tensor_type = "Q5_K";
    p.token_embedding_type = "f16";
    p.summary = &made;
    if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
    const char *out = folder_file(&f, "out.gguf");
    CHECK_EQ(t, format_in(t, out, "blk.0.attn_q.weight"), FORMAT_Q8_0);
    CHECK_EQ(t, format_in(t, out, "blk.0.attn_k.weight"), FORMAT_IQ4_NL);
    CHECK_EQ(t, format_in(t, out, "blk.0.ffn_up_exps.weight"), FORMAT_TQ2_0);
    CHECK_EQ(t, format_in(t, out, "output.weight"), FORMAT_Q5_K);
    CHECK_EQ(t, format_in(t, out, "token_embd.weight"), FORMAT_F16);
    CHECK_EQ(t, format_in(t, out, "blk.0.attn_norm.weight"), FORMAT_F32);
    CHECK(t, made.n_tensors == 6 && made.n_quantized == 5 && made.n_fallback == 0 &&
                 made.bytes_out < made.bytes_in);

    leat_quantize_params_default(&p);
    p.type = "q4_k_m";
    p.pure = true;
    p.leave_output_tensor = true;
    if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
    CHECK_EQ(t, format_in(t, out, "output.weight"), FORMAT_F32);
    CHECK_EQ(t, format_in(t, out, "token_embd.weight"), FORMAT_Q4_K);
    p.type = "copy";
    if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
    size_t n, m;
    uint8_t *a = file_get(folder_file(&f, "in.gguf"), &n), *b = file_get(out, &m);
    CHECK(t, a && b && n == m && !memcmp(a, b, n));
    free(a);
    free(b);

    static const char *const wrong[] = {
        "q8_0", "=q8_0", "a=q9", "a=", "a=q8_1", "(=q8_0", "a=i8", "a=q4_0_4_4"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p.type = "q8_0";
        p.tensor_types = &wrong[i];
        p.n_tensor_types = 1;
        CHECK_EQ(t, run(&f, &p, &e), LEAT_E_ARG);
    }
    p.tensor_types = NULL;
    CHECK_EQ(t, run(&f, &p, &e), LEAT_E_ARG);
    p.n_tensor_types = 0;
    p.output_tensor_type = "q4_k_m"; /* a mix is no type */
    CHECK_EQ(t, run(&f, &p, &e), LEAT_E_ARG);
    CHECK_EQ(t, folder_count(&f), 2);
    folder_remove(&f);
}

static void requantizing_needs_a_word(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    REQUIRE(t, folder_make(&f) && write_model(folder_file(&f, "in.gguf")));
    leat_quantize_params_default(&p);
    p.type = "q5_0";
    if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
    p.type = "q4_0";
    CHECK_EQ(t, leat_quantize(folder_file(&f, "out.gguf"), folder_file(&f, "again.gguf"), &p, &e),
             LEAT_E_UNSUPPORTED);
    CHECK(t, strstr(e.message, "token_embd.weight") && strstr(e.message, "Q5_0"));
    p.allow_requantize = true;
    CHECK_EQ(t, leat_quantize(folder_file(&f, "out.gguf"), folder_file(&f, "again.gguf"), &p, &e), LEAT_OK);
    CHECK_EQ(t, format_in(t, folder_file(&f, "again.gguf"), "blk.0.attn_q.weight"), FORMAT_Q4_0);
    folder_remove(&f);
}

/* ---- importance ---- */

/* As llama-imatrix writes it, but for `spoil`: 0 nothing, 1 no counts, 2 NaN, 3 negative, 4 other width, 5
 * not F32, 6 no sums at all, 7 count negative, 8 counts that don't divide, 9 nothing about attn_k. */
static bool write_imatrix(const char *path, int spoil) {
    static float sums[WIDE * EXPERTS], counts[EXPERTS];
    build *b = build_open();
    build_str(b, "general.type", "imatrix");
    build_str_array(b, "imatrix.datasets", (const char *const[]){"some.txt"}, 1);
    build_u32(b, "imatrix.chunk_count", 7);
    build_u32(b, "imatrix.chunk_size", 512);
    for (int i = 0; i < WIDE * EXPERTS; i++) sums[i] = 1 + (float)(i % 37) * (float)(i % 5);
    for (int i = 0; i < EXPERTS; i++) counts[i] = i == 1 ? 0 : 512; /* an expert that was never asked */
    if (spoil == 2) sums[5] = NAN;
    if (spoil == 3) sums[5] = -1;
    if (spoil == 7) counts[0] = -1;
    uint64_t wide = spoil == 4 ? 128 : WIDE;
    build_tensor(b, spoil == 6 ? "x" : "blk.0.attn_q.weight.in_sum2", spoil == 5 ? FORMAT_I32 : FORMAT_F32,
                 wide, 1, sums);
    if (spoil != 1) build_tensor(b, "blk.0.attn_q.weight.counts", FORMAT_F32, spoil == 8 ? 3 : 1, 1, counts);
    if (spoil != 6 && spoil != 9) {
        build_tensor(b, "blk.0.attn_k.weight.in_sum2", FORMAT_F32, WIDE, 1, sums);
        build_tensor(b, "blk.0.attn_k.weight.counts", FORMAT_F32, 1, 1, counts);
    }
    if (spoil != 6) {
        build_tensor(b, "blk.0.ffn_up_exps.weight.in_sum2", FORMAT_F32, WIDE, EXPERTS, sums);
        build_tensor(b, "blk.0.ffn_up_exps.weight.counts", FORMAT_F32, 1, EXPERTS, counts);
        build_tensor(b, "token_embd.weight.in_sum2", FORMAT_F32, 64, 1, sums); /* is ignored */
        build_tensor(b, "token_embd.weight.counts", FORMAT_F32, 1, 1, counts);
    }
    bool ok = build_save(b, path);
    build_close(b);
    return ok;
}

/* What the tensor should be: row by row with the means of its expert. */
static void check_weighted(test *t, const char *path) {
    kernels k;
    model_file *f = NULL;
    leat_error e;
    REQUIRE(t, kernels_init(&k, "c") && file_open(path, &f, &e) == LEAT_OK);
    const gguf *g = file_gguf(f);
    const gguf_tensor *x = gguf_find_tensor(g, "blk.0.ffn_up_exps.weight");
    REQUIRE(t, x && x->format == FORMAT_IQ2_XXS);
    for (size_t row = 0; row < TALL * EXPERTS; row++) {
        float means[WIDE];
        uint8_t want[WIDE];
        for (size_t i = 0; i < WIDE; i++) {
            size_t at = row / TALL * WIDE + i;
            means[i] = row / TALL == 1 ? 1 : (1 + (float)(at % 37) * (float)(at % 5)) / 512;
        }
        k.quantize_rows[x->format](values + row * WIDE, means, WIDE, 1, want);
        CHECK(t, memcmp(want, x->data + row * x->row_bytes, x->row_bytes) == 0);
    }
    const gguf_kv *kv = gguf_find(g, "quantize.imatrix.chunks_count");
    CHECK(t, kv && gguf_kv_u64(kv, 0) == 7);
    kv = gguf_find(g, "quantize.imatrix.entries_count");
    CHECK(t, kv && gguf_kv_u64(kv, 0) == 4);
    CHECK(t, gguf_find(g, "quantize.imatrix.file") && gguf_find(g, "quantize.imatrix.dataset"));
    file_close(f);
}

static void importance_is_read(test *t) {
    static const struct {
        int spoil;
        leat_status status;
        const char *says;
    } rows[] = {{1, LEAT_E_TENSOR, "attn_q.weight.in_sum2"},
                {2, LEAT_E_NUMERIC, "value 5"},
                {3, LEAT_E_NUMERIC, "value 5"},
                {4, LEAT_E_TENSOR, "another model"},
                {5, LEAT_E_TENSOR, "not F32"},
                {6, LEAT_E_TENSOR, "no importance matrix"},
                {7, LEAT_E_NUMERIC, "value 0"},
                {8, LEAT_E_TENSOR, "3 counts"},
                {9, LEAT_E_MISSING, "attn_k"}};
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    REQUIRE(t, folder_make(&f) && write_model(folder_file(&f, "in.gguf")));
    leat_quantize_params_default(&p);
    p.type = "iq2_xxs";
    CHECK_EQ(t, run(&f, &p, &e), LEAT_E_MISSING);
    CHECK(t, strstr(e.message, "attn_q") && strstr(e.message, "importance"));
    char path[512];
    snprintf(path, sizeof path, "%s", folder_file(&f, "imatrix.gguf"));
    p.imatrix = path;
    CHECK_EQ(t, run(&f, &p, &e), LEAT_E_IO);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        REQUIRE(t, write_imatrix(path, rows[i].spoil));
        CHECK_EQ(t, run(&f, &p, &e), rows[i].status);
        if (!strstr(e.message, rows[i].says))
            TEST_FAIL(t, "\"%s\" does not say \"%s\"", e.message, rows[i].says);
        CHECK_EQ(t, folder_count(&f), 2);
    }
    REQUIRE(t, write_imatrix(path, 0));
    uint8_t *first = NULL;
    size_t first_n = 0, n;
    for (uint32_t threads = 1; threads < 4; threads++) {
        p.n_threads = threads;
        if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
        uint8_t *bytes = file_get(folder_file(&f, "out.gguf"), &n);
        if (first) CHECK(t, bytes && n == first_n && !memcmp(bytes, first, n));
        if (!first) {
            first = bytes;
            first_n = n;
        } else {
            free(bytes);
        }
    }
    free(first);
    check_weighted(t, folder_file(&f, "out.gguf"));
    folder_remove(&f);
}

/* ---- split files ---- */

static void split_files_stay_split(test *t) {
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    REQUIRE(t, folder_make(&f));
    fill();
    for (int part = 0; part < 3; part++) {
        char name[64];
        snprintf(name, sizeof name, "m-%05d-of-00003.gguf", part + 1);
        build *b = build_open();
        if (part == 0) build_str(b, "general.architecture", "llama");
        build_u16(b, "split.no", (uint16_t)part);
        build_u16(b, "split.count", 3);
        build_i32(b, "split.tensors.count", 4);
        build_tensor(b,
                     part == 0   ? "a.weight"
                     : part == 1 ? "b.weight"
                                 : "c.weight",
                     FORMAT_F32, WIDE, TALL, values);
        if (part == 2) build_tensor(b, "d.bias", FORMAT_F32, WIDE, 0, values);
        REQUIRE(t, build_save(b, folder_file(&f, name)));
        build_close(b);
    }
    leat_quantize_params_default(&p);
    p.type = "q4_k";
    p.keep_split = true;
    if (leat_quantize(folder_file(&f, "m-00001-of-00003.gguf"), folder_file(&f, "out.gguf"), &p, &e))
        TEST_FAIL(t, "%s", e.message);
    CHECK_EQ(t, folder_count(&f), 6);
    model_file *out = NULL;
    if (file_open(folder_file(&f, "out-00001-of-00003.gguf"), &out, &e)) TEST_FAIL(t, "%s", e.message);
    REQUIRE(t, out != NULL);
    CHECK_EQ(t, file_parts(out), 3);
    CHECK_EQ(t, file_gguf(out)->n_tensors, 4);
    CHECK_EQ(t, gguf_find_tensor(file_gguf(out), "c.weight")->format, FORMAT_Q4_K);
    CHECK_EQ(t, gguf_find_tensor(file_gguf(out), "d.bias")->part, 2);
    CHECK(t, memcmp(gguf_find_tensor(file_gguf(out), "d.bias")->data, values, WIDE * sizeof *values) == 0);
    file_close(out);
    /* a part that can't be written: none appears */
    p.progress = NULL;
    CHECK_EQ(t,
             leat_quantize(folder_file(&f, "m-00001-of-00003.gguf"), folder_file(&f, "no/out.gguf"), &p, &e),
             LEAT_E_IO);
    CHECK_EQ(t, folder_count(&f), 6);
    folder_remove(&f);
}

/* Rows longer than a piece of work are cut, and every source type is read. */
static void long_rows_and_every_source(test *t) {
    enum { LONG = 65536 * 2 + 512 };
    folder f;
    leat_error e = {LEAT_OK, ""};
    leat_quantize_params p;
    float *x = malloc(2 * LONG * sizeof *x);
    kernels k;
    REQUIRE(t, x && folder_make(&f) && kernels_init(&k, NULL));
    for (size_t i = 0; i < 2 * LONG; i++) x[i] = (float)(i % 251) - 125;
    build *b = build_open();
    build_tensor(b, "a.weight", FORMAT_F32, LONG, 2, x);
    REQUIRE(t, build_save(b, folder_file(&f, "in.gguf")));
    build_close(b);
    leat_quantize_params_default(&p);
    p.type = "q8_0";
    p.n_threads = 2;
    if (run(&f, &p, &e)) TEST_FAIL(t, "%s", e.message);
    size_t bytes = format_row_bytes(FORMAT_Q8_0, LONG);
    uint8_t *want = malloc(2 * bytes);
    model_file *out = NULL;
    REQUIRE(t, want && file_open(folder_file(&f, "out.gguf"), &out, &e) == LEAT_OK);
    k.quantize_rows[FORMAT_Q8_0](x, NULL, (size_t)2 * LONG, 1, want);
    CHECK(t, memcmp(file_gguf(out)->tensors[0].data, want, 2 * bytes) == 0);
    file_close(out);
    free(want);
    free(x);

    static const uint32_t all[] = {
#define Z(name, NAME, largest) FORMAT_##NAME,
#include "kernels/kernels.def"
#undef Z
    };
    fill();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        uint8_t blocks[WIDE * TALL * 4];
        for (size_t row = 0; row < TALL; row++)
            k.quantize_rows[all[i]](values + row * WIDE, NULL, WIDE, 1,
                                    blocks + row * format_row_bytes(all[i], WIDE));
        b = build_open();
        build_tensor(b, "a.weight", all[i], WIDE, TALL, blocks);
        REQUIRE(t, build_save(b, folder_file(&f, "in.gguf")));
        build_close(b);
        p.type = all[i] == FORMAT_BF16 ? "f16" : "bf16";
        p.allow_requantize = true;
        if (run(&f, &p, &e)) TEST_FAIL(t, "%s: %s", format_get(all[i])->name, e.message);
        CHECK_EQ(t, format_in(t, folder_file(&f, "out.gguf"), "a.weight"),
                 all[i] == FORMAT_BF16 ? FORMAT_F16 : FORMAT_BF16);
    }
    folder_remove(&f);
}

/* clang-format off */
#define TESTS(X) \
    X(patterns_find) X(mixes_are_llama_cpps) X(mixes_are_listed) X(special_tensors_are_kept) X(overrides) \
    X(requantizing_needs_a_word) X(importance_is_read) X(split_files_stay_split) X(long_rows_and_every_source)
/* clang-format on */
TEST_SUITE(TESTS)
