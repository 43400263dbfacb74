/* Models whose numbers, tensors or vocabulary do not fit together: each row changes one thing of a good model
 * and says which status and which words the message must have. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/formats.h"
#include "tests/harness/fixture.h"
#include "tests/loader/gguf_build.h"

enum { EMBD = 64, FF = 96, VOCAB = 262, HEADS = 4, KV = 2, DIM = 16 };

typedef enum change { GOOD, WITHOUT, AS_U32, AS_F32, AS_STR, AS_I32S, AS_F32S, SHAPE, FORMAT, EXTRA } change;

typedef struct row {
    change change;
    const char *name; /* of the key or tensor */
    double value, value2;
    leat_status status;
    const char *words;
} row;

static const row rows[] = {
    {GOOD, "", 0, 0, LEAT_OK, ""},
    /* the architecture */
    {WITHOUT, "general.architecture", 0, 0, LEAT_E_ARCH, "general.architecture is missing"},
    {AS_U32, "general.architecture", 3, 0, LEAT_E_TYPE, "general.architecture"},
    {AS_STR, "general.architecture", 0, 0, LEAT_E_ARCH,
     "\"strange\" is not known; known are: "},
    /* numbers */
    {WITHOUT, "llama.block_count", 0, 0, LEAT_E_HPARAM, "llama.block_count"},
    {AS_U32, "llama.block_count", 0, 0, LEAT_E_HPARAM, "llama.block_count"},
    {AS_U32, "llama.block_count", 1025, 0, LEAT_E_HPARAM, "llama.block_count"},
    {AS_U32, "llama.block_count", 4294967295.0, 0, LEAT_E_HPARAM, "llama.block_count"},
    {AS_U32, "llama.block_count", 3, 0, LEAT_E_TENSOR, "tensor blk.2.attn_norm.weight is missing"},
    {AS_U32, "llama.block_count", 1, 0, LEAT_E_TENSOR, "tensor blk.1.attn_norm.weight is not part of"},
    {AS_F32, "llama.block_count", 2, 0, LEAT_E_TYPE, "llama.block_count"},
    {AS_STR, "llama.block_count", 0, 0, LEAT_E_TYPE, "llama.block_count"},
    {AS_I32S, "llama.attention.head_count", 4, 4, LEAT_OK, ""},
    {AS_I32S, "llama.attention.head_count", 4, 2, LEAT_E_UNSUPPORTED, "head_count differs between layers"},
    {AS_I32S, "llama.attention.head_count", -4, -4, LEAT_E_HPARAM, "head_count[0] is -4"},
    {AS_F32S, "llama.attention.head_count", 4, 4, LEAT_E_TYPE, "head_count is an array"},
    {AS_U32, "llama.attention.head_count", 0, 0, LEAT_E_HPARAM, "head_count"},
    {AS_U32, "llama.attention.head_count", 3, 0, LEAT_E_HPARAM,
     "head_count 3 can't be shared by head_count_kv 2"},
    {AS_U32, "llama.attention.head_count", 1025, 0, LEAT_E_HPARAM, "head_count"},
    {AS_U32, "llama.attention.head_count", 8, 0, LEAT_E_HPARAM, "llama.rope.dimension_count"},
    {AS_U32, "llama.attention.head_count_kv", 3, 0, LEAT_E_HPARAM, "can't be shared by head_count_kv 3"},
    {AS_U32, "llama.attention.head_count_kv", 8, 0, LEAT_E_HPARAM, "can't be shared by head_count_kv 8"},
    {AS_U32, "llama.attention.head_count_kv", 1, 0, LEAT_E_TENSOR,
     "blk.0.attn_k.weight has shape [64, 32], not [64, 16]"},
    {AS_U32, "llama.attention.key_length", 0, 0, LEAT_E_HPARAM, "key_length"},
    {AS_U32, "llama.attention.key_length", 513, 0, LEAT_E_HPARAM, "key_length"},
    {AS_U32, "llama.attention.value_length", 8, 0, LEAT_E_TENSOR, "blk.0.attn_v.weight has shape"},
    {AS_U32, "llama.embedding_length", 0, 0, LEAT_E_HPARAM, "embedding_length"},
    {AS_U32, "llama.embedding_length", 1048577, 0, LEAT_E_HPARAM, "embedding_length"},
    {AS_U32, "llama.embedding_length", 66, 0, LEAT_E_HPARAM, "embedding_length 66 does not divide"},
    {AS_U32, "llama.embedding_length", 128, 0, LEAT_E_TENSOR,
     "token_embd.weight has shape [64, 262], not [128, 262]"},
    {AS_U32, "llama.feed_forward_length", 0, 0, LEAT_E_HPARAM, "feed_forward_length"},
    {AS_U32, "llama.feed_forward_length", 95, 0, LEAT_E_TENSOR,
     "ffn_gate.weight has shape [64, 96], not [64, 95]"},
    {AS_U32, "llama.context_length", 0, 0, LEAT_E_HPARAM, "context_length"},
    {AS_U32, "llama.context_length", 4294967295.0, 0, LEAT_E_HPARAM, "context_length"},
    {WITHOUT, "llama.context_length", 0, 0, LEAT_E_HPARAM, "context_length"},
    {AS_F32, "llama.attention.layer_norm_rms_epsilon", 0, 0, LEAT_E_HPARAM, "layer_norm_rms_epsilon"},
    {AS_F32, "llama.attention.layer_norm_rms_epsilon", -1, 0, LEAT_E_HPARAM, "layer_norm_rms_epsilon"},
    {AS_F32, "llama.attention.layer_norm_rms_epsilon", NAN, 0, LEAT_E_HPARAM, "layer_norm_rms_epsilon"},
    {WITHOUT, "llama.attention.layer_norm_rms_epsilon", 0, 0, LEAT_E_HPARAM, "layer_norm_rms_epsilon"},
    {AS_U32, "llama.rope.dimension_count", 0, 0, LEAT_E_HPARAM, "rope.dimension_count"},
    {AS_U32, "llama.rope.dimension_count", 7, 0, LEAT_E_HPARAM, "rope.dimension_count 7 is odd"},
    {AS_U32, "llama.rope.dimension_count", 18, 0, LEAT_E_HPARAM, "rope.dimension_count"},
    {AS_U32, "llama.rope.dimension_count", 8, 0, LEAT_OK, ""},
    {AS_F32, "llama.rope.freq_base", 0, 0, LEAT_E_HPARAM, "rope.freq_base"},
    {AS_F32, "llama.rope.freq_base", INFINITY, 0, LEAT_E_HPARAM, "rope.freq_base"},
    {AS_STR, "llama.rope.scaling.type", 0, 0, LEAT_E_HPARAM, "rope.scaling.type is \"strange\""},
    {AS_F32, "llama.rope.scaling.factor", -2, 0, LEAT_E_HPARAM, "rope.scaling.factor"},
    {AS_U32, "llama.expert_count", 8, 0, LEAT_E_UNSUPPORTED, "llama.expert_count is 8: mixture of experts"},
    /* tensors */
    {WITHOUT, "token_embd.weight", 0, 0, LEAT_E_TENSOR, "tensor token_embd.weight is missing"},
    {WITHOUT, "output_norm.weight", 0, 0, LEAT_E_TENSOR, "tensor output_norm.weight is missing"},
    {WITHOUT, "blk.1.ffn_down.weight", 0, 0, LEAT_E_TENSOR, "tensor blk.1.ffn_down.weight is missing"},
    {SHAPE, "token_embd.weight", EMBD, 10, LEAT_E_TENSOR,
     "token_embd.weight has shape [64, 10], not [64, 262]"},
    {SHAPE, "blk.0.ffn_down.weight", EMBD, FF, LEAT_E_TENSOR,
     "blk.0.ffn_down.weight has shape [64, 96], not [96, 64]"},
    {SHAPE, "blk.0.attn_norm.weight", EMBD + 1, 0, LEAT_E_TENSOR,
     "blk.0.attn_norm.weight has shape [65], not [64]"},
    {FORMAT, "blk.0.attn_norm.weight", FORMAT_F16, 0, LEAT_E_TENSOR, "blk.0.attn_norm.weight has type F16"},
    {FORMAT, "blk.1.attn_q.weight", FORMAT_I8, 0, LEAT_E_UNSUPPORTED,
     "blk.1.attn_q.weight has type I8, a type of plain integers"},
    {FORMAT, "blk.1.attn_q.weight", FORMAT_Q8_1, 0, LEAT_E_UNSUPPORTED, "blk.1.attn_q.weight has type Q8_1"},
    {FORMAT, "blk.1.attn_q.weight", FORMAT_Q8_0, 0, LEAT_OK, ""},
    {EXTRA, "blk.0.attn_q_norm.weight", 0, 0, LEAT_E_TENSOR,
     "tensor blk.0.attn_q_norm.weight is not part of architecture llama"},
    {EXTRA, "blk.0.attn_rot_embd", 0, 0, LEAT_OK, ""},
    {EXTRA, "rope_factors_long.weight", 8, 0, LEAT_E_TENSOR, "its partner is missing"},
    {EXTRA, "rope_freqs.weight", 8, 0, LEAT_OK, ""},
};

typedef struct maker {
    build *b;
    const row *r;
} maker;

/* The row's own form of a key, or false when it has none. */
static bool changed(maker *k, const char *key) {
    const row *r = k->r;
    if (strcmp(key, r->name)) return false;
    const float floats[2] = {(float)r->value, (float)r->value2};
    int32_t ints[2] = {0};
    if (r->change == AS_I32S)
        for (int i = 0; i < 2; i++) ints[i] = (int32_t)(i ? r->value2 : r->value);
    switch (r->change) {
    case AS_U32: build_u32(k->b, key, (uint32_t)r->value); return true;
    case AS_F32: build_f32(k->b, key, (float)r->value); return true;
    case AS_STR: build_str(k->b, key, "strange"); return true;
    case AS_I32S: build_array(k->b, key, GGUF_I32, ints, 2); return true;
    case AS_F32S: build_array(k->b, key, GGUF_F32, floats, 2); return true;
    default: return r->change == WITHOUT;
    }
}

static void key_u32(maker *k, const char *key, uint32_t v) {
    if (!changed(k, key)) build_u32(k->b, key, v);
}

static void tensor(maker *k, const char *name, uint64_t ne0, uint64_t ne1) {
    uint32_t format = FORMAT_F32;
    if (!strcmp(name, k->r->name)) {
        if (k->r->change == WITHOUT) return;
        if (k->r->change == SHAPE) ne0 = (uint64_t)k->r->value, ne1 = (uint64_t)k->r->value2;
        if (k->r->change == FORMAT) format = (uint32_t)k->r->value;
    }
    build_tensor(k->b, name, format, ne0, ne1, NULL);
}

static void vocabulary(maker *k) {
    static char text[VOCAB][16];
    const char *tokens[VOCAB];
    float scores[VOCAB] = {0};
    int32_t types[VOCAB];
    for (int i = 0; i < VOCAB; i++) {
        snprintf(text[i], sizeof *text,
                 i < 3     ? "<s%d>"
                 : i < 259 ? "<0x%02X>"
                           : "w%d",
                 i < 3 || i >= 259 ? i : i - 3);
        tokens[i] = text[i];
        types[i] = i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1;
    }
    build_str(k->b, "tokenizer.ggml.model", "llama");
    build_str_array(k->b, "tokenizer.ggml.tokens", tokens, VOCAB);
    build_array(k->b, "tokenizer.ggml.scores", GGUF_F32, scores, VOCAB);
    build_array(k->b, "tokenizer.ggml.token_type", GGUF_I32, types, VOCAB);
}

static build *make(const row *r) {
    static const char *const optional[] = {"llama.attention.key_length", "llama.attention.value_length",
                                           "llama.rope.freq_base",       "llama.rope.scaling.type",
                                           "llama.rope.scaling.factor",  "llama.expert_count"};
    static const struct {
        const char *name;
        uint64_t ne0, ne1;
    } layer[] = {{"attn_norm", EMBD, 0},
                 {"attn_q", EMBD, HEADS * DIM},
                 {"attn_k", EMBD, KV * DIM},
                 {"attn_v", EMBD, KV * DIM},
                 {"attn_output", HEADS * DIM, EMBD},
                 {"ffn_norm", EMBD, 0},
                 {"ffn_gate", EMBD, FF},
                 {"ffn_up", EMBD, FF},
                 {"ffn_down", FF, EMBD}};
    maker k = {build_open(), r};
    if (!changed(&k, "general.architecture")) build_str(k.b, "general.architecture", "llama");
    key_u32(&k, "llama.context_length", 64);
    key_u32(&k, "llama.embedding_length", EMBD);
    key_u32(&k, "llama.block_count", 2);
    key_u32(&k, "llama.feed_forward_length", FF);
    key_u32(&k, "llama.attention.head_count", HEADS);
    key_u32(&k, "llama.attention.head_count_kv", KV);
    key_u32(&k, "llama.rope.dimension_count", DIM);
    if (!changed(&k, "llama.attention.layer_norm_rms_epsilon"))
        build_f32(k.b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) changed(&k, optional[i]);
    vocabulary(&k);
    tensor(&k, "token_embd.weight", EMBD, VOCAB);
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, layer[i].name);
            tensor(&k, name, layer[i].ne0, layer[i].ne1);
        }
    tensor(&k, "output_norm.weight", EMBD, 0);
    if (r->change == EXTRA)
        build_tensor(k.b, r->name, FORMAT_F32, r->value > 0 ? (uint64_t)r->value : DIM, 0, NULL);
    return k.b;
}

static void check_row(test *t, const row *r, const char *path) {
    leat_model *m = NULL;
    leat_error e = {LEAT_OK, ""};
    build *b = make(r);
    REQUIRE(t, build_save(b, path));
    leat_status st = leat_model_open(path, NULL, &m, &e);
    if (st != r->status || (st && (!strstr(e.message, r->words) || m)))
        TEST_FAIL(t, "%s (change %d, %g): status %d \"%s\", wanted %d \"%s\"", r->name, r->change, r->value,
                  st, e.message, r->status, r->words);
    leat_model_close(m);
    build_close(b);
}

static void hostile_models(test *t) {
    temp_file f;
    REQUIRE(t, temp_make(&f, "m.gguf"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(t, &rows[i], f.path);
    temp_remove(&f);
}

/* Divisors of rotary frequencies that are no positive numbers are found when a session is opened. */
static void bad_rope_factors(test *t) {
    static const row r = {EXTRA, "rope_freqs.weight", 8, 0, LEAT_OK, ""};
    temp_file f;
    leat_model *m = NULL;
    leat_session *s = NULL;
    leat_error e = {LEAT_OK, ""};
    build *b = make(&r);
    REQUIRE(t, temp_make(&f, "m.gguf"));
    REQUIRE(t, build_save(b, f.path)); /* the factors are zeros */
    REQUIRE(t, !leat_model_open(f.path, NULL, &m, &e));
    CHECK_EQ(t, leat_session_open(m, NULL, &s, &e), LEAT_E_TENSOR);
    CHECK(t, !s && strstr(e.message, "rope factor 0"));
    leat_model_close(m);
    temp_remove(&f);
    build_close(b);
}

/* Weights that are not numbers are noticed in the logits, whichever way they get there. */
static void damaged_weights(test *t) {
    static const float poisons[] = {NAN, INFINITY, -INFINITY};
    static const char *const tensors[] = {"output_norm.weight", "blk.1.ffn_norm.weight",
                                          "blk.0.attn_norm.weight"};
    leat_token tokens[3] = {5, 6, 7};
    for (size_t i = 0; i < 9; i++) {
        row r = {WITHOUT, tensors[i / 3], 0, 0, LEAT_OK, ""};
        float gain[EMBD];
        temp_file f;
        leat_model *m = NULL;
        leat_error e = {LEAT_OK, ""};
        build *b = make(&r);
        for (int j = 0; j < EMBD; j++) gain[j] = j == 3 ? poisons[i % 3] : 1.0f;
        build_tensor(b, tensors[i / 3], FORMAT_F32, EMBD, 0, gain);
        REQUIRE(t, temp_make(&f, "m.gguf"));
        REQUIRE(t, build_save(b, f.path));
        if (leat_model_open(f.path, NULL, &m, &e)) TEST_FAIL(t, "%s", e.message);
        for (size_t n = 1; m && n <= 3; n += 2) {
            leat_session *s = open_session(t, m, 16, 8, 2);
            leat_status st = leat_session_eval(s, tokens, n, &e);
            /* all other weights are zero: 0 x NaN is NaN, and 0 x Inf too */
            if (st != LEAT_E_NUMERIC || !strstr(e.message, "not finite"))
                TEST_FAIL(t, "%s with %g: status %d \"%s\"", tensors[i / 3], (double)poisons[i % 3], st,
                          e.message);
            CHECK_EQ(t, leat_session_length(s), 0);
            leat_session_close(s);
        }
        leat_model_close(m);
        temp_remove(&f);
        build_close(b);
    }
}

#define TESTS(X) X(hostile_models) X(bad_rope_factors) X(damaged_weights)
TEST_SUITE(TESTS)
